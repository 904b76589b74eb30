//! The window of an account's inits, across runs.

use std::time::Duration;

use sled::Batch;

use super::{Inner, cannot, keys, lock};
use crate::clock::Timestamp;
use crate::failpoint::reach;
use crate::journal::StoreError;
use crate::journal::store::{Grant, Lease};
use crate::tiktok::limits::INITS_A_MINUTE;
use crate::upload::Upload;
use crate::upload::retry::WINDOW;

impl Inner {
    /// Records the intent of an init, which takes a slot of the window, if there is room.
    pub(super) fn begin(&self, lease: Lease, mut row: Upload) -> Result<Grant, StoreError> {
        let writing = lock(&self.writing);
        reach("begin", "before");
        let now = self.clock.now().wall;
        let Some(stored) = self.fence(lease, &mut row)? else {
            return Ok(Grant::Granted);
        };
        let prefix = keys::inits(&row.key);
        let mut batch = Batch::default();
        let mut recent = Vec::new();
        for found in self.db.scan_prefix(&prefix).keys() {
            let found = found.map_err(cannot)?;
            match keys::time_of(&found) {
                // A clock that was set back must not close the window for longer than it is.
                Some(at) if now.0.abs_diff(at.0) < WINDOW.as_millis() as u64 => recent.push(at),
                _ => batch.remove(found),
            }
        }
        if recent.len() >= INITS_A_MINUTE {
            let frees = recent[recent.len() - INITS_A_MINUTE].plus(WINDOW);
            return Ok(Grant::Wait(
                frees.since(now).clamp(Duration::from_millis(10), WINDOW),
            ));
        }
        self.note(&stored, &row)?;
        self.put(&mut batch, Some(&stored), &row)?;
        batch.insert(self.slot(&row, now)?, &[]);
        self.apply(batch)?;
        self.status.note(&row);
        drop(writing);
        self.sync()?;
        self.status.write();
        reach("begin", "after");
        Ok(Grant::Granted)
    }

    /// An init counts from when it arrived, which was when its answer came at the latest, and before that from when it was
    /// about to leave. One that is known never to have left no longer counts; after a kill nobody knows that.
    pub(super) fn settle_init(&self, batch: &mut Batch, row: &Upload) -> Result<(), StoreError> {
        let mut inits = self.db.scan_prefix(keys::inits(&row.key)).keys().rev();
        let own = inits.find(|key| {
            key.as_ref()
                .is_ok_and(|key| key.ends_with(row.id.as_bytes()))
        });
        if let Some(key) = own {
            batch.remove(key.map_err(cannot)?);
            if !row.run.init_never_left {
                batch.insert(self.slot(row, self.clock.now().wall)?, &[]);
            }
        }
        Ok(())
    }

    /// A key for an init at this time: a millisecond later where the same row has one already.
    fn slot(&self, row: &Upload, mut at: Timestamp) -> Result<Vec<u8>, StoreError> {
        loop {
            let slot = keys::init(&row.key, at, &row.id);
            if !self.db.contains_key(&slot).map_err(cannot)? {
                return Ok(slot);
            }
            at = at.plus(Duration::from_millis(1));
        }
    }
}
