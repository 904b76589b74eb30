//! The transitions: what an answer, or its absence, makes of an upload.

use std::time::Duration;

use super::run::{Doubt, Lack, Stop};
use super::{State, Upload};
use crate::clock::Now;
use crate::error::FailReason;
use crate::event::Event;
use crate::ledger::Running;
use crate::retry::Failures;
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
    /// The file still begins with the chunks that the service has; with the running hash at their end.
    Rewound(Option<Running>),
    /// The hour of the URL is over, or the bytes can't be vouched for any more.
    SessionOver(&'static str),
}

impl Reply {
    /// The call that was made, and how it went wrong, if it did.
    fn call(&self) -> Option<(Call, Option<&CallError>)> {
        match self {
            Self::Init(answer) => Some((Call::Init, answer.as_ref().err())),
            Self::Put(answer, _) => Some((Call::Put, answer.as_ref().err())),
            Self::Status(answer) => Some((Call::Status, answer.as_ref().err())),
            Self::Adopted(_) | Self::Rewound(_) | Self::SessionOver(_) => None,
        }
    }

    /// The call whose request has left, if one has.
    pub(crate) fn left(&self) -> Option<Call> {
        let (call, error) = self.call()?;
        (!error.is_some_and(CallError::never_left)).then_some(call)
    }
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

    pub(super) const fn saved(event: Event) -> Self {
        Self {
            save: true,
            event: Some(event),
        }
    }

    pub(super) const fn told(event: Event) -> Self {
        Self {
            save: false,
            event: Some(event),
        }
    }
}

/// Lost inits, and lost sessions, that one run makes up for. Never refilled: a service that keeps refusing must not make
/// us open session after session.
pub(super) const LOSSES: u32 = 2;

impl Upload {
    pub(crate) fn apply(&mut self, reply: Reply, now: Now, random: u64) -> Applied {
        self.run.not_before = None;
        self.run.lack = match reply.call() {
            Some((call, Some(CallError::Unsent(why)))) => Some(Lack::Connection {
                of_chunks: call == Call::Put,
                why: why.clone(),
            }),
            Some((_, Some(CallError::Token(error)))) if error.is_temporary() => {
                let why = error.to_string();
                Some(Lack::Token { why })
            }
            _ => None,
        };
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
            Reply::Rewound(running) => self.rewound(running),
            Reply::SessionOver(reason) => self.lose_session(reason),
        };
        if applied.save {
            self.updated = now.wall;
        }
        applied
    }

    pub(super) fn begin_processing(&mut self) -> Applied {
        let Some(session) = self.session() else {
            return Applied::NOTHING;
        };
        let publish_id = session.publish_id.clone();
        self.state = State::Processing {
            publish_id: publish_id.clone(),
            session: Some(session.clone()),
        };
        self.run.in_doubt = false;
        self.run.failed = Failures::default();
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
        self.run.rewind = None;
        self.run.barred = 0;
        self.run.swallowed = 0;
        self.run.doubt = Doubt::default();
        self.run.failed = Failures::default();
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

    /// One more attempt after a while, or the end of this run where nothing has come through for as long as its patience.
    pub(super) fn try_again(
        &mut self,
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
        failed.add(now.boot);
        match failed.wait(now.boot, self.run.limits.patience, random) {
            Some(wait) => self.pause(wait, reason, now),
            None => {
                let text = format!(
                    "{} failed {} times within {} s, the last time: {reason}.",
                    capitalised(call.name()),
                    failed.count,
                    failed.lasted(now.boot).as_secs()
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

pub(super) fn stop_for(call: Call, error: CallError) -> Stop {
    match error {
        CallError::Refused(error) => Stop::Refused(call, error),
        CallError::Token(error) => Stop::NoToken(error.to_string()),
        CallError::Host(reason) => Stop::Host(reason),
        CallError::Untrusted(reason) => Stop::Untrusted(reason),
        error => Stop::Spent(format!("{} failed: {error}.", capitalised(call.name()))),
    }
}

pub(super) fn is_rate_limit(code: &str, http_status: u16) -> bool {
    code == "rate_limit_exceeded" || http_status == 429
}
