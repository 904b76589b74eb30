//! Facts that a row keeps about how its upload went, and the secret that the store keeps apart.

use std::time::Duration;

use serde::Serializer;

use super::{ROW_VERSION, State, Upload};
use crate::answer::Failure;
use crate::secret::Secret;

/// Most `log_id`s and chunk times in a row. The row is written again with each chunk, so it stays short.
const LOG_IDS: usize = 4;
const CHUNK_TIMES: usize = 32;

/// Most characters of a `log_id`; the service's have 34.
const LOG_ID: usize = 100;

/// Adds to a list of at most `most` items, and drops the oldest.
fn keep<T>(list: &mut Vec<T>, item: T, most: usize) {
    if list.len() >= most {
        list.remove(0);
    }
    list.push(item);
}

impl Upload {
    pub(super) fn keep_log_id(&mut self, error: &Failure) {
        let (Failure::Refused(refusal) | Failure::Busy(refusal) | Failure::Faulty(refusal)) = error
        else {
            return;
        };
        if let Some(log_id) = &refusal.log_id {
            let log_id = log_id.chars().take(LOG_ID).collect();
            keep(&mut self.log_ids, log_id, LOG_IDS);
        }
    }

    pub(super) fn keep_chunk_time(&mut self, took: Duration) {
        let took = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        keep(&mut self.chunk_times, took, CHUNK_TIMES);
    }

    /// The upload URL of the session, which the row's text leaves out and the store keeps apart. Its holder can send
    /// bytes.
    pub(crate) const fn secret(&self) -> Option<&Secret> {
        match &self.state {
            State::Uploading { session, .. }
            | State::Sealed { session, .. }
            | State::Processing {
                session: Some(session),
                ..
            } => Some(&session.upload_url),
            _ => None,
        }
    }

    /// Puts the upload URL back after reading.
    pub(crate) fn set_secret(&mut self, secret: Secret) {
        match &mut self.state {
            State::Uploading { session, .. }
            | State::Sealed { session, .. }
            | State::Processing {
                session: Some(session),
                ..
            } => session.upload_url = secret,
            _ => {}
        }
    }
}

/// Writes a row of any earlier version as one of today. A newer version stays as it is, and is refused.
pub(super) fn version<S: Serializer>(read: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(ROW_VERSION.max(*read))
}
