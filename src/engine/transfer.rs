//! One upload on its way, and its loop: decide, perform, record. The only loop, and the only place that tries again.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedMutexGuard, mpsc};
use tracing::Instrument;

use super::draft::{Draft, Outcome};
use super::handle::Door;
use super::metrics::{Stage, Underway};
use super::record::{Saving, apply};
use super::scheduler::Turn;
use super::send::{InFlight, Sending};
use super::tokens::authorised;
use super::{Running, Shared, log};
use crate::account::Account;
use crate::answer::Call;
use crate::clock::Now;
use crate::error::Error;
use crate::failpoint::reach;
use crate::journal::{Lease, Rate, Reservation};
use crate::secret::Secret;
use crate::tiktok::client::{Client, Subject};
use crate::tiktok::preflight::Remote;
use crate::upload::event::{Event, Notice, Tally};
use crate::upload::{Reply, State, Step, Upload};

/// Jobs of one path, and then those of one video, go one after another: those of this process by its locks, and those of all
/// processes that share the store by a reservation of the video.
pub(super) struct Alone {
    pub(super) shared: Arc<Shared>,
    pub(super) reservation: Reservation,
    /// Of the path, and of the video.
    pub(super) _locks: (Option<OwnedMutexGuard<()>>, OwnedMutexGuard<()>),
}

impl Drop for Alone {
    /// The reservation is free before the locks are, so a job that waits for the locks finds the reservation free.
    fn drop(&mut self) {
        self.shared.journal.free(&self.reservation);
    }
}

/// One upload on its way. It has at most one chunk in flight and at most one save outstanding.
pub(super) struct Transfer {
    pub(super) shared: Arc<Shared>,
    pub(super) turn: Turn,
    /// Other jobs of its path or video wait, and its row is not forgotten, for as long as this lives.
    pub(super) _alone: (Alone, Running),
    pub(super) account: Account,
    pub(super) upload: Upload,
    /// The right to write its row.
    pub(super) lease: Lease,
    /// The file, where its bytes are sent from here and may be needed.
    pub(super) sending: Option<Box<Sending>>,
    /// The URL that the service is to fetch, where the job has given it.
    pub(super) remote: Option<Remote>,
    /// The chunk that is on its way.
    pub(super) put: Option<InFlight>,
    /// The save that is under way.
    pub(super) saving: Option<Saving>,
    /// The token that the last init was refused for, if another one may help.
    pub(super) refused: Option<Secret>,
    /// Held from the intent of an init to the record of its answer: until then the upload is not stopped.
    pub(super) uncut: Option<OwnedMutexGuard<()>>,
    pub(super) door: Door,
    pub(super) tally: Arc<Tally>,
    /// Counts it among the uploads that are under way.
    pub(super) underway: Underway,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Transfer {
    /// Announces the upload as it is, and takes it from there to its end.
    pub(super) async fn drive(mut self, compared: bool) -> Result<Draft, Error> {
        self.announce();
        if let Some(changed) = self.carry_on(compared).await? {
            self.take_in(changed).await?;
        }
        loop {
            self.make_way();
            // The rate may be another one by now.
            let limits = &mut self.upload.run.limits;
            *limits = limits.held_to(self.shared.throttle.rate());
            let step = self.upload.step(Now::read());
            // Only the next chunk may begin beside a save, and only beside the record of the chunk before it.
            let beside = matches!(step, Step::Put(_))
                && self.saving.as_ref().is_some_and(Saving::is_of_chunk);
            let drains = self.shared.draining.load(Ordering::Relaxed)
                && !matches!(step, Step::Release | Step::Done);
            if !beside || drains {
                self.settle().await?;
            }
            if drains {
                return Err(Error::cancelled());
            }
            if !matches!(step, Step::Release | Step::Done) {
                self.check_outage()?;
            }
            let attempt = self.upload.attempt();
            let reply = match step {
                Step::Wait(wait) => {
                    self.pause(wait).await;
                    continue;
                }
                Step::Init => {
                    let span = tracing::info_span!("init", attempt);
                    self.init().instrument(span).await?
                }
                Step::Put(chunk) => {
                    let span = tracing::info_span!("put", chunk = chunk.index(), attempt);
                    self.put(chunk).instrument(span).await?
                }
                Step::Release => {
                    let chunk = self.put.as_ref().map(|put| put.chunk.index());
                    let span = tracing::info_span!("release", chunk, attempt);
                    self.release().instrument(span).await?
                }
                Step::Adopt(chunk) => {
                    let span = tracing::info_span!("adopt", chunk = chunk.index());
                    self.adopt(chunk).instrument(span).await?
                }
                Step::Rewind(chunks) => {
                    let span = tracing::info_span!("rewind", chunks);
                    self.rewind(chunks).instrument(span).await?
                }
                Step::Ask => self.ask().instrument(tracing::info_span!("status")).await,
                Step::Expire(why) => Reply::SessionOver(why),
                Step::Stop(_) if self.refused.is_some() => Reply::TokenReplaced,
                Step::Stop(stop) => return Err(self.stopped(stop).await),
                Step::Done => return self.draft(),
            };
            self.take_in(reply).await?;
        }
    }

    /// Leaves the first place of the queue, and the room among those in flight, as soon as neither is needed.
    fn make_way(&mut self) {
        let session = self.upload.session();
        let session = session.filter(|_| !self.upload.is_at_service());
        let url_ends = session.and_then(|session| session.ends(Now::read()));
        self.underway.url_ends(url_ends);
        if self.upload.is_at_service() {
            self.underway.is(Stage::Processing);
            self.turn.leave();
        } else {
            self.underway.is(Stage::Running);
            if self.upload.state.publish_id().is_some() {
                self.turn.leave_queue();
            }
        }
    }

    fn announce(&self) {
        let upload = &self.upload;
        let confirmed = upload.confirmed_bytes();
        self.tally.set_total(upload.size().unwrap_or(0));
        self.tally.start_at(confirmed);
        self.tally.set_inits(upload.totals.inits);
        self.tell(Event::Planned {
            id: upload.id.clone(),
            publish_id: upload.state.publish_id().map(str::to_owned),
            plan: upload.plan().copied(),
            confirmed,
        });
    }

    /// Applies a reply, and begins to save the row if that changed it. What depends on the row waits for the end of the save.
    async fn take_in(&mut self, reply: Reply) -> Result<(), Error> {
        if let Some(call) = reply.left() {
            self.shared.scheduler.outages.end(call == Call::Put);
        }
        self.settle().await?;
        let (applied, entry) = apply(&mut self.upload, reply);
        if !applied.save {
            self.uncut = None;
            self.show(applied.event).await;
            return Ok(());
        }
        let row = self.upload.clone();
        let saving = Saving::start(&self.shared, self.lease, row, entry, applied.event);
        self.saving = Some(saving);
        Ok(())
    }

    /// Waits for the end of the save that is under way. A chunk that is in flight goes on meanwhile.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let Some(saving) = &mut self.saving else {
            return Ok(());
        };
        match &mut self.put {
            Some(put) => put.beside(saving.wait()).await,
            None => saving.wait().await,
        }
        if let Some(saving) = self.saving.take() {
            let event = saving.ended()?;
            self.uncut = None;
            self.show(event).await;
        }
        Ok(())
    }

    /// Applies a reply that changes nothing which must be durable.
    pub(super) fn note(&mut self, reply: Reply) {
        let applied = self.upload.apply(reply, Now::read(), 0);
        debug_assert!(!applied.save, "a row that changed is recorded");
    }

    /// Shows how far the upload is after a reply was taken in.
    async fn show(&mut self, event: Option<Event>) {
        self.tally.set_inits(self.upload.totals.inits);
        if self.upload.state.publish_id().is_none() {
            self.tally.start_at(0);
        } else {
            let new = self.tally.confirm(self.upload.confirmed_bytes());
            self.shared.counters.confirmed(new);
        }
        if let Some(event) = event {
            if matches!(event, Event::Processing { .. }) {
                self.remember_rate().await;
            }
            self.tell(event);
        }
        if let Some(shortfall) = self.upload.foresee(Now::read()) {
            self.tell(Event::Notice(Notice::TooSlow(shortfall)));
        }
    }

    /// Waits for something. While no session is open, whose hour would run, the room is left to others meanwhile.
    pub(super) async fn aside<T>(&mut self, what: impl Future<Output = T>) -> T {
        if self.upload.state.publish_id().is_none() {
            self.turn.aside(what).await
        } else {
            what.await
        }
    }

    /// The client for calls about this upload.
    pub(super) fn client(&self) -> Cow<'_, Client> {
        self.shared.client.about(|| subject(&self.upload))
    }

    async fn ask(&mut self) -> Reply {
        let publish_id = self.upload.state.publish_id().unwrap_or_default();
        let (client, queue) = (&self.client(), self.turn.queue());
        reach("ask", "before");
        let ask = |token| queue.ask(async move { client.status(&token, publish_id).await });
        let answer = authorised(queue, &self.account, Call::Status, ask).await;
        reach("ask", "answered");
        Reply::Status(answer)
    }

    /// Keeps the rate of this run as a hint for the next plan.
    async fn remember_rate(&mut self) {
        let Some(bytes_per_second) = self.upload.rate() else {
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
        log::event(&event);
        if let Event::Retry { cause, .. } = &event {
            self.shared.counters.retried(cause);
        }
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }
}

/// What a call about this upload is about.
pub(super) fn subject(upload: &Upload) -> Subject {
    Subject {
        account: Some(upload.key.account.clone()),
        upload: Some(upload.id.clone()),
        publish_id: upload.state.publish_id().map(str::to_owned),
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
        upload: row.id.clone(),
        outcome,
        delivered_at,
        sha256: row.sha256.clone(),
        creator_known: row.creator_known,
    }
}
