//! The embedded store: one sled database in the state directory, owned by one process at a time.
//!
//! sled's own flush ends in `sync_file_range`, which survives a crash of the process but not a power cut; so every step
//! is followed by `fdatasync` on the database file. Pages stay below the size at which sled moves them into separate files
//! that it never syncs: segments are large, and the ledger is kept as one key for each chunk.

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sled::{Batch, Db};

use super::creators::Creator;
use super::history::History;
use super::lock::{Lock, Released};
use super::own;
use super::sealed::Sealed;
use super::status::StatusFile;
use super::store::{
    Answer, ApiAccount, Ask, Cursor, Found, Grant, Lease, Owner, Page, PendingCap, ProgressStore,
    Question, Rate, Recall, Reservation, Reserved, Trait,
};
use super::store_error::StoreError;
use super::windows::Windows;
use crate::clock::{StoreClock, Timestamp};
use crate::error::Error;
use crate::failpoint::reach;
use crate::upload::ledger::Entry;
use crate::upload::{Key, State, Upload};

mod database;
mod forget;
mod inits;
mod jobs;
mod keys;
mod leases;
mod mend;
mod outbox;
mod pages;
mod past;
mod reserved;
mod rows;
mod same;
mod settings;
mod syncs;

use database::Trouble;
use past::Past;
use reserved::Reservations;
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
    owner: Owner,
    clock: StoreClock,
    reserved: Reservations,
    /// The ids of uploads that somebody has asked to stop.
    stops: Mutex<BTreeSet<String>>,
    windows: Windows,
    /// Whether lines of the history that somebody has moved were looked for.
    relearned: AtomicBool,
    /// The last entry of the outbox that this process knows to be durable.
    durable_news: AtomicU64,
    /// Whether a job was left out that cannot be read.
    left_out_jobs: AtomicBool,
    lock: Arc<Lock>,
}

impl SledStore {
    /// Opens the store in `dir`, which is made if need be. Blocks for some milliseconds.
    pub(crate) fn open(dir: &Path, doing: &str) -> Result<Self, Error> {
        own::state_dir(dir)?;
        Self::open_locked(dir, Lock::take(dir, doing)?)
    }

    #[cfg(test)]
    pub(super) fn clock(&self) -> &StoreClock {
        &self.0.clock
    }

    /// Runs one step where blocking does no harm.
    fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
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

    fn save(
        &self,
        lease: Lease,
        mut row: Upload,
        entry: Option<(u32, Entry)>,
    ) -> Result<(), StoreError> {
        let writing = lock(&self.writing);
        let Some(stored) = self.fence(lease, &mut row)? else {
            return Ok(());
        };
        reach("saving", row.state.name());
        let mut batch = Batch::default();
        if matches!(stored.state, State::InitIntent) {
            self.settle_init(&mut batch, &row)?;
        }
        if row.state.is_final() {
            self.end(&mut batch, &row)?;
        } else {
            self.note(&stored, &row)?;
            self.put(&mut batch, Some(&stored), &row)?;
            if let Some((index, entry)) = entry {
                batch.insert(keys::entry(&row.id, index), &entry);
            }
        }
        self.apply(batch)?;
        self.status.note(&row);
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
    fn reserve(&self, key: Key, fingerprint: Option<String>) -> Answer<'_, Reserved> {
        Box::pin(async move { Ok(self.0.reserved.reserve(self.0.owner, (key, fingerprint))) })
    }

    fn free(&self, reservation: &Reservation) {
        self.0.reserved.free(reservation);
    }

    fn submit(&self, reservation: &Reservation, row: Upload) -> Answer<'_, Lease> {
        if let Err(error) = self.0.reserved.check(reservation, &row.id) {
            return Box::pin(async { Err(error) });
        }
        let caller = Arc::new(());
        let called = Arc::downgrade(&caller);
        let step = self.run(move |store| store.submit(&row, &called));
        Box::pin(async move {
            let _caller = caller;
            step.await
        })
    }

    fn claim(&self, key: Key, id: String) -> Answer<'_, (Upload, Lease)> {
        let caller = Arc::new(());
        let called = Arc::downgrade(&caller);
        let step = self.run(move |store| store.claim(&key, &id, &called));
        Box::pin(async move {
            let _caller = caller;
            step.await
        })
    }

    /// No lease of the one process that owns the directory ends before that process.
    fn renew(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async { Ok(lock(&self.0.stops).iter().cloned().collect()) })
    }

    fn release(&self, id: &str, _lease: Lease) {
        lock(&self.0.stops).remove(id);
    }

    fn ask_to_stop(&self, id: String) -> Answer<'_, bool> {
        self.run(move |store| store.ask_to_stop(id))
    }

    fn begin(&self, lease: Lease, row: Upload) -> Answer<'_, Grant> {
        self.run(move |store| store.begin(lease, row))
    }

    fn save(&self, lease: Lease, row: Upload, entry: Option<(u32, Entry)>) -> Answer<'_, ()> {
        self.run(move |store| store.save(lease, row, entry))
    }

    fn find(&self, of: Key) -> Answer<'_, Found> {
        self.run(move |store| {
            // A row that ends meanwhile changes its place.
            let _writing = lock(&store.writing);
            store.same(&of)
        })
    }

    fn alike(&self, key: Key, traits: Vec<Trait>) -> Answer<'_, Found> {
        self.run(move |store| {
            let _writing = lock(&store.writing);
            store.alike(&key, &traits)
        })
    }

    fn at_path(&self, key: Key, path: PathBuf) -> Answer<'_, Vec<Upload>> {
        self.run(move |store| {
            // A row that ends meanwhile leaves its place.
            let _writing = lock(&store.writing);
            store.at_path(&key, &path)
        })
    }

    fn recall(&self, what: Recall) -> Answer<'_, Option<Upload>> {
        self.run(move |store| {
            let _writing = lock(&store.writing);
            store.recall(&what)
        })
    }

    fn unfinished(&self) -> Answer<'_, Vec<Upload>> {
        self.run(|store| {
            let _writing = lock(&store.writing);
            store.unfinished()
        })
    }

    fn ended(&self, after: Option<Cursor>, limit: usize) -> Answer<'_, Page> {
        self.run(move |store| {
            let _writing = lock(&store.writing);
            store.ended(after, limit)
        })
    }

    fn ledger(&self, id: String, chunks: u32) -> Answer<'_, Vec<Entry>> {
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

    fn remove(&self, id: String) -> Answer<'_, bool> {
        self.run(move |store| store.remove(&id))
    }

    fn oldest_delivery(&self, of: Key, since: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.run(move |store| store.oldest_delivery(&of, since))
    }

    fn ask(&self, of: ApiAccount) -> Answer<'_, Ask> {
        Box::pin(async move { Ok(self.0.windows.ask(of, self.0.clock.now())) })
    }

    fn unask(&self, of: ApiAccount, question: Question) -> Answer<'_, ()> {
        Box::pin(async move {
            self.0.windows.unask(&of, question);
            Ok(())
        })
    }

    fn set_pending_cap(&self, of: ApiAccount, cap: PendingCap) -> Answer<'_, ()> {
        Box::pin(async move {
            let now = self.0.clock.now();
            self.0.windows.set_pending_cap(of, cap, now);
            Ok(())
        })
    }

    fn pending_cap(&self, of: ApiAccount) -> Answer<'_, Option<PendingCap>> {
        Box::pin(async move { Ok(self.0.windows.pending_cap(&of, self.0.clock.now())) })
    }

    fn identify(
        &self,
        of: ApiAccount,
        open_id: Option<String>,
        replace: bool,
    ) -> Answer<'_, Creator> {
        self.run(move |store| store.identify(&of, open_id, replace))
    }

    fn forget_creator(&self, account: String) -> Answer<'_, bool> {
        self.run(move |store| store.forget_creator(&account))
    }

    fn rate(&self, api_base: String) -> Answer<'_, Option<Rate>> {
        self.run(move |store| store.rate(&api_base))
    }

    fn set_rate(&self, api_base: String, rate: Rate) -> Answer<'_, ()> {
        self.run(move |store| store.set_rate(&api_base, rate))
    }

    fn released(&self) -> Released {
        self.0.lock.released()
    }
}

#[cfg(test)]
mod tests;
