//! The embedded store: one sled database in the state directory, owned by one process at a time.
//!
//! sled's own flush ends in `sync_file_range`, which survives a crash of the process but not a power cut; so every step
//! is followed by `fdatasync` on the database file. Pages stay below the size at which sled moves them into separate files
//! that it never syncs: segments are large, and the ledger is kept as one key for each chunk.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use sled::{Batch, Db};

use super::history::History;
use super::lock::{Lock, Released};
use super::own;
use super::sealed::Sealed;
use super::status::StatusFile;
use super::{Found, Grant, ProgressStore, Rate, Recall, StoreError, Trait};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::killpoint::reach;
use crate::upload::ledger::Entry;
use crate::upload::{Key, State, Upload};

mod database;
mod forget;
mod inits;
mod keys;
mod mend;
mod past;
mod rows;
mod same;
mod syncs;

use database::Trouble;
use past::Past;
use same::Indexes;
use syncs::Syncs;

#[derive(Debug, Clone)]
pub(crate) struct SledStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    /// A second handle of the database's file, for the sync that sled's flush leaves out.
    file: File,
    path: PathBuf,
    history: History,
    sealed: Sealed,
    status: StatusFile,
    /// Of keys with many uploads.
    indexes: Indexes,
    past: Past,
    /// One step at a time: each reads before it writes. Not held while a step waits for the disk.
    writing: Mutex<()>,
    syncs: Syncs,
    /// Whether lines of the history that somebody has moved were looked for.
    relearned: AtomicBool,
    lock: Arc<Lock>,
}

impl SledStore {
    /// Opens the store in `dir`, which is made if need be. Blocks for some milliseconds.
    pub(crate) fn open(dir: &Path, doing: &str) -> Result<Self, Error> {
        own::state_dir(dir)?;
        Self::open_locked(dir, Lock::take(dir, doing)?)
    }

    /// To wait with until the state directory is free, which it is once the store and each step that is under way are gone.
    pub(crate) fn released(&self) -> Released {
        self.0.lock.released()
    }

    /// All uploads that have not ended, oldest first.
    #[cfg(test)]
    pub(crate) fn unfinished(&self) -> Result<Vec<Upload>, StoreError> {
        self.0.unfinished()
    }

    /// Runs one step where blocking does no harm.
    fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let store = Arc::clone(&inner);
            let done = match tokio::task::spawn_blocking(move || step(&store)).await {
                Ok(Err(error @ StoreError::Damaged { .. })) => error,
                Ok(done) => return done,
                Err(error) => StoreError::unavailable("a step broke off", error),
            };
            // The next open looks at everything, and mends what it finds.
            if let Err(error) = database::suspect(&inner.path) {
                tracing::debug!(%error, "the damage was not noted");
            }
            Err(done)
        })
    }
}

fn cannot(error: sled::Error) -> StoreError {
    Trouble::from(error).at("its database")
}

fn not_noted(error: std::io::Error) -> StoreError {
    StoreError::unavailable("its notes of what may be posted", error)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Inner {
    /// Whoever lists the directory from now on sees each upload as the next process will find it.
    fn drop(&mut self) {
        // sled may panic where it reads damage.
        let rows = std::panic::catch_unwind(AssertUnwindSafe(|| self.unfinished()));
        if let Ok(Ok(rows)) = rows {
            self.status.close(&rows);
        }
    }
}

impl Inner {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.db.apply_batch(batch).map_err(cannot)
    }

    /// Makes everything that was applied durable. Steps that come while another one syncs share the next sync.
    fn sync(&self) -> Result<(), StoreError> {
        self.syncs.share(|| {
            self.db.flush().map_err(cannot)?;
            self.file
                .sync_data()
                .map_err(|error| StoreError::unavailable("syncing it", error))
        })
    }

    /// A row may be written only by its last claimant, and only forward: a save whose caller was dropped may come late,
    /// and then there is nothing left to do. The row as it stands, to be written over.
    fn fence(&self, row: &Upload) -> Result<Option<Upload>, StoreError> {
        match self.get(&row.key, &row.id)? {
            Some(stored) if stored.epoch != row.epoch => {}
            Some(stored) => return Ok((stored.revision < row.revision).then_some(stored)),
            None => return Err(StoreError::Gone(row.id.clone())),
        }
        Err(StoreError::Fenced(row.id.clone()))
    }

    fn save(&self, row: &Upload, entry: Option<(u32, Entry)>) -> Result<(), StoreError> {
        let writing = lock(&self.writing);
        let Some(stored) = self.fence(row)? else {
            return Ok(());
        };
        reach("saving", row.state.name());
        let mut batch = Batch::default();
        if matches!(stored.state, State::InitIntent) {
            self.settle_init(&mut batch, row)?;
        }
        if row.state.is_final() {
            self.end(&mut batch, row)?;
        } else {
            self.note(&stored, row)?;
            self.put(&mut batch, Some(&stored), row)?;
            if let Some((index, entry)) = entry {
                batch.insert(keys::entry(&row.id, index), &entry);
            }
        }
        self.apply(batch)?;
        self.status.note(row);
        drop(writing);
        reach("applied", row.state.name());
        self.sync()?;
        reach("saved", row.state.name());
        if stored.may_be_posted() && !row.may_be_posted() {
            self.sealed.drop_note(&row.id).map_err(not_noted)?;
        }
        self.status.write();
        Ok(())
    }

    /// Leaves a note beside the database before what may make a draft: no damage of the database brings a second one.
    fn note(&self, before: &Upload, row: &Upload) -> Result<(), StoreError> {
        if row.may_be_posted() && !before.may_be_posted() {
            self.sealed.note(row).map_err(not_noted)?;
        }
        Ok(())
    }
}

impl ProgressStore for SledStore {
    fn submit(&self, row: Upload) -> BoxFuture<'_, Result<(), StoreError>> {
        let caller = Arc::new(());
        let called = Arc::downgrade(&caller);
        let step = self.run(move |store| {
            let writing = lock(&store.writing);
            // Whoever gave up waiting may be back for the same video, and must not find it twice.
            if called.strong_count() == 0 || store.get(&row.key, &row.id)?.is_some() {
                return Ok(());
            }
            reach("submit", "before");
            let mut batch = Batch::default();
            store.put(&mut batch, None, &row)?;
            store.apply(batch)?;
            store.status.note(&row);
            drop(writing);
            store.sync()?;
            reach("submit", "after");
            store.status.write();
            Ok(())
        });
        Box::pin(async move {
            let _caller = caller;
            step.await
        })
    }

    fn find(&self, of: Key) -> BoxFuture<'_, Result<Found, StoreError>> {
        self.run(move |store| {
            // A row that ends meanwhile changes its place.
            let _writing = lock(&store.writing);
            store.same(&of)
        })
    }

    fn alike(&self, key: Key, traits: Vec<Trait>) -> BoxFuture<'_, Result<Found, StoreError>> {
        self.run(move |store| {
            let _writing = lock(&store.writing);
            store.alike(&key, &traits)
        })
    }

    fn at_path(&self, key: Key, path: PathBuf) -> BoxFuture<'_, Result<Vec<Upload>, StoreError>> {
        self.run(move |store| {
            // A row that ends meanwhile leaves its place.
            let _writing = lock(&store.writing);
            store.at_path(&key, &path)
        })
    }

    fn recall(&self, what: Recall) -> BoxFuture<'_, Result<Option<Upload>, StoreError>> {
        self.run(move |store| {
            let _writing = lock(&store.writing);
            store.recall(&what)
        })
    }

    fn claim(&self, key: Key, id: String) -> BoxFuture<'_, Result<Upload, StoreError>> {
        let caller = Arc::new(());
        let called = Arc::downgrade(&caller);
        let step = self.run(move |store| {
            let _writing = lock(&store.writing);
            // A job that gave up waiting may be back and own the row by now.
            let found = (called.strong_count() > 0).then(|| store.get(&key, &id));
            let Some(mut row) = found.transpose()?.flatten() else {
                return Err(StoreError::Gone(id));
            };
            reach("claim", "before");
            row.epoch += 1;
            let mut batch = Batch::default();
            // The row of an upload that has ended lies under no path.
            store.put(&mut batch, None, &row)?;
            store.apply(batch)?;
            store.sync()?;
            reach("claim", "after");
            Ok(row)
        });
        Box::pin(async move {
            let _caller = caller;
            step.await
        })
    }

    fn begin(&self, row: Upload, now: Timestamp) -> BoxFuture<'_, Result<Grant, StoreError>> {
        self.run(move |store| store.begin(&row, now))
    }

    fn save(
        &self,
        row: Upload,
        entry: Option<(u32, Entry)>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.run(move |store| store.save(&row, entry))
    }

    fn ledger(&self, id: String, chunks: u32) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>> {
        self.run(move |store| {
            let mut entries = Vec::new();
            for index in 0..chunks {
                let found = store.db.get(keys::entry(&id, index)).map_err(cannot)?;
                let Some(entry) = found.and_then(|bytes| Entry::try_from(&bytes[..]).ok()) else {
                    break;
                };
                entries.push(entry);
            }
            Ok(entries)
        })
    }

    fn remove(&self, id: String) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.run(move |store| store.remove(&id))
    }

    fn oldest_delivery(
        &self,
        of: Key,
        since: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>> {
        self.run(move |store| {
            let history = |error| StoreError::unavailable("its history", error);
            let mut oldest = None;
            for line in store.history.lines(0).map_err(history)? {
                let (_, row) = line.map_err(history)?;
                if let State::Delivered { at, .. } = row.state
                    && at >= since
                    && row.key.has_scope_of(&of)
                {
                    oldest = oldest.into_iter().chain([at]).min();
                }
            }
            Ok(oldest)
        })
    }

    fn creator(&self, of: Key, open_id: String) -> BoxFuture<'_, Result<String, StoreError>> {
        self.run(move |store| {
            let writing = lock(&store.writing);
            let key = keys::creator(&of);
            if let Some(kept) = store.db.get(&key).map_err(cannot)? {
                return Ok(String::from_utf8_lossy(&kept).into_owned());
            }
            store.db.insert(key, open_id.as_bytes()).map_err(cannot)?;
            drop(writing);
            store.sync()?;
            Ok(open_id)
        })
    }

    fn forget_creator(&self, account: String) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.run(move |store| {
            let writing = lock(&store.writing);
            let mut batch = Batch::default();
            let mut any = false;
            for found in store.db.scan_prefix(keys::creators(&account)).keys() {
                batch.remove(found.map_err(cannot)?);
                any = true;
            }
            store.apply(batch)?;
            drop(writing);
            store.sync()?;
            Ok(any)
        })
    }

    fn rate(&self, api_base: String) -> BoxFuture<'_, Result<Option<Rate>, StoreError>> {
        self.run(move |store| {
            let found = store.db.get(keys::rate(&api_base)).map_err(cannot)?;
            Ok(found.and_then(|text| serde_json::from_slice(&text).ok()))
        })
    }

    fn set_rate(&self, api_base: String, rate: Rate) -> BoxFuture<'_, Result<(), StoreError>> {
        self.run(move |store| {
            let text = serde_json::to_vec(&rate)
                .map_err(|error| StoreError::unavailable("writing a rate", error))?;
            store
                .db
                .insert(keys::rate(&api_base), text)
                .map_err(cannot)?;
            reach("rate", "kept");
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
