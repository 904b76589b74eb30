//! Files and names that are still there after a power cut. Syncing a file keeps its bytes; its name is kept by syncing
//! the directory that has the name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::own;
use crate::failpoint::reach;

/// Replaces a file's content in one step: readers see the old text or the new one, also after a power cut once this returns.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    write_beside(path, text)?.sync_data()?;
    reach("file", "written");
    std::fs::rename(path.with_extension("new"), path)?;
    reach("file", "replaced");
    match path.parent() {
        Some(dir) => sync_names(dir),
        None => Ok(()),
    }
}

/// Replaces a file's content in one step, without a sync: after a power cut the file may be the old one, torn, or gone.
pub(crate) fn replace_for_readers(path: &Path, text: &[u8]) -> io::Result<()> {
    write_beside(path, text)?;
    std::fs::rename(path.with_extension("new"), path)
}

/// Writes the text into a new file beside `path`.
fn write_beside(path: &Path, text: &[u8]) -> io::Result<File> {
    let new = path.with_extension("new");
    let make = || own::open(&new, OpenOptions::new().write(true).create_new(true));
    let mut file = match make() {
        // Left by a kill, or laid there by somebody else.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&new)?;
            make()?
        }
        made => made?,
    };
    file.write_all(text)?;
    Ok(file)
}

/// Makes the names in `dir` durable, as far as its file system lets a program do so.
pub(crate) fn sync_names(dir: &Path) -> io::Result<()> {
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // Some file systems know no sync of a directory.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Makes `dir` itself durable, with every directory that was made for it. One that may not be read was not made by us.
pub(crate) fn sync_way_to(dir: &Path) -> io::Result<()> {
    for above in std::path::absolute(dir)?.ancestors().skip(1) {
        match sync_names(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Makes the files in `dir` durable, and their names.
pub(super) fn sync_files(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            own::open_to_read(&entry.path())?.sync_all()?;
        }
    }
    sync_names(dir)
}
