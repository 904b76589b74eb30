//! The loop for one upload: decide, perform, record. The only loop, and the only place that tries again.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Shared;
use super::authorised::{authorised, token, with_token};
use super::rehash::Rehash;
use crate::account::Account;
use crate::body::{Body, Gate, WITHHELD};
use crate::clock::Now;
use crate::draft::{Draft, Outcome};
use crate::error::Error;
use crate::event::{Event, Tally};
use crate::governor::{PendingCap, Turns};
use crate::journal::{Grant, Rate};
use crate::killpoint::reach;
use crate::ledger::Entry;
use crate::plan::Chunk;
use crate::source::Source;
use crate::upload::{Identity, Reply, State, Step, Upload};
use crate::wire::{Call, CallError};

/// One upload on its way.
pub(super) struct Transfer {
    pub(super) shared: Arc<Shared>,
    pub(super) turns: Arc<Turns>,
    pub(super) account: Account,
    pub(super) source: Source,
    pub(super) upload: Upload,
    pub(super) tally: Arc<Tally>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// What the file system says of the file for as long as what this run sends is one version of it.
    pub(super) baseline: Identity,
    /// The re-hash of what earlier runs sent, while this one goes on.
    pub(super) rehash: Option<Rehash>,
    /// Bytes this run had accepted, and the time that took.
    pub(super) sent_bytes: u64,
    pub(super) sending: Duration,
}

impl Transfer {
    /// Takes up what earlier runs have left.
    pub(super) async fn carry_on(&mut self, compared: bool) -> Result<(), Error> {
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
            reach("rehash", "started");
        }
        Ok(())
    }

    pub(super) async fn drive(&mut self) -> Result<Draft, Error> {
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
            self.record(entry.filter(|_| confirmed)).await?;
        }
        let confirmed = self.upload.confirmed_bytes();
        self.tally.confirmed.store(confirmed, Ordering::Relaxed);
        if confirmed == 0 {
            self.tally.sent.store(0, Ordering::Relaxed);
        }
        if let Some(event) = applied.event {
            if matches!(event, Event::Processing { .. }) {
                self.remember_rate().await;
            }
            self.tell(event);
        }
        Ok(())
    }

    /// Makes the upload durable as it is now, with the ledger entry of the chunk that was just confirmed.
    pub(super) async fn record(&mut self, entry: Option<(u32, Entry)>) -> Result<(), Error> {
        self.upload.revision += 1;
        self.shared.journal.save(self.upload.clone(), entry).await
    }

    async fn init(&mut self) -> Result<Reply, Error> {
        let token = match token(&self.account).await {
            Ok(token) => token,
            Err(error) => return Ok(Reply::Init(Err(error))),
        };
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
            next.revision += 1;
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
        let init = |token| async move { client.init(&token, plan).await };
        reach("init", "before");
        let answer = with_token(&self.account, token, init).await;
        reach("init", "answered");
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
        let (gate, keeper) = chunk.is_last().then(Gate::new).unzip();
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
                    kept = self.keep(keeper) => {
                        kept?;
                        put.await
                    }
                }
            }
        };
        reach("put", "answered");
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
            self.sent_bytes += chunk.size();
            self.sending += started.elapsed();
        }
        Ok(Reply::Put(answer, meter.take_running()))
    }

    async fn ask(&mut self) -> Reply {
        self.turns.status().await;
        let publish_id = self.upload.state.publish_id().unwrap_or_default();
        let client = &self.shared.client;
        reach("ask", "before");
        let answer = authorised(&self.account, |token| async move {
            client.status(&token, publish_id).await
        })
        .await;
        reach("ask", "answered");
        Reply::Status(answer)
    }

    /// Bytes per second of this run, once there is something to measure.
    pub(super) fn rate(&self) -> Option<u64> {
        let seconds = self.sending.as_secs_f64();
        (seconds >= 0.1).then(|| (self.sent_bytes as f64 / seconds) as u64)
    }

    /// Keeps the rate of this run as a hint for the next plan.
    async fn remember_rate(&self) {
        let Some(bytes_per_second) = self.rate() else {
            return;
        };
        let rate = Rate {
            bytes_per_second,
            at: Now::read().wall,
        };
        let remembered = self
            .shared
            .journal
            .set_rate(self.shared.api_base.clone(), rate);
        if let Err(error) = remembered.await {
            tracing::debug!(%error, "the rate was not recorded");
        }
    }

    fn draft(&self) -> Result<Draft, Error> {
        match self.upload.final_error() {
            Some(error) => Err(error),
            None => Ok(draft(&self.upload, Outcome::Delivered)),
        }
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }
}

/// What an upload has come to.
pub(super) fn draft(row: &Upload, outcome: Outcome) -> Draft {
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
