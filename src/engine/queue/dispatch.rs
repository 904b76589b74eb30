//! Runs the jobs of a queue.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{Mutex as FairMutex, Notify, OnceCell, broadcast, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::lines::Lines;
use super::outcome::{self, Ran};
use super::{JobEvent, JobRecord, Spool, wish};
use crate::account::Account;
use crate::account::provider::Providing;
use crate::clock::{self, Now, Timestamp};
use crate::engine::Shared;
use crate::engine::draft::{Draft, Outcome};
use crate::engine::handle::Uploading;
use crate::engine::metrics::{Cells, Store};
use crate::error::{Error, ErrorKind};
use crate::failpoint::reach;
use crate::journal::StoreError;
use crate::journal::queue::{Accepted, Change, JobRow, JobState, JobStore, Wish};
use crate::upload::event::Progress;

/// Jobs under way, for each that may be in flight: others wait for windows and tokens meanwhile.
const UNDER_WAY: usize = 4;

/// How long a queue waits that cannot read its store.
pub(super) const AGAIN: Duration = Duration::from_secs(5);

/// How many jobs can be changed at once. Two that share a turn wait for each other, and nothing else.
const TURNS: usize = 64;

/// While the network or the service is out for all, one job tries this often; and how often it is looked for tokens that were missing.
const PROBE: Duration = Duration::from_secs(60);

/// What runs the jobs, and what its callers share with it.
pub(super) struct Dispatch {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) providing: Option<Arc<Providing>>,
    pub(super) spool: Arc<Spool>,
    pub(super) events: broadcast::Sender<JobEvent>,
    lines: Mutex<Lines>,
    turns: [FairMutex<()>; TURNS],
    wake: Notify,
    jobs: usize,
    pub(super) api_base: String,
    counters: Arc<Cells>,
    pub(super) draining: watch::Sender<bool>,
    /// Whether all jobs are held back. Changed together with what the store has of it, by one caller at a time.
    pub(super) halted: AtomicBool,
    pub(super) halting: FairMutex<()>,
    /// Set once the jobs are read in a queue that runs none by itself.
    pub(super) tidied: OnceCell<()>,
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch").finish_non_exhaustive()
    }
}

impl Dispatch {
    pub(super) fn new(
        store: Arc<dyn JobStore>,
        providing: Option<Arc<Providing>>,
        spool: Arc<Spool>,
        jobs: usize,
        shared: &Shared,
        events: broadcast::Sender<JobEvent>,
    ) -> Self {
        Self {
            store,
            providing,
            spool,
            events,
            lines: Mutex::default(),
            turns: std::array::from_fn(|_| FairMutex::default()),
            wake: Notify::new(),
            jobs,
            api_base: shared.api_base.clone(),
            counters: Arc::clone(&shared.counters),
            draining: watch::Sender::new(false),
            halted: AtomicBool::new(false),
            halting: FairMutex::default(),
            tidied: OnceCell::new(),
        }
    }

    pub(super) fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a row that has changed, at the end of this run if one is named. A job for another API base waits for an engine of
    /// that base.
    fn placed(&self, row: &JobRow, run: Option<u64>) {
        let mut lines = self.lines();
        if let Some(run) = run {
            lines.done(&row.id, run);
        }
        if row.wish.api_base == self.api_base {
            lines.place(row);
        }
        drop(lines);
        self.wake.notify_one();
        self.tell(JobEvent::Changed {
            job: row.id.clone(),
        });
    }

    fn tell(&self, event: JobEvent) {
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }

    /// How far a job that runs is.
    pub(super) fn progress(&self, id: &str) -> Option<Progress> {
        let lines = self.lines();
        Some(lines.running.get(id)?.stopper.as_ref()?.progress())
    }

    pub(super) fn is_running(&self, id: &str) -> bool {
        self.lines().running.contains_key(id)
    }

    pub(super) fn record(&self, row: JobRow) -> JobRecord {
        let running = self.is_running(&row.id);
        JobRecord::of(row, running)
    }

    /// Runs jobs for as long as the engine lives.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        self.read_halt().await;
        self.read_all().await;
        self.forget_old_news(Now::read().wall).await;
        let mut tasks = JoinSet::new();
        let mut probed: Option<Duration> = None;
        let mut looked = Now::read().boot;
        loop {
            self.wake_due().await;
            if Now::read().boot >= looked + PROBE {
                looked = Now::read().boot;
                tasks.spawn(Arc::clone(&self).look_for_tokens());
            }
            loop {
                let now = Now::read();
                let out = shared.scheduler.outages.now(now).is_some();
                if out && probed.is_some_and(|at| now.boot < at + PROBE) {
                    break;
                }
                let Some((id, run)) = self.next() else { break };
                probed = out.then_some(now.boot);
                let span = tracing::info_span!("job", job = id);
                let carried = Arc::clone(&self).carry(Arc::clone(&shared), id, run, None);
                tasks.spawn(carried.instrument(span));
            }
            let soonest = self.lines().soonest();
            let wait = soonest.map_or(PROBE, |at| at.since(Now::read().wall).min(PROBE));
            tokio::select! {
                () = self.wake.notified() => {}
                Some(_) = tasks.join_next() => {}
                () = clock::sleep(wait.max(Duration::from_millis(1))) => {}
            }
        }
    }

    /// Whether no job may begin: the queue is paused, or shuts down.
    fn begins_none(&self) -> bool {
        *self.draining.borrow() || self.halted.load(Ordering::SeqCst)
    }

    /// Looks for jobs to begin.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes the next job out of its line, with the number of its run.
    fn next(&self) -> Option<(String, u64)> {
        let mut lines = self.lines();
        // Who stops all jobs locks the lines after that was said here: each job that was taken before is seen.
        if self.begins_none() {
            return None;
        }
        lines.next(self.jobs, self.jobs * UNDER_WAY)
    }

    /// Carries one job: to its end, or to the time at which it is tried again. It counts as running until that is recorded, so that
    /// nobody ends or begins it in between.
    pub(super) async fn carry(
        self: Arc<Self>,
        shared: Arc<Shared>,
        id: String,
        run: u64,
        account: Option<Account>,
    ) {
        // Also if this task is cut.
        let _running = Done(&self, &id, run);
        let ran = self.run_once(&shared, (&id, run), account).await;
        let record = move |row: &mut JobRow| match &ran {
            Some(ran) if !row.has_ended() && !is_stopped(&ran.ended) => outcome::take_in(row, ran),
            _ => Change::Nothing,
        };
        self.insist(&id, Some(run), record).await;
    }

    /// Runs a job's upload, if the job's row still lets it run: how it ended, how long that took, and whether nothing works for any job.
    async fn run_once(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        (id, run): (&str, u64),
        account: Option<Account>,
    ) -> Option<Ran> {
        let row = self.insist(id, None, |_| Change::Nothing).await?;
        if !row.can_run(Now::read().wall) || self.begins_none() {
            return None;
        }
        let account = match account {
            Some(account) => account,
            None => self.account(&row.wish.account).ok()?,
        };
        reach("job", "claimed");
        let mut uploading = Uploading::start_job(shared, wish::job(&row, account, self));
        if let Some(running) = self.lines().running.get_mut(id) {
            debug_assert_eq!(running.run, run);
            running.stopper = Some(uploading.stopper());
        }
        self.tell(JobEvent::Changed { job: id.to_owned() });
        let begun = Now::read().boot;
        while let Some(event) = uploading.event().await {
            let job = id.to_owned();
            self.tell(JobEvent::Upload { job, event });
        }
        let stopper = uploading.stopper();
        let ended = AssertUnwindSafe(uploading).catch_unwind().await;
        let ended = ended.unwrap_or_else(|_| {
            tracing::error!(job = id, "the upload of a job has panicked");
            Err(Error::temporary(
                "The upload broke off by a fault of chunkferry.",
            ))
        });
        let ended = Arc::new(ended.map_err(|error| self.named(error, &row.wish)));
        self.tell(JobEvent::Ran {
            job: id.to_owned(),
            ended: Arc::clone(&ended),
            progress: stopper.progress(),
        });
        let out = shared.scheduler.outages.now(Now::read()).is_some();
        reach("job", "ended");
        Some(Ran {
            first_job: self.first_job(id, &ended).await,
            ended,
            took: Now::read().boot.saturating_sub(begun),
            out,
        })
    }

    /// The job that had delivered the video which a run found delivered already.
    async fn first_job(&self, id: &str, ended: &Result<Draft, Error>) -> Option<String> {
        let Ok(draft) = ended else { return None };
        if draft.outcome != Outcome::AlreadyDelivered {
            return None;
        }
        let first = self.store.job_of(draft.upload.clone()).await;
        first.ok()?.filter(|first| first != id)
    }

    /// Records a job, and puts it in its line.
    pub(super) async fn accept(self: &Arc<Self>, wish: Wish) -> Result<Accepted, StoreError> {
        let this = Arc::clone(self);
        whole(async move {
            let accept = this.store.accept(wish.clone());
            let accepted = this.counters.timed(Store::Accept, accept).await?;
            match accepted {
                Accepted::New(row) => {
                    this.placed(&row, None);
                    Ok(Accepted::New(row))
                }
                Accepted::Repeat(row) if wish.options.once && row.was_in_vain() => {
                    this.again(row, wish).await
                }
                accepted => Ok(accepted),
            }
        })
        .await
    }

    /// Runs a job once more that has ended with its first run, and in vain: whoever waits for a job tries again by the same call.
    async fn again(self: &Arc<Self>, row: JobRow, wish: Wish) -> Result<Accepted, StoreError> {
        if row.wish.spooled().is_some() {
            // Its bytes went with its end.
            return Ok(Accepted::Repeat(row));
        }
        let again = self.change(&row.id, None, move |row| {
            if !row.was_in_vain() {
                return Change::Nothing;
            }
            row.wish.renew(&wish);
            row.paused = false;
            row.failing_ms = 0;
            row.state = JobState::Queued {
                not_before: None,
                why: None,
            };
            Change::Quiet
        });
        Ok(Accepted::Repeat(again.await?.unwrap_or(row)))
    }

    /// Changes a row, and puts the job where its row says. Changes of one job take turns, or the places would be taken in another order
    /// than the changes.
    pub(super) async fn change(
        self: &Arc<Self>,
        id: &str,
        run: Option<u64>,
        change: impl Fn(&mut JobRow) -> Change + Send + Sync + 'static,
    ) -> Result<Option<JobRow>, StoreError> {
        let (this, id) = (Arc::clone(self), id.to_owned());
        whole(async move {
            let digits = id.bytes().fold(0_usize, |sum, digit| {
                sum.wrapping_mul(31).wrapping_add(digit.into())
            });
            let _turn = this.turns[digits % TURNS].lock().await;
            let (started, is_changed) = (Instant::now(), AtomicBool::new(false));
            let change = |row: &mut JobRow| {
                let change = change(row);
                is_changed.store(change != Change::Nothing, Ordering::Relaxed);
                change
            };
            let row = this.store.change(&id, change).await?;
            // A row that stays as it is was only read.
            if is_changed.into_inner() {
                this.counters.spent(Store::Change, started.elapsed());
            }
            if let Some(row) = &row {
                this.placed(row, run);
                if let (true, Some(video)) = (row.has_ended(), row.wish.spooled()) {
                    this.spool.remove(video).await;
                }
            }
            Ok(row)
        })
        .await
    }

    /// The same, until the store takes the change: an end that is not recorded would be missing in the outbox.
    pub(super) async fn insist(
        self: &Arc<Self>,
        id: &str,
        run: Option<u64>,
        change: impl Fn(&mut JobRow) -> Change + Send + Sync + 'static,
    ) -> Option<JobRow> {
        let change = Arc::new(change);
        loop {
            let change = Arc::clone(&change);
            match self.change(id, run, move |row| change(row)).await {
                Ok(row) => return row,
                Err(error) => {
                    tracing::error!(%error, job = id, "the job cannot be recorded");
                    clock::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// A run of a job, until this is dropped.
struct Done<'a>(&'a Dispatch, &'a str, u64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.lines().done(self.1, self.2);
        self.0.wake.notify_one();
    }
}

/// Runs a step to its end, also if its caller is gone meanwhile: what was recorded gets its place, too.
pub(super) async fn whole<T: Send + 'static>(
    step: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(step).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::unavailable("a step broke off", error)),
    }
}

fn is_stopped(ended: &Result<Draft, Error>) -> bool {
    matches!(ended, Err(error) if error.kind() == ErrorKind::Cancelled)
}

/// The time after a wait from now.
pub(super) fn after(wait: Duration) -> Timestamp {
    Now::read().wall.plus(wait)
}
