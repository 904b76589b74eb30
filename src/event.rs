//! What happens while an upload runs: changes as events, quantities as a snapshot. The library never prints.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::plan::Plan;

/// A change in the life of one upload, in the order it happens.
///
/// Events are few (none per buffer); how many bytes are on their way is in [`Progress`]. No event holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
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
        /// For what, as a short phrase.
        reason: String,
        /// How long.
        wait: Duration,
    },
    /// The service opened a session; chunks follow.
    SessionOpened {
        /// The service's name of this upload.
        publish_id: String,
    },
    /// The service has taken the URL and fetches it; how far it is, status tells.
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
        reason: String,
        /// How long until then.
        wait: Duration,
    },
    /// The session can't be used any more; bytes go from the start into a new one.
    SessionLost {
        /// Why.
        reason: String,
    },
    /// Every byte is acknowledged; the service works on the video.
    Processing {
        /// The service's name of this upload.
        publish_id: String,
    },
    /// Something unexpected that does no harm, worth a line in a log.
    Notice {
        /// What was seen.
        text: String,
    },
}

/// How far an upload is, in bytes. A snapshot; take it as often as you draw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Size of the video; 0 until it is known.
    pub total: u64,
    /// Handed to the socket, of the file from its start: acknowledged ones and those on their way. Of a URL, as
    /// `confirmed`.
    pub sent: u64,
    /// Acknowledged by the service and recorded; of a URL, fetched by the service.
    pub confirmed: u64,
    /// Put on the wire by this run, repeats included.
    pub bytes_sent: u64,
    /// Of these, what this run had put on the wire before.
    pub bytes_resent: u64,
    /// Inits of this upload that were asked for, in all runs.
    pub inits: u32,
}

/// The counters behind [`Progress`]: written by the engine and the body on the wire, read by whoever draws.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) total: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) confirmed: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_resent: AtomicU64,
    pub(crate) inits: AtomicU32,
    /// Bytes of this session that were on the wire at some time: what lies below is a repeat.
    pub(crate) high_water: AtomicU64,
}

impl Tally {
    /// `bytes` of the file from `offset` on were handed to the socket.
    pub(crate) fn count(&self, offset: u64, bytes: u64) {
        let end = offset + bytes;
        let before = self.high_water.fetch_max(end, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
        self.bytes_resent.fetch_add(
            bytes - end.saturating_sub(before).min(bytes),
            Ordering::Relaxed,
        );
        self.sent.store(end, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Progress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Progress {
            total: read(&self.total),
            sent: read(&self.sent),
            confirmed: read(&self.confirmed),
            bytes_sent: read(&self.bytes_sent),
            bytes_resent: read(&self.bytes_resent),
            inits: self.inits.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
