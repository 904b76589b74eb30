//! Which jobs of a queue are meant, and the jobs that are, a page at a time.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::record::word_of;
use super::{JobRecord, Queue};
use crate::engine::Engine;
use crate::error::Error;
use crate::journal::queue::JobRow;
use crate::secret::escaped::Escaped;

/// Rows that are in memory at once while jobs are looked for.
pub(super) const PAGE: usize = 1_000;

/// Which jobs of the queue are meant: those to which all applies that is set here. By default all jobs are.
///
/// ```
/// use chunkferry::JobFilter;
///
/// let night = JobFilter::new().account("lena").label("night", "7").state("parked");
/// assert_ne!(night, JobFilter::new());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a filter does nothing until an engine is asked with it"]
pub struct JobFilter {
    account: Option<String>,
    labels: BTreeMap<String, String>,
    state: Option<String>,
    since: Option<SystemTime>,
}

impl JobFilter {
    /// The states that jobs can be in: see [`JobRecord::state`].
    pub const STATES: [&'static str; 5] = ["queued", "running", "paused", "parked", "ended"];

    /// All jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only jobs for the account of this name.
    pub fn account(mut self, name: &str) -> Self {
        self.account = Some(name.to_owned());
        self
    }

    /// Only jobs that have this label with this value. With several labels, only jobs that have all of them.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Only jobs in this state, one of [`STATES`](Self::STATES).
    pub fn state(mut self, state: &str) -> Self {
        self.state = Some(state.to_owned());
        self
    }

    /// Only jobs that were accepted at this time or later.
    pub const fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    fn check(&self) -> Result<(), Error> {
        match &self.state {
            Some(state) if !Self::STATES.contains(&state.as_str()) => Err(Error::usage(format!(
                "No job has the state \"{}\": it is one of {}.",
                Escaped::new(state),
                Self::STATES.join(", ")
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a job that has ended cannot be meant.
    fn is_open(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state != "ended")
    }

    /// Whether a job in this state can be meant: of what a filter asks for, the state alone can change.
    pub(super) fn fits_state(&self, row: &JobRow, running: bool) -> bool {
        let state = word_of(row, running);
        self.state.as_ref().is_none_or(|wanted| wanted == state)
    }

    pub(super) fn fits(&self, job: &JobRecord) -> bool {
        let has = |(name, value): (&String, &String)| job.labels.get(name) == Some(value);
        self.account
            .as_ref()
            .is_none_or(|name| job.account == *name)
            && self.labels.iter().all(has)
            && self.state.as_ref().is_none_or(|state| job.state == *state)
            && self.since.is_none_or(|since| job.created >= since)
    }
}

/// The jobs that fit a filter, of one page of rows after another.
pub(super) struct Pages<'a> {
    queue: &'a Queue,
    filter: &'a JobFilter,
    after: Option<String>,
    size: usize,
    is_last: bool,
}

impl<'a> Pages<'a> {
    /// Begins after a job's id. Pages have `size` rows.
    pub(super) fn new(
        queue: &'a Queue,
        filter: &'a JobFilter,
        after: Option<&str>,
        size: usize,
    ) -> Result<Self, Error> {
        filter.check()?;
        Ok(Self {
            queue,
            filter,
            after: after.map(str::to_owned),
            size,
            is_last: false,
        })
    }

    /// Those of the next page, which may be none; `None` when there are no more rows.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<JobRecord>>, Error> {
        if self.is_last {
            return Ok(None);
        }
        let dispatch = &self.queue.dispatch;
        let (after, open) = (self.after.clone(), self.filter.is_open());
        let rows = dispatch.store.jobs(after, self.size, open).await?;
        self.is_last = rows.len() < self.size;
        if let Some(last) = rows.last() {
            self.after = Some(last.id.clone());
        }
        let records = rows.into_iter().map(|row| dispatch.record(row));
        Ok(Some(records.filter(|job| self.filter.fits(job)).collect()))
    }
}

impl Engine {
    /// At most `limit` jobs of the queue that fit the filter, ended or not, in the order in which they were accepted: the first ones, or
    /// those after a job's id. If only few of many jobs fit, all rows are read for them; a filter for a state in which jobs have not
    /// ended reads only those that have not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a state that no job has; otherwise as [`job`](Self::job).
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, Error> {
        let size = match *filter == JobFilter::new() {
            true => limit,
            false => PAGE,
        };
        let mut pages = Pages::new(self.queue()?, filter, after, size)?;
        let mut jobs = Vec::new();
        while jobs.len() < limit {
            let Some(page) = pages.next().await? else {
                break;
            };
            jobs.extend(page);
        }
        jobs.truncate(limit);
        Ok(jobs)
    }

    /// How many jobs of the queue fit the filter: what a change of them all would be about.
    ///
    /// # Errors
    ///
    /// As [`jobs`](Self::jobs).
    pub async fn count_jobs(&self, filter: &JobFilter) -> Result<u64, Error> {
        let mut pages = Pages::new(self.queue()?, filter, None, PAGE)?;
        let mut count = 0;
        while let Some(page) = pages.next().await? {
            count += page.len() as u64;
        }
        Ok(count)
    }
}
