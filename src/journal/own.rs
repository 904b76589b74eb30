//! The state directory and the files in it must be our own: whatever another user has laid there is not followed, not
//! waited for and not written to.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::store_error::StoreError;
use crate::error::{Error, Remedy};

/// Makes the state directory if need be. One that another user could exchange or fill is refused.
pub(super) fn state_dir(dir: &Path) -> Result<(), Error> {
    let cannot = |error| StoreError::unavailable(&format!("making {}", dir.display()), error);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| super::state_dir::cannot_make(dir, error))?;
    // The owner of a link to the directory decides where the link leads.
    let (named, reached) = (dir.symlink_metadata(), dir.metadata());
    let (named, reached) = named
        .and_then(|named| Ok((named, reached?)))
        .map_err(cannot)?;
    if let Some(owner) = [&named, &reached].into_iter().find_map(stranger) {
        return Err(refused(dir, format!("belongs to another user ({owner})")));
    }
    match reached.mode() {
        mode if mode & 0o002 != 0 => Err(refused(dir, "can be written by everybody".into())),
        mode if mode & 0o020 != 0 => {
            tracing::warn!(dir = %dir.display(), "the state directory: {GROUP}");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What is said of a state directory that is shared with a group.
const GROUP: &str = "its group can write to it, and so exchange the journal";

/// What is to be said of a state directory that its group can write to.
pub(super) fn shared_with_a_group(dir: &Path) -> Option<&'static str> {
    let metadata = dir.metadata().ok()?;
    (metadata.mode() & 0o020 != 0).then_some(GROUP)
}

fn refused(dir: &Path, why: String) -> Error {
    Error::usage(format!(
        "The state directory {} {why}. Nothing was sent. It must be a directory that only you can write to.",
        dir.display()
    ))
    .helped_by([Remedy::ChangeStateDir])
}

/// The owner, if that is neither this user nor root.
fn stranger(metadata: &Metadata) -> Option<u32> {
    let us = rustix::process::geteuid().as_raw();
    Some(metadata.uid()).filter(|owner| ![0, us].contains(owner))
}

/// Opens a file of the state directory, private to its owner where it is made. A link is not followed, a pipe not waited
/// for.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match options.mode(0o600).custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(foreign(path, "is no regular file")),
        Err(error) => match error.raw_os_error() {
            Some(libc::ELOOP) => Err(foreign(path, "is a link")),
            Some(libc::ENXIO | libc::EISDIR) => Err(foreign(path, "is no regular file")),
            _ => Err(error),
        },
    }
}

/// Opens a file of the state directory to be read.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true))
}

/// All that a file of the state directory holds.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open_to_read(path)?.read_to_end(&mut text)?;
    Ok(text)
}

/// Refuses a directory in which others could exchange what this user makes there.
pub(crate) fn check_shared(dir: &Path) -> io::Result<()> {
    let metadata = dir.metadata()?;
    if !metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory));
    }
    if let Some(owner) = stranger(&metadata) {
        return Err(io::Error::other(format!(
            "it belongs to another user ({owner})"
        )));
    }
    // With the sticky bit, only the owner of a file can rename or remove it.
    match metadata.mode() {
        mode if mode & 0o022 != 0 && mode & 0o1000 == 0 => Err(io::Error::other(
            "others can write to it, and so exchange what is in it",
        )),
        _ => Ok(()),
    }
}

/// Makes a directory within the state directory if need be, and keeps it to its owner.
pub(crate) fn dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let dir = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::ENOTDIR) => foreign(path, "is a link or no directory"),
        _ => error,
    })?;
    let metadata = dir.metadata()?;
    if let Some(owner) = stranger(&metadata) {
        return Err(foreign(path, &format!("belongs to another user ({owner})")));
    }
    if metadata.mode() & 0o777 != 0o700 {
        dir.set_permissions(Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn foreign(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!(
        "{} {why}, so it is not chunkferry's; look who put it there, and move it away",
        path.display()
    ))
}
