//! Grants turns to jobs: first come, first served within an account, and fair between accounts.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as FairMutex, OwnedSemaphorePermit, Semaphore};

use crate::clock;
use crate::journal::{ApiAccount, ProgressStore};
use crate::upload::event::Behind;
use crate::upload::outage::Outages;

mod queue;
mod quota;
mod refused;

pub(crate) use queue::{AccountQueue, Place, Ticket};
use quota::Quota;

/// After the service has refused a token, it is asked again at most this often: a service may err.
const ASK_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Waits shorter than this keep their room.
const SHORT: Duration = Duration::from_secs(1);

/// The accounts of one engine, how many of its jobs are in flight, and whether the network is out for all of them.
#[derive(Debug)]
pub(crate) struct Scheduler {
    accounts: Mutex<HashMap<String, Arc<AccountQueue>>>,
    in_flight: Arc<Semaphore>,
    pub(crate) outages: Outages,
    /// The store that keeps the windows of each account, and the API base they belong to.
    kept: Option<(Arc<dyn ProgressStore>, String)>,
}

impl Scheduler {
    /// Counts the windows of each account in this store.
    pub(crate) fn keeping(mut self, store: Arc<dyn ProgressStore>, api_base: &str) -> Self {
        self.kept = Some((store, api_base.to_owned()));
        self
    }

    pub(crate) fn new(jobs: usize) -> Self {
        Self {
            kept: None,
            accounts: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(jobs)),
            outages: Outages::default(),
        }
    }

    /// Waits until a job is the first in the queue of its account, and then until there is room for it.
    ///
    /// Only the first of each queue waits for room, so an account with a thousand jobs waits no less than one with two.
    /// `tell` is called once for each reason to wait.
    pub(crate) async fn enter(&self, place: Place, tell: impl Fn(Behind)) -> Turn {
        let mut turn = Turn {
            ticket: place.ticket(),
            in_flight: Arc::clone(&self.in_flight),
            first: None,
            room: None,
        };
        turn.queue_at(place, tell).await;
        turn
    }

    /// The queue of an account, and its quota.
    pub(crate) fn queue(&self, account: &str) -> Arc<AccountQueue> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = accounts.entry(account.to_owned()).or_insert_with(|| {
            let kept = self.kept.as_ref();
            let quota = kept.map(|(store, api_base)| Quota {
                store: Arc::clone(store),
                of: ApiAccount {
                    account: account.to_owned(),
                    api_base: api_base.clone(),
                },
                asking: FairMutex::default(),
            });
            Arc::new(AccountQueue::with(quota))
        });
        Arc::clone(queue)
    }
}

/// A job's place in the queue of its account and among those in flight; given back when it is dropped.
pub(crate) struct Turn {
    ticket: Ticket,
    in_flight: Arc<Semaphore>,
    first: Option<Place>,
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
    pub(crate) fn queue(&self) -> &Arc<AccountQueue> {
        self.ticket.queue()
    }

    /// Makes sure that it is the first in the queue: nobody else of this account asks for an init meanwhile. A job that has left
    /// the queue goes to its end.
    pub(crate) async fn queue_up(&mut self, tell: impl Fn(Behind)) {
        if self.first.is_none() {
            let place = self.queue().join();
            self.queue_at(place, tell).await;
        } else {
            self.make_room_telling(tell).await;
        }
    }

    /// Releases the job's room before it queues again: holding one while waiting for the other could deadlock.
    async fn queue_at(&mut self, mut place: Place, tell: impl Fn(Behind)) {
        self.room = None;
        if !place.is_first() {
            tell(Behind::Account);
            place.first().await;
        }
        self.first = Some(place);
        self.make_room_telling(tell).await;
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

    /// Lets the next one of the account be first.
    pub(crate) fn leave_queue(&mut self) {
        self.first = None;
    }

    /// Lets others go while the service works: nothing is sent meanwhile.
    pub(crate) fn leave(&mut self) {
        self.first = None;
        self.room = None;
    }

    async fn make_room_telling(&mut self, tell: impl Fn(Behind)) {
        if self.room.is_none() {
            self.room = Arc::clone(&self.in_flight).try_acquire_owned().ok();
        }
        if self.room.is_none() {
            tell(Behind::Jobs);
            self.make_room().await;
        }
    }

    async fn make_room(&mut self) {
        if self.room.is_none() {
            // The semaphore is never closed.
            self.room = Arc::clone(&self.in_flight).acquire_owned().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn enter(scheduler: &Scheduler, account: &str) -> Turn {
        scheduler
            .enter(scheduler.queue(account).join(), |_| {})
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_long_leaves_its_room_and_who_waits_for_a_moment_keeps_it() {
        let scheduler = Scheduler::new(1);
        let mut turn = enter(&scheduler, "lena").await;
        let free = || scheduler.in_flight.available_permits();
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
        let scheduler = Arc::new(Scheduler::new(2));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut jobs = Vec::new();
        for account in ["many"; 50].into_iter().chain(["few"; 2]) {
            let (scheduler, order) = (Arc::clone(&scheduler), Arc::clone(&order));
            jobs.push(tokio::spawn(async move {
                let mut turn = enter(&scheduler, account).await;
                turn.aside(clock::sleep(Duration::from_secs(10))).await;
                turn.leave_queue();
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
        let scheduler = Arc::new(Scheduler::new(1));
        let mut jobs = Vec::new();
        for _ in 0..20 {
            let scheduler = Arc::clone(&scheduler);
            jobs.push(tokio::spawn(async move {
                let mut turn = enter(&scheduler, "lena").await;
                for _ in 0..3 {
                    turn.leave_queue();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    turn.queue_up(|_| {}).await;
                }
            }));
        }
        let all = futures::future::join_all(jobs);
        let ended = tokio::time::timeout(Duration::from_secs(1000), all).await;
        assert_eq!(ended.expect("a circle").len(), 20);
    }
}
