//! The body of a chunk on the wire: counts, hashes, throttles, and withholds the last bytes until they may go.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use crate::event::Tally;
use crate::killpoint::reach;
use crate::ledger::Running;

/// The last bytes of a video that are kept back until everything sent is known to be one version of the file.
pub(crate) const WITHHELD: u64 = 64 * 1024;

/// What the sender of a body can see of it while the socket takes it.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Bytes of this body handed over.
    taken: AtomicU64,
    /// Milliseconds after `start` when the socket last took a byte, or when waiting was last our own doing.
    moved: AtomicU64,
    start: Instant,
    len: u64,
    fault: Mutex<Option<io::Error>>,
    running: Mutex<Option<Running>>,
}

impl Meter {
    fn touch(&self) {
        self.moved
            .store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Time since the socket last took a byte.
    pub(crate) fn idle(&self) -> Duration {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(moved)
    }

    pub(crate) fn is_all_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.len
    }

    /// Why the body broke off on our side, if it did.
    pub(crate) fn take_fault(&self) -> Option<io::Error> {
        lock(&self.fault).take()
    }

    /// The running hash over everything handed over, once that is the whole body.
    pub(crate) fn take_running(&self) -> Option<Running> {
        lock(&self.running).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held by the body of the last chunk: everything but the last bytes is handed over, and they follow when the keeper
/// says so, or never if it is dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    reached: Option<oneshot::Sender<Option<Running>>>,
    open: oneshot::Receiver<()>,
}

/// The other side of a [`Gate`].
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Gets the running hash over the whole body, its last bytes included, when those are all that is left.
    pub(crate) reached: oneshot::Receiver<Option<Running>>,
    /// Lets the last bytes go.
    pub(crate) open: oneshot::Sender<()>,
}

impl Gate {
    pub(crate) fn new() -> (Self, Keeper) {
        let (at_gate, reached) = oneshot::channel();
        let (open, opened) = oneshot::channel();
        let gate = Self {
            reached: Some(at_gate),
            open: opened,
        };
        (gate, Keeper { reached, open })
    }
}

/// One body: `pieces` are the bytes of the file from `offset` on.
pub(crate) struct Body<I> {
    pieces: I,
    offset: u64,
    left: u64,
    running: Option<Running>,
    tally: Arc<Tally>,
    meter: Arc<Meter>,
    throttle: Option<Throttle>,
    pause: Option<Pin<Box<Sleep>>>,
    gate: Option<Gate>,
    held: Vec<Bytes>,
}

impl<I: Iterator<Item = io::Result<Bytes>>> Body<I> {
    pub(crate) fn new(
        pieces: I,
        offset: u64,
        len: u64,
        running: Option<Running>,
        tally: Arc<Tally>,
    ) -> Self {
        let meter = Meter {
            taken: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            start: Instant::now(),
            len,
            fault: Mutex::new(None),
            running: Mutex::new(None),
        };
        Self {
            pieces,
            offset,
            left: len,
            running,
            tally,
            meter: Arc::new(meter),
            throttle: None,
            pause: None,
            gate: None,
            held: Vec::new(),
        }
    }

    pub(crate) fn throttled(mut self, throttle: Option<Throttle>) -> Self {
        self.throttle = throttle;
        self
    }

    pub(crate) fn gated(mut self, gate: Option<Gate>) -> Self {
        self.gate = gate;
        self
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// The next piece of the file, hashed.
    fn read(&mut self) -> io::Result<Bytes> {
        let piece = self
            .pieces
            .next()
            .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
        reach("body", "piece");
        if let Some(running) = &mut self.running {
            running.update(&piece);
        }
        Ok(piece)
    }

    /// Hands `piece` over.
    fn give(&mut self, piece: Bytes) -> Frame<Bytes> {
        let len = piece.len() as u64;
        self.left -= len;
        if self.left == 0 {
            *lock(&self.meter.running) = self.running.take();
            reach("body", "last");
        }
        self.tally.count(self.offset, len);
        self.offset += len;
        self.meter.taken.fetch_add(len, Ordering::Relaxed);
        self.meter.touch();
        Frame::data(piece)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(Ok(None));
        }
        if let Some(pause) = &mut self.pause {
            let waited = pause.as_mut().poll(cx);
            self.meter.touch();
            ready!(waited);
            self.pause = None;
        }
        if let Some(gate) = &mut self.gate
            && self.left <= WITHHELD
        {
            if let Some(reached) = gate.reached.take() {
                let mut held = 0;
                while held < self.left {
                    let piece = self.read()?;
                    held += piece.len() as u64;
                    self.held.push(piece);
                }
                self.held.reverse();
                // A receiver that is gone shows when the gate is polled.
                let _ = reached.send(self.running.clone());
            }
            if let Some(gate) = &mut self.gate {
                let opened = Pin::new(&mut gate.open).poll(cx);
                self.meter.touch();
                if ready!(opened).is_err() {
                    return Poll::Ready(Err(io::Error::other("the last bytes are withheld")));
                }
            }
            self.gate = None;
        }
        let piece = match self.held.pop() {
            Some(piece) => piece,
            None => self.read()?,
        };
        if let Some(throttle) = &self.throttle {
            let wait = throttle.reserve(piece.len() as u64);
            if !wait.is_zero() {
                self.pause = Some(Box::pin(tokio::time::sleep(wait)));
            }
        }
        Poll::Ready(Ok(Some(self.give(piece))))
    }
}

impl<I: Iterator<Item = io::Result<Bytes>> + Unpin> http_body::Body for Body<I> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match ready!(self.poll_piece(cx)) {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(error) => {
                self.left = 0;
                let told = io::Error::new(error.kind(), "the body broke off");
                *lock(&self.meter.fault) = Some(error);
                Poll::Ready(Some(Err(told)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A rate shared by all bodies of an engine, in bytes per second.
#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    rate: u64,
    /// When the bytes promised so far will have left.
    free: Arc<Mutex<Instant>>,
}

impl Throttle {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            free: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Takes `bytes` out of the rate; the wait until they may be followed by others.
    fn reserve(&self, bytes: u64) -> Duration {
        let now = Instant::now();
        let mut free = lock(&self.free);
        let start = (*free).max(now);
        *free = start + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        free.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    fn body(len: usize) -> Body<std::vec::IntoIter<io::Result<Bytes>>> {
        let first = len.saturating_sub(WITHHELD as usize);
        let pieces = vec![
            Ok(Bytes::from(vec![1; first])),
            Ok(Bytes::from(vec![2; len - first])),
        ];
        Body::new(
            pieces.into_iter(),
            0,
            len as u64,
            Some(Running::default()),
            Arc::default(),
        )
    }

    #[tokio::test]
    async fn the_last_bytes_stay_here_until_the_gate_opens() {
        let (gate, mut keeper) = Gate::new();
        let mut body = body(200_000).gated(Some(gate));
        let meter = body.meter();
        let first = body.frame().await.expect("a frame").expect("bytes");
        assert_eq!(
            first.data_ref().map(Bytes::len),
            Some(200_000 - WITHHELD as usize)
        );
        assert!(body.frame().now_or_never().is_none(), "waits at the gate");
        let hash = keeper
            .reached
            .try_recv()
            .expect("reached")
            .expect("hashed")
            .entry();
        assert!(!meter.is_all_taken());
        keeper.open.send(()).expect("the body waits");
        let rest = body.collect().await.expect("bytes").to_bytes();
        assert_eq!(rest.len(), WITHHELD as usize);
        assert!(meter.is_all_taken());
        assert_eq!(
            meter.take_running().expect("hashed").entry(),
            hash,
            "the hash at the gate is that of the whole"
        );
    }

    #[tokio::test]
    async fn a_gate_that_is_given_up_breaks_the_body() {
        let (gate, keeper) = Gate::new();
        let body = body(10).gated(Some(gate));
        let meter = body.meter();
        drop(keeper);
        body.collect().await.expect_err("withheld");
        assert!(!meter.is_all_taken());
    }

    #[tokio::test]
    async fn a_file_that_ends_early_breaks_the_body_and_says_why() {
        let mut body = body(10);
        body.left = 20;
        let meter = body.meter();
        body.collect().await.expect_err("too short");
        assert_eq!(
            meter.take_fault().map(|error| error.kind()),
            Some(io::ErrorKind::UnexpectedEof)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_shared_and_its_waits_are_no_stall() {
        let throttle = Throttle::new(1_000);
        let start = Instant::now();
        let one = body(70_000).throttled(Some(throttle.clone())).collect();
        let two = body(70_000).throttled(Some(throttle)).collect();
        let (one, two) = tokio::join!(one, two);
        assert!(one.is_ok() && two.is_ok());
        // The last piece of each leaves without a wait behind it; everything before it was paid for.
        assert!(
            start.elapsed() >= Duration::from_millis(4_464 * 2),
            "{:?}",
            start.elapsed()
        );
    }
}
