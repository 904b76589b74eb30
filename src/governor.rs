//! Who may go now: first come, first served within an account, and fair between accounts.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::clock;
use crate::retry::WINDOW;

/// Status questions that one account may ask within a minute. Source: Get Video Status.
const STATUS_A_MINUTE: usize = 30;

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
    pending_cap: Mutex<Option<PendingCap>>,
}

/// The service has said that too many drafts of this account wait.
#[derive(Debug, Clone)]
pub(crate) struct PendingCap {
    pub(crate) error: crate::wire::ServiceError,
    pub(crate) retry_at: Option<SystemTime>,
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
    pub(crate) async fn enter(&self, account: &str) -> Turn {
        let line = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(accounts.entry(account.to_owned()).or_default())
        };
        let mut turn = Turn {
            line,
            in_flight: Arc::clone(&self.in_flight),
            first: None,
            room: None,
        };
        turn.line_up().await;
        turn
    }
}

/// A job's place in the line of its account and among those in flight; given back when it is dropped.
pub(crate) struct Turn {
    line: Arc<Line>,
    in_flight: Arc<Semaphore>,
    first: Option<OwnedMutexGuard<()>>,
    room: Option<OwnedSemaphorePermit>,
}

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
    pub(crate) async fn line_up(&mut self) {
        if self.first.is_none() {
            self.room = None;
            self.first = Some(Arc::clone(&self.line.first).lock_owned().await);
        }
        self.make_room().await;
    }

    /// Waits as the first in line, and leaves the room to others meanwhile.
    pub(crate) async fn stand_by(&mut self, wait: Duration) {
        self.room = None;
        clock::sleep(wait).await;
        self.make_room().await;
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

    /// Only the service knows which drafts wait; after it has said so, this run's other jobs ask for no init.
    pub(crate) fn set_pending_cap(&self, cap: PendingCap) {
        *self
            .pending_cap
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(cap);
    }

    pub(crate) fn pending_cap(&self) -> Option<PendingCap> {
        self.pending_cap
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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

    #[tokio::test(start_paused = true)]
    async fn an_account_with_many_jobs_takes_no_room_from_one_with_few() {
        let governor = Arc::new(Governor::new(2));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = Vec::new();
        for account in ["many"; 50].into_iter().chain(["few"; 2]) {
            let (governor, order) = (Arc::clone(&governor), Arc::clone(&order));
            jobs.push(tokio::spawn(async move {
                let mut turn = governor.enter(account).await;
                turn.stand_by(Duration::from_secs(10)).await;
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
                let mut turn = governor.enter("lena").await;
                for _ in 0..3 {
                    turn.leave_line();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    turn.line_up().await;
                }
            }));
        }
        let all = futures::future::join_all(jobs);
        let ended = tokio::time::timeout(Duration::from_secs(1000), all).await;
        assert_eq!(ended.expect("a circle").len(), 20);
    }
}
