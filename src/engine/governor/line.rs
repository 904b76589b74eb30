//! The line of one account: the order in which its jobs were handed over is the order of their inits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::refused::RefusedTokens;
use super::windows::Windows;

/// The jobs of one account that wait, its windows, and what the service has refused to it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    queue: Mutex<Queue>,
    /// `None` for a single question beside another process that has the store.
    pub(super) windows: Option<Windows>,
    pub(super) refused: RefusedTokens,
}

#[derive(Debug, Default)]
struct Queue {
    /// The number of the next job.
    next: u64,
    /// The job that is first, and has been called.
    first: Option<u64>,
    /// Those behind it, by their numbers.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Line {
    pub(super) fn with(windows: Option<Windows>) -> Self {
        Self {
            windows,
            ..Self::default()
        }
    }

    /// Puts a job at the end of the line. That takes no waiting, so jobs that are handed over one after another stand in
    /// that order, whenever their tasks come to run.
    pub(crate) fn join(self: &Arc<Self>) -> Place {
        let mut queue = self.queue();
        let number = queue.next;
        queue.next += 1;
        drop(queue);
        let line = Arc::clone(self);
        Ticket { line, number }.join()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
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

/// A job's number in the line of its account, with which it can leave the line and come back to where it stood.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    line: Arc<Line>,
    number: u64,
}

impl Ticket {
    pub(crate) const fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Stands in line before all jobs with higher numbers that are not first already. A ticket has one place at a time.
    pub(crate) fn join(&self) -> Place {
        let called = Arc::new(Notify::new());
        let mut queue = self.line.queue();
        queue.waiting.insert(self.number, Arc::clone(&called));
        queue.call();
        drop(queue);
        Place {
            ticket: self.clone(),
            called,
        }
    }
}

/// A place in the line, until it is dropped.
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
        self.ticket.line.queue().first == Some(self.ticket.number)
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
        let mut queue = self.ticket.line.queue();
        queue.waiting.remove(&number);
        if queue.first == Some(number) {
            queue.first = None;
        }
        queue.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_go_in_the_order_of_their_numbers_whoever_comes_first() {
        let line = Arc::new(Line::default());
        let mut places: Vec<Place> = (0..4).map(|_| line.join()).collect();
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
        let last = line.join();
        drop(places.remove(0));
        drop(second);
        assert!(last.is_first());
    }
}
