//! The transitions: how the answer to a request, or its absence, changes an upload.

use std::time::Duration;

use super::run::{Doubt, Lack, Stop};
use super::{Identity, Origin, State, Upload};
use crate::answer::{Call, Failure, Opened, Put, Refusal, Report};
use crate::clock::{Now, Timestamp};
use crate::secret::escaped::Escaped;
use crate::tiktok::codes::FailReason;
use crate::upload::event::{Event, LossCause, RetryCause};
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::Limits;
use crate::upload::retry::Failures;

/// The result of a step, or what the step is about to do. Nothing else changes a row.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An init is about to leave, for a file with this identity.
    Intended(Option<Identity>),
    /// The withheld bytes may leave: all bytes sent belong to one version of the file. With the digest of the whole
    /// file.
    AtGate(Option<Entry>),
    /// The file has changed since its first byte was sent; the text says what changed.
    Changed(String),
    /// All acknowledged bytes are in the file of this identity.
    Touched(Identity),
    /// The service has accepted a chunk: its bytes and the time that it took.
    Paced(u64, Duration),
    /// Whether the token is known to belong to the account's creator.
    Creator(bool),
    Init(Result<Opened, Failure>),
    /// The init stays unsent: the service has just refused this token to another upload.
    Barred(Refusal),
    /// The token source has another token than the refused one.
    TokenReplaced,
    /// The answer to a chunk, with the running hash at the chunk's end.
    Put(Result<Put, Failure>, Option<Running>),
    Status(Result<Report, Failure>),
    /// The chunk in flight was hashed from the file; with the running hash at its end.
    Adopted(Option<Running>),
    /// The file still begins with the chunks that the service has; with the running hash at their end.
    Rewound(Option<Running>),
    /// The session ends: its hour is over, or the bytes sent can no longer be proven.
    SessionOver(LossCause),
}

impl Reply {
    /// The call that was made, and its failure.
    fn call(&self) -> Option<(Call, Option<&Failure>)> {
        match self {
            Self::Init(answer) => Some((Call::Init, answer.as_ref().err())),
            Self::Put(answer, _) => Some((Call::Put, answer.as_ref().err())),
            Self::Status(answer) => Some((Call::Status, answer.as_ref().err())),
            _ => None,
        }
    }

    /// The call, if its request has left.
    pub(crate) fn left(&self) -> Option<Call> {
        let (call, error) = self.call()?;
        (!error.is_some_and(Failure::never_left)).then_some(call)
    }
}

/// The effect of a reply.
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

    pub(super) const SAVED: Self = Self {
        save: true,
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

/// Lost inits, and lost sessions, that one run replaces. Progress does not refill this number: a service that keeps
/// refusing must not get session after session.
pub(super) const LOSSES: u32 = 2;

impl Upload {
    pub(crate) fn apply(&mut self, reply: Reply, now: Now, random: u64) -> Applied {
        self.run.not_before = None;
        self.run.at_gate = match reply {
            Reply::AtGate(_) => true,
            Reply::Touched(_) | Reply::Paced(..) => self.run.at_gate,
            _ => false,
        };
        if let Some((call, error)) = reply.call() {
            self.run.lack = error.and_then(|error| Lack::of(call, error));
            if let Some(error) = error {
                self.keep_log_id(error);
            }
        }
        let applied = match reply {
            Reply::Intended(as_of) => self.intend(as_of),
            Reply::AtGate(whole) => self.seal(whole),
            Reply::Changed(what) => self.set_aside(&what, now),
            Reply::Touched(as_of) => self.rest_on(as_of),
            Reply::Paced(bytes, took) => self.note_pace(bytes, took),
            Reply::Creator(known) => {
                self.creator_known = known;
                Applied::NOTHING
            }
            Reply::Init(reply) => self.init_answered(reply, now, random),
            Reply::Barred(refusal) => self.stop(Stop::Refused(Call::Init, refusal)),
            Reply::TokenReplaced => {
                self.run.stop = None;
                Applied::NOTHING
            }
            Reply::Put(reply, running) => self.put_answered(reply, running, now, random),
            Reply::Status(Ok(status)) => self.status_answered(status, now),
            Reply::Status(Err(error)) => self.status_refused(error, now, random),
            Reply::Adopted(running) => {
                self.run.adopt = false;
                self.run.doubt = Doubt::default();
                self.confirm(running)
            }
            Reply::Rewound(running) => self.rewound(running),
            Reply::SessionOver(cause) => self.lose_session(cause),
        };
        if applied.save {
            self.updated = now.wall;
            self.revise();
        }
        applied
    }

    /// Raises the revision: the journal ignores a save that is not newer.
    pub(super) const fn revise(&mut self) {
        self.revision += 1;
    }

    fn intend(&mut self, as_of: Option<Identity>) -> Applied {
        self.state = State::InitIntent;
        self.hash_state = self
            .hash_state
            .is_some()
            .then(|| Running::default().store());
        if let Origin::Media { identity, plan, .. } = &mut self.origin {
            *plan = plan.within(&Limits::DOCUMENTED);
            *identity = as_of.unwrap_or(*identity);
        }
        self.run.in_doubt = false;
        self.run.init_begun = true;
        self.totals.inits += 1;
        Applied::SAVED
    }

    fn seal(&mut self, whole: Option<Entry>) -> Applied {
        if let State::Uploading { session, .. } = &self.state {
            self.state = State::Sealed {
                session: session.clone(),
                acknowledged: false,
            };
        }
        self.sha256 = whole.map(hex::encode);
        Applied::SAVED
    }

    /// Gives the upload up. If it was sealed there may be a draft, so its outcome is unknown.
    fn set_aside(&mut self, what: &str, now: Now) -> Applied {
        if self.state.may_be_complete() {
            let why = format!("the file changed ({what}) before its last chunk was confirmed");
            self.park(&why, now.wall);
        } else {
            self.state = State::GivenUp {
                why: what.to_owned(),
                at: now.wall,
            };
        }
        Applied::SAVED
    }

    /// Ends the upload as unknown: there may be a draft.
    pub(super) fn park(&mut self, why: &str, at: Timestamp) {
        self.end(State::Unknown {
            publish_id: self.state.publish_id().map(str::to_owned),
            why: why.to_owned(),
            at,
        });
        self.updated = at;
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
        let delivered = matches!(state, State::Delivered { .. } | State::Published { .. });
        let confirmed = self.plan().map(|_| self.confirmed());
        self.confirmed_at_end = confirmed.filter(|_| !delivered);
        self.state = state;
        self.hash_state = None;
        Applied::SAVED
    }

    pub(super) fn fail(&mut self, publish_id: String, reason: String, now: Now) -> Applied {
        match FailReason::of(&reason) {
            FailReason::Internal => self.lose_session(LossCause::Internal),
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

    pub(super) fn lose_session(&mut self, cause: LossCause) -> Applied {
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
        if self.run.lost_sessions > LOSSES {
            let text = format!(
                "{} sessions were lost in this run, the last one because {cause}.",
                self.run.lost_sessions
            );
            self.run.stop = Some(Stop::Spent(text));
        }
        Applied::saved(Event::SessionLost { cause })
    }

    /// Tries again after a wait, or ends this run if nothing has succeeded for as long as its patience.
    pub(super) fn try_again(
        &mut self,
        call: Call,
        cause: RetryCause,
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
            Some(wait) => self.pause(wait, cause, now),
            None => {
                let text = format!(
                    "{} failed {} times within {} s, the last time: {cause}.",
                    capitalised(call.name()),
                    failed.count,
                    failed.lasted(now.boot).as_secs()
                );
                self.stop(Stop::Spent(text))
            }
        }
    }

    /// Tries again after this wait.
    pub(super) fn pause(&mut self, wait: Duration, cause: RetryCause, now: Now) -> Applied {
        self.run.not_before = Some(now.boot + wait);
        self.totals.retries += 1;
        Applied::told(Event::Retry { cause, wait })
    }

    pub(super) fn stop(&mut self, stop: Stop) -> Applied {
        self.run.stop = Some(stop);
        Applied::NOTHING
    }
}

/// The cause of a retry after this failure. Texts from outside are escaped.
pub(super) fn cause_of(failure: &Failure) -> RetryCause {
    let escaped = |text: &dyn std::fmt::Display| Escaped::new(&text.to_string()).to_string();
    match failure {
        Failure::NotSent(why) | Failure::Untrusted(why) => {
            let why = escaped(why);
            RetryCause::NoConnection { why }
        }
        Failure::Token(error) => {
            let why = escaped(error);
            RetryCause::NoToken { why }
        }
        Failure::Faulty(_) => {
            let answer = escaped(failure);
            RetryCause::Fault { answer }
        }
        Failure::Lost(why) => {
            let why = escaped(why);
            RetryCause::NoAnswer { why }
        }
        other => {
            let why = escaped(other);
            RetryCause::NoAnswer { why }
        }
    }
}

fn capitalised(text: &str) -> String {
    text.chars()
        .enumerate()
        .map(|(i, c)| if i == 0 { c.to_ascii_uppercase() } else { c })
        .collect()
}

pub(super) fn stop_for(call: Call, error: Failure) -> Stop {
    match error {
        Failure::Refused(error) | Failure::Busy(error) | Failure::Faulty(error) => {
            Stop::Refused(call, error)
        }
        Failure::Token(error) => Stop::NoToken(error.to_string(), error.remedies().to_vec()),
        Failure::Host(reason) => Stop::Host(reason),
        Failure::Untrusted(reason) => Stop::Untrusted(reason),
        error => Stop::Spent(format!("{} failed: {error}.", capitalised(call.name()))),
    }
}
