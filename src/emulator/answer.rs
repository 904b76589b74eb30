//! The service's answers: the envelope, its error codes, and the answers of the upload host.

use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use serde_json::{Value, json};

use super::settings::{LogIdKey, ParamCode, PutBody, Settings};

/// Error codes and their HTTP statuses (D UP, DP, PH, CI, ST, MTG, ERR).
const CODES: &[(&str, u16)] = &[
    ("ok", 200),
    ("invalid_param", 400),
    ("invalid_params", 400),
    ("invalid_publish_id", 400),
    ("token_not_authorized_for_specified_publish_id", 400),
    ("publish_not_cancellable", 400),
    ("app_version_check_failed", 400),
    ("scope_permission_missed", 400),
    ("invalid_file_upload", 400),
    ("access_token_invalid", 401),
    ("scope_not_authorized", 401),
    ("spam_risk_too_many_pending_share", 403),
    ("spam_risk_too_many_posts", 403),
    ("spam_risk_user_banned_from_posting", 403),
    ("reached_active_user_cap", 403),
    ("unaudited_client_can_only_post_to_private_accounts", 403),
    ("url_ownership_unverified", 403),
    ("privacy_level_option_mismatch", 403),
    ("rate_limit_exceeded", 429),
    ("internal_error", 500),
];

/// The HTTP status of a documented error code.
pub(crate) fn status_of(code: &str) -> Option<u16> {
    let found = CODES.iter().find(|(known, _)| *known == code);
    found.map(|(_, status)| *status)
}

/// Why an API call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: status_of(code).unwrap_or(400),
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// A missing or wrong parameter; `param_code` decides the spelling.
    pub(crate) fn param(message: impl Into<String>) -> Self {
        Self::new("invalid_params", message)
    }

    /// The refusal of a request that is not a call of the API; no code is documented for it.
    pub(crate) fn no_call(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// Creator info returns these codes with HTTP 200 on purpose (D CI).
    pub(crate) fn under_200(mut self) -> Self {
        if self.code.starts_with("spam_risk") || self.code == "reached_active_user_cap" {
            self.status = 200;
        }
        self
    }
}

/// The result of an API call, before it becomes JSON.
pub(crate) type Outcome = Result<Value, Refusal>;

/// Wraps the outcome of a call in the envelope `{"data":{…},"error":{…}}`.
pub(crate) fn envelope(outcome: Outcome, settings: &Settings, log_id: &str) -> Response {
    let log_id_key = match settings.log_id_key {
        LogIdKey::Underscore => "log_id",
        LogIdKey::Plain => "logid",
    };
    let (status, data, code, message) = match outcome {
        Ok(data) => (200, data, "ok".to_owned(), String::new()),
        Err(refusal) => {
            let code = match (&*refusal.code, settings.param_code) {
                ("invalid_params", ParamCode::Singular) => "invalid_param".to_owned(),
                _ => refusal.code,
            };
            (refusal.status, json!({}), code, refusal.message)
        }
    };
    let error = json!({ "code": code, "message": message, log_id_key: log_id });
    json_answer(status, &json!({ "data": data, "error": error }))
}

/// A JSON answer.
pub(crate) fn json_answer(status: u16, value: &Value) -> Response {
    let mut response = text_answer(
        status,
        "application/json; charset=utf-8",
        value.to_string().into_bytes(),
    );
    // A cache must not repeat a status or a token.
    response
        .headers_mut()
        .insert("cache-control", HeaderValue::from_static("no-store"));
    response
}

/// An answer with any body.
pub(crate) fn text_answer(
    status: u16,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status_code(status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub(crate) fn empty_answer(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status_code(status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// An answer of the upload host: a status, the progress if there is any, and a body without content.
pub(crate) fn put_answer(status: u16, progress: Option<&str>, settings: &Settings) -> Response {
    let mut response = match settings.put_body {
        PutBody::Null => json_answer(status, &Value::Null),
        PutBody::Empty => empty_answer(status),
        PutBody::Object => json_answer(status, &json!({})),
    };
    if let Some(Ok(progress)) = progress.map(HeaderValue::from_str) {
        response.headers_mut().insert(CONTENT_RANGE, progress);
    }
    response
}

/// Announces that this connection ends, because a body was left unread.
pub(crate) fn closing(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(crate) fn with_retry_after(mut response: Response, value: Option<&str>) -> Response {
    if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
