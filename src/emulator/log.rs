//! The log: everything that the server saw, and the results, as plain values.
//!
//! Nothing in it names a token or an upload URL, so a log can be attached to a bug report or shown on a page.

use serde::{Deserialize, Serialize};

/// Everything that the server saw since its start or reset; the JSON of `GET /_emulator/log`.
///
/// New fields may be added; existing ones stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Log {
    /// Number of requests by kind, refused ones included.
    pub requests: Requests,
    /// Number of accepted inits.
    pub inits: u64,
    /// Connections that carried calls or chunks, of all creators.
    #[serde(default)]
    pub connections: u64,
    /// Number of drafts that reached an inbox.
    pub drafts: u64,
    /// Number of uploads, of all creators, that are no longer in `sessions`, which holds the last 10,000 (fewer if they
    /// had more than 200,000 PUTs). They still count in `inits` and `drafts`, unless the log is one creator's.
    #[serde(default)]
    pub forgotten: u64,
    /// The last uploads, in the order of their inits.
    pub sessions: Vec<SessionLog>,
    /// The last 10,000 faults that fired.
    pub faults: Vec<FaultLog>,
    /// Explanations of refusals: the last 10,000 remarks.
    pub notes: Vec<NoteLog>,
    /// The last 10,000 attempts to deliver a webhook.
    pub webhooks: Vec<WebhookLog>,
    /// The last 200 requests of any kind.
    pub recent: Vec<RequestLog>,
}

/// Requests by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requests {
    /// Inits of every kind.
    pub init: u64,
    /// Chunks.
    pub put: u64,
    /// Status calls.
    pub status: u64,
    /// Calls of the token endpoint: codes and refresh tokens for tokens.
    #[serde(default)]
    pub token: u64,
    /// All other requests, also of unknown paths; the server's own `/_emulator` is left out.
    pub other: u64,
}

impl Requests {
    pub(crate) fn plus(self, more: &Self) -> Self {
        Self {
            init: self.init + more.init,
            put: self.put + more.put,
            status: self.status + more.status,
            token: self.token + more.token,
            other: self.other + more.other,
        }
    }
}

/// One upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionLog {
    /// The `publish_id` in the answer to the init.
    pub publish_id: String,
    /// The init it came from: `inbox_init`, `direct_init` or `photo_init`.
    pub endpoint: String,
    /// The creator; a token without a name shows as `token-` and a short hash.
    pub creator: String,
    /// The plan's size in bytes; null for a pull.
    pub video_size: Option<u64>,
    /// The plan's chunk size in bytes; null for a pull.
    pub chunk_size: Option<u64>,
    /// The plan's number of chunks; null for a pull.
    pub total_chunk_count: Option<u64>,
    /// Accepted bytes.
    pub received: u64,
    /// SHA-256 of the received bytes in hex; null until all have arrived.
    pub sha256: Option<String>,
    /// The answer that a status call would get now.
    pub status: String,
    /// Why the upload failed, if it did.
    pub fail_reason: Option<String>,
    /// The stored caption, if any.
    pub title: Option<String>,
    /// The stored description, if any; only photos have one.
    pub description: Option<String>,
    /// True while a draft waits in the inbox for its creator to post or discard it.
    pub waiting: bool,
    /// True if the creator discarded the draft; no status is documented for that.
    pub discarded: bool,
    /// The id of the public post, if there is one.
    pub post_id: Option<u64>,
    /// Paths of this server that show the received files: one for a video, one for each photo.
    pub media: Vec<String>,
    /// Why a complete upload has no file to show.
    pub not_kept: Option<String>,
    /// True if no client knows the upload: its init was lost or refused.
    pub orphan: bool,
    /// Unix seconds of the init, in the server's time.
    pub issued_at: u64,
    /// Unix seconds when its upload URL expires, in the server's time.
    pub expires_at: u64,
    /// Unix seconds when its last byte arrived, in the server's time.
    pub completed_at: Option<u64>,
    /// The last 2,000 PUTs, in the order of arrival.
    pub puts: Vec<PutLog>,
}

impl SessionLog {
    /// Bytes of its ranges that were accepted before and came again. A client that loses no answer and resumes well sends
    /// none.
    #[must_use]
    pub fn sent_again(&self) -> u64 {
        let (mut accepted, mut again) = (0, 0);
        for put in &self.puts {
            let (Some(first), Some(last)) = (put.first, put.last) else {
                continue;
            };
            again += accepted.min(last + 1).saturating_sub(first);
            if put.http_status.is_some_and(|status| status < 300) {
                accepted = accepted.max(last + 1);
            }
        }
        again
    }
}

/// One PUT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PutLog {
    /// First byte of its range; null if the header could not be read.
    pub first: Option<u64>,
    /// Last byte of its range; null if the header could not be read.
    pub last: Option<u64>,
    /// Status of the answer; null if it ended without one or is still in progress.
    pub http_status: Option<u16>,
    /// Whether it is still in progress.
    pub open: bool,
    /// Body bytes read.
    pub bytes: u64,
    /// When its head arrived, in microseconds since this server started.
    #[serde(default)]
    pub began_us: u64,
    /// When it was answered, on the same clock.
    #[serde(default)]
    pub answered_us: Option<u64>,
    /// Why it was refused.
    pub why: Option<String>,
    /// The fault that hit it.
    pub fault: Option<String>,
}

/// One fault that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaultLog {
    /// Unix seconds, in the server's time.
    pub at: u64,
    /// The request it hit.
    pub endpoint: String,
    /// The creator, as in [`SessionLog::creator`].
    pub creator: Option<String>,
    /// The upload it hit, if the request belonged to one.
    pub publish_id: Option<String>,
    /// The chunk it hit, counted from 0.
    pub chunk: Option<u64>,
    /// The script, or its first 200 characters.
    pub fault: String,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoteLog {
    /// Unix seconds, in the server's time.
    pub at: u64,
    /// The kind of request.
    pub endpoint: String,
    /// The creator, as in [`SessionLog::creator`].
    pub creator: String,
    /// The remark.
    pub text: String,
}

/// One attempt to deliver a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WebhookLog {
    /// Unix seconds, in the server's time.
    pub at: u64,
    /// The event.
    pub event: String,
    /// The creator, as in [`SessionLog::creator`].
    pub creator: String,
    /// The receiver's host; the rest of the URL may be secret.
    pub host: String,
    /// Number of this attempt at the message, from 1.
    pub attempt: u64,
    /// The upload of the event, if any.
    pub publish_id: Option<String>,
    /// Status of the receiver's answer; null without one.
    pub http_status: Option<u16>,
    /// Why there was no answer.
    #[serde(default)]
    pub why: Option<String>,
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestLog {
    /// Number of the request since the start.
    pub number: u64,
    /// Unix seconds, in the server's time.
    pub at: u64,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// The client's name for itself (`User-Agent`).
    pub client: Option<String>,
    /// The creator, as in [`SessionLog::creator`].
    pub creator: Option<String>,
    /// The upload of the request, if any.
    pub publish_id: Option<String>,
    /// Index of the chunk, from 0.
    pub chunk: Option<u64>,
    /// Status of the answer; null if it ended without one or is still in progress.
    pub http_status: Option<u16>,
    /// Whether it is still in progress.
    pub open: bool,
    /// The fault that hit it.
    pub fault: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(puts: &[(Option<u64>, Option<u64>, Option<u16>)]) -> SessionLog {
        let puts: Vec<_> = puts
            .iter()
            .map(|(first, last, http_status)| PutLog {
                first: *first,
                last: *last,
                http_status: *http_status,
                ..PutLog::default()
            })
            .collect();
        let whole = serde_json::json!({
            "publish_id": "", "endpoint": "", "creator": "", "received": 0, "status": "", "waiting": false,
            "discarded": false, "media": [], "orphan": false, "issued_at": 0, "expires_at": 0, "puts": puts,
        });
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn only_bytes_that_were_accepted_before_were_sent_again() {
        let put = |first, last, status| (Some(first), Some(last), Some(status));
        for (puts, again) in [
            (&[][..], 0),
            (&[put(0, 9, 206), put(10, 19, 201)], 0),
            // The first try was refused, and that of the second chunk got no answer.
            (&[put(0, 9, 503), put(0, 9, 206)], 0),
            (
                &[put(0, 9, 206), (Some(10), Some(19), None), put(10, 19, 201)],
                0,
            ),
            (&[put(0, 9, 206), put(0, 9, 416), put(10, 19, 201)], 10),
            (&[put(0, 9, 206), put(5, 14, 206), put(15, 19, 201)], 5),
            (&[put(0, 19, 201), put(10, 19, 416), put(10, 19, 416)], 20),
            // A range that could not be read.
            (
                &[put(0, 9, 206), (None, None, Some(400)), put(10, 19, 201)],
                0,
            ),
        ] {
            assert_eq!(session(puts).sent_again(), again, "{puts:?}");
        }
    }
}
