//! Answers that faults give instead of the service.

use axum::response::Response;
use serde_json::json;

use super::answer::{Refusal, empty_answer, envelope, json_answer, text_answer, with_retry_after};
use super::endpoint::Endpoint;
use super::faults::{Canned, CannedBody};
use super::settings::Settings;

/// The page of a gateway whose backend is down.
const HTML: &str = "<html>\r\n<head><title>Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

/// The answer to a PUT.
pub(crate) fn put(canned: &Canned, usual: impl FnOnce(u16) -> Response) -> Response {
    let response = match &canned.body {
        CannedBody::Usual => usual(canned.status),
        body => written(canned.status, body),
    };
    with_retry_after(response, canned.retry_after.as_deref())
}

/// The answer to an API call: the envelope, unless the script wants another body.
pub(crate) fn api(
    canned: &Canned,
    endpoint: Endpoint,
    settings: &Settings,
    log_id: &str,
) -> Response {
    let response = match &canned.body {
        CannedBody::Usual if endpoint.is_oauth() => {
            let error = canned.code.as_deref().unwrap_or("server_error");
            let flat = json!({"error": error, "error_description": "on order", "log_id": log_id});
            json_answer(canned.status, &flat)
        }
        CannedBody::Usual => {
            let code = canned.code.as_deref().unwrap_or(match canned.status {
                401 => "access_token_invalid",
                403 => "spam_risk",
                429 => "rate_limit_exceeded",
                400..=499 => "invalid_params",
                _ => "internal_error",
            });
            let mut refusal = Refusal::new(code, "on order");
            refusal.status = canned.status;
            match (200..300).contains(&canned.status) && canned.code.is_none() {
                true => envelope(Ok(json!({})), settings, log_id),
                false => envelope(Err(refusal), settings, log_id),
            }
        }
        body => written(canned.status, body),
    };
    with_retry_after(response, canned.retry_after.as_deref())
}

fn written(status: u16, body: &CannedBody) -> Response {
    match body {
        CannedBody::Usual | CannedBody::None => empty_answer(status),
        CannedBody::Html => text_answer(status, "text/html", HTML),
        CannedBody::Text(text) => text_answer(status, "text/plain; charset=utf-8", text.clone()),
    }
}
