//! The directory of accounts: one file each, replaced durably, and locked while its tokens are renewed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PATIENCE;
use super::login::Begun;
use super::stored::{Kept, Stored, VERSION};
use crate::error::Error;
use crate::journal::durable::{replace, sync_names, sync_way_to};
use crate::journal::own;

/// Longest name of an account that is stored, in bytes of its file's name.
const LONGEST_NAME: usize = 200;

/// How often a lock is asked for that somebody else holds.
const GLANCE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(super) struct Dir(PathBuf);

/// An account that nobody else changes meanwhile, in this or another process.
pub(super) struct Locked(File);

impl Drop for Locked {
    /// A program that was forked off just now has the file open, too: closing it would not unlock it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Dir {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Runs a step where blocking does no harm.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let dir = self.clone();
        let done = tokio::task::spawn_blocking(move || step(&dir)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| Error::accounts(&self.0, error))
    }

    /// Waits until nobody else changes this account.
    pub(super) async fn lock(&self, name: &str) -> Result<Locked, Error> {
        let started = Instant::now();
        loop {
            if let Some(locked) = self.try_lock(name).await? {
                return Ok(locked);
            }
            if started.elapsed() > PATIENCE {
                return Err(Error::account_busy(name));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Locks this account, unless somebody else changes it.
    pub(super) async fn try_lock(&self, name: &str) -> Result<Option<Locked>, Error> {
        let name = name.to_owned();
        self.run(move |dir| {
            dir.make()?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let file = own::open(&dir.file(&name, "lock")?, &mut options)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(Locked(file))),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            }
        })
        .await
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.file(name, "json").is_ok_and(|file| file.is_file())
    }

    /// The account of this name.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Stored>> {
        self.read_file(&self.file(name, "json")?)
    }

    pub(super) fn write(&self, stored: &Stored) -> io::Result<()> {
        self.write_file(&self.file(&stored.name, "json")?, stored)
    }

    /// The login of this account that was begun, and is to be finished by another process.
    pub(super) fn login(&self, name: &str) -> io::Result<Option<Begun>> {
        self.read_file(&self.file(name, "login")?)
    }

    pub(super) fn keep_login(&self, login: &Begun) -> io::Result<()> {
        self.write_file(&self.file(&login.account, "login")?, login)
    }

    pub(super) fn drop_login(&self, name: &str) -> io::Result<()> {
        remove(&self.file(name, "login")?)
    }

    /// The answer that is not taken in yet.
    pub(super) fn kept(&self, name: &str) -> io::Result<Option<Kept>> {
        self.read_file(&self.file(name, "answer")?)
    }

    pub(super) fn keep(&self, name: &str, kept: &Kept) -> io::Result<()> {
        self.write_file(&self.file(name, "answer")?, kept)
    }

    /// Drops the answer. Not synced: if a power cut brings the file back, its generation says that it is old.
    pub(super) fn drop_kept(&self, name: &str) -> io::Result<()> {
        remove(&self.file(name, "answer")?)
    }

    /// Removes the account for good. The lock stays: another process may be waiting for it.
    pub(super) fn forget(&self, name: &str) -> io::Result<()> {
        for kind in ["json", "answer", "login"] {
            remove(&self.file(name, kind)?)?;
        }
        sync_names(&self.0)
    }

    /// All accounts, by their names.
    pub(super) fn all(&self) -> io::Result<Vec<Stored>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all: Vec<Stored> = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "json") {
                match self.read_file::<Stored>(&path) {
                    Ok(stored) => all.extend(stored),
                    // One file must not hide the others.
                    Err(error) => tracing::error!(%error, "an account is left out"),
                }
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn make(&self) -> io::Result<()> {
        if !self.0.is_dir() {
            if let Some(above) = self.0.parent() {
                std::fs::create_dir_all(above)?;
            }
            own::dir(&self.0)?;
            sync_way_to(&self.0)?;
        }
        own::dir(&self.0)
    }

    fn read_file<T: DeserializeOwned>(&self, path: &Path) -> io::Result<Option<T>> {
        let text = match own::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let version = serde_json::from_slice::<Version>(&text).unwrap_or_default();
        let name = path.display();
        if version.version > VERSION {
            return Err(io::Error::other(format!(
                "{name} was written by a newer chunkferry (version {}, this one reads {VERSION})",
                version.version
            )));
        }
        // What serde says may repeat a token.
        let read = serde_json::from_slice(&text);
        read.map(Some)
            .map_err(|_| io::Error::other(format!("{name} is damaged: log in again")))
    }

    fn write_file(&self, path: &Path, content: &impl Serialize) -> io::Result<()> {
        self.make()?;
        replace(path, &serde_json::to_vec(content)?)
    }

    /// The file of an account. Bytes of its name that may mean something in a path are written as `%2F`.
    fn file(&self, name: &str, kind: &str) -> io::Result<PathBuf> {
        let mut file = String::new();
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => file.push(byte as char),
                _ => file.push_str(&format!("%{byte:02X}")),
            }
        }
        match file.len() {
            0 => Err(io::Error::other("the name of an account is empty")),
            1..=LONGEST_NAME => Ok(self.0.join(format!("{file}.{kind}"))),
            _ => Err(io::Error::other("the name of the account is too long")),
        }
    }
}

#[derive(Default, serde::Deserialize)]
struct Version {
    #[serde(default)]
    version: u32,
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
