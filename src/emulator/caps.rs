//! The limits on a creator's pending shares and daily posts.

use std::time::Duration;

use super::answer::Refusal;
use super::call::Call;
use super::service::Service;
use super::session::Session;
use super::settings::Settings;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// At most five un-posted shares within 24 hours (D UP).
pub(crate) fn check_pending(
    service: &mut Service,
    call: &Call,
    settings: &Settings,
) -> Result<(), Refusal> {
    if !settings.limited() || service.pending(call.creator(), settings) < settings.pending_cap {
        return Ok(());
    }
    service.note(
        call.endpoint,
        &call.shown_creator(),
        format!(
            "{} shares of this creator are pending: use a fresh token or limits=off",
            settings.pending_cap
        ),
    );
    Err(Refusal::new(
        "spam_risk_too_many_pending_share",
        "Too many shares wait in the creator's inbox",
    ))
}

/// A creator's direct posts within 24 hours are capped (D DP; the number is O-22).
pub(crate) fn check_daily_posts(
    service: &mut Service,
    call: &Call,
    settings: &Settings,
) -> Result<(), Refusal> {
    let now = service.now();
    let recent = |session: &&Session| {
        session.direct && session.creator == call.creator() && now.since(session.issued) < DAY
    };
    let posts = service.sessions.values().filter(recent).count() as u64;
    if !settings.limited() || posts < settings.daily_posts {
        return Ok(());
    }
    service.note(
        call.endpoint,
        &call.shown_creator(),
        format!("{posts} direct posts within a day: use a fresh token or limits=off"),
    );
    Err(Refusal::new(
        "spam_risk_too_many_posts",
        "The creator posted too often within 24 hours",
    ))
}
