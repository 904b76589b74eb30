//! The wire log's lines about a call and its answer.

use std::borrow::Cow;
use std::time::SystemTime;

use reqwest::header::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Client, text};
use crate::answer::{Call, Failure};
use crate::clock::rfc3339;
use crate::engine::metrics::Asked;
use crate::secret::escaped::Escaped;
use crate::secret::without_query;
use crate::secret::{Redactor, Secret};
use crate::tiktok::wire_log::Written;

/// The header that has the log_id of an answer.
const LOG_ID: HeaderName = HeaderName::from_static("x-tt-logid");

/// Most bytes of a body in the log.
const MOST_BODY: usize = 4 * 1024;

/// Most bytes of a body that are searched for secrets: more than are logged, so that no secret is cut at the end and
/// shown.
const MOST_LOOKED_AT: usize = 20_000;

/// A word of so many characters may be a credential.
const LONG_WORD: usize = 16;

/// The upload that a client's calls belong to, as the wire log shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    pub(crate) account: Option<String>,
    /// The upload's id in the journal.
    pub(crate) upload: Option<String>,
    pub(crate) publish_id: Option<String>,
}

/// An answer as it came.
pub(super) struct Seen {
    status: u16,
    headers: HeaderMap,
    /// Empty if it is not to be logged.
    body: Vec<u8>,
}

impl Seen {
    pub(super) const fn new(status: u16, headers: HeaderMap, body: Vec<u8>) -> Self {
        Self {
            status,
            headers,
            body,
        }
    }
}

impl Client {
    /// The same client; the wire log, if there is one, attributes its calls to this upload.
    pub(crate) fn about(&self, subject: impl FnOnce() -> Subject) -> Cow<'_, Self> {
        match self.wire_log {
            Some(_) => Cow::Owned(Self {
                subject: subject().into(),
                ..self.clone()
            }),
            None => Cow::Borrowed(self),
        }
    }

    /// A handle to wait until all lines of the wire log are in its file.
    pub(crate) fn written(&self) -> Option<Written> {
        Some(self.wire_log.as_ref()?.written())
    }

    pub(super) fn log<T>(
        &self,
        call: Call,
        target: &str,
        request: Value,
        answer: Option<&Seen>,
        asked: Asked,
        result: &Result<T, Failure>,
    ) {
        let elapsed = asked.started.elapsed();
        asked.over(answer.map(|answer| answer.status), result);
        tracing::debug!(
            call = call.name(),
            to = target,
            status = answer.map(|answer| answer.status),
            log_id = answer.and_then(|answer| self.log_id(answer, result)),
            ms = elapsed.as_millis() as u64,
            "a request has ended"
        );
        let Some(wire_log) = &self.wire_log else {
            return;
        };
        let error = result.as_ref().err().map(|error| match error {
            Failure::Refused(error) => {
                json!({ "code": error.code, "message": error.message, "log_id": error.log_id })
            }
            error => json!({ "unanswered": self.redactor.redact(&error.to_string()) }),
        });
        let body = answer.filter(|answer| !answer.body.is_empty());
        // An answer that was not understood may hold an unknown upload URL.
        let strange = call == Call::Init && matches!(result, Err(Failure::Lost(_)));
        let body = body.map(|answer| shown_body(&answer.body, &self.redactor, strange));
        let publish_id = self.subject.publish_id.clone();
        let publish_id = publish_id
            .or_else(|| Some(request.get("publish_id")?.as_str()?.to_owned()))
            .or_else(|| self.opened(answer?));
        wire_log.write(&json!({
            "at": rfc3339(SystemTime::now()),
            "account": self.subject.account,
            "upload": self.subject.upload,
            "publish_id": publish_id,
            "call": call.name(),
            "to": target,
            "request": request,
            "status": answer.map(|answer| answer.status),
            "headers": answer.map(|answer| self.shown(&answer.headers)),
            "body": body,
            "body_bytes": answer.map(|answer| answer.body.len()),
            "error": error,
            "ms": elapsed.as_micros() as f64 / 1000.0,
        }));
    }

    /// The service's own name of an answer, which its support asks for: from the error that it states,
    /// the header, or the body.
    fn log_id<T>(&self, answer: &Seen, result: &Result<T, Failure>) -> Option<String> {
        let stated = match result {
            Err(Failure::Refused(refusal) | Failure::Busy(refusal) | Failure::Faulty(refusal)) => {
                refusal.log_id.clone()
            }
            _ => None,
        };
        let log_id = stated
            .or_else(|| text(&answer.headers, &LOG_ID))
            .or_else(|| {
                let body: Value = serde_json::from_slice(&answer.body).ok()?;
                let error = body.get("error")?;
                let log_id = error.get("log_id").or_else(|| error.get("logid"))?;
                log_id.as_str().map(str::to_owned)
            })?;
        Some(Escaped::new(&self.redactor.redact(&log_id)).to_string())
    }

    /// The publish_id of an answer, unless it is a secret.
    fn opened(&self, answer: &Seen) -> Option<String> {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let publish_id = body.pointer("/data/publish_id")?.as_str()?;
        let is_secret = self.redactor.has_credential(publish_id);
        (!is_secret).then(|| publish_id.chars().take(256).collect())
    }

    /// Response headers that can settle an open point of the protocol, without secrets.
    fn shown(&self, headers: &HeaderMap) -> Value {
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
        told.map(|(name, value)| (name.to_owned(), json!(self.redactor.redact(value))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// The start of a body without secrets: known ones, URLs that only this answer names, and in a `strange` answer every
/// word as long as a credential.
fn shown_body(body: &[u8], redactor: &Redactor, strange: bool) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST_LOOKED_AT)]);
    let text = redactor.redact(&text);
    let named = Redactor::default();
    for url in urls(&text) {
        named.learn_url(&Secret::new(url));
    }
    let mut text = named.redact(&text);
    if strange {
        text = without_long_words(&text);
    }
    let mut end = text.len().min(MOST_BODY);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Hides each word of a text that may be a credential.
fn without_long_words(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'<>{}()[]:;,".contains(c);
    let words = text.split_inclusive(ends).map(|word| {
        let bare = word.trim_end_matches(ends);
        match bare.len() < LONG_WORD {
            true => word.to_owned(),
            false => format!("REDACTED{}", &word[bare.len()..]),
        }
    });
    words.collect()
}

/// The URLs with a query in a text; their slashes may be escaped.
fn urls(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>');
    let words = text.split(ends);
    words.filter(|word| {
        let is_url = word.contains("://") || word.contains(":\\/\\/");
        is_url && word.contains('?')
    })
}

/// A request for the wire log. The query of a pulled URL is hidden.
pub(super) fn shown_request(request: &impl Serialize) -> Value {
    let mut shown = json!(request);
    if let Some(url) = shown.pointer_mut("/source_info/video_url") {
        *url = url.as_str().map(without_query).into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_shows_no_secret_of_its_own_and_none_that_is_cut_in_two() {
        let redactor = Redactor::default();
        redactor.learn_token(&Secret::new("act.lena.0123456789"));
        let url = "https://upload.example/video/?upload_id=7301&upload_token=Xza123abcdefgh";
        let escaped = url.replace('/', "\\/").replace('&', "\\u0026");
        for text in [
            format!(r#"{{"data":{{"upload_url":"{url}"#),
            format!(r#"{{"data":{{"upload_url":"{escaped}"}}}}"#),
            format!("<a href='{url}'>here</a>"),
            format!("{}act.lena.0123456789", "x".repeat(MOST_BODY - 10)),
            format!("{}{url}", "x ".repeat(MOST_BODY / 2 - 40)),
        ] {
            let shown = shown_body(text.as_bytes(), &redactor, false);
            assert!(shown.len() <= MOST_BODY, "{text}");
            for secret in ["Xza123", "7301", "lena", "01234"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        let plain = r#"{"data":{},"error":{"code":"internal","message":"é"}}"#;
        assert_eq!(shown_body(plain.as_bytes(), &redactor, false), plain);
        let strange = "<b>502 Bad Gateway</b> Xza123abcdefghijk: 7301";
        let shown = shown_body(strange.as_bytes(), &redactor, true);
        assert_eq!(shown, "<b>502 Bad Gateway</b> REDACTED: 7301");
        let cut = shown_body("é".repeat(MOST_BODY).as_bytes(), &redactor, false);
        assert_eq!(cut.len(), MOST_BODY);
    }
}
