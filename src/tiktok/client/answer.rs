//! What arrives for a request, or why nothing did.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::{innermost, text};
use crate::answer::Failure;
use crate::tiktok::answers;

/// Longest body that is read, in bytes; the service's have a few hundred.
const LONGEST: usize = 64 * 1024;

/// The body of an answer, as far as it came.
pub(super) struct Arrived {
    pub(super) body: Vec<u8>,
    /// Why it did not come to its end: what is there may be whole all the same, as some servers end a connection without
    /// saying so.
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
    /// Takes off the compression that some gateways apply though no request asks for it.
    pub(super) fn decoded(mut self, headers: &HeaderMap) -> Self {
        let encoding = text(headers, &CONTENT_ENCODING).unwrap_or_default();
        if matches!(
            encoding.trim().to_ascii_lowercase().as_str(),
            "gzip" | "x-gzip"
        ) {
            let mut decoded = Vec::new();
            let decoder = MultiGzDecoder::new(&*self.body);
            let read = decoder.take(LONGEST as u64).read_to_end(&mut decoded);
            // It may be called compressed and be in the clear.
            if read.is_ok() || !decoded.is_empty() {
                self.body = decoded;
            }
        }
        self
    }
}

/// How rustls begins to say that it does not trust a certificate.
const UNTRUSTED: &str = "invalid peer certificate";

/// How a tunnel through a proxy ends that wants to know who asks.
const PROXY_ASKS: &str = "proxy authorization required";

/// Whether the request can have reached anybody. The text is the innermost cause, which holds no URL.
pub(super) fn unanswered(error: reqwest::Error) -> Failure {
    let connect = error.is_connect() || error.is_builder();
    let text = innermost(&error.without_url());
    if connect && text.starts_with(UNTRUSTED) {
        Failure::Untrusted(text)
    } else if connect && text.ends_with(PROXY_ASKS) {
        Failure::Refused(answers::without_words(407))
    } else if connect {
        Failure::NotSent(text)
    } else {
        Failure::Lost(text)
    }
}
