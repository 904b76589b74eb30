//! What is done to many jobs at once, and to the whole queue.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use chunkferry::{Engine, Error, JobFilter, JobsChanged};
use serde_json::json;

use super::Service;
use super::problem::{Problem, ok};
use super::request::Query;

type Answer = Result<Response, Problem>;

/// The parameters of a query that name jobs.
pub(super) const NAMING: [&str; 4] = ["account", "label", "since", "state"];

/// The detail of a change that the end of the service has cut.
const CUT: &str =
    "The service is ending. Some of the jobs are changed; the same request changes the others.";

/// The jobs that a query names.
pub(super) fn filter(query: &Query) -> Result<JobFilter, Problem> {
    let mut filter = JobFilter::new();
    if let Some(account) = query.text("account") {
        filter = filter.account(account);
    }
    for label in query.texts("label") {
        let (name, value) = label.split_once('=').ok_or_else(|| {
            Problem::field(
                "label",
                "label has to be a name and a value: label=night=7.",
            )
        })?;
        filter = filter.label(name, value);
    }
    if let Some(state) = query.text("state") {
        if !JobFilter::STATES.contains(&state) {
            let text = format!("state has to be one of {}.", JobFilter::STATES.join(", "));
            return Err(Problem::field("state", text));
        }
        filter = filter.state(state);
    }
    if let Some(since) = query.text("since") {
        let wrong = |_| {
            let text = "since has to be a time such as 2026-01-31T23:59:59Z.";
            Problem::field("since", text)
        };
        let since: jiff::Timestamp = since.parse().map_err(wrong)?;
        filter = filter.since(SystemTime::from(since));
    }
    Ok(filter)
}

/// Changes the jobs that the query names, in a task of its own: a client that leaves in between does not end the change.
async fn change<F>(
    service: Arc<Service>,
    uri: Uri,
    must_name: bool,
    change: impl FnOnce(Engine, JobFilter) -> F,
) -> Answer
where
    F: Future<Output = Result<JobsChanged, Error>> + Send + 'static,
{
    let query = Query::of(
        &uri,
        &["account", "all", "dry_run", "label", "since", "state"],
    )?;
    let (filter, all) = (filter(&query)?, query.switch("all")?);
    let is_all = filter == JobFilter::new();
    if all && !is_all {
        let text = "all means every job, so it goes with no other parameter that names jobs. Nothing was changed.";
        return Err(Problem::field("all", text));
    }
    if must_name && is_all && !all {
        let text = format!(
            "Name the jobs by {}, or say all=true. Nothing was changed.",
            NAMING.join(", ")
        );
        return Err(Problem::usage(text));
    }
    if query.switch("dry_run")? {
        let matched = service.engine.count_jobs(&filter).await?;
        let body = json!({ "matched": matched, "changed": 0 });
        return Ok(ok(StatusCode::OK, &body));
    }
    let changing = change(service.engine.clone(), filter);
    let task = tokio::spawn(async move {
        tokio::select! {
            changed = changing => changed.map_err(Problem::from),
            () = service.stopped() => Err(Problem::draining().with("detail", CUT)),
        }
    });
    let JobsChanged {
        matched, changed, ..
    } = task.await.map_err(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "unknown", "The change of the jobs broke off.")
    })??;
    let body = json!({ "matched": matched, "changed": changed });
    Ok(ok(StatusCode::OK, &body))
}

pub(super) async fn pause(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    let pause = |engine: Engine, of: JobFilter| async move { engine.pause_jobs(&of).await };
    change(service, uri, false, pause).await
}

pub(super) async fn retry(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    let retry = |engine: Engine, of: JobFilter| async move { engine.retry_jobs(&of).await };
    change(service, uri, false, retry).await
}

pub(super) async fn cancel(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    let cancel = |engine: Engine, of: JobFilter| async move { engine.cancel_jobs(&of).await };
    change(service, uri, true, cancel).await
}

pub(super) async fn forget(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    let forget = |engine: Engine, of: JobFilter| async move { engine.forget_jobs(&of).await };
    change(service, uri, true, forget).await
}

/// Whether the whole queue is paused.
pub(super) async fn queue(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(ok(
        StatusCode::OK,
        &json!(service.engine.queue_state().await?),
    ))
}

pub(super) async fn pause_queue(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(ok(
        StatusCode::OK,
        &json!(service.engine.pause_all().await?),
    ))
}

pub(super) async fn resume_queue(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(ok(
        StatusCode::OK,
        &json!(service.engine.resume_all().await?),
    ))
}
