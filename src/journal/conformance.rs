//! What any store must do, whatever it is made of: one suite, run against each store there is.
//!
//! A new store gets a [`Rig`], and a line in [`suite`].

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::local::SledStore;
use super::memory::MemoryStore;
use super::store::*;
use super::store_error::StoreError;
use crate::answer::{Failure, Meaning, Refusal};
use crate::clock::{Now, StoreClock, Timestamp};
use crate::upload::plan::{Limits, Plan};
use crate::upload::{Address, Destination, Identity, Key, Origin, Reply, State, Upload, Video};

mod fencing;
mod reading;
mod windows;

/// A store under test.
struct Rig {
    store: Arc<dyn ProgressStore>,
    clock: StoreClock,
    /// All that anybody may read of a store: rows, and whatever is written of them elsewhere.
    readable: Box<dyn Fn() -> String + Send + Sync>,
    /// How many secrets it keeps.
    secrets: Box<dyn Fn() -> usize + Send + Sync>,
    /// Where several processes can share a store: another one of them, and how long a lease lasts.
    fleet: Option<(Arc<dyn ProgressStore>, Duration)>,
    _dir: Option<tempfile::TempDir>,
}

impl Rig {
    fn local() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SledStore::open(dir.path(), "conformance").expect("opened");
        let (readable, secrets) = (store.clone(), store.clone());
        Self {
            clock: store.clock().clone(),
            readable: Box::new(move || readable.readable()),
            secrets: Box::new(move || secrets.secrets()),
            store: Arc::new(store),
            fleet: None,
            _dir: Some(dir),
        }
    }

    fn memory() -> Self {
        let lease = Duration::from_secs(30);
        let store = MemoryStore::new(lease);
        let (readable, secrets) = (store.another_owner(), store.another_owner());
        Self {
            clock: store.clock().clone(),
            readable: Box::new(move || readable.readable()),
            secrets: Box::new(move || secrets.secrets()),
            fleet: Some((Arc::new(store.another_owner()), lease)),
            store: Arc::new(store),
            _dir: None,
        }
    }

    /// Reserves a video, which nobody else has.
    async fn reserve(&self, row: &Upload) -> Reservation {
        alone(&*self.store, row).await.expect("nobody has it")
    }

    /// Inserts a row and gives its video back.
    async fn submit(&self, row: &Upload) -> Lease {
        let reservation = self.reserve(row).await;
        let lease = self.store.submit(&reservation, row.clone()).await;
        self.store.free(&reservation);
        lease.expect("submitted")
    }

    async fn save(&self, lease: Lease, row: &mut Upload) -> Result<(), StoreError> {
        self.store.save(lease, row.saved_next(), None).await
    }

    /// Inserts a row, and saves its delivery.
    async fn deliver(&self, mut row: Upload) -> Upload {
        let lease = self.submit(&row).await;
        row.state = delivered(&row);
        self.save(lease, &mut row).await.expect("saved");
        row
    }

    /// The row as the store has it.
    async fn stored(&self, row: &Upload) -> Option<Upload> {
        let found = self.store.find(row.key.clone()).await.expect("found");
        found.rows.into_iter().find(|found| found.id == row.id)
    }
}

async fn alone(store: &dyn ProgressStore, row: &Upload) -> Option<Reservation> {
    let fingerprint = row.fingerprint().map(str::to_owned);
    match store.reserve(row.key.clone(), fingerprint).await {
        Ok(Reserved::Alone(reservation)) => Some(reservation),
        Ok(Reserved::HeldBy { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn upload(account: &str, size: u64) -> Upload {
    let key = Key {
        account: account.into(),
        api_base: "https://api.example".into(),
        destination: Destination::Inbox,
        video: Video::Size(size),
    };
    let identity = Identity {
        device: 1,
        inode: 2,
        size,
        mtime_ns: 3,
        ctime_ns: Some(4),
        proves: true,
    };
    let origin = Origin::Media {
        address: Address::File("/videos/clip.mp4".into()),
        identity,
        fingerprint: Some("f1".into()),
        content_type: "video/mp4".into(),
        plan: Plan::new(size, &Limits::DOCUMENTED, 5_242_880).expect("legal"),
    };
    Upload::new(key, origin, true, Now::read())
}

fn delivered(row: &Upload) -> State {
    State::Delivered {
        publish_id: format!("v~{}", row.id),
        at: row.created,
    }
}

/// Polls a step once and drops it, as a job does that is cancelled.
fn drop_half_way<T>(step: Answer<'_, T>) {
    let mut step = step;
    let mut nobody = Context::from_waker(Waker::noop());
    let _ = step.as_mut().poll(&mut nobody);
}

/// Runs each of these tests against each store.
macro_rules! suite {
    ($($test:ident)*) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::Rig::local()).await;
            })*
        }
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::Rig::memory()).await;
            })*
        }
    };
}

use suite;
