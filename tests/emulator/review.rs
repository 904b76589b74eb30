//! The review finds what a client did wrong, and nothing in a client that did well.

use crate::client::{INBOX_INIT, Line, STATUS, TOKEN, Upload, plan, post, started};
use chunkferry::emulator::Emulator;
use serde_json::json;

const CHUNK: u64 = 5_242_880;

fn rules(emulator: &Emulator) -> Vec<String> {
    emulator
        .review()
        .into_iter()
        .map(|finding| finding.rule)
        .collect()
}

#[test]
fn a_client_that_does_well_is_left_in_peace() {
    let emulator = started(&[], &["put nth=2 status=503", "put nth=4 lose"]);
    let upload = Upload::init(&emulator, 3 * CHUNK, CHUNK, 3);
    assert_eq!(upload.put(&emulator, 0, CHUNK).status, 206);
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 503);
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 206);
    assert!(upload.try_put(&emulator, 2 * CHUNK, 3 * CHUNK).is_err());
    assert_eq!(upload.status(&emulator)["status"], "SEND_TO_USER_INBOX");
    assert_eq!(emulator.review(), []);
}

#[test]
fn a_token_given_to_the_upload_host_is_found_once() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 2 * CHUNK, CHUNK, 2);
    for (first, end) in [(0, CHUNK), (CHUNK, 2 * CHUNK)] {
        let mut line = Line::open(&emulator);
        upload.put_head(
            &mut line,
            first,
            end,
            &[("authorization", "Bearer act.lena.1")],
        );
        line.send(&crate::client::sample(first, end)).unwrap();
        assert!(line.answer().unwrap().status < 300);
    }
    assert_eq!(rules(&emulator), ["bearer_on_put"]);
}

#[test]
fn a_plan_that_hangs_on_one_reading_of_mb_is_found() {
    let set = [
        "max_chunk=67108864",
        "max_last_chunk=134217728",
        "limits=off",
    ];
    let emulator = started(&set, &[]);
    let body = plan(67_108_864, 67_108_864, 1);
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
    assert_eq!(rules(&emulator)[0], "plan_legal_under_one_reading");
}

#[test]
fn a_blind_repeat_of_416_is_found_and_one_that_asked_is_not() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 2 * CHUNK, CHUNK, 2);
    upload.put(&emulator, CHUNK, 2 * CHUNK);
    upload.status(&emulator);
    upload.put(&emulator, CHUNK, 2 * CHUNK);
    assert!(!rules(&emulator).contains(&"blind_repeat_of_416".to_owned()));
    upload.put(&emulator, CHUNK, 2 * CHUNK);
    assert!(rules(&emulator).contains(&"blind_repeat_of_416".to_owned()));
}

#[test]
fn a_repeat_of_a_refused_init_is_found() {
    let emulator = started(&[], &[]);
    for _ in 0..2 {
        post(
            &emulator,
            INBOX_INIT,
            TOKEN,
            &plan(50_000_123, 10_000_000, 6),
        );
    }
    assert_eq!(rules(&emulator), ["repeat_of_refused_init"]);
}

#[test]
fn a_second_draft_of_the_same_bytes_is_found_even_before_it_is_whole() {
    let emulator = started(&[], &[]);
    let first = Upload::init(&emulator, 2 * CHUNK, CHUNK, 2);
    first.put(&emulator, 0, CHUNK);
    first.put(&emulator, CHUNK, 2 * CHUNK);
    let second = Upload::init(&emulator, 2 * CHUNK, CHUNK, 2);
    second.put(&emulator, 0, CHUNK);
    assert_eq!(
        rules(&emulator),
        ["session_abandoned", "second_init_for_equal_bytes"]
    );
}

#[test]
fn a_new_init_after_a_dead_url_is_no_second_one() {
    let emulator = started(&[], &["put upload=1 chunk=1 expire_url"]);
    let first = Upload::init(&emulator, 2 * CHUNK, CHUNK, 2);
    first.put(&emulator, 0, CHUNK);
    assert_eq!(first.put(&emulator, CHUNK, 2 * CHUNK).status, 403);
    let second = Upload::init(&emulator, 2 * CHUNK, CHUNK, 2);
    second.put(&emulator, 0, CHUNK);
    second.put(&emulator, CHUNK, 2 * CHUNK);
    assert_eq!(emulator.review(), []);
}

#[test]
fn polling_too_often_and_leaving_an_upload_behind_are_found() {
    let emulator = started(&["status_per_minute=1"], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let body = json!({"publish_id": upload.publish_id});
    post(&emulator, STATUS, TOKEN, &body);
    post(&emulator, STATUS, TOKEN, &body);
    assert_eq!(
        rules(&emulator),
        ["status_over_30_a_minute", "session_abandoned"]
    );
}

#[test]
fn what_a_lost_answer_hid_is_no_fault_of_the_client() {
    for fault in ["init nth=1 lose", "init nth=1 store=500"] {
        let emulator = started(&[], &[fault]);
        let first = crate::client::try_post(&emulator, INBOX_INIT, TOKEN, &plan(1000, 1000, 1));
        assert!(first.is_err() || first.unwrap().status == 500);
        let upload = Upload::init(&emulator, 1000, 1000, 1);
        upload.put(&emulator, 0, 1000);
        assert_eq!(emulator.review(), [], "{fault}");
        let orphans: Vec<bool> = emulator
            .log()
            .sessions
            .iter()
            .map(|one| one.orphan)
            .collect();
        assert_eq!(orphans, [true, false]);
    }
}

#[test]
fn sending_anew_what_failed_is_no_second_draft() {
    let emulator = started(&["fail_reason=internal"], &[]);
    for _ in 0..2 {
        Upload::init(&emulator, 1000, 1000, 1).put(&emulator, 0, 1000);
    }
    assert_eq!(emulator.review(), []);
}

#[test]
fn a_token_that_is_its_own_creator_shows_nowhere() {
    let secret = "plain-secret-token";
    let set = [
        "max_chunk=67108864",
        "status_per_minute=0",
        "init_per_minute=9",
    ];
    let emulator = started(&set, &["put nth=1 reset"]);
    for _ in 0..2 {
        post(&emulator, INBOX_INIT, secret, &plan(1000, 1000, 2));
    }
    post(
        &emulator,
        INBOX_INIT,
        secret,
        &plan(67_108_864, 67_108_864, 1),
    );
    let upload = Upload::init_for(&emulator, secret, 1000);
    post(
        &emulator,
        STATUS,
        secret,
        &json!({"publish_id": upload.publish_id}),
    );
    assert!(upload.try_put(&emulator, 0, 1000).is_err());
    let told = format!("{:?}{:?}", emulator.log(), emulator.review());
    assert!(told.contains("plan_legal_under_one_reading") && told.contains("status_over"));
    assert!(!told.contains(secret), "{told}");
}
