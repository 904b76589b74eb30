//! The body of a chunk: counts and throttles its bytes, and withholds the last ones until they may leave.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::engine::metrics::Cells;
use crate::failpoint::reach;
use crate::source::Piece;
use crate::tiktok::meter::Meter;
use crate::tiktok::throttle::{Reserved, Throttle, Turn};
use crate::upload::event::Tally;
use crate::upload::ledger::Running;

/// Held by a body: the last bytes wait until the keeper releases them, and never leave if the keeper is dropped.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Least number of bytes to withhold, if the body has as many.
    withheld: u64,
    reached: Option<oneshot::Sender<Option<Running>>>,
    open: oneshot::Receiver<()>,
}

/// Releases the last bytes of a [`Gate`].
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Receives the running hash over the whole body, once only the withheld bytes are left.
    pub(crate) reached: oneshot::Receiver<Option<Running>>,
    /// Releases the withheld bytes.
    pub(crate) open: oneshot::Sender<()>,
}

impl Gate {
    /// Withholds at least so many bytes.
    pub(crate) fn new(withheld: u64) -> (Self, Keeper) {
        let (at_gate, reached) = oneshot::channel();
        let (open, opened) = oneshot::channel();
        let gate = Self {
            withheld,
            reached: Some(at_gate),
            open: opened,
        };
        (gate, Keeper { reached, open })
    }
}

/// One body: `pieces` are the bytes of the file from `offset` on.
pub(crate) struct Body<S> {
    pieces: S,
    offset: u64,
    left: u64,
    tally: Arc<Tally>,
    meter: Arc<Meter>,
    /// Where the bytes of all uploads are counted.
    counters: Option<Arc<Cells>>,
    throttle: Option<Throttle>,
    /// A piece that waits for its time.
    paused: Option<Paused>,
    gate: Option<Gate>,
    /// Pieces that were read and not yet sent.
    held: VecDeque<Piece>,
}

/// A piece that the throttle lets leave later.
struct Paused {
    piece: Piece,
    reserved: Reserved,
    /// Until it is due, or the rate may be another one.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<S: Stream<Item = io::Result<Piece>> + Unpin> Body<S> {
    pub(crate) fn new(pieces: S, offset: u64, len: u64, tally: Arc<Tally>) -> Self {
        Self {
            pieces,
            offset,
            left: len,
            tally,
            meter: Arc::new(Meter::new(len)),
            counters: None,
            throttle: None,
            paused: None,
            gate: None,
            held: VecDeque::new(),
        }
    }

    pub(crate) fn throttled(mut self, throttle: Option<Throttle>) -> Self {
        self.throttle = throttle;
        self
    }

    pub(crate) fn counted(mut self, counters: &Arc<Cells>) -> Self {
        self.counters = Some(Arc::clone(counters));
        self
    }

    pub(crate) fn gated(mut self, gate: Option<Gate>) -> Self {
        self.gate = gate;
        self
    }

    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Reads the next piece of the file.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        let read = Pin::new(&mut self.pieces).poll_next(cx);
        let piece = ready!(self.meter.read(read));
        reach("body", "piece");
        Poll::Ready(piece.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into())))
    }

    /// Passes `piece` to the connection.
    fn give(&mut self, piece: Piece) -> Frame<Bytes> {
        let len = piece.bytes.len() as u64;
        self.left -= len;
        if self.left == 0 {
            self.meter.set_running(piece.hashed);
            reach("body", "last");
        }
        self.tally.count(self.offset, len);
        if let Some(counters) = &self.counters {
            counters.sent(len);
        }
        self.offset += len;
        self.meter.take(len);
        Frame::data(piece.bytes)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(Ok(None));
        }
        self.meter.begin();
        ready!(self.poll_gate(cx))?;
        loop {
            let paused = match self.paused.take() {
                Some(paused) => paused,
                None => {
                    let piece = match self.held.pop_front() {
                        Some(piece) => piece,
                        None => ready!(self.poll_read(cx))?,
                    };
                    let (piece, reserved) = self.slow_down(piece);
                    let Some(reserved) = reserved else {
                        return Poll::Ready(Ok(Some(self.give(piece))));
                    };
                    Paused {
                        piece,
                        reserved,
                        sleep: None,
                    }
                }
            };
            if let Some(piece) = ready!(self.poll_paused(cx, paused)) {
                return Poll::Ready(Ok(Some(self.give(piece))));
            }
        }
    }

    /// Waits until a piece may leave; `None` if its time is to be reserved anew, and it is held.
    fn poll_paused(&mut self, cx: &mut Context<'_>, mut paused: Paused) -> Poll<Option<Piece>> {
        loop {
            if let Some(sleep) = &mut paused.sleep
                && self.meter.pause(sleep.as_mut().poll(cx)).is_pending()
            {
                self.paused = Some(paused);
                return Poll::Pending;
            }
            let turn = self.throttle.as_ref().map(|of| of.turn(paused.reserved));
            match turn {
                Some(Turn::In(wait)) => paused.sleep = Some(Box::pin(tokio::time::sleep(wait))),
                Some(Turn::Over) => {
                    self.held.push_front(paused.piece);
                    return Poll::Ready(None);
                }
                Some(Turn::Now) | None => return Poll::Ready(Some(paused.piece)),
            }
        }
    }

    /// The part of `piece` that may leave next, and its time unless that is now; the rest follows.
    fn slow_down(&mut self, mut piece: Piece) -> (Piece, Option<Reserved>) {
        let Some(throttle) = &self.throttle else {
            return (piece, None);
        };
        let most = throttle.at_once();
        if piece.bytes.len() > most {
            let bytes = piece.bytes.split_to(most);
            self.held.push_front(piece);
            piece = Piece {
                bytes,
                hashed: None,
            };
        }
        let reserved = throttle.reserve(piece.bytes.len() as u64);
        (piece, reserved)
    }

    /// Before the last bytes: reads them, reports to the keeper, and waits for the release.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(gate) = &self.gate else {
            return Poll::Ready(Ok(()));
        };
        if self.left > gate.withheld {
            return Poll::Ready(Ok(()));
        }
        let mut held: u64 = self.held.iter().map(|piece| piece.bytes.len() as u64).sum();
        while held < self.left {
            let piece = ready!(self.poll_read(cx))?;
            held += piece.bytes.len() as u64;
            self.held.push_back(piece);
        }
        let Some(gate) = &mut self.gate else {
            return Poll::Ready(Ok(()));
        };
        if let Some(reached) = gate.reached.take() {
            let hashed = self.held.back().and_then(|piece| piece.hashed.clone());
            // If the receiver is gone, polling the gate shows it.
            let _ = reached.send(hashed);
        }
        let opened = ready!(self.meter.pause(Pin::new(&mut gate.open).poll(cx)));
        self.gate = None;
        Poll::Ready(opened.map_err(|_| io::Error::other("the last bytes are withheld")))
    }
}

impl<S: Stream<Item = io::Result<Piece>> + Unpin> http_body::Body for Body<S> {
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
                self.meter.set_fault(error);
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::source::WITHHELD;

    fn body(len: usize) -> Body<impl Stream<Item = io::Result<Piece>> + Unpin> {
        let first = len.saturating_sub(WITHHELD as usize);
        let mut running = Running::default();
        let pieces = [vec![1; first], vec![2; len - first]].map(|bytes| {
            running.update(&bytes);
            Ok(Piece {
                bytes: bytes.into(),
                hashed: Some(running.clone()),
            })
        });
        Body::new(futures::stream::iter(pieces), 0, len as u64, Arc::default())
    }

    #[tokio::test]
    async fn the_last_bytes_stay_here_until_the_gate_opens() {
        let (gate, mut keeper) = Gate::new(WITHHELD);
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
        let (gate, keeper) = Gate::new(WITHHELD);
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
    async fn the_rate_is_shared_and_held_and_its_waits_are_no_stall() {
        for rate in [1_000, 123_456, 30_000_000] {
            let len = rate as usize * 40;
            let throttle = Throttle::new(Some(rate));
            let start = Instant::now();
            let (one, two) = (body(len), body(len));
            let meters = [one.meter(), two.meter()];
            let watch = async {
                loop {
                    assert!(
                        meters
                            .iter()
                            .all(|meter| meter.idle() < Duration::from_secs(1))
                    );
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let one = one.throttled(Some(throttle.clone())).collect();
            let two = two.throttled(Some(throttle)).collect();
            tokio::select! {
                (one, two) = async { tokio::join!(one, two) } => assert!(one.is_ok() && two.is_ok()),
                () = watch => {}
            }
            let took = start.elapsed().as_secs_f64();
            assert!(
                (77.6..82.4).contains(&took),
                "{rate} B/s: {took} s instead of 80"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_counts_within_a_second_for_bytes_that_wait_already() {
        for (before, len, after, seconds) in [
            (1_000_000, 40_000_000, Some(500_000), 10. + 60.),
            (1_000_000, 40_000_000, Some(2_000_000), 10. + 15.),
            (4_000_000, 50_000_000, Some(1_000_000), 10. + 10.),
            (1_000_000, 40_000_000, None, 10.),
            // At the lowest rate each piece waits for a second.
            (1_000, 10_000_000, None, 10.),
            (1_000, 10_000_000, Some(1_000_000), 10. + 10.),
        ] {
            let throttle = Throttle::new(Some(before));
            let start = Instant::now();
            let sent = body(len).throttled(Some(throttle.clone())).collect();
            let change = async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                throttle.set_rate(after);
            };
            let (sent, ()) = tokio::join!(sent, change);
            assert_eq!(sent.expect("whole").to_bytes().len(), len);
            let took = start.elapsed().as_secs_f64();
            assert!(
                (seconds - 1.0..seconds + 1.0).contains(&took),
                "{before} {after:?}: {took} s instead of {seconds}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_bodies_that_wait_at_a_low_rate_all_leave_when_the_limit_is_gone() {
        let throttle = Throttle::new(Some(1_000));
        let start = Instant::now();
        let bodies = (0..200).map(|_| body(100_000).throttled(Some(throttle.clone())).collect());
        let change = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            throttle.set_rate(None);
        };
        let (bodies, ()) = tokio::join!(futures::future::join_all(bodies), change);
        assert!(bodies.iter().all(Result::is_ok));
        let took = start.elapsed();
        assert!(took < Duration::from_secs(11), "{took:?}");
    }
}
