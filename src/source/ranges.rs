//! What is the same for all videos that are read by ranges: the fingerprint and the running hash.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::future;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::upload::ledger::Running;

/// Bytes at each end of a video that its fingerprint covers.
const FINGERPRINT: u64 = 64 * 1024;

/// The running hash at ascending offsets, each with its offset. Dropping the stream ends the reading.
pub(crate) type Digests = BoxStream<'static, io::Result<(u64, Running)>>;

/// Bytes that are read by ranges, on a thread that may block.
pub(super) trait Ranges: Clone + Send + 'static {
    /// Makes sure that the bytes that are read from now on are those of the source, and not of a cache on this machine. Blocks.
    fn refresh(&self) {}

    /// The bytes of `range` in order, in pieces of at most [`PIECE`](super::read::PIECE) bytes, one of which ends at the offset
    /// `cut`. Each piece is read when it is taken; after an error there are no more.
    fn pieces(
        &self,
        range: Range<u64>,
        cut: u64,
    ) -> impl Iterator<Item = io::Result<Bytes>> + use<Self>;
}

/// SHA-256 of the first and the last 64 KiB of a video of `size` bytes, in hexadecimal.
pub(super) fn fingerprint(video: &impl Ranges, size: u64) -> io::Result<String> {
    let ends = if size <= 2 * FINGERPRINT {
        [0..size, size..size]
    } else {
        [0..FINGERPRINT, size - FINGERPRINT..size]
    };
    let mut running = Running::default();
    for range in ends {
        let end = range.end;
        for piece in video.pieces(range, end) {
            running.update(&piece?);
        }
    }
    Ok(hex::encode(running.entry()))
}

/// Continues `running`, the hash of all bytes before `from`, and gives the hash at each of the ascending offsets in `at`.
pub(super) fn digests(video: &impl Ranges, running: Running, from: u64, at: Vec<u64>) -> Digests {
    let (found, mut digests) = mpsc::channel(1);
    let video = video.clone();
    let reading = tokio::task::spawn_blocking(move || {
        if let Err(error) = hash(&video, running, from, at, &found) {
            // The receiver may be gone.
            let _ = found.blocking_send(Err(error));
        }
    });
    let found = stream::poll_fn(move |cx| digests.poll_recv(cx));
    // A reader that panicked must not look like one that reached the end.
    let end = stream::once(reading).try_filter_map(|()| future::ready(Ok(None)));
    Box::pin(found.chain(end.map_err(io::Error::other)))
}

/// Sends the hash at each offset in `at`. Ends early once the receiver is dropped.
fn hash(
    video: &impl Ranges,
    mut running: Running,
    from: u64,
    at: Vec<u64>,
    found: &mpsc::Sender<io::Result<(u64, Running)>>,
) -> io::Result<()> {
    video.refresh();
    let mut position = from;
    for border in at {
        for piece in video.pieces(position..border, position) {
            if found.is_closed() {
                return Ok(());
            }
            running.update(&piece?);
        }
        position = border;
        if found.blocking_send(Ok((border, running.clone()))).is_err() {
            break;
        }
    }
    Ok(())
}
