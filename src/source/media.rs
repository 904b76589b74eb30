//! Videos that lie anywhere: the trait [`Media`], for those who bring their own storage.

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
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
/// Errors become those of the upload: the kinds of [`io::Error`] that may pass (`TimedOut`, `WouldBlock`, `Interrupted`,
/// `HostUnreachable`, `NetworkUnreachable`, `NetworkDown`) end it in [`ErrorKind::Temporary`](crate::ErrorKind::Temporary), and
/// the same job carries on later; all others end it in [`ErrorKind::Source`](crate::ErrorKind::Source). Their texts are shown, so
/// they hold no secret.
///
/// Methods may be called while others run. Dropping a future or a stream ends its reading.
///
/// ```
/// use std::io;
/// use std::ops::Range;
///
/// use bytes::Bytes;
/// use chunkferry::{Job, Media, MediaVersion};
/// use futures::future::{self, BoxFuture};
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
///     fn current(&self) -> BoxFuture<'_, io::Result<MediaVersion>> {
///         Box::pin(future::ready(Ok(self.opened())))
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

    /// The version at this moment. Asked at each chunk border, and before the last bytes leave. After 60 seconds without an answer
    /// the upload ends as temporary.
    ///
    /// # Errors
    ///
    /// If the version cannot be read.
    fn current(&self) -> BoxFuture<'_, io::Result<MediaVersion>>;

    /// The bytes of `range` (at least one byte, within the video), in order and in pieces of any size. Large pieces are cut here,
    /// without copying. After 60 seconds without a piece the reading is dropped and the upload ends as temporary.
    ///
    /// # Errors
    ///
    /// The stream gives an error if the bytes cannot be read or belong to another version; `UnexpectedEof` if the video is shorter
    /// now.
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
