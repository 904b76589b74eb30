//! What people do to jobs: pause, cancel, retry and forget, one of them or all that fit a filter.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures::{StreamExt, TryStreamExt, stream};

use super::filter::{PAGE, Pages};
use super::{JobFilter, JobRecord, Queue, outcome};
use crate::engine::Engine;
use crate::error::Error;
use crate::journal::queue::{Change, JobRow, JobState};

/// Jobs that are changed at once, so that they share the syncs of the disk.
const AT_ONCE: usize = 16;

/// What has become of the jobs that fit a filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobsChanged {
    /// Jobs that fitted the filter when their page was read.
    pub matched: u64,
    /// Jobs among them that were changed. The others were so already, had left the state that the filter
    /// asks for, or the change means nothing to them.
    pub changed: u64,
}

/// What a change has done to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// The job was no longer in the state that was asked for.
    Unfit,
    /// The job was so already, or the change means nothing to it.
    Nothing,
    Changed,
}

impl Queue {
    /// Changes a job, if its state fits the filter, and puts the job where its row says.
    async fn change(
        &self,
        id: &str,
        filter: &Arc<JobFilter>,
        change: impl Fn(&mut JobRow) -> Change + Send + Sync + 'static,
    ) -> Result<(JobRow, Done), Error> {
        let done = Arc::new(Mutex::new(Done::Unfit));
        let (filter, dispatch) = (Arc::clone(filter), Arc::clone(&self.dispatch));
        let seen = Arc::clone(&done);
        let row = self.dispatch.change(id, None, move |row| {
            let (change, done) = match filter.fits_state(row, dispatch.is_running(&row.id)) {
                false => (Change::Nothing, Done::Unfit),
                true => match change(row) {
                    Change::Nothing => (Change::Nothing, Done::Nothing),
                    change => (change, Done::Changed),
                },
            };
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = done;
            change
        });
        let row = row.await?.ok_or_else(|| Error::no_job(id))?;
        let done = *done.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((row, done))
    }

    /// Holds a job back, and returns once it does not run.
    async fn pause(&self, id: &str, filter: &Arc<JobFilter>) -> Result<Done, Error> {
        let held = self.change(id, filter, |row| match row.has_ended() || row.paused {
            true => Change::Nothing,
            false => {
                row.paused = true;
                Change::Quiet
            }
        });
        let (_, done) = held.await?;
        if done != Done::Unfit {
            self.dispatch.stop(id).await;
        }
        Ok(done)
    }

    async fn cancel(&self, id: &str, filter: &Arc<JobFilter>) -> Result<(JobRow, Done), Error> {
        let mut filter = Arc::clone(filter);
        loop {
            let end = outcome::end_of(&Error::cancelled());
            let (dispatch, of) = (Arc::clone(&self.dispatch), id.to_owned());
            let ended = self.change(id, &filter, move |row| {
                if row.has_ended() {
                    return Change::Nothing;
                }
                // A job that runs is held back until it does not: somebody may let it go on meanwhile.
                if dispatch.is_running(&of) {
                    return match std::mem::replace(&mut row.paused, true) {
                        true => Change::Nothing,
                        false => Change::Quiet,
                    };
                }
                row.state = JobState::Ended { end: end.clone() };
                Change::News("ended")
            });
            let (row, done) = ended.await?;
            if row.has_ended() || done == Done::Unfit {
                return Ok((row, done));
            }
            self.dispatch.stop(id).await;
            // The job has left its state because of this call.
            filter = Arc::default();
        }
    }

    async fn retry(&self, id: &str, filter: &Arc<JobFilter>) -> Result<(JobRow, Done), Error> {
        let (dispatch, of) = (Arc::clone(&self.dispatch), id.to_owned());
        let now = self.change(id, filter, move |row| {
            if row.has_ended() || dispatch.is_running(&of) && !row.paused {
                return Change::Nothing;
            }
            let next = JobState::Queued {
                not_before: None,
                why: None,
            };
            if !row.paused && row.failing_ms == 0 && row.state == next {
                return Change::Nothing;
            }
            row.paused = false;
            row.failing_ms = 0;
            match std::mem::replace(&mut row.state, next) {
                JobState::Parked { .. } => Change::News("unparked"),
                _ => Change::Quiet,
            }
        });
        now.await
    }

    async fn forget(&self, id: &str) -> Result<bool, Error> {
        Ok(self.dispatch.store.remove_job(id.to_owned()).await?)
    }

    /// Changes each job that fits the filter and was accepted before this call; `change` says whether it did.
    async fn change_all<C>(
        &self,
        filter: &JobFilter,
        change: impl Fn(String) -> C,
    ) -> Result<JobsChanged, Error>
    where
        C: Future<Output = Result<bool, Error>>,
    {
        let begun = SystemTime::now();
        let mut all = JobsChanged::default();
        let mut pages = Pages::new(self, filter, None, PAGE)?;
        while let Some(page) = pages.next().await? {
            let jobs = page.into_iter().filter(|job| job.created <= begun);
            let changes = stream::iter(jobs.map(|job| change(job.id)));
            let mut changes = changes.buffer_unordered(AT_ONCE);
            while let Some(changed) = changes.try_next().await? {
                all.matched += 1;
                all.changed += u64::from(changed);
            }
        }
        Ok(all)
    }
}

/// The change of one of many jobs: one that is forgotten meanwhile is not changed.
fn of_many<T>(changed: Result<T, Error>, is: impl Fn(T) -> bool) -> Result<bool, Error> {
    match changed {
        Ok(changed) => Ok(is(changed)),
        Err(error) if error.kind() == crate::ErrorKind::Usage => Ok(false),
        Err(error) => Err(error),
    }
}

impl Engine {
    /// Ends a job that has not ended. A chunk that is in flight is cut; whether there is a draft is as with any upload that is stopped.
    ///
    /// # Errors
    ///
    /// As [`handle`](Self::handle).
    pub async fn cancel_job(&self, id: &str) -> Result<JobRecord, Error> {
        let queue = self.queue()?;
        let (row, _) = queue.cancel(id, &Arc::default()).await?;
        Ok(queue.dispatch.record(row))
    }

    /// Holds a job back until [`retry_job`](Self::retry_job). One that runs is stopped, and carries on later.
    ///
    /// # Errors
    ///
    /// As [`handle`](Self::handle).
    pub async fn pause_job(&self, id: &str) -> Result<JobRecord, Error> {
        let queue = self.queue()?;
        queue.pause(id, &Arc::default()).await?;
        Ok(queue.dispatch.record(queue.row(id).await?))
    }

    /// Runs a job now that is paused, waits for a person, or waits to be tried again. A job that has ended stays as it is.
    ///
    /// # Errors
    ///
    /// As [`handle`](Self::handle).
    pub async fn retry_job(&self, id: &str) -> Result<JobRecord, Error> {
        let queue = self.queue()?;
        let (row, _) = queue.retry(id, &Arc::default()).await?;
        Ok(queue.dispatch.record(row))
    }

    /// Drops a job that has ended; the caller's id stays taken. Its upload is kept: see [`forget`](Self::forget). Returns whether
    /// there was such a job.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be written.
    pub async fn forget_job(&self, id: &str) -> Result<bool, Error> {
        self.queue()?.forget(id).await
    }

    /// [Cancels](Self::cancel_job) each job that fits the filter and was accepted before this call. Each is changed in a step of its own:
    /// after an error, or if the future is dropped, some are changed, and the same call changes the others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a state that no job has, and
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be read or written.
    pub async fn cancel_jobs(&self, filter: &JobFilter) -> Result<JobsChanged, Error> {
        let queue = self.queue()?;
        let only = &Arc::new(filter.clone());
        let cancel = |id: String| async move {
            of_many(queue.cancel(&id, only).await, |(_, done)| {
                done == Done::Changed
            })
        };
        queue.change_all(filter, cancel).await
    }

    /// [Holds back](Self::pause_job) each job that fits the filter, as [`cancel_jobs`](Self::cancel_jobs) does it.
    ///
    /// # Errors
    ///
    /// As [`cancel_jobs`](Self::cancel_jobs).
    pub async fn pause_jobs(&self, filter: &JobFilter) -> Result<JobsChanged, Error> {
        let queue = self.queue()?;
        let only = &Arc::new(filter.clone());
        let pause = |id: String| async move {
            of_many(queue.pause(&id, only).await, |done| done == Done::Changed)
        };
        queue.change_all(filter, pause).await
    }

    /// [Runs now](Self::retry_job) each job that fits the filter, as [`cancel_jobs`](Self::cancel_jobs) does it.
    ///
    /// # Errors
    ///
    /// As [`cancel_jobs`](Self::cancel_jobs).
    pub async fn retry_jobs(&self, filter: &JobFilter) -> Result<JobsChanged, Error> {
        let queue = self.queue()?;
        let only = &Arc::new(filter.clone());
        let retry = |id: String| async move {
            of_many(queue.retry(&id, only).await, |(_, done)| {
                done == Done::Changed
            })
        };
        queue.change_all(filter, retry).await
    }

    /// [Drops](Self::forget_job) each job that fits the filter and has ended, as [`cancel_jobs`](Self::cancel_jobs) does it.
    ///
    /// # Errors
    ///
    /// As [`cancel_jobs`](Self::cancel_jobs).
    pub async fn forget_jobs(&self, filter: &JobFilter) -> Result<JobsChanged, Error> {
        let queue = self.queue()?;
        let forget = |id: String| async move { queue.forget(&id).await };
        queue.change_all(filter, forget).await
    }
}
