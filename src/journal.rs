//! The journal: where every upload stands, durable before anything depends on it.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::ledger::Entry;
use crate::upload::{Key, Upload};

mod durable;
mod history;
mod lock;
mod record;
mod sealed;
mod sled;
mod status;

pub use record::Record;

use history::History;
use lock::Lock;

pub(crate) use sled::SledStore;

/// A row as it stands in the journal, if it is one.
#[cfg(fuzzing)]
pub(crate) fn read_row(text: &[u8]) -> Option<Upload> {
    history::row(text).ok()?
}

/// What the engine needs of a store. Each method is one atomic step and durable when it returns `Ok`.
///
/// Free of anything the embedded store brings along, so that a shared database can stand behind it later: `claim` then
/// takes a lease, and the epoch that fences `save` and `begin` is already here. Crate-private until there is a second
/// implementation.
pub(crate) trait ProgressStore: Send + Sync + 'static {
    /// Inserts a row, unless one of that id is there. If the future is dropped, it is inserted now or not at all.
    fn submit(&self, row: Upload) -> BoxFuture<'_, Result<(), Error>>;

    /// All uploads of one key: of a file of that size, or of that URL, for that account, API base and destination.
    fn find(&self, key: Key) -> BoxFuture<'_, Result<Found, Error>>;

    /// All uploads that have not ended, oldest first.
    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<Upload>, Error>>;

    /// Makes the caller the row's only owner: its epoch rises, and saves by an earlier owner are fenced off. One that has
    /// ended is taken up again.
    fn claim(&self, key: Key, id: String) -> BoxFuture<'_, Result<Upload, Error>>;

    /// Records the intent of an init and takes a slot of the account's window, or does neither.
    fn begin(&self, row: Upload, now: Timestamp) -> BoxFuture<'_, Result<Grant, Error>>;

    /// Replaces the row, together with the ledger entry of the chunk that was just confirmed.
    fn save(&self, row: Upload, entry: Option<(u32, Entry)>) -> BoxFuture<'_, Result<(), Error>>;

    /// The first `chunks` entries of an upload's ledger, or fewer if fewer are there.
    fn ledger(&self, id: String, chunks: u32) -> BoxFuture<'_, Result<Vec<Entry>, Error>>;

    /// Removes a row and its ledger.
    fn remove(&self, id: String) -> BoxFuture<'_, Result<(), Error>>;

    /// The oldest delivery to that account since `since`.
    fn oldest_delivery(
        &self,
        key: Key,
        since: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Timestamp>, Error>>;

    /// The last known rate to an API base, in bytes per second.
    fn rate(&self, api_base: String) -> BoxFuture<'_, Result<Option<Rate>, Error>>;

    /// Remembers a rate.
    fn set_rate(&self, api_base: String, rate: Rate) -> BoxFuture<'_, Result<(), Error>>;
}

/// The uploads of one key.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Oldest first.
    pub(crate) rows: Vec<Upload>,
    /// The ids of those that have ended, and of which nothing more is known.
    pub(crate) lost: Vec<String>,
}

/// Whether an init may be asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    Granted,
    /// The window is full for this long.
    Wait(Duration),
}

/// Inits that one account may ask for within a minute. Source: Upload Video.
pub(crate) const INITS_A_MINUTE: usize = 6;

/// How fast bytes went to an API base the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) bytes_per_second: u64,
    pub(crate) at: Timestamp,
}

/// Where state is kept unless the caller says otherwise: `CHUNKFERRY_STATE_DIR`, systemd's `STATE_DIRECTORY`, then
/// `chunkferry` in the XDG state directory (`~/.local/state`).
///
/// `None` if none of these can be told, as for a user without a home.
pub fn default_state_dir() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("CHUNKFERRY_STATE_DIR")
        .or_else(|| set("STATE_DIRECTORY"))
        .or_else(|| {
            let state = set("XDG_STATE_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
            Some(state.join("chunkferry"))
        })
}

/// All uploads known in a state directory, oldest first. Never makes a request and never waits: while another process
/// owns the directory, its unfinished uploads are read from the file that process keeps up to date.
///
/// # Errors
///
/// [`ErrorKind::Temporary`] if the directory's files cannot be read, [`ErrorKind::Usage`] if it is a file itself.
pub fn records(state_dir: &Path) -> Result<Vec<Record>, Error> {
    match std::fs::metadata(state_dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Error::no_directory(state_dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(no_state_dir(state_dir, error)),
    }
    // Opening the database takes in what it does not know of the history yet, so that comes first.
    let (open, store) = match Lock::take(state_dir, "list") {
        Ok(lock) => {
            let store = SledStore::open_locked(state_dir, lock)?;
            let open = store.unfinished_now()?;
            (open.iter().map(Record::from).collect(), Some(store))
        }
        Err(error) if error.kind() == ErrorKind::Locked => (status::read(state_dir), None),
        Err(error) => return Err(error),
    };
    let history = |error| broken("its history", error);
    let (mut ended, mut told) = (BTreeMap::new(), HashSet::new());
    for line in History::of(state_dir).lines(0).map_err(history)? {
        let (place, row) = line.map_err(history)?;
        told.insert(place.digest);
        ended.insert(row.id.clone(), Record::from(&row));
    }
    if let Some(store) = store {
        for (key, id) in store.lost(&told)? {
            ended.insert(id.clone(), Record::no_longer_told(key, id));
        }
    }
    // An upload that ends just now stands in both.
    ended.retain(|id, _| open.iter().all(|record: &Record| record.id != *id));
    let mut records: Vec<Record> = ended.into_values().collect();
    records.sort_by_key(Record::updated);
    records.extend(open);
    Ok(records)
}

/// Why a state directory may not keep what it is given, if its file system is of such a kind: then a restart or another
/// machine can forget what was delivered. `None` also where that cannot be told.
pub fn fragile_state_dir(dir: &Path) -> Option<&'static str> {
    // Magic numbers of statfs(2).
    match file_system(dir)? {
        0x0102_1994 | 0x8584_58f6 => Some("it lies in memory and is gone after a restart"),
        0x794c_7630 => Some("it lies in a container's own layer and goes with it"),
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b => {
            Some("it lies on a network file system, where locks and syncs may not hold")
        }
        _ => None,
    }
}

#[cfg(target_os = "linux")]
fn file_system(dir: &Path) -> Option<u32> {
    Some(rustix::fs::statfs(dir).ok()?.f_type as u32)
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Option<u32> {
    None
}

/// The journal cannot be used; nothing is sent without it.
fn broken(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let source = source.into();
    Error::state(
        format!(
            "The journal cannot be used ({what}: {source}). Nothing is sent without it; run the same command again when that is mended."
        ),
        source,
    )
}

/// The state directory cannot be made or looked at. Where a file is in its way, another try does not help.
fn no_state_dir(dir: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Error::no_directory(dir),
        _ => broken(&format!("making {}", dir.display()), error),
    }
}

fn stamp(time: Timestamp) -> SystemTime {
    time.into()
}
