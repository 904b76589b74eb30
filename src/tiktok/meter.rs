//! Measures a body while the socket takes its bytes.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::upload::ledger::Running;

/// The state of a body that its sender can observe.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Bytes handed to the socket.
    taken: AtomicU64,
    /// Milliseconds after `start` when the socket last took a byte, or when a pause of our own last ended.
    moved: AtomicU64,
    /// Whether the body pauses by itself now, such as for the throttle.
    pausing: AtomicBool,
    start: Instant,
    gaps: Mutex<Gaps>,
    /// The waits for the source of the video alone.
    reads: Mutex<Gaps>,
    len: u64,
    fault: Mutex<Option<io::Error>>,
    running: Mutex<Option<Running>>,
}

impl Meter {
    /// A meter for a body of `len` bytes.
    pub(crate) fn new(len: u64) -> Self {
        Self {
            taken: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            pausing: AtomicBool::new(false),
            start: Instant::now(),
            gaps: Mutex::default(),
            reads: Mutex::default(),
            len,
            fault: Mutex::new(None),
            running: Mutex::new(None),
        }
    }

    /// The connection has asked for the first byte.
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

    /// Notes a wait of our own, which is not the socket's fault.
    pub(super) fn pause<T>(&self, waited: Poll<T>) -> Poll<T> {
        self.touch();
        self.pausing.store(waited.is_pending(), Ordering::Relaxed);
        waited
    }

    /// Notes a wait for the next bytes of the source.
    pub(super) fn read<T>(&self, waited: Poll<T>) -> Poll<T> {
        let (mut reads, now) = (lock(&self.reads), clock::since_boot());
        match waited.is_pending() {
            true => reads.begin(now),
            false => reads.pass(now),
        }
        waited
    }

    /// The longest time so far in which the source gave no bytes.
    pub(crate) fn longest_read(&self) -> Duration {
        lock(&self.reads).longest(clock::since_boot())
    }

    /// Time since the socket last took a byte.
    pub(crate) fn idle(&self) -> Duration {
        if self.pausing.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(moved)
    }

    /// The longest time so far in which the service got no byte, for any reason: the network, our own pauses, or a
    /// machine that was asleep.
    pub(crate) fn longest_gap(&self) -> Duration {
        lock(&self.gaps).longest(clock::since_boot())
    }

    pub(crate) fn is_all_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == self.len
    }

    /// The error that broke the body off on this side, if any.
    pub(crate) fn take_fault(&self) -> Option<io::Error> {
        lock(&self.fault).take()
    }

    /// The running hash over the body, once all of it was handed over.
    pub(crate) fn take_running(&self) -> Option<Running> {
        lock(&self.running).take()
    }
}

/// Times in which no byte came or left, on the clock that counts through suspend.
#[derive(Debug, Default)]
struct Gaps {
    /// When the last byte left, or the connection asked for the first one.
    last: Option<Duration>,
    longest: Duration,
}

impl Gaps {
    /// The connection has asked for the first byte.
    fn begin(&mut self, now: Duration) {
        self.last.get_or_insert(now);
    }

    /// A byte leaves.
    fn end(&mut self, now: Duration) {
        self.longest = self.longest(now);
        self.last = Some(now);
    }

    /// What was waited for is there, and nothing is waited for now.
    fn pass(&mut self, now: Duration) {
        self.longest = self.longest(now);
        self.last = None;
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
