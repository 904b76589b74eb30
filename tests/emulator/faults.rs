//! Faults on order do what their script says, and leave a trace.

use crate::client::{INBOX_INIT, TOKEN, Upload, plan, post, sample, sha256, started, try_post};

const CHUNK: u64 = 5_242_880;
const SIZE: u64 = 2 * CHUNK + 7;

#[test]
fn a_cut_chunk_is_seen_by_the_client_and_in_the_log() {
    let emulator = started(&[], &["put chunk=1 nth=1 cut=3MB"]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 2);
    assert_eq!(upload.put(&emulator, 0, CHUNK).status, 206);
    assert!(upload.try_put(&emulator, CHUNK, SIZE).is_err());
    assert_eq!(upload.received(&emulator), CHUNK);
    assert_eq!(upload.put(&emulator, CHUNK, SIZE).status, 201);

    let log = emulator.log();
    let puts = &log.sessions[0].puts;
    let statuses: Vec<_> = puts.iter().map(|put| put.http_status).collect();
    assert_eq!(statuses, [Some(206), None, Some(201)]);
    assert_eq!(puts[1].bytes, 3_000_000);
    assert_eq!(
        puts[1].fault.as_deref(),
        Some("put chunk=1 nth=1 cut=3000000")
    );
    assert_eq!(log.faults.len(), 1);
    assert_eq!(log.faults[0].chunk, Some(1));
    let expected = sha256(&sample(0, SIZE));
    assert_eq!(log.sessions[0].sha256, Some(expected));
}

#[test]
fn a_kept_prefix_counts_exactly_the_bytes_before_the_cut() {
    let set = ["cut_chunk=keep_prefix", "mid_chunk_put=accept"];
    let emulator = started(&set, &["put nth=1 cut=3MB"]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 2);
    assert!(upload.try_put(&emulator, 0, CHUNK).is_err());
    assert_eq!(upload.received(&emulator), 3_000_000);
    assert_eq!(upload.put(&emulator, 3_000_000, CHUNK).status, 206);
    assert_eq!(upload.put(&emulator, CHUNK, SIZE).status, 201);
    let expected = sha256(&sample(0, SIZE));
    assert_eq!(emulator.log().sessions[0].sha256, Some(expected));
}

#[test]
fn a_lost_answer_and_a_stored_5xx_both_leave_the_chunk_counted() {
    for (fault, answered) in [("put nth=1 lose", None), ("put nth=1 store=503", Some(503))] {
        let emulator = started(&[], &[fault]);
        let upload = Upload::init(&emulator, SIZE, CHUNK, 2);
        let answer = upload.try_put(&emulator, 0, CHUNK);
        assert_eq!(answer.ok().map(|answer| answer.status), answered, "{fault}");
        assert_eq!(upload.received(&emulator), CHUNK, "{fault}");
        assert_eq!(upload.put(&emulator, CHUNK, SIZE).status, 201, "{fault}");
    }
}

#[test]
fn a_lost_init_is_a_task_or_none_as_the_switch_says() {
    for (set, inits) in [("lost_init=task", 1), ("lost_init=no_task", 0)] {
        let emulator = started(&[set], &["init nth=1 lose"]);
        let body = plan(1000, 1000, 1);
        assert!(try_post(&emulator, INBOX_INIT, TOKEN, &body).is_err());
        assert_eq!(emulator.log().inits, inits, "{set}");
        assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
    }
}

#[test]
fn a_gateways_page_is_html_and_changes_nothing() {
    let emulator = started(&[], &["put nth=1 status=502 body=html"]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let answer = upload.put(&emulator, 0, 1000);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (502, Some("text/html"))
    );
    assert!(answer.body.starts_with(b"<html>"));
    assert_eq!(upload.put(&emulator, 0, 1000).status, 201);
}

#[test]
fn a_stalled_chunk_does_not_keep_the_next_attempt_out() {
    let emulator = started(&[], &["put nth=1 stall=400"]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let mut stalled = crate::client::Line::open(&emulator);
    upload.put_head(&mut stalled, 0, 1000, &[]);
    stalled.send(&sample(0, 1000)).unwrap();
    crate::transfer::wait_until(|| {
        emulator.log().sessions[0]
            .puts
            .iter()
            .any(|put| put.bytes == 400)
    });
    assert_eq!(upload.put(&emulator, 0, 1000).status, 201);
    assert_eq!(emulator.log().sessions[0].puts[0].http_status, None);
}

#[test]
fn every_fault_of_the_token_endpoint_is_flat_as_its_answers_are() {
    let emulator = started(&[], &["token nth=1 status=503"]);
    let mut line = crate::client::Line::open(&emulator);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", "0"),
    ];
    line.head("POST", "/v2/oauth/token/", &headers);
    let answer = line.answer().unwrap();
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (503, Some("server_error"))
    );
}

#[test]
fn chaos_never_makes_a_patient_client_lose_or_double_a_draft() {
    for seed in 0..4 {
        let emulator = chunkferry::emulator::Emulator::builder()
            .settings({
                let mut settings = chunkferry::emulator::Settings::default();
                settings
                    .set_lines("limits=off\nprocessing_time=0s")
                    .unwrap();
                settings
            })
            .chaos(chunkferry::emulator::Chaos::new(seed, 0.4))
            .start_blocking()
            .unwrap();
        let body = plan(SIZE, CHUNK, 2);
        let upload = loop {
            match try_post(&emulator, INBOX_INIT, TOKEN, &body) {
                Ok(answer) if answer.status == 200 => break Upload::of(&answer, SIZE),
                _ => {}
            }
        };
        loop {
            let first = emulator.log().sessions.last().unwrap().received;
            if first == SIZE {
                break;
            }
            let end = if first == 0 { CHUNK } else { SIZE };
            let _ = upload.try_put(&emulator, first, end);
        }
        let log = emulator.log();
        assert_eq!(log.drafts, 1);
        assert_eq!(
            log.sessions.last().unwrap().sha256,
            Some(sha256(&sample(0, SIZE)))
        );
        assert!(!log.faults.is_empty());
    }
}
