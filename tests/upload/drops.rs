//! Uploads that are dropped at any await, again and again, under the documented limits: no session is opened that nobody
//! uses, and each file makes one draft.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use chunkferry::{Engine, Job, Options};
use futures::future::join_all;

use crate::{support, video};

/// How many times faster an hour passes.
const SCALE: u32 = 20;

/// More awaits than an upload of these files has.
const AWAITS: usize = 64;

/// Files of one account: fewer than the drafts that may wait, by the sessions that the service loses.
const FILES: usize = 4;

fn drops() -> usize {
    match std::env::var_os("CHUNKFERRY_FULL") {
        Some(set) if !set.is_empty() => 1000,
        _ => 60,
    }
}

#[test]
fn uploads_dropped_at_any_await_leave_no_session_behind_and_make_one_draft_each() {
    crate::stage::with_scaled_clocks("drops::dropped", SCALE);
}

/// Drops `future` at its await number `polls`, from 0, after a pause; returns its result if it ended before.
async fn drop_at<F: Future>(polls: usize, pause: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    let ended = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    // An upload that waits for long is dropped, too.
    let ended = tokio::time::timeout(Duration::from_secs(2), ended).await;
    match ended {
        Ok(Some(ended)) => Some(ended),
        _ => {
            tokio::time::sleep(pause).await;
            None
        }
    }
}

#[ignore = "run by the test above, in a process of its own whose time passes faster"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped() {
    let clock = format!("clock={SCALE}x");
    let lost = ["inbox_init nth=3 lose", "inbox_init nth=11 lose"];
    let server = support::emulator(["--set", &clock, "--fault", lost[0], "--fault", lost[1]]);
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..FILES as u64)
        .map(|number| {
            let path = dir.path().join(format!("{number}.mp4"));
            video::write(&path, 10_600_000 + number, number);
            path
        })
        .collect();
    let options = Options::new(dir.path().join("state")).api_base(server.url());
    let engine: Engine = options.jobs(8).open().unwrap();

    let (dropped, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        let (engine, files, dropped, begun) = (&engine, &files, &dropped, &begun);
        async move {
            while dropped.load(Ordering::Relaxed) < drops() {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                let creator = format!("creator{}", number / FILES);
                let job = Job::file(&files[number % FILES])
                    .account(&creator, format!("act.{creator}.1"))
                    .chunk_size(5_242_880);
                let mut ended = None;
                for drop in 0..20 {
                    let (polls, pause) = match drop {
                        // Every await is one at which some upload is dropped first of all.
                        0 => (number % AWAITS, 0),
                        _ => (random.usize(0..AWAITS), random.u64(0..150)),
                    };
                    let pause = Duration::from_millis(pause);
                    ended = if drop % 4 == 3 {
                        // Its task goes on while nobody polls the handle.
                        drop_at(0, pause, engine.upload(job.clone())).await
                    } else {
                        drop_at(polls, pause / 8, engine.upload(job.clone())).await
                    };
                    if ended.is_some() {
                        break;
                    }
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
                match ended {
                    Some(ended) => ended.unwrap(),
                    None => engine.upload(job).await.unwrap(),
                };
            }
        }
    };
    join_all((0..8).map(worker)).await;

    let log = server.client().log().unwrap();
    let (uploads, dropped) = (begun.into_inner(), dropped.into_inner());
    let unused = log
        .sessions
        .iter()
        .filter(|session| session.sha256.is_none());
    let unused = unused.count();
    let lost = log.faults.len();
    println!(
        "{uploads} uploads dropped {dropped} times: {} drafts, {} sessions, {unused} of them without a video, \
         {lost} of these because the service lost its answer; {} inits and {} status questions asked",
        log.drafts,
        log.sessions.len(),
        log.requests.init,
        log.requests.status
    );
    assert_eq!(unused, lost, "a session that nobody uses");
    assert_eq!(
        (log.drafts, log.sessions.len()),
        (uploads as u64, uploads + lost)
    );
    let mut drafts: HashMap<_, usize> = HashMap::new();
    for session in &log.sessions {
        if let Some(sha256) = &session.sha256 {
            *drafts.entry((&session.creator, sha256)).or_default() += 1;
        }
    }
    assert!(drafts.values().all(|count| *count == 1), "{drafts:?}");
    assert_eq!(drafts.len(), uploads);
}
