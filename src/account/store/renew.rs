//! The access token of an account, and its renewal.
//!
//! A refresh token may be spent by the request that uses it (the service replaces it with each answer), so the order is: lock
//! the account's file, read it again, note the renewal, ask, write the answer down as it came, store the new pair, use it.
//! A process that dies anywhere in between leaves files from which the next one goes on; only an answer that never arrived can
//! take the account along, and whether it does is up to the service.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLock;
use tracing::Instrument;

use super::stored::{Kept, Stored};
use super::{Inner, log_in};
use crate::answer::{Call, Failure, Meaning};
use crate::clock::Now;
use crate::error::Error;
use crate::failpoint::reach;
use crate::secret::Secret;
use crate::tiktok::client::oauth::Raw;

/// Held by each renewal of this process, from before its request to the record of its answer.
pub(super) static RENEWING: RwLock<()> = RwLock::const_new(());

/// The access token to use now. A renewal is a task of its own, which goes on if nobody waits for it any more.
pub(super) async fn token(
    inner: &Arc<Inner>,
    name: &str,
    refused: Option<&Secret>,
) -> Result<Secret, Error> {
    let stored = inner.stored(name).await?;
    if !stored.is_due(refused, Now::read()) {
        return Ok(stored.access);
    }
    let is_alive = stored.is_alive(refused, Now::read());
    let locked = match is_alive {
        // Somebody else renews it; this token will do meanwhile.
        true => match inner.dir.try_lock(name).await? {
            Some(locked) => locked,
            None => return Ok(stored.access),
        },
        false => inner.dir.lock(name).await?,
    };
    let renewing = RENEWING.read().await;
    let (of, by, refused) = (Arc::clone(inner), name.to_owned(), refused.cloned());
    let renewal = async move {
        let renewed = renewed(&of, &by, refused.as_ref()).await;
        drop((locked, renewing));
        renewed
    };
    let renewed = tokio::spawn(renewal.in_current_span()).await;
    let renewed = renewed.unwrap_or_else(|error| Err(Error::temporary(format!("{error}."))));
    match renewed {
        // Half of its life is left to try again in, or to log in.
        Err(error) if is_alive => {
            match error.is_retryable() {
                true => tracing::debug!(%error, account = name, "the token was not renewed"),
                false => tracing::warn!(%error, account = name, "the token was not renewed"),
            }
            Ok(stored.access)
        }
        renewed => renewed,
    }
}

/// Renews the tokens, unless another process has done so. The account is locked.
async fn renewed(inner: &Inner, name: &str, refused: Option<&Secret>) -> Result<Secret, Error> {
    let mut stored = inner.stored(name).await?;
    let of = name.to_owned();
    if let Some(kept) = inner.dir.run(move |dir| dir.kept(&of)).await? {
        stored = take_in(inner, stored, &kept).await?;
    }
    if let Some(reason) = &stored.needs_login {
        return Err(Error::needs_login(name, reason));
    }
    if !stored.is_due(refused, Now::read()) {
        return Ok(stored.access);
    }
    let app = inner.app(&stored)?;
    let was_renewing = stored.renewing;
    let asked = Now::read().wall;
    stored.renewing = Some(was_renewing.unwrap_or(asked));
    save(inner, &stored).await?;
    reach("renew", "noted");
    let raw = inner
        .client
        .grant_by_refresh(app.keys(), &stored.refresh)
        .await;
    let raw = match raw {
        Ok(raw) => raw,
        Err(failure) => {
            inner.client.counters().refreshed("failed");
            if failure.never_left() && was_renewing.is_none() {
                stored.renewing = None;
                save(inner, &stored).await?;
            }
            return Err(error(name, failure));
        }
    };
    reach("renew", "answered");
    let kept = Kept {
        generation: stored.generation,
        asked,
        http_status: raw.http_status,
        body: Secret::new(&String::from_utf8_lossy(&raw.body)),
    };
    if let Err(failure) = inner.client.granted(&raw) {
        inner
            .client
            .counters()
            .refreshed(match failure.means(Meaning::InvalidGrant) {
                true => "login",
                false => "failed",
            });
        // Only what holds tokens must not be lost.
        return Err(refused_for(inner, stored, was_renewing.is_some(), failure).await);
    }
    let kept = Arc::new(kept);
    keep(inner, name, &kept).await?;
    inner.client.counters().refreshed("renewed");
    reach("renew", "kept");
    Ok(take_in(inner, stored, &kept).await?.access)
}

/// How often, once a second, an answer is tried to be written.
const ATTEMPTS: u32 = 30;

/// Writes an answer down. It is the only copy of the new refresh token, so a disk that is full for a moment is waited for.
async fn keep(inner: &Inner, name: &str, kept: &Arc<Kept>) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        let (of, kept) = (name.to_owned(), Arc::clone(kept));
        match inner.dir.run(move |dir| dir.keep(&of, &kept)).await {
            Err(error) if attempt < ATTEMPTS => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(
                    account = name,
                    cause,
                    "{error}: the new tokens are not written yet"
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
                attempt += 1;
            }
            kept => return kept,
        }
    }
}

/// Stores the pair of an answer that was kept, and drops the answer.
async fn take_in(inner: &Inner, stored: Stored, kept: &Kept) -> Result<Stored, Error> {
    let raw = Raw {
        http_status: kept.http_status,
        retry_after: None,
        body: kept.body.expose().as_bytes().to_vec(),
    };
    let next = match inner.client.granted(&raw) {
        Ok(granted) if kept.generation == stored.generation => {
            let is_imported = stored.open_id.is_empty();
            if granted.open_id != stored.open_id && !is_imported {
                return Err(Error::other_creator(&stored.name));
            }
            stored.renewed(granted, kept.asked)
        }
        // It was taken in before.
        _ => stored,
    };
    save(inner, &next).await?;
    reach("renew", "stored");
    let of = next.name.clone();
    inner.dir.run(move |dir| dir.drop_kept(&of)).await?;
    Ok(next)
}

/// The service has answered, and not with tokens.
async fn refused_for(
    inner: &Inner,
    mut stored: Stored,
    was_renewing: bool,
    failure: Failure,
) -> Error {
    let name = stored.name.clone();
    if failure.means(Meaning::InvalidGrant) {
        let Failure::Refused(refusal) = failure else {
            unreachable!("only a refusal means something")
        };
        let lost = match was_renewing {
            true => {
                "; an earlier renewal was cut off before its answer was stored, which may be why"
            }
            false => "",
        };
        let reason = format!(
            "the service no longer takes the refresh token: {} ({}){}{lost}",
            refusal.code,
            refusal.message,
            refusal.support()
        );
        stored.needs_login = Some(reason.clone());
        if let Err(error) = save(inner, &stored).await {
            return error;
        }
        return Error::needs_login(&name, &reason);
    }
    // What became of the request is open after a fault.
    if !was_renewing && !matches!(failure, Failure::Faulty(_) | Failure::Lost(_)) {
        stored.renewing = None;
        if let Err(error) = save(inner, &stored).await {
            return error;
        }
    }
    error(&name, failure)
}

async fn save(inner: &Inner, stored: &Stored) -> Result<(), Error> {
    let stored = stored.clone();
    inner.dir.run(move |dir| dir.write(&stored)).await
}

/// A failure of the token endpoint, for people.
pub(super) fn error(account: &str, failure: Failure) -> Error {
    match failure {
        Failure::Refused(refusal) if refusal.meaning == Meaning::InvalidGrant => {
            Error::refused(Call::Token, account, refusal).helped_by([log_in(account)])
        }
        Failure::Refused(refusal) | Failure::Busy(refusal) | Failure::Faulty(refusal) => {
            Error::refused(Call::Token, account, refusal)
        }
        Failure::Untrusted(reason) => Error::untrusted(&reason),
        failure => Error::not_answered(Call::Token, &failure),
    }
}

/// How long a login may take, from its address to the answer.
pub(super) const LOGIN_LIVES: Duration = Duration::from_secs(24 * 3600);
