//! A file on its way: its chunks, and what this run knows of its bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::rehash::Rehash;
use super::transfer::Transfer;
use crate::body::{Body, Gate};
use crate::clock;
use crate::error::Error;
use crate::job::Job;
use crate::killpoint::reach;
use crate::plan::{Chunk, Limits, Plan};
use crate::source::{Ahead, Pieces, Proof, ReadMode, Source};
use crate::upload::{Identity, Origin, Reply, Shortfall};
use crate::wire::CallError;

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) source: Source,
    pub(super) content_type: String,
    read: ReadMode,
    /// How a new upload of it would be cut; one that is carried on keeps its own.
    pub(super) plan: Plan,
    /// What the file system says of the file for as long as what this run sends is one version of it.
    pub(super) baseline: Identity,
    /// The re-hash of what earlier runs sent, while this one goes on.
    pub(super) rehash: Option<Rehash>,
    /// What is read and hashed before it is its turn to be sent.
    ahead: Option<Ahead>,
    /// Bytes per second of an earlier run to the same API.
    last_rate: Option<u64>,
}

impl Sending {
    /// Opens the file, and tells by itself whether it can be sent.
    pub(super) async fn open(shared: &Shared, path: &Path, job: &Job) -> Result<Self, Error> {
        let source = Source::open(path)?;
        let size = source.identity().size;
        let rate = shared.journal.rate(shared.api_base.clone()).await?;
        let preferred = job
            .chunk_size
            .unwrap_or_else(|| Limits::TIKTOK.auto_chunk(rate.map(|rate| rate.bytes_per_second)));
        let plan = Plan::new(size, &Limits::TIKTOK, preferred)
            .map_err(|error| Error::plan(source.path(), error))?;
        let content_type = match &job.content_type {
            Some(content_type) => content_type.clone(),
            None => source.content_type()?.to_owned(),
        };
        Ok(Self {
            content_type,
            read: job.read,
            plan,
            baseline: source.identity(),
            source,
            rehash: None,
            ahead: None,
            last_rate: rate.map(|rate| rate.bytes_per_second),
        })
    }

    /// What a person should know of it beforehand.
    pub(super) fn remarks(&self) -> Vec<String> {
        let size = self.plan.video_size();
        let large = (size > Limits::TIKTOK.sure_file())
            .then(|| format!("{size} bytes are more than 4,000,000,000: TikTok may refuse them"));
        let slow = self
            .last_rate
            .and_then(|rate| Shortfall::of_whole(size, rate))
            .map(|shortfall| format!("by the last known rate it is too slow. {shortfall}"));
        large.into_iter().chain(slow).collect()
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::File {
            path: self.source.path().to_owned(),
            identity: self.source.identity(),
            content_type: self.content_type.clone(),
            plan: self.plan,
        }
    }

    /// Takes up what earlier runs have left: what they sent is hashed again, beside everything else.
    pub(super) async fn carry_on(
        &mut self,
        transfer: &mut Transfer,
        compared: bool,
    ) -> Result<(), Error> {
        let upload = &transfer.upload;
        let (Some(plan), Some(_)) = (upload.plan().copied(), upload.session()) else {
            return Ok(());
        };
        if upload.confirmed() == 0 {
            return Ok(());
        }
        if upload.running.is_none() {
            let same = upload.identity() == Some(self.source.identity());
            return if same {
                Ok(())
            } else {
                Err(self.changed(transfer, "its time of change".into()).await)
            };
        }
        if !compared {
            let entries = transfer.ledger().await?;
            self.rehash = Some(Rehash::start(self.source.clone(), plan, entries));
            reach("rehash", "started");
        }
        Ok(())
    }

    /// The file as it is now, if it still has the size that was planned.
    pub(super) async fn as_of(&self, transfer: &mut Transfer) -> Result<Identity, Error> {
        let identity = self.source.identity_now()?;
        if transfer.upload.size() != Some(identity.size) {
            return Err(self.changed(transfer, "its size".into()).await);
        }
        Ok(identity)
    }

    /// Everything is sent from the start, of the file as it was just seen.
    pub(super) fn begin(&mut self, as_of: Identity) {
        self.baseline = as_of;
        self.rehash = None;
        self.ahead = None;
    }

    /// The pieces of `chunk`, hashed on from what was sent before if that is kept.
    fn pieces(&mut self, transfer: &Transfer, chunk: Chunk) -> Pieces {
        let (pool, upload) = (&transfer.shared.pool, &transfer.upload);
        let (running, plan) = (upload.running(), upload.plan().copied());
        if let (Some(running), Some(plan)) = (running.clone(), plan) {
            if let Some(share) = self.ahead.as_ref().and_then(|ahead| ahead.share(chunk)) {
                return Pieces::Ahead(share);
            }
            let started = Ahead::start(&self.source, plan, chunk, running, self.read, pool);
            // Without one more thread it goes slower.
            if let Ok((ahead, share)) = started {
                self.ahead = Some(ahead);
                return Pieces::Ahead(share);
            }
        }
        Pieces::Now(self.source.reading(chunk, self.read, pool), running)
    }

    pub(super) async fn put(
        &mut self,
        transfer: &mut Transfer,
        chunk: Chunk,
    ) -> Result<Reply, Error> {
        let proof = match &mut self.rehash {
            None => None,
            // A service gives a body that pauses for long up, so the proof is waited for before the last one begins.
            Some(rehash) if chunk.is_last() => Some(rehash.proof().await),
            Some(rehash) => rehash.peek(),
        };
        if let Some(what) = proof.and_then(Proof::complaint) {
            return Err(self.changed(transfer, what).await);
        }
        let Some(session) = transfer.upload.session().cloned() else {
            return Ok(Reply::SessionOver("it was already closed"));
        };
        let shared = Arc::clone(&transfer.shared);
        let pieces = self.pieces(transfer, chunk);
        let (gate, keeper) = chunk.is_last().then(Gate::new).unzip();
        let first = chunk.range().start;
        let body = Body::new(pieces, first, chunk.size(), Arc::clone(&transfer.tally))
            .throttled(shared.throttle.clone())
            .gated(gate);
        let meter = body.meter();
        let started = Instant::now();
        let content_type = transfer.upload.content_type();
        let content_type = content_type.unwrap_or(&self.content_type).to_owned();
        reach("put", "before");
        let put = shared
            .client
            .put(&session.upload_url, &content_type, chunk, body);
        let answer = match keeper {
            None => put.await,
            Some(keeper) => {
                tokio::pin!(put);
                tokio::select! {
                    answer = &mut put => answer,
                    kept = self.keep(transfer, keeper) => {
                        kept?;
                        put.await
                    }
                }
            }
        };
        reach("put", "answered");
        match answer {
            Err(CallError::Source(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(self.changed(transfer, "it became shorter".into()).await);
            }
            Err(CallError::Source(error)) => {
                return Err(Error::unreadable(self.source.path(), error));
            }
            _ if self.source.is_torn() => {
                return Err(self.changed(transfer, "it became shorter".into()).await);
            }
            _ => {}
        }
        if answer.as_ref().is_ok_and(|answer| answer.http_status < 300) {
            transfer
                .upload
                .note_pace(chunk.size(), clock::since(started));
        }
        Ok(Reply::Put(answer, meter.take_running()))
    }
}
