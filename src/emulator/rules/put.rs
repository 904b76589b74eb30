//! The headers of a PUT, judged before its body is asked for (D MTG, UP, DP; F aitiktokz, postiz-app #1784).
//!
//! Two refusals: 416 if the range is missing or does not start at the upload's progress; 400 for every other fault,
//! which no repeat can cure.

use hyper::HeaderMap;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING,
};

use super::plan::Plan;
use crate::settings::{
    BadBodyStatus, ChunkedEncoding, Expect, MidChunkPut, PutContentType, Replay, ReplayLast,
    Settings,
};

const CONTENT_TYPES: [&str; 3] = ["video/mp4", "video/quicktime", "video/webm"];

/// The headers that decide on a PUT.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    content_length: Option<u64>,
    content_range: Option<Option<Range>>,
    /// Without parameters, in lower case.
    media_type: Option<String>,
    chunked: bool,
    expects: bool,
    pub(crate) bearer: bool,
}

/// `bytes FIRST-LAST/TOTAL`, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) last: u64,
    total: u64,
}

/// The progress of an upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) plan: Plan,
    pub(crate) received: u64,
}

/// The decision on a PUT.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Receive the body: bytes from `first` up to `end`, exclusive.
    Take { first: u64, end: u64 },
    /// Read and drop the body, which was received before.
    Again { status: u16, length: u64 },
    /// Refuse the PUT by its headers.
    Refuse { status: u16, why: String },
}

impl Head {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            content_length: text(CONTENT_LENGTH).and_then(|text| text.parse().ok()),
            content_range: headers
                .get(CONTENT_RANGE)
                .map(|value| value.to_str().ok().and_then(Range::read)),
            media_type: text(CONTENT_TYPE).map(media_type),
            chunked: headers.contains_key(TRANSFER_ENCODING),
            expects: headers.contains_key(EXPECT),
            bearer: headers.contains_key(AUTHORIZATION),
        }
    }

    /// Length of the body, if the headers state it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.content_length
    }

    /// The range, if it can be read.
    pub(crate) fn range(&self) -> Option<Range> {
        self.content_range.flatten()
    }

    /// The file extension for the declared type.
    pub(crate) fn extension(&self) -> &'static str {
        match self.media_type.as_deref() {
            Some("video/quicktime") => "mov",
            Some("video/webm") => "webm",
            _ => "mp4",
        }
    }
}

/// The type in a Content-Type, without parameters, which do not matter here (RFC 9110, 8.3).
fn media_type(declared: &str) -> String {
    let (kind, _) = declared.split_once(';').unwrap_or((declared, ""));
    kind.trim().to_ascii_lowercase()
}

impl Range {
    /// Reads the documented form: no spaces, no signs, no star.
    fn read(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some(Self {
            first: number(first)?,
            last: number(last)?,
            total: number(total)?,
        })
    }
}

fn refuse(status: u16, why: impl Into<String>) -> Judgement {
    Judgement::Refuse {
        status,
        why: why.into(),
    }
}

/// Decides on a PUT to a live upload from its headers alone.
pub(crate) fn judge_put(head: &Head, progress: &Progress, settings: &Settings) -> Judgement {
    let &Progress { plan, received } = progress;
    let Some(range) = head.content_range else {
        return refuse(416, "no Content-Range");
    };
    let Some(range) = range else {
        return refuse(400, "the Content-Range is not `bytes FIRST-LAST/TOTAL`");
    };
    if range.total != plan.video_size {
        let (total, size) = (range.total, plan.video_size);
        return refuse(
            400,
            format!("the range says {total} bytes in all, init said {size}"),
        );
    }
    if range.last < range.first || range.last >= range.total {
        return refuse(400, "the range is empty or ends beyond the file");
    }
    let length = range.last - range.first + 1;
    if let Some(refused) = judge_framing(head, length, settings) {
        return refused;
    }
    if let Some(refused) = judge_type(head, settings) {
        return refused;
    }
    let judgement = judge_range(&plan, received, range, settings);
    let wanted = !matches!(judgement, Judgement::Refuse { .. });
    match wanted && head.expects && settings.expect == Expect::Fail {
        true => refuse(417, "Expect is not supported"),
        false => judgement,
    }
}

/// Checks the type; how the service treats an undocumented one is unknown (O-25).
fn judge_type(head: &Head, settings: &Settings) -> Option<Judgement> {
    let known = head.media_type.as_deref();
    if known.is_some_and(|known| CONTENT_TYPES.contains(&known)) {
        return None;
    }
    let status = match settings.put_content_type {
        PutContentType::BadRequest => 400,
        PutContentType::Unsupported => 415,
        PutContentType::Accept => return None,
    };
    let why = "the Content-Type is none of video/mp4, video/quicktime, video/webm";
    Some(refuse(status, why))
}

/// Checks that the declared length is that of the range.
fn judge_framing(head: &Head, length: u64, settings: &Settings) -> Option<Judgement> {
    let declared = match (head.chunked, settings.chunked_encoding) {
        (true, ChunkedEncoding::Accept) => return None,
        (true, ChunkedEncoding::Refuse) => return Some(refuse(400, "chunked transfer encoding")),
        (false, _) => head.content_length,
    };
    match declared {
        None => Some(refuse(400, "no Content-Length")),
        Some(declared) if declared < length => Some(refuse(
            400,
            format!("Content-Length {declared} is below the range's {length}"),
        )),
        Some(declared) if declared > length => {
            let status = match settings.bad_body_status {
                BadBodyStatus::BadRequest => 400,
                BadBodyStatus::BadGateway => 502,
            };
            let why = format!("Content-Length {declared} is above the range's {length}");
            Some(refuse(status, why))
        }
        Some(_) => None,
    }
}

/// Checks that the range is the next one.
fn judge_range(plan: &Plan, received: u64, range: Range, settings: &Settings) -> Judgement {
    let Range { first, last, .. } = range;
    let end = last + 1;
    let index = plan.index_of(first);
    let (chunk_first, chunk_end) = plan.chunk(index);
    let whole_chunk = (first, end) == (chunk_first, chunk_end);

    if whole_chunk && end <= received {
        let length = end - first;
        if received == plan.video_size && end == received {
            match settings.replay_last {
                ReplayLast::Refuse => {}
                ReplayLast::Accept => {
                    return Judgement::Again {
                        status: 201,
                        length,
                    };
                }
                ReplayLast::Gone => return refuse(404, "the upload is complete"),
            }
        } else if settings.replay == Replay::Accept {
            return Judgement::Again {
                status: 206,
                length,
            };
        }
    }
    if first != received {
        return refuse(
            416,
            format!("the range starts at {first}, {received} bytes are here"),
        );
    }
    if end != chunk_end {
        let why =
            format!("the range ends before byte {end}, the declared chunk before {chunk_end}");
        return refuse(400, why);
    }
    if first != chunk_first && settings.mid_chunk_put == MidChunkPut::Refuse {
        return refuse(416, format!("the range starts inside chunk {index}"));
    }
    Judgement::Take { first, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        video_size: 50_000_123,
        chunk_size: 10_000_000,
        total_chunk_count: 5,
    };

    fn head(range: &str, length: &str) -> Head {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, range.parse().unwrap());
        headers.insert(CONTENT_LENGTH, length.parse().unwrap());
        headers.insert(CONTENT_TYPE, "video/mp4".parse().unwrap());
        Head::read(&headers)
    }

    fn judge(range: &str, length: &str, received: u64, set: &[&str]) -> Judgement {
        let mut settings = Settings::default();
        for pair in set {
            settings.set_pair(pair).unwrap();
        }
        let progress = Progress {
            plan: PLAN,
            received,
        };
        judge_put(&head(range, length), &progress, &settings)
    }

    fn status(judgement: &Judgement) -> u16 {
        match judgement {
            Judgement::Take { .. } => 200,
            Judgement::Again { status, .. } | Judgement::Refuse { status, .. } => *status,
        }
    }

    #[test]
    fn a_range_that_is_not_the_next_chunk_is_never_taken() {
        let rows = [
            ("bytes 0-9999999/50000123", "10000000", 0, 200),
            (
                "bytes 40000000-50000122/50000123",
                "10000123",
                40_000_000,
                200,
            ),
            ("bytes 10000000-19999999/50000123", "10000000", 0, 416),
            ("bytes 0-9999999/50000123", "10000000", 10_000_000, 416),
            ("bytes 0-19999999/50000123", "20000000", 0, 400),
            ("bytes 0-4999999/50000123", "5000000", 0, 400),
            (
                "bytes 40000000-49999999/50000123",
                "10000000",
                40_000_000,
                400,
            ),
            ("bytes 0-9999999/50000124", "10000000", 0, 400),
            ("bytes 9-0/50000123", "10000000", 0, 400),
            (
                "bytes 40000000-50000123/50000123",
                "10000124",
                40_000_000,
                400,
            ),
            ("bytes 0-9999999/*", "10000000", 0, 400),
            ("bytes=0-9999999/50000123", "10000000", 0, 400),
            ("bytes +0-9999999/50000123", "10000000", 0, 400),
            ("0-9999999/50000123", "10000000", 0, 400),
            ("bytes 0-9999999/50000123", "9999999", 0, 400),
            ("bytes 0-9999999/50000123", "10000001", 0, 400),
            ("bytes 18446744073709551615-9/50000123", "10", 0, 400),
        ];
        for (range, length, received, expected) in rows {
            let judgement = judge(range, length, received, &[]);
            assert_eq!(
                status(&judgement),
                expected,
                "{range} {length} {judgement:?}"
            );
        }
    }

    #[test]
    fn the_switches_decide_what_nobody_knows() {
        let first = ("bytes 0-9999999/50000123", "10000000");
        let last = ("bytes 40000000-50000122/50000123", "10000123");
        let rest = ("bytes 3000000-9999999/50000123", "7000000");
        let long = ("bytes 0-9999999/50000123", "10000001");
        let rows = [
            (first, 10_000_000, "replay=206", 206),
            (last, 50_000_123, "replay_last=416", 416),
            (last, 50_000_123, "replay_last=201", 201),
            (last, 50_000_123, "replay_last=404", 404),
            (first, 50_000_123, "replay=416", 416),
            (rest, 3_000_000, "mid_chunk_put=refuse", 416),
            (rest, 3_000_000, "mid_chunk_put=accept", 200),
            (long, 0, "bad_body_status=502", 502),
        ];
        for ((range, length), received, set, expected) in rows {
            let judgement = judge(range, length, received, &[set]);
            assert_eq!(status(&judgement), expected, "{set} {range}");
        }
    }

    fn settings(set: &[&str]) -> Settings {
        let mut settings = Settings::default();
        for pair in set {
            settings.set_pair(pair).unwrap();
        }
        settings
    }

    #[test]
    fn a_body_that_was_taken_earlier_is_told_from_the_last_one_and_measured() {
        let last = ("bytes 40000000-50000122/50000123", "10000123");
        let fourth = ("bytes 30000000-39999999/50000123", "10000000");
        let set = ["replay=206", "replay_last=404"];
        let again = Judgement::Again {
            status: 206,
            length: 10_000_000,
        };
        assert_eq!(judge(fourth.0, fourth.1, 40_000_000, &set), again);
        assert_eq!(judge(fourth.0, fourth.1, 50_000_123, &set), again);
        assert_eq!(status(&judge(last.0, last.1, 50_000_123, &set)), 404);
        assert_eq!(
            judge(last.0, last.1, 50_000_123, &["replay_last=201"]),
            Judgement::Again {
                status: 201,
                length: 10_000_123
            }
        );
        assert_eq!(
            judge(last.0, last.1, 40_000_000, &set),
            Judgement::Take {
                first: 40_000_000,
                end: 50_000_123
            }
        );
    }

    /// The first chunk, with these headers in place of its own; an empty one is left out.
    fn judge_with(headers: &[(hyper::header::HeaderName, &str)], set: &[&str]) -> u16 {
        let mut all = HeaderMap::new();
        all.insert(CONTENT_RANGE, "bytes 0-9999999/50000123".parse().unwrap());
        all.insert(CONTENT_LENGTH, "10000000".parse().unwrap());
        all.insert(CONTENT_TYPE, "video/mp4".parse().unwrap());
        for (name, value) in headers {
            match value.is_empty() {
                true => drop(all.remove(name)),
                false => drop(all.insert(name, value.parse().unwrap())),
            }
        }
        let progress = Progress {
            plan: PLAN,
            received: 0,
        };
        status(&judge_put(&Head::read(&all), &progress, &settings(set)))
    }

    #[test]
    fn each_header_is_missed_and_a_wrong_one_is_refused() {
        let rows: [(&[_], &[&str], u16); 19] = [
            (&[], &[], 200),
            (&[(CONTENT_RANGE, "")], &[], 416),
            (&[(CONTENT_LENGTH, "")], &[], 400),
            (&[(CONTENT_TYPE, "")], &[], 400),
            (&[(CONTENT_TYPE, "application/octet-stream")], &[], 400),
            (&[(CONTENT_TYPE, "Video/QuickTime")], &[], 200),
            (
                &[(CONTENT_TYPE, "video/mp4; codecs=\"avc1, mp4a\"")],
                &[],
                200,
            ),
            (&[(CONTENT_TYPE, "text/plain; video/mp4")], &[], 400),
            (&[(CONTENT_TYPE, "")], &["put_content_type=415"], 415),
            (&[(CONTENT_TYPE, "")], &["put_content_type=accept"], 200),
            (
                &[(CONTENT_TYPE, "text/plain")],
                &["put_content_type=accept"],
                200,
            ),
            (
                &[(CONTENT_TYPE, "video/webm;x=y")],
                &["put_content_type=415"],
                200,
            ),
            (&[(TRANSFER_ENCODING, "chunked")], &[], 400),
            (
                &[(TRANSFER_ENCODING, "chunked"), (CONTENT_LENGTH, "")],
                &["chunked_encoding=accept"],
                200,
            ),
            (&[(EXPECT, "100-continue")], &[], 200),
            (&[(EXPECT, "100-continue")], &["expect=417"], 417),
            (&[], &["expect=417"], 200),
            (
                &[
                    (EXPECT, "100-continue"),
                    (CONTENT_RANGE, "bytes 10000000-19999999/50000123"),
                ],
                &["expect=417"],
                416,
            ),
            (&[(CONTENT_RANGE, "bytes -9999999/50000123")], &[], 400),
        ];
        for (headers, set, expected) in rows {
            assert_eq!(judge_with(headers, set), expected, "{headers:?} {set:?}");
        }
    }

    #[test]
    fn a_file_of_one_byte_has_a_range_that_is_not_empty() {
        let plan = Plan {
            video_size: 1,
            chunk_size: 1,
            total_chunk_count: 1,
        };
        let progress = Progress { plan, received: 0 };
        let taken = judge_put(&head("bytes 0-0/1", "1"), &progress, &Settings::default());
        assert_eq!(taken, Judgement::Take { first: 0, end: 1 });
    }

    #[test]
    fn what_is_shown_of_a_put_is_what_it_said() {
        let head = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, "bytes 3-9/10".parse().unwrap());
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
            Head::read(&headers)
        };
        let (first, last, total) = (3, 9, 10);
        assert_eq!(
            head("video/mp4").range(),
            Some(Range { first, last, total })
        );
        assert!(head("video/mp4").bearer && !Head::read(&HeaderMap::new()).bearer);
        for (kind, ending) in [
            ("video/mp4", "mp4"),
            ("video/quicktime", "mov"),
            ("video/webm", "webm"),
            ("video/webm; codecs=vp9", "webm"),
            ("text/plain", "mp4"),
        ] {
            assert_eq!(head(kind).extension(), ending);
        }
    }
}
