//! Saves rows, and reads ledgers whose last entry is not saved yet.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::Shared;
use super::metrics::Store;
use crate::clock::Now;
use crate::error::Error;
use crate::journal::{Lease, ProgressStore, StoreError};
use crate::upload::event::Event;
use crate::upload::ledger::Entry;
use crate::upload::{Applied, Reply, Upload};

/// A save that is under way. It goes on if this is dropped: a save that comes late changes nothing.
#[derive(Debug)]
pub(super) struct Saving {
    task: JoinHandle<Result<(), StoreError>>,
    /// How the save ended, once it has.
    done: Option<Result<(), Error>>,
    entry: Option<(u32, Entry)>,
    /// What to show once the row is saved.
    event: Option<Event>,
}

impl Saving {
    /// Begins to save `row`, with the ledger entry of a chunk that it confirms.
    pub(super) fn start(
        shared: &Arc<Shared>,
        lease: Lease,
        row: Upload,
        entry: Option<(u32, Entry)>,
        event: Option<Event>,
    ) -> Self {
        let shared = Arc::clone(shared);
        let save = async move {
            let save = shared.journal.save(lease, row, entry);
            shared.counters.timed(Store::Save, save).await
        };
        Self {
            task: tokio::spawn(save.in_current_span()),
            done: None,
            entry,
            event,
        }
    }

    /// Whether it is the record of a chunk that is not the last one: the next chunk may begin beside it.
    pub(super) const fn is_of_chunk(&self) -> bool {
        matches!(self.event, Some(Event::ChunkAccepted { .. }))
    }

    /// What to show, if the save has ended well.
    pub(super) fn ended(self) -> Result<Option<Event>, Error> {
        self.done.transpose()?;
        Ok(self.event)
    }

    /// Waits for the end of the save. Safe to drop, and to call again.
    pub(super) async fn wait(&mut self) {
        if self.done.is_none() {
            let done = match (&mut self.task).await {
                Ok(saved) => saved.map_err(Error::from),
                Err(error) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic());
                }
                Err(_) => Err(Error::cancelled()),
            };
            self.done = Some(done);
        }
    }
}

/// The ledger of an upload whose last entry may not be saved yet.
pub(super) struct Ledger<'a> {
    journal: &'a dyn ProgressStore,
    unsaved: Option<(u32, Entry)>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(shared: &'a Shared, saving: Option<&Saving>) -> Self {
        Self {
            journal: &*shared.journal,
            unsaved: saving.and_then(|saving| saving.entry),
        }
    }

    /// The entries of all chunks that are confirmed.
    pub(super) async fn entries(&self, upload: &Upload) -> Result<Vec<Entry>, Error> {
        let mut entries = ledger(self.journal, upload).await?;
        if let Some((index, entry)) = self.unsaved
            && entries.len() == index as usize
        {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Applies a reply to a row; with the ledger entry of a chunk that was confirmed by it.
pub(super) fn apply(upload: &mut Upload, reply: Reply) -> (Applied, Option<(u32, Entry)>) {
    let due = upload.confirmed();
    let entry = match &reply {
        Reply::Put(_, Some(running)) | Reply::Adopted(Some(running)) => {
            Some((due, running.entry()))
        }
        _ => None,
    };
    let applied = upload.apply(reply, Now::read(), fastrand::u64(..));
    let confirmed = upload.confirmed() > due;
    (applied, entry.filter(|_| confirmed))
}

/// Applies a reply to a row that no [`Transfer`] has, and saves the row.
pub(super) async fn record(
    shared: &Shared,
    lease: Lease,
    upload: &mut Upload,
    reply: Reply,
) -> Result<(), Error> {
    let (applied, entry) = apply(upload, reply);
    if applied.save {
        let save = shared.journal.save(lease, upload.clone(), entry);
        shared.counters.timed(Store::Save, save).await?;
    }
    Ok(())
}

/// The ledger entries of all confirmed chunks of an upload, as far as they are saved.
pub(super) async fn ledger(
    journal: &dyn ProgressStore,
    upload: &Upload,
) -> Result<Vec<Entry>, Error> {
    Ok(journal
        .ledger(upload.id.clone(), upload.confirmed())
        .await?)
}
