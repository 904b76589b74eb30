//! A range of a file in pieces, read or mapped as they are asked for.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::map::{Mapped, Window};

/// Most bytes of a piece: one read, one write.
pub(super) const PIECE: usize = 256 * 1024;

/// Most bytes of a window: what is mapped counts as memory of the process for as long as it is.
const WINDOW: u64 = 2 * 1024 * 1024;

/// How the bytes of a file come into this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// Read into buffers that go round: right for every file, and the memory is the same for any size.
    #[default]
    Read,
    /// Mapped, 2 MiB at a time: saves a copy, which shows under TLS (about a tenth of the CPU time) and not over plain
    /// HTTP. For files that nobody shortens meanwhile. On Unix one that is shortened all the same ends in
    /// [`ErrorKind::Source`](crate::ErrorKind::Source) here, by a handler for SIGBUS that the first use sets up for the
    /// process; it passes on what is not its own. What is mapped counts as memory of the process.
    Map,
}

/// An iterator over the pieces of a range; see [`Source::reading`](super::Source::reading).
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
    pub(super) end: u64,
    /// A piece ends here, and what follows is never mapped.
    pub(super) cut: u64,
    pub(super) pool: Pool,
    pub(super) mapped: Option<Arc<Mapped>>,
    /// What is left of the window that was mapped last.
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
    /// The range in which the next piece must end.
    fn stretch(&self) -> Range<u64> {
        let end = if self.at < self.cut {
            self.cut.min(self.end)
        } else {
            self.end
        };
        self.at..end
    }

    /// Whether a window with the next piece is open.
    fn map(&mut self) -> io::Result<bool> {
        if !self.window.is_empty() {
            return Ok(true);
        }
        let Range { start, end } = self.stretch();
        match &self.mapped {
            Some(mapped) if start < self.cut => {
                // A mapping past the end of the file would be one of nothing.
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
        let mut buffer = self.pool.take();
        self.file.read_exact_at(&mut buffer.bytes[..want], start)?;
        buffer.len = want;
        Ok(Bytes::from_owner(buffer))
    }
}

/// Most buffers that wait for their next use: what a few uploads have on their way at once. 8 MiB in all.
pub(super) const SPARE: usize = 32;

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

    #[cfg(test)]
    pub(super) fn spare(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
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
        let mut spare = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(bytes);
        }
    }
}
