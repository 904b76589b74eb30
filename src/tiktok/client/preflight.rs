//! The preflight of a URL that the service is to fetch. It carries no bearer token.

use reqwest::Method;
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RANGE,
};
use serde_json::json;

use super::log::Seen;
use super::{Client, text, unanswered};
use crate::answer::{Call, Failure};
use crate::tiktok::preflight::{Look, Remote};

/// Bytes of a URL's content that are read to recognise its format.
const FIRST_BYTES: usize = 512;

impl Client {
    /// Asks the URL's host for its headers or, if `closer`, for the first bytes.
    pub(crate) async fn look(&self, remote: &Remote, closer: bool) -> Result<Look, Failure> {
        self.redactor.learn_query(&remote.secret());
        let method = if closer { Method::GET } else { Method::HEAD };
        let mut request = self.http.request(method.clone(), remote.url().clone());
        if closer {
            request = request.header(RANGE, format!("bytes=0-{}", FIRST_BYTES - 1));
        }
        let asked = self.counters.ask(Call::Look);
        let exchange = async {
            let mut answer = request
                .send()
                .await
                .map_err(|error| self.unanswered(error))?;
            let mut look = Look {
                http_status: answer.status().as_u16(),
                location: self.told(answer.headers(), &LOCATION),
                content_type: self.told(answer.headers(), &CONTENT_TYPE),
                size: whole_size(answer.headers()),
                start: None,
            };
            if closer {
                let mut start = Vec::new();
                while start.len() < FIRST_BYTES
                    && let Some(piece) = answer.chunk().await.map_err(unanswered)?
                {
                    start.extend_from_slice(&piece[..piece.len().min(FIRST_BYTES)]);
                }
                look.start = Some(start);
            }
            Ok((answer.headers().clone(), look))
        };
        let looked = tokio::time::timeout(self.waits.call, exchange).await;
        let looked = looked.unwrap_or_else(|_| {
            let seconds = self.waits.call.as_secs();
            Err(Failure::Lost(format!("none within {seconds} s")))
        });
        let (answer, result) = match looked {
            // Bytes of the video are not logged.
            Ok((headers, look)) => {
                let seen = Seen::new(look.http_status, headers, Vec::new());
                (Some(seen), Ok(look))
            }
            Err(error) => (None, Err(error)),
        };
        let host = remote.url().host_str().unwrap_or_default();
        let request = json!({ "method": method.as_str(), "url": remote.shown() });
        self.log(Call::Look, host, request, answer.as_ref(), asked, &result);
        result
    }

    /// A header without secrets.
    fn told(&self, headers: &HeaderMap, name: &HeaderName) -> Option<String> {
        Some(self.redactor.redact(&text(headers, name)?))
    }
}

/// Size of the whole content, of which the answer is all or a part.
fn whole_size(headers: &HeaderMap) -> Option<u64> {
    match text(headers, &CONTENT_RANGE) {
        Some(range) => range.rsplit_once('/')?.1.trim().parse().ok(),
        None => text(headers, &CONTENT_LENGTH)?.trim().parse().ok(),
    }
}
