//! How far a target is: the outbox up to a number, but for a few notices that failed. Times are in milliseconds since 1970.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Files of a greater version were written by a newer chunkferry.
pub(super) const VERSION: u32 = 1;

/// Notices that may fail before the ones behind them wait.
pub(super) const MOST_FAILING: usize = 64;

/// The longest wait before the second attempt; it doubles with each attempt.
const FIRST: Duration = Duration::from_secs(5);

/// The longest wait of all, also where the target asks for more.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// The shortest wait.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long a notice is tried.
const PATIENCE: Duration = Duration::from_secs(72 * 3600);

/// Attempts before a notice is given up, however late it is: the clock of a machine may be set while a notice waits.
const LEAST_TRIES: u32 = 8;

/// What is kept of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) version: u32,
    /// The number of the last notice that was delivered, did not fit, or has failed.
    pub(super) cursor: u64,
    /// By rising numbers.
    pub(super) failing: Vec<Failing>,
    /// How many notices were given up.
    #[serde(default)]
    pub(super) given_up: u64,
    /// Why the last attempt that failed did.
    #[serde(default)]
    pub(super) last_error: Option<String>,
    #[serde(default)]
    pub(super) last_success: Option<u64>,
}

/// A notice that is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failing {
    pub(super) number: u64,
    pub(super) tries: u32,
    pub(super) next_at: u64,
    pub(super) first_at: u64,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Missed {
    /// Fit to be shown.
    pub(super) why: String,
    /// How long the target wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    Failing,
    GivenUp,
    /// Somebody has set the cursor back meanwhile.
    Overtaken,
}

impl State {
    /// Of a target that wants the notices after this number.
    pub(super) const fn after(cursor: u64) -> Self {
        Self {
            version: VERSION,
            cursor,
            failing: Vec::new(),
            given_up: 0,
            last_error: None,
            last_success: None,
        }
    }

    /// Whether the notices after the cursor have to wait.
    pub(super) const fn is_full(&self) -> bool {
        self.failing.len() >= MOST_FAILING
    }

    /// The number of the notice that is to be tried again now: the one that waits longest, so that none is tried over and over
    /// before the others.
    pub(super) fn due(&self, now: u64) -> Option<u64> {
        let due = self.failing.iter().filter(|of| of.wait(now).is_zero());
        due.min_by_key(|of| of.next_at).map(|of| of.number)
    }

    /// How long it is until a notice is to be tried again.
    pub(super) fn wait(&self, now: u64) -> Option<Duration> {
        self.failing.iter().map(|of| of.wait(now)).min()
    }

    /// Takes in how an attempt ended: of a notice that is failing, or else of the first one that fits after the cursor as it was when
    /// the attempt began. `scale`: how many times faster than real the clock runs.
    pub(super) fn take_in(
        &mut self,
        number: u64,
        begun_at: u64,
        ended: &Result<(), Missed>,
        now: u64,
        scale: u32,
    ) -> Fate {
        match ended {
            Ok(()) => self.last_success = Some(now),
            Err(missed) => self.last_error = Some(missed.why.clone()),
        }
        let place = self.failing.iter().position(|of| of.number == number);
        let before = place.map(|at| self.failing.remove(at));
        match &before {
            Some(_) => {}
            None if self.cursor == begun_at => self.cursor = number,
            None => return Fate::Overtaken,
        }
        let Err(missed) = ended else {
            return Fate::Delivered;
        };
        let (tries, first_at) = before.map_or((1, now), |of| (of.tries + 1, of.first_at));
        // A clock that was set back makes no notice older.
        let first_at = first_at.min(now);
        if Duration::from_millis(now - first_at) >= PATIENCE / scale && tries >= LEAST_TRIES {
            self.given_up += 1;
            return Fate::GivenUp;
        }
        let asked = missed.retry_after.unwrap_or_default().min(LONGEST);
        let wait = backoff(tries).max(asked) / scale;
        let failing = Failing {
            number,
            tries,
            next_at: now + wait.as_millis() as u64,
            first_at,
        };
        let place = self.failing.partition_point(|of| of.number < number);
        self.failing.insert(place, failing);
        Fate::Failing
    }

    /// Gives up a notice that the outbox no longer has.
    pub(super) fn drop_failing(&mut self, number: u64) {
        let before = self.failing.len();
        self.failing.retain(|of| of.number != number);
        self.given_up += (before - self.failing.len()) as u64;
    }

    /// Sets the cursor back: every notice after this number is delivered again.
    pub(super) fn go_back(&mut self, after: u64) {
        self.cursor = self.cursor.min(after);
        self.failing.retain(|of| of.number <= after);
    }

    /// Whether it is of another outbox than one whose last number this is.
    pub(super) fn is_beyond(&self, last: u64) -> bool {
        let failing = self.failing.iter().map(|of| of.number);
        failing.chain([self.cursor]).any(|number| number > last)
    }
}

impl Failing {
    fn wait(&self, now: u64) -> Duration {
        let wait = Duration::from_millis(self.next_at.saturating_sub(now));
        // A clock that was set back makes nobody wait.
        if wait > LONGEST { Duration::ZERO } else { wait }
    }
}

/// Full jitter, so that notices which failed together do not come back together.
fn backoff(tries: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(fastrand::f64()).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn missed(retry_after: Option<u64>) -> Result<(), Missed> {
        Err(Missed {
            why: "HTTP 500".to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    #[test]
    fn a_failing_notice_lets_the_next_ones_pass_until_64_fail() {
        let mut state = State::after(0);
        for number in 1..=64 {
            assert!(!state.is_full());
            let fate = state.take_in(number, number - 1, &missed(None), 0, 1);
            assert_eq!((fate, state.cursor), (Fate::Failing, number));
        }
        assert!(state.is_full());
        assert_eq!(state.take_in(7, 64, &Ok(()), 0, 1), Fate::Delivered);
        assert_eq!((state.cursor, state.failing.len()), (64, 63));
        assert!(!state.is_full());
        assert!(state.failing.is_sorted_by_key(|of| of.number));
    }

    #[test]
    fn waits_grow_to_an_hour_and_end_after_three_days() {
        let mut state = State::after(0);
        let (mut now, mut tries) = (1_000, 0);
        while state.take_in(1, 0, &missed(None), now, 1) == Fate::Failing {
            let wait = state.wait(now).expect("it fails").as_millis() as u64;
            assert!((1_000..=HOUR).contains(&wait), "{wait}");
            assert_eq!((state.due(now), state.due(now + wait)), (None, Some(1)));
            now += wait;
            tries += 1;
        }
        assert!(
            now > 72 * HOUR && now < 74 * HOUR && tries > 50,
            "{now} {tries}"
        );
        assert_eq!(
            (state.given_up, state.cursor, state.failing.len()),
            (1, 1, 0)
        );
    }

    #[test]
    fn a_target_is_left_alone_as_long_as_it_asks_but_no_longer_than_an_hour() {
        let mut state = State::after(0);
        for (asked, least) in [(600, 600), (1_000_000, 3_600)] {
            state.take_in(1, 0, &missed(Some(asked)), 0, 1);
            assert_eq!(state.wait(0), Some(Duration::from_secs(least)));
        }
    }

    #[test]
    fn a_clock_that_is_set_neither_holds_a_notice_back_nor_gives_it_up() {
        let mut state = State::after(0);
        state.take_in(1, 0, &missed(Some(3_600)), 1_000 * HOUR, 1);
        assert_eq!(state.due(1_000 * HOUR), None);
        assert_eq!(state.due(HOUR), Some(1));
        state.take_in(1, 1, &missed(None), HOUR, 1);
        assert_eq!(
            state.take_in(1, 1, &missed(None), 1_000 * HOUR, 1),
            Fate::Failing
        );
    }

    #[test]
    fn an_attempt_that_ends_after_the_cursor_was_set_back_skips_nothing() {
        let mut state = State::after(9);
        state.take_in(10, 9, &missed(None), 0, 1);
        state.go_back(3);
        assert_eq!((state.cursor, state.failing.len()), (3, 0));
        assert_eq!(state.take_in(11, 10, &Ok(()), 0, 1), Fate::Overtaken);
        assert_eq!(state.take_in(10, 10, &missed(None), 0, 1), Fate::Overtaken);
        assert_eq!((state.cursor, state.failing.len()), (3, 0));
        // Never forward.
        state.go_back(8);
        assert_eq!(state.cursor, 3);
        assert!(state.is_beyond(2) && !state.is_beyond(3));
    }
}
