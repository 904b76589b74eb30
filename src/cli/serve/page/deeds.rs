//! The buttons: what is done to a job, and to the whole queue.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use chunkferry::{Engine, Error, JobRecord};

use super::{go, refusal};
use crate::serve::Service;
use crate::serve::access::Door;
use crate::serve::api::found;

/// How long a browser is kept waiting for a change; the change goes on after that.
const PATIENCE: Duration = Duration::from_secs(3);

/// Makes a change in a task of its own, and goes to a page once it is made, or takes long.
async fn change<T: Send + 'static>(
    door: &Door,
    to: &str,
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Response {
    match tokio::time::timeout(PATIENCE, tokio::spawn(change)).await {
        Ok(Ok(Err(error))) => refusal(&error.into(), door),
        _ => go(to),
    }
}

async fn change_job<F>(
    service: &Service,
    door: &Door,
    id: String,
    of: impl FnOnce(Engine, String) -> F,
) -> Response
where
    F: Future<Output = Result<JobRecord, Error>> + Send + 'static,
{
    if let Err(problem) = found(&service.engine, &id).await {
        return refusal(&problem, door);
    }
    let to = format!("/jobs/{id}");
    change(door, &to, of(service.engine.clone(), id)).await
}

pub(super) async fn pause(
    State(service): State<Arc<Service>>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
) -> Response {
    let pause = |engine: Engine, id: String| async move { engine.pause_job(&id).await };
    change_job(&service, &door, id, pause).await
}

pub(super) async fn retry(
    State(service): State<Arc<Service>>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
) -> Response {
    let retry = |engine: Engine, id: String| async move { engine.retry_job(&id).await };
    change_job(&service, &door, id, retry).await
}

pub(super) async fn cancel(
    State(service): State<Arc<Service>>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
) -> Response {
    let cancel = |engine: Engine, id: String| async move { engine.cancel_job(&id).await };
    change_job(&service, &door, id, cancel).await
}

pub(super) async fn pause_all(
    State(service): State<Arc<Service>>,
    Extension(door): Extension<Door>,
) -> Response {
    let engine = service.engine.clone();
    change(&door, "/", async move { engine.pause_all().await }).await
}

pub(super) async fn resume_all(
    State(service): State<Arc<Service>>,
    Extension(door): Extension<Door>,
) -> Response {
    let engine = service.engine.clone();
    change(&door, "/", async move { engine.resume_all().await }).await
}
