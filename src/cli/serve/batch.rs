//! Many jobs in one request: a job a line, and an answer a line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures::stream;
use serde_json::{Value, json};

use super::Service;
use super::access::Caller;
use super::api::{as_value, check, submit_one};
use super::problem::{Problem, set};
use super::request;

/// Most bytes of all lines, and of one.
const ALL: usize = 16 << 20;
const LINE: usize = 64 << 10;

/// Submits the lines in their order, each when the one before it is answered; a `dry_run` only looks at them. If the client leaves, the lines behind are not submitted.
pub(super) async fn submit(
    service: Arc<Service>,
    caller: Caller,
    body: Body,
    dry_run: bool,
) -> Result<Response, Problem> {
    let permit = service.batches.acquire().await;
    let text = request::body(body, ALL).await?;
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let lines: VecDeque<(usize, Vec<u8>)> =
        lines.map(|(at, line)| (at + 1, line.to_owned())).collect();
    drop((permit, text));
    let begin = (service, caller, lines);
    let answers = stream::unfold(begin, move |(service, caller, mut lines)| async move {
        let (number, line) = lines.pop_front()?;
        let answer = format!(
            "{}\n",
            answer(&service, &caller, number, &line, dry_run).await
        );
        let answer = Ok::<_, Infallible>(Bytes::from(answer));
        Some((answer, (service, caller, lines)))
    });
    let mut response = Response::new(Body::from_stream(answers));
    set(&mut response, CONTENT_TYPE, "application/x-ndjson");
    Ok(response)
}

async fn answer(
    service: &Service,
    caller: &Caller,
    number: usize,
    line: &[u8],
    dry_run: bool,
) -> Value {
    let submitted = match line.len() {
        0..=LINE if dry_run => {
            return match check(service, caller, line).await {
                Ok(()) => json!({ "line": number, "status": 200, "job": null }),
                Err(problem) => refused(number, &problem),
            };
        }
        0..=LINE => submit_one(service, caller, line, None).await,
        _ => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("The line is longer than {LINE} bytes."),
        )),
    };
    match submitted {
        Ok((status, record)) => {
            json!({ "line": number, "status": status.as_u16(), "job": as_value(&record) })
        }
        Err(problem) => refused(number, &problem),
    }
}

fn refused(number: usize, problem: &Problem) -> Value {
    json!({ "line": number, "status": problem.status.as_u16(), "error": problem.fields() })
}
