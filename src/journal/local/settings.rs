//! Two values beside the uploads: the creator of each account's name, and the last rate towards each API base.

use sled::Batch;

use super::{Inner, cannot, keys, lock};
use crate::clock::Timestamp;
use crate::failpoint::reach;
use crate::journal::StoreError;
use crate::journal::creators::{Creator, Creators};
use crate::journal::store::{ApiAccount, Rate};
use crate::upload::{Key, State};

impl Inner {
    pub(super) fn oldest_delivery(
        &self,
        of: &Key,
        since: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let history = |error| StoreError::unavailable("its history", error);
        let mut oldest = None;
        for line in self.history.lines(0).map_err(history)? {
            let (_, row) = line.map_err(history)?;
            if let State::Delivered { at, .. } = row.state
                && at >= since
                && row.key.has_scope_of(of)
            {
                oldest = oldest.into_iter().chain([at]).min();
            }
        }
        Ok(oldest)
    }

    pub(super) fn identify(
        &self,
        of: &ApiAccount,
        open_id: Option<String>,
        replace: bool,
    ) -> Result<Creator, StoreError> {
        let writing = lock(&self.writing);
        let (base, kept) = (&of.api_base, keys::kept_names(&of.api_base));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut creators = Creators::default();
        for found in self.db.scan_prefix(keys::CREATORS) {
            let (key, open_id) = found.map_err(cannot)?;
            if let Some((account, at)) = keys::account_of(&key)
                && at == *base
            {
                creators.of_names.insert(account, text(&open_id));
            }
        }
        for found in self.db.scan_prefix(&kept) {
            let (key, name) = found.map_err(cannot)?;
            creators.kept.insert(text(&key[kept.len()..]), text(&name));
        }
        let (creator, changed) = creators.identify(&of.account, open_id, replace);
        if let (Some(open_id), true) = (&creator.open_id, changed) {
            let mut batch = Batch::default();
            batch.insert(keys::creator(of), open_id.as_bytes());
            batch.insert(
                [&*kept, open_id.as_bytes()].concat(),
                creator.name.as_bytes(),
            );
            self.apply(batch)?;
            drop(writing);
            self.sync()?;
        }
        Ok(creator)
    }

    pub(super) fn forget_creator(&self, account: &str) -> Result<bool, StoreError> {
        let writing = lock(&self.writing);
        let mut batch = Batch::default();
        let mut any = false;
        for found in self.db.scan_prefix(keys::creators(account)).keys() {
            batch.remove(found.map_err(cannot)?);
            any = true;
        }
        self.apply(batch)?;
        drop(writing);
        self.sync()?;
        Ok(any)
    }

    pub(super) fn rate(&self, api_base: &str) -> Result<Option<Rate>, StoreError> {
        let found = self.db.get(keys::rate(api_base)).map_err(cannot)?;
        Ok(found.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    pub(super) fn set_rate(&self, api_base: &str, rate: Rate) -> Result<(), StoreError> {
        let text = serde_json::to_vec(&rate)
            .map_err(|error| StoreError::unavailable("writing a rate", error))?;
        self.db.insert(keys::rate(api_base), text).map_err(cannot)?;
        reach("rate", "kept");
        Ok(())
    }
}
