//! The server's time: real, scaled, or pushed forward by hand.
//!
//! Windows, lifetimes and processing follow this clock. Socket timeouts and the delays of faults concern the connection
//! and follow real time.

use std::time::{Duration, Instant, SystemTime};

/// Unix seconds of the last moment that an HTTP date can name: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// A moment of the server's time, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Duration);

impl Moment {
    /// Time from `earlier` to this moment; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Invariant: never goes back, and stops at the end of the year 9999.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch: SystemTime,
    anchor: Instant,
    at_anchor: Duration,
    scale: f64,
}

impl Clock {
    pub(crate) fn new(scale: f64) -> Self {
        Self {
            epoch: SystemTime::now(),
            anchor: Instant::now(),
            at_anchor: Duration::ZERO,
            scale,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Moment {
        let passed = instant.saturating_duration_since(self.anchor);
        let now = self.at_anchor.saturating_add(passed.mul_f64(self.scale));
        Moment(now.min(self.end()))
    }

    /// Changes the speed of the clock from now on.
    pub(crate) fn set_scale(&mut self, scale: f64) {
        let instant = Instant::now();
        self.at_anchor = self.at(instant).0;
        self.anchor = instant;
        self.scale = scale;
    }

    /// Time until the clock's end.
    pub(crate) fn left(&self) -> Duration {
        self.end().saturating_sub(self.now().0)
    }

    fn end(&self) -> Duration {
        let since = self.epoch.duration_since(SystemTime::UNIX_EPOCH);
        Duration::from_secs(LAST).saturating_sub(since.unwrap_or_default())
    }

    /// Moves the clock forward, at most to its end.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.at_anchor = self.at_anchor.saturating_add(by).min(self.end());
    }

    /// Seconds since the Unix epoch, in the server's time.
    pub(crate) fn unix(&self, moment: Moment) -> u64 {
        let since = self.epoch.duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().saturating_add(moment.0).as_secs()
    }

    /// Milliseconds since the Unix epoch, in the server's time.
    pub(crate) fn unix_millis(&self, moment: Moment) -> u64 {
        let since = self.wall(moment).duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }

    /// The wall-clock time of a moment, for HTTP dates: never past the year 9999.
    pub(crate) fn wall(&self, moment: Moment) -> SystemTime {
        self.epoch
            .checked_add(moment.0.min(self.end()))
            .unwrap_or_else(SystemTime::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_the_speed_never_turns_the_clock_back() {
        let mut clock = Clock::new(1000.0);
        clock.advance(Duration::from_secs(5));
        let before = clock.now();
        clock.set_scale(0.001);
        assert!(clock.now() >= before);
        clock.advance(Duration::from_secs(3600));
        assert!(clock.now().since(before) >= Duration::from_secs(3600));
    }
}
