//! A local file.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::completeness::{Held, held};
use super::container::Unfit;
use super::file_system::FileSystem;
use super::map::Mapped;
use super::open_video::{OpenVideo, SHORTER, Version};
use super::ranges::{self, Digests, Ranges};
use super::read::{Pool, ReadMode, Reading};
use super::writer::Finished;
use super::{Ahead, Share, beneath, identity, unfit, unreadable};
use crate::error::Error;
use crate::upload::ledger::Running;
use crate::upload::plan::{Chunk, Plan};
use crate::upload::{Address, Identity};

/// How a local file is opened and read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    pub(crate) read: ReadMode,
    /// When a file counts as finished.
    pub(crate) finished: Finished,
    /// The pool of read buffers.
    pub(crate) pool: Pool,
    /// The directory that the file has to lie in.
    pub(crate) root: Option<PathBuf>,
}

/// An open local file. Its own methods block; those of [`OpenVideo`] do not.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    file: Arc<File>,
    on: FileSystem,
    address: Arc<Address>,
    /// The identity at opening.
    identity: Identity,
    fingerprint: Arc<str>,
    pub(super) opening: Opening,
    pub(super) mapped: Arc<Mapped>,
}

impl LocalFile {
    /// Opens a regular file for reading. A directory, pipe or device is refused before it could block.
    pub(crate) fn open(path: &Path, opening: Opening) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(|error| Error::unreadable(path, error))?;
        let unreadable = |error| unreadable(&path, FileSystem::at(&path), error);
        let outside = || Error::outside(&path);
        let metadata = match &opening.root {
            Some(root) => beneath::look(root, &path)
                .map_err(unreadable)?
                .ok_or_else(outside)?,
            None => std::fs::metadata(&path).map_err(unreadable)?,
        };
        if metadata.is_dir() {
            return Err(Error::unfit(&path, "it is a directory, not a video file"));
        }
        if !metadata.is_file() {
            return Err(Error::unfit(
                &path,
                "it is not a regular file; a resumable upload must be able to read it twice",
            ));
        }
        let file = match &opening.root {
            Some(root) => {
                let file = beneath::open(root, &path).map_err(unreadable)?;
                file.ok_or_else(outside)?
            }
            None => File::open(&path).map_err(unreadable)?,
        };
        Self::of(file, Address::File(path.clone()), opening).map_err(unreadable)
    }

    /// A file that is open already, with the bytes of what is at `address`.
    pub(crate) fn of(file: File, address: Address, opening: Opening) -> io::Result<Self> {
        let identity = identity::settled(&file)?;
        let opened = Self {
            on: FileSystem::of(&file),
            file: Arc::new(file),
            address: Arc::new(address),
            identity,
            fingerprint: "".into(),
            opening,
            mapped: Arc::default(),
        };
        let fingerprint = ranges::fingerprint(&opened, identity.size)?;
        Ok(Self {
            fingerprint: fingerprint.into(),
            ..opened
        })
    }

    /// Refuses the file if a program has it open for writing.
    pub(crate) fn check_writers(&self) -> Result<(), Error> {
        match self.opening.finished.is_open(&self.file, &self.identity) {
            Some(why) => Err(Error::still_written(&self.name(), why)),
            None => Ok(()),
        }
    }

    /// The `Content-Type` of the video, from its headers. Refuses a file that is not finished.
    pub(super) fn recognise(&self) -> Result<&'static str, Error> {
        match held(&self.file, &self.identity, self.opening.finished) {
            Held::Video(recognised) => Ok(recognised.container.content_type()),
            Held::Young(why) => Err(Error::unsettled(&self.name(), why)),
            Held::Unfit(Unfit::Io(error)) => Err(self.unreadable(error)),
            Held::Unfit(why) => Err(unfit(self.address.as_path(), why)),
        }
    }

    /// Runs a blocking function on a thread where it may block.
    fn blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'_, io::Result<T>> {
        let file = self.clone();
        let running = tokio::task::spawn_blocking(move || run(&file));
        Box::pin(async { running.await.map_err(io::Error::other)? })
    }
}

impl Ranges for LocalFile {
    fn refresh(&self) {
        self.forget_cached();
    }

    /// Bytes behind `cut` are never mapped.
    fn pieces(
        &self,
        range: Range<u64>,
        cut: u64,
    ) -> impl Iterator<Item = io::Result<Bytes>> + use<> {
        Reading {
            file: Arc::clone(&self.file),
            at: range.start,
            end: range.end,
            cut,
            pool: self.opening.pool.clone(),
            mapped: (self.opening.read == ReadMode::Map).then(|| Arc::clone(&self.mapped)),
            window: Bytes::new(),
        }
    }
}

impl LocalFile {
    /// Has the kernel forget the bytes that it keeps of a file on another machine. It keeps them for as long as it sees the same size and
    /// times, so they would be found to be equal to what was read before, whatever the other machine has now.
    fn forget_cached(&self) {
        #[cfg(target_os = "linux")]
        if self.on == FileSystem::Remote
            && let Err(error) =
                rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)
        {
            tracing::debug!(%error, "the kernel keeps what it has read of a file");
        }
    }
}

impl OpenVideo for LocalFile {
    fn name(&self) -> Cow<'_, str> {
        self.address.name()
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn content_type(&self) -> BoxFuture<'_, Result<&'static str, Error>> {
        Box::pin(async {
            let recognised = self.blocking(|file| Ok(file.recognise())).await;
            recognised.map_err(|error| self.unreadable(error))?
        })
    }

    fn unreadable(&self, error: io::Error) -> Error {
        unreadable(self.address.as_path(), self.on, error)
    }

    fn change(&self, error: &io::Error) -> Option<&'static str> {
        (error.kind() == io::ErrorKind::UnexpectedEof).then_some(SHORTER)
    }

    fn read(
        &self,
        plan: Plan,
        chunk: Chunk,
        running: Option<Running>,
    ) -> io::Result<(Ahead, Share)> {
        Ahead::of(self, plan, chunk, running)
    }

    fn digests(&self, running: Running, from: u64, at: Vec<u64>) -> Digests {
        ranges::digests(self, running, from, at)
    }

    fn version(&self) -> BoxFuture<'_, io::Result<Identity>> {
        self.blocking(|file| identity::now(&file.file))
    }

    fn settled(&self) -> BoxFuture<'_, io::Result<Identity>> {
        self.blocking(|file| identity::settled(&file.file))
    }

    fn reads_again(&self) -> bool {
        true
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while self.mapped.is_in_use() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    /// Whether the file was truncated under a mapping.
    fn is_torn(&self) -> bool {
        self.mapped.is_torn()
    }

    fn still_the_same(&self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(async {
            if self.is_torn() {
                return Ok(Version::Changed(SHORTER));
            }
            let look =
                self.blocking(|file| Ok((file.check_writers(), identity::synced(&file.file)?)));
            let (written, now) = look.await.map_err(|error| self.unreadable(error))?;
            written?;
            Ok(Version::Now(now))
        })
    }
}
