//! A job as it goes on: the lines that `upload --json` prints about a video, for whoever waits for the job's end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use chunkferry::{Draft, Error, JobEvent, JobEvents, JobRecord, Progress};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Service;
use super::api::{as_value, found};
use super::problem::{Problem, set};
use super::request::Query;
use crate::exit::Exit;
use crate::json;
use crate::lines::Lines;

/// How often progress is written.
const TICK: Duration = Duration::from_millis(500);

/// After so many ticks without a line, an empty line shows that the service lives.
const SILENCE: u32 = 30;

/// Lines that wait for a slow client; then the client is waited for.
const WAITING: usize = 64;

pub(super) async fn follow(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    let events = service.engine.events()?;
    let record = found(&service.engine, &id).await?;
    Ok(lines(service, events, record, StatusCode::OK))
}

/// An answer with the lines of a job, the first of which has the job. `events` were subscribed to before the record was read, so that
/// nothing is missed between the two.
pub(super) fn lines(
    service: Arc<Service>,
    events: JobEvents,
    record: JobRecord,
    status: StatusCode,
) -> Response {
    let (sender, mut lines) = mpsc::channel(WAITING);
    let location = format!("/v1/jobs/{}", record.id);
    tokio::spawn(async move {
        let mut follower = Follower::new(&record, sender);
        // The client may leave at any line.
        let _ = follower.run(&service, events, record).await;
    });
    let text =
        stream::poll_fn(move |cx| lines.poll_recv(cx)).map(|line: Bytes| Ok::<_, Infallible>(line));
    let mut response = Response::new(Body::from_stream(text));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, "application/x-ndjson");
    set(&mut response, LOCATION, &location);
    response
}

/// The client does not read any more.
struct Gone;

/// How the last run ended, and how far the upload was.
type Ran = (Arc<Result<Draft, Error>>, Progress);

struct Follower {
    job: String,
    account: String,
    lines: Lines,
    sender: mpsc::Sender<Bytes>,
    shown: Option<Progress>,
    ran: Option<Ran>,
    silent: u32,
}

impl Follower {
    fn new(record: &JobRecord, sender: mpsc::Sender<Bytes>) -> Self {
        Self {
            job: record.id.clone(),
            account: record.account.clone(),
            lines: Lines::new(record.source.clone(), record.is_pull, &record.account),
            sender,
            shown: None,
            ran: None,
            silent: 0,
        }
    }

    async fn write(&mut self, line: &Value) -> Result<(), Gone> {
        self.silent = 0;
        let line = Bytes::from(format!("{line}\n"));
        self.sender.send(line).await.map_err(|_| Gone)
    }

    /// Writes lines until the job has ended or waits for a person, the service stops, or the client leaves.
    async fn run(
        &mut self,
        service: &Service,
        mut events: JobEvents,
        record: JobRecord,
    ) -> Result<(), Gone> {
        let fields = json!({ "job": as_value(&record) });
        let first = json::line("job", Some(&self.account), fields);
        self.write(&first).await?;
        if self.is_over(&record).await? {
            return Ok(());
        }
        let handle = service.engine.handle(&self.job).await.map_err(|_| Gone)?;
        if let (Some(upload), Some(progress)) = (&record.upload, handle.progress()) {
            let line = self.lines.begun(upload.clone(), &progress);
            self.write(&line).await?;
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                event = events.next() => event.ok_or(Gone)?,
                _ = ticks.tick() => {
                    self.tick(handle.progress()).await?;
                    continue;
                }
                () = service.stopped() => return Ok(()),
            };
            match event {
                JobEvent::Upload { job, event } if job == self.job => {
                    if let Some(line) = self.lines.event(event) {
                        self.write(&line).await?;
                    }
                }
                JobEvent::Ran {
                    job,
                    ended,
                    progress,
                } if job == self.job => self.ran = Some((ended, progress)),
                JobEvent::Changed { job } if job != self.job => {}
                // What was missed may have been about this job.
                JobEvent::Changed { .. } | JobEvent::Missed { .. } => {
                    let record = service.engine.job(&self.job).await;
                    let record = record.ok().flatten().ok_or(Gone)?;
                    if self.is_over(&record).await? {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }

    async fn tick(&mut self, progress: Option<Progress>) -> Result<(), Gone> {
        self.silent += 1;
        match progress {
            Some(progress) if progress.total > 0 && self.shown != Some(progress) => {
                self.shown = Some(progress);
                let line = self.lines.progress(&progress);
                self.write(&line).await
            }
            _ if self.silent >= SILENCE => {
                self.silent = 0;
                self.sender
                    .send(Bytes::from_static(b"\n"))
                    .await
                    .map_err(|_| Gone)
            }
            _ if self.sender.is_closed() => Err(Gone),
            _ => Ok(()),
        }
    }

    /// Writes what has become of the job; whether nothing follows.
    async fn is_over(&mut self, record: &JobRecord) -> Result<bool, Gone> {
        let ran = self.ran.take();
        let line = match (&*record.state, &record.end) {
            ("ended" | "parked", Some(end)) => match ran {
                Some((ended, progress)) => self.lines.end(&ended, exit(&ended), &progress),
                None => {
                    let progress = self.shown.unwrap_or_default();
                    self.lines.ended(record.upload.clone(), end, &progress)
                }
            },
            (_, _) if ran.is_some() && record.why.is_some() => self.lines.again(record),
            _ => return Ok(false),
        };
        self.write(&line).await?;
        Ok(record.end.is_some())
    }
}

fn exit(ended: &Result<Draft, Error>) -> Exit {
    match ended {
        Ok(_) => Exit::DELIVERED,
        Err(error) => Exit::of(error.kind()),
    }
}
