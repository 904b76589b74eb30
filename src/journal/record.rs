//! What people may read of the journal: a record of each upload, without secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::stamp;
use crate::clock::Timestamp;
use crate::upload::plan::Plan;
use crate::upload::{Key, STRANDED, State, Upload, Video};

/// One upload as the journal knows it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Its id in the journal: 16 hexadecimal digits.
    pub id: String,
    /// The last path of the file, or the address of other media; `None` for a URL. Serialised as text, with a mark for each byte that is no text.
    #[serde(default, serialize_with = "as_text")]
    pub file: Option<PathBuf>,
    /// The URL that the service fetches, without its query; `None` for a file.
    #[serde(default)]
    pub url: Option<String>,
    /// The user's name of the account.
    pub account: String,
    /// The API it goes to.
    pub api_base: String,
    /// `queued`, `init_intent`, `uploading`, `sealed`, `pulling`, `processing`, `delivered`, `published`, `failed`,
    /// `given_up` or `unknown`.
    pub state: String,
    /// The reason of a `failed`, `given_up` or `unknown`.
    pub reason: Option<String>,
    /// The service's name of it, while there is one.
    pub publish_id: Option<String>,
    /// Bytes of the video; 0 where that of a URL is not known.
    pub size: u64,
    /// Bytes acknowledged and recorded.
    pub confirmed: u64,
    /// SHA-256 of the bytes in hexadecimal, once all of them were read.
    pub sha256: Option<String>,
    /// Inits asked for, in all runs.
    pub inits: u32,
    /// What else is known of it.
    #[serde(default)]
    pub story: Story,
    updated_ms: u64,
}

/// What happened to an upload on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Story {
    /// When it began, in milliseconds since 1970; 0 where that is not known any more.
    pub began_ms: u64,
    /// Bytes of a chunk; `None` of a URL.
    pub chunk_size: Option<u64>,
    /// Chunks of the video; `None` of a URL.
    pub total_chunk_count: Option<u32>,
    /// Calls and chunks that were sent again after a wait.
    pub retries: u32,
    /// Inits whose answer was lost.
    pub lost_inits: u32,
    /// Sessions that could not be continued.
    pub lost_sessions: u32,
    /// The service's log_ids of its last refusals, the newest last.
    pub log_ids: Vec<String>,
    /// The file as its file system knew it; `None` of a URL.
    pub identity: Option<FileIdentity>,
}

/// What a file system says of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileIdentity {
    /// The number of the device.
    pub device: u64,
    /// The number of the file on its device.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its bytes were changed, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When anything about it was changed, in nanoseconds since 1970.
    pub ctime_ns: Option<i64>,
}

/// A name that is no UTF-8 must not keep a record from being shown.
fn as_text<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref()
        .map(Path::to_string_lossy)
        .serialize(serializer)
}

impl Record {
    /// Those that have ended, and then those that are under way, each oldest first. An upload that ended just now, or right
    /// before a kill, is in both, and the newer one holds.
    pub(super) fn in_order(mut open: Vec<Self>, mut ended: BTreeMap<String, Self>) -> Vec<Self> {
        open.retain(|record| {
            let ended = ended.get(&record.id);
            ended.is_none_or(|ended| ended.updated() < record.updated())
        });
        open.sort_by_key(Self::updated);
        for record in &open {
            ended.remove(&record.id);
        }
        let mut records: Vec<Self> = ended.into_values().collect();
        records.sort_by_key(Self::updated);
        records.extend(open);
        records
    }

    /// When it last changed; the start of 1970 where that is not known any more.
    pub fn updated(&self) -> SystemTime {
        stamp(Timestamp(self.updated_ms))
    }

    /// What it is of, for people: the path of the file, or the URL without its query.
    pub fn name(&self) -> Cow<'_, str> {
        match (&self.file, &self.url) {
            (Some(file), _) => file.to_string_lossy(),
            (None, Some(url)) => url.into(),
            (None, None) => "-".into(),
        }
    }

    /// An upload that has ended, and whose line in the history is lost.
    pub(super) fn no_longer_told(key: Key, id: String) -> Self {
        let (url, size) = match key.video {
            Video::Size(size) => (None, size),
            Video::Key(url) => (Some(url), 0),
        };
        Self {
            id,
            file: None,
            url,
            account: key.account,
            api_base: key.api_base,
            state: State::UNKNOWN.into(),
            reason: Some("history.jsonl no longer tells how it ended".into()),
            publish_id: None,
            size,
            confirmed: 0,
            sha256: None,
            inits: 0,
            story: Story::default(),
            updated_ms: 0,
        }
    }

    /// Whether the service may hold all of its bytes.
    pub(super) fn may_be_complete(&self) -> bool {
        let pulled = self.url.is_some() && self.state == "init_intent";
        let state = self.state.as_str();
        pulled || matches!(state, "sealed" | "pulling" | "processing" | State::UNKNOWN)
    }

    /// What a pull is once the process that asked for it is gone: unknown, if no answer was recorded.
    pub(super) fn strand(&mut self) {
        if self.url.is_some() && self.state == "init_intent" {
            self.state = State::UNKNOWN.into();
            self.reason = Some(STRANDED.into());
        }
    }

    /// Whether `text` names it: the start of its id or publish_id, its path or its URL.
    pub fn answers_to(&self, text: &str) -> bool {
        let path = std::path::absolute(text).unwrap_or_else(|_| text.into());
        self.id.starts_with(text)
            || self
                .publish_id
                .as_deref()
                .is_some_and(|publish_id| publish_id.starts_with(text))
            || self.file.as_ref() == Some(&path)
            || self.file.as_deref() == Some(Path::new(&crate::secret::without_query(text)))
            || self.url.is_some() && self.url == without_query(text)
    }
}

/// As the journal spells a URL, or whatever else its user has called a pull.
fn without_query(text: &str) -> Option<String> {
    let Ok(mut url) = Url::parse(text) else {
        return Some(text.to_owned());
    };
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

impl Story {
    fn of(row: &Upload) -> Self {
        let plan = row.plan();
        let totals = &row.totals;
        Self {
            began_ms: row.created.0,
            chunk_size: plan.map(Plan::chunk_size),
            total_chunk_count: plan.map(Plan::chunk_count),
            retries: totals.retries,
            lost_inits: totals.lost_inits,
            lost_sessions: totals.lost_sessions,
            log_ids: row.log_ids.clone(),
            identity: row.identity().map(|identity| FileIdentity {
                device: identity.device,
                inode: identity.inode,
                size: identity.size,
                mtime_ns: identity.mtime_ns,
                ctime_ns: identity.ctime_ns,
            }),
        }
    }
}

impl From<&Upload> for Record {
    fn from(row: &Upload) -> Self {
        Self {
            id: row.id.clone(),
            file: row.address().map(|at| at.as_path().to_owned()),
            url: row.url().map(str::to_owned),
            account: row.key.account.clone(),
            api_base: row.key.api_base.clone(),
            state: row.state_name().to_owned(),
            reason: row.reason().map(str::to_owned),
            publish_id: row.state.publish_id().map(str::to_owned),
            size: row.size().unwrap_or(0),
            confirmed: row.confirmed_bytes(),
            sha256: row.sha256.clone(),
            inits: row.totals.inits,
            story: Story::of(row),
            updated_ms: row.updated.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_answers_to_its_url_however_that_is_spelled() {
        let mut record = Record::no_longer_told(
            Key {
                account: "lena".into(),
                api_base: "http://127.0.0.1:1".into(),
                destination: crate::upload::Destination::Inbox,
                video: Video::Key("https://media.example/clip.mp4".into()),
            },
            "0123456789abcdef".into(),
        );
        for text in [
            "https://media.example/clip.mp4",
            "https://media.example/clip.mp4?signature=1#t=2",
            "HTTPS://Media.Example:443/clip.mp4",
        ] {
            assert!(record.answers_to(text), "{text}");
        }
        assert!(!record.answers_to("https://media.example/other.mp4"));
        record.url = Some("my name of it".into());
        assert!(record.answers_to("my name of it"));
        record.file = Some("s3://renders/a b#1.mp4".into());
        assert!(record.answers_to("s3://renders/a b#1.mp4"));
        assert!(!record.answers_to("s3://renders/a b"));
    }
}
