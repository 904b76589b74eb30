//! How long to wait and how often to try. Policies are values; the random number is an argument.

use std::time::Duration;

use crate::tiktok::limits::MINUTE;

/// The window of the service's rate limits, plus five seconds: a first request that arrives late and a last one that
/// arrives at once would otherwise exceed the limit.
pub(crate) const WINDOW: Duration = MINUTE.saturating_add(Duration::from_secs(5));

/// How long an outage may last, from the first failure since the last success. When a run gives up, the next run
/// continues.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Longest first wait between two attempts; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Consecutive failures of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    pub(crate) count: u32,
    /// Time of the first failure, on the clock that counts from boot.
    since: Option<Duration>,
}

impl Failures {
    pub(crate) fn add(&mut self, now: Duration) {
        self.count += 1;
        self.since.get_or_insert(now);
    }

    /// Time since the first failure.
    pub(crate) fn lasted(&self, now: Duration) -> Duration {
        self.since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// The wait before the next attempt; the last attempt is at the end of `patience`, then `None`.
    pub(crate) fn wait(&self, now: Duration, patience: Duration, random: u64) -> Option<Duration> {
        let left = patience.saturating_sub(self.lasted(now));
        (!left.is_zero()).then(|| backoff(self.count, random).min(left))
    }
}

/// The wait before attempt number `failed + 1`: exponential, and random between half of it and all of it, so that
/// uploads which failed together do not retry together. `random` is uniform in 0..=`u64::MAX`.
pub(crate) fn backoff(failed: u32, random: u64) -> Duration {
    let exponent = failed.saturating_sub(1).min(16);
    let half = FIRST_WAIT.saturating_mul(1 << exponent).min(LONGEST_WAIT) / 2;
    let share = u128::from(random) * half.as_nanos() / u128::from(u64::MAX);
    half + Duration::from_nanos(share as u64)
}

/// Limits for every wait of one upload. Each restarts with progress; none limits the whole upload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// For a connection.
    pub(crate) connect: Duration,
    /// For the answer to an API call (a few hundred bytes each way).
    pub(crate) call: Duration,
    /// For the socket to take another byte of the chunk.
    pub(crate) stall: Duration,
    /// How long a body may pause before the service may give it up. An answer after that is not about the request.
    pub(crate) body_stall: Duration,
    /// For the answer after a chunk's last byte, in addition to the chunk's time at `answer_rate`.
    pub(crate) answer: Duration,
    /// Bytes per second of the slowest supported link: a chunk can wait in kernels and proxies after the socket took it.
    pub(crate) answer_rate: u64,
    /// From sealing to the inbox.
    pub(crate) processing: Duration,
}

impl Waits {
    pub(crate) const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        call: Duration::from_secs(60),
        stall: Duration::from_secs(60),
        body_stall: Duration::from_secs(5),
        answer: Duration::from_secs(60),
        answer_rate: 32_000,
        processing: Duration::from_secs(30 * 60),
    };

    /// How long the answer to a chunk of `len` bytes may take after its last byte was sent.
    pub(crate) const fn answer_to(&self, len: u64) -> Duration {
        self.answer.saturating_add(Duration::from_millis(
            len.saturating_mul(1000) / self.answer_rate,
        ))
    }
}

/// The wait before the next status call while the service processes: 1 s, growing to at most 10 s.
pub(crate) fn poll_interval(asked: u32) -> Duration {
    Duration::from_secs_f64((1.0 * 1.4_f64.powi(asked.min(20) as i32)).min(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_cap_and_none_of_them_is_nothing() {
        let seconds = |failed, random| backoff(failed, random).as_secs_f64();
        assert_eq!(
            [1, 2, 4, 6, 7, 99].map(|failed| seconds(failed, u64::MAX)),
            [0.5, 1.0, 4.0, 16.0, 20.0, 20.0]
        );
        assert_eq!([1, 99].map(|failed| seconds(failed, 0)), [0.25, 10.0]);
    }

    #[test]
    fn an_outage_is_waited_out_until_patience_ends_and_not_for_so_many_attempts() {
        for random in [0, u64::MAX / 2, u64::MAX] {
            let (mut failures, mut now) = (Failures::default(), Duration::from_secs(1000));
            loop {
                failures.add(now);
                let Some(wait) = failures.wait(now, PATIENCE, random) else {
                    break;
                };
                now += wait;
            }
            assert_eq!(
                now,
                Duration::from_secs(1600),
                "the last attempt falls on the end"
            );
            assert!((30..80).contains(&failures.count), "{}", failures.count);
        }
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
