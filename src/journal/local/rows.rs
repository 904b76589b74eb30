//! The place of a row: the database while the upload is under way, a line of the history once it has ended. So the database
//! stays as small as the work that is left.

use std::collections::HashSet;
use std::path::Path;

use sled::{Batch, IVec};

use super::database::Trouble;
use super::{Inner, cannot, keys};
use crate::journal::history::{self, Digest, Place, Seen};
use crate::journal::{Found, Recall, StoreError};
use crate::secret::Secret;
use crate::upload::{Address, Key, ROW_VERSION, Upload};

/// Bytes of a usual row.
const ROW: usize = 1536;

impl Inner {
    /// Writes a row that is under way; `before`: the row as it was written last.
    pub(super) fn put(
        &self,
        batch: &mut Batch,
        before: Option<&Upload>,
        row: &Upload,
    ) -> Result<(), StoreError> {
        let mut text = Vec::with_capacity(ROW);
        serde_json::to_writer(&mut text, row)
            .map_err(|error| StoreError::unavailable("writing a row", error))?;
        batch.insert(keys::row(&row.id), text);
        // A row that has ended is neither marked as one that is under way nor found by its path.
        let before = before.filter(|before| !before.state.is_final());
        if before.is_none() {
            batch.insert(keys::one_of_same(&row.key, &row.id), &[]);
        }
        let (old, new) = (before.and_then(Upload::address), row.address());
        if old != new {
            let at = |at: &Address| keys::one_at_path(&row.key, at.as_path(), &row.id);
            old.into_iter().for_each(|path| batch.remove(at(path)));
            new.into_iter().for_each(|path| batch.insert(at(path), &[]));
        }
        let of_today = before.filter(|before| before.version >= ROW_VERSION);
        let (old, new) = (of_today.map(Upload::secret), row.secret());
        match new {
            _ if old == Some(new) => {}
            Some(secret) => batch.insert(keys::secret(&row.id), secret.expose()),
            None => batch.remove(keys::secret(&row.id)),
        }
        self.indexes.touch(|| keys::same(&row.key), &row.id);
        Ok(())
    }

    /// Removes the key under which a row is found by its path as it was written last.
    fn drop_path(&self, batch: &mut Batch, id: &str) -> Result<(), StoreError> {
        let text = self.db.get(keys::row(id)).map_err(cannot)?;
        // The next reader of a row that cannot be read reports the damage.
        if let Some(Ok(row)) = text.map(|text| read_text(id, &text))
            && let Some(at) = row.address()
        {
            batch.remove(keys::one_at_path(&row.key, at.as_path(), id));
        }
        Ok(())
    }

    /// Appends a row that has ended to history.jsonl (synced) and replaces it in the database by a pointer to that line.
    pub(super) fn end(&self, batch: &mut Batch, row: &Upload) -> Result<(), StoreError> {
        let place = self
            .history
            .append(row)
            .map_err(|error| StoreError::unavailable("its history", error))?;
        let seen = self.history.seen();
        let seen = seen.map_err(|error| StoreError::unavailable("its history", error))?;
        let known = Seen {
            len: place.end(),
            ..seen
        };
        batch.insert(keys::CAUGHT_UP, &known.to_bytes());
        self.mark_ended(batch, row, place)
    }

    /// Replaces a row in the database by a pointer to its line in the history.
    pub(super) fn mark_ended(
        &self,
        batch: &mut Batch,
        row: &Upload,
        at: Place,
    ) -> Result<(), StoreError> {
        batch.insert(keys::one_of_same(&row.key, &row.id), &at.to_bytes());
        self.indexes.touch(|| keys::same(&row.key), &row.id);
        self.drop_row(batch, &row.id)
    }

    /// Removes a row and its ledger.
    pub(super) fn drop_row(&self, batch: &mut Batch, id: &str) -> Result<(), StoreError> {
        self.drop_path(batch, id)?;
        batch.remove(keys::row(id));
        batch.remove(keys::secret(id));
        for found in self.db.scan_prefix(keys::ledger(id)).keys() {
            batch.remove(found.map_err(cannot)?);
        }
        Ok(())
    }

    /// The place of an upload's row, if there is one.
    pub(super) fn stand(&self, key: &Key, id: &str) -> Result<Option<Stand>, StoreError> {
        let mark = self.db.get(keys::one_of_same(key, id)).map_err(cannot)?;
        mark.map(|mark| self.marked(id, &mark)).transpose()
    }

    /// An upload, from the database or from the history.
    pub(super) fn get(&self, key: &Key, id: &str) -> Result<Option<Upload>, StoreError> {
        match self.stand(key, id)? {
            None => Ok(None),
            Some(Stand::Here(row)) => Ok(Some(*row)),
            Some(Stand::Told(place)) => match self.told(place)? {
                Some(row) => Ok(Some(row)),
                None if self.relearn()? => self.get(key, id),
                None => Err(StoreError::NoLongerTold(id.to_owned())),
            },
        }
    }

    /// All uploads of one key.
    pub(super) fn same(&self, key: &Key) -> Result<Found, StoreError> {
        let found = self.same_as_marked(key)?;
        if found.lost.is_empty() || !self.relearn()? {
            return Ok(found);
        }
        self.same_as_marked(key)
    }

    fn same_as_marked(&self, key: &Key) -> Result<Found, StoreError> {
        let (mut rows, mut lost) = (Vec::new(), Vec::new());
        for found in self.db.scan_prefix(keys::same(key)) {
            let (found, mark) = found.map_err(cannot)?;
            let id = keys::id_of(&found);
            match self.told_or_here(&id, &mark)? {
                Some(row) => rows.push(row),
                None => lost.push(id.into_owned()),
            }
        }
        Ok(Found::of(rows, lost))
    }

    /// The row that a mark points to; `None` if its line in the history is lost.
    pub(super) fn told_or_here(&self, id: &str, mark: &[u8]) -> Result<Option<Upload>, StoreError> {
        match self.marked(id, mark)? {
            Stand::Here(row) => Ok(Some(*row)),
            Stand::Told(place) => self.told(place),
        }
    }

    /// All uploads that have not ended, oldest first.
    pub(super) fn unfinished(&self) -> Result<Vec<Upload>, StoreError> {
        let mut rows = Vec::new();
        for found in self.db.scan_prefix(keys::ROWS) {
            let (found, text) = found.map_err(cannot)?;
            rows.push(self.read(&keys::id_of(&found), &text)?);
        }
        rows.retain(|row| !row.state.is_final());
        rows.sort_by_key(|row| row.created);
        Ok(rows)
    }

    /// The upload that this names.
    pub(super) fn recall(&self, what: &Recall) -> Result<Option<Upload>, StoreError> {
        if self.history_was_edited()? {
            self.past.forget();
        }
        let under_way = match what {
            Recall::Path(key, path) => self.at_path(key, path)?.pop(),
            Recall::Id(id) => self.recall_row(id)?,
        };
        match under_way {
            Some(row) => Ok(Some(row)),
            None => {
                let last = self.past.last(&self.history, what);
                last.map_err(|error| StoreError::unavailable("its history", error))
            }
        }
    }

    /// The upload of this id, while it has not ended.
    pub(super) fn recall_row(&self, id: &str) -> Result<Option<Upload>, StoreError> {
        let text = self.db.get(keys::row(id)).map_err(cannot)?;
        let row = text.map(|text| self.read(id, &text)).transpose()?;
        Ok(row.filter(|row| !row.state.is_final()))
    }

    /// The uploads of a file at this path that have not ended, in the scope of `key`.
    pub(super) fn at_path(&self, key: &Key, path: &Path) -> Result<Vec<Upload>, StoreError> {
        let mut rows = Vec::new();
        for found in self.db.scan_prefix(keys::at_path(key, path)).keys() {
            let found = found.map_err(cannot)?;
            let id = keys::id_of(&found);
            // A version that kept no rows by their paths may have ended this one.
            if let Some(text) = self.db.get(keys::row(&id)).map_err(cannot)? {
                rows.push(self.read(&id, &text)?);
            }
        }
        rows.retain(|row| row.is_at(path) && !row.state.is_final());
        rows.sort_by_key(|row| row.created);
        Ok(rows)
    }

    /// The uploads that have ended, and that none of these lines holds any more.
    pub(super) fn lost(&self, lines: &HashSet<Digest>) -> Result<Vec<(Key, String)>, StoreError> {
        let mut lost = Vec::new();
        for found in self.marks() {
            let (found, mark) = found?;
            let untold = Place::from_bytes(&mark).filter(|place| !lines.contains(&place.digest));
            if let (Some(_), Some(key)) = (untold, keys::key_of(&found)) {
                lost.push((key, keys::id_of(&found).into_owned()));
            }
        }
        Ok(lost)
    }

    /// The mark of each upload there is: nothing in it while it is under way, the place of its line once it has ended.
    pub(super) fn marks(&self) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        let marks = keys::MARKS
            .iter()
            .flat_map(|kind| self.db.scan_prefix(kind));
        marks.map(|found| found.map_err(cannot))
    }

    /// The row in the database, or the line of the history, that a mark points to.
    pub(super) fn marked(&self, id: &str, mark: &[u8]) -> Result<Stand, StoreError> {
        if mark.is_empty() {
            let text = self.db.get(keys::row(id)).map_err(cannot)?;
            let text = text.ok_or_else(|| damaged(id, "its row is missing"))?;
            return Ok(Stand::Here(Box::new(self.read(id, &text)?)));
        }
        let place = Place::from_bytes(mark).ok_or_else(|| damaged(id, "its mark is none"))?;
        Ok(Stand::Told(place))
    }

    /// A row of the database with its secret. Rows of version 1 hold theirs.
    fn read(&self, id: &str, text: &[u8]) -> Result<Upload, StoreError> {
        let mut row = read_text(id, text)?;
        if row.secret().is_some_and(Secret::is_empty) {
            let secret = self.db.get(keys::secret(id)).map_err(cannot)?;
            let secret = secret.ok_or_else(|| damaged(id, "the URL of its session is missing"))?;
            row.set_secret(Secret::new(&String::from_utf8_lossy(&secret)));
        }
        Ok(row)
    }

    fn told(&self, place: Place) -> Result<Option<Upload>, StoreError> {
        self.history
            .told(place)
            .map_err(|error| StoreError::unavailable("its history", error))
    }
}

/// The place of an upload's row.
#[derive(Debug)]
pub(super) enum Stand {
    Here(Box<Upload>),
    Told(Place),
}

/// A row of the database, without its secret.
fn read_text(id: &str, text: &[u8]) -> Result<Upload, StoreError> {
    match history::row(text) {
        Ok(Some(row)) => Ok(row),
        Ok(None) => Err(damaged(id, "it is no row")),
        Err(error) => Err(StoreError::unavailable("too new", error)),
    }
}

fn damaged(id: &str, what: &str) -> StoreError {
    StoreError::damaged("a row", Trouble::Damaged(format!("{id}: {what}")))
}
