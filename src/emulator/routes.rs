//! Which path is which call.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use serde_json::json;
use url::form_urlencoded;

use super::answer::{closing, empty_answer, json_answer};
use super::endpoint::Endpoint;
use super::receive::{Reply, SILENCE};
use super::shared::Shared;
use super::wire::Line;
use super::{api, control, receive};

/// The paths of the API calls; all are POST.
const CALLS: &[(&str, Endpoint)] = &[
    ("/v2/post/publish/inbox/video/init/", Endpoint::InboxInit),
    ("/v2/post/publish/status/fetch/", Endpoint::Status),
];

/// The paths upload URLs were seen with (D MTG, F protocol 7.3).
const UPLOADS: [&str; 4] = ["/video/", "/video", "/upload/", "/upload"];

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/_emulator/log", get(log))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method);
    for (path, endpoint) in CALLS {
        router = router.route(
            path,
            post(move |State(shared): State<Arc<Shared>>, request: Request| {
                call(shared, *endpoint, request)
            }),
        );
    }
    for path in UPLOADS {
        router = router.route(path, any(put));
    }
    router.with_state(shared)
}

async fn call(shared: Arc<Shared>, endpoint: Endpoint, request: Request) -> Response {
    let line = line(&request);
    let tls = line.as_ref().is_some_and(|line| line.tls);
    let (parts, body) = request.into_parts();
    let handled = api::answer(Arc::clone(&shared), endpoint, parts, body, tls);
    apart(shared, line, handled).await
}

async fn put(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let line = line(&request);
    let (parts, body) = request.into_parts();
    if parts.method != hyper::Method::PUT {
        shared.world().count(None);
        return closing(empty_answer(405));
    }
    let handled = receive::put(Arc::clone(&shared), parts, body);
    apart(shared, line, handled).await
}

/// Runs a handler in its own task: a client that breaks its connection must not take the bookkeeping
/// of its request along.
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

fn line(request: &Request) -> Option<Arc<Line>> {
    request.extensions().get::<Arc<Line>>().cloned()
}

async fn log(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let mut pairs = form_urlencoded::parse(query);
    let creator = pairs.find_map(|(key, value)| (key == "creator").then(|| value.into_owned()));
    control::log(&shared, creator.as_deref())
}

async fn unknown(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    if !path.starts_with("/_emulator") {
        shared.world().count(None);
    }
    let message = format!("there is nothing at {path}");
    closing(json_answer(
        404,
        &json!({ "error": { "code": "not_found", "message": message } }),
    ))
}

async fn wrong_method(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    if !request.uri().path().starts_with("/_emulator") {
        shared.world().count(None);
    }
    closing(empty_answer(405))
}
