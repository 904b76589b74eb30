//! The front door of the API: every call is counted, may be hit by a fault, shows its token, takes its
//! place in the window, and is answered in the envelope.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hyper::http::request::Parts;

use super::answer::{Outcome, Refusal, envelope, with_retry_after};
use super::call::Call;
use super::creator::public_name;
use super::endpoint::Endpoint;
use super::faults::{Action, Strike};
use super::reply::Reply;
use super::settings::Settings;
use super::shared::Shared;
use super::tokens::Unfit;
use super::world::World;
use super::{canned, consent, oauth, people, publish, pull, videos};

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
    let entered = shared
        .world()
        .enter(endpoint, call.token.as_deref(), &parts);
    let (strike, request) = entered;
    let reply = handle(Arc::clone(&shared), call, body, strike).await;
    shared.world().traffic.end(request, reply.status());
    reply
}

async fn handle(shared: Arc<Shared>, mut call: Call, body: Body, strike: Strike) -> Reply {
    let endpoint = call.endpoint;
    let settings = shared.world().settings(call.token.as_deref());
    tokio::time::sleep(strike.delay).await;
    match &strike.action {
        Some(Action::Cut(_)) => return Reply::Reset,
        Some(Action::Stall(_)) => return Reply::Silence,
        Some(Action::Answer(canned)) => {
            let mut world = shared.world();
            publish::leave_orphan(&mut world, &call, canned.status, &settings);
            let log_id = world.log_id();
            return Reply::Answer(canned::api(canned, endpoint, &settings, &log_id));
        }
        _ => {}
    }
    let read = call.read(body, settings.body_timeout).await;

    // Dropped after the lock is free: what gave way takes its files along.
    let _gone;
    let mut world = shared.world();
    if !world.performs(endpoint, &strike, &settings) {
        return Reply::Reset;
    }
    let before = world.newest();
    let response = match read {
        Ok(()) => perform(&mut world, &call, &settings),
        Err(refusal) => refuse(&mut world, refusal, &settings),
    };
    _gone = world.forget_surplus();
    for order in std::mem::take(&mut world.orders) {
        let fetched = pull::fetch(Arc::clone(&shared), order);
        tokio::spawn(Arc::clone(&shared).guard(fetched));
    }
    if matches!(strike.action, Some(Action::Lose | Action::Store(_))) {
        world.orphan_since(before);
    }
    match &strike.action {
        Some(Action::Lose) => Reply::Reset,
        Some(Action::Store(canned)) => {
            let log_id = world.log_id();
            Reply::Answer(canned::api(canned, endpoint, &settings, &log_id))
        }
        _ => Reply::Answer(response),
    }
}

fn perform(world: &mut World, call: &Call, settings: &Settings) -> Response {
    match call.endpoint {
        Endpoint::Token => oauth::token(world, call, settings),
        Endpoint::Revoke => oauth::revoke(world, call, settings),
        Endpoint::Authorize => consent::authorize(world, call, settings),
        _ => perform_for_token(world, call, settings),
    }
}

fn perform_for_token(world: &mut World, call: &Call, settings: &Settings) -> Response {
    let token = match admit(world, call, settings) {
        Ok(token) => token,
        Err(refusal) => return refuse(world, refusal, settings),
    };
    if let Err((refusal, wait)) = world.pass_window(call.endpoint, &token, settings) {
        let after = world.retry_after(wait, settings);
        return with_retry_after(refuse(world, refusal, settings), after.as_deref());
    }
    let outcome = dispatch(world, call, &token, settings);
    if let Err(refusal) = &outcome
        && call.endpoint.is_init()
    {
        if refusal.status == 400 {
            let name = public_name(call.creator(), &token);
            world.review.init_refused(&token, &name, &call.body);
        }
        publish::leave_orphan(world, call, refusal.status, settings);
    }
    let log_id = world.log_id();
    envelope(outcome, settings, &log_id)
}

/// Refuses a call, or what is none, in the envelope.
pub(crate) fn refuse(world: &mut World, refusal: Refusal, settings: &Settings) -> Response {
    let log_id = world.log_id();
    envelope(Err(refusal), settings, &log_id)
}

fn admit(world: &World, call: &Call, settings: &Settings) -> Result<String, Refusal> {
    let invalid = || {
        Refusal::new(
            "access_token_invalid",
            "The access token is invalid or not found in the request",
        )
    };
    let token = call.token.as_deref().ok_or_else(invalid)?;
    let scopes = call.endpoint.scopes();
    match world.tokens.admit(token, scopes, world.now(), settings) {
        Ok(()) => Ok(token.to_owned()),
        Err(Unfit::Invalid) => Err(invalid()),
        Err(Unfit::Scope) => Err(Refusal::new(
            "scope_not_authorized",
            format!("The user did not authorize {}", scopes.join(" or ")),
        )),
    }
}

fn dispatch(world: &mut World, call: &Call, token: &str, settings: &Settings) -> Outcome {
    match call.endpoint {
        Endpoint::InboxInit => publish::inbox_init(world, call, token, settings),
        Endpoint::DirectInit => publish::direct_init(world, call, token, settings),
        Endpoint::PhotoInit => publish::photo_init(world, call, token, settings),
        Endpoint::Status => publish::status(world, call, settings),
        Endpoint::Cancel => publish::cancel(world, call, settings),
        Endpoint::CreatorInfo => people::creator_info(world, call, settings),
        Endpoint::UserInfo => people::user_info(world, call, token, settings),
        Endpoint::VideoList => videos::list(world, call, token, settings),
        Endpoint::VideoQuery => videos::query(world, call, token, settings),
        Endpoint::Put | Endpoint::Authorize | Endpoint::Token | Endpoint::Revoke => Err(
            Refusal::new("internal_error", "this is no call with a token"),
        ),
    }
}
