//! Reads headers that are spread over a file.

use std::time::{Duration, Instant};

use super::{PADDING, ReadAt, Unfit};

/// Least bytes that a disk reads for any request.
const PAGE: u64 = 4096;

/// Most bytes of one read.
const MOST: u64 = 64 * 1024;

/// Headers this close together share pages, so reading many pages at once reads nothing in vain.
const DENSE: u64 = 512;

/// Reads the headers of a file within a time limit: one page at a time, or more where headers lie close together.
pub(super) struct Headers<'a> {
    read: ReadAt<'a>,
    pub(super) size: u64,
    buffer: Vec<u8>,
    /// Offset of the buffer in the file.
    start: u64,
    /// Bytes that the last read took, and the headers that it served.
    window: u64,
    served: u64,
    begun: Instant,
    patience: Duration,
}

impl<'a> Headers<'a> {
    pub(super) fn new(read: ReadAt<'a>, size: u64, patience: Duration) -> Self {
        Self {
            read,
            size,
            buffer: Vec::new(),
            start: 0,
            window: PAGE,
            served: 0,
            begun: Instant::now(),
            patience,
        }
    }

    /// Returns `length` bytes at `at`, at most a page; fewer at the end of the file.
    pub(super) fn at(&mut self, at: u64, length: usize) -> Result<&[u8], Unfit> {
        let end = at.saturating_add(length as u64).min(self.size);
        if at >= end {
            return Ok(&[]);
        }
        let read = self.start..self.start + self.buffer.len() as u64;
        if at < read.start || end > read.end {
            self.fetch(at, end)?;
        }
        self.served += 1;
        let from = (at - self.start) as usize;
        Ok(&self.buffer[from..from + (end - at) as usize])
    }

    fn fetch(&mut self, at: u64, end: u64) -> Result<(), Unfit> {
        if !self.buffer.is_empty() && self.begun.elapsed() >= self.patience {
            let (patience, size) = (self.patience, self.size);
            return Err(Unfit::Late { patience, at, size });
        }
        let near = at < self.start.saturating_add(self.buffer.len() as u64 + PAGE);
        self.window = if near && self.served >= self.window / DENSE {
            (self.window * 4).min(MOST)
        } else {
            PAGE
        };
        let page_end = end.div_ceil(PAGE).saturating_mul(PAGE);
        let until = page_end.saturating_add(self.window - PAGE).min(self.size);
        self.buffer.resize((until - at) as usize, 0);
        self.start = at;
        self.served = 0;
        (self.read)(&mut self.buffer, at)?;
        Ok(())
    }

    /// Whether the bytes at `at` are zeros, for the length of a header.
    pub(super) fn is_zero(&mut self, at: u64) -> Result<bool, Unfit> {
        Ok(self.at(at, 16)?.iter().all(|&byte| byte == 0))
    }

    /// Whether more than padding is blank from `at` to the end of the file, as the zeros at both ends show.
    pub(super) fn is_blank(&mut self, at: u64) -> Result<bool, Unfit> {
        Ok(self.size - at > PADDING && self.is_zero(at)? && self.is_zero(self.size - 16)?)
    }
}
