//! Reading a video again, beside everything else.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::error::{Error, Remedy};
use crate::source::{OpenVideo, Proof, prove};
use crate::upload::Identity;
use crate::upload::ledger::Entry;
use crate::upload::plan::Plan;

/// A comparison that goes on while the upload does. Dropping it ends the reading.
#[derive(Debug)]
pub(super) struct Rehash {
    task: JoinSet<Result<Proof, Error>>,
}

impl Rehash {
    /// Compares `entries` with the video, whose identity was `as_of` before anything that is sent from now on was read.
    pub(super) fn start(
        media: Arc<dyn OpenVideo>,
        as_of: Identity,
        plan: Plan,
        entries: Vec<Entry>,
    ) -> Self {
        let mut task = JoinSet::new();
        task.spawn(async move { prove(&*media, as_of, &plan, entries).await });
        Self { task }
    }

    /// The proof, if it is made.
    pub(super) fn peek(&mut self) -> Option<Result<Proof, Error>> {
        let made = self.task.try_join_next()?;
        Some(made.unwrap_or_else(|panic| Err(ended_early(panic))))
    }

    /// Waits for the proof.
    pub(super) async fn proof(&mut self) -> Result<Proof, Error> {
        match self.task.join_next().await {
            Some(Ok(made)) => made,
            Some(Err(panic)) => Err(ended_early(panic)),
            None => Err(ended_early("it was taken before")),
        }
    }
}

fn ended_early(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::state("The comparison with the file ended early", why).helped_by([Remedy::CarryOn])
}
