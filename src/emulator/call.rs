//! An API call: its token, its content, and the address that its upload URLs get.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body as _;
use hyper::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST};
use hyper::http::request::Parts;
use serde_json::Value;

use super::answer::Refusal;
use super::creator::{bearer, creator_of, public_name};
use super::endpoint::Endpoint;
use super::settings::{MissingContentType, Settings};

/// Largest body of a call or a page in bytes, more than any documented call needs. A longer one is refused unread.
pub(crate) const MOST_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Option<String>,
    pub(crate) query: String,
    content_type: Option<String>,
    /// The client is a browser that shows the answer.
    pub(crate) wants_html: bool,
    /// The creator who consented last in this browser.
    pub(crate) creator_cookie: Option<String>,
    /// `https://host`, as the client addresses this server.
    pub(crate) origin: String,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(endpoint: Endpoint, parts: &Parts, tls: bool) -> Self {
        let text = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let (scheme, host) = address(parts, tls);
        Self {
            endpoint,
            token: bearer(&parts.headers).map(str::to_owned),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            wants_html: text(ACCEPT.as_str()).is_some_and(|kinds| kinds.contains("text/html")),
            creator_cookie: text(COOKIE.as_str()).and_then(cookie),
            content_type: text(CONTENT_TYPE.as_str()).map(str::to_ascii_lowercase),
            origin: format!("{scheme}://{}", upload_host(host)),
            body: Bytes::new(),
        }
    }

    /// Reads the body; refuses one that is too long or never ends.
    pub(crate) async fn read(&mut self, body: Body, patience: Duration) -> Result<(), Refusal> {
        self.body = read(body, patience).await.map_err(Refusal::param)?;
        Ok(())
    }

    /// The creator that the token belongs to.
    pub(crate) fn creator(&self) -> &str {
        self.token.as_deref().map_or("", creator_of)
    }

    /// The creator's name in logs and pages.
    pub(crate) fn shown_creator(&self) -> String {
        let token = self.token.as_deref().unwrap_or_default();
        public_name(creator_of(token), token)
    }

    /// The Content-Type of the body, without parameters.
    pub(crate) fn media_type(&self) -> Option<&str> {
        let declared = self.content_type.as_deref()?;
        declared.split(';').next().map(str::trim)
    }

    /// The JSON object in the body (D: `Content-Type: application/json; charset=UTF-8`).
    pub(crate) fn json(&self, settings: &Settings) -> Result<Value, Refusal> {
        let declared = match (self.media_type(), settings.missing_content_type) {
            (None, MissingContentType::Accept) | (Some("application/json"), _) => true,
            (None, MissingContentType::Refuse) | (Some(_), _) => false,
        };
        if !declared {
            return Err(Refusal::param("the Content-Type must be application/json"));
        }
        let value: Value = serde_json::from_slice(&self.body)
            .map_err(|error| Refusal::param(format!("the body is no JSON: {error}")))?;
        match value.is_object() {
            true => Ok(value),
            false => Err(Refusal::param("the body must be a JSON object")),
        }
    }
}

/// Reads the whole body of a call or a page.
pub(crate) async fn read(body: Body, patience: Duration) -> Result<Bytes, String> {
    if body.size_hint().lower() > MOST_BYTES as u64 {
        return Err(format!("the body is longer than {MOST_BYTES} bytes"));
    }
    let body = Limited::new(body, MOST_BYTES).collect();
    match tokio::time::timeout(patience, body).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(_)) => Err("the body is too long or broke off".to_owned()),
        Err(_) => Err("the body is shorter than declared".to_owned()),
    }
}

/// Scheme and host by which the client addresses this server.
pub(crate) fn address(parts: &Parts, tls: bool) -> (&'static str, &str) {
    let text = |name: &str| {
        let value = parts.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let host = text(HOST.as_str()).or_else(|| parts.uri.authority().map(|host| host.as_str()));
    let scheme = match (text("x-forwarded-proto"), tls) {
        (Some(proto), _) if proto.eq_ignore_ascii_case("https") => "https",
        (None, true) => "https",
        _ => "http",
    };
    (scheme, host.unwrap_or("localhost"))
}

/// The cookie that names the last creator who consented in this browser.
pub(crate) const CREATOR_COOKIE: &str = "chunkferry_creator";

fn cookie(cookies: &str) -> Option<String> {
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(name, value)| (name == CREATOR_COOKIE).then(|| value.to_owned()))
}

/// The service has a separate upload host; a client that used the real API host gets the real upload host.
fn upload_host(host: &str) -> String {
    match host.strip_prefix("open.tiktokapis.com") {
        Some(port) => format!("open-upload.tiktokapis.com{port}"),
        None => host.to_owned(),
    }
}
