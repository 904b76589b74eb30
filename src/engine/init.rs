//! An init, from its intent to the record of its answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::Shared;
use super::authorised::token;
use super::barred::barred;
use super::cargo::Cargo;
use super::carry::in_time;
use super::transfer::{Transfer, subject};
use crate::answer::{Call, Meaning};
use crate::clock::{self, Now};
use crate::error::Error;
use crate::journal::Grant;
use crate::killpoint::reach;
use crate::secret::Secret;
use crate::tiktok::json::SourceInfo;
use crate::upload::event::Event;
use crate::upload::{Applied, Reply, Stop, Upload};

/// What came of asking for an init.
enum Asked {
    /// Nothing was recorded or sent: the window is full for this long.
    Wait(Duration),
    /// The upload with the answer taken in and recorded.
    Answered(Box<Upload>, Applied),
}

impl Transfer {
    /// Asks for a session, or for a URL to be fetched, as the first in the line of its account; once more with a fresh
    /// token if that is refused and its source has another.
    pub(super) async fn init(&mut self, cargo: &mut Cargo) -> Result<(), Error> {
        in_time(&self.upload)?;
        let events = self.events.clone();
        let tell = |behind| drop(events.send(Event::Queued { behind }));
        self.turn.line_up(tell).await;
        barred(&self.shared, &self.account, &self.upload.name(), &self.turn)?;
        let account = self.account.clone();
        let mut refused: Option<Secret> = None;
        loop {
            let token = match self.aside(token(&account, refused.as_ref())).await {
                Ok(token) => token,
                Err(error) => {
                    self.upload.run.stop = None;
                    return self.take_in(Reply::Init(Err(error))).await;
                }
            };
            let line = Arc::clone(self.turn.line());
            line.tokenless.end(false);
            match line.refusal(Call::Init, &token, Now::read()) {
                Some(error) => self.upload.run.stop = Some(Stop::Refused(Call::Init, error)),
                None => {
                    self.check_creator(&token).await?;
                    self.upload.run.stop = None;
                    let applied = self.init_with(cargo, &token).await?;
                    if self.upload.state.publish_id().is_some() {
                        self.turn.leave_line();
                    }
                    self.show(applied.event).await;
                }
            }
            let Some(Stop::Refused(call, error)) = &self.upload.run.stop else {
                return Ok(());
            };
            line.learn(*call, &token, error, Now::read());
            if error.meaning != Meaning::InvalidToken || refused.is_some() {
                return Ok(());
            }
            refused = Some(token);
        }
    }

    /// Asks once with this token, when the window of the account has room.
    async fn init_with(&mut self, cargo: &mut Cargo, token: &Secret) -> Result<Applied, Error> {
        loop {
            let as_of = cargo.as_of(self).await?;
            let mut next = self.upload.clone();
            next.apply(Reply::Intended(as_of), Now::read(), 0);
            let source = cargo.source_info(&next)?;
            match self.ask_for_init(next, token.clone(), source).await? {
                Asked::Wait(wait) => {
                    let reason =
                        format!("TikTok takes 6 inits a minute for {}", self.account.name());
                    self.tell(Event::Waiting { reason, wait });
                    self.aside(clock::sleep(wait)).await;
                }
                Asked::Answered(upload, applied) => {
                    self.upload = *upload;
                    cargo.begin(as_of);
                    self.tally.set_inits(self.upload.totals.inits);
                    self.tally.start_at(0);
                    return Ok(applied);
                }
            }
        }
    }

    /// In a task of its own, which goes on if nobody waits any more: an answer that nobody records is a session that
    /// nobody uses, and the service counts it among the pending drafts. Until that is recorded, the task keeps other jobs
    /// of this video waiting, and other inits of this account.
    async fn ask_for_init(
        &self,
        upload: Upload,
        token: Secret,
        source: SourceInfo,
    ) -> Result<Asked, Error> {
        let shared = Arc::clone(&self.shared);
        let places = (Arc::clone(&self.alone), self.turn.first());
        let asking = async move {
            let asked = ask(&shared, upload, &token, &source).await;
            drop(places);
            asked
        };
        finished(tokio::spawn(asking.in_current_span())).await
    }
}

async fn ask(
    shared: &Shared,
    mut upload: Upload,
    token: &Secret,
    source: &SourceInfo,
) -> Result<Asked, Error> {
    let begun = shared.journal.begin(upload.clone(), upload.updated).await?;
    if let Grant::Wait(wait) = begun {
        return Ok(Asked::Wait(wait));
    }
    reach("init", "before");
    let client = shared.client.about(|| subject(&upload));
    let answer = client.init(token, source).await;
    reach("init", "answered");
    let reply = Reply::Init(answer);
    if reply.left().is_some() {
        shared.governor.outages.end(false);
    }
    let applied = upload.apply(reply, Now::read(), fastrand::u64(..));
    if applied.save {
        shared.journal.save(upload.clone(), None).await?;
    }
    Ok(Asked::Answered(Box::new(upload), applied))
}

/// What a task has come to.
async fn finished<T>(task: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    match task.await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::cancelled()),
    }
}
