//! The service's JSON and headers, which no other module sees.

use std::time::{Duration, SystemTime};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answers;
use super::codes::{self, Code};
use crate::answer::{Failure, Opened, Refusal, Report, Stage};
use crate::secret::{Redactor, Secret};
use crate::upload::plan::Plan;

/// Body of the inbox init. Source: Upload Video.
#[derive(Debug, Serialize)]
pub(crate) struct InitRequest {
    pub(crate) source_info: SourceInfo,
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

#[derive(Deserialize)]
struct InitData {
    #[serde(deserialize_with = "publish_id")]
    publish_id: String,
    #[serde(default, deserialize_with = "optional_secret")]
    upload_url: Option<Secret>,
}

impl From<InitData> for Opened {
    fn from(data: InitData) -> Self {
        Self {
            publish_id: data.publish_id,
            upload_url: data.upload_url,
        }
    }
}

fn optional_secret<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::from))
}

/// Longest accepted publish_id in bytes; the documents say 64. It appears in rows, names and output lines.
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

#[derive(Deserialize)]
struct StatusData {
    status: String,
    #[serde(default, deserialize_with = "lenient_text")]
    fail_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient_u64")]
    uploaded_bytes: Option<u64>,
    #[serde(default, deserialize_with = "lenient_u64")]
    downloaded_bytes: Option<u64>,
}

impl From<StatusData> for Report {
    fn from(data: StatusData) -> Self {
        Self {
            stage: stage(&data.status),
            word: data.status,
            fail_reason: data.fail_reason,
            uploaded_bytes: data.uploaded_bytes,
            downloaded_bytes: data.downloaded_bytes,
        }
    }
}

/// The documented states. Source: Get Video Status.
const STATES: [&str; 5] = [
    "FAILED",
    "PROCESSING_DOWNLOAD",
    "PROCESSING_UPLOAD",
    "PUBLISH_COMPLETE",
    "SEND_TO_USER_INBOX",
];

/// The stage for a status word; an unlisted word means "still working". Source: Get Video Status.
pub(crate) fn stage(word: &str) -> Stage {
    match word {
        "SEND_TO_USER_INBOX" => Stage::Inbox,
        "PUBLISH_COMPLETE" => Stage::Published,
        "FAILED" => Stage::Failed,
        _ => Stage::Working,
    }
}

/// Reads the answer to an init.
pub(crate) fn opened(body: &Body<'_>) -> Result<Opened, Failure> {
    body.read::<InitData>().map(Opened::from)
}

/// Reads the answer to a status call.
pub(crate) fn report(body: &Body<'_>) -> Result<Report, Failure> {
    body.read::<StatusData>().map(Report::from)
}

/// The creator's profile. Source: Get User Info.
#[derive(Deserialize)]
struct UserData {
    user: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(deserialize_with = "publish_id")]
    open_id: String,
}

/// Reads the creator's open_id.
pub(crate) fn open_id(body: &Body<'_>) -> Result<String, Failure> {
    body.read::<UserData>().map(|data| data.user.open_id)
}

/// Reads the answer to a call that returns no data.
pub(crate) fn done(body: &Body<'_>) -> Result<(), Failure> {
    body.read::<IgnoredAny>().map(drop)
}

fn lenient_u64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()))
}

/// Reads a text or a number that decides nothing here; any other value counts as absent.
fn lenient_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
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

/// An answer of the API as it arrived.
pub(crate) struct Body<'a> {
    pub(crate) http_status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) bytes: &'a [u8],
    pub(crate) redactor: &'a Redactor,
}

impl Body<'_> {
    /// The answer's value or failure. The code decides; the HTTP status is only a second signal, because some errors
    /// come with HTTP 200 (Query Creator Info).
    ///
    /// Text of the service enters only here, so secrets are removed here. An error of serde repeats the answer that it
    /// could not read, and is not shown.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let (http_status, redactor) = (self.http_status, self.redactor);
        let unreadable = |what| Failure::Lost(format!("HTTP {http_status} with {what}"));
        let Envelope { mut data, error } = match serde_json::from_slice(self.bytes) {
            Ok(envelope) => envelope,
            Err(_) if http_status >= 400 => {
                return Err(answers::failure(answers::without_words(http_status)));
            }
            Err(_) => return Err(unreadable("a body that is not the API's")),
        };
        if let Some(upload_url) = data.get("upload_url").and_then(Value::as_str) {
            redactor.learn_url(&upload_url.into());
        }
        if error.code == "ok" && http_status < 400 {
            clean_data(&mut data, redactor);
            let read = serde_json::from_value(data);
            return read.map_err(|_| unreadable("data that cannot be read"));
        }
        let clean = |text: &str| clean(text, redactor);
        let code = clean(&error.code);
        Err(answers::failure(Refusal {
            meaning: Code::of(&code, http_status).meaning,
            code,
            message: clean(&error.message.unwrap_or_default()),
            log_id: error.log_id.as_deref().map(clean),
            retry_after: self.retry_after,
            http_status,
        }))
    }
}

/// Cleans each text of an answer but the upload URL. A publish_id is kept, as later calls need it, unless it is a
/// secret.
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

/// Text from outside that may be kept and shown: at most 300 characters, no control characters, no secret. A documented
/// word is no secret, even if a URL's query has the same word.
fn clean(text: &str, redactor: &Redactor) -> String {
    let text = text.chars().filter(|c| !c.is_control());
    // The searched text is bounded, too, but long enough that no secret is cut at its end and shown.
    let text: String = text.take(20_000).collect();
    if STATES.contains(&text.as_str()) || codes::is_documented(&text) {
        return text;
    }
    redactor.redact(&text).chars().take(300).collect()
}

/// N of a progress header `bytes 0-N/TOTAL`, if TOTAL is `video_size`.
///
/// The documents call N a number of bytes, but write it in the place of a last index; callers must allow for both.
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

    fn read<T: DeserializeOwned>(status: u16, body: &str) -> Result<T, Failure> {
        let body = Body {
            http_status: status,
            retry_after: None,
            bytes: body.as_bytes(),
            redactor: &Redactor::default(),
        };
        body.read()
    }

    fn refusal(status: u16, body: &str) -> Refusal {
        match read::<Value>(status, body) {
            Err(Failure::Refused(error) | Failure::Busy(error) | Failure::Faulty(error)) => error,
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
            read::<InitData>(200, "<html>"),
            Err(Failure::Lost(_))
        ));
        let half = r#"{"data":{"upload_url":"u"},"error":{"code":"ok"}}"#;
        assert!(matches!(read::<InitData>(200, half), Err(Failure::Lost(_))));
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
            let read = read::<InitData>(200, &body);
            assert!(matches!(read, Err(Failure::Lost(_))), "{id}");
        }
        let body = format!(
            r#"{{"data":{{"status":"FAILED","fail_reason":"\u001b[31m{}"}},"error":{{"code":"ok"}}}}"#,
            "y".repeat(9_000)
        );
        let status: StatusData = read(200, &body).expect("readable");
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
            let status: StatusData = read(200, &body).expect("readable");
            let status = Report::from(status);
            assert_eq!(
                (status.uploaded_bytes, status.stage),
                (expected, Stage::Failed),
                "{value}"
            );
        }
    }
}
