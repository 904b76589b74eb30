//! Reads or maps a range of a file, piece by piece.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

use super::map::{Mapped, Window};

/// Most bytes of a piece: one read, one write.
pub(super) const PIECE: usize = 256 * 1024;

/// Most bytes of a window: mapped bytes count as memory of the process.
const WINDOW: u64 = 2 * 1024 * 1024;

/// How the bytes of a file are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Read into buffers that are used again: right for every file, with the same memory for any size.
    #[default]
    Read,
    /// Mapped, 2 MiB at a time. Saves a copy, which shows under TLS (about a tenth of the CPU time) and not over plain
    /// HTTP. For files that no program truncates meanwhile; on Unix a truncated file ends in
    /// [`ErrorKind::Source`](crate::ErrorKind::Source), by a handler for SIGBUS that the first use registers for the
    /// process and that passes other signals on. Mapped bytes count as memory of the process.
    Map,
}

/// The pieces of a range; see [`LocalFile::reading`](super::LocalFile::reading).
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
    pub(super) end: u64,
    /// Offset at which a piece ends; bytes behind it are never mapped.
    pub(super) cut: u64,
    pub(super) pool: Pool,
    pub(super) mapped: Option<Arc<Mapped>>,
    /// The rest of the window that was mapped last.
    pub(super) window: Bytes,
}

impl Iterator for Reading {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.end {
            return None;
        }
        let piece = match self.map() {
            Ok(true) => Ok(self.window.split_to(self.window.len().min(PIECE))),
            Ok(false) => self.read(),
            Err(error) => Err(error),
        };
        match &piece {
            Ok(bytes) => self.at += bytes.len() as u64,
            Err(_) => self.at = self.end,
        }
        Some(piece)
    }
}

impl Reading {
    /// The range that must hold the end of the next piece.
    fn stretch(&self) -> Range<u64> {
        let end = if self.at < self.cut {
            self.cut.min(self.end)
        } else {
            self.end
        };
        self.at..end
    }

    /// Opens a window for the next piece; `false` if the piece must be read.
    fn map(&mut self) -> io::Result<bool> {
        if !self.window.is_empty() {
            return Ok(true);
        }
        let Range { start, end } = self.stretch();
        match &self.mapped {
            Some(mapped) if start < self.cut => {
                // A mapping past the end of the file would be empty.
                if self.file.metadata()?.len() < end {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let range = start..end.min(start + WINDOW);
                let window = Window::open(&self.file, range, mapped)?;
                self.window = window.map(Bytes::from_owner).unwrap_or_default();
                Ok(!self.window.is_empty())
            }
            _ => Ok(false),
        }
    }

    fn read(&self) -> io::Result<Bytes> {
        let Range { start, end } = self.stretch();
        let want = PIECE.min((end - start) as usize);
        let mut buffer = self.pool.take()?;
        if let Some(bytes) = &mut buffer.bytes {
            self.file.read_exact_at(&mut bytes[..want], start)?;
        }
        buffer.len = want;
        Ok(Bytes::from_owner(buffer))
    }
}

/// Most unused buffers that are kept: enough for a few uploads, 8 MiB.
pub(super) const SPARE: usize = 32;

/// Buffers that go back and forth between file and socket. Each is a mapping of its own, because an allocator seldom
/// returns freed memory to the system, and 64 uploads have more than 100 MiB on their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    spare: Vec<MmapMut>,
    /// Buffers in use.
    out: usize,
}

impl Pool {
    pub(super) fn take(&self) -> io::Result<Buffer> {
        let mut buffers = self.lock();
        let bytes = match buffers.spare.pop() {
            Some(bytes) => bytes,
            None => MmapMut::map_anon(PIECE)?,
        };
        buffers.out += 1;
        drop(buffers);
        Ok(Buffer {
            bytes: Some(bytes),
            len: 0,
            pool: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn spare(&self) -> usize {
        self.lock().spare.len()
    }
}

/// A buffer of a pool, which goes back to the pool when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    /// `None` only while dropping.
    bytes: Option<MmapMut>,
    len: usize,
    pool: Pool,
}

impl Buffer {
    /// Adds as many bytes as there is room for; their number.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let room = &mut self.bytes.as_deref_mut().unwrap_or_default()[self.len..];
        let taken = bytes.len().min(room.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        taken
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len == PIECE
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes
            .as_deref()
            .map_or(&[], |bytes| &bytes[..self.len])
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffers = self.pool.lock();
        buffers.out -= 1;
        buffers.spare.extend(self.bytes.take());
        if buffers.out == 0 {
            buffers.spare.truncate(SPARE);
        }
    }
}
