//! The routes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use chunkferry::{Engine, Error, Handle, Job, JobRecord, NotAccepted};
use serde_json::{Value, json};

use super::access::Caller;
use super::problem::{Problem, ok, set};
use super::request::{self, Query};
use super::{
    Service, batch, body, bulk, events, follow, metrics, notify, page, sources, uploads, watch,
    wish,
};
use crate::accounts;
use crate::config::TokenFrom;

/// Most bytes of a job.
const JOB: usize = 1 << 20;

/// The longest wait for the end of a job, in seconds.
const LONGEST_WAIT: u64 = 600;

/// Jobs that are read at a time for a caller who does not see all, and that are looked at for one list: a page for few of many jobs
/// may be short, and `next` carries on.
const PAGE: usize = 1_000;
const LOOKED_AT: usize = 10_000;

/// The caller's id of a job.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

type Answer = Result<Response, Problem>;

pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/jobs", post(submit).get(list))
        .route("/v1/jobs/{id}", get(show).delete(forget))
        .route("/v1/jobs/{id}/pause", post(pause))
        .route("/v1/jobs/{id}/cancel", post(cancel))
        .route("/v1/jobs/{id}/retry", post(retry))
        .route("/v1/jobs/{id}/follow", get(follow::follow))
        .route("/v1/service", get(service_itself))
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/uploads", get(uploads::list))
        .route("/v1/uploads/{id}", delete(uploads::forget))
        .route("/v1/uploads/{id}/status", get(uploads::status))
        .route("/v1/uploads/{id}/cancel", post(uploads::cancel))
        .route("/v1/creators/{account}", delete(uploads::forget_creator))
        .route("/v1/jobs/pause", post(bulk::pause))
        .route("/v1/jobs/cancel", post(bulk::cancel))
        .route("/v1/jobs/retry", post(bulk::retry))
        .route("/v1/jobs/forget", post(bulk::forget))
        .route("/v1/queue", get(bulk::queue))
        .route("/v1/queue/pause", post(bulk::pause_queue))
        .route("/v1/queue/resume", post(bulk::resume_queue))
        .route("/v1/events", get(events::list))
        .route("/v1/accounts", get(accounts))
        .merge(notify::routes())
        .route("/v1/page-links", post(page::link))
        .merge(page::routes())
        .route("/v1/watches", get(watch::list))
        .route("/metrics", get(metrics::show))
        .route("/healthz", get(|| async { healthy() }))
        .route("/readyz", get(ready))
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "There is no such address.",
            )
        })
        .method_not_allowed_fallback(|| async {
            let text = "This address does not take this method.";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text)
        })
        .with_state(service)
}

/// A record in JSON.
pub(super) fn as_value(record: &JobRecord) -> Value {
    // The fields of a record are texts, numbers and maps of texts.
    serde_json::to_value(record).unwrap_or_default()
}

/// Accepts a job: 202 if it is new, 200 if it was there already.
pub(super) async fn submit_one(
    service: &Service,
    caller: &Caller,
    text: &[u8],
    id: Option<&str>,
) -> Result<(StatusCode, JobRecord), Problem> {
    if service.is_draining() {
        return Err(Problem::draining());
    }
    let wanted = wish::job(text, id, caller, |name| service.notify.has(name))?;
    let roots = service.sources.check(&wanted.named, caller.is_local())?;
    wanted.check_stat().await?;
    let handle = accept(&service.engine, sources::within(wanted.job, &roots)).await?;
    accepted(service, &handle).await
}

/// Whether a job would be accepted.
pub(super) async fn check(service: &Service, caller: &Caller, text: &[u8]) -> Result<(), Problem> {
    let wanted = wish::job(text, None, caller, |name| service.notify.has(name))?;
    let roots = service.sources.check(&wanted.named, caller.is_local())?;
    wanted.check_stat().await?;
    wanted.check_file().await?;
    let mut looked = Ok(());
    for job in sources::within(wanted.job, &roots) {
        looked = service.engine.check(&job).await;
        match &looked {
            Err(error) if error.not_accepted() == Some(&NotAccepted::OutsideRoot) => {}
            _ => break,
        }
    }
    Ok(looked?)
}

/// The answer to a submit.
pub(super) async fn accepted(
    service: &Service,
    handle: &Handle,
) -> Result<(StatusCode, JobRecord), Problem> {
    let status = match handle.is_repeat() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, found(&service.engine, handle.id()).await?))
}

/// Submits the first one of these forms of a job whose file lies where that has to be.
async fn accept(engine: &Engine, forms: Vec<Job>) -> Result<Handle, Problem> {
    let mut refused = Problem::usage("A job has either file or url.");
    for job in forms {
        match engine.submit(job).await {
            Err(error) if error.not_accepted() == Some(&NotAccepted::OutsideRoot) => {
                refused = error.into();
            }
            submitted => return Ok(submitted?),
        }
    }
    Err(refused)
}

pub(super) async fn found(engine: &Engine, id: &str) -> Result<JobRecord, Problem> {
    engine.job(id).await?.ok_or_else(Problem::no_job)
}

async fn submit(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    request: Request,
) -> Answer {
    let query = Query::of(&uri, &["dry_run", "follow"])?;
    let (follows, dry_run) = (query.switch("follow")?, query.switch("dry_run")?);
    let (head, body) = request.into_parts();
    if service.is_draining() {
        return Err(Problem::draining());
    }
    let kind = content_type(&head.headers);
    let kind = kind.as_deref().unwrap_or_default();
    if kind == "application/x-ndjson" && !follows {
        return batch::submit(service, caller, body, dry_run).await;
    }
    if dry_run {
        let text = "dry_run is of many jobs, as application/x-ndjson.";
        return Err(Problem::field("dry_run", text));
    }
    let id = head.headers.get(IDEMPOTENCY_KEY);
    let id = id.map(|id| std::str::from_utf8(id.as_bytes()));
    let id = id
        .transpose()
        .map_err(|_| Problem::usage("Idempotency-Key has to be text in UTF-8."))?;
    let events = service.engine.events()?;
    let (status, record) = match kind {
        "application/json" => {
            let text = request::body(body, JOB).await?;
            submit_one(&service, &caller, &text, id).await?
        }
        _ if body::TYPES.contains(&kind) => {
            body::submit(&service, &caller, &head.headers, id, body).await?
        }
        _ => {
            let text = format!(
                "A job is application/json, many jobs are application/x-ndjson, and a job's video is {}.",
                body::TYPES.join(", ")
            );
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported_media_type", text));
        }
    };
    if follows {
        return Ok(follow::lines(service, events, record, status));
    }
    let mut response = ok(status, &as_value(&record));
    set(&mut response, LOCATION, &format!("/v1/jobs/{}", record.id));
    Ok(response)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = text.split(';').next()?;
    Some(kind.trim().to_ascii_lowercase())
}

async fn list(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Answer {
    let query = Query::of(
        &uri,
        &["account", "after", "id", "label", "limit", "since", "state"],
    )?;
    if let Some(id) = query.text("id") {
        return under(&service, &caller, &query, id).await;
    }
    let (filter, limit) = (bulk::filter(&query)?, query.limit()?);
    let mut after = query.text("after").map(str::to_owned);
    let wanted = match caller.sees_all() {
        true => limit,
        false => PAGE,
    };
    let (mut jobs, mut looked_at) = (Vec::new(), 0);
    loop {
        let page = service.engine.jobs(&filter, after.as_deref(), wanted);
        let page = page.await?;
        looked_at += page.len();
        let is_last = page.len() < wanted;
        for job in page.iter().filter(|job| caller.sees(&job.account)) {
            jobs.push(as_value(job));
            if jobs.len() == limit {
                return Ok(page_of(&jobs, Some(&job.id)));
            }
        }
        let last = page.last().filter(|_| !is_last);
        after = last.map(|job| job.id.clone());
        if is_last || looked_at >= LOOKED_AT {
            return Ok(page_of(&jobs, after.as_deref()));
        }
    }
}

/// The job of an account that has this id of its caller, or no job.
async fn under(service: &Service, caller: &Caller, query: &Query, id: &str) -> Answer {
    let account = query.text("account");
    let account = account.ok_or_else(|| Problem::field("account", "id goes with account."))?;
    let others = ["after", "label", "limit", "since", "state"];
    if let Some(other) = others.iter().find(|name| query.text(name).is_some()) {
        let text = format!("id goes with account alone, and not with {other}.");
        return Err(Problem::field(other, text));
    }
    let found = match caller.sees(account) {
        true => service.engine.job_under(account, id).await?,
        false => None,
    };
    Ok(page_of(
        &found.iter().map(as_value).collect::<Vec<_>>(),
        None,
    ))
}

/// `next` is what `after` has to be for the page that follows; null at the end.
fn page_of(jobs: &[Value], next: Option<&str>) -> Response {
    ok(StatusCode::OK, &json!({ "jobs": jobs, "next": next }))
}

async fn show(State(service): State<Arc<Service>>, Path(id): Path<String>, uri: Uri) -> Answer {
    let wait = Query::of(&uri, &["wait"])?.seconds("wait", LONGEST_WAIT)?;
    let mut record = found(&service.engine, &id).await?;
    if !wait.is_zero() && !matches!(&*record.state, "ended" | "parked") {
        let handle = service.engine.handle(&id).await?;
        record = tokio::select! {
            ended = handle.ended() => ended?,
            () = tokio::time::sleep(wait) => found(&service.engine, &id).await?,
            () = service.stopped() => found(&service.engine, &id).await?,
        };
    }
    Ok(ok(StatusCode::OK, &as_value(&record)))
}

/// Changes a job in a task of its own: a client that leaves in between would leave a job half changed.
async fn change<F>(
    service: Arc<Service>,
    id: String,
    uri: Uri,
    change: impl FnOnce(Engine, String) -> F,
) -> Answer
where
    F: Future<Output = Result<JobRecord, Error>> + Send + 'static,
{
    Query::of(&uri, &[])?;
    found(&service.engine, &id).await?;
    match tokio::spawn(change(service.engine.clone(), id)).await {
        Ok(record) => Ok(ok(StatusCode::OK, &as_value(&record?))),
        Err(_) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unknown",
            "The change of the job broke off.",
        )),
    }
}

async fn pause(State(service): State<Arc<Service>>, Path(id): Path<String>, uri: Uri) -> Answer {
    let pause = |engine: Engine, id: String| async move { engine.pause_job(&id).await };
    change(service, id, uri, pause).await
}

async fn cancel(State(service): State<Arc<Service>>, Path(id): Path<String>, uri: Uri) -> Answer {
    let cancel = |engine: Engine, id: String| async move { engine.cancel_job(&id).await };
    change(service, id, uri, cancel).await
}

async fn retry(State(service): State<Arc<Service>>, Path(id): Path<String>, uri: Uri) -> Answer {
    let retry = |engine: Engine, id: String| async move { engine.retry_job(&id).await };
    change(service, id, uri, retry).await
}

async fn forget(State(service): State<Arc<Service>>, Path(id): Path<String>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    if service.engine.forget_job(&id).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    found(&service.engine, &id).await?;
    let text = "The job has not ended. Cancel it first. Nothing was changed.";
    Err(Problem::new(StatusCode::CONFLICT, "not_ended", text))
}

/// The names of accounts that jobs may have, and where their tokens come from. Asks nobody.
async fn accounts(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Answer {
    Query::of(&uri, &[])?;
    let globals = &service.globals;
    let failed = |failure: crate::Failure| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "needs_person", failure.message)
    };
    let stored = globals.accounts_of(None).await.map_err(failed)?;
    let logged_in = stored.list().await?;
    let named = accounts::names(globals, &logged_in)
        .into_iter()
        .filter(|name| caller.sees(name))
        .map(|name| {
            let source = globals.tokens(name).0.key();
            json!({ "name": name, "source": source })
        });
    let others = globals.provides().then(|| TokenFrom::Provider.key());
    let body = json!({ "accounts": named.collect::<Vec<_>>(), "others": others });
    Ok(ok(StatusCode::OK, &body))
}

/// What the service is, for commands that hand over their work.
async fn service_itself(State(service): State<Arc<Service>>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "process": std::process::id(),
        "api_base": service.engine.api_base(),
    });
    Ok(ok(StatusCode::OK, &body))
}

/// The description of all routes.
async fn openapi(uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let mut response = Response::new(Body::from(include_str!("../../../docs/openapi.json")));
    set(&mut response, CONTENT_TYPE, "application/json");
    Ok(response)
}

fn healthy() -> Response {
    ok(StatusCode::OK, &json!({ "status": "ok" }))
}

async fn ready(State(service): State<Arc<Service>>) -> Answer {
    match service.is_draining() {
        true => Err(Problem::draining()),
        false => Ok(healthy()),
    }
}
