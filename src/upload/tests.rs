use std::path::Path;

use super::*;
use crate::answer::{Failure, Opened, Refusal, Report};
use crate::clock::BootId;
use crate::secret::Secret;
use crate::tiktok::codes::Code;
use crate::tiktok::{answers, json};
use crate::upload::plan::Limits;
use crate::upload::reconcile::Witness;

mod budgets;
mod gateway;
mod pull;
mod random;
mod rows;
mod time;
mod triples;

const SIZE: u64 = 50_000_123;

fn at(second: u64) -> Now {
    Now {
        wall: Timestamp(1_000_000_000_000 + second * 1000),
        boot: Duration::from_secs(1000 + second),
        boot_id: BootId(7),
    }
}

fn identity() -> Identity {
    Identity {
        device: 1,
        inode: 2,
        size: SIZE,
        mtime_ns: 3,
        ctime_ns: Some(4),
        proves: true,
    }
}

fn queued() -> Upload {
    let key = Key {
        account: "lena".into(),
        api_base: "http://127.0.0.1:1".into(),
        destination: Destination::Inbox,
        video: Video::Size(SIZE),
    };
    Upload::new(key, file("/videos/clip.mp4".as_ref()), true, at(0))
}

fn file(path: &Path) -> Origin {
    Origin::Media {
        address: Address::File(path.to_owned()),
        identity: identity(),
        fingerprint: None,
        content_type: "video/mp4".into(),
        plan: Plan::new(SIZE, &Limits::DOCUMENTED, 10_000_000).expect("legal"),
    }
}

fn session() -> Opened {
    Opened {
        publish_id: "v_inbox_file~v2.1".into(),
        upload_url: Some(Secret::new("https://u/?t=1")),
    }
}

fn put(http_status: u16, progress: Option<u64>) -> Reply {
    let answer = answers::put(http_status, progress, None, false);
    Reply::Put(answer, Some(Running::default()))
}

fn lost() -> Reply {
    Reply::Put(Err(Failure::Lost("reset".into())), None)
}

fn report(word: &str, uploaded_bytes: Option<u64>, fail_reason: Option<&str>) -> Reply {
    Reply::Status(Ok(Report {
        stage: json::stage(word),
        word: word.into(),
        fail_reason: fail_reason.map(str::to_owned),
        uploaded_bytes,
        downloaded_bytes: None,
    }))
}

fn status(word: &str, uploaded_bytes: Option<u64>) -> Reply {
    report(word, uploaded_bytes, None)
}

fn working(uploaded_bytes: Option<u64>) -> Reply {
    status("PROCESSING_UPLOAD", uploaded_bytes)
}

fn refusal(http_status: u16, code: &str) -> Failure {
    answers::failure(Refusal {
        meaning: Code::of(code, http_status).meaning,
        http_status,
        code: code.into(),
        message: String::new(),
        log_id: None,
        retry_after: None,
    })
}

/// An upload with an open session and `confirmed` chunks acknowledged in this run.
fn uploading(confirmed: u32) -> Upload {
    let mut upload = queued();
    upload.apply(Reply::Intended(Some(identity())), at(0), 0);
    upload.apply(Reply::Init(Ok(session())), at(0), 0);
    for _ in 0..confirmed {
        upload.apply(put(206, None), at(1), 0);
    }
    assert_eq!(upload.confirmed(), confirmed);
    upload
}

/// As a later process finds it.
fn read_back(upload: &Upload) -> Upload {
    serde_json::from_slice(&serde_json::to_vec(upload).expect("a row")).expect("the same row")
}

fn sealed() -> Upload {
    let mut upload = uploading(4);
    upload.apply(Reply::AtGate(Some([7; 32])), at(2), 0);
    upload
}

/// What the upload wants to do, in a word.
fn next(upload: &Upload, second: u64) -> &'static str {
    match upload.step(at(second)) {
        Step::Wait(_) => "wait",
        Step::Init => "init",
        Step::Put(_) => "put",
        Step::Release => "release",
        Step::Adopt(_) => "adopt",
        Step::Ask => "ask",
        Step::Expire(_) => "expire",
        Step::Stop(_) => "stop",
        Step::Rewind(_) => "rewind",
        Step::Done => "done",
    }
}

#[test]
fn a_clean_upload_asks_nothing_before_its_end() {
    let mut upload = uploading(0);
    for chunk in 0..4 {
        assert!(matches!(upload.step(at(1)), Step::Put(due) if due.index() == chunk));
        assert!(
            upload
                .apply(put(206, Some(u64::from(chunk + 1) * 10_000_000)), at(1), 0)
                .save
        );
    }
    upload.apply(Reply::AtGate(Some([7; 32])), at(2), 0);
    upload.apply(put(201, Some(SIZE)), at(2), 0);
    assert_eq!(
        (upload.state.name(), next(&upload, 2)),
        ("processing", "ask")
    );
    upload.apply(status("SEND_TO_USER_INBOX", None), at(3), 0);
    assert_eq!(
        (upload.state.name(), next(&upload, 3)),
        ("delivered", "done")
    );
}

#[test]
fn a_row_read_back_is_in_doubt_and_asks_before_it_sends() {
    assert_eq!(next(&read_back(&uploading(2)), 5), "ask");
    assert_eq!(next(&read_back(&sealed()), 5), "ask");
    assert_eq!(
        next(&read_back(&queued()), 5),
        "init",
        "nothing to ask about"
    );
}

#[test]
fn a_silent_or_refusing_status_does_not_keep_the_next_chunk_back() {
    for error in [
        Failure::Lost("timeout".into()),
        Failure::NotSent("refused".into()),
        refusal(401, "access_token_invalid"),
        refusal(429, "rate_limit_exceeded"),
        refusal(500, "internal_error"),
    ] {
        let mut upload = read_back(&uploading(2));
        upload.apply(Reply::Status(Err(error)), at(5), 0);
        assert!(matches!(upload.step(at(5)), Step::Put(chunk) if chunk.index() == 2));
    }
}

#[test]
fn a_chunk_whose_answer_was_lost_is_counted_only_on_two_equal_readings() {
    let mut upload = uploading(2);
    upload.apply(lost(), at(5), 0);
    assert_eq!(next(&upload, 6), "ask");
    upload.apply(working(Some(30_000_000)), at(6), 0);
    assert_eq!((next(&upload, 6), next(&upload, 9)), ("wait", "ask"));
    upload.apply(working(Some(30_000_000)), at(9), 0);
    assert_eq!(next(&upload, 9), "adopt");
    assert!(
        upload
            .apply(Reply::Adopted(Some(Running::default())), at(9), 0)
            .save
    );
    assert!(matches!(upload.step(at(9)), Step::Put(chunk) if chunk.index() == 3));
}

#[test]
fn a_chunk_that_never_left_is_not_counted_whatever_the_service_says() {
    // The answer to the chunk before it has raised the doubt; the fuzzer found what followed.
    let mut upload = uploading(1);
    upload.apply(put(206, Some(30_000_000)), at(5), 0);
    assert_eq!((upload.confirmed(), next(&upload, 5)), (2, "ask"));
    upload.apply(working(Some(30_000_000)), at(6), 0);
    upload.apply(working(Some(30_000_000)), at(9), 0);
    assert_ne!(next(&upload, 9), "adopt");
    assert_eq!(upload.totals.lost_sessions, 1);

    // An earlier process may have died with the chunk on its way.
    let mut found = read_back(&uploading(2));
    found.apply(working(Some(30_000_000)), at(6), 0);
    found.apply(working(Some(30_000_000)), at(9), 0);
    assert_eq!(next(&found, 9), "adopt");
}

#[test]
fn a_416_that_names_the_border_needs_one_question_more() {
    for named in [30_000_000, 29_999_999] {
        let mut upload = uploading(2);
        upload.apply(lost(), at(5), 0);
        upload.apply(working(None), at(6), 0);
        upload.apply(put(416, Some(named)), at(8), 0);
        assert_eq!(next(&upload, 20), "ask");
        upload.apply(working(Some(30_000_000)), at(20), 0);
        assert_eq!(next(&upload, 20), "adopt", "{named}");
    }
}

#[test]
fn a_service_that_neither_tells_nor_takes_costs_two_sessions_and_no_more() {
    let mut upload = uploading(1);
    let (mut inits, mut second) = (1, 10);
    loop {
        second += 70;
        let reply = match upload.step(at(second)) {
            Step::Put(_) => put(416, None),
            Step::Ask => working(None),
            Step::Init => {
                inits += 1;
                upload.apply(Reply::Intended(Some(identity())), at(second), 0);
                Reply::Init(Ok(session()))
            }
            Step::Stop(_) => break,
            step => panic!("{step:?}"),
        };
        upload.apply(reply, at(second), 0);
        assert!(second < 100_000, "it does not end");
    }
    assert_eq!(inits, 3);
    assert_eq!(upload.totals.lost_sessions, 3);
}

#[test]
fn a_dead_url_after_sealing_opens_no_new_session_while_the_video_may_be_complete() {
    for silent in [None, Some(SIZE)] {
        let mut upload = read_back(&sealed());
        upload.apply(working(None), at(5), 0);
        assert_eq!(next(&upload, 5), "put");
        upload.apply(put(404, None), at(5), 0);
        for second in [6, 30, 60, 600] {
            assert_ne!(next(&upload, second), "init");
            upload.apply(working(silent), at(second), 0);
        }
        assert!(matches!(upload.state.name(), "sealed" | "processing"));
        upload.apply(status("SEND_TO_USER_INBOX", None), at(700), 0);
        assert_eq!(upload.state.name(), "delivered");
    }
}

#[test]
fn a_dead_url_after_sealing_is_a_lost_session_once_status_has_stood_still_below_the_end() {
    let mut upload = read_back(&sealed());
    upload.apply(working(Some(40_000_000)), at(5), 0);
    upload.apply(put(403, None), at(5), 0);
    for second in [6, 10, 15, 20] {
        assert_eq!(upload.state.name(), "sealed", "{second}");
        upload.apply(working(Some(40_000_000)), at(second), 0);
    }
    upload.apply(working(Some(40_000_000)), at(25), 0);
    assert_eq!((upload.state.name(), next(&upload, 25)), ("queued", "init"));
}

#[test]
fn an_unknown_publish_id_after_sealing_is_an_unknown_outcome_and_before_it_a_lost_session() {
    let gone = || Reply::Status(Err(refusal(400, "invalid_publish_id")));
    let mut after = read_back(&sealed());
    after.apply(gone(), at(5), 0);
    assert_eq!(after.state.name(), "unknown");
    let mut before = read_back(&uploading(2));
    before.apply(gone(), at(5), 0);
    assert_eq!(before.state.name(), "queued");
}

#[test]
fn another_creators_token_stops_the_run_and_leaves_the_row_alone() {
    let mut upload = read_back(&uploading(2));
    upload.apply(
        Reply::Status(Err(refusal(
            400,
            "token_not_authorized_for_specified_publish_id",
        ))),
        at(5),
        0,
    );
    assert!(matches!(upload.step(at(5)), Step::Stop(Stop::ForeignToken)));
    assert_eq!(upload.confirmed(), 2);
}

#[test]
fn a_deterministic_refusal_of_init_is_not_repeated() {
    for (http_status, code) in [
        (400, "invalid_params"),
        (403, "spam_risk_too_many_pending_share"),
        (401, "access_token_invalid"),
    ] {
        let mut upload = queued();
        upload.apply(Reply::Intended(Some(identity())), at(0), 0);
        upload.apply(Reply::Init(Err(refusal(http_status, code))), at(0), 0);
        assert_eq!(
            (next(&upload, 1), upload.state.name()),
            ("stop", "queued"),
            "{code}"
        );
    }
}

#[test]
fn a_lost_init_is_repeated_twice_and_counted() {
    let mut upload = queued();
    for (round, expected) in [(1, "init"), (2, "init"), (3, "stop")] {
        upload.apply(Reply::Intended(Some(identity())), at(round * 60), 0);
        upload.apply(
            Reply::Init(Err(Failure::Lost("timeout".into()))),
            at(round * 60),
            u64::MAX,
        );
        assert_eq!(next(&upload, round * 60 + 59), expected);
    }
    assert_eq!((upload.totals.inits, upload.totals.lost_inits), (3, 3));
}

#[test]
fn what_another_try_cannot_cure_is_remembered_and_what_it_can_is_not() {
    for (reason, state, wants) in [
        ("file_format_check_failed", "failed", "done"),
        ("never_heard_of", "failed", "done"),
        ("internal", "queued", "init"),
        ("auth_removed", "queued", "stop"),
    ] {
        let mut upload = sealed();
        upload.apply(put(201, None), at(3), 0);
        upload.apply(report("FAILED", None, Some(reason)), at(4), 0);
        assert_eq!(
            (upload.state.name(), next(&upload, 4)),
            (state, wants),
            "{reason}"
        );
    }
}

#[test]
fn a_status_nobody_has_listed_means_patience_up_to_the_deadline() {
    let mut upload = sealed();
    upload.apply(put(201, None), at(3), 0);
    upload.apply(status("SOMETHING_NEW", None), at(4), 0);
    assert_eq!(next(&upload, 60), "ask");
    upload.apply(status("SOMETHING_NEW", None), at(4 + 1800), 0);
    assert_eq!(
        (next(&upload, 4 + 1800), upload.state.name()),
        ("stop", "processing")
    );
}

#[test]
fn an_upload_that_is_handed_over_waits_for_nothing() {
    let mut upload = sealed();
    upload.run.limits.hand_over = true;
    assert_eq!(
        next(&upload, 3),
        "release",
        "not before every byte is there"
    );
    upload.apply(put(201, None), at(3), 0);
    assert_eq!(next(&upload, 3), "done");
}
