//! Single jobs of a queue that runs none by itself, and the jobs of ids.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::dispatch::Dispatch;
use super::{JobRecord, Queue};
use crate::account::Account;
use crate::engine::Engine;
use crate::error::Error;
use crate::journal::queue::{Wish, WishKind};

/// A task that ends with this.
struct Cut(JoinHandle<()>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Queue {
    /// Removes the videos that earlier processes have left, once, where no jobs are run: they are read for that.
    pub(super) async fn tidy(&self) {
        if self.task.is_none() {
            let tidied = &self.dispatch.tidied;
            tidied.get_or_init(|| self.dispatch.read_all()).await;
        }
    }
}

impl Dispatch {
    /// An error with the name of the video that came with its job, instead of that of the file where it is kept.
    pub(super) fn named(&self, error: Error, wish: &Wish) -> Error {
        let WishKind::Body { name, file, .. } = &wish.what else {
            return error;
        };
        let path = self.spool.path(file);
        let file = path.file_name().unwrap_or(path.as_os_str());
        let error = error.renamed(&path.to_string_lossy(), name);
        error.renamed(&file.to_string_lossy(), name)
    }
}

impl Engine {
    /// Runs one job of the queue of an engine that was opened [paused](crate::Options::paused), once, with the tokens of this account,
    /// and returns what is known of the job then. Its [`events`](Self::events) tell how it goes. A job that is held back, or waits, is
    /// let go by [`retry_job`](Self::retry_job) first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the job runs already, or is for another account or API base; otherwise as
    /// [`job`](Self::job). How the upload ended is no error of this call.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the upload is stopped, as that of [`upload`](Self::upload) is; the job stays in the queue.
    pub async fn run_job(&self, id: &str, account: Account) -> Result<JobRecord, Error> {
        let queue = self.queue()?;
        let row = queue.row(id).await?;
        let dispatch = &queue.dispatch;
        if row.wish.account != account.name() || row.wish.api_base != dispatch.api_base {
            return Err(Error::usage(format!(
                "The job {id} is for another account, or another API."
            )));
        }
        let run = dispatch.lines().take(&row.wish.account, id);
        let run = run.ok_or_else(|| Error::usage(format!("The job {id} runs already.")))?;
        let span = tracing::info_span!("job", job = id);
        let shared = Arc::clone(&self.0);
        let carried = Arc::clone(dispatch).carry(shared, id.to_owned(), run, Some(account));
        let mut task = Cut(tokio::spawn(carried.instrument(span)));
        // One that was cut, or has panicked, leaves the job in the queue.
        let _ = (&mut task.0).await;
        let record = queue.record(id).await?;
        record.ok_or_else(|| Error::no_job(id))
    }

    /// The job of an account that has this id of its caller; see [`Job::id`](crate::Job::id).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if that job is for another API base, or is forgotten; otherwise as
    /// [`job`](Self::job).
    pub async fn job_under(
        &self,
        account: &str,
        caller_id: &str,
    ) -> Result<Option<JobRecord>, Error> {
        let queue = self.queue()?;
        let store = &queue.dispatch.store;
        let found = store.job_under(account.to_owned(), caller_id.to_owned());
        let Some(id) = found.await? else {
            return Ok(None);
        };
        match store.job(id.clone()).await? {
            None => Err(Error::forgotten_job(id)),
            Some(row) if row.wish.api_base != queue.dispatch.api_base => {
                Err(Error::other_wish(id, "api_base".to_owned()))
            }
            Some(row) => Ok(Some(queue.dispatch.record(row))),
        }
    }
}
