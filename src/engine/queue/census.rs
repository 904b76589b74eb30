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
        let mut all: BTreeMap<String, Jobs> = BTreeMap::new();
        for (account, line) in &self.waiting {
            let jobs = all.entry(account.clone()).or_default();
            jobs.queued += line.len() as u64;
            let oldest = line.values().min().map(|since| now.since(*since));
            jobs.oldest_runnable = oldest.map(clock::real);
        }
        for Aside { account, why } in self.aside.values() {
            let jobs = all.entry(account.clone()).or_default();
            match why {
                Why::NotYet => jobs.queued += 1,
                Why::Paused => jobs.paused += 1,
                Why::Parked(word) => *jobs.parked.entry(word).or_default() += 1,
            }
        }
        for running in self.running.values() {
            all.entry(running.account.clone()).or_default().running += 1;
        }
        all
    }
}
