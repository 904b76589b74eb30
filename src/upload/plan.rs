//! The plan of an upload: its size cut into chunks. Pure arithmetic.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::tiktok::limits;

/// The service's limits for sizes, in bytes.
///
/// The service never defines "MB", so [`Limits::DOCUMENTED`] holds values that are legal whether it means 10⁶ or 2²⁰
/// bytes. Its ceiling for chunks keeps even the last chunk, which carries the tail, within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    min_chunk: u64,
    max_chunk: u64,
    max_file: u64,
    sure_file: u64,
    max_chunks: u32,
}

impl Limits {
    /// The limits of the service's documents, under both readings of "MB".
    pub const DOCUMENTED: Self = Self {
        min_chunk: limits::MIN_CHUNK,
        max_chunk: limits::MAX_CHUNK,
        max_file: limits::MAX_FILE,
        sure_file: limits::SURE_FILE,
        max_chunks: limits::MAX_CHUNKS,
    };

    /// Chunk size used while the rate of the path is unknown, in bytes.
    pub const DEFAULT_CHUNK: u64 = 10_000_000;

    /// Smallest chunk of a file that is sent in several chunks.
    pub const fn min_chunk(&self) -> u64 {
        self.min_chunk
    }

    /// Largest `chunk_size` a plan may use. The last chunk may be up to twice as long, less one byte.
    pub const fn max_chunk(&self) -> u64 {
        self.max_chunk
    }

    /// Largest file the service takes under either reading of "GB".
    pub const fn max_file(&self) -> u64 {
        self.max_file
    }

    /// Largest file that the service takes under both readings; above, up to [`max_file`](Self::max_file), the service
    /// decides.
    pub const fn sure_file(&self) -> u64 {
        self.sure_file
    }

    /// Largest `total_chunk_count`.
    pub const fn max_chunks(&self) -> u32 {
        self.max_chunks
    }

    /// Refuses a file size that no plan can have.
    pub(crate) const fn check_file(&self, size: u64) -> Result<(), PlanError> {
        let limit = self.max_file;
        match size {
            0 => Err(PlanError::Empty),
            _ if size > limit => Err(PlanError::FileTooLarge { size, limit }),
            _ => Ok(()),
        }
    }

    /// Refuses a chunk size outside the limits.
    pub(crate) fn check_chunk(&self, chunk_size: u64) -> Result<(), PlanError> {
        let (min, max) = (self.min_chunk, self.max_chunk);
        if (min..=max).contains(&chunk_size) {
            Ok(())
        } else {
            Err(PlanError::ChunkSize {
                chunk_size,
                min,
                max,
            })
        }
    }

    /// The chunk size for `auto`: about 10 s at `rate` bytes per second, or [`DEFAULT_CHUNK`](Self::DEFAULT_CHUNK) while the
    /// rate is unknown, within the limits.
    pub fn auto_chunk(&self, rate: Option<u64>) -> u64 {
        let chunk = rate.map_or(Self::DEFAULT_CHUNK, |rate| {
            rate.saturating_mul(10) / 1_000_000 * 1_000_000
        });
        chunk.clamp(self.min_chunk, self.max_chunk)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DOCUMENTED
    }
}

/// How a file is cut into chunks: chosen once for each upload and kept with it.
///
/// A file below twice the preferred chunk size is one chunk; otherwise every chunk has `chunk_size` bytes and the last
/// one carries the tail, because `total_chunk_count` is `floor(video_size / chunk_size)`. Chunks are larger than preferred
/// where there would be too many.
///
/// ```
/// use chunkferry::{Limits, Plan};
///
/// let plan = Plan::new(50_000_123, &Limits::DOCUMENTED, 10_000_000)?;
/// assert_eq!((plan.chunk_size(), plan.chunk_count()), (10_000_000, 5));
/// assert_eq!(plan.chunk(4).content_range(), "bytes 40000000-50000122/50000123");
/// # Ok::<(), chunkferry::PlanError>(())
/// ```
///
/// A new plan is always legal. A deserialised one covers its file without gap or overlap; it may be of a day on which the
/// limits were others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Plan {
    video_size: u64,
    chunk_size: u64,
    chunk_count: u32,
}

/// A plan as it is stored, before the check.
#[derive(Deserialize)]
struct Stored {
    video_size: u64,
    chunk_size: u64,
    chunk_count: u32,
}

impl TryFrom<Stored> for Plan {
    type Error = PlanError;

    fn try_from(stored: Stored) -> Result<Self, PlanError> {
        let Stored {
            video_size,
            chunk_size,
            chunk_count,
        } = stored;
        let plan = Self {
            video_size,
            chunk_size,
            chunk_count,
        };
        match plan.covers_its_file() {
            true => Ok(plan),
            false => Err(plan.illegal()),
        }
    }
}

/// Why a file cannot be planned. Each error names the rule and the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The file has no bytes.
    #[error("it is empty; a video has at least 1 byte")]
    Empty,
    /// The file is larger than the service takes.
    #[error("it has {size} bytes; the service takes at most {limit}")]
    FileTooLarge {
        /// Size of the file in bytes.
        size: u64,
        /// Largest size the service takes in bytes.
        limit: u64,
    },
    /// The preferred chunk size is outside the limits.
    #[error(
        "a chunk size of {chunk_size} bytes is not allowed: it must be from {min} to {max}, so that every chunk, the last one with its tail included, is legal whether MB means 10^6 or 2^20 bytes"
    )]
    ChunkSize {
        /// The chunk size asked for, in bytes.
        chunk_size: u64,
        /// Smallest allowed, in bytes.
        min: u64,
        /// Largest allowed, in bytes.
        max: u64,
    },
    /// The plan would break a rule of the service, or one that was read from a journal does not cover its file.
    #[error("{size} bytes in {count} chunks of {chunk_size} would break a rule of the service")]
    Illegal {
        /// Size of the file in bytes.
        size: u64,
        /// `chunk_size` in bytes.
        chunk_size: u64,
        /// `total_chunk_count`.
        count: u32,
    },
}

impl Plan {
    /// Plans a file of `video_size` bytes with chunks of `preferred` bytes.
    ///
    /// # Errors
    ///
    /// A [`PlanError`] for an empty or too large file and for a preferred size outside `limits`.
    pub fn new(video_size: u64, limits: &Limits, preferred: u64) -> Result<Self, PlanError> {
        limits.check_file(video_size)?;
        limits.check_chunk(preferred)?;
        // The smallest size of which there are not too many.
        let least = video_size / (u64::from(limits.max_chunks) + 1) + 1;
        let chunk_size = preferred.max(least);
        let plan = if video_size < 2 * chunk_size {
            Self {
                video_size,
                chunk_size: video_size,
                chunk_count: 1,
            }
        } else {
            let count = video_size / chunk_size;
            Self {
                video_size,
                chunk_size,
                chunk_count: u32::try_from(count).unwrap_or(u32::MAX),
            }
        };
        match plan.is_legal(limits) {
            true => Ok(plan),
            false => Err(plan.illegal()),
        }
    }

    /// This plan, or the nearest one that is legal today. For a new session of an upload whose plan is of a day with other
    /// limits; a file that no plan fits any more keeps its plan, and the service refuses the init.
    pub(crate) fn within(self, limits: &Limits) -> Self {
        if self.is_legal(limits) {
            return self;
        }
        let preferred = self.chunk_size.clamp(limits.min_chunk, limits.max_chunk);
        Self::new(self.video_size, limits, preferred).unwrap_or(self)
    }

    /// Whether the service takes this plan under both readings of "MB".
    fn is_legal(&self, limits: &Limits) -> bool {
        self.covers_its_file()
            && self.video_size <= limits.max_file
            && self.chunk_count <= limits.max_chunks
            && (self.chunk_count == 1 || limits.check_chunk(self.chunk_size).is_ok())
            && self.chunk(self.chunk_count - 1).size < 2 * limits.max_chunk
    }

    /// Whether the chunks are those of a file of this size, whatever the limits are.
    fn covers_its_file(&self) -> bool {
        let whole = self.chunk_count == 1;
        self.chunk_count > 0
            && self.chunk_size > 0
            && u64::from(self.chunk_count) == self.video_size / self.chunk_size
            && whole == (self.chunk_size == self.video_size)
    }

    const fn illegal(&self) -> PlanError {
        PlanError::Illegal {
            size: self.video_size,
            chunk_size: self.chunk_size,
            count: self.chunk_count,
        }
    }

    /// Bytes of the whole file.
    pub const fn video_size(&self) -> u64 {
        self.video_size
    }

    /// Bytes of every chunk but the last, as the init states them.
    pub const fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// `total_chunk_count`.
    pub const fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// The chunk number `index`, from 0; an index past the end is the last chunk.
    pub fn chunk(&self, index: u32) -> Chunk {
        let last = self.chunk_count - 1;
        let index = index.min(last);
        let first = self.border(index);
        let end = if index == last {
            self.video_size
        } else {
            first + self.chunk_size
        };
        Chunk {
            index,
            first,
            size: end - first,
            video_size: self.video_size,
            last: index == last,
        }
    }

    /// All chunks in the order they are sent.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = Chunk> + '_ {
        (0..self.chunk_count).map(|index| self.chunk(index))
    }

    /// Bytes in the first `chunks` chunks.
    pub(crate) fn border(&self, chunks: u32) -> u64 {
        if chunks >= self.chunk_count {
            self.video_size
        } else {
            u64::from(chunks) * self.chunk_size
        }
    }
}

/// One byte range of a [`Plan`], sent by one PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    index: u32,
    first: u64,
    size: u64,
    video_size: u64,
    last: bool,
}

impl Chunk {
    /// Its number, from 0.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Its bytes in the file.
    pub const fn range(&self) -> Range<u64> {
        self.first..self.first + self.size
    }

    /// Its length in bytes, at least 1: the `Content-Length` of its PUT.
    pub const fn size(&self) -> u64 {
        self.size
    }

    pub(crate) const fn video_size(&self) -> u64 {
        self.video_size
    }

    /// Whether this chunk completes the video.
    pub const fn is_last(&self) -> bool {
        self.last
    }

    /// The header of its PUT: `bytes FIRST-LAST/TOTAL`, inclusive, from 0.
    pub fn content_range(&self) -> String {
        format!(
            "bytes {}-{}/{}",
            self.first,
            self.first + self.size - 1,
            self.video_size
        )
    }
}

#[cfg(test)]
mod tests;
