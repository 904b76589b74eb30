//! SIGKILL at any moment: the same command carries on, and nothing that counted is sent again.

use std::time::{Duration, Instant};

use crate::scene::{Scene, Start, accepted, full};

const KILLS: u64 = 20;

#[test]
fn killed_twenty_times_within_one_upload_it_is_still_one_draft() {
    let scene = Scene::new(&[], &[]);
    let size = if full() { 300_000_123 } else { 100_000_123 };
    let file = scene.video("clip.mp4", size);
    let mut random = fastrand::Rng::with_seed(20);
    let mut in_the_middle = 0;
    for kill in 1..=KILLS {
        let mut run = scene.upload(&file, &["--bwlimit", "30MB"]).start();
        // A share of the file for each run, so that all kills land before its end.
        let most = size * kill / (KILLS + 2);
        // Now and then within the opening of the journal; else somewhere within a chunk or two.
        let patience = match kill % 5 {
            0 => random.u64(1..40),
            _ => random.u64(100..if full() { 900 } else { 450 }),
        };
        let until = Instant::now() + Duration::from_millis(patience);
        while let Some(line) = run.line(until.saturating_duration_since(Instant::now())) {
            if line["confirmed"].as_u64() >= Some(most) {
                break;
            }
        }
        assert!(run.kill(), "kill {kill} came too late");
        let log = scene.log();
        let received = log.sessions.last().map_or(0, |session| session.received);
        assert!(received < size, "kill {kill} came after the last byte");
        in_the_middle += u64::from(received > 0);
    }
    assert!(
        in_the_middle >= 10,
        "only {in_the_middle} kills hit a session under way"
    );

    scene.upload(&file, &[]).end().expect(0);
    let session = scene.assert_one_draft_of(&file);
    let log = scene.log();
    // A kill between init's request and its record costs an init; nothing else does.
    let unused = log
        .sessions
        .iter()
        .filter(|session| session.received == 0)
        .count();
    assert_eq!(log.sessions.len(), 1 + unused, "one session took all bytes");
    assert!(unused as u64 <= KILLS);

    let mut firsts = accepted(&session.puts);
    let chunks = session.total_chunk_count.unwrap();
    assert_eq!(
        firsts.len() as u64,
        chunks,
        "each chunk was accepted exactly once"
    );
    firsts.dedup();
    assert_eq!(firsts.len() as u64, chunks);
    let refused = session
        .puts
        .iter()
        .filter(|put| put.http_status == Some(416))
        .count();
    let sent_twice = session.puts.len() - refused - firsts.len();
    assert!(
        sent_twice as u64 <= KILLS,
        "{sent_twice} chunks were sent twice"
    );
}

#[test]
fn a_kill_between_inits_request_and_its_record_costs_one_init_and_no_draft() {
    let scene = Scene::new(&[], &["inbox_init nth=1 delay=400ms"]);
    let file = scene.video("clip.mp4", 1_000_000);
    let run = scene.upload(&file, &[]).start();
    scene.sees("the init", |log| log.requests.init == 1);
    assert!(run.kill());
    scene.sees("a session nobody has a URL of", |log| log.inits == 1);

    let ended = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(ended.outcome()["inits"], 2);
    assert_eq!(scene.log().inits, 2);
    scene.assert_one_draft_of(&file);
}

#[test]
fn killed_while_tiktok_works_on_it_no_byte_is_sent_again() {
    let scene = Scene::new(&["processing_time=2s"], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let mut run = scene.upload(&file, &[]).start();
    run.until("everything was accepted", |line| {
        line["event"] == "processing"
    });
    assert!(run.kill());
    let puts = scene.log().requests.put;

    let ended = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(ended.outcome()["bytes_sent"], 0);
    assert_eq!(scene.log().requests.put, puts);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn killed_before_the_answer_to_the_last_chunk_it_makes_no_second_draft() {
    // The chunk counts, and its answer takes its time.
    let scene = Scene::new(&[], &["put chunk=1 nth=1 lose"]);
    let file = scene.video("clip.mp4", 12_000_000);
    let mut run = scene.upload(&file, &[]).start();
    run.until("the answer was lost", |line| line["event"] == "retry");
    assert!(run.kill());
    let puts = scene.log().requests.put;

    scene.upload(&file, &[]).end().expect(0);
    assert_eq!(
        scene.log().requests.put,
        puts,
        "status told that all is there"
    );
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_command_that_is_stopped_while_its_init_is_on_its_way_keeps_the_session() {
    let scene = Scene::new(&[], &["inbox_init nth=1 delay=2s"]);
    let file = scene.video("clip.mp4", 12_000_000);
    let run = scene.upload(&file, &[]).start();
    scene.sees("the init", |log| log.requests.init == 1);
    run.signal("-INT");
    run.end().expect(130);
    scene.upload(&file, &[]).end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}
