//! The bytes of a file: what they are, ranges of them as pieces, and proof that what was sent is unchanged.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::upload::Identity;
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::{Chunk, Plan};

mod container;
mod file_system;
mod identity;
#[cfg(target_os = "linux")]
mod lease;
mod map;
mod pieces;
mod reading;
mod writer;

#[cfg(fuzzing)]
pub(crate) use container::recognise_with;
pub(crate) use container::{Container, Unfit, check_start};
pub(crate) use pieces::{Ahead, Piece, Share, WITHHELD};
pub use reading::ReadMode;
pub(crate) use reading::{Pool, Reading};
pub(crate) use writer::Finished;

use map::Mapped;
use reading::PIECE;

/// How many bytes at each end of a file make up its fingerprint.
const FINGERPRINT: u64 = 64 * 1024;

/// An open local file. Its methods block.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<File>,
    path: Arc<Path>,
    /// As of opening.
    identity: Identity,
    fingerprint: Arc<str>,
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
        let identity = identity::settled(&file).map_err(unreadable)?;
        let fingerprint = fingerprint(&file, identity.size).map_err(unreadable)?;
        Ok(Self {
            file: Arc::new(file),
            path: path.into(),
            identity,
            fingerprint: fingerprint.into(),
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

    /// SHA-256 of both ends, in hexadecimal: files with different ones are different videos.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What the file system says now.
    pub(crate) fn identity_now(&self) -> io::Result<Identity> {
        identity::now(&self.file)
    }

    /// The same after every write so far is on its disk.
    pub(crate) fn synced(&self) -> io::Result<Identity> {
        identity::synced(&self.file)
    }

    /// The same, such that it proves the bytes that are read from now on, where that can be had.
    pub(crate) fn settled(&self) -> io::Result<Identity> {
        identity::settled(&self.file)
    }

    /// Refuses a file that a program has open for writing.
    pub(crate) fn check_writers(&self, finished: Finished) -> Result<(), Error> {
        match finished.is_open(&self.file, &self.identity) {
            Some(why) => Err(Error::still_written(&self.name(), why)),
            None => Ok(()),
        }
    }

    /// The `Content-Type` of the video, read off its first boxes. Refuses a file that is not finished.
    pub(crate) fn content_type(&self, finished: Finished) -> Result<&'static str, Error> {
        let recognised = container::recognise(&self.file, self.identity.size);
        let open_ended = match &recognised {
            Ok(recognised) => recognised.open_ended,
            Err(unfit) => matches!(unfit, Unfit::Unfinished { .. }),
        };
        if open_ended && let Some(why) = finished.is_young(&self.file, &self.identity) {
            return Err(Error::still_written(&self.name(), why));
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

    /// Compares what was sent, `ledger` entry by entry, with what the file holds. `as_of` is the identity of the file
    /// before this call: equal bytes are the file's for as long as that holds.
    pub(crate) fn prove(
        &self,
        as_of: Identity,
        plan: &Plan,
        ledger: &[Entry],
        cancel: &AtomicBool,
    ) -> io::Result<Proof> {
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
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Proof::Shorter),
            Err(error) => Err(error),
            Ok(()) => Ok(differs.map_or(Proof::Same(as_of), Proof::Differs)),
        }
    }
}

/// Whether a file still holds what was sent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It does, and did as of this.
    Same(Identity),
    /// This chunk differs.
    Differs(u32),
    /// It is shorter than what was sent.
    Shorter,
    /// This moved, and no bytes can be compared.
    Moved(&'static str),
}

impl Proof {
    /// The file has another size than was planned, so no byte needs to be compared.
    pub(crate) const fn resized(planned: u64, now: u64) -> Self {
        if now < planned {
            Self::Shorter
        } else {
            Self::Moved("its size")
        }
    }

    /// What changed, in words, if anything did.
    pub(crate) fn same(self) -> Result<Identity, String> {
        match self {
            Self::Same(as_of) => Ok(as_of),
            Self::Differs(index) => Err(format!("chunk {} differs", index + 1)),
            Self::Shorter => Err("it became shorter".into()),
            Self::Moved(what) => Err(what.into()),
        }
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

#[cfg(test)]
mod tests;
