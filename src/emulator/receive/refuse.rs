//! Refuses chunks, before or after their bodies (O-28).

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http_body_util::BodyExt;

use super::Put;
use super::body::Ending;
use super::url::dead;
use crate::answer::{closing, put_answer};
use crate::reply::Reply;
use crate::settings::{PutRefusal, Settings};

/// Refuses a PUT to a URL without an upload.
pub(super) async fn refuse_unknown(body: Body, settings: &Settings) -> Reply {
    let response = put_answer(dead(404, settings), None, settings);
    match settings.put_refusal {
        PutRefusal::Early => Reply::Answer(closing(response)),
        PutRefusal::AfterBody => match read_away(body, settings.body_timeout).await {
            Ending::Whole => Reply::Answer(response),
            Ending::Broken => Reply::Reset,
            _ => Reply::Answer(closing(response)),
        },
    }
}

impl Put {
    /// Refuses a PUT by its headers, before or after its body; `answer` is made at that time, with the progress then.
    pub(super) async fn refuse(
        self,
        body: Body,
        status: u16,
        why: Option<String>,
        answer: impl FnOnce(&Self) -> Response,
    ) -> Reply {
        // A client that waits for 100 Continue is answered before it sends the body.
        if self.settings.put_refusal == PutRefusal::Early || status == 417 {
            return self.answer(closing(answer(&self)), why);
        }
        let ending = match self.head.length() {
            Some(length) => self.discard(body, length).await,
            None => read_away(body, self.settings.body_timeout).await,
        };
        match ending {
            Ending::Whole => self.answer(answer(&self), why),
            Ending::Broken | Ending::Cut | Ending::Stalled => self.end_badly(ending, None),
            Ending::Short | Ending::Long | Ending::NotKept(_) => {
                self.answer(closing(answer(&self)), why)
            }
        }
    }
}

/// Reads and drops a body of any length until it is complete, broken off, or stalled.
async fn read_away(mut body: Body, patience: Duration) -> Ending {
    loop {
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => return Ending::Short,
            Ok(Some(Err(_))) => return Ending::Broken,
            Ok(None) => return Ending::Whole,
            Ok(Some(Ok(_))) => {}
        }
    }
}
