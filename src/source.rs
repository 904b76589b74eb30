//! The bytes of a file: what they are, ranges of them as pieces, and proof that what was sent is unchanged.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::ledger::{Entry, Running};
use crate::plan::{Chunk, Plan};
use crate::upload::Identity;

mod container;
mod map;
mod pieces;
mod reading;

#[cfg(fuzzing)]
pub(crate) use container::recognise_with;
pub(crate) use container::{Container, Unfit, starts_as};
pub(crate) use pieces::{Ahead, Pieces};
pub use reading::ReadMode;
pub(crate) use reading::{Pool, Reading};

use map::Mapped;
use reading::PIECE;

/// An open local file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<File>,
    path: PathBuf,
    /// As of opening.
    identity: Identity,
    mapped: Arc<Mapped>,
}

impl Source {
    /// Opens a regular file for reading. Anything else (a directory, a pipe) is refused before it could block.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
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
        let identity = identity(&file).map_err(unreadable)?;
        Ok(Self {
            file: Arc::new(file),
            path,
            identity,
            mapped: Arc::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// As messages call it: its name alone.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        crate::error::name(&self.path)
    }

    pub(crate) const fn identity(&self) -> Identity {
        self.identity
    }

    /// What the file system says now; of the open file, whatever its name points to meanwhile.
    pub(crate) fn identity_now(&self) -> Result<Identity, Error> {
        identity(&self.file).map_err(|error| Error::unreadable(&self.path, error))
    }

    /// The `Content-Type` of the video, read off its first boxes.
    pub(crate) fn content_type(&self) -> Result<&'static str, Error> {
        match container::recognise(&self.file, self.identity.size) {
            Ok(container) => Ok(container.content_type()),
            Err(Unfit::Io(error)) => Err(Error::unreadable(&self.path, error)),
            Err(unfit) => {
                let advice = unfit
                    .advice(&crate::error::name(&self.path))
                    .unwrap_or_default();
                Err(Error::unfit(&self.path, format_args!("{unfit}. {advice}")))
            }
        }
    }

    /// The bytes of `chunk` in pieces, the last ones of a video apart. Reads happen as pieces are taken.
    pub(crate) fn reading(&self, chunk: Chunk, mode: ReadMode, pool: &Pool) -> Reading {
        let Range { start, end } = chunk.range();
        Reading {
            file: Arc::clone(&self.file),
            at: start,
            end,
            cut: pieces::cut(&chunk),
            pool: pool.clone(),
            mapped: (mode == ReadMode::Map).then(|| Arc::clone(&self.mapped)),
            window: Bytes::new(),
        }
    }

    /// Whether the file was cut off under a mapping, so that something else than its bytes may have been sent.
    pub(crate) fn is_torn(&self) -> bool {
        self.mapped.is_torn()
    }

    /// Returns when no mapped byte waits to be sent any more; what was torn has shown by then.
    pub(crate) async fn settle(&self) {
        while self.mapped.is_in_use() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Hashes on from `from` and reads the digest off at each offset in `at`, which ascend. Blocks; ends early with
    /// [`io::ErrorKind::Interrupted`] when `cancel` is set.
    pub(crate) fn digests(
        &self,
        mut running: Running,
        from: u64,
        at: impl IntoIterator<Item = u64>,
        cancel: &AtomicBool,
        mut each: impl FnMut(u64, &Running) -> bool,
    ) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut position = from;
        for border in at {
            while position < border {
                if cancel.load(Ordering::Relaxed) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let want = PIECE.min((border - position) as usize);
                let piece = &mut buffer[..want];
                self.file.read_exact_at(piece, position)?;
                running.update(piece);
                position += want as u64;
            }
            if !each(border, &running) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Compares what was sent, `ledger` entry by entry, with what the file holds now. Blocks.
    ///
    /// The first chunk that differs, if one does, and what the file system said of the file throughout: the proof holds
    /// for as long as that does not change.
    pub(crate) fn prove(
        &self,
        plan: &Plan,
        ledger: &[Entry],
        cancel: &AtomicBool,
    ) -> io::Result<Proof> {
        for _ in 0..3 {
            let before = identity(&self.file)?;
            let mut differs = None;
            let borders = (1..=ledger.len() as u32).map(|chunks| plan.border(chunks));
            let mut entries = ledger.iter().zip(0..);
            let read = self.digests(Running::default(), 0, borders, cancel, |_, running| {
                let Some((entry, index)) = entries.next() else {
                    return false;
                };
                if running.entry() != *entry {
                    differs = Some(index);
                }
                differs.is_none()
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Proof::Shorter);
                }
                Err(error) => return Err(error),
                Ok(()) => {}
            }
            if let Some(index) = differs {
                return Ok(Proof::Differs(index));
            }
            if identity(&self.file)? == before {
                return Ok(Proof::Same(before));
            }
        }
        Ok(Proof::Restless)
    }
}

/// Whether a file still holds what was sent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It does, as long as the file system says this of it.
    Same(Identity),
    /// This chunk differs.
    Differs(u32),
    /// It is shorter than what was sent.
    Shorter,
    /// It was written to during every attempt to read it.
    Restless,
}

impl Proof {
    /// What changed, in words; `None` if nothing did.
    pub(crate) fn complaint(self) -> Option<String> {
        match self {
            Self::Same(_) => None,
            Self::Differs(index) => Some(format!("chunk {} differs", index + 1)),
            Self::Shorter => Some("it became shorter".into()),
            Self::Restless => Some("it is being written to".into()),
        }
    }
}

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        mtime_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests;
