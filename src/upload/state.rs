//! The states of an upload, as the journal stores them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Booted, Now, Timestamp};
use crate::secret::Secret;
use crate::tiktok::limits::URL_LIFETIME;

/// An upload URL and its `publish_id`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) publish_id: String,
    /// Not in the row's text; see [`Upload::secret`](super::Upload::secret). Rows of version 1 have it.
    #[serde(
        default = "Secret::none",
        skip_serializing,
        deserialize_with = "crate::secret::stored::deserialize"
    )]
    pub(crate) upload_url: Secret,
    /// By the wall clock.
    pub(crate) issued: Timestamp,
    /// The same moment on the clock that counts from boot; rows of earlier versions lack it.
    #[serde(default)]
    pub(crate) booted: Option<Booted>,
}

impl Session {
    /// Age of the URL. `None` after a restart of the machine: the wall clock may have been set since.
    pub(super) fn age(&self, now: Now) -> Option<Duration> {
        self.booted?.age(now)
    }

    /// Remaining life of the URL, if known. If it is not, the URL is tried, and the service answers 403 once it has
    /// expired.
    pub(super) fn left(&self, now: Now) -> Option<Duration> {
        Some(URL_LIFETIME.saturating_sub(self.age(now)?))
    }

    /// When the URL ends, on the clock that counts from boot; `None` after a restart of the machine.
    pub(crate) fn ends(&self, now: Now) -> Option<Duration> {
        Some(now.boot.saturating_sub(self.age(now)?) + URL_LIFETIME)
    }

    /// Whether the URL's hour is over, by either clock.
    pub(super) fn is_over(&self, now: Now) -> bool {
        let age = self.age(now);
        age.unwrap_or_else(|| now.wall.since(self.issued)) >= URL_LIFETIME
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    Queued,
    /// An init may have reached the service, and its answer is not recorded. For a file no byte can follow, so no draft
    /// can result; for a URL the init itself is the post.
    InitIntent,
    Uploading {
        session: Session,
        /// Chunks acknowledged and recorded.
        confirmed: u32,
    },
    /// All chunks but the last are confirmed, and bytes that may complete the video are in flight.
    Sealed {
        session: Session,
        /// Whether the last chunk was acknowledged although status counted fewer bytes afterwards.
        #[serde(default)]
        acknowledged: bool,
    },
    /// The service fetches the video itself, within an hour of its init.
    Pulling {
        publish_id: String,
        since: Timestamp,
    },
    Processing {
        publish_id: String,
        /// Kept in case the service lacks bytes that it has acknowledged.
        #[serde(default)]
        session: Option<Session>,
    },
    Delivered {
        publish_id: String,
        at: Timestamp,
    },
    Published {
        publish_id: String,
        at: Timestamp,
    },
    /// Failed for a reason that another attempt does not cure.
    Failed {
        publish_id: String,
        reason: String,
        at: Timestamp,
    },
    /// Given up before a draft was possible.
    GivenUp {
        why: String,
        at: Timestamp,
    },
    /// There may be a draft.
    Unknown {
        /// `None` if the answer to the init was lost.
        publish_id: Option<String>,
        why: String,
        at: Timestamp,
    },
}

impl State {
    pub(crate) const UNKNOWN: &str = "unknown";

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

    /// Whether the service may have all bytes, so that another init needs its answer first.
    pub(crate) const fn may_be_complete(&self) -> bool {
        matches!(
            self,
            Self::Sealed { .. } | Self::Pulling { .. } | Self::Processing { .. }
        )
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InitIntent => "init_intent",
            Self::Uploading { .. } => "uploading",
            Self::Sealed { .. } => "sealed",
            Self::Pulling { .. } => "pulling",
            Self::Processing { .. } => "processing",
            Self::Delivered { .. } => "delivered",
            Self::Published { .. } => "published",
            Self::Failed { .. } => "failed",
            Self::GivenUp { .. } => "given_up",
            Self::Unknown { .. } => Self::UNKNOWN,
        }
    }

    pub(crate) fn publish_id(&self) -> Option<&str> {
        match self {
            Self::Queued | Self::InitIntent | Self::GivenUp { .. } => None,
            Self::Uploading { session, .. } | Self::Sealed { session, .. } => {
                Some(&session.publish_id)
            }
            Self::Pulling { publish_id, .. }
            | Self::Processing { publish_id, .. }
            | Self::Delivered { publish_id, .. }
            | Self::Published { publish_id, .. }
            | Self::Failed { publish_id, .. } => Some(publish_id),
            Self::Unknown { publish_id, .. } => publish_id.as_deref(),
        }
    }
}
