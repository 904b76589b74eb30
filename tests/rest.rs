//! An engine with nothing to do: it takes no time of the processor, and holds no more memory than before its work.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use chunkferry::{Engine, Job, Options};
use rustix::time::{ClockId, clock_gettime};

const UPLOADS: u64 = 64;

/// CPU time of this process, all threads of it.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time within two seconds of nothing.
async fn idle() -> Duration {
    let before = cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    cpu() - before
}

/// The memory this process holds, in MiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.unwrap().trim().trim_end_matches(" kB");
    line.parse::<u64>().unwrap() / 1024
}

/// All at once.
async fn uploads(engine: &Engine, dir: &Path, round: u64) {
    let jobs = (0..UPLOADS).map(|number| {
        let path = dir.join(format!("{round}-{number}.mp4"));
        // Of one size they would go one after another, as they might be the same.
        let size = 6_000_000 + round * UPLOADS + number;
        File::create(&path).unwrap().set_len(size).unwrap();
        let name = format!("creator{number}");
        let job = Job::file(path).account(&name, format!("act.{name}.1"));
        engine.upload(job.content_type("video/mp4"))
    });
    for handle in jobs.collect::<Vec<_>>() {
        handle.await.unwrap();
    }
}

/// One test, as each part of it counts what the whole process does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_at_rest_takes_no_cpu_and_does_not_keep_what_many_uploads_needed() {
    let sink = support::emulator([
        "--sink",
        "--set",
        "limits=off",
        "--set",
        "processing_time=0s",
    ]);
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(dir.path().join("state")).api_base(sink.url());
    // Held back by the rate, each upload has as much on its way as it ever has.
    let options = options.jobs(UPLOADS as usize).bandwidth(150_000_000);
    let engine = options.open().unwrap();
    let mut rests = vec![idle().await];
    let mut memories = vec![memory()];
    for round in 0..3 {
        uploads(&engine, dir.path(), round).await;
        rests.push(idle().await);
        memories.push(memory());
    }
    println!(
        "each 2 s of rest took {rests:?} of CPU, {memories:?} MiB were held: fresh, and after {UPLOADS} uploads at once"
    );
    assert_eq!(sink.client().log().unwrap().drafts, 3 * UPLOADS);
    let most = Duration::from_millis(40);
    assert!(rests.iter().all(|rest| *rest < most), "{rests:?}");
    // What is on the way of so many at once takes 100 MiB more. The journal's cache grows, too.
    assert!(memories[3] < memories[0] + 64, "{memories:?}");
}
