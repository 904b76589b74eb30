//! Which job is the next: a line for each account, in the order in which its jobs were accepted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::handle::Stopper;
use super::census::{Aside, Why};
use crate::clock::Timestamp;
use crate::journal::queue::{JobRow, JobState};

/// The jobs of a queue that have not ended, by their ids alone: a hundred thousand of them take some megabytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Jobs that can run now, by account, and since when.
    pub(super) waiting: BTreeMap<String, BTreeMap<String, Timestamp>>,
    /// Jobs that cannot, and why.
    pub(super) aside: HashMap<String, Aside>,
    /// Jobs that something happens to at a time.
    later: BTreeSet<(Timestamp, String)>,
    times: HashMap<String, Timestamp>,
    /// Jobs that wait for a token that nobody has, by account.
    tokenless: BTreeMap<String, BTreeSet<String>>,
    pub(super) running: HashMap<String, Running>,
    /// How many runs there were.
    runs: u64,
    /// How many jobs of an account run.
    busy: HashMap<String, usize>,
    /// The account that was served last.
    last: String,
}

/// A job that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) account: String,
    /// The number of the run: no two have the same one.
    pub(super) run: u64,
    /// Stops its upload; `None` until the upload has begun.
    pub(super) stopper: Option<Stopper>,
}

impl Lines {
    /// Puts a job where its row says, unless it runs.
    pub(super) fn place(&mut self, row: &JobRow) {
        if self.running.contains_key(&row.id) {
            return;
        }
        self.remove(&row.wish.account, &row.id);
        match &row.state {
            JobState::Ended { .. } => {}
            JobState::Parked { end, until } => {
                self.at(*until, &row.id);
                self.set_aside(row, Why::Parked(end.word()));
                if end.wants_a_token() && !row.paused {
                    let jobs = self.tokenless.entry(row.wish.account.clone()).or_default();
                    jobs.insert(row.id.clone());
                }
            }
            JobState::Queued { .. } if row.paused => self.set_aside(row, Why::Paused),
            JobState::Queued {
                not_before: Some(at),
                ..
            } => {
                self.at(*at, &row.id);
                self.set_aside(row, Why::NotYet);
            }
            JobState::Queued {
                not_before: None, ..
            } => {
                let line = self.waiting.entry(row.wish.account.clone()).or_default();
                line.insert(row.id.clone(), row.updated);
            }
        }
    }

    fn set_aside(&mut self, row: &JobRow, why: Why) {
        let account = row.wish.account.clone();
        self.aside.insert(row.id.clone(), Aside { account, why });
    }

    /// Whether the job has a place.
    pub(super) fn holds(&self, row: &JobRow) -> bool {
        let line = self.waiting.get(&row.wish.account);
        line.is_some_and(|line| line.contains_key(&row.id)) || self.times.contains_key(&row.id)
    }

    fn remove(&mut self, account: &str, id: &str) {
        if let Some(line) = self.waiting.get_mut(account) {
            line.remove(id);
            if line.is_empty() {
                self.waiting.remove(account);
            }
        }
        if let Some(line) = self.tokenless.get_mut(account) {
            line.remove(id);
            if line.is_empty() {
                self.tokenless.remove(account);
            }
        }
        self.aside.remove(id);
        if let Some(at) = self.times.remove(id) {
            self.later.remove(&(at, id.to_owned()));
        }
    }

    fn at(&mut self, at: Timestamp, id: &str) {
        self.later.insert((at, id.to_owned()));
        self.times.insert(id.to_owned(), at);
    }

    /// The job to begin next: the first one of the account with the fewest jobs under way, in turn. An account has no more than
    /// `jobs` under way, and `most` limits those of all accounts but for the first one of each. Returns the number of its run, too.
    pub(super) fn next(&mut self, jobs: usize, most: usize) -> Option<(String, u64)> {
        let busy = |account: &String| self.busy.get(account).copied().unwrap_or(0);
        let after = self.waiting.keys().filter(|account| **account > self.last);
        let before = self.waiting.keys().filter(|account| **account <= self.last);
        let account = after
            .chain(before)
            .min_by_key(|account| busy(account))?
            .clone();
        let under_way = busy(&account);
        if under_way >= jobs || under_way > 0 && self.running.len() >= most {
            return None;
        }
        let id = self.waiting.get(&account)?.keys().next()?.clone();
        self.last.clone_from(&account);
        let run = self.begin(&account, &id);
        Some((id, run))
    }

    /// Takes a job out of its place to run it, whoever else waits. Returns the number of its run; `None` if it runs already.
    pub(super) fn take(&mut self, account: &str, id: &str) -> Option<u64> {
        let is_free = !self.running.contains_key(id);
        is_free.then(|| self.begin(account, id))
    }

    fn begin(&mut self, account: &str, id: &str) -> u64 {
        self.remove(account, id);
        *self.busy.entry(account.to_owned()).or_default() += 1;
        self.runs += 1;
        let running = Running {
            account: account.to_owned(),
            run: self.runs,
            stopper: None,
        };
        self.running.insert(id.to_owned(), running);
        self.runs
    }

    /// A run of a job has ended.
    pub(super) fn done(&mut self, id: &str, run: u64) {
        if self.running.get(id).is_some_and(|of| of.run == run)
            && let Some(Running { account, .. }) = self.running.remove(id)
            && let Some(busy) = self.busy.get_mut(&account)
        {
            *busy -= 1;
            if *busy == 0 {
                self.busy.remove(&account);
            }
        }
    }

    /// The accounts whose jobs wait for a token.
    pub(super) fn tokenless_accounts(&self) -> BTreeSet<String> {
        self.tokenless.keys().cloned().collect()
    }

    /// The jobs of an account that wait for a token.
    pub(super) fn tokenless_of(&self, account: &str) -> BTreeSet<String> {
        self.tokenless.get(account).cloned().unwrap_or_default()
    }

    /// The time at which something happens to a job next.
    pub(super) fn soonest(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Takes out the jobs whose time has come.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<String> {
        let mut due = Vec::new();
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.later.pop_first().map(|(_, id)| id));
        }
        for id in &due {
            self.times.remove(id);
        }
        due
    }
}
