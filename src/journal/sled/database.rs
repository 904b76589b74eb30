//! Opening the database: what must be swept up before, and what an error means.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use sled::Db;

use crate::journal::durable::sync_files;

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

/// Opens the database, after sweeping up what a kill inside an earlier open can leave behind: a half-written snapshot
/// makes every later open fail. Finished snapshots stay; without one sled would show an empty database.
pub(super) fn open(path: &Path) -> Result<Db, Trouble> {
    sweep(path).map_err(unusable)?;
    // sled makes its files as the umask has it. The directory closes them to others even where the one around it, which
    // may be the user's own, is open.
    private(path).map_err(unusable)?;
    let config = sled::Config::new()
        .path(path)
        .flush_every_ms(None)
        .segment_size(64 * 1024)
        .cache_capacity(4 * 1024 * 1024);
    match std::panic::catch_unwind(AssertUnwindSafe(|| config.open())) {
        // sled syncs neither what it was configured with nor the names of its files.
        Ok(Ok(db)) => private(path)
            .and_then(|()| sync_files(path))
            .map(|()| db)
            .map_err(unusable),
        Ok(Err(error @ (sled::Error::Corruption { .. } | sled::Error::ReportableBug(_)))) => {
            Err(Trouble::Damaged(error.to_string()))
        }
        Ok(Err(error)) => Err(unusable(error)),
        Err(_) => Err(Trouble::Damaged("sled gave up on it".into())),
    }
}

fn unusable(error: impl std::fmt::Display) -> Trouble {
    Trouble::Unusable(error.to_string())
}

fn sweep(path: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the database's directory if need be, and keeps it and the files in it to their owner.
fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::set_permissions(entry.path(), Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}
