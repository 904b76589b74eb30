//! One upload on its way: what it is, for whom it is, and how it is told and recorded.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, mpsc};

use super::authorised::authorised;
use super::{Running, Shared};
use crate::account::Account;
use crate::answer::Call;
use crate::clock::Now;
use crate::engine::draft::{Draft, Outcome};
use crate::engine::governor::Turn;
use crate::error::Error;
use crate::journal::Rate;
use crate::killpoint::reach;
use crate::tiktok::client::{Client, Subject};
use crate::upload::event::{Event, Tally};
use crate::upload::ledger::Entry;
use crate::upload::{Reply, State, Upload};

/// Jobs of one path, and then those of one video, go one after another.
pub(super) type Alone = (Option<OwnedMutexGuard<()>>, OwnedMutexGuard<()>);

/// One upload on its way.
pub(super) struct Transfer {
    pub(super) shared: Arc<Shared>,
    pub(super) turn: Turn,
    /// Other jobs of its path or video wait, and its row is not forgotten, for as long as this lives.
    pub(super) alone: Arc<(Alone, Running)>,
    pub(super) account: Account,
    pub(super) upload: Upload,
    pub(super) tally: Arc<Tally>,
    pub(super) events: mpsc::UnboundedSender<Event>,
}

impl Transfer {
    /// Tells where it stands.
    pub(super) fn announce(&self) {
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

    /// Applies a reply, and makes it durable before anything that depends on it.
    pub(super) async fn take_in(&mut self, reply: Reply) -> Result<(), Error> {
        let due = self.upload.confirmed();
        let entry = match &reply {
            Reply::Put(_, Some(running)) | Reply::Adopted(Some(running)) => {
                Some((due, running.entry()))
            }
            _ => None,
        };
        if let Some(call) = reply.left() {
            self.shared.governor.outages.end(call == Call::Put);
        }
        let applied = self.upload.apply(reply, Now::read(), fastrand::u64(..));
        if applied.save {
            let confirmed = self.upload.confirmed() > due;
            self.record(entry.filter(|_| confirmed)).await?;
        }
        self.show(applied.event).await;
        Ok(())
    }

    /// Shows how far it is after a reply was taken in.
    pub(super) async fn show(&mut self, event: Option<Event>) {
        if self.upload.state.publish_id().is_none() {
            self.tally.start_at(0);
        } else {
            self.tally.confirm(self.upload.confirmed_bytes());
        }
        if let Some(event) = event {
            if matches!(event, Event::Processing { .. }) {
                self.remember_rate().await;
            }
            self.tell(event);
        }
        if let Some(shortfall) = self.upload.foresee(Now::read()) {
            self.tell(Event::Notice {
                text: format!("by its rate it will not end in time. {shortfall}"),
            });
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

    /// Makes the upload durable as it is now, with the ledger entry of the chunk that was just confirmed.
    pub(super) async fn record(&mut self, entry: Option<(u32, Entry)>) -> Result<(), Error> {
        Ok(self.shared.journal.save(self.upload.clone(), entry).await?)
    }

    /// The client for calls about this upload.
    pub(super) fn client(&self) -> Cow<'_, Client> {
        self.shared.client.about(|| subject(&self.upload))
    }

    /// The ledger up to what is confirmed.
    pub(super) async fn ledger(&self) -> Result<Vec<Entry>, Error> {
        let (id, chunks) = (self.upload.id.clone(), self.upload.confirmed());
        Ok(self.shared.journal.ledger(id, chunks).await?)
    }

    pub(super) async fn ask(&mut self) -> Reply {
        let publish_id = self.upload.state.publish_id().unwrap_or_default();
        let (client, line) = (&self.client(), self.turn.line());
        reach("ask", "before");
        let ask = |token| line.ask(async move { client.status(&token, publish_id).await });
        let answer = authorised(line, &self.account, Call::Status, ask).await;
        reach("ask", "answered");
        Reply::Status(answer)
    }

    /// Keeps the rate of this run as a hint for the next plan.
    async fn remember_rate(&self) {
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

    pub(super) fn draft(&self) -> Result<Draft, Error> {
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
        outcome,
        delivered_at,
        sha256: row.sha256.clone(),
        creator_known: row.creator_known,
    }
}
