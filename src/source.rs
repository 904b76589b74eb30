//! The bytes of a file: what they are, ranges of them as pieces, and proof that what was sent is unchanged.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::error::Error;
use crate::ledger::{Entry, Running};
use crate::plan::Plan;
use crate::upload::Identity;

mod container;

#[cfg(fuzzing)]
pub(crate) use container::recognise_with;
pub(crate) use container::{Container, Unfit, starts_as};

/// Size of a piece in bytes: one read, one write.
const PIECE: usize = 256 * 1024;

/// An open local file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<File>,
    path: PathBuf,
    /// As of opening.
    identity: Identity,
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

    /// The bytes of `range` in pieces, cut at `cut` so that a piece ends there. Reads happen as pieces are taken.
    pub(crate) fn pieces(&self, range: Range<u64>, cut: u64, pool: &Pool) -> Pieces {
        Pieces {
            file: Arc::clone(&self.file),
            at: range.start,
            end: range.end,
            cut,
            pool: pool.clone(),
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

/// An iterator over the pieces of a range; see [`Source::pieces`].
#[derive(Debug)]
pub(crate) struct Pieces {
    file: Arc<File>,
    at: u64,
    end: u64,
    cut: u64,
    pool: Pool,
}

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = if self.at < self.cut {
            self.cut.min(self.end)
        } else {
            self.end
        };
        let want = PIECE.min((end - self.at) as usize);
        if want == 0 {
            return None;
        }
        let mut buffer = self.pool.take();
        if let Err(error) = self.file.read_exact_at(&mut buffer.bytes[..want], self.at) {
            self.at = self.end;
            return Some(Err(error));
        }
        buffer.len = want;
        self.at += want as u64;
        Some(Ok(Bytes::from_owner(buffer)))
    }
}

/// Buffers that go round between the file and the socket: as many as are on their way at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Box<[u8]>>>>);

impl Pool {
    fn take(&self) -> Buffer {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer {
            bytes: spare.unwrap_or_else(|| vec![0; PIECE].into()),
            len: 0,
            pool: self.clone(),
        }
    }
}

#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
    pool: Pool,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
    }
}

#[cfg(test)]
mod tests;
