//! Reading a file again, beside everything else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::error::Error;
use crate::source::{Proof, Source};
use crate::upload::Identity;
use crate::upload::ledger::Entry;
use crate::upload::plan::Plan;

/// Runs a read of the whole file where blocking does no harm; dropping the future ends it early.
pub(super) async fn blocking<T: Send + 'static>(
    source: &Source,
    read: impl FnOnce(&Source, &AtomicBool) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    struct Cancel(Arc<AtomicBool>);
    impl Drop for Cancel {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let cancel = Cancel(Arc::default());
    let (flag, reader) = (Arc::clone(&cancel.0), source.clone());
    let read = tokio::task::spawn_blocking(move || read(&reader, &flag)).await;
    let unreadable = |error| Error::unreadable(source.path(), error);
    read.map_err(|error| unreadable(io::Error::other(error)))?
        .map_err(unreadable)
}

/// Compares the ledger of the bytes that were sent with the file.
pub(super) async fn prove(
    source: Source,
    as_of: Identity,
    plan: Plan,
    entries: Vec<Entry>,
) -> Result<Proof, Error> {
    blocking(&source, move |source, cancel| {
        source.prove(as_of, &plan, &entries, cancel)
    })
    .await
}

/// A comparison that goes on while the upload does. Dropping it ends the reading.
#[derive(Debug)]
pub(super) struct Rehash {
    task: JoinSet<Result<Proof, Error>>,
}

impl Rehash {
    /// Compares `entries` with the file, whose identity was `as_of` before anything that is sent from now on was read.
    pub(super) fn start(source: Source, as_of: Identity, plan: Plan, entries: Vec<Entry>) -> Self {
        let mut task = JoinSet::new();
        task.spawn(prove(source, as_of, plan, entries));
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

fn ended_early(why: impl std::fmt::Display) -> Error {
    let why = io::Error::other(format!("the comparison with the file ended early ({why})"));
    Error::state(why.to_string(), why)
}
