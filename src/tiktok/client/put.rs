//! Sends one chunk.

use std::time::Duration;

use futures::Stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap};
use serde_json::json;

use super::log::Seen;
use super::{Client, drain, retry_after, text};
use crate::answer::{Call, Failure, Put};
use crate::failpoint::reach;
use crate::secret::Secret;
use crate::source::Piece;
use crate::tiktok::body::Body;
use crate::tiktok::meter::Meter;
use crate::tiktok::{answers, json};
use crate::upload::plan::Chunk;
use crate::upload::retry::Waits;

impl Client {
    /// Sends one chunk. Ends with an answer, or once the socket took no byte, or no answer came, for too long.
    ///
    /// No bearer token: the upload URL is the credential. Source: Media Transfer Guide.
    pub(crate) async fn put<S>(
        &self,
        upload_url: &Secret,
        content_type: &str,
        chunk: Chunk,
        body: Body<S>,
    ) -> Result<Put, Failure>
    where
        S: Stream<Item = std::io::Result<Piece>> + Send + Sync + Unpin + 'static,
    {
        let url = self.check_host(upload_url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let meter = body.meter();
        let asked = self.counters.ask(Call::Put);
        let exchange = async {
            let answer = self
                .http
                .put(url)
                .header(CONTENT_TYPE, content_type)
                .header(CONTENT_LENGTH, chunk.size())
                .header(CONTENT_RANGE, chunk.content_range())
                .body(reqwest::Body::wrap(body))
                .send()
                .await
                .map_err(|error| self.unanswered(error))?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            // The connection can serve the next chunk only if this answer was read to its end; the task that owns the
            // connection needs one turn to notice.
            let body = drain(answer).await.decoded(&headers).body;
            tokio::task::yield_now().await;
            Ok((status, headers, body))
        };
        let answered = tokio::select! {
            answered = exchange => answered,
            dead = watch(&meter, self.waits, chunk.size()) => Err(Failure::Lost(dead)),
        };
        let (answer, result) = match answered {
            Ok((status, headers, body)) => {
                let result = self.put_answered(status, &headers, chunk, &meter);
                (Some(Seen::new(status, headers, body)), result)
            }
            Err(error) => (None, Err(meter.take_fault().map_or(error, Failure::Source))),
        };
        let request =
            json!({ "content_range": chunk.content_range(), "content_type": content_type });
        self.log(Call::Put, &host, request, answer.as_ref(), asked, &result);
        result
    }

    fn put_answered(
        &self,
        http_status: u16,
        headers: &HeaderMap,
        chunk: Chunk,
        meter: &Meter,
    ) -> Result<Put, Failure> {
        match http_status {
            200..300 if !meter.is_all_taken() => Err(Failure::Lost(
                "success was claimed before all bytes were sent".into(),
            )),
            400 if meter.longest_read() >= self.waits.body_stall => {
                let seconds = meter.longest_read().as_secs();
                Err(Failure::Lost(format!(
                    "it was refused after the video could not be read on for {seconds} s"
                )))
            }
            400 if meter.longest_gap() >= self.waits.body_stall => Err(Failure::Lost(
                "it was refused after the line had stood still".into(),
            )),
            _ => {
                let range = text(headers, &CONTENT_RANGE);
                let progress = range.and_then(|range| json::progress(&range, chunk.video_size()));
                answers::put(http_status, progress, retry_after(headers), chunk.is_last())
            }
        }
    }
}

/// Ends once the peer counts as dead; returns why.
async fn watch(meter: &Meter, waits: Waits, len: u64) -> String {
    loop {
        let all_taken = meter.is_all_taken();
        let allowed = if all_taken {
            reach("answer", "awaited");
            waits.answer_to(len)
        } else {
            waits.stall
        };
        let idle = meter.idle();
        if idle >= allowed {
            let what = if all_taken {
                "after the last byte"
            } else {
                "while sending"
            };
            let seconds = idle.as_secs();
            return match meter.longest_read() >= allowed {
                true => format!("the video could not be read on for {seconds} s"),
                false => format!("the connection stood still for {seconds} s {what}"),
            };
        }
        tokio::time::sleep((allowed - idle).min(Duration::from_secs(1))).await;
    }
}
