//! Reading a file again, beside everything else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::error::Error;
use crate::ledger::Entry;
use crate::plan::Plan;
use crate::source::{Proof, Source};

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

/// Compares what was sent of an upload with what its file holds now.
pub(super) async fn prove(source: Source, plan: Plan, entries: Vec<Entry>) -> Result<Proof, Error> {
    blocking(&source, move |source, cancel| {
        source.prove(&plan, &entries, cancel)
    })
    .await
}

/// A proof that is being made while the upload goes on. Dropping it ends the reading.
#[derive(Debug)]
pub(super) struct Rehash {
    task: JoinSet<Result<Proof, Error>>,
    done: Option<Proof>,
}

impl Rehash {
    pub(super) fn start(source: Source, plan: Plan, entries: Vec<Entry>) -> Self {
        let mut task = JoinSet::new();
        task.spawn(prove(source, plan, entries));
        Self { task, done: None }
    }

    /// The proof, if it is made.
    pub(super) fn peek(&mut self) -> Option<Proof> {
        if let Some(made) = self.task.try_join_next() {
            self.done = Some(made.ok().and_then(Result::ok).unwrap_or(Proof::Restless));
        }
        self.done
    }

    /// Waits for the proof. A file that could not be read counts as one that does not hold still.
    pub(super) async fn proof(&mut self) -> Proof {
        if let Some(made) = self.task.join_next().await {
            self.done = Some(made.ok().and_then(Result::ok).unwrap_or(Proof::Restless));
        }
        self.done.unwrap_or(Proof::Restless)
    }
}
