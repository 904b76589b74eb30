//! The socket, and the connections on it: how many there are, and for how long each may be idle.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Stage, stopped};
use crate::Failure;

/// Connections at once, where descriptors allow for them; more wait to be accepted.
const MOST: u64 = 1_000;

/// Descriptors that are asked for: for connections, and for the files and connections of uploads.
const DESCRIPTORS: u64 = 4_096;

/// How long a connection may be idle, or take to send the head of a request.
const IDLE: Duration = Duration::from_secs(10);

/// Most bytes of the head of a request.
const HEAD: usize = 64 << 10;

/// How long clients may take to read their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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

    /// Answers until the service has stopped, and the requests of that time have their answers.
    pub(super) async fn serve(self, router: Router, mut stage: watch::Receiver<Stage>) {
        let (mut connections, most) = (JoinSet::new(), most());
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < most => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(speak(stream, router.clone(), stage.clone()));
                    }
                    Err(error) => {
                        // Usually no descriptor is free.
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = stopped(&mut stage) => break,
            }
        }
        let answered = async { while connections.join_next().await.is_some() {} };
        // A client that does not read loses its answer.
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
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

/// How many connections there may be at once: half of the descriptors are left to uploads.
fn most() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // No limit is stated as none.
    let (current, maximum) = (limit.current.unwrap_or(u64::MAX), limit.maximum);
    let wanted = DESCRIPTORS.min(maximum.unwrap_or(u64::MAX)).max(current);
    let raised = Rlimit {
        current: limit.current.map(|_| wanted),
        maximum,
    };
    let has = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(_) => current,
    };
    usize::try_from(MOST.min(has / 2))
        .unwrap_or_default()
        .max(1)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

async fn speak(stream: UnixStream, router: Router, mut stage: watch::Receiver<Stage>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    // An error means that the client has left, here and below.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(&mut stage) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
