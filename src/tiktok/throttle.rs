//! A limit on the rate: bytes wait for their time, and late timers are compensated.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A rate shared by all bodies of an engine, in bytes per second.
#[derive(Debug, Clone)]
pub(crate) struct Throttle {
    rate: u64,
    /// When the bytes reserved so far will have left.
    free: Arc<Mutex<Instant>>,
}

/// Unused time is made up for up to this length: timers are late, and there are pauses between chunks.
const CREDIT: Duration = Duration::from_millis(200);

impl Throttle {
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            free: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Bytes per second.
    pub(crate) const fn rate(&self) -> u64 {
        self.rate
    }

    /// Most bytes that leave together: the bytes of a twentieth of a second, so that the network gets a stream and not
    /// bursts.
    pub(crate) fn at_once(&self) -> usize {
        usize::try_from(self.rate / 20).map_or(usize::MAX, |most| most.max(1024))
    }

    /// Reserves `bytes`; returns the wait until they may leave.
    pub(crate) fn reserve(&self, bytes: u64) -> Duration {
        let now = Instant::now();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let start = now
            .checked_sub(CREDIT)
            .map_or(*free, |oldest| oldest.max(*free));
        *free = start + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        free.saturating_duration_since(now)
    }
}
