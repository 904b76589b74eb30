//! What people may read of the journal: a record of each upload, without secrets.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize, Serializer};

use super::stamp;
use crate::clock::Timestamp;
use crate::upload::{State, Upload};

/// One upload as the journal knows it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Its id in the journal: 16 hexadecimal digits.
    pub id: String,
    /// The file as it was last named. Written out as text, with a mark for what is none in its name.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The user's name of the account.
    pub account: String,
    /// The API it goes to.
    pub api_base: String,
    /// `queued`, `init_intent`, `uploading`, `sealed`, `processing`, `delivered`, `published`, `failed`, `given_up` or
    /// `unknown`.
    pub state: String,
    /// The reason of a `failed`, `given_up` or `unknown`.
    pub reason: Option<String>,
    /// The service's name of it, while there is one.
    pub publish_id: Option<String>,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes acknowledged and recorded.
    pub confirmed: u64,
    /// SHA-256 of the bytes in hexadecimal, once all of them were read.
    pub sha256: Option<String>,
    /// Inits asked for, in all runs.
    pub inits: u32,
    updated_ms: u64,
}

/// A name that is no UTF-8 must not keep a record from being shown.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl Record {
    /// When it last changed.
    pub fn updated(&self) -> SystemTime {
        stamp(Timestamp(self.updated_ms))
    }

    /// Whether the service may hold all of its bytes.
    pub(super) fn may_be_complete(&self) -> bool {
        matches!(self.state.as_str(), "sealed" | "processing")
    }

    /// Whether `text` names it: the start of its id or publish_id, or its path.
    pub fn answers_to(&self, text: &str) -> bool {
        let path = std::path::absolute(text).unwrap_or_else(|_| text.into());
        self.id.starts_with(text)
            || self
                .publish_id
                .as_deref()
                .is_some_and(|publish_id| publish_id.starts_with(text))
            || self.file == path
    }
}

impl From<&Upload> for Record {
    fn from(row: &Upload) -> Self {
        let reason = match &row.state {
            State::Failed { reason, .. } => Some(reason),
            State::GivenUp { why, .. } | State::Unknown { why, .. } => Some(why),
            _ => None,
        };
        Self {
            id: row.id.clone(),
            file: row.path().to_owned(),
            account: row.key.account.clone(),
            api_base: row.key.api_base.clone(),
            state: row.state.name().to_owned(),
            reason: reason.cloned(),
            publish_id: row.state.publish_id().map(str::to_owned),
            size: row.key.size,
            confirmed: row.confirmed_bytes(),
            sha256: row.sha256.clone(),
            inits: row.totals.inits,
            updated_ms: row.updated.0,
        }
    }
}
