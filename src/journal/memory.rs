//! A store in memory, for tests: several owners, leases that end, and a clock that a test sets.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::creators::Creator;
use super::lock::Released;
use super::record::Record;
use super::store::{
    Answer, ApiAccount, Ask, Cursor, Found, Grant, Lease, Owner, Page, PendingCap, ProgressStore,
    Question, Rate, Recall, Reservation, Reserved, Trait,
};
use super::store_error::StoreError;
use super::windows::Windows;
use crate::clock::{Now, StoreClock, Timestamp};
use crate::tiktok::limits::INITS_A_MINUTE;
use crate::upload::ledger::Entry;
use crate::upload::retry::WINDOW;
use crate::upload::{Key, State, Upload};

mod tables;

use tables::{Held, Row, Tables, scope};

/// One opened store; [`MemoryStore::another_owner`] opens the same rows once more, as another process would.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    shared: Arc<Shared>,
    owner: Owner,
    open: watch::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    tables: Mutex<Tables>,
    windows: Windows,
    clock: StoreClock,
    /// How long a lease lasts.
    lease: Duration,
    /// Each save takes one of these.
    saves: Semaphore,
}

impl MemoryStore {
    pub(crate) fn new(lease: Duration) -> Self {
        Self::open(Arc::new(Shared {
            saves: Semaphore::new(Semaphore::MAX_PERMITS),
            tables: Mutex::default(),
            windows: Windows::default(),
            clock: StoreClock::default(),
            lease,
        }))
    }

    fn open(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            owner: Owner::random(),
            open: watch::Sender::default(),
        }
    }

    pub(crate) fn another_owner(&self) -> Self {
        Self::open(Arc::clone(&self.shared))
    }

    /// Takes so many more saves, and lets the others wait.
    #[cfg(feature = "emulator")]
    pub(crate) fn hold_saves_after(&self, saves: usize) {
        self.shared.saves.forget_permits(Semaphore::MAX_PERMITS);
        self.shared.saves.add_permits(saves);
    }

    pub(crate) fn clock(&self) -> &StoreClock {
        &self.shared.clock
    }

    /// The texts of all rows.
    pub(super) fn readable(&self) -> String {
        let tables = self.tables();
        tables.rows.values().map(|row| &*row.text).collect()
    }

    /// How many secrets there are.
    pub(super) fn secrets(&self) -> usize {
        let tables = self.tables();
        let with_secret = tables.rows.values().filter(|row| row.secret.is_some());
        with_secret.count()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        let tables = self.shared.tables.lock();
        tables.unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        self.shared.clock.now()
    }

    fn held(&self, epoch: u64) -> Held {
        let lease = Lease {
            owner: self.owner,
            epoch,
        };
        let until = self.now().boot + self.shared.lease;
        Held { lease, until }
    }

    /// One step, taken when its future is first polled.
    fn step<'a, T: 'a>(
        &'a self,
        step: impl FnOnce(&mut Tables, Now) -> Result<T, StoreError> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move { step(&mut self.tables(), self.now()) })
    }
}

impl ProgressStore for MemoryStore {
    fn reserve(&self, key: Key, fingerprint: Option<String>) -> Answer<'_, Reserved> {
        self.step(move |tables, now| {
            let video = (key, fingerprint);
            if let Some(ends_in) = tables.videos.get(&video).and_then(|held| held.left(now)) {
                return Ok(Reserved::HeldBy {
                    ends_in: Some(ends_in),
                });
            }
            tables.epoch += 1;
            let held = self.held(tables.epoch);
            tables.videos.insert(video.clone(), held);
            Ok(Reserved::Alone(Reservation {
                video,
                lease: held.lease,
            }))
        })
    }

    fn free(&self, reservation: &Reservation) {
        let mut tables = self.tables();
        let held = tables.videos.get(&reservation.video);
        if held.is_some_and(|held| held.lease == reservation.lease) {
            tables.videos.remove(&reservation.video);
        }
    }

    fn submit(&self, reservation: &Reservation, row: Upload) -> Answer<'_, Lease> {
        let (video, lease) = (reservation.video.clone(), reservation.lease);
        self.step(move |tables, now| {
            let held = tables.videos.get(&video);
            if !held.is_some_and(|held| held.lease == lease && held.left(now).is_some()) {
                return Err(StoreError::Fenced(row.id));
            }
            let held = self.held(row.epoch);
            let new = || Row::new(&row, held);
            tables.rows.entry(row.id.clone()).or_insert_with(new);
            Ok(held.lease)
        })
    }

    fn claim(&self, _: Key, id: String) -> Answer<'_, (Upload, Lease)> {
        self.step(move |tables, now| {
            let Some(row) = tables.rows.get_mut(&id) else {
                return Err(StoreError::Gone(id));
            };
            let others = row.held.filter(|held| held.lease.owner != self.owner);
            if let Some(ends_in) = others.and_then(|held| held.left(now)) {
                return Err(StoreError::Held { id, ends_in });
            }
            let mut claimed = row.read();
            claimed.epoch += 1;
            row.write(&claimed);
            let held = self.held(claimed.epoch);
            row.held = Some(held);
            tables.stops.remove(&id);
            Ok((claimed, held.lease))
        })
    }

    fn renew(&self) -> Answer<'_, Vec<String>> {
        self.step(|tables, now| {
            let until = self.held(0).until;
            let rows = tables.rows.values_mut().filter_map(|row| row.held.as_mut());
            for held in rows.chain(tables.videos.values_mut()) {
                if held.lease.owner == self.owner && held.left(now).is_some() {
                    held.until = until;
                }
            }
            let ours = |id: &&String| {
                let held = tables.rows.get(*id).and_then(|row| row.held);
                held.is_some_and(|held| held.lease.owner == self.owner)
            };
            Ok(tables.stops.iter().filter(ours).cloned().collect())
        })
    }

    fn release(&self, id: &str, lease: Lease) {
        let mut tables = self.tables();
        if let Some(row) = tables.rows.get_mut(id) {
            row.held = row.held.filter(|held| held.lease != lease);
        }
        tables.stops.remove(id);
    }

    fn ask_to_stop(&self, id: String) -> Answer<'_, bool> {
        self.step(move |tables, _| {
            let row = tables.rows.get(&id);
            let is_under_way = row.is_some_and(|row| !row.read().state.is_final());
            if is_under_way {
                tables.stops.insert(id);
            }
            Ok(is_under_way)
        })
    }

    fn begin(&self, lease: Lease, mut row: Upload) -> Answer<'_, Grant> {
        self.step(move |tables, now| {
            if tables.fence(lease, &row, now)?.is_none() {
                return Ok(Grant::Granted);
            }
            let inits = tables.inits.entry(scope(&row.key)).or_default();
            inits.retain(|(_, at)| now.wall.0.abs_diff(at.0) < WINDOW.as_millis() as u64);
            if let Some(over) = inits.len().checked_sub(INITS_A_MINUTE) {
                let frees = inits[over].1.plus(WINDOW);
                return Ok(Grant::Wait(frees.since(now.wall)));
            }
            inits.push_back((row.id.clone(), now.wall));
            row.epoch = lease.epoch;
            if let Some(stored) = tables.fence(lease, &row, now)? {
                stored.write(&row);
            }
            Ok(Grant::Granted)
        })
    }

    fn save(&self, lease: Lease, mut row: Upload, entry: Option<(u32, Entry)>) -> Answer<'_, ()> {
        let step = self.step(move |tables, now| {
            let until = self.held(0).until;
            let Some(stored) = tables.fence(lease, &row, now)? else {
                return Ok(());
            };
            let (before, is_final) = (stored.read().state, row.state.is_final());
            stored.held = Some(Held { lease, until });
            row.epoch = lease.epoch;
            stored.write(&row);
            stored.ledger.extend(entry);
            if is_final {
                stored.ledger.clear();
                tables.ended.retain(|id| *id != row.id);
                tables.ended.push(row.id.clone());
            }
            if matches!(before, State::InitIntent) {
                let inits = tables.inits.entry(scope(&row.key)).or_default();
                let own = inits.iter().rposition(|(id, _)| *id == row.id);
                own.and_then(|at| inits.remove(at));
                if own.is_some() && !row.run.init_never_left {
                    inits.push_back((row.id, now.wall));
                }
            }
            Ok(())
        });
        Box::pin(async {
            if let Ok(save) = self.shared.saves.acquire().await {
                save.forget();
            }
            step.await
        })
    }

    fn find(&self, key: Key) -> Answer<'_, Found> {
        self.step(move |tables, _| Ok(tables.find(&key)))
    }

    fn alike(&self, key: Key, traits: Vec<Trait>) -> Answer<'_, Found> {
        self.step(move |tables, _| Ok(tables.find(&key).alike(&traits)))
    }

    fn at_path(&self, key: Key, path: PathBuf) -> Answer<'_, Vec<Upload>> {
        self.step(move |tables, _| {
            let mut rows = tables.unfinished();
            rows.retain(|row| row.key.has_scope_of(&key) && row.is_at(&path));
            Ok(rows)
        })
    }

    fn recall(&self, what: Recall) -> Answer<'_, Option<Upload>> {
        self.step(move |tables, _| {
            let mut open = tables.unfinished();
            open.retain(|row| what.names(row));
            let mut ended = tables.ended.iter().rev().map(|id| tables.rows[id].read());
            let last = ended.find(|row| what.names(row));
            Ok(open.pop().or(last))
        })
    }

    fn unfinished(&self) -> Answer<'_, Vec<Upload>> {
        self.step(|tables, _| Ok(tables.unfinished()))
    }

    fn ended(&self, after: Option<Cursor>, limit: usize) -> Answer<'_, Page> {
        self.step(move |tables, _| {
            let from = after.map_or(0, |Cursor(at)| at) as usize;
            let to = tables.ended.len().min(from + limit);
            let rows = tables.ended[from..to].iter();
            Ok(Page {
                records: rows
                    .map(|id| Record::from(&tables.rows[id].read()))
                    .collect(),
                lost: Vec::new(),
                next: (to < tables.ended.len()).then_some(Cursor(to as u64)),
            })
        })
    }

    fn ledger(&self, id: String, chunks: u32) -> Answer<'_, Vec<Entry>> {
        self.step(move |tables, _| {
            let ledger = tables.rows.get(&id).map(|row| &row.ledger);
            let entry = |index| ledger?.get(&index).copied();
            Ok((0..chunks).map_while(entry).collect())
        })
    }

    fn remove(&self, id: String) -> Answer<'_, bool> {
        self.step(move |tables, _| {
            tables.ended.retain(|ended| *ended != id);
            Ok(tables.rows.remove(&id).is_some())
        })
    }

    fn oldest_delivery(&self, key: Key, since: Timestamp) -> Answer<'_, Option<Timestamp>> {
        self.step(move |tables, _| {
            let rows = tables.uploads().filter(|row| row.key.has_scope_of(&key));
            let times = rows.filter_map(|row| match row.state {
                State::Delivered { at, .. } if at >= since => Some(at),
                _ => None,
            });
            Ok(times.min())
        })
    }

    fn ask(&self, of: ApiAccount) -> Answer<'_, Ask> {
        self.step(move |_, now| Ok(self.shared.windows.ask(of, now)))
    }

    fn unask(&self, of: ApiAccount, question: Question) -> Answer<'_, ()> {
        self.step(move |_, _| {
            self.shared.windows.unask(&of, question);
            Ok(())
        })
    }

    fn set_pending_cap(&self, of: ApiAccount, cap: PendingCap) -> Answer<'_, ()> {
        self.step(move |_, now| {
            self.shared.windows.set_pending_cap(of, cap, now);
            Ok(())
        })
    }

    fn pending_cap(&self, of: ApiAccount) -> Answer<'_, Option<PendingCap>> {
        self.step(move |_, now| Ok(self.shared.windows.pending_cap(&of, now)))
    }

    fn identify(
        &self,
        of: ApiAccount,
        open_id: Option<String>,
        replace: bool,
    ) -> Answer<'_, Creator> {
        self.step(move |tables, _| {
            let creators = tables.creators.entry(of.api_base).or_default();
            Ok(creators.identify(&of.account, open_id, replace).0)
        })
    }

    fn forget_creator(&self, account: String) -> Answer<'_, bool> {
        self.step(move |tables, _| {
            let creators = tables.creators.values_mut();
            let forgotten = creators.map(|creators| creators.of_names.remove(&account));
            Ok(forgotten.filter(Option::is_some).count() > 0)
        })
    }

    fn rate(&self, api_base: String) -> Answer<'_, Option<Rate>> {
        self.step(move |tables, _| Ok(tables.rates.get(&api_base).copied()))
    }

    fn set_rate(&self, api_base: String, rate: Rate) -> Answer<'_, ()> {
        self.step(move |tables, _| {
            tables.rates.insert(api_base, rate);
            Ok(())
        })
    }

    fn released(&self) -> Released {
        Released::of(&self.open)
    }
}
