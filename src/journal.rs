//! The journal: where every upload stands, durable before anything depends on it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Remedy};
use crate::upload::ledger::Entry;
use crate::upload::{Identity, Key, Upload};

mod durable;
mod history;
mod lock;
mod own;
mod record;
mod sealed;
mod sled;
mod status;

pub use record::Record;

use history::History;
use status::Status;

pub(crate) use lock::Released;
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

    /// The uploads of one key with any of these traits. Unlike [`find`](Self::find), its cost does not grow with the number
    /// of the other uploads of that key.
    fn alike(&self, key: Key, traits: Vec<Trait>) -> BoxFuture<'_, Result<Found, Error>>;

    /// The uploads of a file at this path that have not ended, in the scope of `key` and of whatever size; oldest first.
    fn at_path(&self, key: Key, path: PathBuf) -> BoxFuture<'_, Result<Vec<Upload>, Error>>;

    /// The upload that this names: the newest one under way, else the last one that has ended. The first call reads the
    /// whole history.
    fn recall(&self, what: Recall) -> BoxFuture<'_, Result<Option<Upload>, Error>>;

    /// Makes the caller the row's only owner: its epoch rises, and saves by an earlier owner are fenced off. One that has
    /// ended is taken up again. If the future is dropped, that happens now or not at all.
    fn claim(&self, key: Key, id: String) -> BoxFuture<'_, Result<Upload, Error>>;

    /// Records the intent of an init and takes a slot of the account's window, or does neither.
    fn begin(&self, row: Upload, now: Timestamp) -> BoxFuture<'_, Result<Grant, Error>>;

    /// Replaces the row, together with the ledger entry of the chunk that was just confirmed.
    fn save(&self, row: Upload, entry: Option<(u32, Entry)>) -> BoxFuture<'_, Result<(), Error>>;

    /// The first `chunks` entries of an upload's ledger, or fewer if fewer are there.
    fn ledger(&self, id: String, chunks: u32) -> BoxFuture<'_, Result<Vec<Entry>, Error>>;

    /// Removes all that is known of an upload; whether anything was.
    fn remove(&self, id: String) -> BoxFuture<'_, Result<bool, Error>>;

    /// The oldest delivery to that account since `since`.
    fn oldest_delivery(
        &self,
        key: Key,
        since: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Timestamp>, Error>>;

    /// The open_id that was the first one of this account and API base: this one, if none was kept.
    fn creator(&self, of: Key, open_id: String) -> BoxFuture<'_, Result<String, Error>>;

    /// Drops the open_ids of an account; whether there were any.
    fn forget_creator(&self, account: String) -> BoxFuture<'_, Result<bool, Error>>;

    /// The last known rate to an API base, in bytes per second.
    fn rate(&self, api_base: String) -> BoxFuture<'_, Result<Option<Rate>, Error>>;

    /// Remembers a rate.
    fn set_rate(&self, api_base: String, rate: Rate) -> BoxFuture<'_, Result<(), Error>>;
}

/// What names an upload without its bytes.
#[derive(Debug, Clone)]
pub(crate) enum Recall {
    /// Its id.
    Id(String),
    /// The path of its file, in the scope of a key.
    Path(Key, PathBuf),
}

impl Recall {
    fn names(&self, row: &Upload) -> bool {
        match self {
            Self::Id(id) => row.id == *id,
            Self::Path(key, path) => row.path() == Some(path) && row.key.has_scope_of(key),
        }
    }
}

/// Something that uploads of the same video have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Trait {
    /// The file as its file system knew it, the change time left out.
    File {
        device: u64,
        inode: u64,
        mtime_ns: i64,
    },
    /// The path of a file whose upload has not ended.
    Path(PathBuf),
    /// The fingerprint of a file whose upload has not ended; `None` in rows of older versions.
    Fingerprint(Option<String>),
    /// SHA-256 of all bytes, in hexadecimal.
    Sha256(String),
}

impl Trait {
    pub(crate) const fn of_file(identity: &Identity) -> Self {
        Self::File {
            device: identity.device,
            inode: identity.inode,
            mtime_ns: identity.mtime_ns,
        }
    }
}

/// Uploads of one key.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Oldest first.
    pub(crate) rows: Vec<Upload>,
    /// The ids of all uploads of the key that have ended, and of which nothing more is known.
    pub(crate) lost: Vec<String>,
    /// Whether the SHA-256 of any upload of the key is known.
    pub(crate) has_sha256: HasSha256,
}

/// Whether there are uploads of a key whose SHA-256 is known, and which another file may be the same as.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HasSha256 {
    pub(crate) under_way: bool,
    pub(crate) ended: bool,
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

/// Where state is kept unless the caller says otherwise: `CHUNKFERRY_STATE_DIR`, the first directory in systemd's
/// `STATE_DIRECTORY`, then `chunkferry` in the XDG state directory (`~/.local/state`).
///
/// Only the first of these may be relative: anywhere else a relative path is ignored, as it would mean another journal in
/// each directory that a program is started from. `None` if none of them is set, as for a user without a home.
pub fn default_state_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let absolute = |name| set(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    if let Some(dir) = set("CHUNKFERRY_STATE_DIR") {
        return Some(dir.into());
    }
    let of_systemd = set("STATE_DIRECTORY").and_then(|dirs| std::env::split_paths(&dirs).next());
    of_systemd.filter(|dir| dir.is_absolute()).or_else(|| {
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
        Some(state.join("chunkferry"))
    })
}

/// All uploads known in a state directory, oldest first: those that have ended from `history.jsonl`, the others from
/// `status.json`. Makes no request, takes no lock and writes nothing, so it can be called beside an engine of this or
/// another process, and for a directory that may only be read. Progress may lag by a second.
///
/// Where `status.json` is missing or was written by another version, only the history is listed, and an error is logged
/// that says so; the next [`Engine`](crate::Engine) that is opened writes it anew.
///
/// # Errors
///
/// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the history cannot be read, and
/// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if `state_dir` is a file.
pub fn records(state_dir: &Path) -> Result<Vec<Record>, Error> {
    match std::fs::metadata(state_dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Error::no_directory(state_dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(no_state_dir(state_dir, error)),
    }
    let status = Status::read(state_dir);
    if status.is_none() && state_dir.join("journal").exists() {
        tracing::error!(
            "Only what has ended is listed: status.json in {} is missing or of another version. The next upload or pull writes it anew.",
            state_dir.display()
        );
    }
    let Status { unfinished, lost } = status.unwrap_or_default();
    let history = |error| broken("its history", error);
    let mut ended = BTreeMap::new();
    for line in History::of(state_dir).lines(0).map_err(history)? {
        let (_, row) = line.map_err(history)?;
        ended.insert(row.id.clone(), Record::from(&row));
    }
    for record in lost {
        ended.entry(record.id.clone()).or_insert(record);
    }
    // An upload that ended just now, or right before a kill, stands in both.
    let mut open: Vec<Record> = unfinished.into_values().collect();
    open.retain(|record| {
        let ended = ended.get(&record.id);
        ended.is_none_or(|ended| ended.updated() < record.updated())
    });
    if lock::was_left(state_dir) {
        open.iter_mut().for_each(Record::strand);
    }
    open.sort_by_key(Record::updated);
    for record in &open {
        ended.remove(&record.id);
    }
    let mut records: Vec<Record> = ended.into_values().collect();
    records.sort_by_key(Record::updated);
    records.extend(open);
    Ok(records)
}

/// Why a state directory may not keep what it is given: its file system is of such a kind that a restart or another machine
/// can forget what was delivered, or its group can write to it. Empty also where the file system does not say.
pub fn fragile_state_dir(dir: &Path) -> Vec<&'static str> {
    // Magic numbers of statfs(2).
    let fragile = match file_system(dir) {
        Some(0x0102_1994 | 0x8584_58f6) => Some("it lies in memory and is gone after a restart"),
        Some(0x794c_7630) => Some("it lies in a container's own layer and goes with it"),
        Some(0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b) => {
            Some("it lies on a network file system, where locks and syncs may not hold")
        }
        _ => None,
    };
    let shared = own::shared_with_a_group(dir);
    fragile.into_iter().chain(shared).collect()
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
    let message = format!("The journal cannot be used ({what}), and nothing is sent without it");
    Error::state(message, source).helped_by([Remedy::RepeatAfterFix])
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
