//! `--wire-log`: each request and its answer as one JSON line, without secrets and bodies.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;

/// What a user of the live service can send to others: it answers what no document does.
#[derive(Debug)]
pub(crate) struct WireLog {
    file: Mutex<File>,
    path: PathBuf,
    /// Whether it was said that it cannot be written.
    told: AtomicBool,
}

impl WireLog {
    /// Appends to `path`, which only its owner may read.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path);
        let log = |file| Self {
            file: Mutex::new(file),
            path: path.to_owned(),
            told: AtomicBool::new(false),
        };
        file.map(log).map_err(|error| {
            Error::usage(format!(
                "{} cannot be written as --wire-log: {error}",
                path.display()
            ))
        })
    }

    pub(crate) fn write(&self, line: &serde_json::Value) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(file, "{line}")
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::error!(
                "The wire log {} cannot be written ({error}), so lines of it are missing. The uploads go on.",
                self.path.display()
            );
        }
    }
}
