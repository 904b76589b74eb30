//! What one more chunk takes from the allocator: its bytes go from the pool's buffers to the socket, so it is a small fraction
//! of the chunk, and a copy of each piece, or one more allocation for it, would show at once.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

use std::alloc::System;
use std::fs::File;
use std::path::Path;

use chunkferry::{Engine, Job, Ledger, Options};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CHUNK: u64 = 10_000_000;
const CHUNKS: u64 = 12;

/// Allocations of one upload of so many chunks, and their bytes.
async fn upload(engine: &Engine, dir: &Path, chunks: u64, ledger: Ledger) -> (f64, f64) {
    let path = dir.join("clip.mp4");
    File::create(&path)
        .unwrap()
        .set_len(chunks * CHUNK)
        .unwrap();
    let job = Job::file(&path)
        .account("lena", "act.lena.1")
        .content_type("video/mp4")
        .chunk_size(CHUNK)
        .ledger(ledger)
        .again(true);
    let region = Region::new(ALLOCATOR);
    engine.upload(job).await.unwrap();
    let change = region.change();
    let count = change.allocations + change.reallocations;
    let grown = change.bytes_reallocated.max(0) as usize;
    (count as f64, (change.bytes_allocated + grown) as f64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_chunk_costs_few_allocations_and_no_copy_of_it() {
    // In another process, or its allocations would count.
    let sink = support::emulator([
        "--sink",
        "--set",
        "limits=off",
        "--set",
        "processing_time=0s",
    ]);
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(dir.path().join("state")).api_base(sink.url());
    let engine = options.open().unwrap();
    // Fills the pool, and whatever else is made once.
    upload(&engine, dir.path(), CHUNKS, Ledger::On).await;
    for (ledger, most_count, most_bytes) in [
        (Ledger::On, 250.0, 110_000.0),
        (Ledger::Off, 220.0, 65_000.0),
    ] {
        let few = upload(&engine, dir.path(), CHUNKS, ledger).await;
        let more = upload(&engine, dir.path(), 2 * CHUNKS, ledger).await;
        let per_chunk = |few: f64, more: f64| (more - few) / CHUNKS as f64;
        let (count, bytes) = (per_chunk(few.0, more.0), per_chunk(few.1, more.1));
        println!("ledger {ledger:?}: one more chunk is {count:.0} allocations, {bytes:.0} bytes");
        assert!(
            count <= most_count && bytes <= most_bytes,
            "{ledger:?}: {count} allocations, {bytes} bytes"
        );
    }
    let log = sink.client().log().unwrap();
    assert_eq!(log.drafts, 5);
    let puts = log.sessions.iter().map(|session| session.puts.len() as u64);
    assert_eq!(
        puts.sum::<u64>(),
        7 * CHUNKS,
        "or something else was measured"
    );
}
