//! The calls of the API, one method each. No retries and no offsets: what an answer means is decided elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::body::{Body, Meter};
use crate::error::Error;
use crate::host::HostPolicy;
use crate::killpoint::reach;
use crate::plan::{Chunk, Plan};
use crate::retry::Waits;
use crate::secret::Secret;
use crate::wire::{
    self, Call, CallError, InitData, InitRequest, PutAnswer, SourceInfo, StatusData, StatusRequest,
};
use crate::wirelog::WireLog;

/// Longest answer that is read, in bytes; the service's are a few hundred.
const LONGEST_ANSWER: usize = 64 * 1024;

const INBOX_INIT: &str = "/v2/post/publish/inbox/video/init/";
const STATUS_FETCH: &str = "/v2/post/publish/status/fetch/";

#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    hosts: HostPolicy,
    waits: Waits,
    wire_log: Option<Arc<WireLog>>,
}

impl Client {
    /// Bytes go over HTTP/1.1 with an exact length, along no redirect, and never twice by the transport's own decision.
    pub(crate) fn new(
        hosts: HostPolicy,
        waits: Waits,
        ca_file: Option<&Path>,
        wire_log: Option<Arc<WireLog>>,
    ) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("chunkferry/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(waits.connect)
            .tcp_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            builder = builder.tcp_user_timeout(waits.stall);
        }
        if let Some(path) = ca_file {
            let cannot = |reason: String| {
                Error::usage(format!(
                    "{} is not usable as --ca-file: {reason}",
                    path.display()
                ))
            };
            let pem = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| cannot(error.to_string()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|error| Error::usage(format!("TLS cannot be set up: {error}")))?;
        Ok(Self {
            http,
            hosts,
            waits,
            wire_log,
        })
    }

    /// Opens a session for a file cut by `plan`. Not idempotent: the service has no key to recognise a repeat by.
    pub(crate) async fn init(&self, token: &Secret, plan: &Plan) -> Result<InitData, CallError> {
        let request = InitRequest {
            source_info: SourceInfo::FileUpload {
                video_size: plan.video_size(),
                chunk_size: plan.chunk_size(),
                total_chunk_count: plan.chunk_count(),
            },
        };
        let data: InitData = self.call(Call::Init, INBOX_INIT, token, &request).await?;
        self.hosts
            .check(data.upload_url.expose())
            .map_err(CallError::Host)?;
        Ok(data)
    }

    /// Asks how far an upload is.
    pub(crate) async fn status(
        &self,
        token: &Secret,
        publish_id: &str,
    ) -> Result<StatusData, CallError> {
        self.call(
            Call::Status,
            STATUS_FETCH,
            token,
            &StatusRequest { publish_id },
        )
        .await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        call: Call,
        path: &str,
        token: &Secret,
        request: &impl Serialize,
    ) -> Result<T, CallError> {
        let base = self.hosts.base().as_str().trim_end_matches('/');
        let body =
            serde_json::to_vec(request).map_err(|error| CallError::Unsent(error.to_string()))?;
        let started = Instant::now();
        let exchange = async {
            let answer = self
                .http
                .post(format!("{base}{path}"))
                .bearer_auth(token.expose())
                .header(CONTENT_TYPE, "application/json; charset=UTF-8")
                .body(body)
                .send()
                .await
                .map_err(unanswered)?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok((status, headers, drain(answer).await.map_err(unanswered)?))
        };
        let answered = match tokio::time::timeout(self.waits.call, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(CallError::Lost(format!(
                "none within {} s",
                self.waits.call.as_secs()
            ))),
        };
        let result = match &answered {
            Ok((status, headers, body)) => wire::read(*status, retry_after(headers), body),
            Err(CallError::Unsent(reason)) => Err(CallError::Unsent(reason.clone())),
            Err(error) => Err(CallError::Lost(lost_reason(error))),
        };
        self.log(
            call,
            path,
            json!(request),
            answered.as_ref().ok().map(|(s, h, _)| (*s, h)),
            started,
            &result,
        );
        result
    }

    /// Sends one chunk. Ends with an answer, or when the socket took no byte, or no answer came, for too long.
    ///
    /// No bearer token: the upload URL is the credential. Source: Media Transfer Guide.
    pub(crate) async fn put<I>(
        &self,
        upload_url: &Secret,
        content_type: &str,
        chunk: Chunk,
        body: Body<I>,
    ) -> Result<PutAnswer, CallError>
    where
        I: Iterator<Item = std::io::Result<Bytes>> + Send + Sync + Unpin + 'static,
    {
        let url = self
            .hosts
            .check(upload_url.expose())
            .map_err(CallError::Host)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let meter = body.meter();
        let started = Instant::now();
        let exchange = async {
            let answer = self
                .http
                .put(url)
                .header(CONTENT_TYPE, content_type)
                .header(CONTENT_LENGTH, chunk.size())
                .header(CONTENT_RANGE, chunk.content_range())
                .body(reqwest::Body::wrap(body))
                .send()
                .await
                .map_err(unanswered)?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            // The connection serves the next chunk only if this answer was read to its end; the task that owns it needs
            // one turn to notice.
            let _ = drain(answer).await;
            tokio::task::yield_now().await;
            Ok((status, headers))
        };
        let answered = tokio::select! {
            answered = exchange => answered,
            dead = watch(&meter, self.waits, chunk.size()) => Err(CallError::Lost(dead)),
        };
        let result = match &answered {
            Ok((200..300, _)) if !meter.is_all_taken() => Err(CallError::Lost(
                "success was claimed before all bytes were sent".into(),
            )),
            Ok((http_status, headers)) => {
                let header = headers
                    .get(CONTENT_RANGE)
                    .and_then(|value| value.to_str().ok());
                let progress = header.and_then(|header| wire::progress(header, chunk.video_size()));
                Ok(PutAnswer {
                    http_status: *http_status,
                    progress,
                    retry_after: retry_after(headers),
                })
            }
            Err(error) => Err(match (meter.take_fault(), error) {
                (Some(fault), _) => CallError::Source(fault),
                (None, CallError::Unsent(reason)) => CallError::Unsent(reason.clone()),
                (None, error) => CallError::Lost(lost_reason(error)),
            }),
        };
        let request =
            json!({ "content_range": chunk.content_range(), "content_type": content_type });
        self.log(
            Call::Put,
            &host,
            request,
            answered.as_ref().ok().map(|(s, h)| (*s, h)),
            started,
            &result,
        );
        result
    }

    fn log<T>(
        &self,
        call: Call,
        target: &str,
        request: serde_json::Value,
        answer: Option<(u16, &HeaderMap)>,
        started: Instant,
        result: &Result<T, CallError>,
    ) {
        let elapsed = started.elapsed();
        tracing::debug!(
            call = call.name(),
            target,
            status = answer.map(|answer| answer.0),
            ?elapsed
        );
        let Some(wire_log) = &self.wire_log else {
            return;
        };
        let headers = answer.map(|(_, headers)| shown(headers));
        let error = result.as_ref().err().map(|error| match error {
            CallError::Refused(error) => {
                json!({ "code": error.code, "message": error.message, "log_id": error.log_id })
            }
            error => json!({ "unanswered": error.to_string() }),
        });
        wire_log.write(&json!({
            "at": humane(SystemTime::now()),
            "call": call.name(),
            "to": target,
            "request": request,
            "status": answer.map(|answer| answer.0),
            "headers": headers,
            "error": error,
            "ms": elapsed.as_millis() as u64,
        }));
    }
}

/// Ends when the peer counts as dead; says why.
async fn watch(meter: &Meter, waits: Waits, len: u64) -> String {
    loop {
        let all_taken = meter.is_all_taken();
        let allowed = if all_taken {
            reach("answer", "awaited");
            waits.answer_to(len)
        } else {
            waits.stall
        };
        let idle = meter.idle();
        if idle >= allowed {
            let what = if all_taken {
                "after the last byte"
            } else {
                "while sending"
            };
            return format!("the connection stood still for {} s {what}", idle.as_secs());
        }
        tokio::time::sleep((allowed - idle).min(Duration::from_secs(1))).await;
    }
}

async fn drain(mut answer: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > LONGEST_ANSWER {
            break;
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Whether the request can have reached anybody. The text is the innermost cause, which holds no URL.
fn unanswered(error: reqwest::Error) -> CallError {
    let connect = error.is_connect() || error.is_builder();
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    if connect {
        CallError::Unsent(text)
    } else {
        CallError::Lost(text)
    }
}

fn lost_reason(error: &CallError) -> String {
    match error {
        CallError::Lost(reason) => reason.clone(),
        error => error.to_string(),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wire::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

/// Response headers that can settle an open question and hold no secret.
fn shown(headers: &HeaderMap) -> serde_json::Value {
    const TOLD: [&str; 8] = [
        "content-length",
        "content-range",
        "content-type",
        "connection",
        "date",
        "retry-after",
        "server",
        "x-tt-logid",
    ];
    let told = TOLD
        .iter()
        .filter_map(|name| Some((*name, headers.get(*name)?.to_str().ok()?)));
    told.map(|(name, value)| (name.to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn humane(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}
