//! The source of an upload and its destination.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use super::{Applied, Upload};
use crate::tiktok::hosts;
use crate::upload::plan::Plan;

/// The key that an upload must be unique for: video, account, API base and destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) account: String,
    /// In normal form; earlier versions wrote others.
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
    /// Whether account, API base and destination are the same.
    pub(crate) fn has_scope_of(&self, other: &Self) -> bool {
        self.account == other.account
            && self.api_base == other.api_base
            && self.destination == other.destination
    }
}

/// The part of the key that stands for the video.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Video {
    /// A file of so many bytes. Files of one size are the same video only if their bytes are equal.
    Size(u64),
    /// A URL without its query, or the caller's name for the video. Its bytes are never seen here.
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

/// The source of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Origin {
    /// A local file, sent in chunks.
    File {
        #[serde(with = "stored_path")]
        path: PathBuf,
        /// The identity of the file when all acknowledged chunks, and the chunk in flight, were read.
        identity: Identity,
        /// SHA-256 of the first and the last 64 KiB, in hexadecimal; files with different fingerprints are different
        /// videos. Older rows lack it.
        #[serde(default)]
        fingerprint: Option<String>,
        content_type: String,
        plan: Plan,
    },
    /// A URL that the service fetches itself.
    Url {
        /// Without its query, which may hold a secret and is not needed once the service has it.
        url: String,
        /// In bytes, if its host has stated it.
        size: Option<u64>,
    },
}

impl Upload {
    /// Replaces the file's identity: `as_of` holds all acknowledged bytes. Keeps the older identity while a chunk may be
    /// in flight, which was read under that one.
    pub(super) const fn rest_on(&mut self, as_of: Identity) -> Applied {
        if let (Origin::File { identity, .. }, false) = (&mut self.origin, self.run.due_left) {
            *identity = as_of;
        }
        Applied::NOTHING
    }

    /// The plan of a file; `None` if the service fetches the bytes itself.
    pub(crate) const fn plan(&self) -> Option<&Plan> {
        match &self.origin {
            Origin::File { plan, .. } => Some(plan),
            Origin::Url { .. } => None,
        }
    }

    /// Size of the video in bytes, if known.
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

    /// The name in messages: the file's name, or the URL without its query.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match &self.origin {
            Origin::File { path, .. } => crate::error::name(path),
            Origin::Url { url, .. } => url.into(),
        }
    }

    /// Of a file: as recognised or given when the upload began.
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

    /// Of the file, if known.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        match &self.origin {
            Origin::File { fingerprint, .. } => fingerprint.as_deref(),
            Origin::Url { .. } => None,
        }
    }
}

/// The state of a file as the file system reports it, without reading bytes.
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
    /// Whether an equal identity proves equal bytes: see [`settled`](crate::source).
    #[serde(default)]
    pub(crate) proves: bool,
}

impl Identity {
    /// Whether the file system reports the same identity `now`.
    pub(crate) fn is_still(&self, now: &Self) -> bool {
        self.ctime_ns.is_some() && self.ctime_ns == now.ctime_ns && self.but_for_ctime(now)
    }

    /// Whether size, modification time and inode are the same. A program can set these for other bytes.
    pub(crate) fn but_for_ctime(&self, now: &Self) -> bool {
        (self.device, self.inode, self.size, self.mtime_ns)
            == (now.device, now.inode, now.size, now.mtime_ns)
    }

    /// Whether the file is proven to hold the same bytes `now`.
    pub(crate) fn proves_same(&self, now: &Self) -> bool {
        self.proves && self.is_still(now)
    }
}

/// A path as text; in hexadecimal if its name is not UTF-8.
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
