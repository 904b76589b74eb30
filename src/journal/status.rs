//! `status.json`: what others may see of the unfinished uploads while one process owns the database.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::durable::replace;
use super::lock::Holder;
use super::record::Record;
use crate::upload::Upload;

/// How often progress is written at the most.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Status {
    v: u32,
    holder: Holder,
    uploads: Vec<Record>,
}

/// Keeps the file up to date. It only informs, so a failure to write it is no failure.
#[derive(Debug)]
pub(super) struct StatusFile {
    dir: PathBuf,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    uploads: BTreeMap<String, Record>,
    written: Option<Instant>,
}

impl StatusFile {
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            shown: Mutex::default(),
        }
    }

    /// What earlier processes have left unfinished.
    pub(super) fn start_with(&self, unfinished: &[Upload]) {
        let records = unfinished
            .iter()
            .map(|row| (row.id.clone(), Record::from(row)));
        lock(&self.shown).uploads = records.collect();
    }

    /// A new state is shown at once, as minutes can pass before the next one; progress at most once a second.
    pub(super) fn show(&self, row: &Upload) {
        let mut shown = lock(&self.shown);
        let record = Record::from(row);
        let known = shown.uploads.get(&row.id);
        let changed = known.is_none_or(|before| before.state != record.state);
        if row.state.is_final() {
            shown.uploads.remove(&row.id);
        } else {
            shown.uploads.insert(row.id.clone(), record);
        }
        let recent = shown
            .written
            .is_some_and(|written| written.elapsed() < EVERY);
        if recent && !changed {
            return;
        }
        shown.written = Some(Instant::now());
        if let Err(error) = self.write(shown.uploads.values().cloned().collect()) {
            tracing::debug!(%error, "status.json was not written");
        }
    }

    pub(super) fn forget(&self, id: &str) {
        let mut shown = lock(&self.shown);
        shown.uploads.remove(id);
    }

    fn write(&self, uploads: Vec<Record>) -> io::Result<()> {
        let holder = serde_json::from_slice(&std::fs::read(self.dir.join("lock"))?)?;
        let status = Status {
            v: 1,
            holder,
            uploads,
        };
        replace(&self.dir.join("status.json"), &serde_json::to_vec(&status)?)
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The unfinished uploads as the owner of `dir` last showed them.
pub(super) fn read(dir: &Path) -> Vec<Record> {
    let text = std::fs::read(dir.join("status.json")).unwrap_or_default();
    serde_json::from_slice::<Status>(&text).map_or_else(|_| Vec::new(), |status| status.uploads)
}
