//! The pieces of a chunk as its body takes them: read, and hashed where there is a ledger, ahead of that.
//!
//! Hashing costs more than reading and sending together. Done ahead, by a thread of its own, it overlaps with them, and
//! goes on through the pause between two chunks. A file system that does not answer stops that thread and nothing else. A task would not do: a runtime likes to run the one that is woken on the
//! thread of the one that woke it, which makes the two take turns.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::Bytes;
use futures::Stream;

use super::read::PIECE;
use crate::upload::ledger::Running;
use crate::upload::plan::Chunk;

/// How many pieces lie ready at the most: enough to bridge the pause between two chunks.
const MOST: usize = 8;

/// How many must be there before a body that waits for one is woken, unless a chunk ends: waking another processor for
/// each piece would cost a good part of what hashing it takes.
const ENOUGH: usize = 3;

/// Bytes of stack that a reader has; it needs few.
const STACK: usize = 256 * 1024;

/// The last bytes of a video that are kept back until everything sent is known to be one version of the file.
pub(crate) const WITHHELD: u64 = 64 * 1024;

/// The last bytes of any other chunk that are kept back until the chunk before is recorded: its last piece has no more.
pub(crate) const LAST_PIECE: u64 = PIECE as u64;

/// Some bytes of a file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// The running hash over the file up to the end of them, where one is kept.
    pub(crate) hashed: Option<Running>,
}

impl Piece {
    pub(super) fn of(bytes: Bytes, running: &mut Option<Running>) -> Self {
        if let Some(running) = running {
            running.update(&bytes);
        }
        let hashed = running.clone();
        Self { bytes, hashed }
    }
}

/// A video that is read from one chunk's start to its end, and hashed if there is a ledger. Dropping it ends the reading.
#[derive(Debug)]
pub(crate) struct Ahead(Arc<Line>);

/// Where pieces wait between the reader and the bodies.
#[derive(Debug)]
struct Line {
    waiting: Mutex<Waiting>,
    room: Condvar,
}

#[derive(Debug)]
struct Waiting {
    ready: VecDeque<io::Result<Piece>>,
    /// Whether the reader has ended, or shall end.
    ended: bool,
    /// Offset of the next piece.
    at: u64,
    /// The body that may take it. An earlier one can outlive its request for a moment.
    turn: u64,
    body: Option<Waker>,
}

impl Ahead {
    /// Starts `read` in a thread of its own, which gives pieces from the offset `from` on. Fails where no more threads are
    /// to be had.
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

    /// The pieces from the start of `chunk` on, if those come next. Nobody who asked before gets any more of them.
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

/// The end of the line at which pieces come in.
pub(super) struct Reader(Arc<Line>);

impl Reader {
    /// Adds a piece as soon as there is room, unless nobody wants it any more; `last`: the body needs no more than this.
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

/// What one body gets of an [`Ahead`].
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

    /// One side is gone; the other is woken.
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

/// Where the last piece but the withheld ones must end.
pub(super) const fn cut(chunk: &Chunk) -> u64 {
    let end = chunk.range().end;
    if chunk.is_last() {
        end.saturating_sub(WITHHELD)
    } else {
        end
    }
}
