//! The socket.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;
use tokio::net::{UnixListener, UnixStream};

use crate::Failure;

/// The socket. Its file is removed with it.
#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    made: Option<(u64, u64)>,
}

impl Listener {
    /// Listens at a path, where the socket of a process that has died is replaced. Nobody but the owner can connect before the
    /// socket has its mode.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, Failure> {
        let shown = path.display();
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput => Failure::usage(format!(
                "{shown} cannot be a socket: {error}. Name a shorter path with --socket."
            )),
            _ => Failure::usage(format!("{shown} cannot be a socket: {error}.")),
        };
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(Failure::usage(format!(
                    "{shown} is there already, and is no socket. Name another path with --socket."
                )));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(Failure::temporary(format!(
                    "Another process listens on {shown}. Name another path with --socket."
                )));
            }
            fs::remove_file(path).map_err(cannot)?;
        }
        let before = umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        umask(before);
        let listener = bound.map_err(cannot)?;
        let made = identity(path);
        let bound = Self {
            listener,
            path: path.to_owned(),
            made,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(cannot)?;
        Ok(bound)
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        Ok(stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.made.is_some() && identity(&self.path) == self.made {
            // The next start replaces a socket file that is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
