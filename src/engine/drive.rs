//! The loop for one upload: decide, perform, record. The only loop, and the only place that tries again.

use std::sync::atomic::Ordering;

use super::authorised::{token, with_token};
use super::cargo::Cargo;
use super::transfer::Transfer;
use crate::clock::{self, Now};
use crate::draft::Draft;
use crate::error::Error;
use crate::event::Event;
use crate::governor::PendingCap;
use crate::journal::Grant;
use crate::killpoint::reach;
use crate::upload::{Reply, Step};
use crate::wire::Call;

impl Transfer {
    /// Tells where the upload stands, and takes it from there to its end.
    pub(super) async fn drive(mut self, mut cargo: Cargo, compared: bool) -> Result<Draft, Error> {
        self.announce();
        cargo.carry_on(&mut self, compared).await?;
        if self.upload.state.publish_id().is_some() {
            self.turn.leave_line();
        }
        loop {
            if self.upload.is_at_service() {
                self.turn.leave();
            }
            let reply = match self.upload.step(Now::read()) {
                Step::Wait(wait) => {
                    clock::sleep(wait).await;
                    continue;
                }
                Step::Init => self.init(&mut cargo).await?,
                Step::Put(chunk) => cargo.put(&mut self, chunk).await?,
                Step::Adopt(chunk) => cargo.adopt(&mut self, chunk).await?,
                Step::Ask => self.ask().await,
                Step::Expire(why) => Reply::SessionOver(why),
                Step::Stop(stop) => return Err(self.stopped(stop).await),
                Step::Done => return self.draft(),
            };
            self.take_in(reply).await?;
        }
    }

    async fn init(&mut self, cargo: &mut Cargo) -> Result<Reply, Error> {
        let token = match token(&self.account).await {
            Ok(token) => token,
            Err(error) => return Ok(Reply::Init(Err(error))),
        };
        self.turn.line_up().await;
        if let Some(PendingCap { error, retry_at }) = self.turn.line().pending_cap() {
            let error = Error::refused(Call::Init, self.account.name(), error);
            return Err(match retry_at {
                Some(retry_at) => error.at(retry_at),
                None => error,
            });
        }
        loop {
            let as_of = cargo.as_of(self).await?;
            let now = Now::read();
            let mut next = self.upload.clone();
            next.intend(as_of, now);
            next.revision += 1;
            match self.shared.journal.begin(next.clone(), now.wall).await? {
                Grant::Granted => {
                    self.upload = next;
                    cargo.begin(as_of);
                    break;
                }
                Grant::Wait(wait) => {
                    let reason =
                        format!("TikTok takes 6 inits a minute for {}", self.account.name());
                    self.tell(Event::Waiting { reason, wait });
                    self.turn.stand_by(wait).await;
                }
            }
        }
        self.turn.leave_line();
        self.tally
            .inits
            .store(self.upload.totals.inits, Ordering::Relaxed);
        self.tally.high_water.store(0, Ordering::Relaxed);
        let (client, source) = (&self.shared.client, &cargo.source_info(&self.upload));
        let init = |token| async move { client.init(&token, source).await };
        reach("init", "before");
        let answer = with_token(&self.account, token, init).await;
        reach("init", "answered");
        Ok(Reply::Init(answer))
    }
}
