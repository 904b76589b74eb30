//! What a host states of a video, in the headers of an answer to a request for a range.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// How much older than its answer a time of modification must be to be a strong validator. Source: RFC 9110, 8.8.2.2.
const OLD: Duration = Duration::from_secs(60);

/// What the host says of a version, and will be held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Validator {
    /// A strong `ETag`, with its quotes.
    Tag(String),
    /// `Last-Modified`.
    Modified(String),
}

impl Validator {
    /// The strong validator of an answer. An `ETag` that is weak forbids the time, too: the host says that it cannot tell.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if let Some(tag) = text(headers, &header::ETAG) {
            return (!tag.starts_with("W/")).then(|| Self::Tag(tag.to_owned()));
        }
        let [modified, date] = [header::LAST_MODIFIED, header::DATE].map(|name| {
            let text = text(headers, &name)?;
            Some((text.to_owned(), httpdate::parse_http_date(text).ok()?))
        });
        let ((text, modified), (_, date)) = modified.zip(date)?;
        is_old(modified, date).then_some(Self::Modified(text))
    }

    /// The header that makes a request conditional on this version.
    pub(super) fn condition(&self) -> (HeaderName, &str) {
        match self {
            Self::Tag(tag) => (header::IF_MATCH, tag),
            Self::Modified(time) => (header::IF_UNMODIFIED_SINCE, time),
        }
    }

    /// The validator in one word, for the identity of the video.
    pub(super) fn word(&self) -> String {
        let (name, value) = self.condition();
        format!("{name}: {value}")
    }
}

fn is_old(modified: SystemTime, date: SystemTime) -> bool {
    date.duration_since(modified).is_ok_and(|age| age >= OLD)
}

/// What an answer to a request for a range holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// These bytes of a video of so many.
    Part(Range<u64>, u64),
    /// The whole video, of so many bytes if that is stated: the host ignores ranges.
    Whole(Option<u64>),
    /// No bytes: the video is shorter than the range begins, or another version.
    Moved,
    /// The host does not let the bytes out: the signature of the URL may be over.
    Refused(u16),
    /// There is no such video.
    Missing(u16),
    /// Nothing now; the same request may succeed later.
    NotNow(u16),
    /// Something that no host should answer; what it is, in words.
    Wrong(String),
}

impl Held {
    pub(super) fn of(status: u16, headers: &HeaderMap) -> Self {
        let coding = text(headers, &header::CONTENT_ENCODING).unwrap_or("identity");
        match status {
            200 | 206 if !coding.eq_ignore_ascii_case("identity") => {
                Self::Wrong("its host compresses it, although that was not asked for".into())
            }
            200 => Self::Whole(
                text(headers, &header::CONTENT_LENGTH).and_then(|text| text.parse().ok()),
            ),
            206 => match text(headers, &header::CONTENT_RANGE).and_then(part) {
                Some((range, total)) => Self::Part(range, total),
                None => {
                    Self::Wrong("its host answers with a part of it, and does not say which".into())
                }
            },
            412 | 416 => Self::Moved,
            400 | 401 | 403 | 407 => Self::Refused(status),
            404 | 410 => Self::Missing(status),
            408 | 425 | 429 | 500.. => Self::NotNow(status),
            _ => Self::Wrong(format!("its host answers {status}")),
        }
    }
}

/// Reads `bytes FIRST-LAST/TOTAL`.
fn part(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let [first, last, total] = [first, last, total].map(|number| number.trim().parse::<u64>().ok());
    let (first, last, total) = (first?, last?, total?);
    (first <= last && last < total).then_some((first..last + 1, total))
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let value = value.parse().expect("a value");
            (HeaderName::from_static(name), value)
        });
        lines.collect()
    }

    #[test]
    fn only_what_changes_with_every_byte_is_a_validator() {
        let (date, minute, later) = (
            "Sun, 06 Nov 1994 08:50:00 GMT",
            "Sun, 06 Nov 1994 08:49:00 GMT",
            "Sun, 06 Nov 1994 08:49:01 GMT",
        );
        let tag = "\"5f1-2\"";
        for (lines, found) in [
            (
                &[("etag", tag), ("last-modified", later)][..],
                Some(Validator::Tag(tag.into())),
            ),
            (
                &[
                    ("etag", "W/\"5f1\""),
                    ("last-modified", minute),
                    ("date", date),
                ],
                None,
            ),
            (
                &[("last-modified", minute), ("date", date)],
                Some(Validator::Modified(minute.into())),
            ),
            (&[("last-modified", later), ("date", date)], None),
            (&[("last-modified", minute)], None),
            (&[("last-modified", "yesterday"), ("date", date)], None),
            (&[], None),
        ] {
            assert_eq!(Validator::of(&headers(lines)), found, "{lines:?}");
        }
    }

    #[test]
    fn each_answer_is_taken_for_what_it_is() {
        let part = |text| headers(&[("content-range", text)]);
        assert_eq!(Held::of(206, &part("bytes 5-9/20")), Held::Part(5..10, 20));
        for broken in [
            "bytes 5-9/*",
            "bytes 9-5/20",
            "bytes 5-20/20",
            "bytes */20",
            "5-9/20",
            "items 5-9/20",
            "",
        ] {
            assert!(
                matches!(Held::of(206, &part(broken)), Held::Wrong(_)),
                "{broken}"
            );
        }
        let gzip = headers(&[
            ("content-range", "bytes 5-9/20"),
            ("content-encoding", "gzip"),
        ]);
        assert!(matches!(Held::of(206, &gzip), Held::Wrong(_)));
        assert!(matches!(Held::of(200, &gzip), Held::Wrong(_)));
        assert_eq!(
            Held::of(200, &headers(&[("content-length", "20")])),
            Held::Whole(Some(20))
        );
        for (status, held) in [
            (412, Held::Moved),
            (416, Held::Moved),
            (403, Held::Refused(403)),
            (404, Held::Missing(404)),
            (503, Held::NotNow(503)),
        ] {
            assert_eq!(Held::of(status, &HeaderMap::new()), held);
        }
        assert!(matches!(Held::of(204, &HeaderMap::new()), Held::Wrong(_)));
    }
}
