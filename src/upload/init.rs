//! How the answer to an init, or its absence, changes an upload.

use super::apply::{Applied, LOSSES, cause_of, stop_for};
use super::run::{Doubt, Stop};
use super::{Session, State, Upload};
use crate::answer::{Call, Failure, Opened};
use crate::clock::Now;
use crate::secret::Secret;
use crate::secret::escaped::Escaped;
use crate::upload::event::{Event, RetryCause};
use crate::upload::retry::{Failures, WINDOW, backoff};

impl Upload {
    pub(super) fn init_answered(
        &mut self,
        reply: Result<Opened, Failure>,
        now: Now,
        random: u64,
    ) -> Applied {
        // A call for a token can fail before the init begins.
        let begun = std::mem::take(&mut self.run.init_begun);
        self.run.init_never_left = begun && reply.as_ref().is_err_and(Failure::never_left);
        if self.run.init_never_left {
            self.totals.inits = self.totals.inits.saturating_sub(1);
        }
        match reply {
            Ok(Opened {
                publish_id,
                upload_url: Some(upload_url),
            }) => {
                let event = Event::SessionOpened {
                    publish_id: publish_id.clone(),
                };
                self.open(publish_id, upload_url, now);
                Applied::saved(event)
            }
            Ok(Opened { publish_id, .. }) => {
                self.run.failed = Failures::default();
                self.state = State::Pulling {
                    publish_id: publish_id.clone(),
                    since: now.wall,
                };
                Applied::saved(Event::Pulling { publish_id })
            }
            Err(error @ Failure::NotSent(_)) => self.init_unsent(&error, now, random),
            Err(Failure::Token(error)) if error.is_temporary() => {
                self.init_unsent(&Failure::Token(error), now, random)
            }
            Err(Failure::Lost(reason)) => self.lose_init(reason, now, random),
            Err(error @ Failure::Faulty(_)) => self.lose_init(error.to_string(), now, random),
            Err(Failure::Busy(error)) => {
                self.state = State::Queued;
                self.run.failed.add(now.boot);
                if self.run.failed.count > 2 {
                    return self.stop(Stop::Refused(Call::Init, error));
                }
                let wait = error.retry_after.unwrap_or(WINDOW);
                Applied {
                    save: true,
                    ..self.pause(wait, RetryCause::InitLimit, now)
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

    fn init_unsent(&mut self, failure: &Failure, now: Now, random: u64) -> Applied {
        self.state = State::Queued;
        Applied {
            save: true,
            ..self.try_again(Call::Init, cause_of(failure), now, random)
        }
    }

    fn open(&mut self, publish_id: String, upload_url: Secret, now: Now) {
        let session = Session {
            publish_id,
            upload_url,
            issued: now.wall,
            booted: Some(now.booted()),
        };
        self.state = State::Uploading {
            session,
            confirmed: 0,
        };
        self.run.in_doubt = false;
        self.run.due_left = false;
        self.run.barred = 0;
        self.run.doubt = Doubt::default();
        self.run.failed = Failures::default();
        self.forget_forecast();
    }

    /// Handles an init without an answer. For a file nobody has the lost URL: no byte can reach it and no draft can
    /// result, so another init is safe and costs only a slot in the windows. For a URL the init is the post, and only
    /// the creator can see whether there is a draft.
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
        let wait = backoff(self.run.lost_inits + 1, random);
        let why = Escaped::new(&reason).to_string();
        Applied {
            save: true,
            ..self.pause(wait, RetryCause::InitUnanswered { why }, now)
        }
    }
}
