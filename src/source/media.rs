//! Videos that lie anywhere: the trait [`Media`], for those who bring their own storage.

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;

/// A video that can be read by ranges: an object in a bucket, a file behind a server, a block device. For
/// [`Job::media`](crate::Job::media).
///
/// The engine promises one draft of one version of the video, and rests that on two promises of the implementation:
///
/// - a [`validator`](MediaVersion::validator) that is the same means that all bytes are the same (a strong `ETag`, a
///   generation, a version id). What has no such validator is copied to a file first;
/// - [`read`](Self::read) gives bytes of the version that was opened, or an error, and never bytes of another version. A request
///   with a condition is not enough, because servers were seen to ignore conditions: compare the version that each answer states.
///
/// Errors become those of the upload, by the kind of the [`io::Error`]:
///
/// - `StaleNetworkFileHandle` and `UnexpectedEof`: the video is another version now. The upload ends in
///   [`ErrorKind::SourceChanged`](crate::ErrorKind::SourceChanged), and nothing is posted;
/// - `TimedOut`, `WouldBlock`, `Interrupted`, `HostUnreachable`, `NetworkUnreachable`, `NetworkDown`, `ConnectionReset`,
///   `ConnectionAborted`, `ConnectionRefused`, `BrokenPipe`: the rest of the range is read again after a wait, for as long as
///   [`Job::patience`](crate::Job::patience) without a byte. Then the upload ends in
///   [`ErrorKind::Temporary`](crate::ErrorKind::Temporary), and the same job carries on later;
/// - any other ends it in [`ErrorKind::Source`](crate::ErrorKind::Source).
///
/// Their texts are shown, so they hold no secret.
///
/// Methods may be called while others run. Dropping a future or a stream ends its reading.
///
/// ```
/// use std::io;
/// use std::ops::Range;
///
/// use bytes::Bytes;
/// use chunkferry::{Job, Media, MediaVersion};
/// use futures::future;
/// use futures::stream::{self, BoxStream};
///
/// /// A video in memory. Nobody can change it, so its name is validator enough.
/// #[derive(Debug)]
/// struct InMemory(Bytes);
///
/// impl Media for InMemory {
///     fn address(&self) -> &str {
///         "memory/clip.mp4"
///     }
///
///     fn opened(&self) -> MediaVersion {
///         MediaVersion::new(self.0.len() as u64, "1")
///     }
///
///     fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
///         let bytes = self.0.slice(range.start as usize..range.end as usize);
///         Box::pin(stream::once(future::ready(Ok(bytes))))
///     }
/// }
///
/// let job = Job::media(InMemory(Bytes::from_static(b"..."))).account("lena", "act.lena.1");
/// assert_eq!(job.name(), "memory/clip.mp4");
/// ```
pub trait Media: fmt::Debug + Send + Sync + 'static {
    /// Where the video is, without any secret: the journal keeps the address, and messages show its last part. Media of one address
    /// are versions of the same video, so an unfinished upload of an older version is given up.
    fn address(&self) -> &str;

    /// The version that was opened. Always the same.
    fn opened(&self) -> MediaVersion;

    /// The bytes of `range` (at least one byte, within the video), in order and in pieces of any size. Small pieces are gathered, and
    /// large ones are cut without copying. After 30 seconds without a piece the stream is dropped, and the rest of the range is read
    /// again.
    ///
    /// The first and the last 64 KiB are read when the job begins, and the last 64 KiB once more right before they leave.
    ///
    /// # Errors
    ///
    /// The stream gives an error if the bytes cannot be read or belong to another version.
    fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>>;
}

/// One version of a video, as its storage states it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaVersion {
    /// In bytes.
    pub size: u64,
    /// Differs whenever any byte differs.
    pub validator: String,
}

impl MediaVersion {
    /// A video of `size` bytes with this validator.
    pub fn new(size: u64, validator: impl Into<String>) -> Self {
        Self {
            size,
            validator: validator.into(),
        }
    }
}

/// The bytes of a whole video, as they come: for a copy of what cannot be read by ranges of one version.
pub(crate) struct Whole {
    /// In bytes, if that is stated.
    pub(crate) size: Option<u64>,
    pub(crate) bytes: BoxStream<'static, io::Result<Bytes>>,
}
