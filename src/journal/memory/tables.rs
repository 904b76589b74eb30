//! What the store in memory holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::clock::{Now, Timestamp};
use crate::journal::StoreError;
use crate::journal::creators::Creators;
use crate::journal::store::{ApiAccount, Found, Lease, Rate};
use crate::secret::Secret;
use crate::upload::ledger::Entry;
use crate::upload::{Key, Upload};

pub(super) type Video = (Key, Option<String>);

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) rows: BTreeMap<String, Row>,
    /// Ids in the order of their ends.
    pub(super) ended: Vec<String>,
    pub(super) videos: HashMap<Video, Held>,
    pub(super) inits: HashMap<ApiAccount, VecDeque<(String, Timestamp)>>,
    pub(super) creators: BTreeMap<String, Creators>,
    pub(super) rates: HashMap<String, Rate>,
    pub(super) stops: BTreeSet<String>,
    /// The epoch of the next reservation.
    pub(super) epoch: u64,
}

#[derive(Debug)]
pub(super) struct Row {
    /// As a database would keep a row: its text, and its secret apart.
    pub(super) text: String,
    pub(super) secret: Option<Secret>,
    pub(super) held: Option<Held>,
    pub(super) ledger: BTreeMap<u32, Entry>,
}

/// A lease as the store keeps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) lease: Lease,
    /// On the clock that counts from boot.
    pub(super) until: Duration,
}

impl Held {
    pub(super) fn left(&self, now: Now) -> Option<Duration> {
        let left = self.until.saturating_sub(now.boot);
        (!left.is_zero()).then_some(left)
    }
}

impl Row {
    pub(super) fn new(row: &Upload, held: Held) -> Self {
        let mut new = Self {
            text: String::new(),
            secret: None,
            held: Some(held),
            ledger: BTreeMap::new(),
        };
        new.write(row);
        new
    }

    pub(super) fn write(&mut self, row: &Upload) {
        self.text = serde_json::to_string(row).expect("a row");
        self.secret = row.secret().cloned();
    }

    pub(super) fn read(&self) -> Upload {
        let mut row: Upload = serde_json::from_str(&self.text).expect("a row");
        if let Some(secret) = &self.secret {
            row.set_secret(secret.clone());
        }
        row
    }
}

impl Tables {
    /// The row that may be written under this lease; `None` if this one is not newer.
    pub(super) fn fence(
        &mut self,
        lease: Lease,
        row: &Upload,
        now: Now,
    ) -> Result<Option<&mut Row>, StoreError> {
        let id = &row.id;
        let stored = self.rows.get_mut(id);
        let stored = stored.ok_or_else(|| StoreError::Gone(id.clone()))?;
        let holds = |held: Held| held.lease == lease && held.left(now).is_some();
        if !stored.held.is_some_and(holds) {
            return Err(StoreError::Fenced(id.clone()));
        }
        Ok((stored.read().revision < row.revision).then_some(stored))
    }

    pub(super) fn uploads(&self) -> impl Iterator<Item = Upload> {
        self.rows.values().map(Row::read)
    }

    pub(super) fn find(&self, key: &Key) -> Found {
        let rows = self.uploads().filter(|row| row.key == *key);
        Found::of(rows.collect(), Vec::new())
    }

    pub(super) fn unfinished(&self) -> Vec<Upload> {
        let rows = self.uploads().filter(|row| !row.state.is_final());
        let mut rows: Vec<Upload> = rows.collect();
        rows.sort_by_key(|row| row.created);
        rows
    }
}

pub(super) fn scope(of: &Key) -> ApiAccount {
    ApiAccount {
        account: of.account.clone(),
        api_base: of.api_base.clone(),
    }
}
