//! Answers, and those that say why a request was not fulfilled (RFC 9457).

use std::time::SystemTime;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chunkferry::{Error, ErrorKind, NotAccepted, Remedy};
use serde_json::{Value, json};

use super::message;

/// Seconds after which a client may ask again that was refused for the moment.
const SOON: u64 = 5;

/// Why a request was not fulfilled.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    fields: Value,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let fields = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail.into(),
            "code": code,
            "who": "you",
            "remedies": [],
            "retry_at": null,
        });
        Self { status, fields }
    }

    /// The caller has to change the request.
    pub(super) fn usage(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "usage", detail)
    }

    /// A field, or a parameter of the query, that is not usable.
    pub(super) fn field(name: &str, detail: impl Into<String>) -> Self {
        Self::usage(detail).with("field", name)
    }

    pub(super) fn no_job() -> Self {
        let text = "There is no such job in the queue.";
        Self::new(StatusCode::NOT_FOUND, "not_found", text)
    }

    pub(super) fn draining() -> Self {
        let text = "The service is ending and accepts no jobs. Nothing was accepted.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", text)
            .with("who", "service")
            .with("retry_at", time(SystemTime::now() + soon()))
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields[name] = value.into();
        self
    }

    /// As a line of many answers has it.
    pub(super) const fn fields(&self) -> &Value {
        &self.fields
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match (error.kind(), error.not_accepted()) {
            (_, Some(NotAccepted::UnknownAccount)) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, Some(NotAccepted::SpoolFull)) => StatusCode::INSUFFICIENT_STORAGE,
            (_, Some(NotAccepted::OutsideRoot)) => StatusCode::FORBIDDEN,
            (_, Some(_)) => StatusCode::CONFLICT,
            (ErrorKind::Usage, _) => StatusCode::BAD_REQUEST,
            (ErrorKind::Temporary | ErrorKind::Locked | ErrorKind::Cancelled, _) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let code = match error.not_accepted() {
            Some(NotAccepted::UnknownAccount) => "unknown_account",
            Some(NotAccepted::OutsideRoot) => "forbidden",
            Some(NotAccepted::SpoolFull) => "spool_full",
            Some(NotAccepted::OtherWish { .. }) => "id_taken",
            Some(NotAccepted::Forgotten { .. }) => "id_forgotten",
            _ => word(error.kind()),
        };
        let remedies = error.remedies().iter().map(Remedy::as_str);
        let problem = Self::new(status, code, message(&error))
            .with("who", error.who_must_act().as_str())
            .with("remedies", remedies.collect::<Vec<_>>())
            .with("retry_at", error.retry_at().map(time));
        match error.not_accepted() {
            Some(NotAccepted::OtherWish { job, field }) => {
                problem.with("job", &**job).with("field", &**field)
            }
            Some(NotAccepted::Forgotten { job }) => problem.with("job", &**job),
            Some(NotAccepted::OutsideRoot) => problem.with("field", "file"),
            _ => problem,
        }
    }
}

const fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Refused => "refused",
        ErrorKind::Usage => "usage",
        ErrorKind::Source => "source",
        ErrorKind::SourceChanged => "source_changed",
        ErrorKind::NeedsPerson => "needs_person",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Temporary | ErrorKind::Locked => "temporary",
        _ => "unknown",
    }
}

const fn soon() -> std::time::Duration {
    std::time::Duration::from_secs(SOON)
}

/// By RFC 3339, in UTC.
pub(super) fn time(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, "application/problem+json", &self.fields);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            set(&mut response, RETRY_AFTER, &SOON.to_string());
        }
        response
    }
}

/// An answer in JSON.
pub(super) fn ok(status: StatusCode, body: &Value) -> Response {
    answer(status, "application/json", body)
}

fn answer(status: StatusCode, kind: &str, body: &Value) -> Response {
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, kind);
    response
}

/// Sets a header; a value that no header can have is left out.
pub(super) fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
