//! The journal: the state of every upload, durable before anything depends on it.

use std::time::SystemTime;

use crate::clock::Timestamp;
#[cfg(fuzzing)]
use crate::upload::Upload;

#[cfg(test)]
mod conformance;
mod creators;
pub(crate) mod durable;
mod history;
mod local;
mod lock;
#[cfg(test)]
mod memory;
pub(crate) mod own;
pub(crate) mod queue;
mod record;
mod sealed;
mod state_dir;
mod status;
mod store;
mod store_error;
mod windows;

pub use record::{FileIdentity, Record, Story};
pub use state_dir::StateDir;

pub(crate) use creators::Creator;
pub(crate) use local::SledStore;
#[cfg(test)]
pub(crate) use memory::MemoryStore;
#[cfg(all(test, feature = "emulator"))]
pub(crate) use store::Answer;
pub(crate) use store::{
    ApiAccount, Ask, Found, Grant, Lease, PendingCap, ProgressStore, Question, Rate, Recall,
    Reservation, Reserved, Trait,
};
pub(crate) use store_error::StoreError;

/// The row in a text of the journal, if the text is one.
#[cfg(fuzzing)]
pub(crate) fn read_row(text: &[u8]) -> Option<Upload> {
    history::row(text).ok()?
}

fn stamp(time: Timestamp) -> SystemTime {
    time.into()
}
