//! Jobs in the embedded store: rows in the order of their ids, the ids of callers, and the outbox.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sled::Batch;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{Answer, Inner, SledStore, cannot, keys, lock};
use crate::clock::Timestamp;
use crate::failpoint::reach;
use crate::journal::StoreError;
use crate::journal::queue::{Accepted, JOB_VERSION, JobNews, JobRow, JobStore, Tokens, Wish};

/// What is kept of a caller's id, also when its job is forgotten.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    job: String,
    parts: BTreeMap<String, String>,
}

/// The pause of the whole queue.
#[derive(Debug, Serialize, Deserialize)]
struct Halt {
    version: u32,
    since: Timestamp,
}

impl JobStore for SledStore {
    fn accept(&self, wish: Wish) -> Answer<'_, Accepted> {
        self.run(move |store| store.accept(wish))
    }

    fn save_job(
        &self,
        row: JobRow,
        news: Option<JobNews>,
        tokens: Option<Tokens>,
    ) -> Answer<'_, bool> {
        self.run(move |store| store.save_job(row, news, tokens))
    }

    fn set_tokens(&self, account: String, tokens: Tokens) -> Answer<'_, ()> {
        self.run(move |store| store.set_tokens(&account, &tokens))
    }

    fn tokenless(&self) -> Answer<'_, Vec<String>> {
        self.run(|store| store.tokenless())
    }

    fn job(&self, id: String) -> Answer<'_, Option<JobRow>> {
        self.run(move |store| store.job(&id))
    }

    fn job_under(&self, account: String, caller_id: String) -> Answer<'_, Option<String>> {
        self.run(move |store| Ok(store.taken(&account, &caller_id)?.map(|taken| taken.job)))
    }

    fn job_of(&self, upload: String) -> Answer<'_, Option<String>> {
        self.run(move |store| store.job_of(&upload))
    }

    fn jobs(&self, after: Option<String>, limit: usize, open: bool) -> Answer<'_, Vec<JobRow>> {
        self.run(move |store| store.jobs(after.as_deref(), limit, open))
    }

    fn has_left_out_jobs(&self) -> bool {
        self.0.left_out_jobs.load(Ordering::Acquire)
    }

    fn remove_job(&self, id: String) -> Answer<'_, bool> {
        self.run(move |store| store.remove_job(&id))
    }

    fn news(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, JobNews)>> {
        self.run(move |store| store.news(after, limit))
    }

    fn last_news(&self) -> Answer<'_, u64> {
        self.run(|store| {
            let last = store.last_news()?;
            store.sync_news(last)?;
            Ok(last)
        })
    }

    fn drop_news(&self, before: Timestamp) -> Answer<'_, ()> {
        self.run(move |store| store.drop_news(before))
    }

    fn halted(&self) -> Answer<'_, Option<Timestamp>> {
        self.run(move |store| store.halted())
    }

    fn set_halted(&self, since: Option<Timestamp>) -> Answer<'_, ()> {
        self.run(move |store| store.set_halted(since))
    }
}

impl Inner {
    fn accept(&self, wish: Wish) -> Result<Accepted, StoreError> {
        let writing = lock(&self.writing);
        let mut batch = Batch::default();
        let caller_id = wish.caller_id.as_ref();
        let key = caller_id.map(|id| key_of(&wish.account, id));
        if let Some(id) = caller_id
            && let Some(taken) = self.taken(&wish.account, id)?
        {
            return self.accept_again(writing, taken, wish);
        }
        let id = self.next_job(&mut batch)?;
        let row = JobRow::new(id, wish);
        if let Some(key) = key {
            let taken = Taken {
                job: row.id.clone(),
                parts: row.wish.parts(),
            };
            batch.insert(key, write(&taken)?);
        }
        batch.insert(keys::job(&row.id), write(&row)?);
        batch.insert(keys::open_job(&row.id), &[]);
        self.apply(batch)?;
        drop(writing);
        reach("job", "applied");
        self.sync()?;
        reach("job", "accepted");
        Ok(Accepted::New(row))
    }

    /// What is kept of a caller's id.
    fn taken(&self, account: &str, caller_id: &str) -> Result<Option<Taken>, StoreError> {
        let key = key_of(account, caller_id);
        let text = self.db.get(key).map_err(cannot)?;
        text.map(|text| read(&text)).transpose()
    }

    /// The same id again: the same job if the wish is the same, with the newest form of its URL.
    fn accept_again(
        &self,
        writing: std::sync::MutexGuard<'_, ()>,
        taken: Taken,
        wish: Wish,
    ) -> Result<Accepted, StoreError> {
        let row = self.job(&taken.job)?;
        // The bytes of a video that was taken in went with its end; those that come now may be others, and sent in another way.
        let was_in_vain = row.as_ref().is_some_and(JobRow::was_in_vain);
        let comes_anew = was_in_vain && wish.options.once && wish.spooled().is_some();
        let parts = wish.parts();
        let differs = |part: &&String| {
            let may_differ = comes_anew && !["api_base", "source"].contains(&part.as_str());
            !may_differ && parts.get(*part) != taken.parts.get(*part)
        };
        let mut all = parts.keys().chain(taken.parts.keys());
        if let Some(field) = all.find(differs) {
            return Ok(Accepted::Conflict {
                job: taken.job,
                field: field.clone(),
            });
        }
        let Some(mut row) = row else {
            return Ok(Accepted::Forgotten { job: taken.job });
        };
        let wish = Wish {
            by: row.wish.by.clone(),
            ..wish
        };
        if comes_anew {
            row = JobRow {
                created: row.created,
                revision: row.revision + 1,
                ..JobRow::new(row.id, wish)
            };
            let mut batch = Batch::default();
            if let Some(id) = &row.wish.caller_id {
                let job = row.id.clone();
                let taken = write(&Taken { job, parts })?;
                batch.insert(key_of(&row.wish.account, id), taken);
            }
            batch.insert(keys::job(&row.id), write(&row)?);
            batch.insert(keys::open_job(&row.id), &[]);
            self.apply(batch)?;
            drop(writing);
            self.sync()?;
            return Ok(Accepted::New(row));
        }
        if !row.has_ended() && row.wish != wish {
            row.wish.renew(&wish);
            row.revision += 1;
            let mut batch = Batch::default();
            batch.insert(keys::job(&row.id), write(&row)?);
            self.apply(batch)?;
            drop(writing);
            self.sync()?;
        }
        Ok(Accepted::Repeat(row))
    }

    /// An id above all others: the number of the job, and random digits that keep ids of two stores apart.
    fn next_job(&self, batch: &mut Batch) -> Result<String, StoreError> {
        let last = self.db.get(keys::LAST_JOB).map_err(cannot)?;
        let last = last.and_then(|bytes| Some(u32::from_be_bytes(bytes.as_ref().try_into().ok()?)));
        let number = last.unwrap_or(0) + 1;
        batch.insert(keys::LAST_JOB, &number.to_be_bytes());
        Ok(format!("{number:08x}{:08x}", fastrand::u32(..)))
    }

    fn save_job(
        &self,
        mut row: JobRow,
        news: Option<JobNews>,
        tokens: Option<Tokens>,
    ) -> Result<bool, StoreError> {
        let writing = lock(&self.writing);
        let stored = self.job(&row.id)?;
        if stored.is_none_or(|stored| stored.revision + 1 != row.revision) {
            return Ok(false);
        }
        if row.has_ended() {
            row.wish.drop_query();
        }
        let mut batch = Batch::default();
        batch.insert(keys::job(&row.id), write(&row)?);
        match row.has_ended() {
            true => batch.remove(keys::open_job(&row.id)),
            false => batch.insert(keys::open_job(&row.id), &[]),
        }
        if let Some(upload) = &row.upload
            && self.job_of(upload)?.is_none()
        {
            batch.insert(keys::job_of(upload), row.id.as_bytes());
        }
        let account = match &tokens {
            Some(tokens) => self.mark_tokens(&mut batch, &row.wish.account, tokens)?,
            None => None,
        };
        let number = self.append(&mut batch, news.iter().chain(&account))?;
        self.apply(batch)?;
        drop(writing);
        reach("job", "end_applied");
        self.sync()?;
        self.durable_news.fetch_max(number, Ordering::AcqRel);
        reach("job", "end_recorded");
        Ok(true)
    }

    fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        let text = self.db.get(keys::job(id)).map_err(cannot)?;
        text.map(|text| read(&text)).transpose()
    }

    fn job_of(&self, upload: &str) -> Result<Option<String>, StoreError> {
        let id = self.db.get(keys::job_of(upload)).map_err(cannot)?;
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    fn jobs(
        &self,
        after: Option<&str>,
        limit: usize,
        open: bool,
    ) -> Result<Vec<JobRow>, StoreError> {
        let prefix = if open { keys::OPEN_JOBS } else { keys::JOBS };
        let mut from = [prefix, after.unwrap_or_default().as_bytes()].concat();
        if after.is_some() {
            from.push(0);
        }
        let mut rows = Vec::new();
        for found in self.db.range(from..) {
            let (key, text) = found.map_err(cannot)?;
            if !key.starts_with(prefix) || rows.len() == limit {
                break;
            }
            let id = String::from_utf8_lossy(&key[prefix.len()..]);
            let row = match open {
                true => self.job(&id),
                false => read(&text).map(Some),
            };
            match row {
                Ok(row) => rows.extend(row),
                // One job must not hold up the others.
                Err(error) => {
                    tracing::error!(%error, job = &*id, "a job is left out");
                    self.left_out_jobs.store(true, Ordering::Release);
                }
            }
        }
        Ok(rows)
    }

    fn remove_job(&self, id: &str) -> Result<bool, StoreError> {
        let writing = lock(&self.writing);
        let ended = self.job(id)?.is_some_and(|row| row.has_ended());
        if ended {
            self.db.remove(keys::job(id)).map_err(cannot)?;
        }
        drop(writing);
        self.sync()?;
        Ok(ended)
    }

    fn halted(&self) -> Result<Option<Timestamp>, StoreError> {
        let text = self.db.get(keys::HALT).map_err(cannot)?;
        let halt = text.map(|text| read::<Halt>(&text)).transpose()?;
        Ok(halt.map(|halt| halt.since))
    }

    fn set_halted(&self, since: Option<Timestamp>) -> Result<(), StoreError> {
        let writing = lock(&self.writing);
        let mut batch = Batch::default();
        match since {
            Some(since) => {
                let version = JOB_VERSION;
                batch.insert(keys::HALT, write(&Halt { version, since })?);
            }
            None => batch.remove(keys::HALT),
        }
        self.apply(batch)?;
        drop(writing);
        self.sync()
    }
}

fn key_of(account: &str, caller_id: &str) -> Vec<u8> {
    keys::caller_id(account, &Sha256::digest(caller_id))
}

pub(super) fn write(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::unavailable("writing a job", error))
}

pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, StoreError> {
    #[derive(Default, Deserialize)]
    struct Version {
        #[serde(default)]
        version: u32,
    }
    let found: Version = serde_json::from_slice(text).unwrap_or_default();
    if found.version > JOB_VERSION {
        let newer = std::io::Error::other(format!(
            "a job was written by a newer chunkferry (version {}, this one reads {JOB_VERSION})",
            found.version
        ));
        return Err(StoreError::unavailable("its jobs", newer));
    }
    // What serde says may repeat a secret.
    serde_json::from_slice(text)
        .map_err(|_| StoreError::unavailable("its jobs", std::io::Error::other("a job is damaged")))
}
