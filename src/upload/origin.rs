//! What is uploaded where: the bytes, and for whom they are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// What P2 is about: the same video for the same account, API base and destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) account: String,
    pub(crate) api_base: String,
    pub(crate) destination: Destination,
    #[serde(flatten)]
    pub(crate) video: Video,
}

impl Key {
    /// Whether both are for one account, at one API base and destination.
    pub(crate) fn has_scope_of(&self, other: &Self) -> bool {
        self.account == other.account
            && self.api_base == other.api_base
            && self.destination == other.destination
    }
}

/// What makes two videos candidates for being the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Video {
    /// A file of so many bytes; whether it is the same one its bytes must tell.
    Size(u64),
    /// What lies under a URL, by the URL without its query or by a name of the caller's. Its bytes are never seen here.
    Key(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Destination {
    Inbox,
}

impl Destination {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
        }
    }

    pub(crate) fn named(text: &str) -> Option<Self> {
        (text == Self::Inbox.as_str()).then_some(Self::Inbox)
    }
}

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Origin {
    /// A local file, sent in chunks.
    File {
        #[serde(with = "stored_path")]
        path: PathBuf,
        identity: Identity,
        content_type: String,
        plan: Plan,
    },
    /// A URL that the service fetches itself.
    Url {
        /// Without its query, which may be a secret and is not needed any more once the service has it.
        url: String,
        /// In bytes, where its host has told.
        size: Option<u64>,
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
