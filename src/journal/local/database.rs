//! Opening the database: what must be swept up before, and what an error means.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use sled::Db;

use crate::journal::StoreError;
use crate::journal::durable::sync_files;
use crate::journal::lock::Lock;
use crate::journal::own;

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// What is on disk is no database any more; opening it again will not help.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Something around it is wrong, such as a full disk. The data may be whole and must stay where it is.
    #[error("{0}")]
    Unusable(String),
}

impl Trouble {
    /// The error of a store that has met this trouble while it did `what`.
    pub(super) fn at(self, what: &str) -> StoreError {
        match self {
            Self::Damaged(_) => StoreError::damaged(what, self),
            Self::Unusable(_) => StoreError::unavailable(what, self),
        }
    }
}

/// Opens the database, whatever sled does on damage.
pub(super) fn open(path: &Path, held: &Arc<Lock>) -> Result<Db, Trouble> {
    let own = path.to_owned();
    guarded(path, PATIENCE, held, move || open_swept(&own))
}

/// Some hundredths of a second are usual, some seconds where much is read from a slow disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// sled gives up by a panic on some damage, and nothing says that it never goes round for ever: so it works on a thread
/// of its own, and is waited for so long and no longer. A thread that does not come back keeps the lock, and what it may
/// still write stays where it is, until the process ends.
pub(super) fn guarded<T: Send + 'static>(
    path: &Path,
    limit: Duration,
    held: &Arc<Lock>,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let (done, awaited) = mpsc::channel();
    let held = Arc::clone(held);
    let on_its_own = move || {
        let held = held;
        let worked = work();
        // Before the answer: the caller may close the store and open it again.
        drop(held);
        let _ = done.send(worked);
    };
    thread::Builder::new().spawn(on_its_own).map_err(unusable)?;
    match awaited.recv_timeout(limit) {
        Ok(worked) => worked,
        Err(RecvTimeoutError::Disconnected) => Err(gave_up()),
        Err(RecvTimeoutError::Timeout) => Err(unusable(format_args!(
            "sled was still at it after {} s. If that happens again, move {} away: what has ended, and what may be complete, is known from the files beside it",
            limit.as_secs(),
            path.display()
        ))),
    }
}

/// A panic of sled counts as damage.
pub(super) fn gave_up() -> Trouble {
    Trouble::Damaged("sled gave up on it".into())
}

/// Opens the database, after sweeping up what a kill inside an earlier open can leave behind: a half-written snapshot
/// makes every later open fail. Finished snapshots stay; without one sled would show an empty database.
fn open_swept(path: &Path) -> Result<Db, Trouble> {
    // sled makes its files as the umask has it. The directory closes them to others even where the one around it, which
    // may be the user's own, is open.
    private(path).map_err(unusable)?;
    sweep(path).map_err(unusable)?;
    let config = sled::Config::new()
        .path(path)
        .flush_every_ms(None)
        .segment_size(SEGMENT)
        .cache_capacity(4 * 1024 * 1024);
    let started = Instant::now();
    let db = loop {
        match config.open() {
            // Under our own lock only this process can hold sled's: an engine that is gone, whose threads are not yet.
            Err(sled::Error::Io(error))
                if error.kind() == io::ErrorKind::Other && started.elapsed() < LINGERING =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            opened => break opened?,
        }
    };
    // sled syncs neither what it was configured with nor the names of its files.
    private(path)
        .and_then(|()| sync_files(path))
        .map_err(unusable)?;
    Ok(db)
}

/// A page holds up to 16 rows and is written in one piece; one above a quarter of this goes into a file of its own, which
/// is never synced. So rows of 8 KiB, with the longest path there is, still fit.
const SEGMENT: usize = 512 * 1024;

/// How long the threads of a closed database may hold on to its lock.
const LINGERING: Duration = Duration::from_secs(10);

/// Damage shows only where it is read. This mark makes the next open read everything.
pub(super) fn suspect(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    own::open(&path.join(SUSPECT), options.write(true).create(true)).map(drop)
}

pub(super) fn is_suspect(path: &Path) -> bool {
    path.join(SUSPECT).exists()
}

pub(super) fn clear(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path.join(SUSPECT))
}

const SUSPECT: &str = "suspect";

impl From<sled::Error> for Trouble {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Corruption { at, .. } => Self::Damaged(match at {
                Some(at) => format!("unreadable at {at:?}"),
                None => "unreadable".into(),
            }),
            // The version and the settings are always the same ones, so a complaint about them is damage, too.
            sled::Error::ReportableBug(what) | sled::Error::Unsupported(what) => {
                Self::Damaged(what)
            }
            sled::Error::Io(error) => unusable(error),
            error => unusable(error),
        }
    }
}

fn unusable(error: impl std::fmt::Display) -> Trouble {
    Trouble::Unusable(error.to_string())
}

fn sweep(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the database's directory if need be, and keeps it and the files in it to their owner. sled follows links and
/// waits for pipes, so none may be there.
fn private(path: &Path) -> io::Result<()> {
    own::dir(path)?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            own::dir(&entry.path())?;
        } else {
            let file = own::open_to_read(&entry.path())?;
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}
