//! What can be seen of a body while the socket takes it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::upload::ledger::Running;

/// What the sender of a body can see of it while the socket takes it.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Bytes of this body handed over.
    taken: AtomicU64,
    /// Milliseconds after `start` when the socket last took a byte, or when waiting was last our own doing.
    moved: AtomicU64,
    /// Whether waiting is our own doing now.
    pausing: AtomicBool,
    start: Instant,
    gaps: Mutex<Gaps>,
    len: u64,
    fault: Mutex<Option<io::Error>>,
    running: Mutex<Option<Running>>,
}

impl Meter {
    /// Of a body of so many bytes.
    pub(crate) fn new(len: u64) -> Self {
        Self {
            taken: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            pausing: AtomicBool::new(false),
            start: Instant::now(),
            gaps: Mutex::default(),
            len,
            fault: Mutex::new(None),
            running: Mutex::new(None),
        }
    }

    /// The body is asked for its first byte.
    pub(super) fn begin(&self) {
        lock(&self.gaps).begin(clock::since_boot());
    }

    /// The socket takes so many bytes.
    pub(super) fn take(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        self.touch();
        lock(&self.gaps).end(clock::since_boot());
    }

    pub(super) fn set_running(&self, running: Option<Running>) {
        *lock(&self.running) = running;
    }

    pub(super) fn set_fault(&self, fault: io::Error) {
        *lock(&self.fault) = Some(fault);
    }

    fn touch(&self) {
        let now = self.start.elapsed().as_millis() as u64;
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Waits for something of our own: the socket is not to blame.
    pub(super) fn pause<T>(&self, waited: Poll<T>) -> Poll<T> {
        self.touch();
        self.pausing.store(waited.is_pending(), Ordering::Relaxed);
        waited
    }

    /// Time since the socket last took a byte.
    pub(crate) fn idle(&self) -> Duration {
        if self.pausing.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(moved)
    }

    /// The longest time without a byte for the service so far, whoever made it wait: the line, our own pauses, or a
    /// machine that was asleep.
    pub(crate) fn longest_gap(&self) -> Duration {
        lock(&self.gaps).longest(clock::since_boot())
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

/// Times without a byte for the service, by the clock that counts through suspend.
#[derive(Debug, Default)]
struct Gaps {
    /// When the last byte left, or the body was first asked for one.
    last: Option<Duration>,
    longest: Duration,
}

impl Gaps {
    /// The body is asked for its first byte.
    fn begin(&mut self, now: Duration) {
        self.last.get_or_insert(now);
    }

    /// A byte leaves.
    fn end(&mut self, now: Duration) {
        self.longest = self.longest(now);
        self.last = Some(now);
    }

    fn longest(&self, now: Duration) -> Duration {
        let open = self
            .last
            .map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.longest.max(open)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_counts_whoever_made_it_and_a_slow_start_does_not() {
        let mut gaps = Gaps::default();
        let second = Duration::from_secs;
        assert_eq!(gaps.longest(second(50)), Duration::ZERO, "still connecting");
        gaps.begin(second(60));
        gaps.end(second(61));
        gaps.begin(second(62));
        assert_eq!(gaps.longest(second(63)), second(2), "polls are no bytes");
        gaps.end(second(73));
        gaps.end(second(74));
        assert_eq!(gaps.longest(second(74)), second(12));
    }
}
