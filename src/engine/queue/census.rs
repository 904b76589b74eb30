//! How many jobs of a queue are in which state. Counted from the lines in memory, so that no store is read for it.

use std::collections::BTreeMap;

use super::lines::Lines;
use crate::clock::{self, Timestamp};
use crate::engine::metrics::Jobs;

/// A job that cannot run now.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) account: String,
    pub(super) why: Why,
}

/// Why a job cannot run now.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// It is tried again at a time.
    NotYet,
    Paused,
    /// It waits for a person, by the word of its outcome.
    Parked(&'static str),
}

impl Lines {
    /// The jobs that have not ended, by account. Of a hundred thousand jobs that takes some milliseconds.
    pub(super) fn census(&self, now: Timestamp) -> BTreeMap<String, Jobs> {
        let mut all: BTreeMap<&str, Jobs> = BTreeMap::new();
        for (account, line) in &self.waiting {
            let jobs = all.entry(account).or_default();
            jobs.queued += line.len() as u64;
            let oldest = line.values().min().map(|since| now.since(*since));
            jobs.oldest_runnable = oldest.map(clock::real);
        }
        for Aside { account, why } in self.aside.values() {
            let jobs = all.entry(account).or_default();
            match why {
                Why::NotYet => jobs.queued += 1,
                Why::Paused => jobs.paused += 1,
                Why::Parked(word) => *jobs.parked.entry(word).or_default() += 1,
            }
        }
        for running in self.running.values() {
            all.entry(&running.account).or_default().running += 1;
        }
        let owned = all.into_iter();
        owned
            .map(|(account, jobs)| (account.to_owned(), jobs))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::queue::{JobEnd, JobRow, JobState, Wish};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn row(id: u64, account: &str, state: JobState) -> JobRow {
        let wish = serde_json::json!({
            "account": account, "api_base": "", "source": "pull", "url": "https://x", "key": null, "preflight": false
        });
        let wish: Wish = serde_json::from_value(wish).expect("a wish");
        let mut row = JobRow::new(format!("{id:016x}"), wish);
        row.state = state;
        row.updated = Timestamp(NOW.0 - id * 1_000);
        row
    }

    fn queued(not_before: Option<Timestamp>) -> JobState {
        JobState::Queued {
            not_before,
            why: None,
        }
    }

    fn end(outcome: &str) -> JobEnd {
        serde_json::from_value(serde_json::json!({ "outcome": outcome, "at": 0 })).expect("an end")
    }

    fn parked(outcome: &str) -> JobState {
        JobState::Parked {
            end: end(outcome),
            until: NOW.plus(Duration::from_secs(9)),
        }
    }

    /// Queued, running, paused, parked.
    fn counts(lines: &Lines) -> [u64; 4] {
        lines.census(NOW).values().fold([0; 4], |all, of| {
            let parked = of.parked.values().sum();
            let these = [of.queued, of.running, of.paused, parked];
            std::array::from_fn(|at| all[at] + these[at])
        })
    }

    #[test]
    fn a_job_is_counted_once_in_whatever_order_it_changes() {
        let mut lines = Lines::default();
        let mut job = row(7, "lena", queued(None));
        lines.place(&job);
        lines.place(&job);
        assert_eq!(counts(&lines), [1, 0, 0, 0]);
        let (id, run) = lines.next(1, 1).expect("it can run");
        assert_eq!(counts(&lines), [0, 1, 0, 0]);
        job.paused = true;
        lines.place(&job);
        assert_eq!(counts(&lines), [0, 1, 0, 0], "it still runs");
        lines.done(&id, run);
        lines.place(&job);
        assert_eq!(counts(&lines), [0, 0, 1, 0]);
        job.paused = false;
        job.state = queued(Some(NOW));
        lines.place(&job);
        assert_eq!(counts(&lines), [1, 0, 0, 0]);
        assert_eq!(lines.due(NOW), [job.id.as_str()]);
        assert_eq!(counts(&lines), [1, 0, 0, 0], "on its way to its line");
        job.state = parked("unknown");
        lines.place(&job);
        assert_eq!(counts(&lines), [0, 0, 0, 1]);
        job.state = JobState::Ended {
            end: end("unknown"),
        };
        lines.place(&job);
        assert_eq!(lines.census(NOW), BTreeMap::new());
    }

    #[test]
    fn the_oldest_is_the_one_that_waits_longest_and_not_the_first_of_its_line() {
        let mut lines = Lines::default();
        for (id, account) in [(1, "lena"), (5, "lena"), (3, "lena"), (2, "mia")] {
            lines.place(&row(id, account, queued(None)));
        }
        // Neither of these could run.
        lines.place(&row(
            8,
            "lena",
            queued(Some(NOW.plus(Duration::from_secs(1)))),
        ));
        lines.place(&row(9, "noa", parked("needs_person")));
        let census = lines.census(NOW);
        let oldest = |account: &str| census[account].oldest_runnable;
        assert_eq!(oldest("lena"), Some(clock::real(Duration::from_secs(5))));
        assert_eq!(oldest("mia"), Some(clock::real(Duration::from_secs(2))));
        assert_eq!(oldest("noa"), None);
        assert_eq!(census["noa"].parked, BTreeMap::from([("needs_person", 1)]));
        assert_eq!(census["lena"].queued, 4);
        lines.place(&row(9, "noa", parked("a word of tomorrow")));
        assert_eq!(
            lines.census(NOW)["noa"].parked,
            BTreeMap::from([("other", 1)])
        );
    }
}
