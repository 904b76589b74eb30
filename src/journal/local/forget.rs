//! Forgetting an upload: in the database, the history, the notes and the list.

use sled::Batch;

use super::{Inner, cannot, keys, lock, not_noted};
use crate::journal::StoreError;
use crate::journal::history::Seen;

impl Inner {
    /// The database first: after a kill in between, the history still lists the upload, and it can be forgotten again.
    pub(super) fn remove(&self, id: &str) -> Result<bool, StoreError> {
        if !keys::is_id(id) {
            return Ok(false);
        }
        let _writing = lock(&self.writing);
        let history = |error| StoreError::unavailable("its history", error);
        let told = self.history.about(id).map_err(history)?;
        let mut known = !told.is_empty();
        let mut batch = Batch::default();
        for found in self.marks() {
            let (mark, _) = found?;
            if keys::id_of(&mark) == id {
                self.indexes.touch(|| keys::prefix_of(&mark), id);
                batch.remove(mark);
                known = true;
            }
        }
        self.drop_row(&mut batch, id)?;
        self.apply(batch)?;
        self.sync()?;
        self.sealed.forget(id).map_err(not_noted)?;
        told.blank().map_err(history)?;
        self.status.forget(id);
        self.status.write();
        self.blanked()?;
        Ok(known)
    }

    /// What we have blanked ourselves is no edit of the history.
    fn blanked(&self) -> Result<(), StoreError> {
        let known = self.db.get(keys::CAUGHT_UP).map_err(cannot)?;
        let now = self
            .history
            .seen()
            .map_err(|error| StoreError::unavailable("its history", error))?;
        if let Some(known) = known.as_deref().and_then(Seen::from_bytes) {
            let known = Seen {
                len: known.len,
                ..now
            };
            self.db
                .insert(keys::CAUGHT_UP, &known.to_bytes())
                .map_err(cannot)?;
        }
        Ok(())
    }
}
