//! The loop for one upload: decide, perform, record. The only loop, and the only place that tries again.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::place::{Placed, place};
use super::rehash::{Rehash, blocking, prove};
use super::{GLANCE, Shared, Status};
use crate::account::Account;
use crate::body::{Body, Gate, WITHHELD};
use crate::client::Client;
use crate::clock::{Now, Timestamp};
use crate::draft::{Draft, Outcome};
use crate::error::Error;
use crate::event::{Event, Tally};
use crate::governor::{PendingCap, Turns};
use crate::job::{Job, Ledger};
use crate::journal::{Grant, Rate};
use crate::ledger::{Entry, Running};
use crate::plan::{Chunk, Limits, Plan};
use crate::secret::Secret;
use crate::source::{Proof, Source};
use crate::upload::{
    Destination, Identity, Key, Origin, Reply, RunLimits, State, Step, Stop, Upload,
};
use crate::wire::{Call, CallError, Stage};

/// A day: the span of the service's limit of pending drafts. Source: Upload Video.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Carries one job from its file to its end.
pub(super) async fn carry(
    shared: &Arc<Shared>,
    job: &Job,
    tally: Arc<Tally>,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Draft, Error> {
    let Some(account) = &job.account else {
        return Err(Error::no_token(
            "No access token: the job has no account.".into(),
        ));
    };
    let Ok(_slot) = shared.slots.acquire().await else {
        return Err(Error::cancelled());
    };
    let tell = |event| {
        // Nobody needs to listen.
        let _ = events.send(event);
    };
    let source = Source::open(&job.path)?;
    let size = source.identity().size;
    tally.total.store(size, Ordering::Relaxed);
    let rate = shared.journal.rate(shared.api_base.clone()).await?;
    let preferred = job
        .chunk_size
        .unwrap_or_else(|| Limits::TIKTOK.auto_chunk(rate.map(|rate| rate.bytes_per_second)));
    let plan = Plan::new(size, &Limits::TIKTOK, preferred)
        .map_err(|error| Error::plan(source.path(), error))?;
    if size > Limits::TIKTOK.sure_file {
        tell(Event::Notice {
            text: format!("{size} bytes are more than 4,000,000,000: TikTok may refuse them"),
        });
    }
    let content_type = match &job.content_type {
        Some(content_type) => content_type.clone(),
        None => source.content_type()?.to_owned(),
    };

    let key = Key {
        account: account.name().to_owned(),
        api_base: shared.api_base.clone(),
        destination: Destination::Inbox,
        size,
    };
    let key_lock = shared.key_lock(&key);
    let _one_at_a_time = key_lock.lock().await;
    let (upload, compared) = match place(shared, &source, &key, job.again, tell).await? {
        Placed::Ended(row) => return ended(shared, account, &row).await,
        Placed::Unfinished { row, compared } => {
            if job
                .chunk_size
                .is_some_and(|wanted| wanted != row.plan.chunk_size())
                && row.plan.chunk_count() > 1
            {
                let text = format!(
                    "the upload keeps the chunk size it was planned with: {}",
                    row.plan.chunk_size()
                );
                tell(Event::Notice { text });
            }
            let mut claimed = shared.journal.claim(row.id.clone()).await?;
            claimed.origin = row.origin;
            (claimed, compared)
        }
        Placed::Nothing => {
            let origin = Origin::File {
                path: source.path().to_owned(),
                identity: source.identity(),
            };
            let row = Upload::new(
                key,
                origin,
                &content_type,
                plan,
                job.ledger == Ledger::On,
                Now::read(),
            );
            shared.journal.submit(row.clone()).await?;
            (row, false)
        }
    };
    let mut transfer = Transfer {
        shared: Arc::clone(shared),
        turns: shared.governor.turns(account.name()),
        account: account.clone(),
        baseline: source.identity(),
        source,
        upload,
        tally,
        events,
        rehash: None,
    };
    transfer.upload.run.limits = RunLimits {
        processing: job.processing,
        hand_over: job.hand_over,
    };
    transfer.carry_on(compared).await?;
    transfer.drive().await
}

/// One upload on its way.
struct Transfer {
    shared: Arc<Shared>,
    turns: Arc<Turns>,
    account: Account,
    source: Source,
    upload: Upload,
    tally: Arc<Tally>,
    events: mpsc::UnboundedSender<Event>,
    /// What the file system says of the file for as long as what this run sends is one version of it.
    baseline: Identity,
    /// The re-hash of what earlier runs sent, while this one goes on.
    rehash: Option<Rehash>,
}

impl Transfer {
    /// Takes up what earlier runs have left.
    async fn carry_on(&mut self, compared: bool) -> Result<(), Error> {
        let upload = &self.upload;
        let confirmed = upload.confirmed_bytes();
        self.tally.confirmed.store(confirmed, Ordering::Relaxed);
        self.tally.sent.store(confirmed, Ordering::Relaxed);
        self.tally.high_water.store(confirmed, Ordering::Relaxed);
        self.tally
            .inits
            .store(upload.totals.inits, Ordering::Relaxed);
        self.tell(Event::Planned {
            id: upload.id.clone(),
            publish_id: upload.state.publish_id().map(str::to_owned),
            plan: upload.plan,
            confirmed,
        });
        if upload.session().is_none() || upload.confirmed() == 0 {
            return Ok(());
        }
        if upload.running.is_none() {
            let same = upload.identity() == self.source.identity();
            return if same {
                Ok(())
            } else {
                Err(self.changed("its time of change".into()).await)
            };
        }
        if !compared {
            let entries = self
                .shared
                .journal
                .ledger(upload.id.clone(), upload.confirmed())
                .await?;
            self.rehash = Some(Rehash::start(self.source.clone(), upload.plan, entries));
        }
        Ok(())
    }

    async fn drive(&mut self) -> Result<Draft, Error> {
        loop {
            let reply = match self.upload.step(Now::read()) {
                Step::Wait(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Step::Init => self.init().await?,
                Step::Put(chunk) => self.put(chunk).await?,
                Step::Adopt(chunk) => self.adopt(chunk).await?,
                Step::Ask => self.ask().await,
                Step::Expire => Reply::SessionOver("its URL has lived its hour"),
                Step::Stop(stop) => return Err(self.stopped(stop).await),
                Step::Done => return self.draft(),
            };
            self.take_in(reply).await?;
        }
    }

    /// Applies a reply, and makes it durable before anything that depends on it.
    async fn take_in(&mut self, reply: Reply) -> Result<(), Error> {
        let due = self.upload.confirmed();
        let entry = match &reply {
            Reply::Put(_, Some(running)) | Reply::Adopted(Some(running)) => {
                Some((due, running.entry()))
            }
            _ => None,
        };
        let applied = self.upload.apply(reply, Now::read(), fastrand::u64(..));
        if applied.save {
            let confirmed = self.upload.confirmed() > due;
            self.shared
                .journal
                .save(self.upload.clone(), entry.filter(|_| confirmed))
                .await?;
        }
        let confirmed = self.upload.confirmed_bytes();
        self.tally.confirmed.store(confirmed, Ordering::Relaxed);
        if confirmed == 0 {
            self.tally.sent.store(0, Ordering::Relaxed);
        }
        if let Some(event) = applied.event {
            self.tell(event);
        }
        Ok(())
    }

    async fn init(&mut self) -> Result<Reply, Error> {
        let turns = Arc::clone(&self.turns);
        let turn = turns.init().await;
        if let Some(PendingCap { error, retry_at }) = turns.pending_cap() {
            let error = Error::refused(Call::Init, self.account.name(), error);
            return Err(match retry_at {
                Some(retry_at) => error.at(retry_at),
                None => error,
            });
        }
        loop {
            let identity = self.source.identity_now()?;
            if identity.size != self.upload.key.size {
                return Err(self.changed("its size".into()).await);
            }
            let now = Now::read();
            let mut next = self.upload.clone();
            next.intend(identity, now);
            match self.shared.journal.begin(next.clone(), now.wall).await? {
                Grant::Granted => {
                    self.upload = next;
                    self.baseline = identity;
                    self.rehash = None;
                    break;
                }
                Grant::Wait(wait) => {
                    let reason =
                        format!("TikTok takes 6 inits a minute for {}", self.account.name());
                    self.tell(Event::Waiting { reason, wait });
                    tokio::time::sleep(wait).await;
                }
            }
        }
        drop(turn);
        self.tally
            .inits
            .store(self.upload.totals.inits, Ordering::Relaxed);
        self.tally.high_water.store(0, Ordering::Relaxed);
        let (client, plan) = (&self.shared.client, &self.upload.plan);
        let answer = authorised(&self.account, |token| async move {
            client.init(&token, plan).await
        })
        .await;
        Ok(Reply::Init(answer))
    }

    async fn put(&mut self, chunk: Chunk) -> Result<Reply, Error> {
        if let Some(what) = self
            .rehash
            .as_mut()
            .and_then(|rehash| rehash.peek()?.complaint())
        {
            return Err(self.changed(what).await);
        }
        let Some(session) = self.upload.session().cloned() else {
            return Ok(Reply::SessionOver("it was already closed"));
        };
        let shared = Arc::clone(&self.shared);
        let Range { start, end } = chunk.range();
        let cut = if chunk.is_last() {
            end.saturating_sub(WITHHELD)
        } else {
            end
        };
        let pieces = self.source.pieces(start..end, cut, &shared.pool);
        let (gate, keeper) = if chunk.is_last() {
            gate()
        } else {
            (None, None)
        };
        let body = Body::new(
            pieces,
            start,
            chunk.size(),
            self.upload.running(),
            Arc::clone(&self.tally),
        )
        .throttled(shared.throttle.clone())
        .gated(gate);
        let meter = body.meter();
        let started = Instant::now();
        let content_type = self.upload.content_type.clone();
        let put = shared
            .client
            .put(&session.upload_url, &content_type, chunk, body);
        let answer = match keeper {
            None => put.await,
            Some(keeper) => {
                tokio::pin!(put);
                tokio::select! {
                    answer = &mut put => answer,
                    kept = self.keep(keeper) => {
                        kept?;
                        put.await
                    }
                }
            }
        };
        match answer {
            Err(CallError::Source(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(self.changed("it became shorter".into()).await);
            }
            Err(CallError::Source(error)) => {
                return Err(Error::unreadable(self.source.path(), error));
            }
            _ => {}
        }
        if answer.as_ref().is_ok_and(|answer| answer.http_status < 300) {
            self.remember_rate(chunk, started.elapsed()).await;
        }
        Ok(Reply::Put(answer, meter.take_running()))
    }

    /// Waits until the body is at its last bytes, proves that all of it is one version of the file, and records that
    /// the video may be complete before those bytes leave.
    async fn keep(&mut self, keeper: Keeper) -> Result<(), Error> {
        let Ok(running) = keeper.reached.await else {
            // The body has ended some other way; its answer says how.
            return std::future::pending().await;
        };
        let whole = running.map(|running| running.entry());
        if let Some(what) = self.difference(whole).await? {
            return Err(self.changed(what).await);
        }
        self.upload.seal(whole, Now::read());
        self.shared.journal.save(self.upload.clone(), None).await?;
        // If the body is gone meanwhile, its answer says why.
        let _ = keeper.open.send(());
        Ok(())
    }

    /// What differs between what was sent and what the file holds now, if anything does.
    async fn difference(&mut self, whole: Option<Entry>) -> Result<Option<String>, Error> {
        let earlier = match &mut self.rehash {
            None => Proof::Same(self.baseline),
            Some(rehash) => rehash.proof().await,
        };
        if matches!(earlier, Proof::Differs(_) | Proof::Shorter) {
            return Ok(earlier.complaint());
        }
        if earlier == Proof::Same(self.baseline) && self.source.identity_now()? == self.baseline {
            return Ok(None);
        }
        let Some(whole) = whole else {
            return Ok(Some("its time of change".into()));
        };
        let mut entries = self
            .shared
            .journal
            .ledger(self.upload.id.clone(), self.upload.confirmed())
            .await?;
        entries.push(whole);
        Ok(prove(self.source.clone(), self.upload.plan, entries)
            .await?
            .complaint())
    }

    /// The file is not what was sent of it. Nothing can have been posted unless it was sealed.
    async fn changed(&mut self, what: String) -> Error {
        if let State::Sealed { session } = &self.upload.state {
            let why = format!("the file changed ({what}) before its last chunk was confirmed");
            return Error::unknown(self.source.path(), &session.publish_id, &why);
        }
        self.upload.give_up(&what, Now::read());
        match self.shared.journal.save(self.upload.clone(), None).await {
            Ok(()) => Error::changed(self.source.path(), what),
            Err(error) => error,
        }
    }

    /// Counts a chunk whose answer was lost from the file, as long as that is what it was at the first byte.
    async fn adopt(&mut self, chunk: Chunk) -> Result<Reply, Error> {
        let first = self.upload.identity();
        let lost = Reply::SessionOver(
            "a chunk whose answer was lost cannot be vouched for: the file was touched since",
        );
        if self.source.identity_now()? != first {
            return Ok(lost);
        }
        let running = match self.upload.running() {
            None => None,
            Some(running) => {
                let range = chunk.range();
                let read = blocking(&self.source, move |source, cancel| {
                    let mut at_end = None;
                    source.digests(running, range.start, [range.end], cancel, |_, running| {
                        at_end = Some(running.clone());
                        true
                    })?;
                    Ok(at_end)
                });
                read.await?
            }
        };
        if self.source.identity_now()? != first {
            return Ok(lost);
        }
        Ok(Reply::Adopted(running))
    }

    async fn ask(&mut self) -> Reply {
        self.turns.status().await;
        let publish_id = self.upload.state.publish_id().unwrap_or_default();
        let client = &self.shared.client;
        Reply::Status(
            authorised(&self.account, |token| async move {
                client.status(&token, publish_id).await
            })
            .await,
        )
    }

    async fn remember_rate(&self, chunk: Chunk, elapsed: Duration) {
        let bytes_per_second = (chunk.size() as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
        let rate = Rate {
            bytes_per_second,
            at: Now::read().wall,
        };
        // Only a hint for the next plan.
        if let Err(error) = self
            .shared
            .journal
            .set_rate(self.shared.api_base.clone(), rate)
            .await
        {
            tracing::debug!(%error, "the rate was not recorded");
        }
    }

    /// The error a run stops with.
    async fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Refused(call, error) if error.code == "spam_risk_too_many_pending_share" => {
                let retry_at = self.oldest_pending().await.map(|at| at.plus(DAY).into());
                self.turns.set_pending_cap(PendingCap {
                    error: error.clone(),
                    retry_at,
                });
                let error = Error::refused(call, self.account.name(), error);
                match retry_at {
                    Some(retry_at) => error.at(retry_at),
                    None => error,
                }
            }
            Stop::Refused(Call::Status, error) if error.http_status == 200 => {
                let publish_id = self.upload.state.publish_id().unwrap_or("no session");
                Error::failed(self.source.path(), &error.code, publish_id)
            }
            Stop::Refused(call, error) => Error::refused(call, self.account.name(), error),
            Stop::ForeignToken => Error::foreign_token(self.account.name()),
            Stop::NoToken(reason) => Error::no_token(reason.into()),
            Stop::Host(reason) => Error::host(&reason),
            Stop::Spent(reason) => {
                let (safe, total) = (self.upload.confirmed_bytes(), self.upload.key.size);
                Error::temporary(format!(
                    "{reason} {safe} of {total} bytes of {} are acknowledged; run the same command again, it carries on.",
                    crate::error::name(self.source.path())
                ))
            }
        }
    }

    async fn oldest_pending(&self) -> Option<Timestamp> {
        let since = Timestamp(Now::read().wall.0.saturating_sub(DAY.as_millis() as u64));
        self.shared
            .journal
            .oldest_delivery(self.upload.key.clone(), since)
            .await
            .ok()?
    }

    fn draft(&self) -> Result<Draft, Error> {
        match self.upload.final_error() {
            Some(error) => Err(error),
            None => Ok(draft(&self.upload, Outcome::Delivered)),
        }
    }

    fn tell(&self, event: Event) {
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }
}

/// The other side of a [`Gate`].
struct Keeper {
    reached: oneshot::Receiver<Option<Running>>,
    open: oneshot::Sender<()>,
}

fn gate() -> (Option<Gate>, Option<Keeper>) {
    let (at_gate, reached) = oneshot::channel();
    let (open, opened) = oneshot::channel();
    (
        Some(Gate {
            reached: Some(at_gate),
            open: opened,
        }),
        Some(Keeper { reached, open }),
    )
}

fn draft(row: &Upload, outcome: Outcome) -> Draft {
    let (delivered_at, outcome) = match row.state {
        State::Delivered { at, .. } | State::Published { at, .. } => (Some(at.into()), outcome),
        _ => (None, Outcome::Sent),
    };
    let publish_id = row.state.publish_id().unwrap_or_default().to_owned();
    Draft {
        publish_id,
        outcome,
        delivered_at,
        sha256: row.sha256.clone(),
    }
}

/// The answer for a file whose upload has ended: no init, no PUT. Where the service can tell, one question makes sure
/// that the draft is in this creator's inbox and not in another's.
async fn ended(shared: &Shared, account: &Account, row: &Upload) -> Result<Draft, Error> {
    if let Some(error) = row.final_error() {
        return Err(error);
    }
    let publish_id = row.state.publish_id().unwrap_or_default();
    let glance = async {
        shared.governor.turns(account.name()).status().await;
        let token = account.tokens().token().await.map_err(CallError::Token)?;
        shared.client.status(&token, publish_id).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(GLANCE, glance).await
        && error.is_code("token_not_authorized_for_specified_publish_id")
    {
        return Err(Error::foreign_token(account.name()));
    }
    Ok(draft(row, Outcome::AlreadyDelivered))
}

/// One question outside any upload.
pub(super) async fn ask(
    client: &Client,
    account: &Account,
    publish_id: &str,
) -> Result<Status, Error> {
    match authorised(account, |token| async move {
        client.status(&token, publish_id).await
    })
    .await
    {
        Ok(status) => {
            let is_final = status.stage() != Stage::Working;
            Ok(Status {
                status: status.status,
                fail_reason: status.fail_reason,
                uploaded_bytes: status.uploaded_bytes,
                is_final,
            })
        }
        Err(CallError::Refused(error)) => Err(Error::refused(Call::Status, account.name(), error)),
        Err(CallError::Token(error)) => Err(Error::no_token(error)),
        Err(error) => Err(Error::temporary(format!(
            "Status was not answered ({error}). Ask again later."
        ))),
    }
}

/// Makes a call with a token; with a fresh one if the first is refused and its source has another.
async fn authorised<T, F>(account: &Account, call: impl Fn(Secret) -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let token = account.tokens().token().await.map_err(CallError::Token)?;
    if token.is_empty() {
        return Err(CallError::Token(
            "No access token: the one given is empty.".into(),
        ));
    }
    let answer = call(token.clone()).await;
    if !matches!(&answer, Err(error) if error.is_code("access_token_invalid")) {
        return answer;
    }
    let fresh = account.tokens().token().await.map_err(CallError::Token)?;
    if fresh == token {
        answer
    } else {
        call(fresh).await
    }
}
