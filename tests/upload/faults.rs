//! What goes wrong on the wire: the bytes arrive once, or the outcome says that they did not.

use std::time::Duration;

use chunkferry::{ErrorKind, Event, Who};

use crate::stage::{CHUNK, Stage, job, run, until_confirmed};

const SIZE: u64 = 3 * CHUNK + 123;

fn retries(events: &[Event]) -> usize {
    events
        .iter()
        .filter(|event| matches!(event, Event::Retry { .. }))
        .count()
}

#[tokio::test]
async fn a_5xx_repeats_the_chunk_it_refused_and_no_other() {
    let stage = Stage::new(&[], &["put chunk=1 nth=1-2 status=503"]);
    let file = stage.video("clip.mp4", SIZE);
    let (draft, events) = run(&stage.engine(), job(&file)).await;
    draft.unwrap();
    assert_eq!(retries(&events), 2);
    assert_eq!(
        stage.puts(),
        [(0, 206), (1, 503), (1, 503), (1, 206), (2, 201)]
    );
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn a_5xx_after_the_chunk_was_stored_does_not_send_it_again() {
    let stage = Stage::new(&[], &["put chunk=1 nth=1 store=502"]);
    let file = stage.video("clip.mp4", SIZE);
    run(&stage.engine(), job(&file)).await.0.unwrap();
    assert_eq!(stage.puts(), [(0, 206), (1, 502), (2, 201)]);
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn a_lost_answer_to_the_last_chunk_is_no_reason_for_another_session() {
    for fault in ["put chunk=2 nth=1 lose", "put chunk=2 nth=1 store=500"] {
        let stage = Stage::new(&[], &[fault]);
        let file = stage.video("clip.mp4", SIZE);
        run(&stage.engine(), job(&file)).await.0.unwrap();
        assert_eq!(stage.log().inits, 1);
        assert_eq!(stage.puts().len(), 3, "{fault}: {:?}", stage.puts());
        stage.assert_one_draft_of(&file);
    }
}

#[tokio::test]
async fn a_reset_in_mid_chunk_costs_that_chunk_alone() {
    for chunk in [0, 1, 2] {
        let fault = format!("put chunk={chunk} nth=1 cut=2MB");
        let stage = Stage::new(&[], &[&fault]);
        let file = stage.video("clip.mp4", SIZE);
        run(&stage.engine(), job(&file)).await.0.unwrap();
        let again = stage.puts().iter().filter(|(put, _)| *put == chunk).count();
        assert_eq!((stage.puts().len(), again), (4, 2), "{:?}", stage.puts());
        assert_eq!(stage.log().inits, 1);
        stage.assert_one_draft_of(&file);
    }
}

/// One chunk is stored and its answer lost; if status is no help, the next PUT is answered 416.
async fn a_lost_answer(unit: &str, header: &str, bytes: &str) {
    let set = [
        format!("progress_unit={unit}"),
        format!("progress_header={header}"),
        format!("status_bytes={bytes}"),
    ];
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let stage = Stage::new(&set, &["put chunk=1 nth=1 lose"]);
    let file = stage.video("clip.mp4", SIZE);
    let (ended, _) = run(&stage.engine(), job(&file)).await;
    let log = stage.log();
    let told = format!("{set:?}: {ended:?}, {:?}", stage.puts());
    match ended {
        Ok(_) => drop(stage.assert_one_draft_of(&file)),
        // Without any witness the sessions are lost, and the error says so.
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Temporary, "{told}");
            assert_eq!(log.drafts, 0, "{told}");
        }
    }
    // If the service reports its progress in any way, however late, the session is kept.
    let witness = header != "never" || bytes != "absent";
    assert!(log.inits == 1 || !witness && log.inits <= 3, "{told}");
}

#[tokio::test]
async fn a_lost_answer_costs_no_session_where_the_service_tells_its_progress_in_any_way() {
    let mut rows = Vec::new();
    for unit in ["count", "last_index"] {
        for header in ["always", "only_416", "never"] {
            for bytes in ["exact", "lagging", "absent"] {
                rows.push(a_lost_answer(unit, header, bytes));
            }
        }
    }
    futures::future::join_all(rows).await;
}

#[tokio::test]
async fn a_416_without_a_word_of_progress_ends() {
    let stage = Stage::new(
        &["progress_header=never", "status_bytes=absent"],
        &["put chunk=1 status=416"],
    );
    let file = stage.video("clip.mp4", SIZE);
    let (ended, _) = run(&stage.engine(), job(&file)).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
    let log = stage.log();
    assert_eq!(
        (log.inits, log.drafts),
        (3, 0),
        "two lost sessions are made up for, and no more"
    );
}

#[tokio::test]
async fn an_init_whose_answer_is_lost_is_repeated_but_not_for_ever() {
    let stage = Stage::new(&[], &["inbox_init nth=1 lose"]);
    let file = stage.video("clip.mp4", SIZE);
    run(&stage.engine(), job(&file)).await.0.unwrap();
    assert_eq!(stage.log().inits, 2);
    stage.assert_one_draft_of(&file);

    let stage = Stage::new(&[], &["inbox_init lose"]);
    let file = stage.video("clip.mp4", SIZE);
    let error = run(&stage.engine(), job(&file)).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
    assert_eq!(stage.log().requests.init, 3);
    assert_eq!(stage.log().requests.put, 0);
}

#[tokio::test]
async fn a_chunk_that_keeps_failing_ends_and_carries_on_later() {
    let stage = Stage::new(&[], &["put chunk=1 nth=1-40 status=400"]);
    let file = stage.video("clip.mp4", SIZE);
    let engine = stage.engine();
    let error = run(&engine, job(&file)).await.0.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Refused,
        "a malformed request is our bug and is never repeated: {error}"
    );
    assert_eq!(stage.puts(), [(0, 206), (1, 400)]);
}

#[tokio::test]
async fn an_expired_url_starts_over_in_a_new_session() {
    for status in ["documented", "405"] {
        let set = format!("dead_url_status={status}");
        let stage = Stage::new(&[&set], &[]);
        let file = stage.video("clip.mp4", SIZE);
        let engine = stage.options().bandwidth(20_000_000).open().unwrap();
        let mut handle = engine.upload(job(&file));
        until_confirmed(&mut handle, CHUNK).await;
        stage.emulator.advance(Duration::from_secs(3601));
        handle.await.unwrap();
        let log = stage.log();
        assert_eq!(log.inits, 2, "{log:#?}");
        stage.assert_one_draft_of(&file);
    }
}

#[tokio::test]
async fn a_session_the_service_forgets_starts_over_but_not_for_ever() {
    let stage = Stage::new(&[], &["put chunk=1 nth=1 drop_session"]);
    let file = stage.video("clip.mp4", SIZE);
    let (draft, events) = run(&stage.engine(), job(&file)).await;
    draft.unwrap();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::SessionLost { .. }))
    );
    assert_eq!(stage.log().inits, 2);
    stage.assert_one_draft_of(&file);

    let stage = Stage::new(&[], &["put chunk=1 drop_session"]);
    let file = stage.video("clip.mp4", SIZE);
    let error = run(&stage.engine(), job(&file)).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
    assert!(error.is_retryable());
    assert_eq!((stage.log().inits, stage.log().drafts), (3, 0));
}

#[tokio::test]
async fn success_under_an_unexpected_code_is_still_success() {
    for set in [
        ["middle_status=201", "last_status=201"],
        ["middle_status=206", "last_status=200"],
        ["middle_status=201", "last_status=206"],
    ] {
        let stage = Stage::new(&set, &[]);
        let file = stage.video("clip.mp4", SIZE);
        run(&stage.engine(), job(&file)).await.0.unwrap();
        assert_eq!(stage.puts().len(), 3, "{set:?}");
        assert_eq!(stage.log().inits, 1, "{set:?}");
        stage.assert_one_draft_of(&file);
    }
}

#[tokio::test]
async fn a_status_that_fails_for_a_while_is_asked_again() {
    let stage = Stage::new(
        &[],
        &[
            "status nth=1 status=500",
            "status nth=2 lose",
            "status nth=3 status=429 retry_after=1",
        ],
    );
    let file = stage.video("clip.mp4", 1_000_000);
    run(&stage.engine(), job(&file)).await.0.unwrap();
    assert_eq!((stage.log().inits, stage.log().requests.put), (1, 1));
}

#[tokio::test]
async fn an_unknown_status_means_still_working() {
    let stage = Stage::new(&["extra_status=PONDERING", "processing_time=2s"], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    run(&stage.engine(), job(&file)).await.0.unwrap();
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn a_publish_id_the_service_has_forgotten_is_an_unknown_outcome_and_no_new_init() {
    let stage = Stage::new(&["processing_time=1h"], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let engine = stage.engine();
    run(&engine, job(&file).hand_over(true)).await.0.unwrap();
    stage.emulator.set("publish_id_ttl", "1s").unwrap();
    stage.emulator.advance(Duration::from_secs(60));
    for _ in 0..2 {
        let error = run(&engine, job(&file)).await.0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
        assert_eq!(error.who_must_act(), Who::Creator);
        assert!(!error.is_retryable());
    }
    assert_eq!(stage.log().inits, 1);
    stage.emulator.set("publish_id_ttl", "forever").unwrap();
    run(&engine, job(&file).again(true).hand_over(true))
        .await
        .0
        .unwrap();
    assert_eq!(stage.log().inits, 2, "the user has decided");
}

#[tokio::test]
async fn a_published_draft_is_as_good_as_a_delivered_one() {
    let stage = Stage::new(&["final_status=PUBLISH_COMPLETE"], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let engine = stage.engine();
    run(&engine, job(&file)).await.0.unwrap();
    let again = run(&engine, job(&file)).await.0.unwrap();
    assert_eq!(again.outcome, chunkferry::Outcome::AlreadyDelivered);
    assert_eq!(stage.log().inits, 1);
}

#[tokio::test]
async fn a_slow_link_is_honoured_for_as_long_as_it_moves() {
    // The chunk takes three times as long as a body may stall.
    let stage = Stage::new(&["body_timeout=1s"], &["put chunk=0 trickle=2MB"]);
    let file = stage.video("clip.mp4", CHUNK + 1_000_000);
    let (draft, events) = run(&stage.engine(), job(&file)).await;
    draft.unwrap();
    assert_eq!(retries(&events), 0);
}
