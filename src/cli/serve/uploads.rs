//! The journal over HTTP: its uploads, their status at TikTok, and what is forgotten.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use chunkferry::Account;
use futures::stream;
use serde_json::json;

use super::Service;
use super::problem::{Problem, ok, set};
use super::request::Query;

type Answer = Result<Response, Problem>;

/// The account that a query names, whose tokens come from where those of jobs do.
fn account(service: &Service, uri: &Uri) -> Result<Account, Problem> {
    let query = Query::of(uri, &["account"])?;
    let name = query.text("account");
    let name = name.ok_or_else(|| Problem::field("account", "account is missing."))?;
    let account = service.options.account(name);
    account.ok_or_else(|| Problem::field("account", "There is no such account."))
}

/// A line for each upload, those that have ended first. Thousands are no single text in memory.
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let records = service.engine.records().await?.into_iter();
    let lines =
        records.map(|record| Ok::<_, Infallible>(Bytes::from(format!("{}\n", json!(record)))));
    let mut response = Response::new(Body::from_stream(stream::iter(lines)));
    set(&mut response, CONTENT_TYPE, "application/x-ndjson");
    Ok(response)
}

pub(super) async fn forget(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer {
    Query::of(&uri, &[])?;
    service.engine.forget(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn forget_creator(
    State(service): State<Arc<Service>>,
    Path(account): Path<String>,
    uri: Uri,
) -> Answer {
    Query::of(&uri, &[])?;
    let forgotten = service.engine.forget_creator(&account).await?;
    Ok(ok(StatusCode::OK, &json!({ "forgotten": forgotten })))
}

/// What TikTok says of an upload, by its publish_id.
pub(super) async fn status(
    State(service): State<Arc<Service>>,
    Path(publish_id): Path<String>,
    uri: Uri,
) -> Answer {
    let account = account(&service, &uri)?;
    let status = service.engine.status(&publish_id, &account).await?;
    let body = json!({
        "publish_id": publish_id,
        "status": status.status,
        "fail_reason": status.fail_reason,
        "uploaded_bytes": status.uploaded_bytes,
        "downloaded_bytes": status.downloaded_bytes,
        "is_final": status.is_final,
    });
    Ok(ok(StatusCode::OK, &body))
}

/// Asks TikTok to end a pull, by its publish_id.
pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Path(publish_id): Path<String>,
    uri: Uri,
) -> Answer {
    let account = account(&service, &uri)?;
    service.engine.cancel(&publish_id, &account).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
