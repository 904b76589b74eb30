//! A local file.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::container::{self, Unfit};
use super::map::Mapped;
use super::media::{Digests, Media, Version};
use super::read::{PIECE, Pool, ReadMode, Reading};
use super::writer::Finished;
use super::{Ahead, Piece, Share, ahead, identity};
use crate::error::Error;
use crate::upload::ledger::Running;
use crate::upload::plan::{Chunk, Plan};
use crate::upload::{Identity, Origin};

/// Bytes at each end of a file that its fingerprint covers.
const FINGERPRINT: u64 = 64 * 1024;

/// How a local file is opened and read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    pub(crate) read: ReadMode,
    /// When a file counts as finished.
    pub(crate) finished: Finished,
    /// The pool of read buffers.
    pub(crate) pool: Pool,
}

/// An open local file. Its own methods block; those of [`Media`] do not.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    file: Arc<File>,
    path: Arc<Path>,
    /// The identity at opening.
    identity: Identity,
    fingerprint: Arc<str>,
    pub(super) opening: Opening,
    pub(super) mapped: Arc<Mapped>,
}

impl LocalFile {
    /// Opens a regular file for reading. A directory, pipe or device is refused before it could block.
    pub(crate) fn open(path: &Path, opening: Opening) -> Result<Self, Error> {
        let unreadable = |error| Error::unreadable(path, error);
        let path = std::path::absolute(path).map_err(unreadable)?;
        let metadata = std::fs::metadata(&path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Error::unfit(&path, "it is a directory, not a video file"));
        }
        if !metadata.is_file() {
            return Err(Error::unfit(
                &path,
                "it is not a regular file; a resumable upload must be able to read it twice",
            ));
        }
        let file = File::open(&path).map_err(unreadable)?;
        let identity = identity::settled(&file).map_err(unreadable)?;
        let fingerprint = fingerprint(&file, identity.size).map_err(unreadable)?;
        Ok(Self {
            file: Arc::new(file),
            path: path.into(),
            identity,
            fingerprint: fingerprint.into(),
            opening,
            mapped: Arc::default(),
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
        let recognised = container::recognise(&self.file, self.identity.size);
        let open_ended = match &recognised {
            Ok(recognised) => recognised.open_ended,
            Err(unfit) => matches!(unfit, Unfit::Unfinished { .. }),
        };
        if open_ended && let Some(why) = self.opening.finished.is_young(&self.file, &self.identity)
        {
            return Err(Error::unsettled(&self.name(), why));
        }
        match recognised {
            Ok(recognised) => Ok(recognised.container.content_type()),
            Err(Unfit::Io(error)) => Err(Error::unreadable(&self.path, error)),
            Err(unfit) => {
                let advice = unfit
                    .advice(&crate::error::name(&self.path))
                    .unwrap_or_default();
                Err(Error::unfit(&self.path, format_args!("{unfit}. {advice}")))
            }
        }
    }

    /// The bytes of `chunk` in pieces; the withheld bytes of a video are pieces of their own. Each piece is read when it
    /// is taken.
    pub(crate) fn reading(&self, chunk: Chunk) -> Reading {
        let Range { start, end } = chunk.range();
        Reading {
            file: Arc::clone(&self.file),
            at: start,
            end,
            cut: ahead::cut(&chunk),
            pool: self.opening.pool.clone(),
            mapped: (self.opening.read == ReadMode::Map).then(|| Arc::clone(&self.mapped)),
            window: Bytes::new(),
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

    /// Continues the hash `from` and sends the hash at each offset in `at`. Ends early once the receiver is dropped.
    fn hash(
        &self,
        mut running: Running,
        from: u64,
        at: Vec<u64>,
        found: &mpsc::Sender<io::Result<(u64, Running)>>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut position = from;
        for border in at {
            while position < border && !found.is_closed() {
                let want = PIECE.min((border - position) as usize);
                let piece = &mut buffer[..want];
                self.file.read_exact_at(piece, position)?;
                running.update(piece);
                position += want as u64;
            }
            if found.blocking_send(Ok((border, running.clone()))).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl Media for LocalFile {
    fn name(&self) -> Cow<'_, str> {
        crate::error::name(&self.path)
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
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

    fn origin(&self, content_type: String, plan: Plan) -> Origin {
        Origin::File {
            path: self.path.to_path_buf(),
            identity: self.identity,
            fingerprint: Some(self.fingerprint.to_string()),
            content_type,
            plan,
        }
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::unreadable(&self.path, error)
    }

    fn read(
        &self,
        plan: Plan,
        chunk: Chunk,
        running: Option<Running>,
    ) -> io::Result<(Ahead, Share)> {
        let (file, mut running) = (self.clone(), running);
        Ahead::start(chunk.range().start, move |reader| {
            for index in chunk.index()..plan.chunk_count() {
                let chunk = plan.chunk(index);
                let mut left = chunk.size();
                for bytes in file.reading(chunk) {
                    left -= bytes.as_ref().map_or(left, |bytes| bytes.len() as u64);
                    let piece = bytes.map(|bytes| Piece::of(bytes, &mut running));
                    if piece.is_err() | !reader.add(piece, left == 0) {
                        return;
                    }
                }
            }
        })
    }

    fn digests(&self, running: Running, from: u64, at: Vec<u64>) -> Digests {
        let (found, mut digests) = mpsc::channel(1);
        let file = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            if let Err(error) = file.hash(running, from, at, &found) {
                // The receiver may be gone.
                let _ = found.blocking_send(Err(error));
            }
        });
        let found = stream::poll_fn(move |cx| digests.poll_recv(cx));
        // A reader that panicked must not look like one that reached the end.
        let end = stream::once(reading).try_filter_map(|()| future::ready(Ok(None)));
        Box::pin(found.chain(end.map_err(io::Error::other)))
    }

    fn version(&self) -> BoxFuture<'_, io::Result<Identity>> {
        self.blocking(|file| identity::now(&file.file))
    }

    fn settled(&self) -> BoxFuture<'_, io::Result<Identity>> {
        self.blocking(|file| identity::settled(&file.file))
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
                return Ok(Version::Torn);
            }
            let look =
                self.blocking(|file| Ok((file.check_writers(), identity::synced(&file.file)?)));
            let (written, now) = look.await.map_err(|error| self.unreadable(error))?;
            written?;
            Ok(Version::Now(now))
        })
    }
}

fn fingerprint(file: &File, size: u64) -> io::Result<String> {
    let ends = if size <= 2 * FINGERPRINT {
        [0..size, size..size]
    } else {
        [0..FINGERPRINT, size - FINGERPRINT..size]
    };
    let (mut running, mut buffer) = (Running::default(), vec![0; 2 * FINGERPRINT as usize]);
    for Range { start, end } in ends {
        let bytes = &mut buffer[..(end - start) as usize];
        file.read_exact_at(bytes, start)?;
        running.update(bytes);
    }
    Ok(hex::encode(running.entry()))
}
