//! The pause of a whole queue: durable, and apart from the pauses of its jobs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde::Serialize;

use super::dispatch::{AGAIN, Dispatch, whole};
use super::record::maybe;
use crate::clock::{self, Now, Timestamp};
use crate::engine::Engine;
use crate::error::Error;

/// The queue as it is now. Serialised, times are texts by RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueState {
    /// Whether [`Engine::pause_all`] holds all jobs back.
    pub paused: bool,
    /// Since when.
    #[serde(serialize_with = "maybe")]
    pub paused_since: Option<SystemTime>,
    /// Jobs that run, those included that wait for their turn at the service.
    pub running: usize,
}

impl Dispatch {
    /// Reads whether the queue is paused.
    pub(super) async fn read_halt(&self) {
        let _turn = self.halting.lock().await;
        loop {
            match self.store.halted().await {
                Ok(since) => return self.halted.store(since.is_some(), Ordering::SeqCst),
                Err(error) => {
                    tracing::error!(%error, "whether the queue is paused cannot be read");
                    clock::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Records whether the queue is paused, and returns once it is: no job runs then.
    async fn set_halt(self: Arc<Self>, halt: bool) -> Result<(), Error> {
        let set = whole(async move {
            let turn = self.halting.lock().await;
            let since = self.store.halted().await?;
            if since.is_some() != halt {
                let since: Option<Timestamp> = halt.then(|| Now::read().wall);
                self.store.set_halted(since).await?;
            }
            self.halted.store(halt, Ordering::SeqCst);
            drop(turn);
            match halt {
                true => self.stop_all().await,
                false => self.wake(),
            }
            Ok(())
        });
        Ok(set.await?)
    }
}

impl Engine {
    /// Holds all jobs back, over restarts, until [`resume_all`](Self::resume_all). Jobs that run are stopped and carry on later, and
    /// when this returns none runs. Jobs are still accepted; those that [`pause_job`](Self::pause_job) holds back stay so afterwards.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be read or written.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the queue is paused all the same.
    pub async fn pause_all(&self) -> Result<QueueState, Error> {
        Arc::clone(&self.queue()?.dispatch).set_halt(true).await?;
        self.queue_state().await
    }

    /// Ends [`pause_all`](Self::pause_all). Without such a pause nothing happens.
    ///
    /// # Errors
    ///
    /// As [`pause_all`](Self::pause_all).
    pub async fn resume_all(&self) -> Result<QueueState, Error> {
        Arc::clone(&self.queue()?.dispatch).set_halt(false).await?;
        self.queue_state().await
    }

    /// Whether the queue is paused, and how many jobs run.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be read.
    pub async fn queue_state(&self) -> Result<QueueState, Error> {
        let dispatch = &self.queue()?.dispatch;
        let since = dispatch.store.halted().await?;
        let running = dispatch.lines().running.len();
        Ok(QueueState {
            paused: since.is_some(),
            paused_since: since.map(SystemTime::from),
            running,
        })
    }
}
