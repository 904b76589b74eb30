//! The directory of accounts: one file each, replaced durably, and locked while its tokens are renewed.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PATIENCE;
use super::login::Begun;
use super::seal::{self, SEALED_VERSION, SealKeys};
use super::stored::{Kept, Stored};
use crate::error::Error;
use crate::journal::durable::{replace, sync_names, sync_way_to};
use crate::journal::own;

/// Longest name of an account that is stored, in bytes of its file's name.
const LONGEST_NAME: usize = 200;

/// How often a lock is asked for that somebody else holds.
const GLANCE: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(super) struct Dir {
    path: PathBuf,
    /// Seals every file that is written. A file that is in the clear can be read all the same.
    keys: Option<SealKeys>,
}

/// An account that nobody else changes meanwhile, in this or another process.
pub(super) struct Locked(File);

impl Drop for Locked {
    /// A program that was forked off just now has the file open, too: closing it would not unlock it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Dir {
    pub(super) const fn new(path: PathBuf, keys: Option<SealKeys>) -> Self {
        Self { path, keys }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a step where blocking does no harm.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let dir = self.clone();
        let done = tokio::task::spawn_blocking(move || step(&dir)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| self.error(error))
    }

    /// For people. An error about a seal is one already.
    fn error(&self, error: io::Error) -> Error {
        let ours = error.downcast();
        ours.unwrap_or_else(|error| Error::accounts(&self.path, error))
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
        self.write_file(&stored.name, "json", stored)
    }

    /// Writes the account as it is, sealed by the first of the keys.
    pub(super) fn seal(&self, name: &str) -> io::Result<()> {
        let stored = self.read(name)?.filter(|_| self.keys.is_some());
        stored.map_or(Ok(()), |stored| self.write(&stored))
    }

    /// The login of this account that was begun, and is to be finished by another process.
    pub(super) fn login(&self, name: &str) -> io::Result<Option<Begun>> {
        self.read_file(&self.file(name, "login")?)
    }

    pub(super) fn keep_login(&self, login: &Begun) -> io::Result<()> {
        self.write_file(&login.account, "login", login)
    }

    pub(super) fn drop_login(&self, name: &str) -> io::Result<()> {
        remove(&self.file(name, "login")?)
    }

    /// The answer that is not taken in yet.
    pub(super) fn kept(&self, name: &str) -> io::Result<Option<Kept>> {
        self.read_file(&self.file(name, "answer")?)
    }

    pub(super) fn keep(&self, name: &str, kept: &Kept) -> io::Result<()> {
        self.write_file(name, "answer", kept)
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
        sync_names(&self.path)
    }

    /// All accounts, by their names. An error is about a seal; other files that cannot be read are left out.
    pub(super) fn all(&self) -> io::Result<Vec<(String, Result<Stored, Error>)>> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "json") {
                // One file must not hide the others.
                match self.read_file::<Stored>(&path).map_err(io::Error::downcast) {
                    Ok(stored) => all.extend(stored.map(|of| (of.name.clone(), Ok(of)))),
                    Err(Ok(error)) => all.push((account_of(&path), Err(error))),
                    Err(Err(error)) => tracing::error!(%error, "an account is left out"),
                }
            }
        }
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    fn make(&self) -> io::Result<()> {
        if !self.path.is_dir() {
            if let Some(above) = self.path.parent() {
                // That is the state directory, as a rule: nobody else may write to it, whatever the umask.
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(above)?;
            }
            own::dir(&self.path)?;
            sync_way_to(&self.path)?;
        }
        own::dir(&self.path)
    }

    fn read_file<T: DeserializeOwned>(&self, path: &Path) -> io::Result<Option<T>> {
        let mut text = match own::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let head = serde_json::from_slice::<Head>(&text).unwrap_or_default();
        let name = path.display();
        if head.version > SEALED_VERSION {
            return Err(io::Error::other(format!(
                "{name} was written by a newer chunkferry (version {}, this one reads {SEALED_VERSION})",
                head.version
            )));
        }
        if let Some(sealed) = head.sealed {
            let kind = path.extension().unwrap_or_default().to_string_lossy();
            let opened = seal::open(self.keys.as_ref(), &account_of(path), &kind, sealed);
            text = opened.map_err(io::Error::other)?;
        }
        // What serde says may repeat a token.
        let read = serde_json::from_slice(&text);
        read.map(Some)
            .map_err(|_| io::Error::other(format!("{name} is damaged: log in again")))
    }

    fn write_file(&self, name: &str, kind: &str, content: &impl Serialize) -> io::Result<()> {
        self.make()?;
        let text = serde_json::to_vec(content)?;
        let text = match &self.keys {
            Some(keys) => keys.seal(name, kind, text)?,
            None => text,
        };
        replace(&self.file(name, kind)?, &text)
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
            1..=LONGEST_NAME => Ok(self.path.join(format!("{file}.{kind}"))),
            _ => Err(io::Error::other("the name of the account is too long")),
        }
    }
}

/// The account whose file this is, by the file's name; of a name that [`Dir::file`] does not make, that name.
fn account_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut parts = stem.split('%');
    let mut name = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let Some(Ok(byte)) = part.get(..2).map(|hex| u8::from_str_radix(hex, 16)) else {
            return stem.into_owned();
        };
        name.push(byte);
        name.extend(part.bytes().skip(2));
    }
    String::from_utf8(name).unwrap_or_else(|_| stem.into_owned())
}

#[derive(Default, serde::Deserialize)]
struct Head {
    #[serde(default)]
    version: u32,
    /// Of a sealed file.
    #[serde(default)]
    sealed: Option<serde_json::Value>,
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
