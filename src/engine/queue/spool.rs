//! Videos that a queue keeps itself until their jobs have ended: files of a directory in the state directory, or elsewhere.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::statvfs;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::journal::durable::sync_names;
use crate::journal::own;

/// What a file is for, and what its name begins with; random digits follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Of {
    /// The video of a job, which finds it again after a restart.
    Job,
    /// A copy of a video that lies elsewhere, which nobody finds again.
    Copy,
}

impl Of {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Job => "body-",
            Self::Copy => "copy-",
        }
    }
}

/// Bytes that are left free on the disk: the journal needs room to say that a job has ended.
const LEFT_FREE: u64 = 16 << 20;

/// The directory, and what is in it.
#[derive(Debug)]
pub(in crate::engine) struct Spool {
    /// The directory in the state directory.
    home: PathBuf,
    /// Where files are made: that one, or one elsewhere.
    dir: PathBuf,
    /// Most bytes of all files.
    limit: u64,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// Bytes that each file has, or may come to have.
    sizes: HashMap<String, u64>,
    /// Files of earlier processes for which no job was found yet.
    left: HashSet<String>,
    /// Files that this process has made.
    made: HashSet<String>,
}

impl Spool {
    /// Looks what is there, and removes the copies of earlier processes. The directory is made when it is needed.
    pub(in crate::engine) fn new(home: &Path, limit: u64) -> Self {
        Self::at(absolute(home), absolute(home), limit)
    }

    /// The same with its files in a directory elsewhere, which several state directories may share: each has a directory of its own there.
    ///
    /// # Errors
    ///
    /// Usage, if others could exchange what is in the directory, or nothing can be made there.
    pub(in crate::engine) fn elsewhere(home: &Path, dir: &Path, limit: u64) -> Result<Self, Error> {
        own::check_shared(dir).map_err(|error| Error::no_spool_dir(dir, error))?;
        let state_dir = home.parent().unwrap_or(home);
        let state_dir = state_dir.canonicalize().unwrap_or_else(|_| absolute(home));
        let digest = Sha256::digest(state_dir.as_os_str().as_encoded_bytes());
        let dir = absolute(dir).join(format!("chunkferry-{}", hex::encode(&digest[..8])));
        own::dir(&dir).map_err(|error| Error::no_spool_dir(&dir, error))?;
        Ok(Self::at(absolute(home), dir, limit))
    }

    fn at(home: PathBuf, dir: PathBuf, limit: u64) -> Self {
        let mut files = Files::default();
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(Of::Copy.prefix()) {
                // What stays is removed by the next process.
                let _ = std::fs::remove_file(entry.path());
            }
            let is_of_a_job = name.starts_with(Of::Job.prefix());
            if let (true, Ok(metadata)) = (is_of_a_job, entry.metadata()) {
                files.left.insert(name.clone());
                files.sizes.insert(name, metadata.len());
            }
        }
        Self {
            home,
            dir,
            limit,
            files: Mutex::new(files),
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of a file by what its job has of it: its name in the state directory's spool, or its whole path.
    pub(super) fn path(&self, kept: &str) -> PathBuf {
        self.home.join(kept)
    }

    /// The name of a file, if it is in the directory where files are made now.
    fn name_of(&self, kept: &str) -> Option<String> {
        let path = self.path(kept);
        let name = path.file_name()?.to_str()?;
        (path.parent()? == self.dir).then(|| name.to_owned())
    }

    /// Makes a file. Blocks.
    pub(in crate::engine) fn make(self: &Arc<Self>, of: Of) -> Result<(Spooled, File), Error> {
        let made = || {
            if !self.dir.exists() {
                own::dir(&self.dir)?;
                self.dir.parent().map_or(Ok(()), sync_names)?;
            }
            own::dir(&self.dir)?;
            let name = format!(
                "{}{:016x}{:016x}",
                of.prefix(),
                fastrand::u64(..),
                fastrand::u64(..)
            );
            let mut options = OpenOptions::new();
            let path = self.dir.join(&name);
            let file = own::open(&path, options.write(true).create_new(true))?;
            Ok((name, file))
        };
        let (name, file) = made().map_err(|error| self.cannot(error))?;
        let mut files = self.files();
        files.sizes.insert(name.clone(), 0);
        files.made.insert(name.clone());
        drop(files);
        let spooled = Spooled {
            spool: Arc::clone(self),
            name,
            is_kept: false,
        };
        Ok((spooled, file))
    }

    /// A file cannot be written.
    pub(in crate::engine) fn cannot(&self, error: io::Error) -> Error {
        Error::not_spooled(&self.dir, self.free(), error)
    }

    /// Bytes that are free where files are made, if the system says so. Blocks.
    fn free(&self) -> Option<u64> {
        let mut places = self.dir.ancestors().take(2);
        let found = places.find_map(|place| statvfs(place).ok())?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Refuses so many more bytes if the disk would have too little room. Blocks.
    pub(in crate::engine) fn has_room(&self, bytes: u64) -> Result<(), Error> {
        match self.free() {
            Some(free) if free < bytes.saturating_add(LEFT_FREE) => {
                Err(Error::no_room(&self.dir, free))
            }
            _ => Ok(()),
        }
    }

    /// Whether this process has made a file.
    pub(super) fn has_made(&self, kept: &str) -> bool {
        let name = self.name_of(kept);
        name.is_some_and(|name| self.files().made.contains(&name))
    }

    /// Files that jobs have which have not ended.
    pub(super) fn keep<'a>(&self, kept: impl Iterator<Item = &'a str>) {
        let mut files = self.files();
        for name in kept.filter_map(|kept| self.name_of(kept)) {
            files.left.remove(&name);
        }
    }

    /// Removes the files of earlier processes that no job has.
    pub(super) fn sweep(self: &Arc<Self>) {
        let left: Vec<String> = self.files().left.drain().collect();
        for name in left {
            self.remove_later(name);
        }
    }

    /// Removes the file of a job that has ended, and returns once there is room for another one.
    pub(super) async fn remove(self: &Arc<Self>, kept: &str) {
        let path = self.path(kept);
        let is_ours = |name: &str| name.starts_with(Of::Job.prefix());
        let name = path.file_name().and_then(OsStr::to_str);
        if !name.is_some_and(is_ours) {
            return;
        }
        let known = self.name_of(kept);
        if known.is_none() || known.is_some_and(|name| self.files().sizes.contains_key(&name)) {
            let this = Arc::clone(self);
            // An error means that this runtime ends; the next start removes the file.
            let _ = tokio::task::spawn_blocking(move || this.unlink(&path)).await;
        }
    }

    fn remove_later(self: &Arc<Self>, name: String) {
        let path = self.dir.join(name);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let this = Arc::clone(self);
                runtime.spawn_blocking(move || this.unlink(&path));
            }
            Err(_) => self.unlink(&path),
        }
    }

    fn unlink(&self, path: &Path) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "a video of the spool was not removed");
            }
            _ => {
                if let (Some(name), true) = (path.file_name(), path.parent() == Some(&self.dir)) {
                    let (name, mut files) = (name.to_string_lossy(), self.files());
                    files.sizes.remove(&*name);
                    files.made.remove(&*name);
                }
            }
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A file of a spool, which is removed with this unless a job has it.
#[derive(Debug)]
pub(in crate::engine) struct Spooled {
    spool: Arc<Spool>,
    name: String,
    is_kept: bool,
}

impl Spooled {
    pub(super) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// What a job keeps of it: its name, or its whole path if it is not in the state directory.
    pub(super) fn kept_as(&self) -> String {
        let Spool { home, dir, .. } = &*self.spool;
        match home == dir {
            true => self.name.clone(),
            false => dir.join(&self.name).to_string_lossy().into_owned(),
        }
    }

    pub(in crate::engine) fn path(&self) -> PathBuf {
        self.spool.dir.join(&self.name)
    }

    /// Sets aside so many bytes for it in all.
    pub(in crate::engine) fn reserve(&self, bytes: u64) -> Result<(), Error> {
        let mut files = self.spool.files();
        let all = files.sizes.values().sum::<u64>();
        let own = files.sizes.get(&self.name).copied().unwrap_or(0);
        if bytes > own && all - own + bytes > self.spool.limit {
            return Err(Error::spool_full(self.spool.limit));
        }
        files.sizes.insert(self.name.clone(), bytes);
        Ok(())
    }

    /// Makes the name of the file durable. Blocks.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_names(&self.spool.dir)
    }

    /// Leaves the file to its job.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }

    /// Removes the file. Blocks.
    pub(super) fn remove(mut self) {
        self.is_kept = true;
        self.spool.unlink(&self.spool.dir.join(&self.name));
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if !self.is_kept {
            self.spool.remove_later(std::mem::take(&mut self.name));
        }
    }
}
