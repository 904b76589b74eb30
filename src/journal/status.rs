//! `status.json`: what `list` reads of the journal besides the history, so that it needs neither the lock nor the database:
//! the unfinished uploads, and the ended ones whose line in the history is lost.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::durable::replace_for_readers;
use super::own;
use super::record::Record;
use crate::upload::Upload;

/// How often progress is written at the most.
const EVERY: Duration = Duration::from_secs(1);

/// Version 1 was not kept up to date at each state.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct File {
    v: u32,
    uploads: Vec<Row>,
    lost: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    record: Record,
    /// The path in hexadecimal, where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Self {
        let file = record
            .file
            .as_deref()
            .filter(|file| file.to_str().is_none());
        Self {
            record: record.clone(),
            path: file.map(|file| hex::encode(file.as_os_str().as_bytes())),
        }
    }
}

impl From<Row> for Record {
    fn from(Row { mut record, path }: Row) -> Self {
        if let Some(bytes) = path.and_then(|path| hex::decode(path).ok()) {
            record.file = Some(std::ffi::OsString::from_vec(bytes).into());
        }
        record
    }
}

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// By their ids.
    pub(super) unfinished: BTreeMap<String, Record>,
    /// Ended uploads whose line in the history is lost.
    pub(super) lost: Vec<Record>,
}

impl Status {
    /// `None` where the file is missing, damaged, or of another version.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let text = own::read(&dir.join("status.json")).ok()?;
        let file: File = serde_json::from_slice(&text).ok()?;
        let records = file.uploads.into_iter().map(Record::from);
        (file.v == VERSION).then(|| Self {
            unfinished: records.map(|record| (record.id.clone(), record)).collect(),
            lost: file.lost,
        })
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let file = File {
            v: VERSION,
            uploads: self.unfinished.values().map(Row::from).collect(),
            lost: self.lost.clone(),
        };
        replace_for_readers(&dir.join("status.json"), &serde_json::to_vec(&file)?)
    }
}

/// Keeps the file up to date. No upload depends on it, so it is not synced, and a failure to write it is no failure: the next
/// change tries again.
#[derive(Debug)]
pub(super) struct StatusFile {
    dir: PathBuf,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    status: Status,
    /// Whether the file differs from `status`, and whether by more than progress.
    stale: bool,
    urgent: bool,
    written: Option<Instant>,
    opened: bool,
}

impl StatusFile {
    /// With what the file says of lost uploads, until that is found out anew.
    pub(super) fn of(dir: &Path) -> Self {
        let lost = Status::read(dir).unwrap_or_default().lost;
        Self {
            dir: dir.to_owned(),
            shown: Mutex::new(Shown {
                status: Status {
                    lost,
                    ..Status::default()
                },
                ..Shown::default()
            }),
        }
    }

    /// Makes the file right when the journal is opened, whatever a kill has left of it.
    pub(super) fn open(&self, unfinished: &[Upload]) {
        let mut shown = lock(&self.shown);
        shown.opened = true;
        shown.status.unfinished = records(unfinished);
        shown.stale = Status::read(&self.dir).as_ref() != Some(&shown.status);
        shown.urgent = shown.stale;
        self.write_due(&mut shown);
    }

    /// The last word before the journal is closed, unless it never came to be open.
    pub(super) fn close(&self, unfinished: &[Upload]) {
        let mut shown = lock(&self.shown);
        if !shown.opened {
            return;
        }
        let last = records(unfinished);
        shown.stale |= shown.status.unfinished != last;
        shown.status.unfinished = last;
        shown.urgent = shown.stale;
        self.write_due(&mut shown);
    }

    /// Takes a row in, to be written by the next [`Self::write`].
    pub(super) fn note(&self, row: &Upload) {
        let mut shown = lock(&self.shown);
        let record = Record::from(row);
        let unfinished = &mut shown.status.unfinished;
        let known = unfinished.get(&row.id);
        let urgent = known.is_none_or(|before| before.state != record.state);
        if row.state.is_final() {
            unfinished.remove(&row.id);
        } else {
            unfinished.insert(row.id.clone(), record);
        }
        shown.stale = true;
        shown.urgent |= urgent;
    }

    pub(super) fn forget(&self, id: &str) {
        let mut shown = lock(&self.shown);
        shown.status.unfinished.remove(id);
        shown.status.lost.retain(|record| record.id != id);
        (shown.stale, shown.urgent) = (true, true);
    }

    /// Ended uploads whose line in the history is lost.
    pub(super) fn lost(&self) -> Vec<Record> {
        lock(&self.shown).status.lost.clone()
    }

    /// Notes which these are.
    pub(super) fn set_lost(&self, lost: Vec<Record>) {
        let mut shown = lock(&self.shown);
        if shown.status.lost != lost {
            shown.status.lost = lost;
            (shown.stale, shown.urgent) = (true, true);
        }
    }

    /// A new state is written at once, as minutes can pass before the next one; progress at most once a second.
    pub(super) fn write(&self) {
        self.write_due(&mut lock(&self.shown));
    }

    fn write_due(&self, shown: &mut Shown) {
        let long_ago = shown.written.is_none_or(|at| at.elapsed() >= EVERY);
        if !(shown.urgent || shown.stale && long_ago) {
            return;
        }
        match shown.status.write(&self.dir) {
            Ok(()) => {
                (shown.stale, shown.urgent) = (false, false);
                shown.written = Some(Instant::now());
            }
            Err(error) => tracing::debug!(%error, "status.json was not written"),
        }
    }
}

fn records(rows: &[Upload]) -> BTreeMap<String, Record> {
    let records = rows.iter().map(|row| (row.id.clone(), Record::from(row)));
    records.collect()
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
