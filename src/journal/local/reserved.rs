//! Videos that are reserved. One process owns the directory, so they need not outlive it, and no lease ends before it does.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoreError;
use crate::journal::store::{Lease, Owner, Reservation, Reserved};
use crate::upload::Key;

/// The videos, and the epoch of each reservation.
#[derive(Debug, Default)]
pub(super) struct Reservations(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    videos: HashMap<(Key, Option<String>), u64>,
    last: u64,
}

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reserve(&self, owner: Owner, video: (Key, Option<String>)) -> Reserved {
        let mut held = self.lock();
        if held.videos.contains_key(&video) {
            return Reserved::HeldBy { ends_in: None };
        }
        held.last += 1;
        let lease = Lease {
            owner,
            epoch: held.last,
        };
        held.videos.insert(video.clone(), lease.epoch);
        Reserved::Alone(Reservation { video, lease })
    }

    pub(super) fn free(&self, reservation: &Reservation) {
        let mut held = self.lock();
        if held.videos.get(&reservation.video) == Some(&reservation.lease.epoch) {
            held.videos.remove(&reservation.video);
        }
    }

    /// Whether a reservation holds, under which a row of this id is to be inserted.
    pub(super) fn check(&self, reservation: &Reservation, id: &str) -> Result<(), StoreError> {
        match self.lock().videos.get(&reservation.video) {
            Some(epoch) if *epoch == reservation.lease.epoch => Ok(()),
            _ => Err(StoreError::Fenced(id.to_owned())),
        }
    }
}
