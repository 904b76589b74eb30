//! What happens to jobs at this moment, for whoever watches.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::engine::draft::Draft;
use crate::error::Error;
use crate::upload::event::{Event, Progress};

/// Something that happens to a job of the queue at this moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum JobEvent {
    /// An event of the job's upload.
    Upload {
        /// The job's id.
        job: String,
        /// The event.
        event: Event,
    },
    /// A run of the job has ended; what becomes of the job is recorded next.
    Ran {
        /// The job's id.
        job: String,
        /// How the run ended.
        ended: Arc<Result<Draft, Error>>,
        /// How far the upload was.
        progress: Progress,
    },
    /// The job has changed: it was accepted, runs, waits, or has ended. [`Engine::job`](crate::Engine::job) says what it is now.
    Changed {
        /// The job's id.
        job: String,
    },
    /// The reader was too slow, and so many events are lost to it. No change of a job is: the outbox has the ends.
    Missed {
        /// How many.
        events: u64,
    },
}

/// What happens to the jobs of a queue, from now on. Events wait for a slow reader up to a number, and are then dropped; what must
/// not be missed is in the outbox ([`Engine::notices`](crate::Engine::notices)).
#[derive(Debug)]
pub struct JobEvents(pub(super) broadcast::Receiver<JobEvent>);

impl JobEvents {
    /// The next event; `None` when the engine is gone. Safe to drop between polls.
    pub async fn next(&mut self) -> Option<JobEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(events)) => Some(JobEvent::Missed { events }),
            Err(RecvError::Closed) => None,
        }
    }
}
