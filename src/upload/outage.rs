//! The network is out, or a source of tokens: one upload has waited for it as long as it may, and the others need not do so
//! one by one.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Now;

/// For how long the word of one upload holds. Then one more tries for itself.
const HOLDS: Duration = Duration::from_secs(120);

/// What one upload has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outage {
    /// What is wrong, in words.
    pub(crate) reason: String,
    /// Whether that was the host that takes chunks, which need not be that of the API.
    of_chunks: bool,
    /// On the clock that counts from boot.
    until: Duration,
}

/// What the uploads of one engine, and so of one API base, or of one source of tokens, have found.
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

    /// There is a connection to the host that takes chunks or to that of the API, or there is a token.
    pub(crate) fn end(&self, of_chunks: bool) {
        self.0.send_if_modified(|outage| {
            let over = outage
                .as_ref()
                .is_some_and(|outage| outage.of_chunks == of_chunks);
            over && outage.take().is_some()
        });
    }

    /// The outage that holds now.
    pub(crate) fn now(&self, now: Now) -> Option<Outage> {
        let outage = self.0.borrow();
        outage.clone().filter(|outage| now.boot < outage.until)
    }

    /// Waits until there is an outage.
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
