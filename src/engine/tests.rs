//! Whole uploads whose journal is a store in memory, which several engines share as processes share a database.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::emulator::{Emulator, Settings};
use crate::journal::{MemoryStore, ProgressStore};
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
    let mut first = first.submit(job(&path));
    while !matches!(first.event().await, Some(Event::Planned { .. })) {}
    let (second, mut events) = second.submit(job(&path)).split();
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
    let stuck = stuck.submit(job(&path));
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
