//! What happens to a job at the very moment at which something else does: its store answers late, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::*;
use crate::account::TokenError;
use crate::account::provider::{AccountProvider, Provided};
use crate::emulator::{Emulator, Settings};
use crate::journal::queue::{JobNews, JobState, Tokens, Wish};
use crate::journal::{Answer, SledStore, StoreError};
use crate::{Options, Secret};

/// Steps of a store that a test holds up or lets fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Nothing,
    /// The record of a delivery, before it is made.
    Delivery,
    /// The answer of a step that has been done.
    Accepted,
    Saved,
    Listed,
    /// All steps fail once a job was accepted.
    FailAfterAccept,
    /// The second time that a job is read, the reader panics.
    PanicInUpload,
}

#[derive(Debug)]
struct Slow {
    store: SledStore,
    hold: watch::Sender<Hold>,
    held: AtomicBool,
    reads: AtomicUsize,
    has_failed: Mutex<bool>,
}

impl Slow {
    /// The first step of this kind waits here as long as it is held up.
    async fn pass(&self, step: Hold) {
        let mut hold = self.hold.subscribe();
        if *hold.borrow() == step && !self.held.swap(true, SeqCst) {
            let _ = hold.wait_for(|hold| *hold != step).await;
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        match *self.has_failed.lock().expect("no test panicked") {
            true => Err(StoreError::unavailable("a test", "it fails")),
            false => Ok(()),
        }
    }

    async fn until_held(&self) {
        while !self.held.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl JobStore for Slow {
    fn has_left_out_jobs(&self) -> bool {
        self.store.has_left_out_jobs()
    }

    fn job_under(&self, account: String, caller_id: String) -> Answer<'_, Option<String>> {
        JobStore::job_under(&self.store, account, caller_id)
    }

    fn job_of(&self, upload: String) -> Answer<'_, Option<String>> {
        JobStore::job_of(&self.store, upload)
    }

    fn accept(&self, wish: Wish) -> Answer<'_, Accepted> {
        Box::pin(async move {
            let accepted = JobStore::accept(&self.store, wish).await;
            *self.has_failed.lock().expect("no test panicked") =
                *self.hold.borrow() == Hold::FailAfterAccept;
            self.pass(Hold::Accepted).await;
            accepted
        })
    }

    fn set_tokens(&self, account: String, tokens: Tokens) -> Answer<'_, ()> {
        JobStore::set_tokens(&self.store, account, tokens)
    }

    fn tokenless(&self) -> Answer<'_, Vec<String>> {
        JobStore::tokenless(&self.store)
    }

    fn save_job(
        &self,
        row: JobRow,
        news: Option<JobNews>,
        tokens: Option<Tokens>,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            self.check()?;
            if matches!(&row.state, JobState::Ended { end } if end.outcome == "delivered") {
                self.pass(Hold::Delivery).await;
            }
            let saved = JobStore::save_job(&self.store, row, news, tokens).await;
            self.pass(Hold::Saved).await;
            saved
        })
    }

    fn job(&self, id: String) -> Answer<'_, Option<JobRow>> {
        Box::pin(async move {
            self.check()?;
            let reads = self.reads.fetch_add(1, SeqCst) + 1;
            assert!(*self.hold.borrow() != Hold::PanicInUpload || reads != 2);
            JobStore::job(&self.store, id).await
        })
    }

    fn jobs(&self, after: Option<String>, limit: usize, open: bool) -> Answer<'_, Vec<JobRow>> {
        Box::pin(async move {
            let rows = JobStore::jobs(&self.store, after, limit, open).await;
            self.pass(Hold::Listed).await;
            rows
        })
    }

    fn remove_job(&self, id: String) -> Answer<'_, bool> {
        JobStore::remove_job(&self.store, id)
    }

    fn news(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, JobNews)>> {
        JobStore::news(&self.store, after, limit)
    }

    fn last_news(&self) -> Answer<'_, u64> {
        JobStore::last_news(&self.store)
    }

    fn drop_news(&self, before: Timestamp) -> Answer<'_, ()> {
        JobStore::drop_news(&self.store, before)
    }

    fn halted(&self) -> Answer<'_, Option<Timestamp>> {
        JobStore::halted(&self.store)
    }

    fn set_halted(&self, since: Option<Timestamp>) -> Answer<'_, ()> {
        JobStore::set_halted(&self.store, since)
    }
}

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

struct Rig {
    engine: Engine,
    store: Arc<Slow>,
    emulator: Emulator,
    dir: tempfile::TempDir,
}

impl Rig {
    fn new(hold: Hold) -> Self {
        Self::with(hold, |options| options)
    }

    fn with(hold: Hold, options: impl Fn(Options) -> Options) -> Self {
        Self::with_jobs(hold, 0, options)
    }

    /// Opens a queue that has so many jobs already. The second one is paused.
    fn with_jobs(hold: Hold, jobs: u8, options: impl Fn(Options) -> Options) -> Self {
        let mut settings = Settings::default();
        settings.set("processing_time", "0s").expect("a setting");
        let emulator = Emulator::builder().settings(settings).start_blocking();
        let emulator = emulator.expect("started");
        let dir = tempfile::tempdir().expect("a directory");
        let store = SledStore::open(&dir.path().join("state"), "a test").expect("opened");
        for number in 1..=jobs {
            let job = job(&video(dir.path(), number, 1000));
            let wish = wish::of(&job, &emulator.url()).expect("a wish");
            let accepted = now(JobStore::accept(&store, wish)).expect("accepted");
            let Accepted::New(mut row) = accepted else {
                unreachable!("the store is empty")
            };
            (row.paused, row.revision) = (number == 2, row.revision + 1);
            assert!(now(store.save_job(row, None, None)).expect("saved"));
        }
        let slow = Arc::new(Slow {
            store: store.clone(),
            hold: watch::Sender::new(hold),
            held: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            has_failed: Mutex::default(),
        });
        let of_engine = Options::new("no directory is used").api_base(&emulator.url());
        let of_engine = options(of_engine.accounts(Table));
        let jobs = Arc::clone(&slow) as Arc<dyn JobStore>;
        let engine = of_engine.open_queue_on(Arc::new(store), jobs);
        Self {
            engine: engine.expect("opened"),
            store: slow,
            emulator,
            dir,
        }
    }

    fn job(&self, number: u8, size: usize) -> Job {
        job(&video(self.dir.path(), number, size))
    }

    fn id_of(&self, name: &str) -> String {
        let rows = now(JobStore::jobs(&self.store.store, None, 10, true)).expect("readable");
        let row = rows.iter().find(|row| row.wish.name().ends_with(name));
        row.expect("a job of this file").id.clone()
    }

    fn hold(&self, hold: Hold) {
        self.store.hold.send_replace(hold);
    }

    async fn ended(&self, id: &str) -> JobRecord {
        let handle = self.engine.handle(id).await.expect("a job");
        let ended = tokio::time::timeout(Duration::from_secs(20), handle.ended());
        ended.await.expect("in time").expect("readable")
    }
}

/// The answer of a step, from within a runtime.
fn now<T>(answer: Answer<'_, T>) -> Result<T, StoreError> {
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| handle.block_on(answer))
}

fn video(dir: &Path, number: u8, size: usize) -> PathBuf {
    let path = dir.join(format!("{number}.mp4"));
    std::fs::write(&path, vec![number; size]).expect("written");
    path
}

fn job(path: &Path) -> Job {
    let job = Job::file(PathBuf::from(path)).account_name("lena");
    job.content_type("video/mp4")
}

fn outcome(record: &JobRecord) -> &str {
    record.end.as_ref().map_or("none", |end| &end.outcome)
}

/// Long enough for whatever must not happen.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_delivered_while_it_is_cancelled_ends_as_delivered() {
    let rig = Rig::new(Hold::Delivery);
    let handle = rig.engine.submit(rig.job(1, 1000)).await.expect("accepted");
    rig.store.until_held().await;
    let (engine, id) = (rig.engine.clone(), handle.id().to_owned());
    let cancelling = tokio::spawn(async move { engine.cancel_job(&id).await });
    a_while().await;
    rig.hold(Hold::Nothing);
    let record = cancelling.await.expect("ran").expect("changed");
    assert_eq!(outcome(&record), "delivered");
    let notices = rig.engine.notices(0, 10).await.expect("readable");
    assert_eq!(notices.len(), 1, "{notices:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_tried_again_while_its_end_is_recorded_does_not_run_again() {
    let rig = Rig::new(Hold::Delivery);
    let handle = rig.engine.submit(rig.job(1, 1000)).await.expect("accepted");
    rig.store.until_held().await;
    let mut events = rig.engine.events().expect("a queue");
    let retried = rig.engine.clone();
    let id = handle.id().to_owned();
    let retrying = tokio::spawn(async move { retried.retry_job(&id).await });
    a_while().await;
    rig.hold(Hold::Nothing);
    retrying.await.expect("ran").expect("changed");
    assert_eq!(outcome(&rig.ended(handle.id()).await), "delivered");
    a_while().await;
    let events = std::iter::from_fn(|| events.next().now_or_never().flatten());
    // The call and the end; each run would have two more.
    assert_eq!(events.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_change_while_the_queue_is_read_are_as_they_were_changed() {
    let rig = Rig::with_jobs(Hold::Listed, 2, |options| options);
    rig.store.until_held().await;
    let [cancelled, paused] = ["1.mp4", "2.mp4"].map(|name| rig.id_of(name));
    let ended = rig.engine.cancel_job(&cancelled).await.expect("changed");
    assert_eq!(outcome(&ended), "cancelled");
    rig.engine.retry_job(&paused).await.expect("changed");
    rig.hold(Hold::Nothing);
    assert_eq!(outcome(&rig.ended(&paused).await), "delivered");
    a_while().await;
    assert_eq!(rig.emulator.log().inits, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_leaves_the_state_of_a_filter_before_its_turn_is_not_changed() {
    let rig = Rig::with(Hold::Nothing, |options| options.jobs(1).bandwidth(5 << 20));
    let slow = rig.job(1, 6 << 20);
    rig.engine.submit(slow).await.expect("accepted");
    let handle = rig.engine.submit(rig.job(2, 1000)).await.expect("accepted");
    rig.engine.pause_job(handle.id()).await.expect("changed");
    rig.hold(Hold::Listed);
    let engine = rig.engine.clone();
    let paused = JobFilter::new().state("paused");
    let cancelling = tokio::spawn(async move { engine.cancel_jobs(&paused).await });
    rig.store.until_held().await;
    rig.engine.retry_job(handle.id()).await.expect("changed");
    rig.hold(Hold::Nothing);
    let all = cancelling.await.expect("ran").expect("changed");
    assert_eq!((all.matched, all.changed), (1, 0));
    assert_eq!(outcome(&rig.ended(handle.id()).await), "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_for_no_upload_at_once_accepts_jobs_and_runs_none() {
    let rig = Rig::with(Hold::Nothing, |options| options.jobs(0));
    let handle = rig.engine.submit(rig.job(1, 1000)).await.expect("accepted");
    let account = Account::new("lena", "act.lena.1");
    let alone = rig.job(2, 1000).for_account(account);
    let refused = rig.engine.upload(alone).await.expect_err("refused");
    assert_eq!(refused.kind(), crate::ErrorKind::Usage, "{refused}");
    a_while().await;
    let record = rig.engine.job(handle.id()).await.expect("readable");
    assert_eq!(record.expect("a job").state, "queued");
    assert_eq!(rig.emulator.log().inits, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_the_later_one_says_where_the_job_is() {
    let rig = Rig::with(Hold::Nothing, |options| options.jobs(1).bandwidth(5 << 20));
    let slow = rig.job(1, 6 << 20);
    rig.engine.submit(slow).await.expect("accepted");
    while rig.emulator.log().inits == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = rig.engine.submit(rig.job(2, 1000)).await.expect("accepted");
    rig.hold(Hold::Saved);
    let change = |pause: bool| {
        let (engine, id) = (rig.engine.clone(), second.id().to_owned());
        tokio::spawn(async move {
            match pause {
                true => engine.pause_job(&id).await,
                false => engine.retry_job(&id).await,
            }
        })
    };
    let pausing = change(true);
    rig.store.until_held().await;
    let retrying = change(false);
    a_while().await;
    // The answers may come in any order.
    rig.hold(Hold::Nothing);
    for change in [pausing, retrying] {
        change.await.expect("ran").expect("changed");
    }
    assert_eq!(outcome(&rig.ended(second.id()).await), "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_callers_are_gone_has_its_place_all_the_same() {
    let rig = Rig::new(Hold::Accepted);
    let submitting = rig.engine.clone();
    let job = rig.job(1, 1000);
    let submit = tokio::spawn(async move { submitting.submit(job).await });
    rig.store.until_held().await;
    submit.abort();
    assert!(submit.await.is_err());
    rig.hold(Hold::Nothing);
    let jobs = rig
        .engine
        .jobs(&JobFilter::new(), None, 10)
        .await
        .expect("readable");
    assert_eq!(outcome(&rig.ended(&jobs[0].id).await), "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_does_not_wait_for_a_store_that_fails() {
    let rig = Rig::new(Hold::FailAfterAccept);
    rig.engine.submit(rig.job(1, 1000)).await.expect("accepted");
    a_while().await;
    let down = rig.engine.shut_down(Duration::from_millis(100));
    let down = tokio::time::timeout(Duration::from_secs(15), down);
    down.await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_upload_panics_is_tried_again() {
    let rig = Rig::new(Hold::PanicInUpload);
    let handle = rig.engine.submit(rig.job(1, 1000)).await.expect("accepted");
    while rig.store.reads.load(SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let record = loop {
        let record = rig.engine.job(handle.id()).await.expect("readable");
        let record = record.expect("a job");
        if record.tries == 1 && record.state == "queued" {
            break record;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(record.next.is_some() && rig.emulator.log().inits == 0);
}
