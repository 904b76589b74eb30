//! The service's JSON and headers as types, and the one way from an answer to a value or an error.

use std::io;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::Plan;
use crate::secret::{Redactor, Secret};
use crate::token::TokenError;

/// A call of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Init,
    Put,
    Status,
    Cancel,
    /// Whose the token is.
    Creator,
    /// Not of the API: a look at the URL that it is to fetch.
    Look,
}

impl Call {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Put => "chunk PUT",
            Self::Status => "status",
            Self::Cancel => "cancel",
            Self::Creator => "user info",
            Self::Look => "preflight",
        }
    }
}

/// Body of the inbox init. Source: Upload Video.
#[derive(Debug, Serialize)]
pub(crate) struct InitRequest<'a> {
    pub(crate) source_info: &'a SourceInfo,
}

#[derive(Debug, Serialize)]
#[serde(tag = "source", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SourceInfo {
    FileUpload {
        video_size: u64,
        chunk_size: u64,
        total_chunk_count: u32,
    },
    PullFromUrl {
        #[serde(serialize_with = "crate::secret::stored::serialize")]
        video_url: Secret,
    },
}

impl From<&Plan> for SourceInfo {
    fn from(plan: &Plan) -> Self {
        Self::FileUpload {
            video_size: plan.video_size(),
            chunk_size: plan.chunk_size(),
            total_chunk_count: plan.chunk_count(),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct InitData {
    #[serde(deserialize_with = "publish_id")]
    pub(crate) publish_id: String,
    /// Where the chunks go; none follow a pull.
    #[serde(default, deserialize_with = "optional_secret")]
    pub(crate) upload_url: Option<Secret>,
}

fn optional_secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::from))
}

/// Longest publish_id that is taken, in bytes; the documents say 64. It stands in rows, names and output lines.
const LONGEST_ID: usize = 256;

fn publish_id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.len() > LONGEST_ID || text.chars().any(char::is_control) {
        return Err(serde::de::Error::custom("a publish_id that is none"));
    }
    Ok(text)
}

/// Body of a call about one upload. Sources: Get Video Status, Media Transfer Guide.
#[derive(Debug, Serialize)]
pub(crate) struct PublishId<'a> {
    pub(crate) publish_id: &'a str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StatusData {
    pub(crate) status: String,
    #[serde(default, deserialize_with = "lenient_text")]
    pub(crate) fail_reason: Option<String>,
    /// A count by the documents; read leniently, since it is only ever one witness of several.
    #[serde(default, deserialize_with = "lenient_u64")]
    pub(crate) uploaded_bytes: Option<u64>,
    /// Of a pull.
    #[serde(default, deserialize_with = "lenient_u64")]
    pub(crate) downloaded_bytes: Option<u64>,
}

/// Who the creator is. Source: Get User Info.
#[derive(Debug, Deserialize)]
pub(crate) struct UserData {
    pub(crate) user: User,
}

#[derive(Debug, Deserialize)]
pub(crate) struct User {
    #[serde(deserialize_with = "publish_id")]
    pub(crate) open_id: String,
}

/// Where the service says an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Working,
    Inbox,
    Published,
    Failed,
}

impl StatusData {
    /// A status nobody has listed means "still working".
    pub(crate) fn stage(&self) -> Stage {
        match self.status.as_str() {
            "SEND_TO_USER_INBOX" => Stage::Inbox,
            "PUBLISH_COMPLETE" => Stage::Published,
            "FAILED" => Stage::Failed,
            _ => Stage::Working,
        }
    }
}

fn lenient_u64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

/// Text that decides nothing here, or a number in its place; whatever else stands there is taken for nothing.
fn lenient_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// What came back from a chunk PUT: its status and how far the service says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PutAnswer {
    pub(crate) http_status: u16,
    pub(crate) progress: Option<u64>,
    pub(crate) retry_after: Option<Duration>,
}

/// An error the service stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceError {
    pub(crate) http_status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) log_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

/// How a call can go wrong; what decides whether it may be repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection was made: nothing reached the service.
    #[error("no connection: {0}")]
    Unsent(String),
    /// No connection was made, because the server's certificate is not trusted.
    #[error("no connection: {0}")]
    Untrusted(String),
    /// The request may have arrived, its answer did not, or cannot be read.
    #[error("no answer: {0}")]
    Lost(String),
    /// The service said no.
    #[error("refused")]
    Refused(ServiceError),
    /// Our own file could not be read on.
    #[error("cannot read the file on")]
    Source(#[source] io::Error),
    /// There was no token to send.
    #[error("no access token: {0}")]
    Token(TokenError),
    /// The URL the service gave for the chunks is not one we send bytes to.
    #[error("upload host refused: {0}")]
    Host(String),
}

/// A refusal that is a status of HTTP and nothing else.
pub(crate) fn without_words(http_status: u16) -> ServiceError {
    ServiceError {
        http_status,
        code: format!("http_{http_status}"),
        message: String::new(),
        log_id: None,
        retry_after: None,
    }
}

impl ServiceError {
    /// Whether another token may help.
    pub(crate) fn is_invalid_token(&self) -> bool {
        matches!(self.code.as_str(), "access_token_invalid" | "http_401")
    }
}

impl CallError {
    pub(crate) fn is_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused(error) if error.code == wanted)
    }

    /// Whether nothing of the request can have reached the service.
    pub(crate) const fn never_left(&self) -> bool {
        matches!(self, Self::Unsent(_) | Self::Untrusted(_) | Self::Token(_))
    }

    /// Whether the same call can succeed later, as far as the connection and the source of tokens can tell.
    pub(crate) const fn is_temporary(&self) -> bool {
        match self {
            Self::Unsent(_) | Self::Lost(_) => true,
            Self::Token(error) => error.is_temporary(),
            Self::Refused(_) | Self::Source(_) | Self::Host(_) | Self::Untrusted(_) => false,
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    data: Value,
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    #[serde(default, deserialize_with = "lenient_text")]
    message: Option<String>,
    #[serde(default, alias = "logid", deserialize_with = "lenient_text")]
    log_id: Option<String>,
}

/// Turns an answer of the API into a value or an error. The code decides; the HTTP status is only a second signal,
/// because some errors come under HTTP 200 (Query Creator Info).
///
/// The only place where text of the service comes in, so secrets go out of it here. What serde says of an answer that it
/// cannot read repeats that answer, and is not shown.
pub(crate) fn read<T: DeserializeOwned>(
    http_status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    redactor: &Redactor,
) -> Result<T, CallError> {
    let unreadable = |what| CallError::Lost(format!("HTTP {http_status} with {what}"));
    let refused = |code, message, log_id| {
        CallError::Refused(ServiceError {
            http_status,
            code,
            message,
            log_id,
            retry_after,
        })
    };
    let Envelope { mut data, error } = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(_) if http_status >= 400 => {
            return Err(refused(format!("http_{http_status}"), String::new(), None));
        }
        Err(_) => return Err(unreadable("a body that is not the API's")),
    };
    if let Some(upload_url) = data.get("upload_url").and_then(Value::as_str) {
        redactor.learn_url(&upload_url.into());
    }
    if error.code == "ok" && http_status < 400 {
        clean_data(&mut data, redactor);
        return serde_json::from_value(data).map_err(|_| unreadable("data that cannot be read"));
    }
    let clean = |text: &str| clean(text, redactor);
    let log_id = error.log_id.as_deref().map(clean);
    let message = clean(&error.message.unwrap_or_default());
    Err(refused(clean(&error.code), message, log_id))
}

/// Cleans each text of an answer but the upload URL. A publish_id is kept as it is, as later calls need it, unless it is
/// a secret.
fn clean_data(data: &mut Value, redactor: &Redactor) {
    for (name, value) in data.as_object_mut().into_iter().flatten() {
        match (name.as_str(), &mut *value) {
            ("upload_url", _) => {}
            ("publish_id", Value::String(text)) if redactor.has_credential(text) => {
                *value = Value::Null;
            }
            ("publish_id", _) => {}
            (_, Value::String(text)) => *text = clean(text, redactor),
            _ => {}
        }
    }
}

/// Text from outside as it may be kept and shown: at most 300 characters, no control characters, no secret. A word of the
/// documents is no secret, even where a URL has the same word in its query.
fn clean(text: &str, redactor: &Redactor) -> String {
    let text = text.chars().filter(|c| !c.is_control());
    // What is looked at is bounded, too, and so long that no secret is cut at its end and shown.
    let text: String = text.take(20_000).collect();
    if WORDS.contains(&text.as_str()) {
        return text;
    }
    redactor.redact(&text).chars().take(300).collect()
}

/// The codes, states and reasons that decide something here. Sources: Upload Video, Get Video Status, TikTok API v2 Error
/// Handling.
const WORDS: [&str; 29] = [
    "access_token_invalid",
    "auth_failed",
    "auth_removed",
    "duration_check_failed",
    "file_format_check_failed",
    "frame_rate_check_failed",
    "internal",
    "internal_error",
    "invalid_param",
    "invalid_params",
    "invalid_publish_id",
    "picture_size_check_failed",
    "publish_cancelled",
    "publish_not_cancellable",
    "rate_limit_exceeded",
    "reached_active_user_cap",
    "scope_not_authorized",
    "scope_permission_missed",
    "spam_risk_too_many_pending_share",
    "spam_risk_too_many_posts",
    "spam_risk_user_banned_from_posting",
    "token_not_authorized_for_specified_publish_id",
    "url_ownership_unverified",
    "video_pull_failed",
    "FAILED",
    "PROCESSING_DOWNLOAD",
    "PROCESSING_UPLOAD",
    "PUBLISH_COMPLETE",
    "SEND_TO_USER_INBOX",
];

/// N of a progress header `bytes 0-N/TOTAL`, if it speaks of a file of `video_size` bytes.
///
/// The documents call N a number of bytes and write it where a last index stands; who reads it must allow for both.
pub(crate) fn progress(header: &str, video_size: u64) -> Option<u64> {
    let (range, total) = header
        .trim()
        .strip_prefix("bytes ")?
        .trim()
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    if first.trim() != "0" || total.trim().parse() != Ok(video_size) {
        return None;
    }
    last.trim().parse().ok()
}

/// The wait a `Retry-After` header asks for: seconds or a date (RFC 9110, 10.2.3), at most an hour.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let wait = match header.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(header)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(wait.min(Duration::from_secs(3600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> ServiceError {
        match read::<InitData>(status, None, body.as_bytes(), &Redactor::default()) {
            Err(CallError::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_under_http_200_is_an_error() {
        let error = refusal(
            200,
            r#"{"data":{},"error":{"code":"reached_active_user_cap","message":"m","log_id":"L"}}"#,
        );
        assert_eq!(
            (error.code.as_str(), error.log_id.as_deref()),
            ("reached_active_user_cap", Some("L"))
        );
    }

    #[test]
    fn both_spellings_of_the_log_id_are_read() {
        for key in ["log_id", "logid"] {
            let body =
                format!(r#"{{"error":{{"code":"invalid_params","message":"","{key}":"L1"}}}}"#);
            assert_eq!(refusal(400, &body).log_id.as_deref(), Some("L1"), "{key}");
        }
    }

    #[test]
    fn a_gateways_page_is_a_refusal_by_status_and_never_a_success() {
        assert_eq!(refusal(502, "<html>bad gateway</html>").code, "http_502");
        assert!(matches!(
            read::<InitData>(200, None, b"<html>", &Redactor::default()),
            Err(CallError::Lost(_))
        ));
        let half = br#"{"data":{"upload_url":"u"},"error":{"code":"ok"}}"#;
        assert!(matches!(
            read::<InitData>(200, None, half, &Redactor::default()),
            Err(CallError::Lost(_))
        ));
    }

    #[test]
    fn text_from_outside_cannot_draw_on_the_terminal() {
        let body = r#"{"error":{"code":"x\u001b[2J","message":"a\nb"}}"#;
        let error = refusal(400, body);
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("x[2J", "ab")
        );
    }

    #[test]
    fn an_id_that_is_none_opens_no_session_and_words_stay_short_and_plain() {
        for id in ["", "a\\u001b[2J", "a\\tb", &"9".repeat(257)] {
            let body = format!(
                r#"{{"data":{{"publish_id":"{id}","upload_url":"https://u"}},"error":{{"code":"ok"}}}}"#
            );
            let read = read::<InitData>(200, None, body.as_bytes(), &Redactor::default());
            assert!(matches!(read, Err(CallError::Lost(_))), "{id}");
        }
        let body = format!(
            r#"{{"data":{{"status":"FAILED","fail_reason":"\u001b[31m{}"}},"error":{{"code":"ok"}}}}"#,
            "y".repeat(9_000)
        );
        let status: StatusData =
            read(200, None, body.as_bytes(), &Redactor::default()).expect("readable");
        let reason = status.fail_reason.expect("a reason");
        assert!(
            reason.starts_with("[31my") && reason.len() == 300,
            "{reason}"
        );
    }

    #[test]
    fn progress_is_read_only_where_it_speaks_of_this_file() {
        let rows = [
            ("bytes 0-10000000/50000123", Some(10_000_000)),
            (" bytes 0-9999999/50000123 ", Some(9_999_999)),
            ("bytes 0-0/50000123", Some(0)),
            ("bytes 5-9999999/50000123", None),
            ("bytes 0-9999999/50000124", None),
            ("bytes */50000123", None),
            ("bytes 0--1/50000123", None),
            ("bytes 0-99999999999999999999/50000123", None),
            ("", None),
        ];
        for (header, expected) in rows {
            assert_eq!(progress(header, 50_000_123), expected, "{header}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let rows = [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("99999999", Some(3600)),
            ("-5", None),
            ("soon", None),
        ];
        for (header, expected) in rows {
            assert_eq!(
                retry_after(header, now),
                expected.map(Duration::from_secs),
                "{header}"
            );
        }
    }

    #[test]
    fn uploaded_bytes_of_any_shape_never_hide_the_status() {
        for (value, expected) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("-1", None),
            ("null", None),
            ("{}", None),
        ] {
            let body = format!(
                r#"{{"data":{{"status":"FAILED","uploaded_bytes":{value}}},"error":{{"code":"ok"}}}}"#
            );
            let status: StatusData =
                read(200, None, body.as_bytes(), &Redactor::default()).expect("readable");
            assert_eq!(
                (status.uploaded_bytes, status.stage()),
                (expected, Stage::Failed),
                "{value}"
            );
        }
    }
}
