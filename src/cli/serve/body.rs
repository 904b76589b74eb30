//! A video as the body of a request.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::header::EXPECT;
use axum::http::{HeaderMap, StatusCode};
use chunkferry::{JobRecord, Limits};
use futures::StreamExt;

use super::access::Caller;
use super::problem::Problem;
use super::{Service, Stage, api, wish};

/// The types of such a body.
pub(super) const TYPES: [&str; 3] = ["video/mp4", "video/quicktime", "video/webm"];

/// The header that has the other fields of the job, and most bytes of it.
const JOB: &str = "chunkferry-job";
const JOB_BYTES: usize = 16 << 10;

/// How long a client may send nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// How much of the body of a request that is refused is read, so that the client reads why, and for how long.
const BEYOND: usize = 64 << 20;
const BEYOND_TIME: Duration = Duration::from_secs(5);

/// Accepts a job with its video: 202 if it is new, 200 if it was there already.
pub(super) async fn submit(
    service: &Service,
    caller: &Caller,
    headers: &HeaderMap,
    id: Option<&str>,
    body: Body,
) -> Result<(StatusCode, JobRecord), Problem> {
    let length = body.size_hint().exact();
    let mut pieces = body.into_data_stream();
    let taken = take_in(service, (caller, headers, id), length, &mut pieces).await;
    // A client that waits to be asked for the body is not asked for it.
    if taken.is_err() && !headers.contains_key(EXPECT) {
        let _ = tokio::time::timeout(BEYOND_TIME, discard(&mut pieces)).await;
    }
    taken
}

async fn take_in(
    service: &Service,
    (caller, headers, id): (&Caller, &HeaderMap, Option<&str>),
    length: Option<u64>,
    pieces: &mut BodyDataStream,
) -> Result<(StatusCode, JobRecord), Problem> {
    let most = Limits::DOCUMENTED.max_file();
    if length.is_some_and(|length| length > most) {
        return Err(too_long(most));
    }
    let is_target = |name: &str| service.notify.has(name);
    let job = wish::job_of_body(fields(headers)?, id, caller, is_target)?;
    let _turn = service.bodies.acquire().await;
    let mut video = service.engine.take_in(job, length).await?;
    let mut size = 0;
    while let Some(piece) = next(service, pieces).await? {
        size += piece.len() as u64;
        if size > most {
            return Err(too_long(most));
        }
        video.write(&piece).await?;
    }
    if service.is_draining() {
        return Err(Problem::draining());
    }
    let handle = video.submit().await?;
    api::accepted(service, &handle).await
}

/// The next piece of the body; `None` at its end.
async fn next(
    service: &Service,
    pieces: &mut BodyDataStream,
) -> Result<Option<axum::body::Bytes>, Problem> {
    let mut stage = service.stage.subscribe();
    let piece = tokio::select! {
        piece = tokio::time::timeout(SILENCE, pieces.next()) => piece,
        _ = stage.wait_for(|stage| *stage >= Stage::Draining) => return Err(Problem::draining()),
    };
    match piece {
        Ok(piece) => piece
            .transpose()
            .map_err(|_| Problem::usage("The body is not whole. Nothing was accepted.")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!(
                "Nothing of the body arrived for {} s. Nothing was accepted.",
                SILENCE.as_secs()
            ),
        )),
    }
}

fn fields(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let mut found = headers.get_all(JOB).iter();
    match (found.next(), found.next()) {
        (Some(fields), None) if fields.len() <= JOB_BYTES => Ok(fields.as_bytes()),
        (Some(_), None) => Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_large",
            format!("The header Chunkferry-Job is longer than {JOB_BYTES} bytes."),
        )),
        _ => Err(Problem::usage(
            "A video as the body needs one header Chunkferry-Job with the other fields of the job, in JSON.",
        )),
    }
}

fn too_long(most: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!("The video is longer than {most} bytes. Nothing was accepted."),
    )
}

async fn discard(pieces: &mut BodyDataStream) {
    let mut size = 0;
    while let Some(Ok(piece)) = pieces.next().await {
        size += piece.len();
        if size > BEYOND {
            return;
        }
    }
}
