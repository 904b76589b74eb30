//! Who may go now: first come, first served within an account, and fair between accounts.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::clock::{self, Now};
use crate::event::Behind;
use crate::retry::WINDOW;

/// Status questions that one account may ask within a minute. Source: Get Video Status.
const STATUS_A_MINUTE: usize = 30;

/// After the service has said that too many drafts wait, it is asked again at most this often: the creator may post one at
/// any time.
const ASK_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Waits shorter than this keep their room.
const SHORT: Duration = Duration::from_secs(1);

/// The accounts of one engine, and how many of its jobs are in flight.
#[derive(Debug)]
pub(crate) struct Governor {
    accounts: Mutex<HashMap<String, Arc<Line>>>,
    in_flight: Arc<Semaphore>,
}

/// The windows of one account, and its jobs that wait. The locks queue their waiters in order, so no job of an account starves another.
#[derive(Debug, Default)]
pub(crate) struct Line {
    first: Arc<FairMutex<()>>,
    status: FairMutex<VecDeque<Instant>>,
    pending_cap: Mutex<Option<(PendingCap, Duration)>>,
}

/// The service has said that too many drafts of this account wait.
#[derive(Debug, Clone)]
pub(crate) struct PendingCap {
    pub(crate) error: crate::answer::Refusal,
    /// When the oldest of these drafts no longer counts, at the latest.
    pub(crate) retry_at: SystemTime,
}

impl Governor {
    pub(crate) fn new(jobs: usize) -> Self {
        Self {
            accounts: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(jobs)),
        }
    }

    /// Waits until a job of this account is the first in its line, and then until there is room for it.
    ///
    /// Only the first of each line waits for room, so an account with a thousand jobs waits no less than one with two.
    /// `tell` is called once for each thing that the job has to wait for.
    pub(crate) async fn enter(&self, account: &str, tell: impl Fn(Behind)) -> Turn {
        let mut turn = Turn {
            line: self.line(account),
            in_flight: Arc::clone(&self.in_flight),
            first: None,
            room: None,
        };
        turn.line_up(tell).await;
        turn
    }

    /// The windows of an account.
    pub(crate) fn line(&self, account: &str) -> Arc<Line> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account.to_owned()).or_default())
    }
}

/// A job's place in the line of its account and among those in flight; given back when it is dropped.
pub(crate) struct Turn {
    line: Arc<Line>,
    in_flight: Arc<Semaphore>,
    first: Option<First>,
    room: Option<OwnedSemaphorePermit>,
}

/// The first place in the line of an account, until the last clone is dropped.
pub(crate) type First = Arc<OwnedMutexGuard<()>>;

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("first", &self.first.is_some())
            .field("room", &self.room.is_some())
            .finish_non_exhaustive()
    }
}

impl Turn {
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// Makes sure that it is the first in line: nobody else of this account asks for an init meanwhile.
    ///
    /// Who comes back to the line gives its room up first. Waiting for one while holding the other could go round in a
    /// circle.
    pub(crate) async fn line_up(&mut self, tell: impl Fn(Behind)) {
        if self.first.is_none() {
            self.room = None;
            let first = Arc::clone(&self.line.first);
            let place = match Arc::clone(&first).try_lock_owned() {
                Ok(place) => place,
                Err(_) => {
                    tell(Behind::Account);
                    first.lock_owned().await
                }
            };
            self.first = Some(Arc::new(place));
        }
        if self.room.is_none() {
            self.room = Arc::clone(&self.in_flight).try_acquire_owned().ok();
            if self.room.is_none() {
                tell(Behind::Jobs);
                self.make_room().await;
            }
        }
    }

    /// Waits for something, and leaves the room to others meanwhile unless that is short.
    pub(crate) async fn aside<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = pin!(what);
        if let Ok(done) = tokio::time::timeout(clock::real(SHORT), &mut what).await {
            return done;
        }
        let had_room = self.room.take().is_some();
        let done = what.await;
        if had_room {
            self.make_room().await;
        }
        done
    }

    /// A share of the first place in the line, if this job holds that place.
    pub(crate) fn first(&self) -> Option<First> {
        self.first.clone()
    }

    /// Lets the next one of the account be first.
    pub(crate) fn leave_line(&mut self) {
        self.first = None;
    }

    /// Lets others go while the service works: nothing is sent meanwhile.
    pub(crate) fn leave(&mut self) {
        self.first = None;
        self.room = None;
    }

    async fn make_room(&mut self) {
        if self.room.is_none() {
            // The semaphore is never closed.
            self.room = Arc::clone(&self.in_flight).acquire_owned().await.ok();
        }
    }
}

impl Line {
    /// Waits until one more status question fits into the window, and counts it.
    pub(crate) async fn status(&self) {
        let mut asked = self.status.lock().await;
        while asked.len() >= STATUS_A_MINUTE
            && let Some(first) = asked.front()
        {
            tokio::time::sleep_until(*first + clock::real(WINDOW)).await;
            asked.pop_front();
        }
        asked.push_back(Instant::now());
    }

    /// Counts one more status question if it fits into the window now.
    pub(crate) fn status_now(&self) -> bool {
        let Ok(mut asked) = self.status.try_lock() else {
            return false;
        };
        let gone = |at: &Instant| at.elapsed() >= clock::real(WINDOW);
        while asked.front().is_some_and(gone) {
            asked.pop_front();
        }
        let fits = asked.len() < STATUS_A_MINUTE;
        if fits {
            asked.push_back(Instant::now());
        }
        fits
    }

    /// Only the service knows which drafts wait. After it has said that they are too many, jobs of this account ask for no
    /// init until the oldest one no longer counts, or for some minutes.
    pub(crate) fn set_pending_cap(&self, cap: PendingCap, now: Now) {
        let left = cap.retry_at.duration_since(now.wall.into());
        let until = now.boot + left.unwrap_or_default().min(ASK_AGAIN);
        *self.lock_cap() = Some((cap, until));
    }

    /// What the service has said, if it is not to be asked again yet.
    pub(crate) fn pending_cap(&self, now: Now) -> Option<PendingCap> {
        let cap = self.lock_cap();
        let (cap, until) = cap.as_ref()?;
        (now.boot < *until).then(|| cap.clone())
    }

    fn lock_cap(&self) -> MutexGuard<'_, Option<(PendingCap, Duration)>> {
        self.pending_cap
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_minute_sees_more_than_thirty_questions() {
        let turns = Line::default();
        let mut times = Vec::new();
        for round in 0..95 {
            if round % 3 == 0 && turns.status_now() {
                times.push(Instant::now());
                continue;
            }
            turns.status().await;
            times.push(Instant::now());
        }
        for window in times.windows(STATUS_A_MINUTE + 1) {
            assert!(window[STATUS_A_MINUTE] - window[0] >= WINDOW);
        }
        while turns.status_now() {}
        assert_eq!(turns.status.lock().await.len(), STATUS_A_MINUTE);
    }

    #[test]
    fn a_cap_ends_after_some_minutes_or_when_the_oldest_draft_no_longer_counts() {
        let now = Now::read();
        for (draft_counts_for, ends_after) in [(0, 0), (60, 60), (24 * 3600, 300)] {
            let (counts_for, line) = (Duration::from_secs(draft_counts_for), Line::default());
            let error = crate::answer::Refusal {
                meaning: crate::answer::Meaning::PendingCap,
                http_status: 403,
                code: "spam_risk_too_many_pending_share".into(),
                message: String::new(),
                log_id: None,
                retry_after: None,
            };
            let retry_at = now.wall.plus(counts_for).into();
            line.set_pending_cap(PendingCap { error, retry_at }, now);
            let stands = |seconds| {
                let boot = now.boot + Duration::from_secs(seconds);
                line.pending_cap(Now { boot, ..now }).is_some()
            };
            assert!(
                ends_after == 0 || stands(ends_after - 1),
                "{draft_counts_for}"
            );
            assert!(!stands(ends_after + 1), "{draft_counts_for}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_long_leaves_its_room_and_who_waits_for_a_moment_keeps_it() {
        let governor = Governor::new(1);
        let mut turn = governor.enter("lena", |_| {}).await;
        let free = || governor.in_flight.available_permits();
        turn.aside(async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            assert_eq!(free(), 0);
        })
        .await;
        turn.aside(async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(free(), 1);
        })
        .await;
        assert_eq!(free(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_with_many_jobs_takes_no_room_from_one_with_few() {
        let governor = Arc::new(Governor::new(2));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = Vec::new();
        for account in ["many"; 50].into_iter().chain(["few"; 2]) {
            let (governor, order) = (Arc::clone(&governor), Arc::clone(&order));
            jobs.push(tokio::spawn(async move {
                let mut turn = governor.enter(account, |_| {}).await;
                turn.aside(clock::sleep(Duration::from_secs(10))).await;
                turn.leave_line();
                tokio::time::sleep(Duration::from_secs(1)).await;
                order.lock().unwrap().push(account);
            }));
        }
        for job in jobs {
            job.await.unwrap();
        }
        let order = order.lock().unwrap();
        assert!(order[..4].contains(&"few"), "{order:?}");
        assert_eq!(order.len(), 52);
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_that_come_back_to_the_line_never_wait_for_each_other() {
        let governor = Arc::new(Governor::new(1));
        let mut jobs = Vec::new();
        for _ in 0..20 {
            let governor = Arc::clone(&governor);
            jobs.push(tokio::spawn(async move {
                let mut turn = governor.enter("lena", |_| {}).await;
                for _ in 0..3 {
                    turn.leave_line();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    turn.line_up(|_| {}).await;
                }
            }));
        }
        let all = futures::future::join_all(jobs);
        let ended = tokio::time::timeout(Duration::from_secs(1000), all).await;
        assert_eq!(ended.expect("a circle").len(), 20);
    }
}
