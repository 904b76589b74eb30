//! A video that lies anywhere: a [`Media`] as the engine reads it.

use std::borrow::Cow;
use std::io;
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{self, BoxFuture};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::ahead::Ahead;
use super::container::{self, Recognised};
use super::media::{Media, MediaVersion};
use super::open_video::{OpenVideo, SHORTER, Version};
use super::ranges::{self, Digests, Ranges};
use super::read::{PIECE, Pool};
use super::{Share, WITHHELD, unfit};
use crate::error::Error;
use crate::upload::ledger::Running;
use crate::upload::plan::{Chunk, Plan};
use crate::upload::{Address, Identity};

mod fetch;

use fetch::Fetch;
pub(super) use fetch::is_outage;

/// How a [`Media`] is opened and read.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// The pool of read buffers.
    pub(crate) pool: Pool,
    /// For how long the storage may give no byte.
    pub(crate) patience: Duration,
    /// Whether an upload that is carried on reads again what was sent.
    pub(crate) verify: bool,
}

/// The bytes of a [`Media`]. Opened and recognised on a thread that may block; its reading is done by tasks of the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    fetch: Fetch,
    address: Arc<Address>,
    identity: Identity,
    fingerprint: Arc<str>,
    /// The first and the last bytes as they were at opening, as many as the last ones that are withheld.
    ends: [Bytes; 2],
    verify: bool,
    runtime: Handle,
}

impl Object {
    /// Reads both ends of the video.
    pub(crate) async fn open(media: Arc<dyn Media>, access: Access) -> Result<Self, Error> {
        let address = Address::Object(media.address().to_owned());
        let identity = identity(media.address(), &media.opened());
        let fetch = Fetch {
            media,
            pool: access.pool,
            patience: access.patience,
        };
        let mut object = Self {
            fetch,
            address: Arc::new(address),
            identity,
            fingerprint: "".into(),
            ends: [Bytes::new(), Bytes::new()],
            verify: access.verify,
            runtime: Handle::current(),
        };
        let ends =
            [0..identity.size.min(WITHHELD), object.tail()].map(|range| object.all_of(range));
        let ends = future::try_join_all(ends).await;
        let ends = ends.map_err(|error| object.unreadable(error))?;
        object.ends = ends.try_into().unwrap_or_default();
        let fingerprint =
            object.blocking(|object| ranges::fingerprint(object, object.identity.size));
        let fingerprint = fingerprint.await;
        object.fingerprint = fingerprint
            .map_err(|error| object.unreadable(error))?
            .into();
        Ok(object)
    }

    /// The bytes that are withheld until the video is known to be the version that was sent.
    const fn tail(&self) -> Range<u64> {
        self.identity.size.saturating_sub(WITHHELD)..self.identity.size
    }

    /// Reads a range as it is now.
    async fn all_of(&self, range: Range<u64>) -> io::Result<Bytes> {
        let size = (range.end - range.start) as usize;
        let mut all = BytesMut::with_capacity(size);
        let mut pieces = self.fetch.start(&self.runtime, range);
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece?);
        }
        match all.len() == size {
            true => Ok(all.freeze()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The bytes of a range that were read at opening.
    fn kept(&self, range: &Range<u64>) -> Option<Bytes> {
        let [start, tail] = &self.ends;
        [(0, start), (self.tail().start, tail)]
            .into_iter()
            .find_map(|(first, bytes)| {
                let from = usize::try_from(range.start.checked_sub(first)?).ok()?;
                let until = usize::try_from(range.end.checked_sub(first)?).ok()?;
                (until <= bytes.len()).then(|| bytes.slice(from..until))
            })
    }

    /// Runs a blocking function on a thread where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let object = self.clone();
        let running = tokio::task::spawn_blocking(move || run(&object));
        running.await.map_err(io::Error::other)?
    }

    /// Fills a buffer with the bytes from `at` on. Blocks.
    fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let range = at..at + buffer.len() as u64;
        if let Some(bytes) = self.kept(&range) {
            buffer.copy_from_slice(&bytes);
            return Ok(());
        }
        let mut filled = 0;
        for piece in self.pieces(range, at) {
            let piece = piece?;
            buffer[filled..filled + piece.len()].copy_from_slice(&piece);
            filled += piece.len();
        }
        Ok(())
    }
}

impl Ranges for Object {
    fn pieces(
        &self,
        range: Range<u64>,
        cut: u64,
    ) -> impl Iterator<Item = io::Result<Bytes>> + use<> {
        let mut pieces = match self.kept(&range) {
            Some(bytes) => fetch::read_before(bytes),
            None => self.fetch.start(&self.runtime, range.clone()),
        };
        let Range { mut start, end } = range;
        let mut rest = Bytes::new();
        iter::from_fn(move || {
            while rest.is_empty() && start < end {
                match pieces.blocking_recv() {
                    Some(Ok(bytes)) => rest = bytes,
                    ended => {
                        start = end;
                        let error = ended.and_then(Result::err);
                        return Some(Err(
                            error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
                        ));
                    }
                }
            }
            let until = if start < cut { cut.min(end) } else { end };
            let length = rest.len().min(PIECE).min((until - start) as usize);
            start += length as u64;
            (length > 0).then(|| Ok(rest.split_to(length)))
        })
    }
}

/// The identity of a version: the SHA-256 of address and validator, in the place of what a file system states. Validators are
/// compared for one address only: two objects can have the same.
fn identity(address: &str, version: &MediaVersion) -> Identity {
    let mut hash = Sha256::new();
    hash.update((address.len() as u64).to_be_bytes());
    hash.update(address);
    hash.update(&version.validator);
    let hash: [u8; 32] = hash.finalize().into();
    let (words, _) = hash.as_chunks::<8>();
    Identity {
        device: u64::from_be_bytes(words[0]),
        inode: u64::from_be_bytes(words[1]),
        size: version.size,
        mtime_ns: i64::from_be_bytes(words[2]),
        ctime_ns: Some(i64::from_be_bytes(words[3])),
        proves: true,
    }
}

impl OpenVideo for Object {
    fn name(&self) -> Cow<'_, str> {
        self.address.name()
    }

    fn address(&self) -> &Address {
        &self.address
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn content_type(&self) -> BoxFuture<'_, Result<&'static str, Error>> {
        Box::pin(async {
            let recognised = self.blocking(|object| {
                let read = |buffer: &mut [u8], at: u64| object.fill(buffer, at);
                Ok(container::recognise(&read, object.identity.size))
            });
            let recognised = recognised.await.map_err(|error| self.unreadable(error))?;
            let Recognised { container, .. } =
                recognised.map_err(|why| unfit(self.address.as_path(), why))?;
            Ok(container.content_type())
        })
    }

    fn unreadable(&self, error: io::Error) -> Error {
        if let Some(what) = self.change(&error) {
            return Error::changed(&self.name(), what);
        }
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::unreadable(self.address.as_path(), error),
        }
    }

    /// An object has versions, and each read states that it is of another one.
    fn change(&self, error: &io::Error) -> Option<&'static str> {
        match error.kind() {
            io::ErrorKind::StaleNetworkFileHandle => Some("its version"),
            io::ErrorKind::UnexpectedEof => Some(SHORTER),
            _ => None,
        }
    }

    fn read(
        &self,
        plan: Plan,
        chunk: Chunk,
        running: Option<Running>,
    ) -> io::Result<(Ahead, Share)> {
        Ahead::of(self, plan, chunk, running)
    }

    fn digests(&self, running: Running, from: u64, at: Vec<u64>) -> Digests {
        ranges::digests(self, running, from, at)
    }

    /// The opened version, as no byte of another one is ever read.
    fn version(&self) -> BoxFuture<'_, io::Result<Identity>> {
        Box::pin(future::ready(Ok(self.identity)))
    }

    fn settled(&self) -> BoxFuture<'_, io::Result<Identity>> {
        self.version()
    }

    fn reads_again(&self) -> bool {
        self.verify
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(future::ready(()))
    }

    fn is_torn(&self) -> bool {
        false
    }

    /// Reads the last bytes again: the storage says whether they belong to the opened version.
    fn still_the_same(&self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(async {
            let [_, tail] = &self.ends;
            match self.all_of(self.tail()).await {
                Ok(now) if now == *tail => Ok(Version::Now(self.identity)),
                Ok(_) => Ok(Version::Changed("its bytes")),
                Err(error) => match self.change(&error) {
                    Some(what) => Ok(Version::Changed(what)),
                    None => Err(self.unreadable(error)),
                },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_says_nothing_about_another_address_or_size() {
        let version = |size, validator: &str| MediaVersion::new(size, validator);
        let one = identity("a", &version(10, "1"));
        assert!(one.proves_same(&identity("a", &version(10, "1"))));
        for other in [
            identity("b", &version(10, "1")),
            identity("a", &version(11, "1")),
            identity("a", &version(10, "2")),
            identity("a1", &version(10, "")),
        ] {
            assert!(!one.is_still(&other) && !one.but_for_ctime(&other));
        }
    }
}
