//! A video that lies anywhere: a [`Media`] as the engine reads it.

use std::borrow::Cow;
use std::io;
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::StreamExt;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::ahead::Ahead;
use super::container::{self, Recognised};
use super::media::{Media, MediaVersion};
use super::open_video::{OpenVideo, Version};
use super::ranges::{self, Digests, Ranges};
use super::read::PIECE;
use super::{Share, unfit};
use crate::clock;
use crate::error::Error;
use crate::upload::ledger::Running;
use crate::upload::plan::{Chunk, Plan};
use crate::upload::{Address, Identity};

/// How long a media may take for its version, and for each piece of its bytes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes of a [`Media`]. Opened and recognised on a thread that may block; its reading is done by tasks of the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    media: Arc<dyn Media>,
    address: Arc<Address>,
    identity: Identity,
    fingerprint: Arc<str>,
    runtime: Handle,
}

impl Object {
    /// Reads both ends of the video.
    pub(crate) async fn open(media: Arc<dyn Media>) -> Result<Self, Error> {
        let address = Address::Object(media.address().to_owned());
        let identity = identity(media.address(), &media.opened());
        let object = Self {
            media,
            address: Arc::new(address),
            identity,
            fingerprint: "".into(),
            runtime: Handle::current(),
        };
        let fingerprint =
            object.blocking(|object| ranges::fingerprint(object, object.identity.size));
        let fingerprint = fingerprint
            .await
            .map_err(|error| object.unreadable(error))?;
        Ok(Self {
            fingerprint: fingerprint.into(),
            ..object
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

    async fn now(&self) -> io::Result<Identity> {
        let version = tokio::time::timeout(clock::real(PATIENCE), self.media.current()).await;
        let version = version.map_err(|_| late("its version"))??;
        Ok(identity(self.media.address(), &version))
    }
}

impl Ranges for Object {
    fn pieces(
        &self,
        range: Range<u64>,
        cut: u64,
    ) -> impl Iterator<Item = io::Result<Bytes>> + use<> {
        let (piece, mut pieces) = mpsc::channel(1);
        if !range.is_empty() {
            self.runtime
                .spawn(read(Arc::clone(&self.media), range.clone(), piece));
        }
        let Range { mut start, end } = range;
        let mut rest = Bytes::new();
        iter::from_fn(move || {
            while rest.is_empty() && start < end {
                match pieces.blocking_recv() {
                    Some(Ok(bytes)) if bytes.len() as u64 <= end - start => rest = bytes,
                    Some(Ok(_)) => {
                        start = end;
                        return Some(Err(io::Error::other("more bytes came than were asked for")));
                    }
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

/// Sends the bytes of a range to a thread that waits for them, until nobody does any more.
async fn read(media: Arc<dyn Media>, range: Range<u64>, piece: mpsc::Sender<io::Result<Bytes>>) {
    let mut bytes = media.read(range);
    loop {
        let next = tokio::select! {
            () = piece.closed() => return,
            next = tokio::time::timeout(clock::real(PATIENCE), bytes.next()) => next,
        };
        let (next, is_last) = match next {
            Ok(Some(Ok(next))) => (Ok(next), false),
            Ok(Some(Err(error))) => (Err(error), true),
            Ok(None) => return,
            Err(_) => (Err(late("its bytes")), true),
        };
        if piece.send(next).await.is_err() || is_last {
            return;
        }
    }
}

fn late(what: &str) -> io::Error {
    let text = format!("{what} did not come within {} s", PATIENCE.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
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
                let read = |buffer: &mut [u8], at: u64| {
                    let range = at..at + buffer.len() as u64;
                    let mut filled = 0;
                    for piece in object.pieces(range, at) {
                        let piece = piece?;
                        buffer[filled..filled + piece.len()].copy_from_slice(&piece);
                        filled += piece.len();
                    }
                    Ok(())
                };
                Ok(container::recognise(&read, object.identity.size))
            });
            let recognised = recognised.await.map_err(|error| self.unreadable(error))?;
            let Recognised { container, .. } =
                recognised.map_err(|why| unfit(self.address.as_path(), why))?;
            Ok(container.content_type())
        })
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::unreadable(self.address.as_path(), error)
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

    fn version(&self) -> BoxFuture<'_, io::Result<Identity>> {
        Box::pin(self.now())
    }

    fn settled(&self) -> BoxFuture<'_, io::Result<Identity>> {
        Box::pin(self.now())
    }

    /// The bytes are those of the opened version, so they say nothing about another one.
    fn is_replaced(&self, now: &Identity) -> bool {
        !self.identity.is_still(now)
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(future::ready(()))
    }

    fn is_torn(&self) -> bool {
        false
    }

    fn still_the_same(&self) -> BoxFuture<'_, Result<Version, Error>> {
        Box::pin(async {
            let now = self.now().await;
            now.map(Version::Now)
                .map_err(|error| self.unreadable(error))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, BoxStream};

    use super::*;

    /// A media that never answers.
    #[derive(Debug)]
    struct Silent;

    impl Media for Silent {
        fn address(&self) -> &str {
            "silent"
        }

        fn opened(&self) -> MediaVersion {
            MediaVersion::new(10, "1")
        }

        fn current(&self) -> BoxFuture<'_, io::Result<MediaVersion>> {
            Box::pin(future::pending())
        }

        fn read(&self, _: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
            Box::pin(stream::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_media_that_never_answers_is_not_waited_for_for_ever() {
        let (piece, mut pieces) = mpsc::channel(1);
        tokio::spawn(read(Arc::new(Silent), 0..10, piece));
        let error = pieces.recv().await.expect("an end").expect_err("no piece");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(pieces.recv().await.is_none());
        let object = Object {
            media: Arc::new(Silent),
            address: Arc::new(Address::Object("silent".into())),
            identity: identity("silent", &Silent.opened()),
            fingerprint: "".into(),
            runtime: Handle::current(),
        };
        let error = object.now().await.expect_err("no version");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_reads_on_for_a_reader_that_is_gone() {
        let (piece, pieces) = mpsc::channel(1);
        let reading = tokio::spawn(read(Arc::new(Silent), 0..10, piece));
        drop(pieces);
        let ended = tokio::time::timeout(Duration::from_secs(1), reading).await;
        ended.expect("at once").expect("no panic");
    }

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
