//! The entry of the API: counts each call, applies faults, checks its token and its rate window, and answers in the
//! envelope.

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
use super::service::Service;
use super::settings::Settings;
use super::shared::Shared;
use super::tokens::Unfit;
use super::{canned, consent, creator_info, oauth, publish, pull, videos};

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
        .service()
        .enter(endpoint, call.token.as_deref(), &parts);
    let (strike, request) = entered;
    let reply = handle(Arc::clone(&shared), call, body, strike).await;
    shared.service().traffic.end(request, reply.status());
    reply
}

async fn handle(shared: Arc<Shared>, mut call: Call, body: Body, strike: Strike) -> Reply {
    let endpoint = call.endpoint;
    let settings = shared.service().settings(call.token.as_deref());
    tokio::time::sleep(strike.delay).await;
    match &strike.action {
        Some(Action::Cut(_)) => return Reply::Reset,
        Some(Action::Stall(_)) => return Reply::Silence,
        Some(Action::Answer(canned)) => {
            let mut service = shared.service();
            publish::leave_orphan(&mut service, &call, canned.status, &settings);
            let log_id = service.log_id();
            return Reply::Answer(canned::api(canned, endpoint, &settings, &log_id));
        }
        _ => {}
    }
    let read = call.read(body, settings.body_timeout).await;

    // Dropped after the lock is released: it removes the files of forgotten uploads.
    let _gone;
    let mut service = shared.service();
    if !service.performs(endpoint, &strike, &settings) {
        return Reply::Reset;
    }
    let before = service.newest();
    let response = match read {
        Ok(()) => perform(&mut service, &call, &settings),
        Err(refusal) => refuse(&mut service, refusal, &settings),
    };
    _gone = service.forget_surplus();
    for order in std::mem::take(&mut service.orders) {
        let fetched = pull::fetch(Arc::clone(&shared), order);
        tokio::spawn(Arc::clone(&shared).guard(fetched));
    }
    if matches!(strike.action, Some(Action::Lose | Action::Store(_))) {
        service.orphan_since(before);
    }
    match &strike.action {
        Some(Action::Lose) => Reply::Reset,
        Some(Action::Store(canned)) => {
            let log_id = service.log_id();
            Reply::Answer(canned::api(canned, endpoint, &settings, &log_id))
        }
        _ => Reply::Answer(response),
    }
}

fn perform(service: &mut Service, call: &Call, settings: &Settings) -> Response {
    match call.endpoint {
        Endpoint::Token => oauth::token(service, call, settings),
        Endpoint::Revoke => oauth::revoke(service, call, settings),
        Endpoint::Authorize => consent::authorize(service, call, settings),
        _ => perform_for_token(service, call, settings),
    }
}

fn perform_for_token(service: &mut Service, call: &Call, settings: &Settings) -> Response {
    let token = match admit(service, call, settings) {
        Ok(token) => token,
        Err(refusal) => return refuse(service, refusal, settings),
    };
    if let Err((refusal, wait)) = service.pass_window(call.endpoint, &token, settings) {
        let after = service.retry_after(wait, settings);
        return with_retry_after(refuse(service, refusal, settings), after.as_deref());
    }
    let outcome = dispatch(service, call, &token, settings);
    if let Err(refusal) = &outcome
        && call.endpoint.is_init()
    {
        if refusal.status == 400 {
            let name = public_name(call.creator(), &token);
            service.review.init_refused(&token, &name, &call.body);
        }
        publish::leave_orphan(service, call, refusal.status, settings);
    }
    let log_id = service.log_id();
    envelope(outcome, settings, &log_id)
}

/// Refuses a request in the envelope.
pub(crate) fn refuse(service: &mut Service, refusal: Refusal, settings: &Settings) -> Response {
    let log_id = service.log_id();
    envelope(Err(refusal), settings, &log_id)
}

fn admit(service: &Service, call: &Call, settings: &Settings) -> Result<String, Refusal> {
    let invalid = || {
        Refusal::new(
            "access_token_invalid",
            "The access token is invalid or not found in the request",
        )
    };
    let token = call.token.as_deref().ok_or_else(invalid)?;
    let scopes = call.endpoint.scopes();
    match service.tokens.admit(token, scopes, service.now(), settings) {
        Ok(()) => Ok(token.to_owned()),
        Err(Unfit::Invalid) => Err(invalid()),
        Err(Unfit::Scope) => Err(Refusal::new(
            "scope_not_authorized",
            format!("The user did not authorize {}", scopes.join(" or ")),
        )),
    }
}

fn dispatch(service: &mut Service, call: &Call, token: &str, settings: &Settings) -> Outcome {
    match call.endpoint {
        Endpoint::InboxInit => publish::inbox_init(service, call, token, settings),
        Endpoint::DirectInit => publish::direct_init(service, call, token, settings),
        Endpoint::PhotoInit => publish::photo_init(service, call, token, settings),
        Endpoint::Status => publish::status(service, call, settings),
        Endpoint::Cancel => publish::cancel(service, call, settings),
        Endpoint::CreatorInfo => creator_info::creator_info(service, call, settings),
        Endpoint::UserInfo => creator_info::user_info(service, call, token, settings),
        Endpoint::VideoList => videos::list(service, call, token, settings),
        Endpoint::VideoQuery => videos::query(service, call, token, settings),
        Endpoint::Put | Endpoint::Authorize | Endpoint::Token | Endpoint::Revoke => Err(
            Refusal::new("internal_error", "this is no call with a token"),
        ),
    }
}
