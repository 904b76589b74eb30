//! Runs the jobs of a queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;

use super::lines::Lines;
use super::{JobEvent, JobRecord, outcome, wish};
use crate::account::provider::Providing;
use crate::clock::{self, Now, Timestamp};
use crate::engine::Shared;
use crate::engine::draft::Draft;
use crate::engine::handle::{Stopper, Uploading};
use crate::error::{Error, ErrorKind};
use crate::failpoint::reach;
use crate::journal::queue::{Change, JobRow, JobState, JobStore};
use crate::upload::event::Progress;

/// How many rows are read at a time when a queue is opened.
const PAGE: usize = 1000;

/// Jobs under way, for each that may be in flight: others wait for windows and tokens meanwhile.
const UNDER_WAY: usize = 4;

/// How often it is looked whether a chunk in flight has ended, and how long a queue waits that cannot read its store.
const GLANCE: Duration = Duration::from_millis(50);
const AGAIN: Duration = Duration::from_secs(5);

/// While the network or the service is out for all, one job tries this often; and how often it is looked for tokens that were missing.
const PROBE: Duration = Duration::from_secs(60);

/// What runs the jobs, and what its callers share with it.
pub(super) struct Dispatch {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) providing: Option<Arc<Providing>>,
    pub(super) events: broadcast::Sender<JobEvent>,
    lines: Mutex<Lines>,
    wake: Notify,
    jobs: usize,
    api_base: String,
    draining: watch::Sender<bool>,
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
        jobs: usize,
        api_base: String,
        events: broadcast::Sender<JobEvent>,
    ) -> Self {
        Self {
            store,
            providing,
            events,
            lines: Mutex::default(),
            wake: Notify::new(),
            jobs,
            api_base,
            draining: watch::Sender::new(false),
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a row that has changed. A job for another API base waits for an engine of that base.
    pub(super) fn placed(&self, row: &JobRow) {
        if row.wish.api_base == self.api_base {
            self.lines().place(row);
        }
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
            while !*self.draining.borrow() {
                let now = Now::read();
                let out = shared.scheduler.outages.now(now).is_some();
                if out && probed.is_some_and(|at| now.boot < at + PROBE) {
                    break;
                }
                let Some(id) = self.next() else { break };
                probed = out.then_some(now.boot);
                tasks.spawn(Arc::clone(&self).carry(Arc::clone(&shared), id));
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

    fn next(&self) -> Option<String> {
        self.lines().next(self.jobs, self.jobs * UNDER_WAY)
    }

    /// Lets jobs go on that needed a person because nobody had a token, if there is one now.
    async fn look_for_tokens(self: Arc<Self>) {
        let tokenless = self.lines().tokenless();
        for (name, jobs) in tokenless {
            let Ok(account) = self.account(&name) else {
                continue;
            };
            if account.tokens().token(None).await.is_err() {
                continue;
            }
            for id in jobs {
                self.change(&id, |row| match &row.state {
                    JobState::Parked { end, .. } if end.wants_a_token() => {
                        row.state = JobState::Queued {
                            not_before: None,
                            why: None,
                        };
                        Change::News("unparked")
                    }
                    _ => Change::Nothing,
                })
                .await;
            }
        }
    }

    /// Puts all jobs that have not ended in their lines.
    async fn read_all(&self) {
        let mut after = None;
        loop {
            let rows = match self.store.jobs(after.clone(), PAGE, true).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read");
                    clock::sleep(AGAIN).await;
                    continue;
                }
            };
            let mut lines = self.lines();
            let ours = rows.iter().filter(|row| row.wish.api_base == self.api_base);
            ours.for_each(|row| lines.place(row));
            drop(lines);
            after = rows.last().map(|row| row.id.clone());
            if rows.len() < PAGE {
                return;
            }
        }
    }

    /// Queues the jobs whose wait is over, and ends those for whom nobody has come.
    async fn wake_due(&self) {
        let due = self.lines().due(Now::read().wall);
        for id in due {
            self.change(&id, |row| match row.state.clone() {
                JobState::Queued { why, .. } => {
                    row.state = JobState::Queued {
                        not_before: None,
                        why,
                    };
                    Change::Nothing
                }
                JobState::Parked { end, .. } => {
                    row.state = JobState::Ended { end };
                    Change::News("ended")
                }
                JobState::Ended { .. } => Change::Nothing,
            })
            .await;
        }
    }

    /// Carries one job: to its end, or to the time at which it is tried again.
    async fn carry(self: Arc<Self>, shared: Arc<Shared>, id: String) {
        let mut run = None;
        // Also if the upload panics.
        let running = Done(&self, &id);
        if let Some(row) = self.change(&id, |_| Change::Nothing).await
            && let Ok(account) = self.account(&row.wish.account)
        {
            reach("job", "claimed");
            let mut uploading =
                Uploading::start_job(&shared, wish::job(&row, account, &self.store));
            if let Some(running) = self.lines().running.get_mut(&id) {
                running.stopper = Some(uploading.stopper());
            }
            self.tell(JobEvent::Changed { job: id.clone() });
            let begun = Now::read().boot;
            while let Some(event) = uploading.event().await {
                let job = id.clone();
                self.tell(JobEvent::Upload { job, event });
            }
            let ended = uploading.await;
            let out = shared.scheduler.outages.now(Now::read()).is_some();
            run = Some((ended, Now::read().boot.saturating_sub(begun), out));
            reach("job", "ended");
        }
        drop(running);
        self.change(&id, |row| match &run {
            // Somebody may have ended it meanwhile.
            Some((ended, took, out)) if !row.has_ended() && !is_stopped(ended) => {
                outcome::take_in(row, ended, *took, *out)
            }
            _ => Change::Nothing,
        })
        .await;
    }

    /// Changes a row, and puts the job where its row says. Tries until the store takes the change: an end that is not recorded would be
    /// told to nobody.
    async fn change(
        &self,
        id: &str,
        change: impl Fn(&mut JobRow) -> Change + Send + Sync,
    ) -> Option<JobRow> {
        loop {
            match self.store.change(id, &change).await {
                Ok(row) => {
                    row.iter().for_each(|row| self.placed(row));
                    return row;
                }
                Err(error) => {
                    tracing::error!(%error, job = id, "the job cannot be recorded");
                    clock::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Stops a job if it runs, and returns once it does not.
    pub(super) async fn stop(&self, id: &str) {
        loop {
            let mut changes = self.events.subscribe();
            match self.lines().running.get(id) {
                None => return,
                Some(running) => {
                    if let Some(stopper) = &running.stopper {
                        stopper.stop();
                    }
                }
            }
            tokio::select! {
                _ = changes.recv() => {}
                () = tokio::time::sleep(GLANCE) => {}
            }
        }
    }

    /// Stops the jobs that run and fulfil the condition. Returns whether none runs.
    fn stop_where(&self, stops: impl Fn(&Stopper) -> bool) -> bool {
        let lines = self.lines();
        let stoppers = lines.running.values().filter_map(|of| of.stopper.as_ref());
        stoppers.filter(|of| stops(of)).for_each(Stopper::stop);
        lines.running.is_empty()
    }

    /// Begins no more jobs, and stops those that run once their chunk in flight has ended, or at the deadline.
    pub(super) async fn drain(&self, deadline: Duration) {
        self.draining.send_replace(true);
        let end = tokio::time::Instant::now() + deadline;
        loop {
            let late = tokio::time::Instant::now() >= end;
            if self.stop_where(|stopper| late || stopper.is_at_border()) {
                return;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// A job that runs, until this is dropped.
struct Done<'a>(&'a Dispatch, &'a str);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.lines().done(self.1);
        self.0.wake.notify_one();
    }
}

fn is_stopped(ended: &Result<Draft, Error>) -> bool {
    matches!(ended, Err(error) if error.kind() == ErrorKind::Cancelled)
}

/// The time after a wait from now.
pub(super) fn after(wait: Duration) -> Timestamp {
    Now::read().wall.plus(wait)
}
