//! What can be sent: bytes that are read by ranges, and that say which version of them was read.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, TryStreamExt};

use super::{Ahead, Share};
use crate::error::Error;
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::{Chunk, Plan};
use crate::upload::{Identity, Origin};

/// Digests of everything up to some offsets, with these offsets. Dropping the stream ends the reading.
pub(crate) type Digests = BoxStream<'static, io::Result<(u64, Running)>>;

/// A video that is sent from here, opened as one version of it.
///
/// The engine never asks where the bytes lie. A [`LocalFile`](super::LocalFile) is the first implementation; an object
/// behind https that is read by ranges and known by its validator is another.
///
/// Every method may be called while another one runs. Dropping a future or a stream ends what it reads.
pub(crate) trait Media: fmt::Debug + Send + Sync + 'static {
    /// What messages call the video: of a file, its name without the directories.
    fn name(&self) -> Cow<'_, str>;

    /// Where the file lies, if it is a file of this machine.
    fn path(&self) -> Option<&Path>;

    /// The version that was opened, the size of the video in bytes included.
    fn identity(&self) -> Identity;

    /// SHA-256 of the first and the last 64 KiB, in hexadecimal. Media with different fingerprints are different videos.
    fn fingerprint(&self) -> &str;

    /// The `Content-Type` of the video, as its first bytes say.
    ///
    /// # Errors
    ///
    /// Where these bytes are no video that the service takes, or not a finished one.
    fn content_type(&self) -> BoxFuture<'_, Result<&'static str, Error>>;

    /// What the row of a new upload keeps of it.
    fn origin(&self, content_type: String, plan: Plan) -> Origin;

    /// The error that ends an upload whose media could not be read.
    fn unreadable(&self, error: io::Error) -> Error;

    /// Reads from the start of `chunk` to the end of the video, ahead of the body that takes the pieces. Hashes on from
    /// `running`, the hash of all that comes before, where there is a ledger.
    ///
    /// # Errors
    ///
    /// Where nothing can be read at the moment: no more threads, no connection.
    fn read(
        &self,
        plan: Plan,
        chunk: Chunk,
        running: Option<Running>,
    ) -> io::Result<(Ahead, Share)>;

    /// Hashes on from `running`, the hash of all bytes before `from`, and gives the hash at each offset in `at`, which
    /// ascend. A video that became shorter ends the stream with [`io::ErrorKind::UnexpectedEof`].
    fn digests(&self, running: Running, from: u64, at: Vec<u64>) -> Digests;

    /// The version there is now.
    fn version(&self) -> BoxFuture<'_, io::Result<Identity>>;

    /// The version there is now, such that it proves the bytes which are read from now on, where that can be had. May take
    /// some seconds.
    fn settled(&self) -> BoxFuture<'_, io::Result<Identity>>;

    /// Returns when no byte that was handed over waits in this process any more.
    fn drained(&self) -> BoxFuture<'_, ()>;

    /// Whether something else than the bytes of this version may have been sent. Known for certain once
    /// [`drained`](Self::drained) has returned.
    fn is_torn(&self) -> bool;

    /// The version there is at the moment before the last bytes leave.
    ///
    /// # Errors
    ///
    /// Where the video must not be completed now, for instance because a program has the file open for writing.
    fn still_the_same(&self) -> BoxFuture<'_, Result<Version, Error>>;
}

/// What is known of a video right before its last bytes leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Version {
    /// This version; whether it is the one that was sent is for the caller to compare.
    Now(Identity),
    /// Something else than the bytes of the version that was opened may have been sent.
    Torn,
}

/// Compares what was sent, `ledger` entry by entry, with the bytes of the media. `as_of` is their version before this call:
/// equal bytes are the media's for as long as that holds.
pub(crate) async fn prove(
    media: &dyn Media,
    as_of: Identity,
    plan: &Plan,
    ledger: Vec<Entry>,
) -> Result<Proof, Error> {
    let borders = (1..=ledger.len() as u32).map(|chunks| plan.border(chunks));
    let mut digests = media.digests(Running::default(), 0, borders.collect());
    for (entry, index) in ledger.iter().zip(0..) {
        match digests.try_next().await {
            Ok(Some((_, running))) if running.entry() == *entry => {}
            Ok(Some(_)) => return Ok(Proof::Differs(index)),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(media.unreadable(error));
            }
            Ok(None) | Err(_) => return Ok(Proof::Shorter),
        }
    }
    Ok(Proof::Same(as_of))
}

/// Whether media still hold what was sent of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// They do, and did as of this version.
    Same(Identity),
    /// This chunk differs.
    Differs(u32),
    /// They are shorter than what was sent.
    Shorter,
    /// This moved, and no bytes can be compared.
    Moved(&'static str),
}

impl Proof {
    /// The media have another size than was planned, so no byte needs to be compared.
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
