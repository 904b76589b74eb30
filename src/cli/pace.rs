//! The rate over the last seconds, for the display.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(5);

/// Positions over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<(Instant, u64)>);

impl Pace {
    /// Notes the position of an upload. A position behind the last one restarts the measurement.
    pub(super) fn note(&mut self, at: Instant, position: u64) {
        if self.0.back().is_some_and(|(_, last)| position < *last) {
            self.0.clear();
        }
        self.0.push_back((at, position));
        while self.0.len() > 2 && self.0.front().is_some_and(|(first, _)| at - *first > SPAN) {
            self.0.pop_front();
        }
    }

    /// Bytes per second, once there are enough positions.
    pub(super) fn rate(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.0.front()?, self.0.back()?);
        let seconds = (*to - *from).as_secs_f64();
        (seconds >= 0.2).then(|| (last - first) as f64 / seconds)
    }

    /// Seconds for `rest` bytes at this rate.
    pub(super) fn seconds_for(&self, rest: u64) -> Option<u64> {
        let rate = self.rate().filter(|rate| *rate > 0.0)?;
        Some((rest as f64 / rate).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_a_restart_does_not_count_as_speed() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.note(start, 180_000_000);
        assert_eq!(pace.rate(), None);
        pace.note(start + Duration::from_secs(2), 200_000_000);
        assert_eq!(pace.rate(), Some(10_000_000.0));
        assert_eq!(pace.seconds_for(25_000_000), Some(3));
        pace.note(start + Duration::from_secs(3), 0);
        assert_eq!(pace.rate(), None, "a lost session starts from zero");
    }
}
