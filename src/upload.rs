//! One upload: the domain object, the state machine and the journal's row in one.
//!
//! [`Upload::step`] says what to do next and [`Upload::apply`] takes in what came of it. Both are pure: no I/O, no
//! clock but the one passed in, no randomness but the number passed in.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Now, Timestamp};
use crate::error::Error;
use crate::ledger::{Entry, Running};
use crate::plan::{Chunk, Plan};

mod apply;
mod doubt;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod origin;
mod run;
mod state;

pub(crate) use apply::Reply;
pub(crate) use origin::{Destination, Identity, Key, Origin};
pub(crate) use run::{RunLimits, Stop};
pub(crate) use state::{Session, State, URL_LIFETIME};

use run::Run;

/// Version of the row in the journal; newer ones are refused, unknown fields of the same one are ignored.
pub(crate) const ROW_VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) version: u32,
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) key: Key,
    pub(crate) origin: Origin,
    pub(crate) content_type: String,
    pub(crate) plan: Plan,
    /// The running hash at the confirmed border; `None` without the ledger.
    pub(crate) running: Option<String>,
    /// SHA-256 of the whole file, known from the moment it is sealed.
    pub(crate) sha256: Option<String>,
    pub(crate) state: State,
    /// Raised by each claim; a save by an older owner is fenced off.
    pub(crate) epoch: u64,
    /// Raised by each save; a save that comes late, because its caller was dropped, changes nothing.
    pub(crate) revision: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) totals: Totals,
    #[serde(skip)]
    pub(crate) run: Run,
}

/// Counted over all runs, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Inits asked for.
    pub(crate) inits: u32,
    /// Inits whose answer was lost.
    pub(crate) lost_inits: u32,
    /// Sessions that could not be carried on.
    pub(crate) lost_sessions: u32,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing, for this long.
    Wait(Duration),
    /// Record the intent and take a slot of the window, then init.
    Init,
    /// Send this chunk; the last one is sealed on its way.
    Put(Chunk),
    /// Count this chunk, which the service already has, from the file.
    Adopt(Chunk),
    /// Ask for the status.
    Ask,
    /// The hour of the URL is over.
    Expire,
    /// The run ends here.
    Stop(Stop),
    /// The upload has ended, or is handed over.
    Done,
}

impl Upload {
    pub(crate) fn new(
        key: Key,
        origin: Origin,
        content_type: &str,
        plan: Plan,
        ledger: bool,
        now: Now,
    ) -> Self {
        Self {
            version: ROW_VERSION,
            id: format!("{:016x}", fastrand::u64(..)),
            key,
            origin,
            content_type: content_type.to_owned(),
            plan,
            running: ledger.then(|| Running::default().store()),
            sha256: None,
            state: State::Queued,
            epoch: 0,
            revision: 0,
            created: now.wall,
            updated: now.wall,
            totals: Totals::default(),
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
        if let Some(wait) = self
            .run
            .not_before
            .and_then(|at| at.checked_sub(now.boot))
            .filter(|wait| !wait.is_zero())
        {
            return Step::Wait(wait);
        }
        match &self.state {
            State::Queued | State::InitIntent => Step::Init,
            State::Uploading { session, .. } if session.is_expired(now) => Step::Expire,
            State::Uploading { confirmed, .. } if self.run.adopt => {
                Step::Adopt(self.plan.chunk(*confirmed))
            }
            State::Uploading { .. } | State::Sealed { .. } if self.run.in_doubt => Step::Ask,
            State::Uploading { .. } | State::Sealed { .. } => {
                Step::Put(self.plan.chunk(self.confirmed()))
            }
            State::Processing { .. } if self.run.limits.hand_over => Step::Done,
            State::Processing { .. } => Step::Ask,
            _ => Step::Done,
        }
    }

    /// An init is about to be asked for.
    pub(crate) fn intend(&mut self, identity: Identity, now: Now) {
        self.state = State::InitIntent;
        self.running = self.running.is_some().then(|| Running::default().store());
        let Origin::File {
            identity: first, ..
        } = &mut self.origin;
        *first = identity;
        self.totals.inits += 1;
        self.updated = now.wall;
    }

    /// Bytes that may complete the video are about to leave; `whole` is the digest of all that is sent.
    pub(crate) fn seal(&mut self, whole: Option<Entry>, now: Now) {
        if let State::Uploading { session, .. } = &self.state {
            self.state = State::Sealed {
                session: session.clone(),
            };
        }
        self.sha256 = whole.map(hex::encode);
        self.updated = now.wall;
    }

    /// The file is not what it was when its first byte was sent, and nothing can have been posted.
    pub(crate) fn give_up(&mut self, why: &str, now: Now) {
        self.state = State::GivenUp {
            why: why.to_owned(),
            at: now.wall,
        };
        self.updated = now.wall;
    }

    /// Whether there is a draft of it cannot be told any more.
    pub(crate) fn park(&mut self, why: &str, at: Timestamp) {
        self.state = State::Unknown {
            publish_id: self.state.publish_id().unwrap_or_default().to_owned(),
            why: why.to_owned(),
            at,
        };
        self.running = None;
        self.updated = at;
    }

    /// Chunks acknowledged and recorded.
    pub(crate) fn confirmed(&self) -> u32 {
        match &self.state {
            State::Queued | State::InitIntent | State::GivenUp { .. } => 0,
            State::Uploading { confirmed, .. } => *confirmed,
            State::Sealed { .. } => self.plan.chunk_count() - 1,
            _ => self.plan.chunk_count(),
        }
    }

    /// Whether this row says all that `told` says: it is as new, or has ended too, or `told` was noted when bytes that
    /// may complete this very session were about to leave.
    pub(crate) fn knows(&self, told: &Self) -> bool {
        let same_session = self.state.publish_id() == told.state.publish_id();
        self.revision >= told.revision
            || self.state.is_final()
            || same_session && matches!(told.state, State::Unknown { .. })
    }

    /// Bytes acknowledged and recorded.
    pub(crate) fn confirmed_bytes(&self) -> u64 {
        self.plan.border(self.confirmed())
    }

    pub(crate) fn path(&self) -> &Path {
        let Origin::File { path, .. } = &self.origin;
        path
    }

    pub(crate) fn identity(&self) -> Identity {
        let Origin::File { identity, .. } = &self.origin;
        *identity
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Uploading { session, .. } | State::Sealed { session } => Some(session),
            _ => None,
        }
    }

    /// The running hash at the confirmed border.
    pub(crate) fn running(&self) -> Option<Running> {
        self.running.as_deref().and_then(Running::load)
    }

    /// The error that a final state stands for, if it stands for one.
    pub(crate) fn final_error(&self) -> Option<Error> {
        match &self.state {
            State::Failed {
                publish_id, reason, ..
            } => Some(Error::failed(self.path(), reason, publish_id)),
            State::Unknown {
                publish_id, why, ..
            } => Some(Error::unknown(self.path(), publish_id, why)),
            State::GivenUp { why, .. } => Some(Error::changed(self.path(), why)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
