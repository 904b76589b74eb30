//! A file on its way: its chunks, and what this run knows of its bytes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::rehash::{Rehash, blocking};
use super::transfer::{Transfer, subject};
use crate::answer::{Failure, Said};
use crate::clock::{self, Now};
use crate::engine::job::Job;
use crate::error::Error;
use crate::killpoint::reach;
use crate::source::{Ahead, Finished, Proof, ReadMode, Share, Source};
use crate::tiktok::body::{Body, Gate};
use crate::upload::event::Event;
use crate::upload::ledger::Running;
use crate::upload::plan::{Chunk, Limits, Plan};
use crate::upload::{Identity, Origin, Reply, Shortfall};

/// How long the file system may take to store a file's last writes before the user hears of it.
const LONG_SYNC: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) source: Source,
    pub(super) content_type: String,
    read: ReadMode,
    pub(super) finished: Finished,
    /// How a new upload of it would be cut; one that is carried on keeps its own.
    pub(super) plan: Plan,
    /// Everything acknowledged equals the file as of this, unless `rehash` is still to show that; everything later was
    /// read after this was taken.
    pub(super) baseline: Identity,
    /// The comparison of the acknowledged chunks with the file, while the upload goes on.
    pub(super) rehash: Option<Rehash>,
    /// A comparison took longer than the service waits for the last bytes of a body: it comes before the last chunk.
    pub(super) compare_first: bool,
    /// The chunk that was sent last and was not accepted, if each attempt at it that may have left sent these bytes.
    pub(super) unanswered: Option<(Chunk, Running)>,
    /// What is read and hashed before it is its turn to be sent.
    pub(super) ahead: Option<Ahead>,
    /// Bytes per second of an earlier run to the same API.
    last_rate: Option<u64>,
}

/// What becomes of the last bytes, which wait at the gate.
#[derive(Debug)]
pub(super) enum Kept {
    /// They have left.
    Released,
    /// They must not leave now, for this reason; the chunk is sent again.
    Cut(&'static str),
}

impl Sending {
    /// Opens the file, and tells by itself whether it can be sent.
    pub(super) async fn open(
        shared: &Shared,
        path: &Path,
        job: &Job,
        tell: impl Fn(Event),
    ) -> Result<Self, Error> {
        let rate = shared.journal.rate(shared.api_base.clone()).await?;
        let rate = rate.map(|rate| rate.bytes_per_second);
        let preferred = job
            .chunk_size
            .unwrap_or_else(|| Limits::TIKTOK.auto_chunk(rate));
        let (of, finished, given) = (path.to_owned(), job.finished, job.content_type.clone());
        let opening = tokio::task::spawn_blocking(move || {
            let source = Source::open(&of)?;
            source.check_writers(finished)?;
            let plan = Plan::new(source.identity().size, &Limits::TIKTOK, preferred)
                .map_err(|error| Error::plan(source.path(), error))?;
            let content_type = match given {
                Some(content_type) => content_type,
                None => source.content_type(finished)?.to_owned(),
            };
            Ok::<_, Error>((source, plan, content_type))
        });
        tokio::pin!(opening);
        let opened = tokio::select! {
            opened = &mut opening => opened,
            () = tokio::time::sleep(LONG_SYNC) => {
                let name = crate::error::name(path);
                let text = format!(
                    "waiting for the file system of {name}: it stores the file's last writes, the file has very many parts, or it does not answer"
                );
                tell(Event::Notice { text });
                opening.await
            }
        };
        let (source, plan, content_type) =
            opened.map_err(|error| Error::not_now(path, io::Error::other(error)))??;
        Ok(Self {
            content_type,
            read: job.read,
            finished,
            plan,
            baseline: source.identity(),
            source,
            rehash: None,
            compare_first: false,
            unanswered: None,
            ahead: None,
            last_rate: rate,
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
            fingerprint: Some(self.source.fingerprint().to_owned()),
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
            let first = upload.identity();
            let same = first.is_some_and(|first| first.but_for_ctime(&self.baseline));
            return if same {
                Ok(())
            } else {
                Err(self.changed(transfer, "its time of change".into()).await)
            };
        }
        if !compared {
            let entries = transfer.ledger().await?;
            let source = self.source.clone();
            self.rehash = Some(Rehash::start(source, self.baseline, plan, entries));
            reach("rehash", "started");
        }
        Ok(())
    }

    /// The file as it is now, if it still has the size that was planned.
    pub(super) async fn as_of(&self, transfer: &mut Transfer) -> Result<Identity, Error> {
        let identity = blocking(&self.source, |source, _| source.settled()).await?;
        let planned = transfer.upload.size().unwrap_or(identity.size);
        if identity.size != planned
            && let Err(what) = Proof::resized(planned, identity.size).same()
        {
            return Err(self.changed(transfer, what).await);
        }
        Ok(identity)
    }

    /// Everything is sent from the start, of the file as it was just seen.
    pub(super) fn begin(&mut self, as_of: Identity) {
        self.baseline = as_of;
        self.rehash = None;
        self.unanswered = None;
        self.ahead = None;
    }

    /// The pieces of `chunk`, hashed on from what was sent before if that is kept.
    fn pieces(&mut self, transfer: &Transfer, chunk: Chunk, plan: Plan) -> Result<Share, Error> {
        if let Some(share) = self.ahead.as_ref().and_then(|ahead| ahead.share(chunk)) {
            return Ok(share);
        }
        let (pool, running) = (&transfer.shared.pool, transfer.upload.running());
        let (ahead, share) = Ahead::start(&self.source, plan, chunk, running, self.read, pool)
            .map_err(|error| Error::not_now(self.source.path(), error))?;
        self.ahead = Some(ahead);
        Ok(share)
    }

    pub(super) async fn put(
        &mut self,
        transfer: &mut Transfer,
        chunk: Chunk,
    ) -> Result<Reply, Error> {
        self.check(transfer, chunk.is_last()).await?;
        let plan = transfer.upload.plan().copied();
        let (Some(session), Some(plan)) = (transfer.upload.session().cloned(), plan) else {
            return Ok(Reply::SessionOver("it was already closed"));
        };
        let shared = Arc::clone(&transfer.shared);
        let pieces = self.pieces(transfer, chunk, plan)?;
        let (gate, keeper) = chunk.is_last().then(Gate::new).unzip();
        let first = chunk.range().start;
        let body = Body::new(pieces, first, chunk.size(), Arc::clone(&transfer.tally))
            .throttled(shared.throttle.clone())
            .gated(gate);
        let meter = body.meter();
        let first_attempt = !transfer.upload.run.due_left;
        let started = Instant::now();
        let content_type = transfer.upload.content_type();
        let content_type = content_type.unwrap_or(&self.content_type).to_owned();
        reach("put", "before");
        let client = shared.client.about(|| subject(&transfer.upload));
        let put = client.put(&session.upload_url, &content_type, chunk, body);
        let answer = match keeper {
            None => put.await,
            Some(keeper) => {
                tokio::pin!(put);
                tokio::select! {
                    answer = &mut put => answer,
                    kept = self.keep(transfer, keeper) => match kept? {
                        Kept::Released => put.await,
                        Kept::Cut(why) => Err(Failure::Lost(why.into())),
                    }
                }
            }
        };
        reach("put", "answered");
        match answer {
            Err(Failure::Source(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.changed(transfer, "it became shorter".into()).await);
            }
            Err(Failure::Source(error)) => {
                return Err(Error::unreadable(self.source.path(), error));
            }
            _ if self.source.is_torn() => {
                return Err(self.changed(transfer, "it became shorter".into()).await);
            }
            _ => {}
        }
        let accepted = answer
            .as_ref()
            .is_ok_and(|answer| answer.said == Said::Accepted);
        if accepted {
            let paced = Reply::Paced(chunk.size(), clock::since(started));
            transfer.upload.apply(paced, Now::read(), 0);
        }
        let running = meter.take_running();
        let before = self.unanswered.take();
        let sent = running.clone().filter(|_| !accepted);
        let sent = sent.map(|running| (chunk, running));
        // The service may have the chunk as an earlier attempt sent it.
        self.unanswered = sent.filter(|(of, sent)| {
            let same =
                before.is_some_and(|(chunk, then)| chunk == *of && then.entry() == sent.entry());
            first_attempt || same
        });
        Ok(Reply::Put(answer, running))
    }
}
