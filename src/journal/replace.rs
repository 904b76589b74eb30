//! Small files that readers must never see half-written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::killpoint::reach;

/// Replaces a file's content in one step: readers see the old text or the new one.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    file.sync_data()?;
    reach("file", "written");
    std::fs::rename(&new, path)?;
    reach("file", "replaced");
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
