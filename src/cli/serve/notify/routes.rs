//! The targets over HTTP.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::send::Receiver;
use super::target::Target;
use crate::serve::Service;
use crate::serve::problem::{Problem, ok, time};
use crate::serve::request::Query;

pub(in crate::serve) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/notify", get(list))
        .route("/v1/notify/{name}/redeliver", post(redeliver))
}

async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    let behind = service.notify.behind(&service.engine).await?;
    let mut targets = Vec::new();
    for (target, (_, behind)) in service.notify.targets.iter().zip(behind) {
        targets.push(shown(target, behind).await);
    }
    Ok(ok(StatusCode::OK, &json!({ "targets": targets })))
}

/// A target without its secret, the query of its URL, and its command.
async fn shown(target: &Target, behind: usize) -> Value {
    let state = target.state().await;
    let url = match &target.receiver {
        Receiver::Url { url, .. } => {
            let mut url = (**url).clone();
            url.set_query(None);
            url.set_fragment(None);
            Some(url.to_string())
        }
        Receiver::Command(_) => None,
    };
    let success = state.last_success.map(Duration::from_millis);
    json!({
        "name": target.entry.name,
        "kind": target.entry.to.key(),
        "url": url,
        "cursor": state.cursor,
        "behind": behind,
        "failing": state.failing.len(),
        "given_up": state.given_up,
        "last_error": state.last_error,
        "last_success": success.and_then(|since| time(UNIX_EPOCH + since)),
    })
}

/// Sets the cursor of a target back.
async fn redeliver(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let target = service.notify.target(&name).ok_or_else(|| {
        let text = "There is no such entry of [[notify]].";
        Problem::new(StatusCode::NOT_FOUND, "not_found", text)
    })?;
    let after = Query::of(&uri, &["after"])?.number("after")?;
    let after = after.ok_or_else(|| {
        let text =
            "after is missing: the number of the last notice that is not to be delivered again.";
        Problem::field("after", text)
    })?;
    let set = {
        let target = Arc::clone(target);
        tokio::spawn(async move { target.redeliver(after).await }).await
    };
    match set {
        Ok(Ok(())) => {
            let behind = target.behind(&service.engine).await?;
            Ok(ok(StatusCode::OK, &shown(target, behind).await))
        }
        Ok(Err(Ok(cursor))) => Err(Problem::field(
            "after",
            format!(
                "after has to be at most {cursor}: the notices behind that are still to be delivered."
            ),
        )),
        Ok(Err(Err(error))) => {
            let text =
                format!("The state of the target cannot be written: {error}. Nothing was changed.");
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporary",
                text,
            ))
        }
        Err(_) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unknown",
            "The change of the target broke off.",
        )),
    }
}
