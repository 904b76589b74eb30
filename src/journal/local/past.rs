//! An index of the history in memory: the last line of each path and each id. Without it, each of many files that are gone
//! would cost a reading of the whole history.

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::journal::Recall;
use crate::journal::history::{History, Place, Seen};
use crate::upload::{Key, Upload};

/// Made when it is needed first, and carried on as the history grows.
#[derive(Debug, Default)]
pub(super) struct Past(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    places: HashMap<Name, Place>,
    /// What was read of the history.
    seen: Seen,
}

/// The start of a SHA-256: names are many, and paths are long.
type Name = [u8; 16];

impl Past {
    /// Somebody has edited the history.
    pub(super) fn forget(&self) {
        *self.lock() = Known::default();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last upload that has ended and that this names.
    pub(super) fn last(&self, history: &History, what: &Recall) -> io::Result<Option<Upload>> {
        let mut known = self.lock();
        let name = match what {
            Recall::Id(id) => of_id(id),
            Recall::Path(key, path) => of_path(key, path),
        };
        known.read_on(history)?;
        let Some(place) = known.places.get(&name) else {
            return Ok(None);
        };
        let row = history.told(*place)?;
        Ok(row.filter(|row| what.names(row)))
    }
}

impl Known {
    fn read_on(&mut self, history: &History) -> io::Result<()> {
        let seen = history.seen()?;
        if seen == self.seen {
            return Ok(());
        }
        if seen.len <= self.seen.len {
            *self = Self::default();
        }
        for line in history.lines(self.seen.len)? {
            let (place, row) = line?;
            self.places.insert(of_id(&row.id), place);
            if let Some(at) = row.address() {
                self.places.insert(of_path(&row.key, at.as_path()), place);
            }
        }
        self.seen = seen;
        Ok(())
    }
}

fn of_id(id: &str) -> Name {
    name(&[b"id", id.as_bytes()])
}

fn of_path(key: &Key, path: &Path) -> Name {
    name(&[
        b"path",
        key.account.as_bytes(),
        key.api_base.as_bytes(),
        key.destination.as_str().as_bytes(),
        path.as_os_str().as_bytes(),
    ])
}

fn name(parts: &[&[u8]]) -> Name {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    std::array::from_fn(|at| digest[at])
}
