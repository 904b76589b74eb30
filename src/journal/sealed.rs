//! `sealed/`: a durable note for each upload whose last bytes are about to leave, or have left and are not known to have
//! come to an end. Whatever becomes of the database, these are not sent again by themselves.

use std::io;
use std::path::{Path, PathBuf};

use super::durable::{replace, sync_names};
use super::{history, own};
use crate::upload::Upload;

#[derive(Debug)]
pub(super) struct Sealed {
    dir: PathBuf,
}

impl Sealed {
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            dir: dir.join("sealed"),
        }
    }

    /// Notes a row, without its session: as what it is if nothing more is heard of it. Durable on return.
    pub(super) fn note(&self, row: &Upload) -> io::Result<()> {
        let note = row.as_unknown("the journal was lost before its end", row.updated);
        own::dir(&self.dir)?;
        replace(&self.dir.join(&row.id), &serde_json::to_vec(&note)?)?;
        self.dir.parent().map_or(Ok(()), sync_names)
    }

    /// Drops a note that came true otherwise; one that a power cut brings back is dropped again at the next open.
    pub(super) fn drop_note(&self, id: &str) -> io::Result<()> {
        match std::fs::remove_file(self.dir.join(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Drops a note for good.
    pub(super) fn forget(&self, id: &str) -> io::Result<()> {
        self.drop_note(id)?;
        match sync_names(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    /// All notes. What cannot be read was never finished, and so no byte left after it.
    pub(super) fn read(&self) -> io::Result<Vec<Upload>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        own::dir(&self.dir)?;
        let mut notes = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none() {
                notes.extend(history::row(&own::read(&path)?)?);
            }
        }
        Ok(notes)
    }
}
