//! Proxies and filters that answer in the service's place: they refuse valid requests, and acknowledge bytes that the
//! service never got.

use std::time::Duration;

use super::apply::{Applied, LOSSES};
use super::run::{Doubt, Stop};
use super::{State, Upload};
use crate::clock::Now;
use crate::secret::escaped::Escaped;
use crate::upload::event::{Event, LossCause, Notice, RetryCause};
use crate::upload::ledger::Running;
use crate::upload::reconcile::{Reading, Witness};
use crate::upload::retry::backoff;

/// A URL may be refused as expired this long before its hour ends: clocks differ, and an answer takes time.
const LATE: Duration = Duration::from_secs(5 * 60);

/// An acknowledged last chunk counts as lost if status has stayed below the end for this long.
pub(super) const SWALLOWED: Duration = Duration::from_secs(60);

impl Upload {
    /// Whether the URL of an open session is too young to have expired.
    pub(super) fn cannot_have_expired(&self, now: Now) -> bool {
        let State::Uploading { session, .. } = &self.state else {
            return false;
        };
        session.left(now).is_some_and(|left| left > LATE)
    }

    /// Handles a 403 for a chunk whose URL is young. A filter on the way may cause it, and would in any other session;
    /// but a session that has accepted chunks may have been ended.
    pub(super) fn barred(&mut self, now: Now, random: u64) -> Applied {
        let State::Uploading { session, confirmed } = &self.state else {
            return Applied::NOTHING;
        };
        let (age, works) = (session.age(now).unwrap_or_default(), *confirmed > 0);
        self.run.barred += 1;
        if self.run.barred < 3 {
            let wait = backoff(self.run.barred, random);
            return self.pause(wait, RetryCause::UrlRefused { age }, now);
        }
        if works {
            return self.lose_session(LossCause::UrlRefused);
        }
        let age = age.as_secs();
        self.stop(Stop::Spent(format!(
            "The upload host refuses each chunk (HTTP 403), by a URL that is {age} s old and lives an hour: a proxy or a filter on the way may answer so."
        )))
    }

    /// Prepares to send again all but the first `chunks` acknowledged chunks, which the service has lost; in the same
    /// session, unless this has happened too often.
    pub(super) fn rewind(&mut self, chunks: u32) -> Applied {
        if self.run.rewinds == LOSSES {
            return self.lose_session(LossCause::BytesLostAgain);
        }
        self.run.rewinds += 1;
        self.run.rewind = Some(chunks);
        let lost = self.confirmed_bytes() - self.plan().map_or(0, |plan| plan.border(chunks));
        Applied::told(Event::Notice(Notice::SentAgain { bytes: lost }))
    }

    /// Continues after the chunks that the service still has; the file holds the same bytes.
    pub(super) fn rewound(&mut self, running: Option<Running>) -> Applied {
        let (Some(chunks), Some(session)) = (self.run.rewind.take(), self.session().cloned())
        else {
            return Applied::NOTHING;
        };
        self.state = State::Uploading {
            session,
            confirmed: chunks,
        };
        self.hash_state = running.map(|running| running.store());
        self.sha256 = None;
        self.run.in_doubt = false;
        self.run.due_left = true;
        self.run.doubt = Doubt::default();
        Applied::SAVED
    }

    /// Every chunk was acknowledged, but status counts fewer bytes. Status may lag, or a gateway has answered in the
    /// service's place: once the number has not changed for long, the last chunk is in doubt again.
    pub(super) fn weigh_acknowledged(&mut self, uploaded: u64, now: Now) -> Applied {
        let arrived = self
            .plan()
            .is_none_or(|plan| uploaded.saturating_add(1) >= plan.video_size());
        if arrived {
            self.run.doubt = Doubt::default();
            return self.poll_again(now);
        }
        self.run.doubt.readings.push(Reading {
            by: Witness::Status,
            bytes: uploaded,
            at: now.boot,
        });
        let State::Processing {
            session: Some(session),
            ..
        } = &self.state
        else {
            return self.poll_again(now);
        };
        if self.run.swallowed == LOSSES || !self.stood_still_for(SWALLOWED) {
            return self.poll_again(now);
        }
        self.state = State::Sealed {
            session: session.clone(),
            acknowledged: true,
        };
        self.run.doubt = Doubt::default();
        self.run.in_doubt = true;
        self.run.due_left = true;
        self.run.swallowed += 1;
        self.run.processing_since = None;
        let size = self.size().unwrap_or(0);
        let bytes = uploaded;
        Applied::saved(Event::Notice(Notice::Incomplete { bytes, size }))
    }

    /// A notice of the fail reason that status names for a video still in processing; one for each reason.
    pub(super) fn remark(&mut self, reason: Option<String>) -> Option<Event> {
        let reason = reason
            .filter(|reason| !reason.is_empty() && self.run.remark.as_ref() != Some(reason))?;
        let fail_reason = Escaped::new(&reason).to_string();
        self.run.remark = Some(reason);
        Some(Event::Notice(Notice::MayFail { fail_reason }))
    }
}
