//! The paths of the calls.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodFilter, any, get, on};
use hyper::Method;
use serde_json::json;

use super::answer::{Refusal, closing, empty_answer, json_answer};
use super::call::read;
use super::connection::Line;
use super::creator::bearer;
use super::endpoint::Endpoint;
use super::reply::{Reply, SILENCE};
use super::settings::NoSlash;
use super::shared::Shared;
use super::{admission, api, consent, control, media, page, receive};

/// POST calls by path.
const POSTS: [(&str, Endpoint); 10] = [
    ("/v2/post/publish/inbox/video/init/", Endpoint::InboxInit),
    ("/v2/post/publish/video/init/", Endpoint::DirectInit),
    ("/v2/post/publish/content/init/", Endpoint::PhotoInit),
    ("/v2/post/publish/status/fetch/", Endpoint::Status),
    ("/v2/post/publish/cancel/", Endpoint::Cancel),
    (
        "/v2/post/publish/creator_info/query/",
        Endpoint::CreatorInfo,
    ),
    ("/v2/video/list/", Endpoint::VideoList),
    ("/v2/video/query/", Endpoint::VideoQuery),
    ("/v2/oauth/token/", Endpoint::Token),
    ("/v2/oauth/revoke/", Endpoint::Revoke),
];

/// GET calls by path.
const GETS: [(&str, Endpoint); 2] = [
    ("/v2/user/info/", Endpoint::UserInfo),
    ("/v2/auth/authorize/", Endpoint::Authorize),
];

const NOT_FOUND: &str = "not_found";

/// The paths of upload URLs (D MTG; F AutoPromote, aitiktokz).
pub(crate) const UPLOADS: [&str; 4] = ["/video/", "/video", "/upload/", "/upload"];

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/", get(page))
        .route("/_emulator/{*page}", any(page))
        .fallback(unknown);
    let posts = POSTS.map(|(path, endpoint)| (MethodFilter::POST, path, endpoint));
    let gets = GETS.map(|(path, endpoint)| (MethodFilter::GET, path, endpoint));
    for (method, path, endpoint) in posts.into_iter().chain(gets) {
        let handle = move |State(shared), request| call(shared, endpoint, request);
        let no_slash = path.trim_end_matches('/');
        router = router
            .route(path, on(method, handle))
            .route(no_slash, on(method, handle));
    }
    for path in UPLOADS {
        router = router.route(path, any(put));
    }
    let admitted = middleware::from_fn_with_state(Arc::clone(&shared), admit);
    // The last layer, as it covers the routes that exist already.
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(admitted)
        .with_state(shared)
}

/// Passes a request to its route, if there is one and the request may be served.
async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match admission::refuse(&parts, &shared) {
        Some(refused) => refused,
        None => next.run(Request::from_parts(parts, body)).await,
    }
}

async fn call(shared: Arc<Shared>, endpoint: Endpoint, request: Request) -> Response {
    if lacks_slash(&shared, &request) {
        return unknown(State(shared), request).await;
    }
    let line = line(&shared, &request);
    let tls = line.as_ref().is_some_and(|line| line.tls);
    let (parts, body) = request.into_parts();
    let handled = api::answer(Arc::clone(&shared), endpoint, parts, body, tls);
    apart(shared, line, handled).await
}

/// Whether the path of an API call is refused because its final slash is missing (O-27).
fn lacks_slash(shared: &Shared, request: &Request) -> bool {
    let settings = shared.service().settings(bearer(request.headers()));
    settings.no_slash == NoSlash::NotFound && !request.uri().path().ends_with('/')
}

async fn put(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let line = line(&shared, &request);
    let (parts, body) = request.into_parts();
    if parts.method != Method::PUT {
        let response = receive::other(&shared, &parts);
        let status = response.status().as_u16();
        shared.service().enter_other(&parts, status);
        return response;
    }
    let handled = receive::put(Arc::clone(&shared), parts, body);
    apart(shared, line, handled).await
}

/// Runs a handler in its own task, so that a client which breaks its connection does not stop the bookkeeping of its
/// request.
async fn apart(
    shared: Arc<Shared>,
    line: Option<Arc<Line>>,
    handled: impl Future<Output = Reply> + Send + 'static,
) -> Response {
    let reply = tokio::spawn(shared.guard(handled)).await;
    match (reply, line) {
        (Ok(Some(Reply::Answer(response))), _) => response,
        (Ok(Some(Reply::Reset)), Some(line)) => line.break_off().await,
        (Ok(Some(Reply::Silence)), Some(line)) => {
            tokio::time::sleep(SILENCE).await;
            line.break_off().await
        }
        _ => empty_answer(500),
    }
}

/// The connection of a call or a chunk.
fn line(shared: &Shared, request: &Request) -> Option<Arc<Line>> {
    let line = request.extensions().get::<Arc<Line>>().cloned();
    if let Some(line) = &line {
        line.count(shared);
    }
    line
}

/// The server's own pages: for people, for test suites, and for received files.
async fn page(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let patience = shared.service().settings(None).body_timeout;
    let body = match read(body, patience).await {
        Ok(body) => body,
        Err(why) => return closing(json_answer(400, &json!({ "error": why }))),
    };
    // For a HEAD the connection drops the body.
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let answered = match parts.uri.path() {
        "/_emulator/consent" if parts.method == Method::POST => {
            let query = parts.uri.query().unwrap_or_default();
            Some(consent::decide(&mut shared.service(), query, &body))
        }
        path if reads && path.starts_with("/_emulator/media/") => {
            media::answer(&shared, &parts).await
        }
        _ if reads => page::answer(&shared, &parts),
        _ => None,
    };
    answered
        .or_else(|| control::answer(&shared, &parts, &body))
        .unwrap_or_else(|| {
            let message = format!("there is nothing at {}", parts.uri.path());
            let error = json!({ "code": NOT_FOUND, "message": message });
            json_answer(404, &json!({ "error": error }))
        })
}

async fn unknown(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let message = format!("there is nothing at {}", request.uri().path());
    no_call(&shared, request, Refusal::no_call(404, NOT_FOUND, message))
}

async fn wrong_method(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if lacks_slash(&shared, &request) {
        return unknown(State(shared), request).await;
    }
    let message = format!(
        "{} is not called with {}",
        request.uri().path(),
        request.method()
    );
    let refusal = Refusal::no_call(405, "method_not_allowed", message);
    no_call(&shared, request, refusal)
}

/// Refuses a request that is not a call, without reading its body.
fn no_call(shared: &Shared, request: Request, refusal: Refusal) -> Response {
    let (parts, _) = request.into_parts();
    let mut service = shared.service();
    service.enter_other(&parts, refusal.status);
    let settings = service.settings(bearer(&parts.headers));
    closing(api::refuse(&mut service, refusal, &settings))
}
