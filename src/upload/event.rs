//! What happens while an upload runs: changes as events, quantities as a snapshot. The library never prints.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::upload::plan::Plan;

mod cause;
mod notice;

pub use cause::{LossCause, RetryCause, WaitCause};
pub use notice::{Notice, Shortfall};

/// A change in the life of one upload, in the order it happens.
///
/// Events are few (none per buffer); how many bytes are on their way is in [`Progress`]. No event holds a secret. Causes are
/// values with a `Display` for people and a word for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Other jobs of this engine go first. Nothing of the video was looked at yet, unless an earlier session was lost.
    Queued {
        /// What it waits for.
        behind: Behind,
    },
    /// The file is read and its bytes are compared with those of earlier uploads of the same size.
    Comparing,
    /// What is to be done is fixed; nothing was asked of the service yet.
    Planned {
        /// The upload's id in the journal.
        id: String,
        /// The service's name of it, if an earlier run has opened a session.
        publish_id: Option<String>,
        /// How the file is cut; `None` where the service fetches a URL itself.
        plan: Option<Plan>,
        /// Bytes the service has acknowledged in earlier runs.
        confirmed: u64,
    },
    /// Nothing can be sent before this wait is over.
    Waiting {
        /// For what.
        cause: WaitCause,
        /// How long.
        wait: Duration,
    },
    /// The service opened a session; chunks follow.
    SessionOpened {
        /// The service's name of this upload.
        publish_id: String,
    },
    /// The service has taken the URL and fetches it; how far it is, status says.
    Pulling {
        /// The service's name of this upload.
        publish_id: String,
    },
    /// A chunk was acknowledged and recorded: it is never sent again in this session.
    ChunkAccepted {
        /// Number of the chunk, from 0.
        index: u32,
        /// Bytes acknowledged so far.
        confirmed: u64,
    },
    /// A request failed and is made again after a wait.
    Retry {
        /// What failed.
        cause: RetryCause,
        /// How long until then.
        wait: Duration,
    },
    /// The session can't be used any more; bytes go from the start into a new one.
    SessionLost {
        /// Why.
        cause: LossCause,
    },
    /// Every byte is acknowledged; the service works on the video.
    Processing {
        /// The service's name of this upload.
        publish_id: String,
    },
    /// Something unexpected that does no harm, worth a line in a log.
    Notice(Notice),
}

/// What a job waits for before its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Behind {
    /// Other jobs of its account: their inits go one after another.
    Account,
    /// Other uploads: as many are in flight as [`Options::jobs`](crate::Options::jobs) allows.
    Jobs,
    /// Another upload that may be of the same video.
    Video,
}

/// How far an upload is, in bytes. A snapshot; take it as often as you draw.
///
/// In each snapshot `confirmed <= sent <= total` and `bytes_resent <= bytes_sent`. Where a session is lost, `sent` and
/// `confirmed` go back to 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Size of the video; 0 until it is known. Of a URL whose host does not state its size: as `sent`.
    pub total: u64,
    /// Handed to the socket, of the file from its start: acknowledged ones and those on their way. Of a URL, as
    /// `confirmed`.
    pub sent: u64,
    /// Acknowledged by the service and recorded, in this run or before; of a URL, fetched by the service.
    pub confirmed: u64,
    /// Put on the wire by this run, repeats included.
    pub bytes_sent: u64,
    /// Of these, what this run had put on the wire before.
    pub bytes_resent: u64,
    /// Inits of this upload that may have reached the service, in all runs.
    pub inits: u32,
}

/// The [`Progress`] of an upload: written by the engine and the body on the wire, read by whoever draws.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    progress: Progress,
    /// Bytes of this session that were on the wire at some time: what lies below is a repeat.
    high_water: u64,
}

impl Tally {
    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The video has `bytes`.
    pub(crate) fn set_total(&self, bytes: u64) {
        let progress = &mut self.counters().progress;
        progress.total = bytes.max(progress.sent);
    }

    /// So many inits were asked for.
    pub(crate) fn set_inits(&self, inits: u32) {
        self.counters().progress.inits = inits;
    }

    /// The service has `confirmed` bytes of the video, and this run has sent none behind these yet.
    pub(crate) fn start_at(&self, confirmed: u64) {
        let mut counters = self.counters();
        counters.high_water = confirmed;
        counters.progress.sent = confirmed;
        counters.progress.confirmed = confirmed;
        counters.progress.total = counters.progress.total.max(confirmed);
    }

    /// `bytes` of the file from `offset` on were handed to the socket.
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

    /// The service has `bytes` of the video from its start on.
    pub(crate) fn confirm(&self, bytes: u64) {
        let progress = &mut self.counters().progress;
        progress.confirmed = bytes;
        progress.sent = progress.sent.max(bytes);
        progress.total = progress.total.max(progress.sent);
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
                    _ => tally.confirm(one),
                }
                let now = tally.snapshot();
                prop_assert!(now.confirmed <= now.sent && now.sent <= now.total, "{now:?}");
                prop_assert!(now.bytes_resent <= now.bytes_sent, "{now:?}");
            }
        }
    }
}
