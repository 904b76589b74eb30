//! Who may call now: the windows of each account, first come, first served.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex as FairMutex, MutexGuard};
use tokio::time::Instant;

/// Status questions that one account may ask within a minute. Source: Get Video Status.
const STATUS_A_MINUTE: usize = 30;

const WINDOW: Duration = Duration::from_secs(60);

/// The accounts of one engine.
#[derive(Debug, Default)]
pub(crate) struct Governor(Mutex<HashMap<String, Arc<Turns>>>);

/// The turns of one account. Both locks queue their waiters in order, so no job of an account starves another.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    init: FairMutex<()>,
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
    pub(crate) fn turns(&self, account: &str) -> Arc<Turns> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(account.to_owned()).or_default())
    }
}

impl Turns {
    /// Held while a slot for an init is waited for and taken.
    pub(crate) async fn init(&self) -> MutexGuard<'_, ()> {
        self.init.lock().await
    }

    /// Waits until one more status question fits into the window, and counts it.
    pub(crate) async fn status(&self) {
        let mut asked = self.status.lock().await;
        while asked.len() >= STATUS_A_MINUTE {
            if let Some(first) = asked.pop_front() {
                tokio::time::sleep_until(first + WINDOW).await;
            }
        }
        asked.push_back(Instant::now());
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
        let turns = Turns::default();
        let mut times = Vec::new();
        for _ in 0..95 {
            turns.status().await;
            times.push(Instant::now());
        }
        for window in times.windows(STATUS_A_MINUTE + 1) {
            assert!(window[STATUS_A_MINUTE] - window[0] >= WINDOW);
        }
    }
}
