//! The outbox in the embedded store, and the marks of accounts without a token, which are written together with their news.

use sled::Batch;
use std::sync::atomic::Ordering;

use super::jobs::{read, write};
use super::{Inner, cannot, keys, lock};
use crate::clock::Timestamp;
use crate::journal::StoreError;
use crate::journal::queue::{JobNews, Tokens};

impl Inner {
    pub(super) fn set_tokens(&self, account: &str, tokens: &Tokens) -> Result<(), StoreError> {
        let writing = lock(&self.writing);
        let mut batch = Batch::default();
        let Some(news) = self.mark_tokens(&mut batch, account, tokens)? else {
            return Ok(());
        };
        let number = self.append(&mut batch, [&news])?;
        self.apply(batch)?;
        drop(writing);
        self.sync()?;
        self.durable_news.fetch_max(number, Ordering::AcqRel);
        Ok(())
    }

    /// The mark of an account without a token, and the news if that is new.
    pub(super) fn mark_tokens(
        &self,
        batch: &mut Batch,
        account: &str,
        tokens: &Tokens,
    ) -> Result<Option<JobNews>, StoreError> {
        let key = keys::tokenless(account);
        let is_missing = matches!(tokens, Tokens::Missing(_));
        if self.db.contains_key(&key).map_err(cannot)? == is_missing {
            return Ok(None);
        }
        match is_missing {
            true => batch.insert(key, &[]),
            false => batch.remove(key),
        }
        Ok(Some(JobNews::of_account(account, tokens)))
    }

    pub(super) fn tokenless(&self) -> Result<Vec<String>, StoreError> {
        let marks = self.db.scan_prefix(keys::TOKENLESS).keys();
        let names = marks.map(|key| {
            let key = key.map_err(cannot)?;
            let name = key.strip_prefix(keys::TOKENLESS).unwrap_or_default();
            Ok(String::from_utf8_lossy(name).into_owned())
        });
        names.collect()
    }

    /// Appends news to the outbox; the number of the last one, 0 without any.
    pub(super) fn append<'a>(
        &self,
        batch: &mut Batch,
        news: impl IntoIterator<Item = &'a JobNews>,
    ) -> Result<u64, StoreError> {
        let mut news = news.into_iter().peekable();
        if news.peek().is_none() {
            return Ok(0);
        }
        let mut number = self.last_news()?;
        for news in news {
            number += 1;
            batch.insert(keys::news(number), write(news)?);
        }
        Ok(number)
    }

    /// Makes the outbox durable up to this number. Whoever has read a number that a crash takes back would pass over the entry that
    /// gets the number next.
    pub(super) fn sync_news(&self, number: u64) -> Result<(), StoreError> {
        if self.durable_news.load(Ordering::Acquire) < number {
            self.sync()?;
            self.durable_news.fetch_max(number, Ordering::AcqRel);
        }
        Ok(())
    }

    pub(super) fn last_news(&self) -> Result<u64, StoreError> {
        let last = self.db.scan_prefix(keys::NEWS).next_back().transpose();
        let last = last.map_err(cannot)?;
        let kept = self.db.get(keys::LAST_NEWS).map_err(cannot)?;
        let number = |bytes: &[u8]| keys::number_of(bytes).unwrap_or(0);
        let last = last.map_or(0, |(key, _)| number(&key));
        Ok(last.max(kept.map_or(0, |bytes| number(&bytes))))
    }

    pub(super) fn news(&self, after: u64, limit: usize) -> Result<Vec<(u64, JobNews)>, StoreError> {
        let mut news = Vec::new();
        for found in self
            .db
            .range(keys::news(after.saturating_add(1))..)
            .take(limit)
        {
            let (key, text) = found.map_err(cannot)?;
            let Some(number) = keys::number_of(&key).filter(|_| key.starts_with(keys::NEWS)) else {
                break;
            };
            news.push((number, read(&text)?));
        }
        if let Some((last, _)) = news.last() {
            self.sync_news(*last)?;
        }
        Ok(news)
    }

    pub(super) fn drop_news(&self, before: Timestamp) -> Result<(), StoreError> {
        let writing = lock(&self.writing);
        let mut batch = Batch::default();
        // Numbers are never given twice, so that no reader's cursor passes over new entries.
        batch.insert(keys::LAST_NEWS, keys::news(self.last_news()?));
        for found in self.db.scan_prefix(keys::NEWS) {
            let (key, text) = found.map_err(cannot)?;
            if read::<JobNews>(&text)?.at >= before {
                break;
            }
            batch.remove(key);
        }
        self.apply(batch)?;
        drop(writing);
        self.sync()
    }
}
