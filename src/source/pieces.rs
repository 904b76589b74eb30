//! The pieces of a chunk as its body takes them: read when they are asked for, or read and hashed ahead of that.
//!
//! Hashing costs more than reading and sending together. Done ahead, in a task of its own, it overlaps with them, and
//! goes on through the pause between two chunks.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Pool, ReadMode, Reading, Source};
use crate::body::{Piece, WITHHELD};
use crate::ledger::Running;
use crate::plan::{Chunk, Plan};

/// How many pieces lie ready: enough to bridge the pause between two chunks.
const READY: usize = 4;

/// The pieces of one chunk.
pub(crate) enum Pieces {
    Now(Reading),
    Ahead(Share),
}

impl Stream for Pieces {
    type Item = io::Result<Piece>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Now(reading) => Poll::Ready(reading.next().map(|bytes| {
                Ok(Piece {
                    bytes: bytes?,
                    hashed: None,
                })
            })),
            Self::Ahead(share) => share.poll(cx),
        }
    }
}

/// A file that is read and hashed from one chunk's start to the file's end. Dropping it ends the reading.
#[derive(Debug)]
pub(crate) struct Ahead {
    line: Arc<Mutex<Line>>,
    _task: JoinSet<()>,
}

#[derive(Debug)]
struct Line {
    ready: mpsc::Receiver<io::Result<Piece>>,
    /// Offset of the next piece.
    at: u64,
    /// The body that may take it. An earlier one can outlive its request for a moment.
    turn: u64,
}

impl Ahead {
    /// Starts at `chunk`, whose pieces are the first to be shared; `running` is the hash of all before it.
    pub(crate) fn start(
        source: &Source,
        plan: Plan,
        chunk: Chunk,
        mut running: Running,
        mode: ReadMode,
        pool: &Pool,
    ) -> (Self, Share) {
        let (sender, ready) = mpsc::channel(READY);
        let (source, pool) = (source.clone(), pool.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            for index in chunk.index()..plan.chunk_count() {
                for bytes in source.reading(plan.chunk(index), mode, &pool) {
                    let piece = bytes.map(|bytes| {
                        running.update(&bytes);
                        let hashed = Some(running.clone());
                        Piece { bytes, hashed }
                    });
                    let failed = piece.is_err();
                    if sender.send(piece).await.is_err() || failed {
                        return;
                    }
                }
            }
        });
        let line = Arc::new(Mutex::new(Line {
            ready,
            at: chunk.range().start,
            turn: 0,
        }));
        let first = Share {
            line: Arc::clone(&line),
            turn: 0,
        };
        (Self { line, _task: task }, first)
    }

    /// The pieces from the start of `chunk` on, if those come next. Nobody who asked before gets any more of them.
    pub(crate) fn share(&self, chunk: Chunk) -> Option<Share> {
        let mut line = lock(&self.line);
        (line.at == chunk.range().start).then(|| {
            line.turn += 1;
            Share {
                line: Arc::clone(&self.line),
                turn: line.turn,
            }
        })
    }
}

/// What one body gets of an [`Ahead`].
pub(crate) struct Share {
    line: Arc<Mutex<Line>>,
    turn: u64,
}

impl Share {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Piece>>> {
        let mut line = lock(&self.line);
        if line.turn != self.turn {
            return Poll::Ready(Some(Err(io::Error::other("the chunk is sent again"))));
        }
        let next = line.ready.poll_recv(cx);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            line.at += piece.bytes.len() as u64;
        }
        next
    }
}

fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
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
