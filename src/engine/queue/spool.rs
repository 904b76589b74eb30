//! Videos that a queue keeps itself until their jobs have ended: files of a directory in the state directory.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The directory, and what is in it.
#[derive(Debug)]
pub(in crate::engine) struct Spool {
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
}

impl Spool {
    /// Looks what is there, and removes the copies of earlier processes. The directory is made when it is needed.
    pub(in crate::engine) fn new(dir: &Path, limit: u64) -> Self {
        let mut files = Files::default();
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
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
            dir: std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
            limit,
            files: Mutex::new(files),
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a file. Blocks.
    pub(in crate::engine) fn make(self: &Arc<Self>, of: Of) -> io::Result<(Spooled, File)> {
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
        let file = own::open(&self.path(&name), options.write(true).create_new(true))?;
        self.files().sizes.insert(name.clone(), 0);
        let spooled = Spooled {
            spool: Arc::clone(self),
            name,
            is_kept: false,
        };
        Ok((spooled, file))
    }

    /// Files that jobs have which have not ended.
    pub(super) fn keep<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut files = self.files();
        for name in names {
            files.left.remove(name);
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
    pub(super) async fn remove(self: &Arc<Self>, name: &str) {
        if self.files().sizes.contains_key(name) {
            let (this, name) = (Arc::clone(self), name.to_owned());
            // An error means that this runtime ends; the next start removes the file.
            let _ = tokio::task::spawn_blocking(move || this.unlink(&name)).await;
        }
    }

    fn remove_later(self: &Arc<Self>, name: String) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let this = Arc::clone(self);
                runtime.spawn_blocking(move || this.unlink(&name));
            }
            Err(_) => self.unlink(&name),
        }
    }

    fn unlink(&self, name: &str) {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, file = name, "a video of the spool was not removed");
            }
            _ => {
                self.files().sizes.remove(name);
            }
        }
    }
}

/// A file of a spool, which is removed with this unless a job has it.
#[derive(Debug)]
pub(in crate::engine) struct Spooled {
    spool: Arc<Spool>,
    name: String,
    is_kept: bool,
}

impl Spooled {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::engine) fn path(&self) -> PathBuf {
        self.spool.path(&self.name)
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
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if !self.is_kept {
            self.spool.remove_later(std::mem::take(&mut self.name));
        }
    }
}
