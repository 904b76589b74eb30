//! More uploads than windows: many queued jobs of many accounts, at documented rates, on a clock that runs faster for both
//! sides.

#![cfg(all(target_os = "linux", feature = "cli", debug_assertions))]

use std::collections::HashMap;

use chunkferry::{Engine, Job, Options};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::{support, video};

/// How many times faster an hour passes.
const SCALE: u32 = 20;

/// Uploads, accounts, and uploads in flight.
fn sizes() -> (usize, usize, usize) {
    match std::env::var_os("CHUNKFERRY_FULL") {
        Some(set) if !set.is_empty() => (1000, 20, 64),
        _ => (48, 4, 16),
    }
}

#[test]
fn queued_uploads_of_many_accounts_all_arrive_within_the_windows_and_none_starves() {
    crate::stage::with_scaled_clocks("load::fleet", SCALE);
}

/// The memory this process holds, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.unwrap().trim().trim_end_matches(" kB");
    line.parse().unwrap()
}

#[ignore = "run by the test above, in a process of its own whose time passes faster"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet() {
    let (uploads, accounts, in_flight) = sizes();
    let clock = format!("clock={SCALE}x");
    let server = support::emulator(["--set", &clock, "--set", "pending_cap=10000"]);
    let dir = tempfile::tempdir().unwrap();
    let files = uploads / accounts;
    for file in 0..files {
        let (path, size) = (
            dir.path().join(format!("{file}.mp4")),
            6_000_000 + file as u64,
        );
        video::write(&path, size, size);
    }
    let options = Options::new(dir.path().join("state")).api_base(server.url());
    let engine: Engine = options.jobs(in_flight).open().unwrap();

    // The worst order there is: all jobs of one account before the first of the next.
    let jobs = (0..uploads).map(|number| {
        let (account, file) = (number / files, number % files);
        let job = Job::file(dir.path().join(format!("{file}.mp4")));
        let job = job.account(
            &format!("creator{account}"),
            format!("act.creator{account}.1"),
        );
        let handle = engine.upload(job);
        async move { (account, handle.await) }
    });
    let mut running: FuturesUnordered<_> = jobs.collect();
    let (mut ended, mut memories) = (Vec::new(), Vec::new());
    while let Some((account, result)) = running.next().await {
        result.unwrap();
        ended.push(account);
        if ended.len() % (uploads / 8) == 0 {
            memories.push(memory());
        }
    }

    let log = server.client().log().unwrap();
    assert_eq!((log.drafts, log.inits), (uploads as u64, uploads as u64));
    let refused = log.requests.init - log.inits;
    let mut half: HashMap<usize, usize> = HashMap::new();
    for account in &ended[..uploads / 2] {
        *half.entry(*account).or_default() += 1;
    }
    let fair = uploads / 2 / accounts;
    let (least, most) = (half.values().min(), half.values().max());
    println!(
        "{uploads} uploads, {accounts} accounts, {in_flight} in flight: {} delivered, {refused} inits refused, \
         {} status questions; half way each account had {least:?} to {most:?} of them; memory by eighths, KiB: {memories:?}",
        log.drafts, log.requests.status
    );
    assert_eq!(refused, 0, "a window was overrun");
    assert_eq!(half.len(), accounts, "an account waited for all others");
    assert!(*least.unwrap() * 2 >= fair, "{half:?}");
    let (first, last) = (memories[1], memories[memories.len() - 1]);
    assert!(
        last < first + first / 4,
        "memory grows with what was done: {memories:?}"
    );
}
