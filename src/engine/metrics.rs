//! What engines have done so far, in numbers, as a snapshot for whoever shows or stores them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod cells;
mod counters;

pub(crate) use counters::{Asked, Counters as Cells, Stage, Store, Underway};

/// Counters of one engine, or of several engines and accounts that share them by
/// [`Options::counters`](crate::Options::counters). Cheap to clone; all clones are the same counters, which begin at 0 and live as
/// long as the last of them.
#[derive(Debug, Clone, Default)]
pub struct Counters(pub(crate) Arc<Cells>);

impl Counters {
    /// Counters that stand at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was counted up to now; without [`Metrics::queue`], which only [`Engine::metrics`](crate::Engine::metrics) knows.
    pub fn metrics(&self) -> Metrics {
        self.0.read()
    }
}

/// What engines have done since their [`Counters`] began, and what they do now.
///
/// Numbers of a snapshot were read one after another, so two of them may differ by what happened in between. Words come from
/// fixed lists: a word that is in none of them is counted as `other`.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Requests to the service by their call (`init`, `put`, `status`, `cancel`, `user_info`, `token`, `revoke`, and `preflight` of
    /// a URL) and by what came of them: the HTTP status or the service's code of an error, else `no_connection`, `untrusted`,
    /// `no_answer`, `unreadable` (an answer that is not understood), `source` (the file could not be read on), `cut` (nobody waits
    /// for the answer any more) or `other`.
    pub requests: BTreeMap<(&'static str, &'static str), u64>,
    /// How long requests took by their call; those that were cut are left out.
    pub request_seconds: BTreeMap<&'static str, Histogram>,
    /// Bytes of videos that were handed to connections, repeats included.
    pub bytes_sent: u64,
    /// Bytes of videos that the service has acknowledged, or has fetched from a URL. Bytes count again if the service has lost them.
    pub bytes_confirmed: u64,
    /// Requests that were sent again, by the words of [`RetryCause`](crate::RetryCause).
    pub retries: BTreeMap<&'static str, u64>,
    /// Inits that may have reached the service.
    pub inits: u64,
    /// How long uploads have waited in sum because an account's inits of the last minute had reached the limit.
    pub init_wait: Duration,
    /// Runs of uploads that have ended: `delivered`, `already_delivered`, `sent`, or the word of an
    /// [`ErrorKind`](crate::ErrorKind::as_str).
    pub ended: BTreeMap<&'static str, u64>,
    /// Uploads now: `queued` (they wait for their turn), `running`, or `processing` (the service has all bytes or fetches them).
    pub uploads: BTreeMap<&'static str, u64>,
    /// How long the upload URL that ends next is still good; `None` while no upload has one.
    pub url_left: Option<Duration>,
    /// How long steps of the store took: `begin` (the intent of an init), `submit` (a new upload), `save` (an upload), `accept` (a
    /// job) and `change` (a job).
    pub store: BTreeMap<&'static str, Spent>,
    /// Renewals of tokens of accounts that log in: `renewed`, `login` (the refresh token is refused: the creator must log in
    /// again), or `failed` (another answer, or none).
    pub token_refreshes: BTreeMap<&'static str, u64>,
    /// The jobs of the queue that have not ended, by account; `None` for an engine that runs no queue.
    pub queue: Option<BTreeMap<String, Jobs>>,
}

/// How many times something was done, and how long that took in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// How many times.
    pub count: u64,
    /// In all.
    pub total: Duration,
}

/// How long something took, each time.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Histogram {
    /// Upper bounds in seconds, rising, and how many took at most so long.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// All together.
    pub total: Duration,
}

/// The jobs of an account that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Jobs {
    /// Jobs that wait for their turn, or for the time at which they are tried again.
    pub queued: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that are held back.
    pub paused: u64,
    /// Jobs that wait for a person, by the word of [`JobEnd::outcome`](crate::JobEnd::outcome).
    pub parked: BTreeMap<&'static str, u64>,
    /// For how long the oldest of the jobs that could run now waits for its turn; `None` if none does.
    pub oldest_runnable: Option<Duration>,
}
