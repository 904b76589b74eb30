//! The front door of the API: every call is counted, may be hit by a fault, shows its token, takes its
//! place in the window, and is answered in the envelope.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hyper::http::request::Parts;

use super::answer::{Outcome, Refusal, envelope, with_retry_after};
use super::call::Call;
use super::canned;
use super::endpoint::Endpoint;
use super::faults::Action;
use super::publish;
use super::receive::Reply;
use super::settings::Settings;
use super::shared::Shared;
use super::world::World;

/// Handles one API call.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    parts: Parts,
    body: Body,
    tls: bool,
) -> Reply {
    let mut call = Call::new(endpoint, &parts, tls);
    if let Some(origin) = &shared.upload_origin {
        call.origin.clone_from(origin);
    }
    let (strike, settings) = {
        let mut world = shared.world();
        let strike = world.enter(endpoint, call.token.as_deref());
        (strike, world.settings(call.token.as_deref()))
    };
    tokio::time::sleep(strike.delay).await;
    match &strike.action {
        Some(Action::Cut(_)) => return Reply::Reset,
        Some(Action::Stall(_)) => return Reply::Silence,
        Some(Action::Answer(canned)) => {
            let mut world = shared.world();
            publish::leave_orphan(&mut world, &call, canned.status, &settings);
            let log_id = world.log_id();
            return Reply::Answer(canned::api(canned, &settings, &log_id));
        }
        _ => {}
    }
    let read = call.read(body, settings.body_timeout).await;

    let mut world = shared.world();
    if !world.performs(endpoint, &strike, &settings) {
        return Reply::Reset;
    }
    let response = match read {
        Ok(()) => perform(&mut world, &call, &settings),
        Err(refusal) => {
            let log_id = world.log_id();
            envelope(Err(refusal), &settings, &log_id)
        }
    };
    match &strike.action {
        Some(Action::Lose) => Reply::Reset,
        Some(Action::Store(canned)) => {
            let log_id = world.log_id();
            Reply::Answer(canned::api(canned, &settings, &log_id))
        }
        _ => Reply::Answer(response),
    }
}

fn perform(world: &mut World, call: &Call, settings: &Settings) -> Response {
    let log_id = world.log_id();
    let token = match admit(world, call) {
        Ok(token) => token,
        Err(refusal) => return envelope(Err(refusal), settings, &log_id),
    };
    if let Err((refusal, wait)) = world.pass_window(call.endpoint, &token, settings) {
        let after = world.retry_after(wait, settings);
        let response = envelope(Err(refusal), settings, &log_id);
        return with_retry_after(response, after.as_deref());
    }
    let outcome = dispatch(world, call, &token, settings);
    if let Err(refusal) = &outcome {
        publish::leave_orphan(world, call, refusal.status, settings);
    }
    envelope(outcome, settings, &log_id)
}

fn admit(world: &World, call: &Call) -> Result<String, Refusal> {
    match &call.token {
        Some(token) if !world.dead_tokens.contains(token) => Ok(token.clone()),
        _ => Err(Refusal::new(
            "access_token_invalid",
            "The access token is invalid or not found in the request",
        )),
    }
}

fn dispatch(world: &mut World, call: &Call, token: &str, settings: &Settings) -> Outcome {
    match call.endpoint {
        Endpoint::InboxInit => publish::inbox_init(world, call, token, settings),
        Endpoint::Status => publish::status(world, call, settings),
        other => Err(Refusal::new(
            "internal_error",
            format!("{} is not here yet", other.name()),
        )),
    }
}
