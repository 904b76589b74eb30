//! One upload: the domain object, the state machine and the journal's row in one.
//!
//! [`Upload::step`] says what to do next and [`Upload::apply`] takes in what came of it. Both are pure: no I/O, no
//! clock but the one passed in, no randomness but the number passed in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Now, Timestamp};
use crate::error::Error;
use crate::ledger::{Entry, Running};
use crate::plan::{Chunk, Plan};
use crate::reconcile::Reading;
use crate::secret::Secret;

mod apply;

pub(crate) use apply::Reply;

/// Version of the row in the journal; newer ones are refused, unknown fields of the same one are ignored.
pub(crate) const ROW_VERSION: u32 = 1;

/// How long an upload URL lives, and so how long a whole upload may take. Source: Upload Video.
pub(crate) const URL_LIFETIME: Duration = Duration::from_secs(3600);

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
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) totals: Totals,
    #[serde(skip)]
    pub(crate) run: Run,
}

/// What P2 is about: the same bytes for the same account, API base and destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) account: String,
    pub(crate) api_base: String,
    pub(crate) destination: Destination,
    pub(crate) size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Destination {
    Inbox,
}

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Origin {
    File {
        #[serde(with = "stored_path")]
        path: PathBuf,
        identity: Identity,
    },
}

/// What the file system says of a file's bytes without reading them, as of the first byte that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
}

/// An upload URL and the name that status knows it by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) publish_id: String,
    #[serde(with = "crate::secret::stored")]
    pub(crate) upload_url: Secret,
    pub(crate) issued: Timestamp,
    /// The same moment on the clock that counts from boot; unknown to another process.
    #[serde(skip)]
    pub(crate) issued_boot: Option<Duration>,
}

impl Session {
    /// Whether the URL's hour is over. Where the clocks disagree nobody is believed: the service answers 403 itself.
    fn is_expired(&self, now: Now) -> bool {
        let by_wall = now.wall.since(self.issued);
        let set_back = now.wall < self.issued;
        let disagree = self.issued_boot.is_some_and(|issued| {
            now.boot.saturating_sub(issued).abs_diff(by_wall) > Duration::from_secs(60)
        });
        !set_back && !disagree && by_wall >= URL_LIFETIME
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    Queued,
    /// An init may be on its way; nobody has its answer. No byte can follow, so no draft can come of it.
    InitIntent,
    Uploading {
        session: Session,
        /// Chunks acknowledged and recorded.
        confirmed: u32,
    },
    /// All chunks but the last are confirmed, and bytes that may complete the video are on their way.
    Sealed {
        session: Session,
    },
    Processing {
        publish_id: String,
    },
    Delivered {
        publish_id: String,
        at: Timestamp,
    },
    Published {
        publish_id: String,
        at: Timestamp,
    },
    /// Failed for a reason that another try does not cure.
    Failed {
        publish_id: String,
        reason: String,
        at: Timestamp,
    },
    /// Set aside before anything could be posted.
    GivenUp {
        why: String,
        at: Timestamp,
    },
    /// Whether there is a draft cannot be told.
    Unknown {
        publish_id: String,
        why: String,
        at: Timestamp,
    },
}

impl State {
    pub(crate) const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Delivered { .. }
                | Self::Published { .. }
                | Self::Failed { .. }
                | Self::GivenUp { .. }
                | Self::Unknown { .. }
        )
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InitIntent => "init_intent",
            Self::Uploading { .. } => "uploading",
            Self::Sealed { .. } => "sealed",
            Self::Processing { .. } => "processing",
            Self::Delivered { .. } => "delivered",
            Self::Published { .. } => "published",
            Self::Failed { .. } => "failed",
            Self::GivenUp { .. } => "given_up",
            Self::Unknown { .. } => "unknown",
        }
    }

    pub(crate) fn publish_id(&self) -> Option<&str> {
        match self {
            Self::Queued | Self::InitIntent | Self::GivenUp { .. } => None,
            Self::Uploading { session, .. } | Self::Sealed { session } => Some(&session.publish_id),
            Self::Processing { publish_id }
            | Self::Delivered { publish_id, .. }
            | Self::Published { publish_id, .. }
            | Self::Failed { publish_id, .. }
            | Self::Unknown { publish_id, .. } => Some(publish_id),
        }
    }
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

/// What only this run knows. A row read back from disk starts with a fresh one: in doubt, and with full budgets.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) in_doubt: bool,
    pub(crate) doubt: Doubt,
    /// The service has the chunk in flight though its answer was lost: read it from the file and count it.
    pub(crate) adopt: bool,
    /// Nothing is done before this, on the clock that counts from boot.
    pub(crate) not_before: Option<Duration>,
    /// Failed attempts at the init or the chunk that is due; a confirmed chunk refills them.
    pub(crate) failed: u32,
    /// Questions for the status in a row that were not answered.
    pub(crate) unanswered: u32,
    pub(crate) polls: u32,
    pub(crate) processing_since: Option<Duration>,
    pub(crate) lost_inits: u32,
    pub(crate) lost_sessions: u32,
    /// This run is over, and the row stays as it is.
    pub(crate) stop: Option<Stop>,
    pub(crate) limits: RunLimits,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            in_doubt: true,
            doubt: Doubt::default(),
            adopt: false,
            not_before: None,
            failed: 0,
            unanswered: 0,
            polls: 0,
            processing_since: None,
            lost_inits: 0,
            lost_sessions: 0,
            stop: None,
            limits: RunLimits::default(),
        }
    }
}

/// What the caller of this run asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    /// How long status may stay "working" after sealing.
    pub(crate) processing: Duration,
    /// Whether the run ends when everything is acknowledged.
    pub(crate) hand_over: bool,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            processing: crate::retry::Waits::DEFAULT.processing,
            hand_over: false,
        }
    }
}

/// What was said since the journal and the service were last known to agree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doubt {
    pub(crate) readings: Vec<Reading>,
    pub(crate) asked: u32,
    /// The next chunk was answered 416.
    pub(crate) refused: bool,
    /// The URL was answered 403, 404 or 405.
    pub(crate) dead: bool,
}

/// Why a run ends without the upload having ended.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// The service refused a call.
    Refused(crate::wire::Call, crate::wire::ServiceError),
    /// The token names another creator.
    ForeignToken,
    /// A budget is used up.
    Spent(String),
    /// There was no token; why, in words.
    NoToken(String),
    /// The upload host is not one we send to.
    Host(String),
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

    /// Chunks acknowledged and recorded.
    pub(crate) fn confirmed(&self) -> u32 {
        match &self.state {
            State::Queued | State::InitIntent | State::GivenUp { .. } => 0,
            State::Uploading { confirmed, .. } => *confirmed,
            State::Sealed { .. } => self.plan.chunk_count() - 1,
            _ => self.plan.chunk_count(),
        }
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

/// A path as text; as hexadecimal bytes where its name is not UTF-8.
mod stored_path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        Bytes { hex: String },
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match path.to_str() {
            Some(text) => Stored::Text(text.to_owned()),
            None => Stored::Bytes {
                hex: hex::encode(path.as_os_str().as_bytes()),
            },
        };
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        match Stored::deserialize(deserializer)? {
            Stored::Text(text) => Ok(text.into()),
            Stored::Bytes { hex } => {
                let bytes = hex::decode(hex).map_err(serde::de::Error::custom)?;
                Ok(OsString::from_vec(bytes).into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
