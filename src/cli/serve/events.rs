//! The outbox over HTTP: as a list, and as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chunkferry::{JobEvent, JobEvents, JobNotice};
use futures::{Stream, stream};
use serde_json::json;

use super::Service;
use super::access::Caller;
use super::problem::{Problem, ok};
use super::request::Query;

/// Notices that are read at a time for a stream.
const PAGE: usize = 100;

/// Notices that are looked at for one list, of which there may be few for the accounts of the caller.
const LOOKED_AT: usize = 10_000;

/// How often a stream shows that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// Where a stream begins that carries on.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["after", "limit"])?;
    let (after, limit) = (query.number("after")?.unwrap_or(0), query.limit()?);
    let accepts = |kind: &str| {
        let mut accepted = headers.get_all(ACCEPT).iter();
        accepted.any(|accepted| accepted.to_str().is_ok_and(|text| text.contains(kind)))
    };
    if accepts("text/event-stream") {
        let last = headers.get(LAST_EVENT_ID);
        let last = last.map(|last| last.to_str().ok().and_then(|last| last.trim().parse().ok()));
        let after = match last {
            Some(None) => return Err(Problem::usage("Last-Event-ID has to be a whole number.")),
            Some(Some(last)) => last,
            None => after,
        };
        let alive = KeepAlive::new().interval(ALIVE);
        let stream = Sse::new(stream_of(service, caller, after)).keep_alive(alive);
        return Ok(stream.into_response());
    }
    let (mut notices, mut next, mut looked_at) = (Vec::new(), after, 0);
    while notices.len() < limit && looked_at < LOOKED_AT {
        let page = service.engine.notices(next, limit - notices.len()).await?;
        let Some(last) = page.last() else { break };
        next = last.number;
        looked_at += page.len();
        notices.extend(page.into_iter().filter(|of| caller.sees(&of.account)));
    }
    let body = json!({ "events": notices, "next": next });
    Ok(ok(StatusCode::OK, &body))
}

/// The notices after that number, until the service has stopped. A client that reads slowly is waited for: no notice is passed
/// over.
fn stream_of(
    service: Arc<Service>,
    caller: Caller,
    after: u64,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let begin = (service, caller, after, VecDeque::new());
    stream::unfold(begin, |(service, caller, mut after, mut read)| async move {
        let notice: JobNotice = loop {
            if read.is_empty() {
                read = next(&service, after).await?;
            }
            let notice: JobNotice = read.pop_front()?;
            after = notice.number;
            if caller.sees(&notice.account) {
                break notice;
            }
        };
        let event = Event::default()
            .id(notice.number.to_string())
            .event(&notice.kind)
            .data(json!(notice).to_string());
        Some((Ok(event), (service, caller, after, read)))
    })
}

/// Waits for notices after that number; `None` at the end of the stream. A client whose stream ends early comes back with the
/// number of its last notice.
async fn next(service: &Service, after: u64) -> Option<VecDeque<JobNotice>> {
    // Listens before it reads: what changes between the two is not missed.
    let mut events = service.engine.events().ok()?;
    loop {
        let notices = service.engine.notices(after, PAGE).await.ok()?;
        if !notices.is_empty() {
            return Some(notices.into());
        }
        tokio::select! {
            () = changed(&mut events) => {}
            () = service.stopped() => return None,
        }
    }
}

/// Returns once a job may have changed.
pub(super) async fn changed(events: &mut JobEvents) {
    // What happens to an upload is no change of a job.
    while let Some(JobEvent::Upload { .. } | JobEvent::Ran { .. }) = events.next().await {}
}
