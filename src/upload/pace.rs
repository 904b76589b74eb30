//! How fast bytes go, and whether they will all be there before their URL dies.

use std::time::Duration;

use super::{Applied, Session, State, Upload};
use crate::clock::Now;
use crate::tiktok::limits::URL_LIFETIME;
use crate::upload::event::Shortfall;
use crate::upload::plan::Chunk;

/// What the last chunks of this run took. Older ones count for less and less: links change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    bytes: f64,
    seconds: f64,
    /// Whether it was said that this session will not end in time.
    told: bool,
}

/// What a chunk weighs once the next one is measured.
const FADING: f64 = 0.75;

/// Shorter times measure nothing.
const LEAST: f64 = 0.1;

/// The least rate, in bytes per second, at which an upload of `size` bytes is done within its hour with something to
/// spare, in two digits.
pub(crate) fn enough(size: u64) -> u64 {
    let least = size.saturating_mul(11) / (10 * URL_LIFETIME.as_secs()) + 1;
    let digits = least.ilog10().saturating_sub(1);
    let step = 10_u64.pow(digits);
    least.div_ceil(step) * step
}

impl Upload {
    /// The service has taken a chunk of `bytes`, after this long.
    pub(super) fn note_pace(&mut self, bytes: u64, took: Duration) -> Applied {
        self.keep_chunk_time(took);
        let pace = &mut self.run.pace;
        pace.bytes = pace.bytes * FADING + bytes as f64;
        pace.seconds = pace.seconds * FADING + took.as_secs_f64();
        Applied::NOTHING
    }

    /// Bytes per second of this run's last chunks, once there is something to measure.
    pub(crate) fn rate(&self) -> Option<u64> {
        let Pace { bytes, seconds, .. } = self.run.pace;
        (seconds >= LEAST).then(|| (bytes / seconds) as u64)
    }

    /// Whether a new session would end before all bytes are there, at the rate that is allowed: that rate, and one that
    /// would do.
    pub(crate) fn is_too_slow(&self) -> Option<(u64, u64)> {
        let (size, rate) = (self.size()?, self.run.limits.bandwidth?);
        Shortfall::of_whole(size, rate).map(|_| (rate, enough(size)))
    }

    /// Bytes per second that the next chunk can have at most.
    fn expected_rate(&self) -> Option<u64> {
        let allowed = self.run.limits.bandwidth;
        self.rate().into_iter().chain(allowed).min()
    }

    /// What to say, once a session, as soon as it can be known that it will not end in time.
    pub(crate) fn foresee(&mut self, now: Now) -> Option<Shortfall> {
        let State::Uploading { session, .. } = &self.state else {
            return None;
        };
        let left = self.size()?.saturating_sub(self.confirmed_bytes());
        let shortfall = Shortfall::of(left, session.left(now)?, self.expected_rate()?)?;
        let told = std::mem::replace(&mut self.run.pace.told, true);
        (!told).then_some(shortfall)
    }

    /// Whether the URL dies before this chunk can be there.
    pub(super) fn comes_too_late(&self, chunk: &Chunk, session: &Session, now: Now) -> bool {
        let (Some(left), Some(rate)) = (session.left(now), self.expected_rate()) else {
            return false;
        };
        Shortfall::of(chunk.size(), left, rate).is_some()
    }

    /// In a new session the forecast may be shown again.
    pub(super) fn forget_forecast(&mut self) {
        self.run.pace.told = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_that_is_named_is_enough() {
        for size in [1, 3_600, 46_000_000, 4_000_000_000, 4_294_967_296] {
            let rate = enough(size);
            assert_eq!(Shortfall::of_whole(size, rate), None, "{size}");
        }
        assert_eq!(
            (enough(46_000_000), enough(4_000_000_000)),
            (15_000, 1_300_000)
        );
    }

    #[test]
    fn a_link_too_slow_for_the_hour_is_told_in_numbers() {
        assert_eq!(Shortfall::of_whole(4_000_000_000, 1_200_000), None);
        let just = Shortfall::of(10_000_000, Duration::from_secs(10), 1_000_000);
        assert_eq!(just, None, "in time is in time");
        let slow = Shortfall::of_whole(4_294_967_296, 387_500).expect("too slow");
        assert_eq!(
            slow.to_string(),
            "An upload must end within one hour: this one needs 9.5 Mbit/s, and has 3.1."
        );
        let late = Shortfall::of(90_000_000, Duration::from_secs(590), 100_000).expect("too slow");
        assert_eq!(
            late.to_string(),
            "Its URL lives 10 min more: what is left of it needs 1.2 Mbit/s, and has 0.8."
        );
    }
}
