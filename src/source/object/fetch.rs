//! Reads a range of a [`Media`]: gathers small pieces, and goes on where a connection broke.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Media, Pool};
use crate::clock;
use crate::source::read::{Buffer, PIECE};
use crate::upload::retry::Failures;

/// How long a media may take for each piece of its bytes.
const SILENCE: Duration = Duration::from_secs(30);

/// How long bytes may wait for more of their piece. Longer, and a service would take a slow source for a dead sender.
const GATHERING: Duration = Duration::from_millis(50);

/// Bytes that are worth a piece of their own: gathering copies.
const ENOUGH: usize = PIECE / 4;

/// Reads the ranges of one video.
#[derive(Debug, Clone)]
pub(super) struct Fetch {
    pub(super) media: Arc<dyn Media>,
    pub(super) pool: Pool,
    /// For how long the storage may give no byte.
    pub(super) patience: Duration,
}

/// The pieces of a range, in order. Dropping the receiver ends the reading.
type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// The bytes of a range that were read before.
pub(super) fn read_before(bytes: Bytes) -> Pieces {
    let (to, pieces) = mpsc::channel(1);
    if !bytes.is_empty() {
        // There is room for one.
        let _ = to.try_send(Ok(bytes));
    }
    pieces
}

impl Fetch {
    /// Starts to read a range by a task of `runtime`, one piece ahead of who takes them.
    pub(super) fn start(&self, runtime: &Handle, range: Range<u64>) -> Pieces {
        let (to, pieces) = mpsc::channel(1);
        if !range.is_empty() {
            let fetching = self.clone();
            runtime.spawn(async move { fetching.run(range, to).await });
        }
        pieces
    }

    async fn run(self, range: Range<u64>, to: mpsc::Sender<io::Result<Bytes>>) {
        let mut reading = Reading {
            pool: self.pool,
            to,
            left: range.end - range.start,
            gathered: None,
            failures: Failures::default(),
            started: Instant::now(),
        };
        loop {
            let at = range.end - reading.left;
            let ended = reading.pass_on(self.media.read(at..range.end)).await;
            // What has come is good, however the reading ended.
            let sent = reading.flush().await;
            let error = match (ended, sent) {
                (Ok(()), Ok(())) => return,
                (Err(Stop::Failed(error)), Ok(())) => error,
                (Err(Stop::Unwanted), _) | (_, Err(Unwanted)) => return,
            };
            let Some(wait) = reading.again_in(&error, self.patience) else {
                // Nobody may want the error any more.
                let _ = reading
                    .to
                    .send(Err(given_up(error, &reading.failures)))
                    .await;
                return;
            };
            tracing::debug!(%error, ?wait, "reading a range is begun again");
            tokio::select! {
                () = reading.to.closed() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// A range that is being read.
struct Reading {
    pool: Pool,
    to: mpsc::Sender<io::Result<Bytes>>,
    /// Bytes that have not come yet.
    left: u64,
    /// Bytes that wait for more of their piece, and until when.
    gathered: Option<(Buffer, Instant)>,
    failures: Failures,
    started: Instant,
}

/// Nobody takes the pieces any more.
struct Unwanted;

enum Stop {
    Unwanted,
    Failed(io::Error),
}

impl From<Unwanted> for Stop {
    fn from(_: Unwanted) -> Self {
        Self::Unwanted
    }
}

impl Reading {
    /// Passes on what a stream gives, until that is all of the range.
    async fn pass_on(
        &mut self,
        mut bytes: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<(), Stop> {
        let mut silent_at = Instant::now() + clock::real(SILENCE);
        loop {
            let until = self
                .gathered
                .as_ref()
                .map_or(silent_at, |(_, until)| *until);
            let next = tokio::select! {
                biased;
                next = timeout_at(until, bytes.next()) => next,
                () = self.to.closed() => return Err(Stop::Unwanted),
            };
            match next {
                Ok(Some(Ok(piece))) if piece.len() as u64 <= self.left => {
                    self.left -= piece.len() as u64;
                    if !piece.is_empty() {
                        self.failures = Failures::default();
                        silent_at = Instant::now() + clock::real(SILENCE);
                    }
                    self.gather(piece).await?;
                }
                Ok(Some(Ok(_))) => {
                    let error = io::Error::other("more bytes came than were asked for");
                    return Err(Stop::Failed(error));
                }
                Ok(Some(Err(error))) => return Err(Stop::Failed(error)),
                Ok(None) if self.left == 0 => return Ok(()),
                Ok(None) => return Err(Stop::Failed(io::ErrorKind::UnexpectedEof.into())),
                Err(_) if self.gathered.is_some() => self.flush().await?,
                Err(_) => {
                    let text = format!("no byte came for {} s", SILENCE.as_secs());
                    let error = io::Error::new(io::ErrorKind::TimedOut, text);
                    return Err(Stop::Failed(error));
                }
            }
        }
    }

    /// Adds bytes to the piece that is gathered; sends each piece that is full.
    async fn gather(&mut self, mut bytes: Bytes) -> Result<(), Stop> {
        while !bytes.is_empty() {
            if self.gathered.is_none() && bytes.len() >= ENOUGH {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                self.send(piece).await?;
                continue;
            }
            let (mut buffer, until) = match self.gathered.take() {
                Some(gathered) => gathered,
                None => {
                    let buffer = self.pool.take().map_err(Stop::Failed)?;
                    (buffer, Instant::now() + GATHERING)
                }
            };
            let taken = buffer.push(&bytes);
            bytes = bytes.slice(taken..);
            match buffer.is_full() {
                true => self.send(Bytes::from_owner(buffer)).await?,
                false => self.gathered = Some((buffer, until)),
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Unwanted> {
        match self.gathered.take() {
            Some((buffer, _)) => self.send(Bytes::from_owner(buffer)).await,
            None => Ok(()),
        }
    }

    async fn send(&self, piece: Bytes) -> Result<(), Unwanted> {
        self.to.send(Ok(piece)).await.map_err(|_| Unwanted)
    }

    /// After which wait the rest is read; `None` if the error ends the reading.
    fn again_in(&mut self, error: &io::Error, patience: Duration) -> Option<Duration> {
        if !is_outage(error) {
            return None;
        }
        let now = self.started.elapsed();
        self.failures.add(now);
        let patience = clock::real(patience);
        self.failures.wait(now, patience, fastrand::u64(..))
    }
}

/// Whether the rest of a range may be readable after a wait.
pub(in crate::source) fn is_outage(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        Interrupted, NetworkDown, NetworkUnreachable, TimedOut, WouldBlock,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | TimedOut
            | WouldBlock
    )
}

/// The error that ends a reading. After an outage the same job may carry on later.
fn given_up(error: io::Error, failures: &Failures) -> io::Error {
    match failures.count {
        0 => error,
        count => {
            let text = format!("{count} attempts to read it failed, the last one with: {error}");
            io::Error::new(io::ErrorKind::TimedOut, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::source::media::MediaVersion;

    /// What a media gives for the next read of its rest.
    #[derive(Debug, Clone, Copy)]
    enum Next {
        /// So many bytes, one after the other, and then nothing.
        Stalls(usize),
        /// So many bytes, and then a broken connection.
        Breaks(usize),
        /// Pieces of so many bytes to the end.
        Pieces(usize),
    }

    /// A media of which each read gives what comes next; byte number n is n.
    #[derive(Debug)]
    struct Moody(std::sync::Mutex<Vec<Next>>);

    impl Media for Moody {
        fn address(&self) -> &str {
            "moody"
        }

        fn opened(&self) -> MediaVersion {
            MediaVersion::new(1_000_000, "1")
        }

        fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
            let mut moods = self.0.lock().expect("not poisoned");
            let next = match moods.len() {
                0 => Next::Breaks(0),
                _ => moods.remove(0),
            };
            let all: Vec<u8> = range.map(|at| at as u8).collect();
            let pieces = |bytes: &[u8], size: usize| {
                let pieces = bytes
                    .chunks(size)
                    .map(|piece| Ok(Bytes::copy_from_slice(piece)));
                stream::iter(pieces.collect::<Vec<_>>())
            };
            match next {
                Next::Stalls(count) => pieces(&all[..count], 1).chain(stream::pending()).boxed(),
                Next::Breaks(count) => {
                    let broken = stream::iter([Err(io::ErrorKind::ConnectionReset.into())]);
                    pieces(&all[..count], 7_000).chain(broken).boxed()
                }
                Next::Pieces(size) => pieces(&all, size).boxed(),
            }
        }
    }

    fn start(moods: &[Next]) -> Pieces {
        let fetch = Fetch {
            media: Arc::new(Moody(moods.to_vec().into())),
            pool: Pool::default(),
            patience: Duration::from_secs(600),
        };
        fetch.start(&Handle::current(), 10..1_000_000)
    }

    async fn all(mut pieces: Pieces) -> (Vec<u8>, Vec<usize>) {
        let (mut all, mut sizes) = (Vec::new(), Vec::new());
        while let Some(piece) = pieces.recv().await {
            let piece = piece.expect("bytes");
            all.extend_from_slice(&piece);
            sizes.push(piece.len());
        }
        (all, sizes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_is_whole_and_in_order_however_often_its_connection_breaks_or_stalls() {
        let expected: Vec<u8> = (10..1_000_000_u64).map(|at| at as u8).collect();
        for moods in [
            &[Next::Pieces(1_000)][..],
            &[Next::Pieces(999_990)],
            &[Next::Breaks(0), Next::Breaks(300_001), Next::Pieces(70_000)],
            &[Next::Stalls(3), Next::Breaks(7), Next::Pieces(9_000)],
        ] {
            let (bytes, _) = all(start(moods)).await;
            assert!(bytes == expected, "{moods:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_pieces_are_gathered_and_do_not_wait_for_long() {
        let (_, sizes) = all(start(&[Next::Pieces(1_000)])).await;
        let (last, full) = sizes.split_last().expect("pieces");
        assert!(
            full.iter().all(|size| *size == PIECE) && *last <= PIECE,
            "{sizes:?}"
        );
        let begun = Instant::now();
        let mut pieces = start(&[Next::Stalls(3)]);
        let piece = pieces.recv().await.expect("a piece").expect("bytes");
        assert_eq!(&*piece, [10, 11, 12]);
        assert!(begun.elapsed() <= 2 * GATHERING);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_does_not_end_ends_the_reading_as_one_that_may_pass() {
        let mut pieces = start(&[]);
        let error = pieces.recv().await.expect("an end").expect_err("no byte");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("attempts"), "{error}");
        assert!(pieces.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_reads_on_for_a_reader_that_is_gone() {
        for moods in [&[Next::Stalls(0)][..], &[]] {
            let media = Arc::new(Moody(moods.to_vec().into()));
            let fetch = Fetch {
                media: Arc::clone(&media) as Arc<dyn Media>,
                pool: Pool::default(),
                patience: Duration::from_secs(600),
            };
            let pieces = fetch.start(&Handle::current(), 0..10);
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop((fetch, pieces));
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(Arc::strong_count(&media), 1, "{moods:?}");
        }
    }
}
