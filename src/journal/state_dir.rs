//! The state directory, as anybody may read it beside the process that owns it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::history::History;
use super::lock;
use super::own;
use super::record::Record;
use super::status::Status;
use super::store_error::StoreError;
use crate::error::Error;

/// The directory in which an engine keeps its journal. Reading it takes no lock, so it works beside an engine of this or
/// another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The one at this path. Nothing is made or read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where state is kept unless the caller says otherwise: `CHUNKFERRY_STATE_DIR`, the first directory in systemd's
    /// `STATE_DIRECTORY`, then `chunkferry` in the XDG state directory (`~/.local/state`).
    ///
    /// Only the first of these may be relative: anywhere else a relative path is ignored, as it would mean another journal in
    /// each directory that a program is started from. `None` if none of them is set, as for a user without a home.
    pub fn default_path() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let absolute = |name| set(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
        if let Some(dir) = set("CHUNKFERRY_STATE_DIR") {
            return Some(dir.into());
        }
        let of_systemd =
            set("STATE_DIRECTORY").and_then(|dirs| std::env::split_paths(&dirs).next());
        of_systemd.filter(|dir| dir.is_absolute()).or_else(|| {
            let state = absolute("XDG_STATE_HOME")
                .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
            Some(state.join("chunkferry"))
        })
    }

    /// All uploads known in it, oldest first: those that have ended from `history.jsonl`, the others from
    /// `status.json`. Makes no request, takes no lock and writes nothing, so it can be called beside an engine of this or
    /// another process, and for a directory that may only be read. Progress may lag by a second.
    ///
    /// Where `status.json` is missing or was written by another version, only the history is listed, and an error is logged
    /// that says so; the next [`Engine`](crate::Engine) that is opened writes it anew.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the history cannot be read, and
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the directory is a file.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let state_dir = self.path();
        match std::fs::metadata(state_dir) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(Error::no_directory(state_dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(cannot_make(state_dir, error)),
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
        let mut open: Vec<Record> = unfinished.into_values().collect();
        if lock::was_left(state_dir) {
            open.iter_mut().for_each(Record::strand);
        }
        Ok(Record::in_order(open, ended))
    }

    /// The process that uses it now, in words such as `process 17 on host: upload clip.mp4`. `None` if there is none.
    ///
    /// Writes nothing. An engine that another process opens at the same instant can find the directory locked once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the lock file cannot be read.
    pub fn holder(&self) -> Result<Option<String>, Error> {
        let holder = lock::holder(self.path());
        Ok(holder.map_err(|error| StoreError::unavailable("its lock file", error))?)
    }

    /// Why it may not keep what it is given: its file system is of such a kind that a restart or another machine
    /// can forget what was delivered, or its group can write to it. Empty also where the file system does not say.
    pub fn fragility(&self) -> Vec<&'static str> {
        // Magic numbers of statfs(2).
        let fragile = match file_system(self.path()) {
            Some(0x0102_1994 | 0x8584_58f6) => {
                Some("it lies in memory and is gone after a restart")
            }
            Some(0x794c_7630) => Some("it lies in a container's own layer and goes with it"),
            Some(0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b) => {
                Some("it lies on a network file system, where locks and syncs may not hold")
            }
            _ => None,
        };
        let shared = own::shared_with_a_group(self.path());
        fragile.into_iter().chain(shared).collect()
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

/// The state directory cannot be made or looked at. Where a file is in its way, another try does not help.
pub(super) fn cannot_make(dir: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => Error::no_directory(dir),
        _ => StoreError::unavailable(&format!("making {}", dir.display()), error).into(),
    }
}
