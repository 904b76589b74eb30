//! The wire log: each request and its answer as one JSON line, without secrets and video bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::SystemTime;

use serde_json::json;
use tokio::sync::watch;

use crate::clock::rfc3339;
use crate::error::Error;

/// Most lines that wait for the disk. Further lines are dropped, and a later line has their number.
const MOST_WAITING: usize = 4096;

/// A log that a user of the live service can share: it can settle points that no document answers.
///
/// A thread of its own writes the file, so that a slow or hanging disk delays no request.
#[derive(Debug)]
pub(crate) struct WireLog {
    lines: SyncSender<String>,
    left_out: Arc<AtomicU64>,
    written: Written,
}

/// Waits for the log's last line.
#[derive(Debug, Clone)]
pub(crate) struct Written(watch::Receiver<()>);

impl Written {
    /// Returns once all lines are in the file, some time after the log was dropped.
    pub(crate) async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

impl WireLog {
    /// Opens `path` for appending; only its owner may read it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let cannot = |error: io::Error| {
            Error::usage(format!(
                "The wire log {} cannot be written: {error}.",
                path.display()
            ))
        };
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(cannot)?;
        let (lines, waiting) = sync_channel(MOST_WAITING);
        let (writing, written) = watch::channel(());
        let left_out = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            file,
            path: path.to_owned(),
            left_out: Arc::clone(&left_out),
            failed: false,
        };
        std::thread::Builder::new()
            .name("chunkferry-wire-log".into())
            .spawn(move || {
                writer.write_all(&waiting);
                drop(writing);
            })
            .map_err(cannot)?;
        let written = Written(written);
        Ok(Self {
            lines,
            left_out,
            written,
        })
    }

    /// Queues a line; never waits.
    pub(crate) fn write(&self, line: &serde_json::Value) {
        if self.lines.try_send(line.to_string()).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A handle to wait until all lines are in the file.
    pub(crate) fn written(&self) -> Written {
        self.written.clone()
    }
}

struct Writer {
    file: File,
    path: PathBuf,
    left_out: Arc<AtomicU64>,
    /// Whether a line could not be written; reported once.
    failed: bool,
}

impl Writer {
    fn write_all(mut self, lines: &Receiver<String>) {
        while let Ok(line) = lines.recv() {
            let left_out = self.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                let at = rfc3339(SystemTime::now());
                self.write(&json!({ "at": at, "left_out": left_out }).to_string());
            }
            self.write(&line);
        }
    }

    fn write(&mut self, line: &str) {
        // A line that a full disk has cut must not spoil the next one.
        let start = if self.failed { "\n" } else { "" };
        match self.file.write_all(format!("{start}{line}\n").as_bytes()) {
            Ok(()) => {}
            Err(_) if self.failed => {}
            Err(error) => {
                self.failed = true;
                tracing::error!(
                    "The wire log {} cannot be written: {error}. The uploads go on, and lines are missing in it.",
                    self.path.display()
                );
            }
        }
    }
}
