//! How often is often enough: questions about one doubt, attempts at one thing, and how long each waits.

use super::*;
use crate::account::TokenError;
use crate::upload::retry::{WINDOW, backoff};

const RANDOM: u64 = u64::MAX;

/// Plays a service that says only this, from this second on, until it is asked for something else. The number of
/// questions, and what comes after them.
pub(super) fn questions(
    upload: &mut Upload,
    second: &mut u64,
    says: impl Fn(u64) -> Reply,
) -> (u32, &'static str) {
    let mut asked = 0;
    loop {
        match upload.step(at(*second)) {
            Step::Wait(wait) => *second += wait.as_secs() + 1,
            Step::Ask => {
                asked += 1;
                upload.apply(says(*second), at(*second), 0);
            }
            _ => return (asked, next(upload, *second)),
        }
    }
}

pub(super) fn refused(confirmed: u32, header: Option<u64>) -> Upload {
    let mut upload = uploading(confirmed);
    upload.apply(put(416, header), at(5), 0);
    upload
}

/// How long it waits before anything else.
fn wait(upload: &Upload, second: u64) -> Duration {
    match upload.step(at(second)) {
        Step::Wait(wait) => wait,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_status_that_lags_behind_a_refusal_is_asked_three_times_before_it_is_believed() {
    // What status says each time, then what follows where no header spoke, and where one says the same.
    let rows = [
        ("nothing", None, (3, "init"), None),
        ("the border", Some(20_000_000), (3, "put"), Some((1, "put"))),
        ("less", Some(10_000_000), (3, "rewind"), Some((1, "rewind"))),
        ("inside", Some(24_000_000), (2, "init"), Some((1, "init"))),
        ("more", Some(40_000_000), (2, "init"), Some((1, "init"))),
        (
            "the next border",
            Some(30_000_000),
            (2, "adopt"),
            Some((1, "adopt")),
        ),
    ];
    for (what, bytes, alone, seconded) in rows {
        let ask = |header| {
            let mut upload = refused(2, header);
            upload.run.due_left = true;
            questions(&mut upload, &mut 6, |_| working(bytes))
        };
        assert_eq!(ask(None), alone, "{what}");
        if let Some(seconded) = seconded {
            assert_eq!(ask(bytes), seconded, "{what}");
        }
    }
}

#[test]
fn a_status_that_never_says_the_same_twice_is_asked_five_times() {
    let climbing = |second| working(Some(20_000_001 + second * 1000));
    let mut upload = uploading(2);
    upload.apply(lost(), at(5), 0);
    assert_eq!(questions(&mut upload, &mut 6, climbing), (5, "put"));
    let mut upload = refused(2, None);
    assert_eq!(questions(&mut upload, &mut 6, climbing), (5, "init"));
}

#[test]
fn a_header_alone_gets_the_chunk_sent_again_twice_and_then_costs_the_session() {
    let mut upload = uploading(2);
    let (mut second, mut puts) = (5, 0);
    loop {
        match upload.step(at(second)) {
            Step::Wait(wait) => second += wait.as_secs() + 1,
            Step::Ask => drop(upload.apply(working(None), at(second), 0)),
            Step::Put(_) => {
                puts += 1;
                // Each time another place inside the chunk.
                let inside = Some(20_000_000 + puts * 1_000_000);
                upload.apply(put(416, inside), at(second), 0);
            }
            _ => break,
        }
    }
    assert_eq!((puts, next(&upload, second)), (3, "init"));
}

#[test]
fn questions_about_a_doubt_come_further_and_further_apart() {
    let mut upload = uploading(2);
    upload.apply(lost(), at(5), 0);
    for (asked, second) in [(1, 10), (2, 20), (3, 30)] {
        upload.apply(working(Some(24_000_000 + second)), at(second), 0);
        assert_eq!(wait(&upload, second), Duration::from_millis(1050) * asked);
    }
}

#[test]
fn an_account_at_its_limit_of_inits_is_waited_for_twice_and_then_the_run_ends() {
    for (http_status, code) in [(429, "http_429"), (200, "rate_limit_exceeded")] {
        let mut upload = queued();
        for (round, wants) in [(1, "wait"), (2, "wait"), (3, "stop")] {
            let second = round * 100;
            upload.apply(Reply::Intended(Some(identity())), at(second), 0);
            let reply = Reply::Init(Err(refusal(http_status, code)));
            upload.apply(reply, at(second), 0);
            assert_eq!(next(&upload, second), wants, "{code}, {round}");
            assert_eq!(upload.state.name(), "queued");
            if wants == "wait" {
                assert_eq!(wait(&upload, second), WINDOW);
                assert_eq!(next(&upload, second + 65), "init");
            }
        }
    }
}

#[test]
fn a_lost_init_is_recorded_and_waits_as_long_as_one_that_has_failed_before() {
    let mut upload = queued();
    for lost_before in 0..3 {
        let second = u64::from(lost_before) * 100;
        upload.apply(Reply::Intended(Some(identity())), at(second), 0);
        let lost = Reply::Init(Err(Failure::Lost("reset".into())));
        assert!(upload.apply(lost, at(second), RANDOM).save);
        if lost_before < 2 {
            let expected = backoff(lost_before + 2, RANDOM);
            assert_eq!(wait(&upload, second), expected);
        }
    }
    assert_eq!(next(&upload, 300), "stop");
}

#[test]
fn an_upload_host_that_stays_busy_is_waited_for_five_times() {
    let mut upload = uploading(2);
    for round in 1..=6 {
        let second = round * 100;
        upload.apply(put(429, None), at(second), 0);
        let wants = if round < 6 { "wait" } else { "stop" };
        assert_eq!(next(&upload, second), wants, "{round}");
        assert!(!upload.run.in_doubt, "nothing of it was taken");
    }
}

#[test]
fn a_host_that_says_when_to_come_back_is_not_asked_before() {
    let told = |http_status| {
        let wait = Some(Duration::from_secs(7));
        Reply::Put(answers::put(http_status, None, wait, false), None)
    };
    for http_status in [429, 408, 500, 503] {
        let mut upload = uploading(2);
        upload.apply(told(http_status), at(10), 0);
        assert_eq!(wait(&upload, 10), Duration::from_secs(7), "{http_status}");
    }
    // But not for ever: the patience of the run ends all the same.
    let mut upload = uploading(2);
    for second in 0..7 {
        assert_ne!(next(&upload, second * 100), "stop");
        upload.apply(told(503), at(second * 100), 0);
    }
    assert_eq!(next(&upload, 700), "stop");
}

#[test]
fn the_reason_why_a_run_ends_is_a_sentence() {
    let mut upload = uploading(2);
    for second in 1..8 {
        upload.apply(lost(), at(second * 100), 0);
    }
    let Step::Stop(Stop::Spent(text)) = upload.step(at(700)) else {
        panic!("it goes on");
    };
    assert!(
        text.starts_with("Chunk PUT failed 7 times within 600 s, the last time: "),
        "{text}"
    );
}

#[test]
fn why_a_session_was_lost_is_told_as_what_it_was() {
    for (http_status, why) in [
        (403, "its URL has expired"),
        (401, "its URL is gone"),
        (404, "its URL is gone"),
        (405, "its URL is gone"),
        (410, "its URL is gone"),
    ] {
        let applied = uploading(2).apply(put(http_status, None), at(3400), 0);
        let Some(event::Event::SessionLost { cause }) = applied.event else {
            panic!("{http_status}: {applied:?}");
        };
        assert_eq!(
            (&*cause.to_string(), applied.save),
            (why, true),
            "{http_status}"
        );
    }
}

#[test]
fn a_failure_that_can_be_cured_is_recorded_before_the_run_ends() {
    let mut upload = sealed();
    upload.apply(put(201, None), at(3), 0);
    let failed = report("FAILED", None, Some("auth_removed"));
    assert!(upload.apply(failed, at(4), 0).save);
}

/// Sealed, and its last chunk answered 416.
fn sealed_and_refused(header: Option<u64>) -> Upload {
    let mut upload = sealed();
    upload.apply(put(416, header), at(5), 0);
    upload
}

#[test]
fn after_sealing_too_a_status_that_may_lag_is_asked_three_times() {
    let border = || working(Some(40_000_000));
    let ask = |header| questions(&mut sealed_and_refused(header), &mut 6, |_| border());
    assert_eq!(ask(None), (3, "put"));
    assert_eq!(ask(Some(40_000_000)), (1, "put"));

    let climbing = |second| working(Some(40_000_001 + second * 1000));
    let mut upload = sealed();
    upload.apply(lost(), at(5), 0);
    assert_eq!(questions(&mut upload, &mut 6, climbing), (3, "put"));
}

/// When it opens another session, if status says this from second 10 on, once a second.
fn lost_at(mut upload: Upload, says: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    for second in 10..60 {
        upload.run.not_before = None;
        upload.apply(working(says(second)), at(second), 0);
        match upload.state.name() {
            "sealed" => upload.run.in_doubt = true,
            _ => return Some(second),
        }
    }
    None
}

#[test]
fn only_fifteen_seconds_of_standstill_below_the_end_allow_another_session_after_sealing() {
    let dead = || {
        let mut upload = sealed();
        upload.apply(put(404, None), at(5), 0);
        upload
    };
    for below in [20_000_000, 40_000_000, 44_000_000] {
        assert_eq!(lost_at(dead(), |_| Some(below)), Some(25), "{below}");
    }
    assert_eq!(
        lost_at(dead(), |second| Some(44_000_000 + second)),
        None,
        "it moves"
    );
    let moved = |second| Some(if second == 10 { 43_000_000 } else { 44_000_000 });
    assert_eq!(lost_at(dead(), moved), None, "it has moved since");
    let back = |second| Some(if second == 15 { 43_000_000 } else { 44_000_000 });
    assert_eq!(lost_at(dead(), back), None, "it contradicts itself");
    assert_eq!(
        lost_at(dead(), |_| Some(60_000_000)),
        None,
        "beyond the end"
    );
    assert_eq!(lost_at(dead(), |_| None), None, "nothing is told");
    assert_eq!(
        lost_at(sealed_and_refused(None), |_| Some(44_000_000)),
        Some(25),
        "refused, but not dead"
    );
}

#[test]
fn the_last_chunk_is_not_sent_again_while_status_can_still_tell() {
    let inside = Some(44_000_000);
    for (header, says) in [(None, None), (None, inside), (inside, inside)] {
        let mut upload = sealed_and_refused(header);
        for second in 6..20 {
            upload.run.not_before = None;
            assert_eq!(next(&upload, second), "ask", "{header:?} {says:?}");
            upload.apply(working(says), at(second), 0);
        }
    }
}

#[test]
fn where_status_tells_no_number_the_last_chunk_is_sent_until_its_refusals_have_stood_still() {
    let mut upload = sealed();
    let (mut second, mut puts) = (100, Vec::new());
    while upload.state.name() == "sealed" {
        match upload.step(at(second)) {
            Step::Wait(wait) => second += wait.as_secs().max(1),
            Step::Put(_) | Step::Release => {
                puts.push(second);
                upload.apply(put(416, Some(44_000_000)), at(second), 0);
            }
            Step::Ask => drop(upload.apply(working(None), at(second), 0)),
            step => panic!("{step:?}"),
        }
        assert!(second < 200, "it does not end");
    }
    assert_eq!(puts, [100, 106, 112, 118]);
    assert_eq!(next(&upload, second), "init");
}

#[test]
fn a_url_that_is_dead_and_a_status_without_a_number_is_followed_and_never_sent_to() {
    let mut upload = sealed_and_refused(Some(44_000_000));
    upload.apply(put(404, None), at(6), 0);
    for second in 7..30 {
        upload.apply(working(None), at(second), 0);
        assert_eq!(
            (next(&upload, second), upload.state.name()),
            ("wait", "sealed")
        );
    }
}

#[test]
fn the_wait_for_the_video_grows_to_ten_seconds_and_ends_on_the_second() {
    let mut upload = sealed();
    upload.apply(put(201, None), at(0), 0);
    for asked in 0..9 {
        upload.apply(working(None), at(10), 0);
        assert_eq!(wait(&upload, 10), retry::poll_interval(asked));
    }
    upload.apply(working(None), at(10 + 1797), 0);
    assert_eq!(wait(&upload, 10 + 1797), Duration::from_secs(3));
}

#[test]
fn who_waits_in_vain_is_told_for_what() {
    let mut processing = sealed();
    processing.apply(put(201, None), at(3), 0);
    let mut dead = sealed();
    dead.apply(put(404, None), at(3), 0);
    for (mut upload, told) in [
        (processing, "Every byte is at the service"),
        (dead, "the last bytes"),
    ] {
        for second in [10, 1810] {
            upload.apply(working(None), at(second), 0);
        }
        let Step::Stop(Stop::Spent(text)) = upload.step(at(1810)) else {
            panic!("it goes on");
        };
        assert!(
            text.contains(told) && text.contains("after 1800 s"),
            "{text}"
        );
    }
}

#[test]
fn an_init_that_lacks_a_token_for_now_is_tried_until_patience_ends_and_one_that_lacks_it_for_good_once()
 {
    for temporary in [true, false] {
        let mut upload = queued();
        for second in [0, 300, 599, 600] {
            let error = match temporary {
                true => TokenError::temporary("the endpoint answered 503"),
                false => "log in again".into(),
            };
            let reply = Reply::Init(Err(Failure::Token(error)));
            assert!(upload.apply(reply, at(second), 0).save);
            assert_eq!(upload.state.name(), "queued");
            let ends = second == 600 || !temporary;
            assert_eq!(next(&upload, second) == "stop", ends, "{second}");
        }
        match upload.step(at(600)) {
            Step::Stop(Stop::Spent(text)) => assert!(temporary && text.contains("503"), "{text}"),
            Step::Stop(Stop::NoToken(text, _)) => {
                assert_eq!((temporary, &*text), (false, "log in again"))
            }
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn a_status_that_is_not_answered_is_asked_for_so_long_and_an_answer_begins_that_anew() {
    let errors: [fn() -> Failure; 4] = [
        || Failure::Lost("timeout".into()),
        || Failure::NotSent("refused".into()),
        || Failure::Token(TokenError::temporary("503")),
        || refusal(500, "internal_error"),
    ];
    for error in errors {
        let mut upload = sealed();
        upload.apply(put(201, None), at(3), 0);
        for (second, answered) in [
            (100, false),
            (699, false),
            (699, true),
            (800, false),
            (1399, false),
            (1400, false),
        ] {
            assert_ne!(next(&upload, second), "stop", "{} {second}", error());
            let reply = if answered {
                working(None)
            } else {
                Reply::Status(Err(error()))
            };
            upload.apply(reply, at(second), 0);
        }
        assert_eq!(
            (next(&upload, 1400), upload.state.name()),
            ("stop", "processing")
        );
    }
    let mut upload = sealed();
    upload.apply(put(201, None), at(3), 0);
    for round in 1..=6 {
        upload.apply(
            Reply::Status(Err(refusal(429, "rate_limit_exceeded"))),
            at(100),
            0,
        );
        assert_eq!(next(&upload, 300) == "stop", round == 6, "{round}");
    }
}

#[test]
fn an_outage_of_nine_minutes_in_mid_upload_costs_neither_the_run_nor_the_session() {
    let mut upload = uploading(2);
    let mut second = 100;
    while second < 100 + 9 * 60 {
        match upload.step(at(second)) {
            Step::Wait(wait) => second += wait.as_secs() + 1,
            Step::Ask => drop(upload.apply(
                Reply::Status(Err(Failure::NotSent("unreachable".into()))),
                at(second),
                0,
            )),
            Step::Put(_) => drop(upload.apply(
                Reply::Put(Err(Failure::NotSent("unreachable".into())), None),
                at(second),
                0,
            )),
            step => panic!("{step:?} after {second} s"),
        }
    }
    assert_eq!(
        (upload.state.name(), upload.totals.lost_sessions),
        ("uploading", 0)
    );
}

#[test]
fn a_status_that_is_refused_for_good_ends_the_run_where_no_chunk_can_stand_in_for_it() {
    let refused_too = || Reply::Status(Err(refusal(401, "access_token_invalid")));
    let mut processing = sealed();
    processing.apply(put(201, None), at(3), 0);
    let mut dead = sealed();
    dead.apply(put(404, None), at(3), 0);
    for mut upload in [processing, dead, refused(2, None), sealed_and_refused(None)] {
        let before = upload.state.name();
        upload.apply(refused_too(), at(10), 0);
        assert_eq!((next(&upload, 100), upload.state.name()), ("stop", before));
    }
    let mut unknown = refused(2, None);
    unknown.apply(
        Reply::Status(Err(refusal(400, "invalid_publish_id"))),
        at(10),
        0,
    );
    assert_eq!(next(&unknown, 100), "init");
}
