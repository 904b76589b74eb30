//! An outage of the network or of a token source, shared by uploads: once one upload has waited for as long as it may,
//! the others stop at once.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Now;

/// How long an outage counts without being seen again. Then one more upload tries.
const HOLDS: Duration = Duration::from_secs(120);

/// An outage that an upload has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outage {
    /// The reason, as text.
    pub(crate) reason: String,
    /// Whether the host that takes chunks is out of reach; it need not be the API's host.
    of_chunks: bool,
    /// End, on the clock that counts from boot.
    until: Duration,
}

/// The outages of one API base, or of one token source, shared by the uploads of an engine.
#[derive(Debug, Default)]
pub(crate) struct Outages(watch::Sender<Option<Outage>>);

impl Outages {
    /// An upload has waited in vain for as long as it may.
    pub(crate) fn begin(&self, reason: &str, of_chunks: bool, now: Now) {
        self.0.send_replace(Some(Outage {
            reason: reason.to_owned(),
            of_chunks,
            until: now.boot + HOLDS,
        }));
    }

    /// Ends the outage: the upload host or the API has accepted a connection, or there is a token.
    pub(crate) fn end(&self, of_chunks: bool) {
        self.0.send_if_modified(|outage| {
            let over = outage
                .as_ref()
                .is_some_and(|outage| outage.of_chunks == of_chunks);
            over && outage.take().is_some()
        });
    }

    /// The outage at this time.
    pub(crate) fn now(&self, now: Now) -> Option<Outage> {
        let outage = self.0.borrow();
        outage.clone().filter(|outage| now.boot < outage.until)
    }

    /// Waits for an outage.
    pub(crate) async fn begins(&self) {
        let mut outage = self.0.subscribe();
        while self.now(Now::read()).is_none() {
            // The sender lives as long as `self`.
            let _ = outage.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_holds_for_two_minutes_or_until_a_request_leaves_to_the_same_host() {
        let (outages, now) = (Outages::default(), Now::read());
        let holds = |after: u64| {
            let boot = now.boot + Duration::from_secs(after);
            outages.now(Now { boot, ..now }).is_some()
        };
        assert!(!holds(0));
        outages.begin("no route", true, now);
        assert!(holds(119) && !holds(120));
        outages.end(false);
        assert!(holds(0), "the API answers, and chunks do not arrive");
        outages.end(true);
        assert!(!holds(0));
    }
}
