//! A limit on the rate: bytes wait for their time, and late timers are compensated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A rate shared by all bodies of an engine, in bytes per second. It can be changed while bytes wait for their time.
#[derive(Debug, Clone)]
pub(crate) struct Throttle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// 0 without a limit.
    rate: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// When the bytes reserved so far will have left.
    free: Instant,
    /// How often the rate was changed.
    changes: u64,
}

/// When bytes may leave, as long as the rate stays as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    due: Instant,
    changes: u64,
}

/// What becomes of bytes whose time may have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// They may leave.
    Now,
    /// They wait for this long, and ask again.
    In(Duration),
    /// The rate is another one, and their time is no longer theirs: they are to be reserved anew.
    Over,
}

/// Unused time is made up for up to this length: timers are late, and there are pauses between chunks.
const CREDIT: Duration = Duration::from_millis(200);

/// Longest wait before bytes ask again: a new rate counts within this time.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl Throttle {
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self(Arc::new(Shared {
            rate: AtomicU64::new(rate.unwrap_or(0)),
            queue: Mutex::new(Queue {
                free: Instant::now(),
                changes: 0,
            }),
        }))
    }

    /// Bytes per second; `None` without a limit.
    pub(crate) fn rate(&self) -> Option<u64> {
        let rate = self.0.rate.load(Ordering::Relaxed);
        (rate > 0).then_some(rate)
    }

    /// Sets the rate. What was reserved at the old one and has not left is to be reserved anew.
    pub(crate) fn set_rate(&self, rate: Option<u64>) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.rate.swap(rate.unwrap_or(0), Ordering::Relaxed) != rate.unwrap_or(0) {
            queue.changes += 1;
            queue.free = Instant::now();
        }
    }

    /// Most bytes that leave together: the bytes of a twentieth of a second, so that the network gets a stream and not
    /// bursts.
    pub(crate) fn at_once(&self) -> usize {
        let Some(rate) = self.rate() else {
            return usize::MAX;
        };
        usize::try_from(rate / 20).map_or(usize::MAX, |most| most.max(1024))
    }

    /// Reserves the time of `bytes`, which wait for it; `None` if they may leave at once.
    pub(crate) fn reserve(&self, bytes: u64) -> Option<Reserved> {
        // Without a limit, nobody waits for the lock either.
        self.rate()?;
        let now = Instant::now();
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = self.rate()?;
        let start = now
            .checked_sub(CREDIT)
            .map_or(queue.free, |oldest| oldest.max(queue.free));
        queue.free = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
        (queue.free > now).then_some(Reserved {
            due: queue.free,
            changes: queue.changes,
        })
    }

    /// Whether the time of these bytes has come.
    pub(crate) fn turn(&self, reserved: Reserved) -> Turn {
        let left = reserved.due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Turn::Now;
        }
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.changes == reserved.changes {
            true => Turn::In(left.min(ASK_AGAIN)),
            false => Turn::Over,
        }
    }
}
