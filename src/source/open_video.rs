//! The trait of a video that is open: read by ranges, with an identity for the version that was read.

use std::borrow::Cow;
use std::fmt;
use std::io;

use futures::future::BoxFuture;
use futures::stream::TryStreamExt;

use super::ranges::Digests;
use super::{Ahead, Share};
use crate::error::Error;
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::{Chunk, Plan};
use crate::upload::{Address, Identity, Origin};

/// A video that this process sends, opened as one version of it.
///
/// The engine does not know where the bytes are stored: in a [`LocalFile`](super::LocalFile), or anywhere else as an
/// [`Object`](super::Object).
///
/// Methods may be called while others run. Dropping a future or a stream ends its reading.
pub(crate) trait OpenVideo: fmt::Debug + Send + Sync + 'static {
    /// The name in messages: of a file, its name without the directories.
    fn name(&self) -> Cow<'_, str>;

    /// The path of a file, the address of anything else.
    fn address(&self) -> &Address;

    /// The identity of the version that was opened, with the video's size in bytes.
    fn identity(&self) -> Identity;

    /// SHA-256 of the first and the last 64 KiB, in hexadecimal. Media with different fingerprints are different videos.
    fn fingerprint(&self) -> &str;

    /// The `Content-Type` of the video, from its first bytes.
    ///
    /// # Errors
    ///
    /// If the bytes are not a video that the service takes, or not a finished one.
    fn content_type(&self) -> BoxFuture<'_, Result<&'static str, Error>>;

    /// The source of the video as the row of a new upload keeps it.
    fn origin(&self, content_type: String, plan: Plan) -> Origin {
        Origin::Media {
            address: self.address().clone(),
            identity: self.identity(),
            fingerprint: Some(self.fingerprint().to_owned()),
            content_type,
            plan,
        }
    }

    /// What has changed, in words, if this error of a read means that the video is not the one any more that was opened.
    fn change(&self, error: &io::Error) -> Option<&'static str>;

    /// The error that ends the upload after a read failed.
    fn unreadable(&self, error: io::Error) -> Error;

    /// Starts to read from `chunk` to the end of the video, ahead of the body that takes the pieces. With a ledger,
    /// continues the hash `running` of all bytes before `chunk`.
    ///
    /// # Errors
    ///
    /// If nothing can be read at the moment: no more threads, no connection.
    fn read(
        &self,
        plan: Plan,
        chunk: Chunk,
        running: Option<Running>,
    ) -> io::Result<(Ahead, Share)>;

    /// Continues `running`, the hash of all bytes before `from`, and gives the hash at each of the ascending offsets in
    /// `at`. A video that changed ends the stream with an error that [`change`](Self::change) knows.
    fn digests(&self, running: Running, from: u64, at: Vec<u64>) -> Digests;

    /// The identity now.
    fn version(&self) -> BoxFuture<'_, io::Result<Identity>>;

    /// The identity now, if possible one that proves the bytes read from now on. May take some seconds.
    fn settled(&self) -> BoxFuture<'_, io::Result<Identity>>;

    /// Whether an upload that is carried on reads again what was sent, and compares it: always, but where an identity that is the same
    /// proves as much.
    fn reads_again(&self) -> bool;

    /// Returns once none of the bytes handed to a body waits in this process any more.
    fn drained(&self) -> BoxFuture<'_, ()>;

    /// Whether bytes of another version may have been sent. Final once [`drained`](Self::drained) has returned.
    fn is_torn(&self) -> bool;

    /// The identity right before the last bytes leave.
    ///
    /// # Errors
    ///
    /// If the video must not be completed now, for instance because a program has the file open for writing.
    fn still_the_same(&self) -> BoxFuture<'_, Result<Version, Error>>;
}

/// The state of a video right before its last bytes leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Version {
    /// The identity now; the caller compares it with the one that was sent.
    Now(Identity),
    /// Bytes of another version than the opened one may have been sent: what has changed, in words.
    Changed(&'static str),
}

/// Compares the media with the digests of the bytes sent, entry by entry of `ledger`. `as_of` is their identity before
/// this call: equal bytes belong to the media for as long as that holds.
pub(crate) async fn prove(
    media: &dyn OpenVideo,
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
            Err(error) => match media.change(&error) {
                Some(what) => return Ok(Proof::Moved(what)),
                None => return Err(media.unreadable(error)),
            },
            Ok(None) => return Ok(Proof::Moved(SHORTER)),
        }
    }
    Ok(Proof::Same(as_of))
}

/// What has changed of a video that has not got all the bytes that were sent.
pub(super) const SHORTER: &str = "it became shorter";

/// The result of [`prove`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The media hold the bytes sent, and have this identity.
    Same(Identity),
    /// The bytes of this chunk differ.
    Differs(u32),
    /// This property changed, so no bytes can be compared.
    Moved(&'static str),
}

impl Proof {
    /// The media's size differs from the plan's, so no byte needs to be compared.
    pub(crate) const fn resized(planned: u64, now: u64) -> Self {
        if now < planned {
            Self::Moved(SHORTER)
        } else {
            Self::Moved("its size")
        }
    }

    /// The identity, or a text that says what changed.
    pub(crate) fn same(self) -> Result<Identity, String> {
        match self {
            Self::Same(as_of) => Ok(as_of),
            Self::Differs(index) => Err(format!("chunk {} differs", index + 1)),
            Self::Moved(what) => Err(what.into()),
        }
    }
}
