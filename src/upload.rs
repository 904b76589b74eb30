//! One upload: the domain object, the state machine and the row of the journal in one type.
//!
//! [`Upload::step`] returns the next step, and [`Upload::apply`] changes the row by its result. Both are pure: the clock
//! and the random number are arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Now, Timestamp};
use crate::error::Error;
use crate::upload::event::LossCause;
use crate::upload::ledger::Running;
use crate::upload::plan::{Chunk, Plan};

mod apply;
mod doubt;
pub(crate) mod event;
mod gateway;
mod init;
pub(crate) mod ledger;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod origin;
pub(crate) mod outage;
mod pace;
pub(crate) mod plan;
mod put;
mod receipt;
mod reconcile;
pub(crate) mod retry;
mod run;
mod state;

pub(crate) use apply::{Applied, Reply};
pub(crate) use origin::{Address, Destination, Identity, Key, Origin, Video};
pub(crate) use run::{Lack, RunLimits, Stop};
pub(crate) use state::{Session, State};

use run::Run;

/// Version of the row in the journal; newer ones are refused, unknown fields of the same one are ignored. Rows of version 1
/// hold the upload URL of their session; since version 2 the store keeps it beside the row.
pub(crate) const ROW_VERSION: u32 = 2;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// The version as it was read; the row is written in today's version.
    #[serde(serialize_with = "receipt::version")]
    pub(crate) version: u32,
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) key: Key,
    pub(crate) origin: Origin,
    /// The state of the running hash at the confirmed border; `None` without a ledger.
    #[serde(rename = "running")]
    pub(crate) hash_state: Option<String>,
    /// SHA-256 of the whole file, known once the upload is sealed.
    pub(crate) sha256: Option<String>,
    pub(crate) state: State,
    /// Acknowledged chunks of a file when the upload ended as failed or unknown; rows of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed_at_end: Option<u32>,
    /// Raised by each claim. Only the store reads and writes it; the caller's lease decides whether a row may be
    /// written.
    pub(crate) epoch: u64,
    /// Raised by each save. A late save, whose caller was dropped, has an older number and changes nothing.
    pub(crate) revision: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) totals: Totals,
    /// Whether the token of the last init belonged to the creator of the account's first upload.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) creator_known: bool,
    /// The `log_id`s of the service's last refusals, the newest last; its support asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_ids: Vec<String>,
    /// Milliseconds that the last accepted chunks took, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) chunk_times: Vec<u32>,
    /// Notes of the caller. Nothing sets them yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) run: Run,
}

/// Totals over all runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Inits that may have left this machine.
    pub(crate) inits: u32,
    /// Inits whose answer was lost.
    pub(crate) lost_inits: u32,
    /// Sessions that could not be continued.
    pub(crate) lost_sessions: u32,
    /// Calls and chunks that were sent again after a wait; rows of version 1 lack it.
    pub(crate) retries: u32,
}

/// The next step of an upload.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing, for this long.
    Wait(Duration),
    /// Record the intent, take a slot of the account's window, and send the init.
    Init,
    /// Send this chunk; of the last chunk, all but the withheld bytes.
    Put(Chunk),
    /// Send the withheld bytes of the chunk in flight: the row is sealed.
    Release,
    /// Count this chunk, which the service has, by hashing it from the file.
    Adopt(Chunk),
    /// The service has only this many of the chunks that it acknowledged: hash the file up to there.
    Rewind(u32),
    /// Ask for the status.
    Ask,
    /// End the session: the hour of its URL is over, or too short for the next chunk.
    Expire(LossCause),
    /// End this run.
    Stop(Stop),
    /// The upload has ended, or is handed over.
    Done,
}

impl Upload {
    pub(crate) fn new(key: Key, origin: Origin, ledger: bool, now: Now) -> Self {
        Self {
            version: ROW_VERSION,
            id: format!("{:016x}", fastrand::u64(..)),
            key,
            origin,
            hash_state: ledger.then(|| Running::default().store()),
            sha256: None,
            state: State::Queued,
            confirmed_at_end: None,
            epoch: 0,
            revision: 0,
            created: now.wall,
            updated: now.wall,
            totals: Totals::default(),
            creator_known: false,
            log_ids: Vec::new(),
            chunk_times: Vec::new(),
            labels: BTreeMap::new(),
            run: Run {
                in_doubt: false,
                ..Run::default()
            },
        }
    }

    pub(crate) fn step(&self, now: Now) -> Step {
        if let Some(stop) = &self.run.stop {
            return Step::Stop(stop.clone());
        }
        if self.run.at_gate {
            return Step::Release;
        }
        if let Some(wait) = self
            .run
            .not_before
            .and_then(|at| at.checked_sub(now.boot))
            .filter(|wait| !wait.is_zero())
        {
            return Step::Wait(wait);
        }
        match &self.state {
            State::InitIntent if self.is_stranded() => Step::Done,
            State::Queued | State::InitIntent => Step::Init,
            State::Uploading { session, .. } if session.left(now) == Some(Duration::ZERO) => {
                Step::Expire(LossCause::HourOver)
            }
            State::Uploading { .. } | State::Sealed { .. } => match self.due() {
                _ if let Some(chunks) = self.run.rewind => Step::Rewind(chunks),
                Some(chunk) if self.run.adopt => Step::Adopt(chunk),
                Some(chunk) if !self.run.in_doubt => self.put(chunk, now),
                _ => Step::Ask,
            },
            State::Pulling { .. } | State::Processing { .. } if self.run.limits.hand_over => {
                Step::Done
            }
            State::Pulling { .. } | State::Processing { .. } => Step::Ask,
            State::Delivered { .. }
            | State::Published { .. }
            | State::Failed { .. }
            | State::GivenUp { .. }
            | State::Unknown { .. } => Step::Done,
        }
    }

    /// Sends a chunk, unless its URL expires before the chunk can arrive. A sealed upload tries even then: only the
    /// service knows whether it has the video.
    fn put(&self, chunk: Chunk, now: Now) -> Step {
        match &self.state {
            State::Uploading { session, .. } if self.comes_too_late(&chunk, session, now) => {
                Step::Expire(LossCause::HourTooShort)
            }
            _ => Step::Put(chunk),
        }
    }

    /// Whether the init itself is the post: no bytes follow it, so an init without an answer may have made a draft.
    pub(crate) const fn is_posted_by_init(&self) -> bool {
        matches!(self.origin, Origin::Url { .. })
    }

    /// Whether an earlier process stopped between such an init and the record of its answer. Only the creator can see
    /// whether there is a draft.
    pub(crate) fn is_stranded(&self) -> bool {
        matches!(self.state, State::InitIntent) && self.run.in_doubt && self.is_posted_by_init()
    }

    /// Whether a draft of this upload may exist, so that another init needs the service's answer first.
    pub(crate) const fn may_be_posted(&self) -> bool {
        self.state.may_be_complete()
            || matches!(self.state, State::InitIntent) && self.is_posted_by_init()
    }

    /// Whether nothing is left to send: the service fetches the video or processes it.
    pub(crate) const fn is_at_service(&self) -> bool {
        matches!(self.state, State::Pulling { .. } | State::Processing { .. })
    }

    /// Whether the upload needs more bytes from this machine.
    pub(crate) fn misses_bytes(&self) -> bool {
        let open = matches!(
            self.state,
            State::Queued | State::InitIntent | State::Uploading { .. }
        );
        open && !self.has_ended() || matches!(self.state, State::GivenUp { .. })
    }

    /// Whether nothing more happens to this upload unless its user asks for it.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.is_final() || self.is_stranded()
    }

    /// The row with the outcome "unknown", for a caller that stops following the upload.
    pub(crate) fn as_unknown(&self, why: &str, at: Timestamp) -> Self {
        let mut unknown = self.clone();
        unknown.park(why, at);
        unknown
    }

    /// The row as its owner would save it next, without a change.
    #[cfg(any(test, measuring))]
    pub(crate) fn saved_next(&mut self) -> Self {
        self.revise();
        self.clone()
    }

    /// Whether this row includes all of the note `told`: this row is as new, or has ended, or the note was made
    /// when bytes that may complete this same session were about to leave. An init that is itself the post has no
    /// session yet.
    pub(crate) fn knows(&self, told: &Self) -> bool {
        let session = self.state.publish_id();
        let same_session = session.is_some() && session == told.state.publish_id();
        self.revision >= told.revision
            || self.state.is_final()
            || same_session && matches!(told.state, State::Unknown { .. })
    }

    /// The next chunk to send; `None` once all are acknowledged or the upload has ended.
    pub(crate) fn due(&self) -> Option<Chunk> {
        let (plan, confirmed) = (self.plan()?, self.confirmed());
        let missing = confirmed < plan.chunk_count() && !self.state.is_final();
        missing.then(|| plan.chunk(confirmed))
    }

    /// Number of the current attempt at the next init or chunk, from 1.
    pub(crate) const fn attempt(&self) -> u32 {
        match self.state {
            State::Queued | State::InitIntent => self.run.failed.count + self.run.lost_inits + 1,
            _ => self.run.failed.count + 1,
        }
    }

    /// Chunks acknowledged and recorded.
    pub(crate) fn confirmed(&self) -> u32 {
        let all = self.plan().map_or(0, Plan::chunk_count);
        let all_but_last = all.saturating_sub(1);
        match &self.state {
            State::Queued | State::InitIntent | State::GivenUp { .. } => 0,
            State::Uploading { confirmed, .. } => *confirmed,
            State::Sealed { .. } => all_but_last,
            // Rows of earlier versions do not say whether the last chunk of an unknown upload was acknowledged.
            State::Unknown { .. } => self.confirmed_at_end.unwrap_or(all_but_last),
            State::Failed { .. } => self.confirmed_at_end.unwrap_or(all),
            _ => all,
        }
    }

    /// Bytes acknowledged and recorded; of a pull, the bytes that the service has fetched by its own count.
    pub(crate) fn confirmed_bytes(&self) -> u64 {
        match (&self.origin, &self.state) {
            (Origin::Media { plan, .. }, _) => plan.border(self.confirmed()),
            (Origin::Url { size, .. }, State::Delivered { .. } | State::Published { .. }) => {
                size.unwrap_or(self.run.fetched)
            }
            (Origin::Url { .. }, _) => self.run.fetched,
        }
    }

    /// Whether no digest of the bytes exists: they were sent without a ledger, or none were sent.
    pub(crate) fn has_no_digest(&self) -> bool {
        self.sha256.is_none() && (self.hash_state.is_none() || self.confirmed() == 0)
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Uploading { session, .. } | State::Sealed { session, .. } => Some(session),
            _ => None,
        }
    }

    /// The running hash at the confirmed border.
    pub(crate) fn running(&self) -> Option<Running> {
        self.hash_state.as_deref().and_then(Running::load)
    }

    /// The error for an upload that ended without a draft.
    pub(crate) fn final_error(&self) -> Option<Error> {
        let name = &self.name();
        match &self.state {
            State::Failed {
                publish_id, reason, ..
            } => Some(Error::failed(name, reason, publish_id)),
            State::Unknown {
                publish_id, why, ..
            } => Some(Error::unknown(name, publish_id.as_deref(), why)),
            State::GivenUp { why, .. } => Some(Error::changed(name, why)),
            State::InitIntent if self.is_stranded() => Some(Error::unknown(name, None, STRANDED)),
            _ => None,
        }
    }

    /// Why the upload ended without a draft.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.state {
            State::Failed { reason, .. } => Some(reason),
            State::GivenUp { why, .. } | State::Unknown { why, .. } => Some(why),
            State::InitIntent if self.is_stranded() => Some(STRANDED),
            _ => None,
        }
    }

    /// The state as messages name it.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.is_stranded() {
            State::UNKNOWN
        } else {
            self.state.name()
        }
    }
}

/// The reason for the unknown outcome of a stranded upload.
pub(crate) const STRANDED: &str =
    "the run that asked the service to fetch it was stopped before the answer came";

#[cfg(test)]
mod tests;
