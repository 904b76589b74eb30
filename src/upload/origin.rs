//! What is uploaded where: the bytes, and for whom they are.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::{Applied, Upload};
use crate::tiktok::hosts;
use crate::upload::plan::Plan;

/// What P2 is about: the same video for the same account, API base and destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) account: String,
    /// In its one spelling, whatever earlier versions wrote.
    #[serde(deserialize_with = "spelled")]
    pub(crate) api_base: String,
    pub(crate) destination: Destination,
    #[serde(flatten)]
    pub(crate) video: Video,
}

fn spelled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|base| hosts::spelled(&base))
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
        /// Everything acknowledged, and all of the chunk in flight, was read from the file as of this.
        identity: Identity,
        /// SHA-256 of the first and the last 64 KiB, in hexadecimal; files with different ones are different videos.
        /// Older rows lack it.
        #[serde(default)]
        fingerprint: Option<String>,
        content_type: String,
        plan: Plan,
    },
    /// A URL that the service fetches itself.
    Url {
        /// Without its query, which may be a secret and is not needed any more once the service has it.
        url: String,
        /// In bytes, where its host has stated it.
        size: Option<u64>,
    },
}

impl Upload {
    /// Everything acknowledged is the file's as of `as_of`. A chunk that may have left before that keeps the older identity,
    /// so that it is not counted by the newer one.
    pub(super) const fn rest_on(&mut self, as_of: Identity) -> Applied {
        if let (Origin::File { identity, .. }, false) = (&mut self.origin, self.run.due_left) {
            *identity = as_of;
        }
        Applied::NOTHING
    }

    /// How the file is cut; `None` where the service fetches the bytes itself.
    pub(crate) const fn plan(&self) -> Option<&Plan> {
        match &self.origin {
            Origin::File { plan, .. } => Some(plan),
            Origin::Url { .. } => None,
        }
    }

    /// Bytes of the video, where they are known.
    pub(crate) const fn size(&self) -> Option<u64> {
        match &self.origin {
            Origin::File { plan, .. } => Some(plan.video_size()),
            Origin::Url { size, .. } => *size,
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File { path, .. } => Some(path),
            Origin::Url { .. } => None,
        }
    }

    /// The URL that is pulled, without its query.
    pub(crate) fn url(&self) -> Option<&str> {
        match &self.origin {
            Origin::File { .. } => None,
            Origin::Url { url, .. } => Some(url),
        }
    }

    /// As messages call it: the name of the file, or the URL without its query.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match &self.origin {
            Origin::File { path, .. } => crate::error::name(path),
            Origin::Url { url, .. } => url.into(),
        }
    }

    /// Of a file, as it was seen or given when the upload began.
    pub(crate) fn content_type(&self) -> Option<&str> {
        match &self.origin {
            Origin::File { content_type, .. } => Some(content_type),
            Origin::Url { .. } => None,
        }
    }

    pub(crate) const fn identity(&self) -> Option<Identity> {
        match &self.origin {
            Origin::File { identity, .. } => Some(*identity),
            Origin::Url { .. } => None,
        }
    }

    /// Of the file's first and last bytes, where it is known.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        match &self.origin {
            Origin::File { fingerprint, .. } => fingerprint.as_deref(),
            Origin::Url { .. } => None,
        }
    }
}

/// What the file system says of a file without reading its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    /// The kernel sets this time at each change of bytes, times, name, mode or owner, and no program can set it back.
    /// Older rows lack it.
    #[serde(default)]
    pub(crate) ctime_ns: Option<i64>,
    /// Whether the bytes are the same for as long as the file system says the same: see [`settled`](crate::source).
    #[serde(default)]
    pub(crate) proves: bool,
}

impl Identity {
    /// Whether the file system says `now` what it said then.
    pub(crate) fn is_still(&self, now: &Self) -> bool {
        self.ctime_ns.is_some() && self.ctime_ns == now.ctime_ns && self.but_for_ctime(now)
    }

    /// Whether size, time of modification and inode are the same. A program can bring this about with other bytes.
    pub(crate) fn but_for_ctime(&self, now: &Self) -> bool {
        (self.device, self.inode, self.size, self.mtime_ns)
            == (now.device, now.inode, now.size, now.mtime_ns)
    }

    /// Whether the file is proven to hold the bytes that it held then.
    pub(crate) fn proves_same(&self, now: &Self) -> bool {
        self.proves && self.is_still(now)
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
