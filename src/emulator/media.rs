//! Serves received files: `GET /_emulator/media/PUBLISH_ID/N`, in ranges on request.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, RANGE};
use hyper::http::request::Parts;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::answer::{empty_answer, text_answer};
use super::control::concerned;
use super::creator::bearer;
use super::service::Service;
use super::session::Kept;
use super::shared::Shared;
use super::storage::StoredFile;

const PIECE: u64 = 64 << 10;

/// A part of a kept file.
struct Medium {
    path: PathBuf,
    ending: &'static str,
    first: u64,
    end: u64,
    /// Keeps the file while it is being sent.
    _place: StoredFile,
}

/// Answers with one file; `None` if there is none, or no longer.
pub(crate) async fn answer(shared: &Arc<Shared>, parts: &Parts) -> Option<Response> {
    let path = parts.uri.path().strip_prefix("/_emulator/media/")?;
    let (publish_id, index) = path.split_once('/')?;
    let medium = {
        let owner = concerned(bearer(&parts.headers), "");
        let service = shared.service();
        service.medium(publish_id, index.parse().ok()?, owner.as_deref())?
    };
    let mut file = File::open(&medium.path).await.ok()?;
    let size = medium.end - medium.first;
    let asked = parts
        .headers
        .get(RANGE)
        .and_then(|range| range.to_str().ok());
    let (status, first, end) = match asked.map(|range| part(range, size)) {
        None | Some(Part::All) => (200, 0, size),
        Some(Part::Of(first, end)) => (206, first, end),
        Some(Part::None) => {
            let mut response = empty_answer(416);
            set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return Some(response);
        }
    };
    file.seek(SeekFrom::Start(medium.first)).await.ok()?;
    let kind = kind(&mut file, medium.ending).await;
    file.seek(SeekFrom::Start(medium.first + first))
        .await
        .ok()?;
    let mut response = text_answer(status, kind, stream_of(file, medium, end - first));
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CONTENT_LENGTH, &(end - first).to_string());
    if status == 206 {
        let range = format!("bytes {first}-{}/{size}", end - 1);
        set(&mut response, CONTENT_RANGE, &range);
    }
    let headers = response.headers_mut();
    // A client chose these bytes: they must not act as a page, nor appear on pages of other sites.
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    Some(response)
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

enum Part {
    All,
    Of(u64, u64),
    /// The range lies outside the file.
    None,
}

/// Reads one range; several ranges, or an unreadable one, mean the whole file (RFC 9110, 14.2).
fn part(range: &str, size: u64) -> Part {
    let read = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let bounds = match read.map(|(first, last)| (first.parse::<u64>(), last, last.parse::<u64>())) {
        Some((Ok(first), "", _)) => Some((first, size)),
        Some((Ok(first), _, Ok(last))) if first <= last => {
            Some((first, size.min(last.saturating_add(1))))
        }
        // A suffix: the last bytes of the file.
        Some((Err(_), _, Ok(last))) if range.starts_with("bytes=-") => {
            Some((size.saturating_sub(last), size))
        }
        _ => None,
    };
    match bounds {
        None => Part::All,
        Some((first, end)) if first < end => Part::Of(first, end),
        Some(_) => Part::None,
    }
}

/// The Content-Type to serve; photos are recognised by their first bytes.
async fn kind(file: &mut File, ending: &str) -> &'static str {
    match ending {
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "photos" => {
            let mut start = [0; 12];
            // A file shorter than that is not a photo.
            let _ = file.read_exact(&mut start).await;
            match &start {
                [0xff, 0xd8, ..] => "image/jpeg",
                [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => "image/webp",
                _ => "application/octet-stream",
            }
        }
        _ => "video/mp4",
    }
}

fn stream_of(file: File, medium: Medium, length: u64) -> Body {
    let start = (file, medium, length);
    Body::from_stream(stream::try_unfold(
        start,
        |(mut file, medium, left)| async move {
            if left == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            let mut piece = vec![0; left.min(PIECE) as usize];
            file.read_exact(&mut piece).await?;
            let left = left - piece.len() as u64;
            Ok(Some((Bytes::from(piece), (file, medium, left))))
        },
    ))
}

impl Service {
    /// `owner`: only an upload of this creator.
    fn medium(&self, publish_id: &str, index: usize, owner: Option<&str>) -> Option<Medium> {
        let number = self.by_publish_id(publish_id)?;
        let session = self.sessions.get(&number)?;
        let session = Some(session).filter(|session| session.is_of(owner))?;
        let Kept::At(place) = &session.kept else {
            return None;
        };
        let (path, ending) = place.whole()?;
        let whole = [session.received];
        let ends = match session.ends.is_empty() {
            true => &whole[..],
            false => &session.ends,
        };
        let end = *ends.get(index)?;
        let first = index.checked_sub(1).map_or(0, |before| ends[before]);
        Some(Medium {
            path,
            ending,
            first,
            end,
            _place: place.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_gets_the_bytes_it_asks_for_and_none_beyond_the_end() {
        let of = |range| match part(range, 1000) {
            Part::All => None,
            Part::Of(first, end) => Some((first, end)),
            Part::None => Some((0, 0)),
        };
        assert_eq!(of("bytes=0-"), Some((0, 1000)));
        assert_eq!(of("bytes=0-0"), Some((0, 1)));
        assert_eq!(of("bytes=990-5000"), Some((990, 1000)));
        assert_eq!(of("bytes=-10"), Some((990, 1000)));
        assert_eq!(of("bytes=-5000"), Some((0, 1000)));
        assert_eq!(of("bytes=999-18446744073709551615"), Some((999, 1000)));
        for outside in ["bytes=1000-", "bytes=1000-1001", "bytes=-0"] {
            assert_eq!(of(outside), Some((0, 0)), "{outside}");
        }
        for odd in [
            "bytes=",
            "bytes=-",
            "bytes=5-1",
            "lines=0-1",
            "bytes=0-1,5-6",
            "bytes=a-b",
        ] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
