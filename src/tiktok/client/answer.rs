//! The answer to a request, or why there is none.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::text;
use crate::answer::Failure;
use crate::error::cause::{innermost, is_untrusted};
use crate::tiktok::answers;

/// Longest body that is read, in bytes; the service's have a few hundred.
const LONGEST: usize = 64 * 1024;

/// The body of an answer, as far as it arrived.
pub(super) struct Arrived {
    pub(super) body: Vec<u8>,
    /// Why the body ended early. It may be complete all the same, as some servers close a connection without notice.
    pub(super) broke_off: Option<Failure>,
}

pub(super) async fn drain(mut answer: reqwest::Response) -> Arrived {
    let mut body = Vec::new();
    let broke_off = loop {
        match answer.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() <= LONGEST => {
                body.extend_from_slice(&piece)
            }
            Ok(_) => break None,
            Err(error) => break Some(unanswered(error)),
        }
    };
    Arrived { body, broke_off }
}

impl Arrived {
    /// Decompresses a body that a gateway has compressed although no request asks for it.
    pub(super) fn decoded(mut self, headers: &HeaderMap) -> Self {
        let encoding = text(headers, &CONTENT_ENCODING).unwrap_or_default();
        if matches!(
            encoding.trim().to_ascii_lowercase().as_str(),
            "gzip" | "x-gzip"
        ) {
            let mut decoded = Vec::new();
            let decoder = MultiGzDecoder::new(&*self.body);
            let read = decoder.take(LONGEST as u64).read_to_end(&mut decoded);
            // The header may claim a compression that the body does not have.
            if read.is_ok() || !decoded.is_empty() {
                self.body = decoded;
            }
        }
        self
    }
}

/// The message of a tunnel whose proxy wants authentication.
const PROXY_ASKS: &str = "proxy authorization required";

/// The failure for a request without an answer: whether it can have arrived. The text is the innermost cause, which has
/// no URL.
pub(super) fn unanswered(error: reqwest::Error) -> Failure {
    let connect = error.is_connect() || error.is_builder();
    let text = innermost(&error.without_url());
    if connect && is_untrusted(&text) {
        Failure::Untrusted(text)
    } else if connect && text.ends_with(PROXY_ASKS) {
        Failure::Refused(answers::without_words(407))
    } else if connect {
        Failure::NotSent(text)
    } else {
        Failure::Lost(text)
    }
}
