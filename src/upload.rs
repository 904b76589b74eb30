//! One upload: the domain object, the state machine and the journal's row in one.
//!
//! [`Upload::step`] says what to do next and [`Upload::apply`] takes in what came of it. Both are pure: no I/O, no
//! clock but the one passed in, no randomness but the number passed in.

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
pub(crate) use origin::{Destination, Identity, Key, Origin, Video};
pub(crate) use run::{Lack, RunLimits, Stop};
pub(crate) use state::{Session, State};

use run::Run;

/// Version of the row in the journal; newer ones are refused, unknown fields of the same one are ignored. Rows of version 1
/// hold the upload URL of their session; since version 2 the store keeps it beside the row.
pub(crate) const ROW_VERSION: u32 = 2;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// As the row was read; it is written as of today.
    #[serde(serialize_with = "receipt::version")]
    pub(crate) version: u32,
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) key: Key,
    pub(crate) origin: Origin,
    /// The state of the hash at the confirmed border; `None` without the ledger.
    #[serde(rename = "running")]
    pub(crate) hash_state: Option<String>,
    /// SHA-256 of the whole file, known from the moment it is sealed.
    pub(crate) sha256: Option<String>,
    pub(crate) state: State,
    /// Chunks of a file that were acknowledged when the upload ended as failed or unknown; rows of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed_at_end: Option<u32>,
    /// Raised by each claim. Only the store reads and writes it: what may be written is decided by the caller's lease.
    pub(crate) epoch: u64,
    /// Raised by each save; a save that comes late, because its caller was dropped, changes nothing.
    pub(crate) revision: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) totals: Totals,
    /// Whether the token of the last init was of the creator that the account's name has stood for since its first use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) creator_known: bool,
    /// The service's names of its last refusals, the newest last: what its support asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log_ids: Vec<String>,
    /// How long the last accepted chunks took, in milliseconds, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) chunk_times: Vec<u32>,
    /// The caller's own words about the upload. Nothing sets them yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip)]
    pub(crate) run: Run,
}

/// Counted over all runs, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Inits asked for, without those that never left.
    pub(crate) inits: u32,
    /// Inits whose answer was lost.
    pub(crate) lost_inits: u32,
    /// Sessions that could not be carried on.
    pub(crate) lost_sessions: u32,
    /// Attempts that were made again after a wait, of calls and chunks; rows of version 1 lack it.
    pub(crate) retries: u32,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing, for this long.
    Wait(Duration),
    /// Record the intent and take a slot of the window, then init.
    Init,
    /// Send this chunk; of the last one, all but the last bytes.
    Put(Chunk),
    /// Let the last bytes of the chunk in flight leave: the row is sealed.
    Release,
    /// Count this chunk, which the service already has, from the file.
    Adopt(Chunk),
    /// The service has lost all but this many chunks that it had acknowledged: the running hash is needed as it was there.
    Rewind(u32),
    /// Ask for the status.
    Ask,
    /// The hour of the URL is over, or as good as over.
    Expire(LossCause),
    /// The run ends here.
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

    /// Sends a chunk, unless its URL dies before that can end. Once sealed it is sent all the same: the service's word on
    /// it is worth more than ours.
    fn put(&self, chunk: Chunk, now: Now) -> Step {
        match &self.state {
            State::Uploading { session, .. } if self.comes_too_late(&chunk, session, now) => {
                Step::Expire(LossCause::HourTooShort)
            }
            _ => Step::Put(chunk),
        }
    }

    /// Whether the init is the post: nothing is sent after it, so an init without an answer may have made a draft.
    pub(crate) const fn is_posted_by_init(&self) -> bool {
        matches!(self.origin, Origin::Url { .. })
    }

    /// Whether an earlier process was stopped between such an init and the record of its answer. Only a person can tell
    /// what came of it.
    pub(crate) fn is_stranded(&self) -> bool {
        matches!(self.state, State::InitIntent) && self.run.in_doubt && self.is_posted_by_init()
    }

    /// Whether there may be a draft of it, so that no other init may follow without an answer.
    pub(crate) const fn may_be_posted(&self) -> bool {
        self.state.may_be_complete()
            || matches!(self.state, State::InitIntent) && self.is_posted_by_init()
    }

    /// Whether nothing is left to be sent, as far as is known: the service fetches the video or works on it.
    pub(crate) const fn is_at_service(&self) -> bool {
        matches!(self.state, State::Pulling { .. } | State::Processing { .. })
    }

    /// Whether its bytes are needed here to bring it to an end.
    pub(crate) fn misses_bytes(&self) -> bool {
        let open = matches!(
            self.state,
            State::Queued | State::InitIntent | State::Uploading { .. }
        );
        open && !self.has_ended() || matches!(self.state, State::GivenUp { .. })
    }

    /// Whether nothing more is done for it unless its user says so.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.is_final() || self.is_stranded()
    }

    /// As it stands for whoever hears nothing more of it: whether there is a draft is not known any more.
    pub(crate) fn as_unknown(&self, why: &str, at: Timestamp) -> Self {
        let mut unknown = self.clone();
        unknown.park(why, at);
        unknown
    }

    /// As its owner saves it next, without anything having happened.
    #[cfg(any(test, measuring))]
    pub(crate) fn saved_next(&mut self) -> Self {
        self.revise();
        self.clone()
    }

    /// Whether this row says all that `told` says: it is as new, or has ended too, or `told` was noted when bytes that
    /// may complete this very session were about to leave. An init that is the post belongs to no session yet.
    pub(crate) fn knows(&self, told: &Self) -> bool {
        let session = self.state.publish_id();
        let same_session = session.is_some() && session == told.state.publish_id();
        self.revision >= told.revision
            || self.state.is_final()
            || same_session && matches!(told.state, State::Unknown { .. })
    }

    /// The chunk that is sent next; `None` once all are acknowledged or the upload has ended.
    pub(crate) fn due(&self) -> Option<Chunk> {
        let (plan, confirmed) = (self.plan()?, self.confirmed());
        let missing = confirmed < plan.chunk_count() && !self.state.is_final();
        missing.then(|| plan.chunk(confirmed))
    }

    /// Number of the attempt at the init or the chunk that is due, from 1.
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
            // In a row of an earlier version the last chunk of an unknown upload may not have been acknowledged.
            State::Unknown { .. } => self.confirmed_at_end.unwrap_or(all_but_last),
            State::Failed { .. } => self.confirmed_at_end.unwrap_or(all),
            _ => all,
        }
    }

    /// Bytes acknowledged and recorded; of a pull, those the service says it has fetched.
    pub(crate) fn confirmed_bytes(&self) -> u64 {
        match (&self.origin, &self.state) {
            (Origin::File { plan, .. }, _) => plan.border(self.confirmed()),
            (Origin::Url { size, .. }, State::Delivered { .. } | State::Published { .. }) => {
                size.unwrap_or(self.run.fetched)
            }
            (Origin::Url { .. }, _) => self.run.fetched,
        }
    }

    /// Whether its bytes were sent without being hashed, or none were sent.
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

    /// The error that the end of an upload stands for, if it stands for one.
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

    /// Why an upload ended without a draft, where it did.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.state {
            State::Failed { reason, .. } => Some(reason),
            State::GivenUp { why, .. } | State::Unknown { why, .. } => Some(why),
            State::InitIntent if self.is_stranded() => Some(STRANDED),
            _ => None,
        }
    }

    /// The state in a word, as people read it.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.is_stranded() {
            State::UNKNOWN
        } else {
            self.state.name()
        }
    }
}

/// Why the outcome of a stranded upload is not known.
pub(crate) const STRANDED: &str =
    "the run that asked the service to fetch it was stopped before the answer came";

#[cfg(test)]
mod tests;
