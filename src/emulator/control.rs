//! The server's own pages below `/_emulator`.

use std::sync::Arc;

use axum::response::Response;
use serde_json::json;

use super::answer::json_answer;
use super::shared::Shared;

/// `GET /_emulator/log`; with `?creator=NAME` only what is theirs.
pub(crate) fn log(shared: &Arc<Shared>, creator: Option<&str>) -> Response {
    let log = shared.world().log(creator);
    match serde_json::to_value(log) {
        Ok(log) => json_answer(200, &log),
        Err(error) => json_answer(500, &json!({ "error": error.to_string() })),
    }
}
