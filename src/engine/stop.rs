//! The error with which a run stops.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::transfer::Transfer;
use crate::account::Account;
use crate::answer::{Call, Meaning, Refusal};
use crate::clock::{self, Now, Timestamp};
use crate::error::{Error, Remedy};
use crate::journal::PendingCap;
use crate::tiktok::limits::PENDING;
use crate::upload::event::Shortfall;
use crate::upload::outage::Outages;
use crate::upload::plan::Limits;
use crate::upload::{Lack, Stop};

/// Where it is known that this is missing for all uploads.
fn outages_of<'a>(shared: &'a Shared, account: &'a Account, lack: &Lack) -> &'a Outages {
    match lack {
        Lack::Connection { .. } => &shared.scheduler.outages,
        Lack::Token { .. } => account.tokenless(),
    }
}

impl Transfer {
    /// The error a run stops with.
    pub(super) async fn stopped(&mut self, stop: Stop) -> Error {
        match stop {
            Stop::Refused(call, error) if error.meaning == Meaning::PendingCap => {
                let oldest = self.oldest_pending().await;
                let now = Now::read().wall;
                let retry_at = oldest.unwrap_or(now).plus(PENDING).into();
                let cap = PendingCap {
                    error: error.clone(),
                    retry_at,
                };
                self.turn.queue().set_pending_cap(cap).await;
                Error::refused(call, self.account.name(), error).at(retry_at)
            }
            Stop::Refused(Call::Init, error) if self.is_oversize(&error) => {
                let size = self.upload.size().unwrap_or(0);
                Error::too_large(&self.upload.name(), size, error)
            }
            Stop::Failed { publish_id, reason } => {
                Error::failed(&self.upload.name(), &reason, &publish_id)
            }
            Stop::Refused(call, error) => Error::refused(call, self.account.name(), error),
            Stop::ForeignToken => Error::foreign_token(self.account.name()),
            Stop::NoToken(reason, remedies) => Error::no_token(reason.into(), &remedies),
            Stop::Host(reason) => Error::host(&reason),
            Stop::Untrusted(reason) => Error::untrusted(&reason),
            Stop::Spent(reason) => {
                let now = Now::read();
                match &self.upload.run.lack {
                    Some(Lack::Connection { of_chunks, why }) => {
                        self.shared.scheduler.outages.begin(why, *of_chunks, now);
                    }
                    Some(Lack::Token { why }) => self.account.tokenless().begin(why, false, now),
                    None => {}
                }
                self.spent(&reason)
            }
        }
    }

    /// Ends an upload that lacks what another one has just waited for in vain.
    pub(super) fn check_outage(&self) -> Result<(), Error> {
        let Some(lack) = &self.upload.run.lack else {
            return Ok(());
        };
        let outages = outages_of(&self.shared, &self.account, lack);
        if outages.now(Now::read()).is_none() {
            return Ok(());
        }
        Err(self.spent(&match lack {
            Lack::Connection { why, .. } => format!("No connection was made: {why}."),
            // Chunks need none.
            Lack::Token { .. } if self.upload.session().is_some() => return Ok(()),
            Lack::Token { why } => format!("There was no access token: {why}."),
        }))
    }

    /// Waits for so long, or until another upload has waited in vain for what this one lacks.
    pub(super) async fn pause(&mut self, wait: Duration) {
        let (shared, account) = (Arc::clone(&self.shared), self.account.clone());
        let in_session = self.upload.session().is_some();
        let lack = self.upload.run.lack.clone();
        // Chunks need no token.
        let lack = lack.filter(|lack| !(in_session && matches!(lack, Lack::Token { .. })));
        self.aside(async {
            let Some(lack) = lack else {
                return clock::sleep(wait).await;
            };
            let begins = outages_of(&shared, &account, &lack).begins();
            let _ = tokio::time::timeout(clock::real(wait), begins).await;
        })
        .await;
    }

    fn spent(&self, reason: &str) -> Error {
        let text = match self.upload.plan() {
            Some(plan) => self.unfinished(reason, plan.video_size()),
            None => format!("{reason} What is known of {} is kept.", self.upload.name()),
        };
        Error::temporary(text).helped_by([Remedy::CarryOn])
    }

    /// Whether an init was refused for what it says of a file that is larger than the documents promise to take.
    fn is_oversize(&self, error: &Refusal) -> bool {
        let large = self.upload.size() > Some(Limits::DOCUMENTED.sure_file());
        large && error.meaning == Meaning::InvalidRequest
    }

    /// What a run out of patience says of a file.
    fn unfinished(&self, reason: &str, total: u64) -> String {
        let (safe, name) = (self.upload.confirmed_bytes(), self.upload.name());
        let shortfall = self
            .upload
            .rate()
            .and_then(|rate| Shortfall::of_whole(total, rate));
        let forecast = shortfall.map(|text| format!(" {text}")).unwrap_or_default();
        format!("{reason} {safe} of {total} bytes of {name} are acknowledged.{forecast}")
    }

    async fn oldest_pending(&mut self) -> Option<Timestamp> {
        let since = Timestamp(
            Now::read()
                .wall
                .0
                .saturating_sub(PENDING.as_millis() as u64),
        );
        self.shared
            .journal
            .oldest_delivery(self.upload.key.clone(), since)
            .await
            .ok()?
    }
}
