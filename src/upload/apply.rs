//! The transitions: what an answer, or its absence, makes of an upload.

use std::time::Duration;

use super::Session;
use super::run::{Doubt, Stop};
use super::{State, Upload};
use crate::clock::Now;
use crate::error::FailReason;
use crate::event::Event;
use crate::ledger::Running;
use crate::reconcile::{Reading, Witness};
use crate::retry::{Backoff, WINDOW};
use crate::secret::Secret;
use crate::wire::{Call, CallError, InitData, PutAnswer, StatusData};

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Reply {
    Init(Result<InitData, CallError>),
    /// With the running hash at the chunk's end.
    Put(Result<PutAnswer, CallError>, Option<Running>),
    Status(Result<StatusData, CallError>),
    /// The chunk in flight was read from the file; with the running hash at its end.
    Adopted(Option<Running>),
    /// The hour of the URL is over, or the bytes can't be vouched for any more.
    SessionOver(&'static str),
}

/// What a reply changed.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The row must be durable before the next step.
    pub(crate) save: bool,
    pub(crate) event: Option<Event>,
}

impl Applied {
    pub(super) const NOTHING: Self = Self {
        save: false,
        event: None,
    };

    const fn saved(event: Event) -> Self {
        Self {
            save: true,
            event: Some(event),
        }
    }

    const fn told(event: Event) -> Self {
        Self {
            save: false,
            event: Some(event),
        }
    }
}

/// Lost inits, and lost sessions, that one run makes up for. Never refilled: a service that keeps refusing must not make
/// us open session after session.
const LOSSES: u32 = 2;

impl Upload {
    pub(crate) fn apply(&mut self, reply: Reply, now: Now, random: u64) -> Applied {
        self.run.not_before = None;
        let applied = match reply {
            Reply::Init(reply) => self.init_answered(reply, now, random),
            Reply::Put(reply, running) => self.put_answered(reply, running, now, random),
            Reply::Status(Ok(status)) => self.status_answered(status, now),
            Reply::Status(Err(error)) => self.status_refused(error, now, random),
            Reply::Adopted(running) => {
                self.run.adopt = false;
                self.run.doubt = Doubt::default();
                self.confirm(running)
            }
            Reply::SessionOver(reason) => self.lose_session(reason),
        };
        if applied.save {
            self.updated = now.wall;
        }
        applied
    }

    fn init_answered(
        &mut self,
        reply: Result<InitData, CallError>,
        now: Now,
        random: u64,
    ) -> Applied {
        match reply {
            Ok(InitData {
                publish_id,
                upload_url: Some(upload_url),
            }) => {
                let event = Event::SessionOpened {
                    publish_id: publish_id.clone(),
                };
                self.open(publish_id, upload_url, now);
                Applied::saved(event)
            }
            Ok(InitData { publish_id, .. }) => {
                self.run.failed = 0;
                self.state = State::Pulling {
                    publish_id: publish_id.clone(),
                    since: now.wall,
                };
                Applied::saved(Event::Pulling { publish_id })
            }
            Err(CallError::Unsent(reason)) => {
                self.state = State::Queued;
                Applied {
                    save: true,
                    ..self.try_again(Backoff::INIT, Call::Init, reason, now, random)
                }
            }
            Err(CallError::Lost(reason)) => self.lose_init(reason, now, random),
            // A gateway's 408 is as silent as a fault about what became of the request.
            Err(CallError::Refused(error)) if matches!(error.http_status, 408 | 500..) => self
                .lose_init(
                    format!("{} ({})", error.code, error.http_status),
                    now,
                    random,
                ),
            Err(CallError::Refused(error)) if is_rate_limit(&error.code, error.http_status) => {
                self.state = State::Queued;
                self.run.failed += 1;
                if self.run.failed > 2 {
                    return self.stop(Stop::Refused(Call::Init, error));
                }
                let wait = error.retry_after.unwrap_or(WINDOW);
                Applied {
                    save: true,
                    ..self.pause(wait, "TikTok's limit of inits a minute".into(), now)
                }
            }
            Err(error) => {
                self.state = State::Queued;
                Applied {
                    save: true,
                    ..self.stop(stop_for(Call::Init, error))
                }
            }
        }
    }

    fn open(&mut self, publish_id: String, upload_url: Secret, now: Now) {
        let session = Session {
            publish_id,
            upload_url,
            issued: now.wall,
            issued_boot: Some(now.boot),
        };
        self.state = State::Uploading {
            session,
            confirmed: 0,
        };
        self.run.in_doubt = false;
        self.run.due_left = false;
        self.run.doubt = Doubt::default();
        self.run.failed = 0;
        self.forget_forecast();
    }

    /// Where bytes would have followed, nobody holds the lost URL: no byte can reach it and no draft can come of it, so
    /// another init is safe, but costs a slot in the windows. Where the init is the post, only a person can tell.
    fn lose_init(&mut self, reason: String, now: Now, random: u64) -> Applied {
        self.run.lost_inits += 1;
        self.totals.lost_inits += 1;
        if self.is_posted_by_init() {
            return self.end(State::Unknown {
                publish_id: None,
                why: format!("the answer to its init was lost: {reason}"),
                at: now.wall,
            });
        }
        if self.run.lost_inits > LOSSES {
            let text = format!(
                "Init was not answered {} times ({reason}).",
                self.run.lost_inits
            );
            return Applied {
                save: true,
                ..self.stop(Stop::Spent(text))
            };
        }
        let wait = Backoff::INIT
            .after(self.run.lost_inits + 1, random)
            .unwrap_or(WINDOW);
        Applied {
            save: true,
            ..self.pause(wait, format!("init was not answered: {reason}"), now)
        }
    }

    fn put_answered(
        &mut self,
        reply: Result<PutAnswer, CallError>,
        running: Option<Running>,
        now: Now,
        random: u64,
    ) -> Applied {
        let Some(chunk) = self.due() else {
            return Applied::NOTHING;
        };
        self.run.due_left |= !matches!(reply, Err(CallError::Unsent(_)));
        let answer = match reply {
            Ok(answer) => answer,
            Err(error @ (CallError::Unsent(_) | CallError::Lost(_))) => {
                self.run.in_doubt = true;
                return self.try_again(Backoff::CHUNK, Call::Put, error.to_string(), now, random);
            }
            Err(error) => return self.stop(stop_for(Call::Put, error)),
        };
        if let Some(bytes) = answer.progress.filter(|_| answer.http_status >= 400) {
            self.run.doubt.readings.push(Reading {
                by: Witness::Header,
                bytes,
                at: now.boot,
            });
        }
        match answer.http_status {
            200 | 201 | 206 => {
                let expected = if chunk.is_last() { 201 } else { 206 };
                let doubt = answer
                    .progress
                    .is_some_and(|bytes| !chunk.is_last() && !ends_at(bytes, chunk.range().end));
                let applied = self.confirm(running);
                self.run.in_doubt = doubt;
                if answer.http_status != expected {
                    tracing::warn!(
                        status = answer.http_status,
                        expected,
                        "unexpected success code"
                    );
                }
                applied
            }
            416 => {
                self.run.in_doubt = true;
                self.run.doubt.refused = true;
                self.run.doubt.asked = 0;
                let reason = "the service expects another range (416)".to_owned();
                self.try_again(Backoff::CHUNK, Call::Put, reason, now, random)
            }
            status @ (401 | 403 | 404 | 405 | 410) => {
                if matches!(self.state, State::Uploading { .. }) {
                    return self.lose_session(if status == 403 {
                        "its URL has expired"
                    } else {
                        "its URL is gone"
                    });
                }
                self.run.in_doubt = true;
                self.run.doubt = Doubt {
                    dead: true,
                    ..Doubt::default()
                };
                Applied::NOTHING
            }
            429 => {
                let wait = answer.retry_after.unwrap_or(WINDOW);
                self.run.failed += 1;
                if self.run.failed > 5 {
                    return self.stop(Stop::Spent(
                        "Chunks kept being answered 429 (too many requests).".into(),
                    ));
                }
                self.pause(wait, "the upload host is busy (429)".into(), now)
            }
            status @ (408 | 500..) => {
                self.run.in_doubt = true;
                let reason = format!("HTTP {status}");
                let applied = self.try_again(Backoff::CHUNK, Call::Put, reason, now, random);
                if let (Some(wait), None) = (answer.retry_after, &self.run.stop) {
                    return self.pause(wait, format!("HTTP {status}"), now);
                }
                applied
            }
            status => self.stop(Stop::Refused(Call::Put, http_error(status))),
        }
    }

    /// The chunk that was due is acknowledged.
    fn confirm(&mut self, running: Option<Running>) -> Applied {
        let Some(due) = self.due() else {
            return Applied::NOTHING;
        };
        self.run.failed = 0;
        self.run.doubt = Doubt::default();
        self.run.in_doubt = false;
        self.run.due_left = false;
        if let Some(running) = &running {
            self.running = Some(running.store());
        }
        if due.is_last() {
            if self.sha256.is_none() {
                self.sha256 = running.map(|running| hex::encode(running.entry()));
            }
            return self.begin_processing();
        }
        let State::Uploading { confirmed, .. } = &mut self.state else {
            return Applied::NOTHING;
        };
        *confirmed += 1;
        Applied::saved(Event::ChunkAccepted {
            index: due.index(),
            confirmed: due.range().end,
        })
    }

    pub(super) fn begin_processing(&mut self) -> Applied {
        let Some(session) = self.session() else {
            return Applied::NOTHING;
        };
        let publish_id = session.publish_id.clone();
        self.state = State::Processing {
            publish_id: publish_id.clone(),
        };
        self.run.in_doubt = false;
        self.run.failed = 0;
        self.run.polls = 0;
        Applied::saved(Event::Processing { publish_id })
    }

    pub(super) fn end(&mut self, state: State) -> Applied {
        self.state = state;
        self.running = None;
        Applied {
            save: true,
            event: None,
        }
    }

    pub(super) fn fail(&mut self, publish_id: String, reason: String, now: Now) -> Applied {
        match FailReason::of(&reason) {
            FailReason::Internal => self.lose_session("a part of TikTok was down (internal)"),
            FailReason::NotNow(..) => {
                self.state = State::Queued;
                Applied {
                    save: true,
                    ..self.stop(Stop::Failed { publish_id, reason })
                }
            }
            FailReason::Never(..) => self.end(State::Failed {
                publish_id,
                reason,
                at: now.wall,
            }),
        }
    }

    pub(super) fn lose_session(&mut self, reason: &str) -> Applied {
        self.run.lost_sessions += 1;
        self.totals.lost_sessions += 1;
        self.run.in_doubt = false;
        self.run.adopt = false;
        self.run.doubt = Doubt::default();
        self.run.failed = 0;
        self.run.processing_since = None;
        self.state = State::Queued;
        self.sha256 = None;
        let event = Event::SessionLost {
            reason: reason.to_owned(),
        };
        if self.run.lost_sessions > LOSSES {
            let text = format!(
                "{} sessions were lost in this run, the last one because {reason}.",
                self.run.lost_sessions
            );
            self.run.stop = Some(Stop::Spent(text));
        }
        Applied::saved(event)
    }

    /// One more attempt after a backoff, or the end of this run.
    pub(super) fn try_again(
        &mut self,
        policy: Backoff,
        call: Call,
        reason: String,
        now: Now,
        random: u64,
    ) -> Applied {
        let failed = if call == Call::Status {
            &mut self.run.unanswered
        } else {
            &mut self.run.failed
        };
        *failed += 1;
        match policy.after(*failed, random) {
            Some(wait) => self.pause(wait, reason, now),
            None => {
                let text = format!(
                    "{} failed {failed} times in a row, the last time: {reason}.",
                    capitalised(call.name())
                );
                self.stop(Stop::Spent(text))
            }
        }
    }

    pub(super) fn pause(&mut self, wait: Duration, reason: String, now: Now) -> Applied {
        self.run.not_before = Some(now.boot + wait);
        Applied::told(Event::Retry { reason, wait })
    }

    pub(super) fn stop(&mut self, stop: Stop) -> Applied {
        self.run.stop = Some(stop);
        Applied::NOTHING
    }
}

fn capitalised(text: &str) -> String {
    text.chars()
        .enumerate()
        .map(|(i, c)| if i == 0 { c.to_ascii_uppercase() } else { c })
        .collect()
}

/// Whether a progress header of `bytes`, as a count or as a last index, means that everything below `end` is there.
const fn ends_at(bytes: u64, end: u64) -> bool {
    bytes == end || bytes.saturating_add(1) == end
}

pub(super) fn is_rate_limit(code: &str, http_status: u16) -> bool {
    code == "rate_limit_exceeded" || http_status == 429
}

fn http_error(http_status: u16) -> crate::wire::ServiceError {
    crate::wire::ServiceError {
        http_status,
        code: format!("http_{http_status}"),
        message: String::new(),
        log_id: None,
        retry_after: None,
    }
}

pub(super) fn stop_for(call: Call, error: CallError) -> Stop {
    match error {
        CallError::Refused(error) => Stop::Refused(call, error),
        CallError::Token(error) => Stop::NoToken(error.to_string()),
        CallError::Host(reason) => Stop::Host(reason),
        error => Stop::Spent(format!("{} failed: {error}.", capitalised(call.name()))),
    }
}
