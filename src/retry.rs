//! How long to wait and how often to try. Policies are values; randomness is passed in.

use std::time::Duration;

/// The window that the service's limits slide over, one minute (API v2 Rate Limit), and five seconds more, because a request
/// may reach the service later than it left: the first one late and the last one at once would be one too many.
pub(crate) const WINDOW: Duration = Duration::from_secs(60 + 5);

/// Waits between attempts at one thing: exponential with full jitter, and an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// For a chunk: nine attempts, at most two and a half minutes of waiting; any chunk that is accepted refills them.
    pub(crate) const CHUNK: Self =
        Self::new(Duration::from_millis(500), Duration::from_secs(30), 8);
    /// For an init that provably reached nobody.
    pub(crate) const INIT: Self = Self::new(Duration::from_millis(500), Duration::from_secs(20), 6);
    /// For a question that decides what to do next.
    pub(crate) const STATUS: Self =
        Self::new(Duration::from_millis(500), Duration::from_secs(20), 6);

    pub(crate) const fn new(first: Duration, cap: Duration, attempts: u32) -> Self {
        Self {
            first,
            cap,
            attempts,
        }
    }

    /// The wait before attempt number `failed + 1`, or `None` when the attempts are used up. `random` is uniform in
    /// 0..=`u64::MAX`.
    pub(crate) fn after(&self, failed: u32, random: u64) -> Option<Duration> {
        if failed > self.attempts {
            return None;
        }
        let exponent = failed.saturating_sub(1).min(16);
        let ceiling = self.first.saturating_mul(1 << exponent).min(self.cap);
        let share = u128::from(random) * ceiling.as_nanos() / u128::from(u64::MAX);
        Some(Duration::from_nanos(share as u64))
    }
}

/// Bounds of every wait of one upload. None is a total clock: each depends on progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// A connection is made, or it is given up.
    pub(crate) connect: Duration,
    /// An API call (a few hundred bytes each way) is answered, or counts as lost.
    pub(crate) call: Duration,
    /// The socket takes a byte of the chunk, or the peer counts as dead.
    pub(crate) stall: Duration,
    /// A service may give a body up that came to a stop for this long. What it answers then is not about the request.
    pub(crate) standstill: Duration,
    /// After the last byte: this, plus what the chunk needs at `answer_rate`.
    pub(crate) answer: Duration,
    /// Bytes a second, the slowest link honoured: a chunk can lie in kernels and proxies long after the socket took it.
    pub(crate) answer_rate: u64,
    /// Between sealing and the inbox.
    pub(crate) processing: Duration,
}

impl Waits {
    pub(crate) const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        call: Duration::from_secs(60),
        stall: Duration::from_secs(60),
        standstill: Duration::from_secs(5),
        answer: Duration::from_secs(60),
        answer_rate: 32_000,
        processing: Duration::from_secs(30 * 60),
    };

    /// How long the answer to a chunk of `len` bytes may take after its last byte was handed over.
    pub(crate) const fn answer_to(&self, len: u64) -> Duration {
        self.answer.saturating_add(Duration::from_millis(
            len.saturating_mul(1000) / self.answer_rate,
        ))
    }
}

/// The wait before status is asked once more while the service works: 1 s, growing, at most 10 s.
pub(crate) fn poll_interval(asked: u32) -> Duration {
    Duration::from_secs_f64((1.0 * 1.4_f64.powi(asked.min(20) as i32)).min(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end_and_waits_stay_below_the_cap() {
        let longest: Vec<_> = (1..)
            .map_while(|failed| Backoff::CHUNK.after(failed, u64::MAX))
            .collect();
        assert_eq!(longest.len(), 8);
        assert_eq!(longest[0], Duration::from_millis(500));
        assert_eq!(longest[3], Duration::from_secs(4));
        assert_eq!(longest[7], Duration::from_secs(30));
        assert_eq!(
            Backoff::CHUNK.after(3, 0),
            Some(Duration::ZERO),
            "full jitter starts at zero"
        );
    }

    #[test]
    fn the_answer_window_grows_with_what_may_still_be_on_the_way() {
        assert_eq!(Waits::DEFAULT.answer_to(0), Duration::from_secs(60));
        assert_eq!(
            Waits::DEFAULT.answer_to(64_000_000),
            Duration::from_secs(2060)
        );
    }

    #[test]
    fn polling_slows_down_and_stays_within_thirty_a_minute() {
        assert_eq!(poll_interval(0), Duration::from_secs(1));
        assert_eq!(poll_interval(1000), Duration::from_secs(10));
        let mut elapsed = Duration::ZERO;
        let in_a_minute = (0..).take_while(|asked| {
            elapsed += poll_interval(*asked);
            elapsed < Duration::from_secs(60)
        });
        assert!(in_a_minute.count() < 15);
    }
}
