//! The queue of one account: the order in which its jobs were handed over is the order of their inits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::quota::Quota;
use super::refused::RefusedTokens;

/// The jobs of one account that wait, its windows, and the tokens that the service has refused.
#[derive(Debug, Default)]
pub(crate) struct AccountQueue {
    order: Mutex<Order>,
    /// `None` for a single question beside another process that has the store.
    pub(super) quota: Option<Quota>,
    pub(super) refused: RefusedTokens,
}

#[derive(Debug, Default)]
struct Order {
    /// The number of the next job.
    next: u64,
    /// The job that is first, and has been called.
    first: Option<u64>,
    /// Those behind it, by their numbers.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl AccountQueue {
    pub(super) fn with(quota: Option<Quota>) -> Self {
        Self {
            quota,
            ..Self::default()
        }
    }

    /// Puts a job at the end of the queue, without waiting: jobs keep the order in which they were submitted, whenever their
    /// tasks run.
    pub(crate) fn join(self: &Arc<Self>) -> Place {
        let mut order = self.order();
        let number = order.next;
        order.next += 1;
        drop(order);
        let queue = Arc::clone(self);
        Ticket { queue, number }.join()
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Order {
    /// Calls the job with the lowest number, unless another one is first.
    fn call(&mut self) {
        if self.first.is_none()
            && let Some((number, called)) = self.waiting.pop_first()
        {
            self.first = Some(number);
            called.notify_one();
        }
    }
}

/// A job's number in the queue of its account, with which it can leave the queue and come back to where it stood.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    queue: Arc<AccountQueue>,
    number: u64,
}

impl Ticket {
    pub(crate) const fn queue(&self) -> &Arc<AccountQueue> {
        &self.queue
    }

    /// Queues before all jobs with higher numbers that are not first already. A ticket has one place at a time.
    pub(crate) fn join(&self) -> Place {
        let called = Arc::new(Notify::new());
        let mut order = self.queue.order();
        order.waiting.insert(self.number, Arc::clone(&called));
        order.call();
        drop(order);
        Place {
            ticket: self.clone(),
            called,
        }
    }
}

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    ticket: Ticket,
    called: Arc<Notify>,
}

impl Place {
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }

    pub(super) fn is_first(&self) -> bool {
        self.ticket.queue.order().first == Some(self.ticket.number)
    }

    /// Waits until this job is the first.
    pub(super) async fn first(&mut self) {
        while !self.is_first() {
            self.called.notified().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.ticket.number;
        let mut order = self.ticket.queue.order();
        order.waiting.remove(&number);
        if order.first == Some(number) {
            order.first = None;
        }
        order.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_go_in_the_order_of_their_numbers_whoever_comes_first() {
        let queue = Arc::new(AccountQueue::default());
        let mut places: Vec<Place> = (0..4).map(|_| queue.join()).collect();
        let is_first = |places: &[Place]| places.iter().position(Place::is_first);
        assert_eq!(is_first(&places), Some(0));
        // The second one waits for something else, and comes back while the third one is first.
        let second = places[1].ticket();
        drop(places.remove(1));
        drop(places.remove(0));
        assert_eq!(places[0].ticket.number, 2);
        assert!(places[0].is_first());
        let mut second = second.join();
        assert!(!second.is_first(), "nobody is pushed away");
        drop(places.remove(0));
        second.first().await;
        assert!(!places[0].is_first());
        // Whoever goes while it waits holds nobody up.
        let last = queue.join();
        drop(places.remove(0));
        drop(second);
        assert!(last.is_first());
    }
}
