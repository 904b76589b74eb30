//! What a run that stops tells its caller.

use std::time::Duration;

use super::transfer::Transfer;
use crate::answer::Meaning;
use crate::answer::{Call, Refusal};
use crate::clock::{Now, Timestamp};
use crate::error::Error;
use crate::governor::PendingCap;
use crate::plan::Limits;
use crate::upload::{Shortfall, Stop};

/// A day: the span of the service's limit of pending drafts. Source: Upload Video.
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Transfer {
    /// The error a run stops with.
    pub(super) async fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Refused(call, error) if error.meaning == Meaning::PendingCap => {
                let oldest = self.oldest_pending().await;
                let now = Now::read();
                let retry_at = oldest.unwrap_or(now.wall).plus(DAY).into();
                let cap = PendingCap {
                    error: error.clone(),
                    retry_at,
                };
                self.turn.line().set_pending_cap(cap, now);
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
            Stop::NoToken(reason) => Error::no_token(reason.into()),
            Stop::Host(reason) => Error::host(&reason),
            Stop::Untrusted(reason) => Error::untrusted(&reason),
            Stop::Spent(reason) => {
                if let Some((call, why)) = &self.upload.run.unreachable {
                    let outages = &self.shared.governor.outages;
                    outages.begin(why, *call == Call::Put, Now::read());
                }
                self.spent(&reason)
            }
        }
    }

    /// Ends an upload that has no connection, where another one has found the network out.
    pub(super) fn check_outage(&self) -> Result<(), Error> {
        let (Some((_, why)), Some(_)) = (
            &self.upload.run.unreachable,
            self.shared.governor.outages.now(Now::read()),
        ) else {
            return Ok(());
        };
        Err(self.spent(&format!(
            "No connection was made ({why}), and another upload has just waited for one in vain."
        )))
    }

    fn spent(&self, reason: &str) -> Error {
        Error::temporary(match self.upload.plan() {
            Some(plan) => self.unfinished(reason, plan.video_size()),
            None => format!(
                "{reason} Run the same command again: it goes on with {}.",
                self.upload.name()
            ),
        })
    }

    /// Whether an init was refused for what it says of a file that is larger than the documents promise to take.
    fn is_oversize(&self, error: &Refusal) -> bool {
        let large = self.upload.size() > Some(Limits::TIKTOK.sure_file());
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
        format!(
            "{reason} {safe} of {total} bytes of {name} are acknowledged; run the same command again, it carries on.{forecast}"
        )
    }

    async fn oldest_pending(&self) -> Option<Timestamp> {
        let since = Timestamp(Now::read().wall.0.saturating_sub(DAY.as_millis() as u64));
        self.shared
            .journal
            .oldest_delivery(self.upload.key.clone(), since)
            .await
            .ok()?
    }
}
