//! The counters themselves. Each is counted at the one place where the thing happens; bytes cost no lock and no allocation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Metrics;
use super::cells::{Cell, Timer, Times, Words};
use crate::answer::{Call, Failure};
use crate::clock::{self, Now};
use crate::error::kind::ErrorKind;
use crate::tiktok::codes;
use crate::upload::event::RetryCause;

/// What is counted of a request that has no answer, or none that is understood.
const UNANSWERED: [&str; 6] = [
    "no_connection",
    "untrusted",
    "no_answer",
    "unreadable",
    "source",
    "cut",
];

/// HTTP statuses with a name in the registry; others are counted as `other`.
#[rustfmt::skip]
const STATUSES: [&str; 60] = [
    "100", "101", "102", "103", "200", "201", "202", "203", "204", "205", "206", "207", "208", "226", "300", "301", "302", "303",
    "304", "305", "307", "308", "400", "401", "402", "403", "404", "405", "406", "407", "408", "409", "410", "411", "412", "413",
    "414", "415", "416", "417", "421", "422", "423", "424", "425", "426", "428", "429", "431", "451", "500", "501", "502", "503",
    "504", "505", "506", "507", "508", "511",
];

/// The last word of each list.
const OTHER: &str = "other";

/// How runs of uploads end well.
const GOOD: [&str; 3] = ["delivered", "already_delivered", "sent"];

/// Where an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Queued,
    Running,
    Processing,
}

impl Stage {
    const ALL: [(Self, &str); 3] = [
        (Self::Queued, "queued"),
        (Self::Running, "running"),
        (Self::Processing, "processing"),
    ];
}

/// A step of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Begin,
    Submit,
    Save,
    Accept,
    Change,
}

impl Store {
    const ALL: [(Self, &str); 5] = [
        (Self::Begin, "begin"),
        (Self::Submit, "submit"),
        (Self::Save, "save"),
        (Self::Accept, "accept"),
        (Self::Change, "change"),
    ];
}

#[derive(Debug)]
pub(crate) struct Counters {
    /// By call, and what came of it.
    requests: [Words; Call::ALL.len()],
    times: [Times; Call::ALL.len()],
    sent: Cell,
    confirmed: Cell,
    retries: Words,
    inits: Cell,
    init_wait: Cell,
    ended: Words,
    stages: [Cell; Stage::ALL.len()],
    /// When upload URLs end on the clock that counts from boot, by the numbers of their uploads.
    urls: Mutex<BTreeMap<u64, Duration>>,
    /// The number of the next upload.
    next: AtomicU64,
    store: [Timer; Store::ALL.len()],
    refreshes: Words,
}

impl Default for Counters {
    fn default() -> Self {
        let codes = UNANSWERED.into_iter().chain(STATUSES);
        let codes: Vec<_> = codes.chain(codes::words()).chain([OTHER]).collect();
        Self {
            requests: std::array::from_fn(|_| Words::new(codes.iter().copied())),
            times: Default::default(),
            sent: Cell::default(),
            confirmed: Cell::default(),
            retries: Words::new(RetryCause::WORDS.into_iter().chain([OTHER])),
            inits: Cell::default(),
            init_wait: Cell::default(),
            ended: Words::new(GOOD.into_iter().chain(ErrorKind::WORDS).chain([OTHER])),
            stages: Default::default(),
            urls: Mutex::default(),
            next: AtomicU64::new(0),
            store: Default::default(),
            refreshes: Words::new(["renewed", "login", "failed"]),
        }
    }
}

impl Counters {
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.add(bytes);
    }

    pub(crate) fn confirmed(&self, bytes: u64) {
        self.confirmed.add(bytes);
    }

    pub(crate) fn retried(&self, cause: &RetryCause) {
        self.retries.add(cause.as_str());
    }

    pub(crate) fn init(&self) {
        self.inits.add(1);
    }

    pub(crate) fn waited_for_init(&self, wait: Duration) {
        self.init_wait.add_time(wait);
    }

    /// A run of an upload has ended, by the word of its outcome.
    pub(crate) fn ended(&self, outcome: &str) {
        self.ended.add(outcome);
    }

    /// A renewal of tokens has ended: `renewed`, `login` or `failed`.
    pub(crate) fn refreshed(&self, outcome: &str) {
        self.refreshes.add(outcome);
    }

    /// Makes a step of a store, and counts how long that takes.
    pub(crate) async fn timed<T>(&self, step: Store, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = work.await;
        self.spent(step, started.elapsed());
        done
    }

    /// A step of a store has taken so long.
    pub(crate) fn spent(&self, step: Store, took: Duration) {
        self.store[step as usize].add(took);
    }

    /// A request is about to leave.
    pub(crate) fn ask(self: &Arc<Self>, call: Call) -> Asked {
        Asked {
            counters: Arc::clone(self),
            call,
            started: Instant::now(),
            is_over: false,
        }
    }

    /// An upload has begun, and waits for its turn.
    pub(crate) fn upload(self: &Arc<Self>) -> Underway {
        self.stages[Stage::Queued as usize].add(1);
        Underway {
            counters: Arc::clone(self),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            stage: Stage::Queued,
            url_ends: None,
        }
    }

    fn urls(&self) -> MutexGuard<'_, BTreeMap<u64, Duration>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read(&self) -> Metrics {
        let mut requests = BTreeMap::new();
        let mut request_seconds = BTreeMap::new();
        for (call, (words, times)) in Call::ALL.iter().zip(self.requests.iter().zip(&self.times)) {
            let counts = words.read().into_iter().filter(|(_, count)| *count > 0);
            requests.extend(counts.map(|(code, count)| ((call.as_str(), code), count)));
            request_seconds.insert(call.as_str(), times.read());
        }
        let now = Now::read().boot;
        let soonest = self.urls().values().min().copied();
        let stages = Stage::ALL.iter().zip(&self.stages);
        let steps = Store::ALL.iter().zip(&self.store);
        Metrics {
            requests,
            request_seconds,
            bytes_sent: self.sent.read(),
            bytes_confirmed: self.confirmed.read(),
            retries: self.retries.read(),
            inits: self.inits.read(),
            init_wait: self.init_wait.read_time(),
            ended: self.ended.read(),
            uploads: stages
                .map(|((_, word), cell)| (*word, cell.read()))
                .collect(),
            url_left: soonest.map(|ends| clock::real(ends.saturating_sub(now))),
            store: steps
                .map(|((_, word), timer)| (*word, timer.read()))
                .collect(),
            token_refreshes: self.refreshes.read(),
            queue: None,
        }
    }
}

/// An HTTP status as text, without an allocation.
fn digits(status: u16) -> [u8; 3] {
    [100, 10, 1].map(|place| b'0' + (status / place % 10) as u8)
}

/// A request on its way. If nobody waits for its end, it counts as cut.
#[derive(Debug)]
pub(crate) struct Asked {
    counters: Arc<Counters>,
    call: Call,
    pub(crate) started: Instant,
    is_over: bool,
}

impl Asked {
    /// The request has an answer with this HTTP status, or has none.
    pub(crate) fn over<T>(mut self, status: Option<u16>, result: &Result<T, Failure>) {
        self.is_over = true;
        self.counters.times[self.call as usize].add(self.started.elapsed());
        let digits = status.map(digits);
        let number = digits
            .as_ref()
            .and_then(|digits| str::from_utf8(digits).ok());
        self.count(match result {
            Ok(_) => number.unwrap_or(OTHER),
            Err(Failure::Refused(refusal) | Failure::Faulty(refusal) | Failure::Busy(refusal)) => {
                match refusal.code.strip_prefix("http_") {
                    Some(status) => status,
                    None if codes::is_code(&refusal.code) => &refusal.code,
                    None => number.unwrap_or(OTHER),
                }
            }
            Err(Failure::NotSent(_)) => "no_connection",
            Err(Failure::Untrusted(_)) => "untrusted",
            Err(Failure::Lost(_)) if number.is_some() => "unreadable",
            Err(Failure::Lost(_)) => "no_answer",
            Err(Failure::Source(_)) => "source",
            Err(Failure::Token(_) | Failure::Host(_)) => OTHER,
        });
    }

    fn count(&self, code: &str) {
        self.counters.requests[self.call as usize].add(code);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_over {
            self.count("cut");
        }
    }
}

/// An upload that is under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct Underway {
    counters: Arc<Counters>,
    number: u64,
    stage: Stage,
    url_ends: Option<Duration>,
}

impl Underway {
    pub(crate) fn is(&mut self, stage: Stage) {
        if stage != self.stage {
            self.counters.stages[stage as usize].add(1);
            self.counters.stages[self.stage as usize].take(1);
            self.stage = stage;
        }
    }

    /// The upload has a URL that ends at this time of the clock that counts from boot, or has none.
    pub(crate) fn url_ends(&mut self, at: Option<Duration>) {
        if at != self.url_ends {
            let mut urls = self.counters.urls();
            match at {
                Some(at) => urls.insert(self.number, at),
                None => urls.remove(&self.number),
            };
            drop(urls);
            self.url_ends = at;
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.url_ends(None);
        self.counters.stages[self.stage as usize].take(1);
    }
}
