//! The events of an upload, and its progress as a snapshot. The library never prints.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::upload::plan::Plan;

mod cause;
mod notice;

pub use cause::{LossCause, RetryCause, WaitCause};
pub use notice::{Notice, Shortfall};

/// A change in the life of one upload, in the order it happens.
///
/// Events are few (none per buffer); [`Progress`] counts the bytes in flight. No event holds a secret. Causes are values
/// with a `Display` for people and a word for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Other jobs of this engine go first. The video has not been opened yet, unless an earlier session was lost.
    Queued {
        /// The jobs it waits for.
        behind: Behind,
    },
    /// The file is read and its bytes are compared with those of earlier uploads of the same size.
    Comparing,
    /// The plan is fixed; no request has been sent yet.
    Planned {
        /// The upload's id in the journal.
        id: String,
        /// The `publish_id`, if an earlier run has opened a session.
        publish_id: Option<String>,
        /// How the file is cut; `None` where the service fetches a URL itself.
        plan: Option<Plan>,
        /// Bytes the service has acknowledged in earlier runs.
        confirmed: u64,
    },
    /// Nothing can be sent before this wait is over.
    Waiting {
        /// Why it waits.
        cause: WaitCause,
        /// For how long.
        wait: Duration,
    },
    /// The service opened a session; chunks follow.
    SessionOpened {
        /// The `publish_id` of this upload.
        publish_id: String,
    },
    /// The service has accepted the URL and fetches it; status shows how far it is.
    Pulling {
        /// The `publish_id` of this upload.
        publish_id: String,
    },
    /// A chunk was acknowledged and recorded: it is never sent again in this session.
    ChunkAccepted {
        /// Number of the chunk, from 0.
        index: u32,
        /// Bytes acknowledged so far.
        confirmed: u64,
    },
    /// A request failed and is sent again after a wait.
    Retry {
        /// What failed.
        cause: RetryCause,
        /// How long the wait is.
        wait: Duration,
    },
    /// The session can't be used any more; a new one starts from the first byte.
    SessionLost {
        /// Why.
        cause: LossCause,
    },
    /// Every byte is acknowledged; the service processes the video.
    Processing {
        /// The `publish_id` of this upload.
        publish_id: String,
    },
    /// Something unexpected that does no harm, worth a line in a log.
    Notice(Notice),
}

/// The jobs that a queued job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Behind {
    /// Other jobs of its account: their inits go one after another.
    Account,
    /// Other uploads: the number in flight is at [`Options::jobs`](crate::Options::jobs).
    Jobs,
    /// Another upload that may be of the same video.
    Video,
}

/// The progress of an upload in bytes. A snapshot; take it as often as you draw.
///
/// In each snapshot `confirmed <= sent <= total` and `bytes_resent <= bytes_sent`. When a session is lost, `sent` and
/// `confirmed` go back to 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Size of the video; 0 until it is known. Of a URL whose host does not state the size: the same as `sent`.
    pub total: u64,
    /// Bytes from the start of the file that were handed to the socket, acknowledged or in flight. Of a URL, the same as
    /// `confirmed`.
    pub sent: u64,
    /// Acknowledged by the service and recorded, in this run or before; of a URL, fetched by the service.
    pub confirmed: u64,
    /// Put on the wire by this run, repeats included.
    pub bytes_sent: u64,
    /// Bytes of `bytes_sent` that this run had sent before.
    pub bytes_resent: u64,
    /// Inits of this upload that may have reached the service, over all runs.
    pub inits: u32,
}

/// The [`Progress`] of an upload: written by the engine and by the body in flight, read by the caller.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    progress: Progress,
    /// Bytes of this session that were sent at some time; bytes below are repeats.
    high_water: u64,
}

impl Tally {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the size of the video.
    pub(crate) fn set_total(&self, bytes: u64) {
        let progress = &mut self.counters().progress;
        progress.total = bytes.max(progress.sent);
    }

    /// Sets the number of inits that may have left.
    pub(crate) fn set_inits(&self, inits: u32) {
        self.counters().progress.inits = inits;
    }

    /// The service has `confirmed` bytes of the video, and this run has sent none beyond them yet.
    pub(crate) fn start_at(&self, confirmed: u64) {
        let mut counters = self.counters();
        counters.high_water = confirmed;
        counters.progress.sent = confirmed;
        counters.progress.confirmed = confirmed;
        counters.progress.total = counters.progress.total.max(confirmed);
    }

    /// Counts `bytes` of the file from `offset` on, which were handed to the socket.
    pub(crate) fn count(&self, offset: u64, bytes: u64) {
        let mut counters = self.counters();
        let end = offset + bytes;
        let new = end.saturating_sub(counters.high_water).min(bytes);
        counters.high_water = counters.high_water.max(end);
        let progress = &mut counters.progress;
        progress.bytes_sent += bytes;
        progress.bytes_resent += bytes - new;
        // A body that outlives its request may count late.
        progress.sent = end.max(progress.confirmed);
        progress.total = progress.total.max(progress.sent);
    }

    /// The service has the first `bytes` of the video; how many of them are new.
    pub(crate) fn confirm(&self, bytes: u64) -> u64 {
        let progress = &mut self.counters().progress;
        let new = bytes.saturating_sub(progress.confirmed);
        progress.confirmed = bytes;
        progress.sent = progress.sent.max(bytes);
        progress.total = progress.total.max(progress.sent);
        new
    }

    pub(crate) fn snapshot(&self) -> Progress {
        self.counters().progress
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_was_on_the_wire_before_counts_as_sent_again() {
        let tally = Tally::default();
        tally.count(0, 100);
        tally.count(100, 50);
        assert_eq!(tally.snapshot().bytes_resent, 0);
        tally.count(100, 80);
        let progress = tally.snapshot();
        assert_eq!(
            (progress.bytes_sent, progress.bytes_resent, progress.sent),
            (230, 50, 180)
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_in_whatever_order_no_more_is_confirmed_than_sent_or_sent_than_there_is(
            steps in prop::collection::vec((0..4_u8, 0..1000_u64, 0..1000_u64), 0..50)
        ) {
            let tally = Tally::default();
            for (step, one, other) in steps {
                match step {
                    0 => tally.set_total(one),
                    1 => tally.start_at(one),
                    2 => tally.count(one, other),
                    _ => drop(tally.confirm(one)),
                }
                let now = tally.snapshot();
                prop_assert!(now.confirmed <= now.sent && now.sent <= now.total, "{now:?}");
                prop_assert!(now.bytes_resent <= now.bytes_sent, "{now:?}");
            }
        }
    }
}
