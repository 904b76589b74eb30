//! One process at a time owns a state directory. The lock file is never deleted and says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::own;
use super::store_error::StoreError;
use crate::error::Error;

/// Held for as long as it lives; the system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    held: watch::Sender<()>,
}

/// The process that holds a lock, and a label for its work.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    doing: String,
}

impl Holder {
    fn is_this_process(&self) -> bool {
        self.pid == std::process::id() && self.host == host()
    }
}

/// How long the last steps of an engine of this process may hold the lock when it is gone.
const LINGERING: Duration = Duration::from_secs(1);

impl Lock {
    /// Takes the lock of `dir`, or says who holds it. Never waits for another process, and for a moment only for this one:
    /// a step of the journal whose caller was dropped may just be ending.
    pub(super) fn take(dir: &Path, doing: &str) -> Result<Self, Error> {
        let path = dir.join("lock");
        let cannot = |error| StoreError::unavailable("its lock file", error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = own::open(&path, &mut options).map_err(cannot)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(cannot(error).into()),
            }
            let mut text = Vec::new();
            let _ = file.rewind().and_then(|()| file.read_to_end(&mut text));
            let holder = serde_json::from_slice::<Holder>(&text).ok();
            let ours = holder.as_ref().is_some_and(Holder::is_this_process);
            if !ours || started.elapsed() > LINGERING {
                return Err(Error::locked(&describe(holder)));
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Without syncs no record is durable, and the database would take the refusal for damage.
        if let Err(error) = file.sync_all().and_then(|()| file.sync_data()) {
            let what = "its file system cannot sync files";
            return Err(StoreError::unavailable(what, error).into());
        }
        let holder = Holder {
            pid: std::process::id(),
            host: host(),
            doing: doing.to_owned(),
        };
        let text = serde_json::to_string(&holder)
            .map_err(|error| StoreError::unavailable("its lock file", error))?;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(cannot)?;
        Ok(Self {
            file,
            held: watch::Sender::default(),
        })
    }

    /// To wait for its end with.
    pub(super) fn released(&self) -> Released {
        Released::of(&self.held)
    }
}

impl Drop for Lock {
    /// A program that was forked off just now holds the file, too, until it begins; closing ours would leave it locked.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The end of a lock.
#[derive(Debug, Clone)]
pub(crate) struct Released(watch::Receiver<()>);

impl Released {
    /// The end of what holds this sender.
    pub(super) fn of(held: &watch::Sender<()>) -> Self {
        Self(held.subscribe())
    }

    /// Returns once the lock is free.
    pub(crate) async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// Whether the last process that held the lock of `dir` was one of this machine and is gone.
pub(super) fn was_left(dir: &Path) -> bool {
    let text = own::read(&dir.join("lock")).unwrap_or_default();
    let Ok(holder) = serde_json::from_slice::<Holder>(&text) else {
        return false;
    };
    let pid = i32::try_from(holder.pid).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let gone = |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
    holder.host == host() && pid.is_some_and(gone)
}

/// The holder of the lock of `dir`, if there is one. Does not touch a lock whose last holder is gone; otherwise takes a shared
/// lock for an instant.
pub(super) fn holder(dir: &Path) -> io::Result<Option<String>> {
    let mut file = match own::open_to_read(&dir.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if was_left(dir) {
        return Ok(None);
    }
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| None),
        Err(TryLockError::WouldBlock) => {
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            Ok(Some(describe(serde_json::from_slice(&text).ok())))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn host() -> String {
    let host = rustix::system::uname();
    host.nodename().to_string_lossy().into_owned()
}

fn describe(holder: Option<Holder>) -> String {
    match holder {
        Some(Holder { pid, host, doing }) => format!("process {pid} on {host}: {doing}"),
        None => "another process".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_another_program_inherited_is_free_once_its_owner_lets_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let lock = Lock::take(dir.path(), "test").expect("taken");
        // As a program has it that was forked off and has not begun yet.
        let inherited = lock.file.try_clone().expect("inherited");
        drop(lock);
        Lock::take(dir.path(), "test").expect("free");
        drop(inherited);
    }

    #[test]
    fn the_holder_of_a_lock_is_known_and_asking_takes_it_from_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let asked = || holder(dir.path()).expect("readable");
        assert_eq!(asked(), None);
        assert!(!dir.path().join("lock").exists(), "asking writes nothing");
        let lock = Lock::take(dir.path(), "upload clip.mp4").expect("taken");
        let held = asked().expect("held");
        assert!(held.contains("upload clip.mp4"), "{held}");
        assert!(held.contains(&std::process::id().to_string()), "{held}");
        drop(lock);
        // Its last holder, this process, still runs.
        assert_eq!(asked(), None);
        Lock::take(dir.path(), "test").expect("free");
    }
}
