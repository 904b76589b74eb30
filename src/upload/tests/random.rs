//! Whatever a service may answer, in any order.

use proptest::prelude::*;

use super::*;

/// Anything a service may answer.
fn any_reply() -> impl Strategy<Value = u8> {
    0..40_u8
}

fn bytes(pick: u8) -> Option<u64> {
    [
        None,
        Some(0),
        Some(10_000_000),
        Some(19_999_999),
        Some(24_000_000),
        Some(30_000_000),
        Some(SIZE),
        Some(SIZE + 9),
    ][pick as usize % 8]
}

fn put_reply(pick: u8) -> Reply {
    match pick {
        0..10 => lost(),
        10..18 => put(416, bytes(pick)),
        18 => put(403, None),
        19 => put(500, None),
        20 => put(429, None),
        _ => put(206, None),
    }
}

fn status_reply(pick: u8) -> Reply {
    match pick {
        0..24 => working(bytes(pick)),
        24 => Reply::Status(Err(refusal(401, "access_token_invalid"))),
        25 => Reply::Status(Err(refusal(400, "invalid_publish_id"))),
        26..30 => Reply::Status(Err(Failure::Lost("timeout".into()))),
        30 => Reply::Status(Err(refusal(429, "rate_limit_exceeded"))),
        31 => status("FAILED", None),
        32 => status("SEND_TO_USER_INBOX", None),
        _ => working(None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_the_service_answers_progress_never_falls_and_every_path_ends(
        picks in prop::collection::vec(any_reply(), 1..400),
        restart in 0..60_usize,
    ) {
        let mut upload = queued();
        let (mut second, mut requests, mut inits, mut confirmed) = (0, 0, 0, 0);
        let mut picks = picks.into_iter().cycle();
        let mut lost_sessions = 0;
        let mut runs = 1;
        let mut sealed = false;
        while !matches!(upload.step(at(second)), Step::Stop(_) | Step::Done) {
            requests += 1;
            prop_assert!(requests < 4_000, "it does not end: {:?}", upload.state);
            if requests == restart {
                upload = read_back(&upload);
                runs += 1;
            }
            let pick = picks.next().unwrap_or(0);
            let reply = match upload.step(at(second)) {
                Step::Wait(wait) => {
                    second += wait.as_secs() + 1;
                    continue;
                }
                Step::Init => {
                    // A sealed upload may be complete; only its stated end, or a stated standstill, allows another.
                    inits += 1;
                    sealed = false;
                    upload.apply(Reply::Intended(Some(identity())), at(second), 0);
                    if pick < 4 { Reply::Init(Err(Failure::Lost("timeout".into()))) } else { Reply::Init(Ok(session())) }
                }
                Step::Put(chunk) => {
                    prop_assert_eq!(chunk.range().start, upload.confirmed_bytes(), "only the chunk that is due");
                    if chunk.is_last() {
                        upload.apply(Reply::AtGate(Some([7; 32])), at(second), 0);
                        sealed = true;
                    }
                    put_reply(pick)
                }
                Step::Release => put_reply(pick),
                Step::Adopt(_) => Reply::Adopted(Some(Running::default())),
                Step::Rewind(chunks) => {
                    prop_assert!(chunks < upload.confirmed());
                    confirmed = chunks;
                    sealed = false;
                    Reply::Rewound(Some(Running::default()))
                }
                Step::Ask => status_reply(pick),
                Step::Expire(why) => Reply::SessionOver(why),
                Step::Stop(_) | Step::Done => break,
            };
            second += 1;
            if upload.state.name() == "processing" {
                // Its last chunk may be in doubt again.
                confirmed = confirmed.min(upload.confirmed() - 1);
            }
            upload.apply(reply, at(second), 0);
            let new_session = upload.totals.lost_sessions > lost_sessions;
            prop_assert!(upload.confirmed() >= confirmed || new_session || upload.state.name() == "queued");
            prop_assert!(!sealed || upload.state.name() != "uploading", "what was sealed does not open again");
            (confirmed, lost_sessions) = (upload.confirmed(), upload.totals.lost_sessions);
        }
        prop_assert!(inits <= runs * 7, "{} inits in {} runs", inits, runs);
        if upload.state.name() == "delivered" {
            prop_assert!(matches!(upload.step(at(second)), Step::Done));
        }
    }
}

#[test]
fn only_the_journal_and_two_witnesses_move_an_upload() {
    // The header alone, twice, is enough where status never names bytes.
    let mut upload = uploading(2);
    upload.apply(lost(), at(5), 0);
    upload.apply(working(None), at(6), 0);
    for second in [8, 40] {
        assert_eq!(next(&upload, second), "put");
        upload.apply(put(416, Some(30_000_000)), at(second), 0);
        upload.apply(working(None), at(second + 10), 0);
    }
    assert_eq!(
        upload
            .run
            .doubt
            .readings
            .iter()
            .filter(|reading| reading.by == Witness::Header)
            .count(),
        2
    );
    assert_eq!(next(&upload, 60), "adopt");
}
