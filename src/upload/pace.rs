//! The rate of an upload, and whether its bytes will arrive before the URL expires.

use std::time::Duration;

use super::{Applied, Session, State, Upload};
use crate::clock::Now;
use crate::tiktok::limits::URL_LIFETIME;
use crate::upload::event::Shortfall;
use crate::upload::plan::Chunk;

/// The rate of this run's last chunks. Older chunks count for less and less: links change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    bytes: f64,
    seconds: f64,
    /// Whether the forecast for this session was shown.
    told: bool,
}

/// The weight of a chunk relative to the next one.
const FADING: f64 = 0.75;

/// Seconds below which no rate is computed.
const LEAST: f64 = 0.1;

/// Least rate, in bytes per second, at which `size` bytes are sent within the hour with some reserve; two digits.
pub(crate) fn enough(size: u64) -> u64 {
    let least = size.saturating_mul(11) / (10 * URL_LIFETIME.as_secs()) + 1;
    let digits = least.ilog10().saturating_sub(1);
    let step = 10_u64.pow(digits);
    least.div_ceil(step) * step
}

impl Upload {
    /// The service has accepted a chunk of `bytes`, which took so long.
    pub(super) fn note_pace(&mut self, bytes: u64, took: Duration) -> Applied {
        self.keep_chunk_time(took);
        let pace = &mut self.run.pace;
        pace.bytes = pace.bytes * FADING + bytes as f64;
        pace.seconds = pace.seconds * FADING + took.as_secs_f64();
        Applied::NOTHING
    }

    /// Bytes per second of this run's last chunks, once they took long enough to measure.
    pub(crate) fn rate(&self) -> Option<u64> {
        let Pace { bytes, seconds, .. } = self.run.pace;
        (seconds >= LEAST).then(|| (bytes / seconds) as u64)
    }

    /// The allowed rate and one that would suffice, if a whole upload at the allowed rate takes longer than its hour.
    pub(crate) fn is_too_slow(&self) -> Option<(u64, u64)> {
        let (size, rate) = (self.size()?, self.run.limits.bandwidth?);
        Shortfall::of_whole(size, rate).map(|_| (rate, enough(size)))
    }

    /// Most bytes per second to expect for the next chunk.
    fn expected_rate(&self) -> Option<u64> {
        let allowed = self.run.limits.bandwidth;
        self.rate().into_iter().chain(allowed).min()
    }

    /// The forecast that this session will not end in time; once for each session.
    pub(crate) fn foresee(&mut self, now: Now) -> Option<Shortfall> {
        let State::Uploading { session, .. } = &self.state else {
            return None;
        };
        let left = self.size()?.saturating_sub(self.confirmed_bytes());
        let shortfall = Shortfall::of(left, session.left(now)?, self.expected_rate()?)?;
        let told = std::mem::replace(&mut self.run.pace.told, true);
        (!told).then_some(shortfall)
    }

    /// Whether the URL expires before this chunk can arrive.
    pub(super) fn comes_too_late(&self, chunk: &Chunk, session: &Session, now: Now) -> bool {
        let (Some(left), Some(rate)) = (session.left(now), self.expected_rate()) else {
            return false;
        };
        Shortfall::of(chunk.size(), left, rate).is_some()
    }

    /// Lets a new session show the forecast again.
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
            "Its URL lives 10 min more: the rest of the file needs 1.2 Mbit/s, and has 0.8."
        );
    }
}
