//! The journal: where every upload stands, durable before anything depends on it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::clock::Timestamp;
use crate::error::Error;
#[cfg(fuzzing)]
use crate::upload::Upload;

mod durable;
mod history;
mod lock;
mod own;
mod record;
mod sealed;
mod sled;
mod status;
mod store;

pub use record::Record;

use history::History;
use status::Status;

pub(crate) use lock::Released;
pub(crate) use sled::SledStore;
pub(crate) use store::{Found, Grant, HasSha256, ProgressStore, Rate, Recall, StoreError, Trait};

/// A row as it stands in the journal, if it is one.
#[cfg(fuzzing)]
pub(crate) fn read_row(text: &[u8]) -> Option<Upload> {
    history::row(text).ok()?
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
    let history = |error| StoreError::unavailable("its history", error);
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

/// The state directory cannot be made or looked at. Where a file is in its way, another try does not help.
fn no_state_dir(dir: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Error::no_directory(dir),
        _ => StoreError::unavailable(&format!("making {}", dir.display()), error).into(),
    }
}

fn stamp(time: Timestamp) -> SystemTime {
    time.into()
}
