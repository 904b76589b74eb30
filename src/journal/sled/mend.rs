//! Opening a store, whatever has become of it: what is damaged is kept aside, and what the database does not know is
//! taken in from the files beside it.

use std::collections::HashSet;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sled::Batch;

use super::database::{self, Trouble};
use super::rows::Stand;
use super::syncs::Syncs;
use super::{Inner, SledStore, cannot, keys};
use crate::error::Error;
use crate::journal::broken;
use crate::journal::durable::{sync_names, sync_way_to};
use crate::journal::history::History;
use crate::journal::lock::Lock;
use crate::journal::record::Record;
use crate::journal::sealed::Sealed;
use crate::journal::status::{self, StatusFile};
use crate::killpoint::reach;
use crate::upload::Upload;

impl SledStore {
    /// A damaged database is kept aside. What had ended, and what may be complete, is known from the history.
    pub(in crate::journal) fn open_locked(dir: &Path, held: Lock) -> Result<Self, Error> {
        let held = Arc::new(held);
        reach("open", "locked");
        let damage = match Inner::open(dir, &held) {
            Err(error) if is_damage(&error) => error,
            opened => {
                let store = Self(Arc::new(opened?));
                reach("open", "ready");
                return Ok(store);
            }
        };
        let before = status::read(dir);
        let now = crate::clock::Now::read().wall;
        let aside = dir.join(format!("journal.damaged-{}", now.0));
        std::fs::rename(dir.join("journal"), &aside)
            .map_err(|error| broken("moving it aside, as it is damaged", error))?;
        let inner = Inner::open(dir, &held)?;
        tracing::error!("{}", mended(&damage, &aside, &before));
        Ok(Self(Arc::new(inner)))
    }
}

/// Whether opening it again will not help, unless it is mended.
pub(super) fn is_damage(error: &Error) -> bool {
    let trouble = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    matches!(trouble, Some(Trouble::Damaged(_)))
}

/// What became of a damaged journal, in words.
fn mended(damage: &Error, aside: &Path, before: &[Record]) -> String {
    let named = |complete: bool| {
        let of = before
            .iter()
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
    fn open(dir: &Path, held: &Arc<Lock>) -> Result<Self, Error> {
        let path = dir.join("journal");
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let db =
                database::open(&path, held).map_err(|trouble| broken("opening it", trouble))?;
            let inner = Self {
                file: File::open(path.join("db")).map_err(|error| broken("its file", error))?,
                db,
                path: path.clone(),
                history: History::of(dir),
                sealed: Sealed::of(dir),
                status: StatusFile::of(dir),
                writing: Mutex::default(),
                syncs: Syncs::default(),
                relearned: AtomicBool::default(),
                _lock: Arc::clone(held),
            };
            if database::is_suspect(&path) {
                inner.verify()?;
            }
            inner.catch_up(dir)?;
            inner.take_in_sealed()?;
            inner.status.start_with(&inner.unfinished()?);
            Ok(inner)
        }));
        opened.unwrap_or_else(|_| Err(broken("opening it", database::gave_up())))
    }

    /// Reads everything there is.
    fn verify(&self) -> Result<(), Error> {
        for found in self.db.iter() {
            found.map_err(cannot)?;
        }
        for found in self.marks() {
            let (key, mark) = found?;
            self.marked(&keys::id_of(&key), &mark)?;
        }
        database::clear(&self.path).map_err(|error| broken("its mark", error))
    }

    /// Takes in what the history says and this database does not know: all of it where the database is new or was lost,
    /// the last lines where a kill or damage has set it back. The mark comes last, so that a kill starts this again.
    fn catch_up(&self, dir: &Path) -> Result<(), Error> {
        let history = |error| broken("its history", error);
        let mark = self.db.get(keys::CAUGHT_UP).map_err(cannot)?;
        let known = mark.and_then(|mark| Some(u64::from_be_bytes(mark.as_ref().try_into().ok()?)));
        let way = if known.is_none() {
            sync_way_to(dir)
        } else {
            Ok(())
        };
        way.and_then(|()| sync_names(dir))
            .map_err(|error| broken("syncing its directory", error))?;
        let len = self.history.len().map_err(history)?;
        if known == Some(len) {
            return Ok(());
        }
        let known = known.unwrap_or(0);
        if known > len {
            self.relearn()?;
        }
        let mut lines = self.history.lines(known).map_err(history)?;
        for line in &mut lines {
            let (place, row) = line.map_err(history)?;
            match self.stand(&row.key, &row.id)? {
                Some(Stand::Here(stored)) if !stored.state.is_final() && stored.knows(&row) => {}
                _ => {
                    let mut batch = Batch::default();
                    self.ended(&mut batch, &row, place)?;
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
            .insert(keys::CAUGHT_UP, &len.to_be_bytes())
            .map_err(cannot)?;
        self.sync()
    }

    /// Somebody has edited the history: finds the lines that were only moved, once for each time the store is opened.
    /// Whether it was done now.
    pub(super) fn relearn(&self) -> Result<bool, Error> {
        if self.relearned.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        let history = |error| broken("its history", error);
        let mut told = HashSet::new();
        for line in self.history.lines(0).map_err(history)? {
            let (place, row) = line.map_err(history)?;
            told.insert(place.digest);
            match self.stand(&row.key, &row.id)? {
                // Any other line about it is an older end, or was altered.
                Some(Stand::Told(known)) if known.digest == place.digest && known != place => {
                    let mut batch = Batch::default();
                    self.ended(&mut batch, &row, place)?;
                    self.apply(batch)?;
                }
                _ => {}
            }
        }
        let lost = self.lost(&told)?.len();
        if lost > 0 {
            tracing::error!(
                uploads = lost,
                "history.jsonl no longer tells how these ended; where one of them may have been the same video, nothing is sent until a person decides"
            );
        }
        self.sync()?;
        Ok(true)
    }

    /// Parks what may be complete and this database does not know, because damage has set it back.
    fn take_in_sealed(&self) -> Result<(), Error> {
        let cannot_note = |error| broken("its notes of sealed uploads", error);
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

    fn park(&self, note: &Upload) -> Result<(), Error> {
        let mut batch = Batch::default();
        self.end(&mut batch, note)?;
        self.apply(batch)?;
        self.sync()
    }
}
