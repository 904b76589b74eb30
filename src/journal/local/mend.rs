//! Opens a store after kills, power cuts and damage: a damaged database is moved aside, and uploads that the database lacks
//! are read from the files beside it.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sled::Batch;

use super::database;
use super::past::Past;
use super::reserved::Reservations;
use super::rows::Stand;
use super::same::Indexes;
use super::syncs::Syncs;
use super::{Inner, SledStore, cannot, keys};
use crate::clock::StoreClock;
use crate::error::Error;
use crate::failpoint::reach;
use crate::journal::StoreError;
use crate::journal::durable::{sync_names, sync_way_to};
use crate::journal::history::{History, Seen};
use crate::journal::lock::Lock;
use crate::journal::own;
use crate::journal::record::Record;
use crate::journal::sealed::Sealed;
use crate::journal::status::{Status, StatusFile};
use crate::journal::store::Owner;
use crate::journal::windows::Windows;
use crate::tiktok::hosts;
use crate::upload::Upload;

impl SledStore {
    /// A damaged database is kept aside. What had ended, and what may be complete, is known from the history.
    pub(in crate::journal) fn open_locked(dir: &Path, held: Lock) -> Result<Self, Error> {
        let held = Arc::new(held);
        reach("open", "locked");
        let damage = match Inner::open(dir, &held) {
            Err(error @ StoreError::Damaged { .. }) => Error::from(error),
            opened => {
                let store = Self(Arc::new(opened?));
                reach("open", "ready");
                return Ok(store);
            }
        };
        let before = Status::read(dir).unwrap_or_default();
        let now = crate::clock::Now::read().wall;
        let aside = dir.join(format!("journal.damaged-{}", now.0));
        std::fs::rename(dir.join("journal"), &aside)
            .map_err(|error| StoreError::unavailable("moving it aside, as it is damaged", error))?;
        let inner = Inner::open(dir, &held)?;
        tracing::error!("{}", mended(&damage, &aside, before.unfinished.values()));
        Ok(Self(Arc::new(inner)))
    }
}

/// What became of a damaged journal, in words.
fn mended<'a>(
    damage: &Error,
    aside: &Path,
    before: impl Iterator<Item = &'a Record> + Clone,
) -> String {
    let named = |complete: bool| {
        let of = before
            .clone()
            .filter(|record| record.may_be_complete() == complete);
        let names: Vec<String> = of.map(|record| record.name().into_owned()).collect();
        if names.is_empty() {
            "none".into()
        } else {
            names.join(", ")
        }
    };
    format!(
        "{damage} It was moved to {}. What had ended is known as far as history.jsonl tells. Uploads that start anew: {}. Uploads that may be complete, so that nobody but you can say whether to send them again: {}.",
        aside.display(),
        named(false),
        named(true)
    )
}

impl Inner {
    /// Opens the database and takes in what it does not know. sled gives up by a panic on some damage, also where it is
    /// read later than at its opening.
    fn open(dir: &Path, held: &Arc<Lock>) -> Result<Self, StoreError> {
        let path = dir.join("journal");
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let db = database::open(&path, held).map_err(|trouble| trouble.at("opening it"))?;
            let inner = Self {
                file: own::open_to_read(&path.join("db"))
                    .map_err(|error| StoreError::unavailable("its file", error))?,
                db,
                path: path.clone(),
                history: History::of(dir),
                sealed: Sealed::of(dir),
                status: StatusFile::of(dir),
                indexes: Indexes::default(),
                past: Past::default(),
                writing: Mutex::default(),
                syncs: Syncs::default(),
                owner: Owner::random(),
                clock: StoreClock::default(),
                reserved: Reservations::default(),
                stops: Mutex::default(),
                windows: Windows::default(),
                relearned: AtomicBool::default(),
                durable_news: AtomicU64::default(),
                left_out_jobs: AtomicBool::default(),
                lock: Arc::clone(held),
            };
            if database::is_suspect(&path) {
                inner.verify()?;
            }
            inner.respell()?;
            inner.catch_up(dir)?;
            inner.take_in_sealed()?;
            // Only `status.json` lists lost uploads.
            if Status::read(dir).is_none() {
                inner.relearn()?;
            }
            let unfinished = inner.unfinished()?;
            inner.find_by_path(&unfinished)?;
            inner.status.open(&unfinished);
            Ok(inner)
        }));
        opened.unwrap_or_else(|_| Err(database::gave_up().at("opening it")))
    }

    /// Reads everything there is.
    fn verify(&self) -> Result<(), StoreError> {
        for found in self.db.iter() {
            found.map_err(cannot)?;
        }
        for found in self.marks() {
            let (key, mark) = found?;
            self.marked(&keys::id_of(&key), &mark)?;
        }
        database::clear(&self.path).map_err(|error| StoreError::unavailable("its mark", error))
    }

    /// Earlier versions kept an API base as the caller spelled it. Moves rows under such a spelling to the spelling of today.
    fn respell(&self) -> Result<(), StoreError> {
        for kind in keys::SCOPED {
            let mut from = kind.to_vec();
            while let Some(found) = self.db.range(from.clone()..).next() {
                let (first, _) = found.map_err(cannot)?;
                if !first.starts_with(kind) {
                    break;
                }
                let Some((prefix, spelled)) = keys::account_and_base(&first) else {
                    break;
                };
                let base = hosts::spelled(&spelled);
                if base != spelled {
                    self.move_keys(prefix, &spelled, &base)?;
                }
                // Past all keys with this prefix: none of them goes on with so large a length.
                from = [prefix, &[0xff; 4]].concat();
            }
        }
        Ok(())
    }

    fn move_keys(&self, prefix: &[u8], spelled: &str, base: &str) -> Result<(), StoreError> {
        let account = &prefix[..prefix.len() - spelled.len() - 4];
        let length = (base.len() as u32).to_be_bytes();
        let moved = [account, &length, base.as_bytes()].concat();
        for found in self.db.scan_prefix(prefix) {
            let (key, value) = found.map_err(cannot)?;
            let mut batch = Batch::default();
            batch.insert([&moved, &key[prefix.len()..]].concat(), value);
            batch.remove(key);
            self.apply(batch)?;
        }
        self.sync()
    }

    /// Earlier versions did not keep rows by their paths.
    fn find_by_path(&self, unfinished: &[Upload]) -> Result<(), StoreError> {
        for row in unfinished {
            if let Some(at) = row.address() {
                let key = keys::one_at_path(&row.key, at.as_path(), &row.id);
                if !self.db.contains_key(&key).map_err(cannot)? {
                    self.db.insert(key, &[]).map_err(cannot)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in what the history says and this database does not know: all of it where the database is new or was lost,
    /// the last lines where a kill or damage has set it back. The mark comes last, so that a kill starts this again.
    fn catch_up(&self, dir: &Path) -> Result<(), StoreError> {
        let history = |error| StoreError::unavailable("its history", error);
        let mark = self.db.get(keys::CAUGHT_UP).map_err(cannot)?;
        let known = mark.as_deref().and_then(Seen::from_bytes);
        let way = if known.is_none() {
            sync_way_to(dir)
        } else {
            Ok(())
        };
        way.and_then(|()| sync_names(dir))
            .map_err(|error| StoreError::unavailable("syncing its directory", error))?;
        let seen = self.history.seen().map_err(history)?;
        if known == Some(seen) {
            return Ok(());
        }
        // Longer, it may have got a last line before a kill; anything else is an edit.
        if known.is_some_and(|known| known.len >= seen.len) {
            self.relearn()?;
        }
        let from = known.unwrap_or_default().len;
        let mut lines = self.history.lines(from).map_err(history)?;
        for line in &mut lines {
            let (place, row) = line.map_err(history)?;
            match self.stand(&row.key, &row.id)? {
                // Each line is an end, which a row that is older has not taken in yet. Only a version that noted sealed
                // uploads in the history, too, can have left a row under way that is as new as its line.
                Some(Stand::Here(stored))
                    if !stored.state.is_final() && stored.revision >= row.revision => {}
                _ => {
                    let mut batch = Batch::default();
                    self.mark_ended(&mut batch, &row, place)?;
                    self.apply(batch)?;
                }
            }
        }
        if lines.unread > 0 {
            tracing::error!(
                lines = lines.unread,
                "lines of history.jsonl cannot be read, nor what they may have said of ended uploads"
            );
        }
        self.db
            .insert(keys::CAUGHT_UP, &seen.to_bytes())
            .map_err(cannot)?;
        self.sync()
    }

    /// Somebody has edited the history: finds the lines that were only moved, once for each time the store is opened.
    /// Whether it was done now.
    pub(super) fn relearn(&self) -> Result<bool, StoreError> {
        if self.relearned.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        let history = |error| StoreError::unavailable("its history", error);
        let mut told = HashSet::new();
        for line in self.history.lines(0).map_err(history)? {
            let (place, row) = line.map_err(history)?;
            told.insert(place.digest);
            match self.stand(&row.key, &row.id)? {
                // Any other line about it is an older end, or was altered.
                Some(Stand::Told(known)) if known.digest == place.digest && known != place => {
                    let mut batch = Batch::default();
                    self.mark_ended(&mut batch, &row, place)?;
                    self.apply(batch)?;
                }
                _ => {}
            }
        }
        let lost = self.lost(&told)?;
        if !lost.is_empty() {
            tracing::error!(
                uploads = lost.len(),
                "history.jsonl no longer tells how these ended; where one of them may have been the same video, nothing is sent until a person decides"
            );
        }
        let lost = lost.into_iter();
        self.status.set_lost(
            lost.map(|(key, id)| Record::no_longer_told(key, id))
                .collect(),
        );
        self.sync()?;
        self.status.write();
        Ok(true)
    }

    /// Parks what may be complete and this database does not know, because damage has set it back.
    fn take_in_sealed(&self) -> Result<(), StoreError> {
        let cannot_note = |error| StoreError::unavailable("its notes of sealed uploads", error);
        for note in self.sealed.read().map_err(cannot_note)? {
            match self.stand(&note.key, &note.id)? {
                None => self.park(&note)?,
                Some(Stand::Here(stored)) if !stored.knows(&note) => self.park(&note)?,
                Some(Stand::Here(stored))
                    if stored.revision < note.revision && !stored.state.is_final() =>
                {
                    continue;
                }
                Some(Stand::Here(stored)) if stored.may_be_posted() => continue,
                Some(Stand::Here(_) | Stand::Told(_)) => {}
            }
            self.sealed.drop_note(&note.id).map_err(cannot_note)?;
        }
        Ok(())
    }

    fn park(&self, note: &Upload) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.end(&mut batch, note)?;
        self.apply(batch)?;
        self.sync()
    }
}
