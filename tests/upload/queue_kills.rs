//! The durable queue under kill -9: what was accepted ends in one draft, and each end is in the outbox once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chunkferry::{AccountProvider, Engine, Job, JobFilter, Options, Provided, Secret, TokenError};
use futures::future::{BoxFuture, join_all};

use crate::stage::{CHUNK, Stage};
use crate::video;

mod points {
    #![expect(dead_code, reason = "the points of uploads have a matrix of their own")]
    include!("../../src/failpoint/points.rs");
}

/// Points of an upload at which its job's row may be behind or ahead of it.
const OF_AN_UPLOAD: &[(&str, &str)] = &[
    ("submit", "before"),
    ("submit", "after"),
    ("begin", "before"),
    ("begin", "after"),
    ("init", "answered"),
    ("applied", "uploading"),
    ("put", "answered"),
    ("gate", "open"),
    ("saving", "delivered"),
    ("history", "appended"),
    ("applied", "delivered"),
    ("saved", "delivered"),
];

/// Jobs of a scenario, of three accounts. Three of them are for the same bytes.
const JOBS: usize = 8;

struct Table;

impl AccountProvider for Table {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Provided, TokenError>> {
        Box::pin(async move { Ok(Provided::new(format!("act.{account}.1"))) })
    }
}

fn account(number: usize) -> &'static str {
    ["lena", "mia", "nina"][number % 3]
}

/// The file of a job. The last two jobs send the first file again.
const fn file(number: usize) -> usize {
    if number < JOBS - 2 { number } else { 0 }
}

fn job(dir: &Path, number: usize) -> Job {
    let (file, again) = (file(number), number >= JOBS - 2);
    Job::file(dir.join(format!("{file}.mp4")))
        .account_name(account(file))
        .content_type("video/mp4")
        .chunk_size(CHUNK)
        .again(again)
        .id(&format!("job {number}"))
}

/// A process that hands all jobs over, says which were accepted, and ends once all have ended.
#[ignore = "run by the test below, in a process of its own that is killed"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work() {
    let set = |name: &str| std::env::var(name).expect("set by the test below");
    let dir = PathBuf::from(set("QUEUE_DIR"));
    let engine = open(&dir, &set("QUEUE_URL"), false);
    let handles = join_all((0..JOBS).map(async |number| {
        let handle = engine.submit(job(&dir, number)).await.expect("accepted");
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "accepted {number}").expect("written");
        stdout.flush().expect("written");
        handle
    }));
    for handle in handles.await {
        handle.ended().await.expect("ended");
    }
    println!("all have ended");
}

fn open(dir: &Path, url: &str, paused: bool) -> Engine {
    let options = Options::new(dir.join("state"))
        .api_base(url)
        .accounts(Table);
    let options = if paused { options.paused() } else { options };
    options.open().expect("opened")
}

/// What is killed of a process, and when.
#[derive(Debug, Clone)]
enum Kill {
    At(&'static str, &'static str, u32),
    After(Duration),
    Never,
}

/// Runs the process above; the jobs that it says were accepted, and whether all have ended.
fn run(stage: &Stage, kill: &Kill) -> (BTreeSet<usize>, bool) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["queue_kills::work", "--exact", "--ignored", "--nocapture"])
        .env("QUEUE_DIR", stage.path(""))
        .env("QUEUE_URL", stage.emulator.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Kill::At(step, what, nth) = kill {
        command.env("CHUNKFERRY_KILL_POINT", format!("{step} {what} {nth}"));
    }
    let mut child = command.spawn().expect("started");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let reader = std::thread::spawn(move || {
        let lines: Vec<String> = stdout.lines().map_while(Result::ok).collect();
        lines
    });
    if let Kill::After(time) = kill {
        std::thread::sleep(*time);
        let _ = child.kill();
    }
    let _ = child.wait();
    let lines = reader.join().expect("read");
    let accepted = lines.iter().filter_map(|line| {
        let (_, number) = line.split_once("accepted ")?;
        number.parse().ok()
    });
    let ended = lines.iter().any(|line| line.contains("all have ended"));
    (accepted.collect(), ended)
}

/// Kills at the given moments, then lets all jobs end, and compares what there is with what was accepted.
fn scenario(kills: &[Kill]) {
    let stage = Stage::new(&["pending_cap=100", "init_per_minute=100"], &[]);
    for number in 0..JOBS - 2 {
        let size = [100_000, 2 * CHUNK][number % 2] + number as u64;
        video::write(&stage.path(&format!("{number}.mp4")), size, number as u64);
    }
    let mut accepted = BTreeSet::new();
    for kill in kills.iter().chain([&Kill::Never]) {
        let (now, ended) = run(&stage, kill);
        accepted.extend(now);
        assert!(ended || !matches!(kill, Kill::Never), "{kills:?}");
    }
    assert_eq!(accepted, (0..JOBS).collect(), "{kills:?}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (jobs, notices) = runtime.block_on(async {
        let engine = open(&stage.path(""), &stage.emulator.url(), true);
        let jobs = engine
            .jobs(&JobFilter::new(), None, 100)
            .await
            .expect("readable");
        (jobs, engine.notices(0, 100).await.expect("readable"))
    });
    let log = stage.log();
    let of_job = |number: usize| {
        let id = format!("job {number}");
        let mut of = jobs
            .iter()
            .filter(|job| job.caller_id.as_ref() == Some(&id));
        let job = of.next().expect("what was accepted is there");
        assert!(of.next().is_none(), "{kills:?}: doubled: {jobs:#?}");
        job
    };
    let mut drafts = Vec::new();
    for number in 0..JOBS {
        let end = of_job(number).end.as_ref().expect("an end");
        let is_good = matches!(&*end.outcome, "delivered" | "already_delivered");
        assert!(is_good, "{kills:?}: {end:?}");
        let sent = stage.path(&format!("{}.mp4", file(number)));
        assert_eq!(end.sha256, Some(video::sha256(&sent)), "{kills:?}");
        drafts.push(end.publish_id.clone().expect("a draft"));
    }
    // The first job may have found what one of the last two had sent before.
    let own: BTreeSet<&String> = drafts[1..].iter().collect();
    assert_eq!(
        own.len(),
        JOBS - 1,
        "{kills:?}: one draft for two jobs: {jobs:#?}"
    );
    let told: BTreeSet<&String> = drafts.iter().collect();
    assert_eq!(log.drafts, told.len() as u64, "{kills:?}: {jobs:#?}");
    let numbers: Vec<u64> = notices.iter().map(|notice| notice.number).collect();
    let all: Vec<u64> = (1..=JOBS as u64).collect();
    assert_eq!(numbers, all, "{kills:?}: {notices:#?}");
    let told: BTreeSet<&str> = notices.iter().filter_map(|of| of.job.as_deref()).collect();
    assert_eq!(told.len(), JOBS, "{kills:?}: an end is told twice or never");
}

#[test]
fn a_kill_at_any_point_loses_no_job_doubles_none_and_leaves_no_end_untold() {
    let is_full = std::env::var_os("CHUNKFERRY_FULL").is_some_and(|set| !set.is_empty());
    let seed = std::env::var("CHUNKFERRY_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(2026);
    let mut random = fastrand::Rng::with_seed(seed);
    let passes: &[u32] = if is_full { &[1, 2, 5, 8] } else { &[1, 3] };
    let of_the_queue = points::OF_A_QUEUE.iter();
    let of_an_upload = OF_AN_UPLOAD.iter().filter(|_| is_full || random.bool());
    let mut scenarios = Vec::new();
    for (step, what) in of_the_queue.chain(of_an_upload.collect::<Vec<_>>()) {
        for nth in passes {
            scenarios.push(vec![Kill::At(step, what, *nth)]);
        }
    }
    for _ in 0..if is_full { 60 } else { 4 } {
        let mut kill = || Kill::After(Duration::from_millis(random.u64(20..600)));
        scenarios.push((0..3).map(|_| kill()).collect());
    }
    let kills: usize = scenarios.iter().map(Vec::len).sum();
    scenarios.iter().for_each(|kills| scenario(kills));
    println!(
        "{} scenarios of {JOBS} jobs, {kills} kills, seed {seed}: lost 0, doubled 0, untold 0",
        scenarios.len()
    );
}
