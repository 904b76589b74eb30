//! The upload host's answers to browsers for pages of another site (Fetch standard, CORS; O-24).

use axum::response::Response;
use hyper::Method;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue,
};
use hyper::http::request::Parts;

use super::url::find;
use crate::answer::{closing, empty_answer};
use crate::settings::{Cors, Settings};
use crate::shared::Shared;

/// The headers of a PUT that a browser's preflight asks for.
const USUAL: HeaderValue = HeaderValue::from_static("content-type, content-range");

/// Answers a request to the upload host that is not a PUT: a preflight, or an unknown method.
pub(crate) fn other(shared: &Shared, parts: &Parts) -> Response {
    let settings = {
        let service = shared.service();
        let upload = find(&service, parts.uri.query().unwrap_or_default());
        let token = upload.map(|number| &*service.sessions[&number].token);
        service.settings(token)
    };
    if parts.method != Method::OPTIONS || settings.cors == Cors::None {
        return readable(closing(empty_answer(405)), &settings);
    }
    let asked = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
    let mut response = empty_answer(204);
    let headers = response.headers_mut();
    headers.remove(hyper::header::CONTENT_LENGTH);
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("PUT, OPTIONS"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        asked.cloned().unwrap_or(USUAL),
    );
    readable(response, &settings)
}

/// Lets the page that sent a request read the answer and its progress header, if `cors` allows it.
pub(super) fn readable(mut response: Response, settings: &Settings) -> Response {
    if settings.cors == Cors::Any {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Content-Range"),
        );
    }
    response
}
