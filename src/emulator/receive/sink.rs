//! Chunks in sink mode: judged and counted like any other, but never read.

use std::io;
use std::sync::Arc;

use axum::response::Response;
use hyper::http::request::Parts;

use super::{Put, dead, readable, success};
use crate::answer::{closing, put_answer};
use crate::reply::Reply;
use crate::rules::{Head, Judgement};
use crate::settings::PutRefusal;
use crate::shared::Shared;

/// Handles a PUT; `swallow` discards so many bytes of its body.
pub(crate) fn take_chunk(
    shared: &Arc<Shared>,
    parts: &Parts,
    swallow: impl FnOnce(u64) -> io::Result<()>,
) -> io::Result<Response> {
    let (put, request) = Put::enter(shared, parts);
    let settings = match &put {
        Some(put) => Arc::clone(&put.settings),
        None => shared.service().settings(None),
    };
    let answered = match put {
        Some(put) => put.swallow(swallow),
        None => {
            let response = put_answer(dead(404, &settings), None, &settings);
            match settings.put_refusal {
                PutRefusal::Early => Ok(closing(response)),
                PutRefusal::AfterBody => {
                    let length = Head::read(&parts.headers).length();
                    swallow(length.unwrap_or(0)).map(|()| response)
                }
            }
        }
    };
    let status = answered
        .as_ref()
        .ok()
        .map(|answer| answer.status().as_u16());
    shared.service().traffic.end(request, status);
    answered.map(|response| readable(response, &settings))
}

impl Put {
    fn swallow(self, swallow: impl FnOnce(u64) -> io::Result<()>) -> io::Result<Response> {
        // Whether the body was left unread, so that no request can follow it.
        let mut unread = false;
        let (status, why) = match self.judge() {
            Judgement::Refuse { status, why } => {
                unread = self.settings.put_refusal == PutRefusal::Early;
                if !unread {
                    swallow(self.head.length().unwrap_or(0))?;
                }
                (status, Some(why))
            }
            Judgement::Again { status, length } => {
                swallow(length)?;
                (status, None)
            }
            Judgement::Take { first, end } => match self.want(first, end) {
                None => {
                    unread = true;
                    let why = "the upload is gone".to_owned();
                    (dead(404, &self.settings), Some(why))
                }
                Some(mut wanted) => {
                    swallow(end - first)?;
                    wanted.hasher = None;
                    self.note(|put| put.bytes = end - first);
                    match self.count(&mut wanted) {
                        Ok(complete) => (success(complete, &self.settings), None),
                        Err((status, why)) => (status, Some(why)),
                    }
                }
            },
        };
        let response = match self.answer(self.respond(status), why) {
            Reply::Answer(response) => response,
            Reply::Reset | Reply::Silence => put_answer(status, None, &self.settings),
        };
        Ok(if unread { closing(response) } else { response })
    }
}
