//! Cells to count in without a lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Histogram, Spent};

/// A number that rises.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Takes back what was [added](Self::add).
    pub(super) fn take(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(super) fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn read_time(&self) -> Duration {
        Duration::from_micros(self.read())
    }
}

/// A number for each word of a list. Any other word counts as the last one.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<&'static str>,
    cells: Vec<Cell>,
}

impl Words {
    /// Of one word at the least.
    pub(super) fn new(words: impl IntoIterator<Item = &'static str>) -> Self {
        let words: Vec<_> = words.into_iter().collect();
        let cells = words.iter().map(|_| Cell::default()).collect();
        Self { words, cells }
    }

    pub(super) fn add(&self, word: &str) {
        let known = self.words.iter().position(|known| *known == word);
        let at = known.unwrap_or(self.words.len() - 1);
        self.cells[at].add(1);
    }

    /// All words, also those that were never counted.
    pub(super) fn read(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.cells.iter().map(Cell::read);
        self.words.iter().copied().zip(counts).collect()
    }
}

/// Something that takes time.
#[derive(Debug, Default)]
pub(super) struct Timer {
    count: Cell,
    total: Cell,
}

impl Timer {
    pub(super) fn add(&self, took: Duration) {
        self.count.add(1);
        self.total.add_time(took);
    }

    pub(super) fn read(&self) -> Spent {
        Spent {
            count: self.count.read(),
            total: self.total.read_time(),
        }
    }
}

/// Bounds of the times of requests, in seconds: a status takes tens of milliseconds, a chunk on a slow line minutes.
const BOUNDS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];

/// How often something took how long.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// By the first bound that is not exceeded; the last one is of what exceeds all of them.
    cells: [Cell; BOUNDS.len() + 1],
    total: Cell,
}

impl Times {
    pub(super) fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.cells[at.unwrap_or(BOUNDS.len())].add(1);
        self.total.add_time(took);
    }

    /// The count is the sum of the cells, so the two always agree.
    pub(super) fn read(&self) -> Histogram {
        let mut count = 0;
        let rising = self.cells.iter().map(|cell| {
            count += cell.read();
            count
        });
        let rising: Vec<u64> = rising.collect();
        Histogram {
            buckets: BOUNDS.into_iter().zip(rising).collect(),
            count,
            total: self.total.read_time(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_every_bucket_from_its_own_on_and_the_longest_in_none() {
        let times = Times::default();
        for millis in [0, 10, 11, 2_000, 300_001] {
            times.add(Duration::from_millis(millis));
        }
        let read = times.read();
        let counts: Vec<u64> = read.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 4, 4, 4, 4, 4]);
        assert_eq!(read.count, 5);
        assert_eq!(read.total, Duration::from_millis(302_022));
    }

    #[test]
    fn a_word_that_nobody_knows_is_the_last_of_the_list() {
        let words = Words::new(["good", "other"]);
        for word in ["good", "strange", "stranger"] {
            words.add(word);
        }
        assert_eq!(words.read(), BTreeMap::from([("good", 1), ("other", 2)]));
    }
}
