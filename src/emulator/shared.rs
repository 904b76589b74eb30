//! The state that all connections of one server share.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::admission::Hosts;
use super::service::Service;
use super::settings::Settings;
use super::storage::Storage;

/// Most pulls that run at a time, and most webhooks that are delivered at a time.
const AT_A_TIME: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    service: Mutex<Service>,
    /// The rate limit for all PUT bodies together.
    pub(crate) pace: Pace,
    /// The storage for received files; without it nothing is kept.
    pub(crate) storage: Option<Storage>,
    /// The host names under which this server answers.
    pub(crate) hosts: Hosts,
    /// The origin of upload URLs, if it is not the request's.
    pub(crate) upload_origin: Option<String>,
    /// Whether bodies are discarded.
    pub(crate) sink: bool,
    /// Notified when a webhook's receiver is registered.
    pub(crate) registered: Notify,
    /// Permits for running pulls.
    pub(crate) pulls: Semaphore,
    /// Permits for deliveries of webhooks.
    pub(crate) deliveries: Semaphore,
    panic: Mutex<Option<String>>,
    started: std::time::Instant,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        storage: Option<Storage>,
        hosts: Hosts,
        origin: Option<String>,
        sink: bool,
    ) -> Self {
        Self {
            service: Mutex::new(Service::new(settings)),
            pace: Pace::default(),
            storage,
            hosts,
            upload_origin: origin,
            sink,
            registered: Notify::new(),
            pulls: Semaphore::new(AT_A_TIME),
            deliveries: Semaphore::new(AT_A_TIME),
            panic: Mutex::default(),
            started: std::time::Instant::now(),
        }
    }

    /// Locks the state of the service; do not hold the guard across an await.
    pub(crate) fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the start, on a clock that cannot be set.
    pub(crate) fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Runs a future to its end or its panic; keeps the panic for the server's owner.
    pub(crate) async fn guard<T>(self: Arc<Self>, future: impl Future<Output = T>) -> Option<T> {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(value) => Some(value),
            Err(panic) => {
                let mut slot = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                slot.get_or_insert_with(|| panic_text(&*panic));
                None
            }
        }
    }

    /// The first panic of the server, if there was one.
    pub(crate) fn take_panic(&self) -> Option<String> {
        let mut slot = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Shorter waits are left to the next piece: a timer is about a millisecond late, and with small pieces that would
/// reduce the rate far below the wanted one.
const GRAIN: Duration = Duration::from_millis(20);

/// Spreads bytes evenly over time.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits until `bytes` more may pass at `rate` bytes a second.
    pub(crate) async fn pass(&self, bytes: u64, rate: u64) {
        let now = Instant::now();
        let until = self.reserve(now, bytes, rate);
        if until > now + GRAIN {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Reserves the next free stretch of time; unused time is not saved.
    fn reserve(&self, now: Instant, bytes: u64, rate: u64) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let until = next.map_or(now, |next| next.max(now)) + takes;
        *next = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_kept_for_the_owner_and_only_once() {
        let shared = Arc::new(Shared::new(
            Settings::default(),
            None,
            Hosts::default(),
            None,
            false,
        ));
        let guarded = Arc::clone(&shared).guard(async { panic!("it broke") });
        assert_eq!(guarded.await, None::<()>);
        assert_eq!(shared.take_panic().as_deref(), Some("it broke"));
        assert_eq!(shared.take_panic(), None);
    }

    #[test]
    fn two_senders_share_one_rate_and_a_pause_is_not_made_up_for() {
        let pace = Pace::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(pace.reserve(now, 1_000, 1_000), now + second);
        assert_eq!(pace.reserve(now, 2_000, 1_000), now + 3 * second);
        assert_eq!(
            pace.reserve(now + 60 * second, 1_000, 1_000),
            now + 61 * second
        );
    }
}
