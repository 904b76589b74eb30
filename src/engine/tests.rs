//! Whole uploads whose journal is a store in memory, which several engines share as processes share a database.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::emulator::{Emulator, Settings};
use crate::journal::{MemoryStore, ProgressStore};
use crate::source::LAST_PIECE;
use crate::{ErrorKind, Event, Job, Ledger, Options, Outcome};

const LEASE: Duration = Duration::from_secs(30);
const CHUNK: u64 = 5 << 20;

fn emulator() -> Emulator {
    let mut settings = Settings::default();
    settings.set("processing_time", "0s").expect("a setting");
    let emulator = Emulator::builder().settings(settings).start_blocking();
    emulator.expect("started")
}

fn options(emulator: &Emulator) -> Options {
    Options::new("no directory is used").api_base(&emulator.url())
}

fn job(path: &Path) -> Job {
    let job = Job::file(path).account("lena", "act.lena.1");
    job.content_type("video/mp4").chunk_size(CHUNK)
}

fn video(dir: &Path, size: u64) -> std::path::PathBuf {
    let path = dir.join("clip.mp4");
    let bytes: Vec<u8> = (0..size).map(|at| (at * at % 251) as u8).collect();
    fs::write(&path, bytes).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_needs_of_a_store_only_what_its_trait_says() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 3 * CHUNK + 7);
    let store = Arc::new(MemoryStore::new(LEASE));
    let journal = Arc::clone(&store) as Arc<dyn ProgressStore>;
    let engine = options(&emulator).open_on(journal).expect("opened");
    for (ledger, outcome) in [
        (Ledger::On, Outcome::Delivered),
        (Ledger::On, Outcome::AlreadyDelivered),
    ] {
        let draft = engine.upload(job(&path).ledger(ledger)).await;
        assert_eq!(draft.expect("a draft").outcome, outcome);
    }
    assert!(emulator.review().is_empty(), "{:?}", emulator.review());
    let again = engine.upload(job(&path).again(true)).await;
    assert_eq!(again.expect("a draft").outcome, Outcome::Delivered);
    assert_eq!(emulator.log().drafts, 2);
    let records = engine.records().await.expect("records");
    let states: Vec<&str> = records.iter().map(|record| &*record.state).collect();
    assert_eq!(states, ["delivered", "delivered"]);
    engine.forget(&records[0].id).await.expect("forgotten");
    assert_eq!(engine.records().await.expect("records").len(), 1);
    drop(store);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_video_the_second_waits_and_finds_it_delivered() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 2 * CHUNK);
    let store = MemoryStore::new(LEASE);
    let other = Arc::new(store.another_owner());
    // It takes two seconds, in which the other one finds the video reserved.
    let slow = options(&emulator).bandwidth(CHUNK);
    let first = slow.open_on(Arc::new(store)).expect("opened");
    let second = options(&emulator).open_on(other).expect("opened");
    let mut first = first.upload(job(&path));
    while !matches!(first.event().await, Some(Event::Planned { .. })) {}
    let (second, mut events) = second.upload(job(&path)).split();
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.expect("a draft").outcome, Outcome::Delivered);
    assert_eq!(second.expect("a draft").outcome, Outcome::AlreadyDelivered);
    let mut waited = false;
    while let Some(event) = events.event().await {
        waited |= matches!(event, Event::Queued { .. });
    }
    assert!(waited, "or nothing was tested");
    assert_eq!(emulator.log().drafts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_its_lease_stops_and_the_next_one_carries_on_in_its_session() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 4 * CHUNK);
    let store = MemoryStore::new(LEASE);
    let clock = store.clock().clone();
    let other = Arc::new(store.another_owner());
    let slow = options(&emulator).bandwidth(CHUNK);
    let stuck = slow.open_on(Arc::new(store)).expect("opened");
    let next = options(&emulator).open_on(other).expect("opened");
    let stuck = stuck.upload(job(&path));
    while stuck.progress().confirmed < CHUNK {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    clock.advance(LEASE);
    let draft = next.upload(job(&path)).await.expect("a draft");
    assert_eq!(draft.outcome, Outcome::Delivered);
    let error = stuck.await.expect_err("its lease was over");
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
    assert!(error.to_string().contains("taken over"), "{error}");
    let log = emulator.log();
    assert_eq!((log.drafts, log.sessions.len()), (1, 1));
}

/// Waits until this chunk is on its way, and most of what may leave of it has been read.
async fn until_held(emulator: &Emulator, chunk: usize) {
    for _ in 0..1_000 {
        let log = emulator.log();
        let session = log.sessions.first();
        let put = session.and_then(|session| session.puts.get(chunk));
        // What is noted of a chunk that is on its way lags behind by some pieces.
        if put.is_some_and(|put| put.open && put.bytes >= CHUNK - 2 * LAST_PIECE) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", emulator.log().sessions);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_chunk_is_sent_beside_a_record_and_its_last_piece_waits_for_it() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 3 * CHUNK);
    let store = Arc::new(MemoryStore::new(LEASE));
    // That of the session; the record of the first chunk has to wait.
    store.hold_saves_after(1);
    let journal = Arc::clone(&store) as Arc<dyn ProgressStore>;
    let engine = options(&emulator).open_on(journal).expect("opened");
    let upload = engine.upload(job(&path));
    until_held(&emulator, 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = emulator.log();
    let puts = &log.sessions[0].puts;
    assert_eq!((puts.len(), log.sessions[0].received), (2, CHUNK));
    assert!(puts[1].bytes <= CHUNK - LAST_PIECE, "nothing more leaves");
    let progress = upload.progress();
    assert_eq!(progress.sent, 2 * CHUNK - LAST_PIECE, "nor less");
    assert_eq!(progress.confirmed, 0, "nothing is recorded");
    store.hold_saves_after(1_000);
    let draft = upload.await.expect("a draft");
    assert_eq!(draft.outcome, Outcome::Delivered);
    assert_eq!(emulator.log().sessions[0].puts.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_takes_longer_than_the_service_waits_costs_the_chunk_after_it() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 3 * CHUNK);
    let store = Arc::new(MemoryStore::new(LEASE));
    store.hold_saves_after(1);
    let journal = Arc::clone(&store) as Arc<dyn ProgressStore>;
    let engine = options(&emulator).open_on(journal).expect("opened");
    let upload = engine.upload(job(&path));
    until_held(&emulator, 1).await;
    while emulator.log().sessions[0].puts[1].open {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(emulator.log().sessions[0].puts.len(), 2, "nothing is sent");
    store.hold_saves_after(1_000);
    let draft = upload.await.expect("a draft");
    assert_eq!(draft.outcome, Outcome::Delivered);
    let log = emulator.log();
    let firsts: Vec<_> = log.sessions[0].puts.iter().map(|put| put.first).collect();
    let chunks = [0, 1, 1, 2].map(|chunk| Some(chunk * CHUNK));
    assert_eq!((firsts, log.drafts), (chunks.to_vec(), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_before_a_record_is_durable_sends_no_more_than_two_chunks_again() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 4 * CHUNK);
    let store = MemoryStore::new(LEASE);
    let other = Arc::new(store.another_owner());
    let clock = store.clock().clone();
    store.hold_saves_after(2);
    let dying = options(&emulator).open_on(Arc::new(store));
    let dying = dying.expect("opened").upload(job(&path));
    until_held(&emulator, 2).await;
    drop(dying);
    clock.advance(LEASE);
    other.hold_saves_after(1_000);
    let next = options(&emulator).open_on(other).expect("opened");
    let draft = next.upload(job(&path)).await.expect("a draft");
    assert_eq!(draft.outcome, Outcome::Delivered);
    let log = emulator.log();
    let sent: u64 = log.sessions[0].puts.iter().map(|put| put.bytes).sum();
    assert!(sent <= 6 * CHUNK, "{:?}", log.sessions[0].puts);
    assert_eq!((log.drafts, log.sessions.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_stopped_leaves_its_video_and_its_row_to_the_next_process_at_once() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 4 * CHUNK);
    let store = MemoryStore::new(LEASE);
    let other = Arc::new(store.another_owner());
    let slow = options(&emulator).bandwidth(CHUNK);
    let first = slow.open_on(Arc::new(store)).expect("opened");
    let next = options(&emulator).open_on(other).expect("opened");
    let stopped = first.upload(job(&path));
    while stopped.progress().confirmed < CHUNK {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(stopped);
    let draft = tokio::time::timeout(LEASE / 2, next.upload(job(&path))).await;
    let draft = draft.expect("the leases were given back");
    assert_eq!(draft.expect("a draft").outcome, Outcome::Delivered);
    let log = emulator.log();
    assert_eq!((log.drafts, log.sessions.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_rate_counts_for_the_chunk_in_flight_which_is_not_cut() {
    let (emulator, dir) = (emulator(), tempfile::tempdir().expect("a directory"));
    let path = video(dir.path(), 3 * CHUNK);
    let store = Arc::new(MemoryStore::new(LEASE));
    // A chunk alone would take more than an hour.
    let slow = options(&emulator).bandwidth(1_000);
    let engine = slow.open_on(store).expect("opened");
    let job = job(&path).ignore_forecast(true);
    let upload = engine.upload(job);
    while upload.progress().sent == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = engine.set_bandwidth(Some(999)).expect_err("of no use");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    engine.set_bandwidth(None).expect("set");
    let (upload, watcher) = upload.split();
    assert_eq!(upload.await.expect("a draft").outcome, Outcome::Delivered);
    let progress = watcher.progress();
    assert_eq!((progress.bytes_sent, progress.bytes_resent), (3 * CHUNK, 0));
    assert_eq!(emulator.log().sessions[0].puts.len(), 3);
    // The next one begins at the rate that holds by then.
    engine.set_bandwidth(Some(1_000)).expect("set");
    let path = video(dir.path(), 4 * CHUNK);
    let refused = engine.upload(self::job(&path)).await;
    let error = refused.expect_err("it takes too long");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}
