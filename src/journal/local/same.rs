//! An index of the uploads of one key, where there are many: a thousand files of one size would otherwise cost a thousand
//! rows to be read for each of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Inner, cannot, keys};
use crate::journal::StoreError;
use crate::journal::history::Seen;
use crate::journal::store::{Found, HasSha256, Trait, sha256};
use crate::upload::{Key, Upload};

/// With so few uploads, reading them all costs less than an index is worth.
const FEW: usize = 16;

/// The indexes, by the prefix of the marks of their keys. They live in memory, and are made when they are needed first.
#[derive(Debug, Default)]
pub(super) struct Indexes(Mutex<HashMap<Vec<u8>, Index>>);

#[derive(Debug, Default)]
struct Index {
    ids: HashMap<Trait, BTreeSet<String>>,
    /// Whether each upload has ended, and its traits.
    uploads: HashMap<String, (bool, Vec<Trait>)>,
    lost: BTreeSet<String>,
    /// Of how many uploads under way, and of how many that have ended, the SHA-256 is known.
    whole: [usize; 2],
    /// Uploads that were written since they were read.
    stale: BTreeSet<String>,
}

impl Indexes {
    /// The row of an upload under this prefix is about to be written or removed. Most keys have so few uploads that there is
    /// no index.
    pub(super) fn touch<P: AsRef<[u8]>>(&self, prefix: impl FnOnce() -> P, id: &str) {
        let mut indexes = self.lock();
        if indexes.is_empty() {
            return;
        }
        if let Some(index) = indexes.get_mut(prefix().as_ref()) {
            index.stale.insert(id.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Index>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn set(&mut self, id: &str, row: Option<&Upload>) {
        self.remove(id);
        let Some(row) = row else {
            self.lost.insert(id.to_owned());
            return;
        };
        let traits = Trait::all_of(row);
        for of in &traits {
            self.ids
                .entry(of.clone())
                .or_default()
                .insert(id.to_owned());
        }
        let ended = row.state.is_final();
        self.whole[usize::from(ended)] += usize::from(sha256(row).is_some());
        self.uploads.insert(id.to_owned(), (ended, traits));
    }

    fn remove(&mut self, id: &str) {
        self.lost.remove(id);
        let Some((ended, traits)) = self.uploads.remove(id) else {
            return;
        };
        for of in traits {
            self.whole[usize::from(ended)] -= usize::from(matches!(of, Trait::Sha256(_)));
            if let Some(ids) = self.ids.get_mut(&of) {
                ids.remove(id);
                if ids.is_empty() {
                    self.ids.remove(&of);
                }
            }
        }
    }
}

impl Inner {
    /// The uploads of one key with any of these traits.
    pub(super) fn alike(&self, key: &Key, wanted: &[Trait]) -> Result<Found, StoreError> {
        if self.history_was_edited()? {
            self.indexes.lock().clear();
        }
        let prefix = keys::same(key);
        if !self.indexes.lock().contains_key(&prefix) {
            let all = self.same(key)?;
            if all.rows.len() + all.lost.len() > FEW {
                let mut index = Index::default();
                all.rows
                    .iter()
                    .for_each(|row| index.set(&row.id, Some(row)));
                all.lost.iter().for_each(|id| index.set(id, None));
                self.indexes.lock().insert(prefix, index);
            }
            return Ok(all.alike(wanted));
        }
        let (found, was_told) = self.indexed(&prefix, wanted)?;
        if was_told {
            return Ok(found);
        }
        // A line of the history is gone, and may only have been moved.
        self.indexes.lock().remove(&prefix);
        Ok(self.same(key)?.alike(wanted))
    }

    /// What the index of a key finds, and whether the rows agree with it.
    fn indexed(&self, prefix: &[u8], wanted: &[Trait]) -> Result<(Found, bool), StoreError> {
        let mut indexes = self.indexes.lock();
        let index = indexes.entry(prefix.to_owned()).or_default();
        let read = |id: &str| {
            let mark = self.db.get([prefix, id.as_bytes()].concat());
            let mark = mark.map_err(cannot)?;
            mark.map(|mark| self.told_or_here(id, &mark)).transpose()
        };
        while let Some(id) = index.stale.pop_first() {
            match read(&id) {
                Ok(Some(row)) => index.set(&id, row.as_ref()),
                Ok(None) => index.remove(&id),
                Err(error) => {
                    index.stale.insert(id);
                    return Err(error);
                }
            }
        }
        let ids = wanted.iter().filter_map(|of| index.ids.get(of)).flatten();
        let ids: BTreeSet<&String> = ids.collect();
        let mut found = Found {
            rows: Vec::with_capacity(ids.len()),
            lost: index.lost.iter().cloned().collect(),
            has_sha256: HasSha256 {
                under_way: index.whole[0] > 0,
                ended: index.whole[1] > 0,
            },
        };
        for id in ids {
            match read(id)?.flatten() {
                Some(row) => found.rows.push(row),
                None => return Ok((found, false)),
            }
        }
        found.rows.sort_by_key(|row| row.created);
        Ok((found, true))
    }

    /// Whether somebody else has written to the history since this store did.
    pub(super) fn history_was_edited(&self) -> Result<bool, StoreError> {
        let known = self.db.get(keys::CAUGHT_UP).map_err(cannot)?;
        let seen = self.history.seen();
        let seen = seen.map_err(|error| StoreError::unavailable("its history", error))?;
        Ok(known.as_deref().and_then(Seen::from_bytes) != Some(seen))
    }
}
