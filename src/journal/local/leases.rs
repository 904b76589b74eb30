//! Only the last claimant of a row may write it, for as long as this process lives.

use std::sync::Weak;

use sled::Batch;

use super::{Inner, lock};
use crate::failpoint::reach;
use crate::journal::StoreError;
use crate::journal::store::Lease;
use crate::upload::{Key, Upload};

impl Inner {
    /// A row may be written only by its last claimant, and only forward: a save whose caller was dropped may come late,
    /// and then there is nothing left to do. The row as it is stored, to be written over by one of the same epoch.
    pub(super) fn fence(
        &self,
        lease: Lease,
        row: &mut Upload,
    ) -> Result<Option<Upload>, StoreError> {
        row.epoch = lease.epoch;
        match self.get(&row.key, &row.id)? {
            Some(stored) if self.lease(&stored) != lease => Err(StoreError::Fenced(row.id.clone())),
            Some(stored) => Ok((stored.revision < row.revision).then_some(stored)),
            None => Err(StoreError::Gone(row.id.clone())),
        }
    }

    fn lease(&self, row: &Upload) -> Lease {
        Lease {
            owner: self.owner,
            epoch: row.epoch,
        }
    }

    /// Inserts a row, unless its caller has given up waiting: that one may be back for the same video, and must not find it
    /// twice.
    pub(super) fn submit(&self, row: &Upload, caller: &Weak<()>) -> Result<Lease, StoreError> {
        let writing = lock(&self.writing);
        if caller.strong_count() == 0 || self.get(&row.key, &row.id)?.is_some() {
            return Ok(self.lease(row));
        }
        reach("submit", "before");
        let mut batch = Batch::default();
        self.put(&mut batch, None, row)?;
        self.apply(batch)?;
        self.status.note(row);
        drop(writing);
        self.sync()?;
        reach("submit", "after");
        self.status.write();
        Ok(self.lease(row))
    }

    pub(super) fn ask_to_stop(&self, id: String) -> Result<bool, StoreError> {
        let _writing = lock(&self.writing);
        let is_under_way = self.recall_row(&id)?.is_some();
        if is_under_way {
            lock(&self.stops).insert(id);
        }
        Ok(is_under_way)
    }

    pub(super) fn claim(
        &self,
        key: &Key,
        id: &str,
        caller: &Weak<()>,
    ) -> Result<(Upload, Lease), StoreError> {
        let _writing = lock(&self.writing);
        // A job that gave up waiting may be back and own the row by now.
        let found = (caller.strong_count() > 0).then(|| self.get(key, id));
        let Some(mut row) = found.transpose()?.flatten() else {
            return Err(StoreError::Gone(id.to_owned()));
        };
        reach("claim", "before");
        lock(&self.stops).remove(id);
        row.epoch += 1;
        let mut batch = Batch::default();
        // The row of an upload that has ended lies under no path.
        self.put(&mut batch, None, &row)?;
        self.apply(batch)?;
        self.sync()?;
        reach("claim", "after");
        let lease = self.lease(&row);
        Ok((row, lease))
    }
}
