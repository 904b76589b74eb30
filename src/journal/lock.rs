//! One process at a time owns a state directory. The lock file is never deleted and says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::broken;
use crate::error::Error;

/// Held for as long as it lives; the system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Who holds a lock, doing what.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) host: String,
    pub(super) doing: String,
}

impl Lock {
    /// Takes the lock of `dir`, or says who holds it. Never waits.
    pub(super) fn take(dir: &Path, doing: &str) -> Result<Self, Error> {
        let path = dir.join("lock");
        let cannot = |error| broken("its lock file", error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(Error::locked(&describe(&text)));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let holder = Holder {
            pid: std::process::id(),
            host,
            doing: doing.to_owned(),
        };
        let text =
            serde_json::to_string(&holder).map_err(|error| broken("its lock file", error))?;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(cannot)?;
        Ok(Self { _file: file })
    }
}

fn describe(text: &str) -> String {
    match serde_json::from_str::<Holder>(text) {
        Ok(Holder { pid, host, doing }) => format!("process {pid} on {host}: {doing}"),
        Err(_) => "another process".into(),
    }
}
