//! The loop for one upload: decide, perform, record. The only loop, and the only place that tries again.

use tracing::Instrument;

use super::cargo::Cargo;
use super::transfer::Transfer;
use crate::clock::Now;
use crate::engine::draft::Draft;
use crate::error::Error;
use crate::upload::{Reply, Step};

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
            self.check_outage()?;
            let reply = match self.upload.step(Now::read()) {
                Step::Wait(wait) => {
                    self.pause(wait).await;
                    continue;
                }
                Step::Init => {
                    let span = tracing::info_span!("init", attempt = self.upload.attempt());
                    self.init(&mut cargo).instrument(span).await?;
                    continue;
                }
                Step::Put(chunk) => {
                    let (chunk_number, attempt) = (chunk.index(), self.upload.attempt());
                    let span = tracing::info_span!("put", chunk = chunk_number, attempt);
                    cargo.put(&mut self, chunk).instrument(span).await?
                }
                Step::Adopt(chunk) => {
                    let span = tracing::info_span!("adopt", chunk = chunk.index());
                    cargo.adopt(&mut self, chunk).instrument(span).await?
                }
                Step::Rewind(chunks) => {
                    let span = tracing::info_span!("rewind", chunks);
                    cargo.rewind(&mut self, chunks).instrument(span).await?
                }
                Step::Ask => self.ask().instrument(tracing::info_span!("status")).await,
                Step::Expire(why) => Reply::SessionOver(why),
                Step::Stop(stop) => return Err(self.stopped(stop).await),
                Step::Done => return self.draft(),
            };
            self.take_in(reply).await?;
        }
    }
}
