//! Reads the pieces of a chunk, and hashes them where there is a ledger, before the body asks for them.
//!
//! Hashing costs more CPU time than reading and sending together. A thread of its own does it while earlier pieces are
//! sent, and goes on through the pause between two chunks. A file system that does not answer blocks only that thread. A
//! tokio task would not help: the runtime tends to run a woken task on the thread that woke it, so reader and sender
//! would take turns.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::Bytes;
use futures::Stream;

use super::ranges::Ranges;
use super::read::PIECE;
use crate::upload::ledger::Running;
use crate::upload::plan::{Chunk, Plan};

/// Most pieces that wait to be sent: enough to bridge the pause between two chunks.
const MOST: usize = 6;

/// A waiting body is woken once so many pieces are ready, or the chunk ends. Waking another processor for each piece
/// would cost a good part of what hashing that piece takes.
const ENOUGH: usize = 3;

/// Stack of a reader thread, in bytes.
const STACK: usize = 256 * 1024;

/// The last bytes of a video. They are held back until all bytes sent are known to be one version of the file.
pub(crate) const WITHHELD: u64 = 64 * 1024;

/// The last bytes of any other chunk, at most one piece. They are held back until the chunk before is recorded.
pub(crate) const LAST_PIECE: u64 = PIECE as u64;

/// Some bytes of a video.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// The running hash of the file up to the end of this piece; `None` without a ledger.
    pub(crate) hashed: Option<Running>,
}

impl Piece {
    fn of(bytes: Bytes, running: &mut Option<Running>) -> Self {
        if let Some(running) = running {
            running.update(&bytes);
        }
        let hashed = running.clone();
        Self { bytes, hashed }
    }
}

/// Reads a video from the start of one chunk to its end, and hashes it if there is a ledger. Dropping it ends the
/// reading.
#[derive(Debug)]
pub(crate) struct Ahead(Arc<Line>);

/// The queue of pieces between the reader and the bodies.
#[derive(Debug)]
struct Line {
    waiting: Mutex<Waiting>,
    room: Condvar,
}

#[derive(Debug)]
struct Waiting {
    ready: VecDeque<io::Result<Piece>>,
    /// The reader has ended, or must end.
    ended: bool,
    /// Offset of the next piece.
    at: u64,
    /// Number of the body that may take the next piece. An earlier body can outlive its request for a moment.
    turn: u64,
    body: Option<Waker>,
}

impl Ahead {
    /// Reads from `chunk` to the end of the video. With a ledger, continues the hash `running` of all bytes before `chunk`.
    /// The withheld bytes of the video are pieces of their own.
    pub(super) fn of(
        video: &impl Ranges,
        plan: Plan,
        chunk: Chunk,
        mut running: Option<Running>,
    ) -> io::Result<(Self, Share)> {
        let video = video.clone();
        Self::start(chunk.range().start, move |reader| {
            for index in chunk.index()..plan.chunk_count() {
                let chunk = plan.chunk(index);
                let mut left = chunk.size();
                for bytes in video.pieces(chunk.range(), cut(&chunk)) {
                    left -= bytes.as_ref().map_or(left, |bytes| bytes.len() as u64);
                    let piece = bytes.map(|bytes| Piece::of(bytes, &mut running));
                    if piece.is_err() | !reader.add(piece, left == 0) {
                        return;
                    }
                }
            }
        })
    }

    /// Starts `read` on a new thread; its first piece begins at the offset `from`. Fails if no thread can be made.
    pub(super) fn start(
        from: u64,
        read: impl FnOnce(Reader) + Send + 'static,
    ) -> io::Result<(Self, Share)> {
        let line = Arc::new(Line {
            waiting: Mutex::new(Waiting {
                ready: VecDeque::with_capacity(MOST),
                ended: false,
                at: from,
                turn: 0,
                body: None,
            }),
            room: Condvar::new(),
        });
        let reader = Reader(Arc::clone(&line));
        thread::Builder::new()
            .name("chunkferry-read".to_owned())
            .stack_size(STACK)
            .spawn(move || read(reader))?;
        let first = Share {
            line: Arc::clone(&line),
            turn: 0,
        };
        Ok((Self(line), first))
    }

    /// The pieces from the start of `chunk` on; `None` if other pieces come next. Earlier shares get no more pieces.
    pub(crate) fn share(&self, chunk: Chunk) -> Option<Share> {
        let mut waiting = self.0.lock();
        (waiting.at == chunk.range().start).then(|| {
            waiting.turn += 1;
            Share {
                line: Arc::clone(&self.0),
                turn: waiting.turn,
            }
        })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The reader's end of the queue.
pub(super) struct Reader(Arc<Line>);

impl Reader {
    /// Adds a piece as soon as there is room; `last`: the body needs no more pieces. `false` if nobody reads them any
    /// more.
    pub(super) fn add(&self, piece: io::Result<Piece>, last: bool) -> bool {
        let full = |waiting: &mut Waiting| waiting.ready.len() >= MOST && !waiting.ended;
        let room = self.0.room.wait_while(self.0.lock(), full);
        let mut waiting = room.unwrap_or_else(PoisonError::into_inner);
        waiting.ready.push_back(piece);
        if last || waiting.ready.len() >= ENOUGH {
            waiting.wake_body();
        }
        !waiting.ended
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The pieces that one body takes of an [`Ahead`].
pub(crate) struct Share {
    line: Arc<Line>,
    turn: u64,
}

impl Stream for Share {
    type Item = io::Result<Piece>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut waiting = self.line.lock();
        if waiting.turn != self.turn {
            return Poll::Ready(Some(Err(io::Error::other("the chunk is sent again"))));
        }
        let Some(piece) = waiting.ready.pop_front() else {
            if waiting.ended {
                return Poll::Ready(None);
            }
            waiting.body = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let Ok(piece) = &piece {
            waiting.at += piece.bytes.len() as u64;
        }
        if waiting.ready.len() == MOST - ENOUGH {
            self.line.room.notify_one();
        }
        Poll::Ready(Some(piece))
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the queue as ended and wakes the other side.
    fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        waiting.wake_body();
        self.room.notify_one();
    }
}

impl Waiting {
    fn wake_body(&mut self) {
        if let Some(body) = self.body.take() {
            body.wake();
        }
    }
}

/// Offset at which the last piece before the withheld bytes ends.
pub(super) const fn cut(chunk: &Chunk) -> u64 {
    let end = chunk.range().end;
    if chunk.is_last() {
        end.saturating_sub(WITHHELD)
    } else {
        end
    }
}
