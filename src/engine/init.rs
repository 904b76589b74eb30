//! An init, from its intent to its answer.

use std::sync::Arc;
use std::time::Instant;

use super::barred::barred;
use super::metrics::Store;
use super::run::in_time;
use super::tokens::token;
use super::transfer::Transfer;
use crate::answer::{Call, Failure, Meaning, Opened, Refusal};
use crate::clock::{self, Now};
use crate::error::Error;
use crate::failpoint::reach;
use crate::journal::Grant;
use crate::secret::Secret;
use crate::secret::escaped::Escaped;
use crate::upload::event::{Event, WaitCause};
use crate::upload::{Identity, Reply};

impl Transfer {
    /// Asks for a session, or for a URL to be fetched, as the first in the queue of its account and when the window of the
    /// account has room.
    ///
    /// From the record of the intent to that of the answer the upload is not stopped: an answer that nobody records is a
    /// session that nobody uses, and the service counts it among the pending drafts.
    pub(super) async fn init(&mut self) -> Result<Reply, Error> {
        in_time(&self.upload)?;
        let events = self.events.clone();
        let tell = |behind| drop(events.send(Event::Queued { behind }));
        self.turn.queue_up(tell).await;
        let name = self.upload.name().into_owned();
        barred(&self.shared, &self.account, &name, &self.turn).await?;
        let (account, refused) = (self.account.clone(), self.refused.take());
        let token = match self.aside(token(&account, refused.as_ref())).await {
            Ok(token) => token,
            Err(error) => return Ok(Reply::Init(Err(error))),
        };
        let queue = Arc::clone(self.turn.queue());
        account.tokenless().end(false);
        if let Some(error) = queue.refusal(Call::Init, &token, Now::read()) {
            self.learn(&token, &error, refused.is_none());
            return Ok(Reply::Barred(error));
        }
        self.check_creator(&token).await?;
        if let Some(changed) = self.begin_init().await? {
            return Ok(changed);
        }
        self.shared.counters.init();
        reach("init", "before");
        let answer = self.ask_for_init(&token).await;
        reach("init", "answered");
        if let Err(Failure::Refused(error)) = &answer {
            self.learn(&token, error, refused.is_none());
        }
        Ok(Reply::Init(answer))
    }

    /// Remembers what a token was refused for; `first`: another token of the same source may help.
    fn learn(&mut self, token: &Secret, error: &Refusal, first: bool) {
        let queue = self.turn.queue();
        queue.learn(Call::Init, token, error, Now::read());
        if first && error.meaning == Meaning::InvalidToken {
            self.refused = Some(token.clone());
        }
    }

    /// Records the intent of an init, of the video as it is now, as soon as the window has room. Returns the reply
    /// `Changed` where the video has another size than the plan.
    async fn begin_init(&mut self) -> Result<Option<Reply>, Error> {
        loop {
            let as_of = match self.as_of().await? {
                Ok(as_of) => as_of,
                Err(what) => return Ok(Some(Reply::Changed(what))),
            };
            let mut intended = self.upload.clone();
            intended.apply(Reply::Intended(as_of), Now::read(), 0);
            self.uncut = Some(self.door.close().await);
            let begun = self.shared.journal.begin(self.lease, intended.clone());
            match self.shared.counters.timed(Store::Begin, begun).await? {
                Grant::Granted => {
                    self.upload = intended;
                    if let (Some(sending), Some(as_of)) = (&mut self.sending, as_of) {
                        sending.begin(as_of);
                    }
                    return Ok(None);
                }
                Grant::Wait(wait) => {
                    self.uncut = None;
                    let account = Escaped::new(self.account.name()).to_string();
                    let cause = WaitCause::InitWindow { account };
                    self.tell(Event::Waiting { cause, wait });
                    let started = Instant::now();
                    self.aside(clock::sleep(wait)).await;
                    self.shared.counters.waited_for_init(started.elapsed());
                }
            }
        }
    }

    /// The version of the video now, where it is sent from here; else what has changed, in words.
    async fn as_of(&mut self) -> Result<Result<Option<Identity>, String>, Error> {
        match &self.sending {
            Some(sending) => Ok(sending.settled(&self.upload).await?.map(Some)),
            None if self.remote.is_some() => Ok(Ok(None)),
            None => Err(super::send::needed_again(&self.upload)),
        }
    }

    async fn ask_for_init(&mut self, token: &Secret) -> Result<Opened, Failure> {
        let client = &self.client();
        match (self.upload.plan(), &self.remote) {
            (Some(plan), _) => client.init(token, plan).await,
            (None, Some(remote)) => client.init_pull(token, &remote.secret()).await,
            (None, None) => Err(Failure::NotSent("its URL is not known".into())),
        }
    }
}
