//! What the engine needs of a store.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::creators::Creator;
use super::lock::Released;
use super::record::Record;
use super::store_error::StoreError;
use crate::answer::Refusal;
use crate::clock::Timestamp;
use crate::upload::ledger::Entry;
use crate::upload::{Identity, Key, State, Upload};

/// A step of a store: its answer, or why it failed.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What the engine needs of a store. Each method is one atomic step and durable when it returns `Ok`.
///
/// Several processes may share a store. So each write of a row carries the writer's [`Lease`]; leases and windows go by the
/// store's own clock, and nothing depends on a time that a caller passes in. Every store must pass the suite in
/// `conformance.rs`.
pub(crate) trait ProgressStore: fmt::Debug + Send + Sync + 'static {
    /// Reserves a video: of all processes, only the holder looks for uploads of this key and fingerprint and inserts a row for
    /// them. If the future is dropped, nothing is reserved for longer than a lease lasts.
    fn reserve(&self, key: Key, fingerprint: Option<String>) -> Answer<'_, Reserved>;

    /// Gives a reservation back. Returns at once: what a store cannot do then ends with the lease.
    fn free(&self, reservation: &Reservation);

    /// Inserts a row of a video that is reserved, unless one of that id is there. If the future is dropped, it is inserted
    /// now or not at all. [`StoreError::Fenced`] if the reservation has ended.
    fn submit(&self, reservation: &Reservation, row: Upload) -> Answer<'_, Lease>;

    /// Makes the caller the row's only owner: its epoch rises, and writes under earlier leases are fenced off. A row that has
    /// ended is taken up again. If the future is dropped, that happens now or not at all. [`StoreError::Held`] while the
    /// lease of another process lasts.
    fn claim(&self, key: Key, id: String) -> Answer<'_, (Upload, Lease)>;

    /// Makes all leases and reservations of this process last from now on for as long as new ones do. The ids of the uploads
    /// among them that somebody has asked to stop.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "no store that several processes share is built yet"
        )
    )]
    fn renew(&self) -> Answer<'_, Vec<String>>;

    /// Gives the lease of a row back, so that the next process need not wait for its end. Returns at once, as
    /// [`free`](Self::free) does.
    fn release(&self, id: &str, lease: Lease);

    /// Asks the owner of this upload's row to stop. Returns whether the upload is under way.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "no store that several processes share is built yet"
        )
    )]
    fn ask_to_stop(&self, id: String) -> Answer<'_, bool>;

    /// Records the intent of an init and takes a slot of the account's window, or does neither. [`StoreError::Fenced`] if
    /// the lease has ended.
    fn begin(&self, lease: Lease, row: Upload) -> Answer<'_, Grant>;

    /// Replaces the row, together with the ledger entry of the chunk that was just confirmed. A row whose revision is not
    /// newer changes nothing. [`StoreError::Fenced`] if the lease has ended.
    fn save(&self, lease: Lease, row: Upload, entry: Option<(u32, Entry)>) -> Answer<'_, ()>;

    /// All uploads of one key: of a file of that size, or of that URL, for that account, API base and destination.
    fn find(&self, key: Key) -> Answer<'_, Found>;

    /// The uploads of one key with any of these traits. Unlike [`find`](Self::find), its cost does not grow with the number
    /// of the other uploads of that key.
    fn alike(&self, key: Key, traits: Vec<Trait>) -> Answer<'_, Found>;

    /// The uploads of a file at this path that have not ended, in the scope of `key` and of whatever size; oldest first.
    fn at_path(&self, key: Key, path: PathBuf) -> Answer<'_, Vec<Upload>>;

    /// The upload that this names: the newest one under way, else the last one that has ended. The first call may read the
    /// whole history.
    fn recall(&self, what: Recall) -> Answer<'_, Option<Upload>>;

    /// All uploads that have not ended, oldest first.
    fn unfinished(&self) -> Answer<'_, Vec<Upload>>;

    /// A page of the uploads that have ended, at most `limit` of them, in the order of their ends: the first page, or the one
    /// after this cursor of an earlier page.
    fn ended(&self, after: Option<Cursor>, limit: usize) -> Answer<'_, Page>;

    /// The first `chunks` entries of an upload's ledger, or fewer if fewer are there.
    fn ledger(&self, id: String, chunks: u32) -> Answer<'_, Vec<Entry>>;

    /// Removes all that is known of an upload; whether anything was.
    fn remove(&self, id: String) -> Answer<'_, bool>;

    /// The oldest delivery to that account since `since`.
    fn oldest_delivery(&self, key: Key, since: Timestamp) -> Answer<'_, Option<Timestamp>>;

    /// Counts one more question for the status of an upload, if the account's window has room.
    fn ask(&self, of: ApiAccount) -> Answer<'_, Ask>;

    /// A question that was counted has never left, so it no longer counts.
    fn unask(&self, of: ApiAccount, question: Question) -> Answer<'_, ()>;

    /// Remembers that too many drafts of an account wait, until the oldest of them no longer counts, or for some minutes.
    fn set_pending_cap(&self, of: ApiAccount, cap: PendingCap) -> Answer<'_, ()>;

    /// What the service has said of too many drafts, if it is not to be asked again yet.
    fn pending_cap(&self, of: ApiAccount) -> Answer<'_, Option<PendingCap>>;

    /// Who an account's name stands for at this API base. Records `open_id` as its creator, if that is known and none is recorded;
    /// `replace`: even if another one is.
    fn identify(
        &self,
        of: ApiAccount,
        open_id: Option<String>,
        replace: bool,
    ) -> Answer<'_, Creator>;

    /// Drops the creators of an account's name, at every API base; whether there were any.
    fn forget_creator(&self, account: String) -> Answer<'_, bool>;

    /// The last known rate to an API base, in bytes per second.
    fn rate(&self, api_base: String) -> Answer<'_, Option<Rate>>;

    /// Remembers a rate.
    fn set_rate(&self, api_base: String, rate: Rate) -> Answer<'_, ()>;

    /// To wait with until the store is closed: this value and each step that is under way are gone.
    fn released(&self) -> Released;
}

impl dyn ProgressStore {
    /// All uploads there are: those that have ended, and then those that are under way, each oldest first. `running`: whether
    /// this process carries the upload of an id.
    pub(crate) async fn records(
        &self,
        running: impl Fn(&str) -> bool,
    ) -> Result<Vec<Record>, StoreError> {
        let mut open = self.unfinished().await?;
        for row in &mut open {
            row.run.in_doubt = !running(&row.id);
        }
        let open = open.iter().map(Record::from).collect();
        let (mut ended, mut after) = (BTreeMap::new(), None);
        loop {
            let Page {
                records,
                lost,
                next,
            } = self.ended(after, PAGE).await?;
            for record in lost.into_iter().chain(records) {
                ended.insert(record.id.clone(), record);
            }
            after = next;
            if after.is_none() {
                return Ok(Record::in_order(open, ended));
            }
        }
    }
}

/// How many ended uploads are read at a time.
const PAGE: usize = 1000;

/// One opened store, of all that share the same rows: a random number. Neither a process id nor a host name, as both come
/// back after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u64);

impl Owner {
    pub(super) fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

/// The right to write one row. Epochs alone do not fence: a database that fails over may grant one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(super) owner: Owner,
    /// Of the row; it rises with each claim.
    pub(super) epoch: u64,
}

/// What came of asking for a video.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// The caller is alone with it.
    Alone(Reservation),
    /// Another owner has it.
    HeldBy {
        /// For how long, unless that is renewed; `None` where it lasts as long as its owner.
        ends_in: Option<Duration>,
    },
}

/// A video that the caller is alone with: a key, and the fingerprint of a file. Two files with the same ones may be the same
/// video.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(super) video: (Key, Option<String>),
    pub(super) lease: Lease,
}

/// An account by the user's name of it, at an API base: what the service's windows are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ApiAccount {
    pub(crate) account: String,
    pub(crate) api_base: String,
}

/// Whether a status may be asked for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Granted(Question),
    /// The window is full for this long.
    Wait(Duration),
}

/// A question that counts in an account's window, by a number of the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question(pub(super) u64);

/// The service has said that too many drafts of an account wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingCap {
    pub(crate) error: Refusal,
    /// When the oldest of these drafts no longer counts, at the latest.
    pub(crate) retry_at: SystemTime,
}

/// Where a page of ended uploads goes on, as only the store reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor(pub(super) u64);

/// Some of the uploads that have ended.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// With the first page: uploads of which no more is known than that they have ended.
    pub(crate) lost: Vec<Record>,
    /// Where the next page begins; `None` after the last one.
    pub(crate) next: Option<Cursor>,
}

/// What names an upload without its bytes.
#[derive(Debug, Clone)]
pub(crate) enum Recall {
    /// Its id.
    Id(String),
    /// The path of its file or the address of its media, in the scope of a key.
    Path(Key, PathBuf),
}

impl Recall {
    pub(super) fn names(&self, row: &Upload) -> bool {
        match self {
            Self::Id(id) => row.id == *id,
            Self::Path(key, path) => row.is_at(path) && row.key.has_scope_of(key),
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
    /// The path or address of a video whose upload has not ended.
    Path(PathBuf),
    /// The fingerprint of a file whose upload has not ended; `None` in rows of older versions.
    Fingerprint(Option<String>),
    /// SHA-256 of all bytes, in hexadecimal.
    Sha256(String),
}

impl Trait {
    /// What other uploads may have in common with this one.
    pub(super) fn all_of(row: &Upload) -> Vec<Self> {
        let mut traits = Vec::new();
        traits.extend(row.identity().as_ref().map(Self::of_file));
        traits.extend(sha256(row).map(|text| Self::Sha256(text.to_owned())));
        if !row.state.is_final() {
            traits.extend(row.address().map(|at| Self::Path(at.as_path().to_owned())));
            traits.push(Self::Fingerprint(row.fingerprint().map(str::to_owned)));
        }
        traits
    }

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

impl Found {
    /// All uploads of a key, sorted and looked through.
    pub(super) fn of(mut rows: Vec<Upload>, lost: Vec<String>) -> Self {
        let whole = |ended| {
            let mut rows = rows.iter();
            rows.any(|row| row.state.is_final() == ended && sha256(row).is_some())
        };
        let has_sha256 = HasSha256 {
            under_way: whole(false),
            ended: whole(true),
        };
        rows.sort_by_key(|row| row.created);
        Self {
            rows,
            lost,
            has_sha256,
        }
    }

    /// Adds uploads of another key.
    pub(crate) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.lost.extend(other.lost);
        self.has_sha256.under_way |= other.has_sha256.under_way;
        self.has_sha256.ended |= other.has_sha256.ended;
    }

    /// Leaves the uploads with any of these traits.
    pub(super) fn alike(mut self, wanted: &[Trait]) -> Self {
        let is_alike = |row: &Upload| Trait::all_of(row).iter().any(|of| wanted.contains(of));
        self.rows.retain(is_alike);
        self
    }
}

/// The SHA-256 of an upload that another file may be the same as: nothing can have been posted of one that was given up.
pub(super) fn sha256(row: &Upload) -> Option<&str> {
    match row.state {
        State::GivenUp { .. } => None,
        _ => row.sha256.as_deref(),
    }
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
