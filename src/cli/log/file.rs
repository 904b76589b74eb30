//! The file of `--log-file`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chunkferry::Escaped;

use crate::Failure;

/// A file to which lines are appended. Several processes can have one file.
#[derive(Debug, Clone)]
pub(super) struct LogFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    /// Whether a line could not be written; reported once.
    failed: AtomicBool,
}

impl LogFile {
    /// Opens the file; a new one is for its owner alone.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        let opened = options.create(true).append(true).mode(0o600).open(path);
        let file = opened.map_err(|error| {
            let shown = path.display().to_string();
            Failure::usage(format!(
                "The log file {} cannot be opened: {error}. Name another one with --log-file.",
                Escaped::new(&shown)
            ))
        })?;
        Ok(Self(Arc::new(Inner {
            file,
            path: path.to_owned(),
            failed: AtomicBool::new(false),
        })))
    }

    /// Appends a line. A full disk stops nothing else.
    pub(super) fn write(&self, line: &[u8]) {
        if let Err(error) = (&self.0.file).write_all(line)
            && !self.0.failed.swap(true, Ordering::Relaxed)
        {
            let shown = self.0.path.display().to_string();
            eprintln!(
                "The log file {} cannot be written ({error}), so lines of it are missing. This changes nothing else.",
                Escaped::new(&shown)
            );
        }
    }
}
