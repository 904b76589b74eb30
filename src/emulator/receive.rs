//! Receives chunks: judges their headers, hashes their bytes, and counts them once they are complete.

mod body;
mod cors;
mod refuse;
mod sink;
mod url;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hyper::http::request::Parts;

use super::answer::{closing, put_answer};
use super::canned;
use super::faults::{Action, Strike};
use super::log::PutLog;
use super::reply::Reply;
use super::retention::UploadWriter;
use super::rules::{Head, Judgement, judge_put};
use super::service::Service;
use super::settings::{BadBodyStatus, CutChunk, LastStatus, MiddleStatus, Settings};
use super::shared::Shared;
use body::{Ending, Wanted};
pub(crate) use cors::other;
use cors::readable;
use refuse::refuse_unknown;
pub(crate) use sink::take_chunk;
use url::{dead, find, gone, refuse_dead};

/// One PUT to a known upload.
struct Put {
    shared: Arc<Shared>,
    session: u64,
    /// Number of this PUT within its session.
    entry: usize,
    head: Head,
    settings: Arc<Settings>,
    strike: Strike,
}

/// Handles a PUT to the upload host in a task of its own, as the client may cut the connection at any time.
pub(crate) async fn put(shared: Arc<Shared>, parts: Parts, body: Body) -> Reply {
    let (put, request) = Put::enter(&shared, &parts);
    let settings = match &put {
        Some(put) => Arc::clone(&put.settings),
        None => shared.service().settings(None),
    };
    let reply = match put {
        Some(put) => put.handle(body).await,
        None => refuse_unknown(body, &settings).await,
    };
    shared.service().traffic.end(request, reply.status());
    match reply {
        Reply::Answer(response) => Reply::Answer(readable(response, &settings)),
        unanswered => unanswered,
    }
}

impl Put {
    /// Finds the upload, counts the request, and returns the fault that hits it.
    fn enter(shared: &Arc<Shared>, parts: &Parts) -> (Option<Self>, u64) {
        let head = Head::read(&parts.headers);
        let mut service = shared.service();
        let found = find(&service, parts.uri.query().unwrap_or_default());
        let range = head.range();
        let plan = found.and_then(|number| service.sessions[&number].progress());
        let chunk = plan
            .zip(range)
            .map(|(progress, range)| progress.plan.index_of(range.first));
        let (strike, request) = service.enter_put(found, chunk, parts);
        let Some(number) = found else {
            return (None, request);
        };
        let now = service.now();
        let settings = service.settings(Some(&service.sessions[&number].token));
        let Service {
            review, sessions, ..
        } = &mut *service;
        if let Some(session) = sessions.get(&number) {
            if head.bearer {
                review.bearer_on_put(number, session);
            }
            if let Some(range) = range {
                review.put_came(number, session, (range.first, range.last));
            }
        }
        let (mut entry, mut more) = (0, 0);
        if let Some(session) = sessions.get_mut(&number) {
            session.open_puts += 1;
            session.last_put = Some(now);
            let before = session.puts.len();
            entry = session.puts.push(PutLog {
                first: range.map(|range| range.first),
                last: range.map(|range| range.last),
                open: true,
                began_us: shared.micros(),
                fault: strike.told(),
                ..PutLog::default()
            });
            more = session.puts.len() - before;
        }
        service.puts += more;
        let gone = service.forget_surplus();
        drop(service);
        drop(gone);
        let put = Self {
            shared: Arc::clone(shared),
            session: number,
            entry,
            head,
            settings,
            strike,
        };
        (Some(put), request)
    }

    async fn handle(mut self, body: Body) -> Reply {
        tokio::time::sleep(self.strike.delay).await;
        match self.strike.action.clone() {
            Some(Action::Answer(canned)) => {
                let answer = |put: &Self| {
                    let usual = |status| put_answer(status, None, &put.settings);
                    canned::put(&canned, usual)
                };
                return self.refuse(body, canned.status, None, answer).await;
            }
            Some(Action::Cut(0)) => return Reply::Reset,
            _ => {}
        }
        match self.judge() {
            Judgement::Refuse { status, why } => {
                let answer = |put: &Self| put.respond(status);
                self.refuse(body, status, Some(why), answer).await
            }
            Judgement::Again { status, length } => match self.discard(body, length).await {
                Ending::Whole => {
                    let response = self.respond(status);
                    self.finish(response, None)
                }
                ending => self.end_badly(ending, None),
            },
            Judgement::Take { first, end } => self.take(body, first, end).await,
        }
    }

    /// Judges the headers by the upload's present state.
    fn judge(&self) -> Judgement {
        let service = self.shared.service();
        let Some(session) = service.sessions.get(&self.session) else {
            return gone(&self.settings);
        };
        match refuse_dead(session, &service, &self.settings) {
            Some(refused) => refused,
            None => match session.progress() {
                Some(progress) => judge_put(&self.head, &progress, &self.settings),
                None => gone(&self.settings),
            },
        }
    }

    async fn take(self, body: Body, first: u64, end: u64) -> Reply {
        let Some(mut wanted) = self.want(first, end) else {
            let response = self.respond(dead(404, &self.settings));
            return self.answer(closing(response), Some("the upload is gone".to_owned()));
        };
        match UploadWriter::open(&self.shared, self.session, wanted.size, first).await {
            Ok(writer) => wanted.writer = Some(writer),
            Err(error) => return self.end_badly(Ending::NotKept(error.to_string()), None),
        }
        match self.read(body, &mut wanted).await {
            Ending::Whole => self.commit(wanted).await,
            ending => self.end_badly(ending, Some(wanted)),
        }
    }

    /// Counts a complete chunk, unless the service has moved on.
    async fn commit(mut self, mut wanted: Wanted) -> Reply {
        if let Some(writer) = &mut wanted.writer
            && let Err(error) = writer.flush().await
        {
            return self.end_badly(Ending::NotKept(error.to_string()), None);
        }
        match self.count(&mut wanted) {
            Ok(complete) => {
                if complete && let Some(mut writer) = wanted.writer.take() {
                    let extension = self.head.extension();
                    if let Err(error) = writer.complete(extension).await {
                        return self.end_badly(Ending::NotKept(error.to_string()), None);
                    }
                }
                let response = self.respond(success(complete, &self.settings));
                self.finish(response, None)
            }
            Err((status, why)) => {
                let response = self.respond(status);
                self.finish(response, Some(why))
            }
        }
    }

    /// Counts the received bytes, unless the service has moved on. Returns whether they complete the upload, or the
    /// refusal.
    fn count(&self, wanted: &mut Wanted) -> Result<bool, (u16, String)> {
        let mut service = self.shared.service();
        let now = service.now();
        let alive = service
            .sessions
            .get(&self.session)
            .map(|session| refuse_dead(session, &service, &self.settings));
        match (alive, service.sessions.get_mut(&self.session)) {
            (Some(None), Some(session)) => {
                let mine = session.attempt == wanted.attempt;
                if mine && session.received == wanted.first {
                    session.advance(wanted.end, wanted.hasher.take(), now);
                    Ok(session.completed.is_some())
                } else {
                    Err((416, "another PUT came in between".to_owned()))
                }
            }
            (Some(Some(Judgement::Refuse { status, why })), _) => Err((status, why)),
            _ => Err((dead(404, &self.settings), "the upload is gone".to_owned())),
        }
    }

    /// Answers a body that did not arrive as declared.
    fn end_badly(self, ending: Ending, wanted: Option<Wanted>) -> Reply {
        let (status, why) = match ending {
            Ending::Stalled => return Reply::Silence,
            Ending::Broken | Ending::Cut | Ending::Whole => {
                if self.settings.cut_chunk == CutChunk::KeepPrefix {
                    self.keep_prefix(wanted);
                }
                return Reply::Reset;
            }
            Ending::Short => (400, "the body is shorter than declared".to_owned()),
            Ending::Long => {
                let status = match self.settings.bad_body_status {
                    BadBodyStatus::BadRequest => 400,
                    BadBodyStatus::BadGateway => 502,
                };
                (status, "the body is longer than the range".to_owned())
            }
            Ending::NotKept(why) => (500, format!("the chunk could not be kept: {why}")),
        };
        let response = self.respond(status);
        self.answer(closing(response), Some(why))
    }

    /// Counts the bytes that arrived before a chunk was cut.
    fn keep_prefix(&self, wanted: Option<Wanted>) {
        let mut service = self.shared.service();
        let now = service.now();
        let Some((wanted, session)) = wanted.zip(service.sessions.get_mut(&self.session)) else {
            return;
        };
        let in_turn = session.attempt == wanted.attempt && session.received == wanted.first;
        if in_turn && wanted.arrived > 0 {
            session.advance(wanted.first + wanted.arrived, wanted.hasher, now);
        }
    }

    /// An answer with the upload's present progress.
    fn respond(&self, status: u16) -> Response {
        let service = self.shared.service();
        let session = service.sessions.get(&self.session);
        let progress = session.and_then(|session| session.progress_header(status, &self.settings));
        put_answer(status, progress.as_deref(), &self.settings)
    }

    fn note(&self, change: impl FnOnce(&mut PutLog)) {
        let mut service = self.shared.service();
        let session = service.sessions.get_mut(&self.session);
        if let Some(put) = session.and_then(|session| session.puts.get_mut(self.entry)) {
            change(put);
        }
    }

    /// Answers a handled request, unless a fault drops the answer.
    fn finish(&mut self, response: Response, why: Option<String>) -> Reply {
        match self.strike.action.take() {
            Some(Action::Lose) => {
                self.note(|put| put.why = why);
                Reply::Reset
            }
            Some(Action::Store(canned)) => {
                let usual = |status| put_answer(status, None, &self.settings);
                let response = canned::put(&canned, usual);
                self.answer(response, why)
            }
            _ => self.answer(response, why),
        }
    }

    fn answer(&self, response: Response, why: Option<String>) -> Reply {
        let status = response.status().as_u16();
        let range = self.head.range().map(|range| (range.first, range.last));
        let answered = self.shared.micros();
        self.shared
            .service()
            .review
            .put_answered(self.session, status, range);
        self.note(|put| {
            put.http_status = Some(status);
            put.answered_us = Some(answered);
            put.why = why;
        });
        Reply::Answer(response)
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        let mut service = self.shared.service();
        if let Some(session) = service.sessions.get_mut(&self.session) {
            session.open_puts = session.open_puts.saturating_sub(1);
            if let Some(put) = session.puts.get_mut(self.entry) {
                put.open = false;
            }
        }
    }
}

fn success(complete: bool, settings: &Settings) -> u16 {
    match (complete, settings.middle_status, settings.last_status) {
        (false, MiddleStatus::Partial, _) | (true, _, LastStatus::Partial) => 206,
        (false, MiddleStatus::Created, _) | (true, _, LastStatus::Created) => 201,
        (true, _, LastStatus::Ok) => 200,
    }
}
