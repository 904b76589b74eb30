//! What the engine needs of a store, and how a store fails.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Remedy};
use crate::upload::ledger::Entry;
use crate::upload::{Identity, Key, Upload};

/// What the engine needs of a store. Each method is one atomic step and durable when it returns `Ok`.
///
/// Free of anything the embedded store brings along, so that a shared database can stand behind it later: `claim` then
/// takes a lease, and the epoch that fences `save` and `begin` is already here. Crate-private until there is a second
/// implementation.
pub(crate) trait ProgressStore: Send + Sync + 'static {
    /// Inserts a row, unless one of that id is there. If the future is dropped, it is inserted now or not at all.
    fn submit(&self, row: Upload) -> BoxFuture<'_, Result<(), StoreError>>;

    /// All uploads of one key: of a file of that size, or of that URL, for that account, API base and destination.
    fn find(&self, key: Key) -> BoxFuture<'_, Result<Found, StoreError>>;

    /// The uploads of one key with any of these traits. Unlike [`find`](Self::find), its cost does not grow with the number
    /// of the other uploads of that key.
    fn alike(&self, key: Key, traits: Vec<Trait>) -> BoxFuture<'_, Result<Found, StoreError>>;

    /// The uploads of a file at this path that have not ended, in the scope of `key` and of whatever size; oldest first.
    fn at_path(&self, key: Key, path: PathBuf) -> BoxFuture<'_, Result<Vec<Upload>, StoreError>>;

    /// The upload that this names: the newest one under way, else the last one that has ended. The first call reads the
    /// whole history.
    fn recall(&self, what: Recall) -> BoxFuture<'_, Result<Option<Upload>, StoreError>>;

    /// Makes the caller the row's only owner: its epoch rises, and saves by an earlier owner are fenced off. One that has
    /// ended is taken up again. If the future is dropped, that happens now or not at all.
    fn claim(&self, key: Key, id: String) -> BoxFuture<'_, Result<Upload, StoreError>>;

    /// Records the intent of an init and takes a slot of the account's window, or does neither.
    fn begin(&self, row: Upload, now: Timestamp) -> BoxFuture<'_, Result<Grant, StoreError>>;

    /// Replaces the row, together with the ledger entry of the chunk that was just confirmed.
    fn save(
        &self,
        row: Upload,
        entry: Option<(u32, Entry)>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The first `chunks` entries of an upload's ledger, or fewer if fewer are there.
    fn ledger(&self, id: String, chunks: u32) -> BoxFuture<'_, Result<Vec<Entry>, StoreError>>;

    /// Removes all that is known of an upload; whether anything was.
    fn remove(&self, id: String) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// The oldest delivery to that account since `since`.
    fn oldest_delivery(
        &self,
        key: Key,
        since: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>>;

    /// The open_id that was the first one of this account and API base: this one, if none was kept.
    fn creator(&self, of: Key, open_id: String) -> BoxFuture<'_, Result<String, StoreError>>;

    /// Drops the open_ids of an account; whether there were any.
    fn forget_creator(&self, account: String) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// The last known rate to an API base, in bytes per second.
    fn rate(&self, api_base: String) -> BoxFuture<'_, Result<Option<Rate>, StoreError>>;

    /// Remembers a rate.
    fn set_rate(&self, api_base: String, rate: Rate) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Why a store did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another owner has the row of this id. Nothing was changed, and the caller must send nothing more for it.
    #[error("another owner has taken over the upload {0}")]
    Fenced(String),
    /// There is no row of this id: somebody forgot the upload.
    #[error("there is no upload {0}")]
    Gone(String),
    /// The upload of this id has ended, and the line that says how is missing or was changed.
    #[error("the end of the upload {0} is no longer recorded")]
    NoLongerTold(String),
    /// The store cannot be reached, read or written now. Nothing is known of the step: it may have been done.
    #[error("the journal cannot be used: {what}")]
    Unavailable { what: String, source: Cause },
    /// What is stored cannot be understood. Another try does not help until the store is mended.
    #[error("the journal is damaged: {what}")]
    Damaged { what: String, source: Cause },
}

/// What has caused an error.
type Cause = Box<dyn std::error::Error + Send + Sync>;

impl StoreError {
    pub(super) fn unavailable(what: &str, source: impl Into<Cause>) -> Self {
        Self::Unavailable {
            what: what.to_owned(),
            source: source.into(),
        }
    }

    pub(super) fn damaged(what: &str, source: impl Into<Cause>) -> Self {
        Self::Damaged {
            what: what.to_owned(),
            source: source.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced(id) => {
                Self::temporary(format!("Another process has taken over the upload {id}."))
            }
            StoreError::Gone(id) => Self::temporary(format!(
                "The upload {id} is no longer in the journal: it was forgotten."
            ))
            .helped_by([Remedy::StartOver]),
            StoreError::NoLongerTold(id) => Self::no_longer_told(&id, std::slice::from_ref(&id)),
            StoreError::Unavailable { what, source } | StoreError::Damaged { what, source } => {
                let message =
                    format!("The journal cannot be used ({what}), and nothing is sent without it");
                Self::state(message, source).helped_by([Remedy::RepeatAfterFix])
            }
        }
    }
}

/// What names an upload without its bytes.
#[derive(Debug, Clone)]
pub(crate) enum Recall {
    /// Its id.
    Id(String),
    /// The path of its file, in the scope of a key.
    Path(Key, PathBuf),
}

impl Recall {
    pub(super) fn names(&self, row: &Upload) -> bool {
        match self {
            Self::Id(id) => row.id == *id,
            Self::Path(key, path) => row.path() == Some(path) && row.key.has_scope_of(key),
        }
    }
}

/// Something that uploads of the same video have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Trait {
    /// The file as its file system knew it, the change time left out.
    File {
        device: u64,
        inode: u64,
        mtime_ns: i64,
    },
    /// The path of a file whose upload has not ended.
    Path(PathBuf),
    /// The fingerprint of a file whose upload has not ended; `None` in rows of older versions.
    Fingerprint(Option<String>),
    /// SHA-256 of all bytes, in hexadecimal.
    Sha256(String),
}

impl Trait {
    pub(crate) const fn of_file(identity: &Identity) -> Self {
        Self::File {
            device: identity.device,
            inode: identity.inode,
            mtime_ns: identity.mtime_ns,
        }
    }
}

/// Uploads of one key.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Oldest first.
    pub(crate) rows: Vec<Upload>,
    /// The ids of all uploads of the key that have ended, and of which nothing more is known.
    pub(crate) lost: Vec<String>,
    /// Whether the SHA-256 of any upload of the key is known.
    pub(crate) has_sha256: HasSha256,
}

/// Whether there are uploads of a key whose SHA-256 is known, and which another file may be the same as.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HasSha256 {
    pub(crate) under_way: bool,
    pub(crate) ended: bool,
}

/// Whether an init may be asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    Granted,
    /// The window is full for this long.
    Wait(Duration),
}

/// How fast bytes went to an API base the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) bytes_per_second: u64,
    pub(crate) at: Timestamp,
}
