//! The source of an upload and its destination.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
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
    /// A video that is sent from here, in chunks.
    #[serde(rename = "file")]
    Media {
        #[serde(rename = "path")]
        address: Address,
        /// The identity of the video when all acknowledged chunks, and the chunk in flight, were read.
        identity: Identity,
        /// SHA-256 of the first and the last 64 KiB, in hexadecimal; those with different fingerprints are different
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
        if let (Origin::Media { identity, .. }, false) = (&mut self.origin, self.run.due_left) {
            *identity = as_of;
        }
        Applied::NOTHING
    }

    /// The plan of a video that is sent from here; `None` if the service fetches the bytes itself.
    pub(crate) const fn plan(&self) -> Option<&Plan> {
        match &self.origin {
            Origin::Media { plan, .. } => Some(plan),
            Origin::Url { .. } => None,
        }
    }

    /// Size of the video in bytes, if known.
    pub(crate) const fn size(&self) -> Option<u64> {
        match &self.origin {
            Origin::Media { plan, .. } => Some(plan.video_size()),
            Origin::Url { size, .. } => *size,
        }
    }

    /// The path of a file.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Media {
                address: Address::File(path),
                ..
            } => Some(path),
            Origin::Media { .. } | Origin::Url { .. } => None,
        }
    }

    /// The path of a file, the address of other media.
    pub(crate) const fn address(&self) -> Option<&Address> {
        match &self.origin {
            Origin::Media { address, .. } => Some(address),
            Origin::Url { .. } => None,
        }
    }

    /// Whether the video is at this path or address.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.address().is_some_and(|at| at.as_path() == path)
    }

    /// The URL that is pulled, without its query.
    pub(crate) fn url(&self) -> Option<&str> {
        match &self.origin {
            Origin::Media { .. } => None,
            Origin::Url { url, .. } => Some(url),
        }
    }

    /// The name in messages: the file's name, or the URL without its query.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match &self.origin {
            Origin::Media { address, .. } => address.name(),
            Origin::Url { url, .. } => url.into(),
        }
    }

    /// Of a file: as recognised or given when the upload began.
    pub(crate) fn content_type(&self) -> Option<&str> {
        match &self.origin {
            Origin::Media { content_type, .. } => Some(content_type),
            Origin::Url { .. } => None,
        }
    }

    pub(crate) const fn identity(&self) -> Option<Identity> {
        match &self.origin {
            Origin::Media { identity, .. } => Some(*identity),
            Origin::Url { .. } => None,
        }
    }

    /// Of the file, if known.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        match &self.origin {
            Origin::Media { fingerprint, .. } => fingerprint.as_deref(),
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

/// Where a video is that is sent from here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "StoredAddress", into = "StoredAddress")]
pub(crate) enum Address {
    /// The absolute path of a file.
    File(PathBuf),
    /// The address of other media.
    Object(String),
}

impl Address {
    /// The path, or the address in the form of one: what uploads are found by.
    pub(crate) fn as_path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Object(address) => Path::new(address),
        }
    }

    /// The name in messages: the last part.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        crate::error::name(self.as_path())
    }
}

/// A path as text; in hexadecimal if its name is not UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredAddress {
    Path(String),
    PathBytes { hex: String },
    Object { address: String },
}

impl From<Address> for StoredAddress {
    fn from(address: Address) -> Self {
        match address {
            Address::Object(address) => Self::Object { address },
            Address::File(path) => match path.into_os_string().into_string() {
                Ok(text) => Self::Path(text),
                Err(bytes) => Self::PathBytes {
                    hex: hex::encode(bytes.into_vec()),
                },
            },
        }
    }
}

impl TryFrom<StoredAddress> for Address {
    type Error = hex::FromHexError;

    fn try_from(stored: StoredAddress) -> Result<Self, Self::Error> {
        Ok(match stored {
            StoredAddress::Path(text) => Self::File(text.into()),
            StoredAddress::PathBytes { hex } => {
                Self::File(OsString::from_vec(hex::decode(hex)?).into())
            }
            StoredAddress::Object { address } => Self::Object(address),
        })
    }
}
