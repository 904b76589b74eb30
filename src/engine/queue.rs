//! The durable queue: jobs that were accepted are carried to their ends, whatever is restarted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use super::job::{Job, What};
use super::metrics::Jobs;
use super::{Engine, Shared};
use crate::account::Account;
use crate::account::provider::Providing;
use crate::clock::{Now, Timestamp};
use crate::error::Error;
use crate::journal::queue::{Accepted, JobRow, JobStore, Wish};
use crate::upload::event::Progress;

mod alone;
mod census;
mod changes;
mod dispatch;
mod due;
mod events;
mod filter;
mod halt;
mod intake;
mod lines;
mod now;
mod outcome;
mod reading;
mod record;
mod spool;
mod stopping;
mod wish;

pub use changes::JobsChanged;
use dispatch::Dispatch;
pub use events::{JobEvent, JobEvents};
pub use filter::JobFilter;
pub use halt::QueueState;
pub use intake::Intake;
pub use record::{JobEnd, JobNotice, JobRecord};
pub(super) use spool::{Of, Spool, Spooled};

/// Events of jobs that wait for a slow reader.
const BACKLOG: usize = 1024;

/// How long the outbox keeps what was said, in days.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The queue of an engine. Dropping the last clone of the engine, and of the handles, stops the jobs that run; they go on where
/// they stood when the next engine opens the state directory.
#[derive(Debug)]
pub(super) struct Queue {
    dispatch: Arc<Dispatch>,
    task: Option<AbortHandle>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Queue {
    /// Reads the jobs that have not ended, and begins to run them unless it is `paused`, nobody gives tokens, or there is no runtime.
    pub(super) fn start(
        shared: &Arc<Shared>,
        store: Arc<dyn JobStore>,
        providing: Option<Arc<Providing>>,
        spool: Arc<Spool>,
        jobs: usize,
        paused: bool,
    ) -> Self {
        let (events, _) = broadcast::channel(BACKLOG);
        let dispatch = Dispatch::new(store, providing, spool, jobs, shared, events);
        let dispatch = Arc::new(dispatch);
        let runtime = tokio::runtime::Handle::try_current().ok();
        let runs = !paused && dispatch.providing.is_some();
        let task = runtime.filter(|_| runs).map(|runtime| {
            let run = Arc::clone(&dispatch).run(Arc::clone(shared));
            runtime.spawn(run).abort_handle()
        });
        Self { dispatch, task }
    }
}

/// What a caller holds of a job in the queue. Dropping it does nothing to the job.
#[derive(Debug, Clone)]
pub struct Handle {
    queue: Arc<Queue>,
    id: String,
    is_repeat: bool,
}

impl Handle {
    /// The job's id: 16 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the job was there already: its caller's id had been given before, with the same wish.
    pub const fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// Waits until the job has ended or needs a person, and returns what is known of it then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the job is forgotten meanwhile, and
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be read.
    ///
    /// # Cancellation
    ///
    /// Dropping the future only ends the waiting.
    pub async fn ended(&self) -> Result<JobRecord, Error> {
        let mut changes = self.queue.dispatch.events.subscribe();
        loop {
            let record = self.queue.record(&self.id).await?;
            let record = record.ok_or_else(|| Error::no_job(&self.id))?;
            if matches!(record.state.as_str(), "ended" | "parked") {
                return Ok(record);
            }
            loop {
                match changes.recv().await {
                    Ok(JobEvent::Changed { job }) if job == self.id => break,
                    Ok(_) => {}
                    // What was missed may have been about this job.
                    Err(_) => break,
                }
            }
        }
    }

    /// How far the job's upload is; `None` while it does not run.
    pub fn progress(&self) -> Option<Progress> {
        self.queue.dispatch.progress(&self.id)
    }
}

impl Queue {
    /// The jobs that have not ended, if this engine runs them.
    pub(super) fn jobs_now(&self) -> Option<BTreeMap<String, Jobs>> {
        self.task.as_ref()?;
        Some(self.dispatch.lines().census(Now::read().wall))
    }

    async fn record(&self, id: &str) -> Result<Option<JobRecord>, Error> {
        let row = self.dispatch.store.job(id.to_owned()).await?;
        Ok(row.map(|row| self.dispatch.record(row)))
    }

    fn handle_of(self: &Arc<Self>, accepted: Accepted) -> Result<Handle, Error> {
        let (row, is_repeat) = match accepted {
            Accepted::New(row) => (row, false),
            Accepted::Repeat(row) => (row, true),
            Accepted::Conflict { job, field } => return Err(Error::other_wish(job, field)),
            Accepted::Forgotten { job } => return Err(Error::forgotten_job(job)),
        };
        Ok(Handle {
            queue: Arc::clone(self),
            id: row.id,
            is_repeat,
        })
    }

    /// The row of a job.
    async fn row(&self, id: &str) -> Result<JobRow, Error> {
        let row = self.dispatch.store.job(id.to_owned()).await?;
        row.ok_or_else(|| Error::no_job(id))
    }
}

impl Engine {
    /// Accepts a job: when this returns, the job is recorded, and is carried to its end whatever is restarted. It names its account
    /// ([`Job::account_name`]); the provider of [`Options::accounts`](crate::Options::accounts) gives the tokens when they are needed.
    ///
    /// With a caller's id ([`Job::id`]), the same job again is the same job, in whatever state it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a value out of its range, an account that the provider does not know, a job
    /// that cannot be kept (media that the caller has opened, `again` without an id), and another job under a known id;
    /// [`ErrorKind::Source`](crate::ErrorKind::Source) for a file outside of the directory of [`Job::beneath`];
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be written.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the job is recorded or it is not: with a caller's id, the same call again returns that job, or records the job.
    pub async fn submit(&self, job: Job) -> Result<Handle, Error> {
        if let What::Body { name } = &job.what {
            return Err(Error::usage(format!(
                "{name} has no bytes yet: a video is taken in, and then submitted."
            )));
        }
        let wish = self.wish_of(&job).await?;
        wish::check_root(&job).await?;
        let queue = self.queue()?;
        queue.handle_of(queue.dispatch.accept(wish).await?)
    }

    /// Whether [`submit`](Self::submit) would accept a job, as far as that can be seen without recording it: its values and its account,
    /// not its caller's id.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub async fn check(&self, job: &Job) -> Result<(), Error> {
        self.wish_of(job).await?;
        wish::check_root(job).await
    }

    /// What is kept of a job, if its values are all in their ranges and there is such an account.
    async fn wish_of(&self, job: &Job) -> Result<Wish, Error> {
        job.check()?;
        if let What::Remote(remote) = &job.what {
            self.0.sources.complete(remote)?;
        }
        let queue = self.queue()?;
        let wish = wish::of(job, &self.0.api_base)?;
        if job.account.is_some() {
            return Ok(wish);
        }
        let account = queue.dispatch.account(&wish.account)?;
        if let Err(error) = account.tokens().token(None).await
            && error.is_unknown()
        {
            return Err(Error::no_account(&wish.account, &error));
        }
        Ok(wish)
    }

    /// What is known of a job of the queue.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be read.
    pub async fn job(&self, id: &str) -> Result<Option<JobRecord>, Error> {
        self.queue()?.record(id).await
    }

    /// A handle of a job, to wait for its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if there is no such job; otherwise as [`job`](Self::job).
    pub async fn handle(&self, id: &str) -> Result<Handle, Error> {
        let queue = self.queue()?;
        let row = queue.row(id).await?;
        Ok(Handle {
            queue: Arc::clone(queue),
            id: row.id,
            is_repeat: true,
        })
    }

    /// The outbox: at most `limit` notices after that number. Each end of a job is there, and each time that a job began or ceased to
    /// wait for a person; a number is never given twice, and none is passed over. Notices are kept for 30 days.
    ///
    /// # Errors
    ///
    /// As [`job`](Self::job).
    pub async fn notices(&self, after: u64, limit: usize) -> Result<Vec<JobNotice>, Error> {
        let news = self.queue()?.dispatch.store.news(after, limit).await?;
        Ok(news.into_iter().map(JobNotice::from).collect())
    }

    /// The number of the last notice that the outbox has given, 0 if it has given none: where a reader begins that wants no notices
    /// of the past.
    ///
    /// # Errors
    ///
    /// As [`job`](Self::job).
    pub async fn last_notice(&self) -> Result<u64, Error> {
        Ok(self.queue()?.dispatch.store.last_news().await?)
    }

    /// What happens to the jobs from now on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the engine has no queue.
    pub fn events(&self) -> Result<JobEvents, Error> {
        Ok(JobEvents(self.queue()?.dispatch.events.subscribe()))
    }

    /// Stops to begin jobs, and stops all uploads as soon as their chunk in flight is acknowledged, or at the deadline. Jobs go on
    /// where they stood when the next engine opens the state directory. Drop the engine, or [`close`](Self::close) it, afterwards.
    pub async fn shut_down(&self, deadline: Duration) {
        if let Ok(queue) = self.queue() {
            self.0.draining.store(true, Ordering::Relaxed);
            queue.dispatch.drain(deadline).await;
        }
    }

    fn queue(&self) -> Result<&Arc<Queue>, Error> {
        self.1
            .as_ref()
            .ok_or_else(|| Error::usage("This engine has no queue."))
    }
}

impl Dispatch {
    fn account(&self, name: &str) -> Result<Account, Error> {
        match &self.providing {
            Some(providing) => Ok(providing.account(name)),
            None => Err(Error::usage(format!(
                "Nobody gives tokens for \"{name}\": the engine was opened without a provider of accounts."
            ))),
        }
    }

    /// Removes notices that are older than 30 days.
    async fn forget_old_news(&self, now: Timestamp) {
        let before = Timestamp(now.0.saturating_sub(KEPT.as_millis() as u64));
        if let Err(error) = self.store.drop_news(before).await {
            tracing::warn!(%error, "old notices were not dropped");
        }
    }
}

#[cfg(all(test, feature = "emulator"))]
mod tests;
