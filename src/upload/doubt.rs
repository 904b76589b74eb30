//! How an answer to a status call, or its absence, changes an upload whose journal and service may disagree.

use std::time::Duration;

use super::apply::{Applied, cause_of, stop_for};
use super::gateway::SWALLOWED;
use super::run::{Doubt, Stop};
use super::{Origin, State, Upload};
use crate::answer::{Call, Failure, Meaning, Report, Stage};
use crate::clock::Now;
use crate::tiktok::limits::URL_LIFETIME;
use crate::upload::event::{LossCause, RetryCause};
use crate::upload::reconcile::{Reading, Verdict, Witness, reconcile};
use crate::upload::retry::{Failures, WINDOW, poll_interval};

/// Most status calls in one doubt, before the known facts decide it.
const QUESTIONS: u32 = 5;

/// A sealed session counts as lost only after its progress (by status, or by the header of each 416 if status gives no
/// number) has stayed below the end for this long.
const UNCHANGED: Duration = Duration::from_secs(15);

/// How long status is asked about a sealed upload after its hour, before the outcome counts as unknown.
const LAST_WORD: Duration = Duration::from_secs(60);

impl Upload {
    pub(super) fn status_answered(&mut self, status: Report, now: Now) -> Applied {
        self.run.unanswered = Failures::default();
        if let Some(fetched) = status.downloaded_bytes {
            self.run.fetched = self.run.fetched.max(fetched);
        }
        let Some(publish_id) = self.state.publish_id().map(str::to_owned) else {
            return Applied::NOTHING;
        };
        match status.stage {
            Stage::Inbox => self.end(State::Delivered {
                publish_id,
                at: now.wall,
            }),
            Stage::Published => self.end(State::Published {
                publish_id,
                at: now.wall,
            }),
            Stage::Failed => self.fail(
                publish_id,
                status.fail_reason.unwrap_or_else(|| "unstated".into()),
                now,
            ),
            Stage::Working => {
                let told = self.remark(status.fail_reason);
                let applied = match (&self.state, status.uploaded_bytes) {
                    (State::Uploading { .. }, bytes) => self.weigh(bytes, now),
                    (State::Sealed { .. }, bytes) => self.weigh_sealed(bytes, now),
                    (State::Processing { .. }, Some(bytes)) => self.weigh_acknowledged(bytes, now),
                    _ => self.poll_again(now),
                };
                Applied {
                    event: applied.event.or(told),
                    ..applied
                }
            }
        }
    }

    /// Decides a doubt while uploading: nothing is sealed, so no draft can exist yet.
    fn weigh(&mut self, uploaded: Option<u64>, now: Now) -> Applied {
        let verdict = self.reading(uploaded, now);
        let doubt = &self.run.doubt;
        let may_ask = doubt.asked < QUESTIONS;
        match verdict {
            Verdict::AtBorder if doubt.refused && doubt.asked < 3 && !self.header_spoke() => {
                self.ask_again(now)
            }
            Verdict::AtBorder => self.settle(),
            Verdict::Ahead => {
                self.run.adopt = true;
                Applied::NOTHING
            }
            Verdict::Unsure if may_ask && uploaded.is_some() => self.ask_again(now),
            Verdict::Unknown if doubt.refused && doubt.asked < 3 => self.ask_again(now),
            // Only the header has given a number: sending the chunk again gets a second one, or the chunk is accepted.
            Verdict::Unknown | Verdict::Unsure
                if !doubt.refused || self.header_spoke() && self.run.failed.count < 3 =>
            {
                self.run.in_doubt = false;
                Applied::NOTHING
            }
            Verdict::Beyond => self.lose_session(LossCause::MoreThanSent),
            // Status may lag for longer than two calls. The next chunk decides: it is accepted, or answered 416.
            Verdict::Back(_) | Verdict::Behind | Verdict::MidChunk if !doubt.refused => {
                self.run.in_doubt = false;
                Applied::NOTHING
            }
            Verdict::Back(_) | Verdict::Behind if doubt.asked < 3 && !self.header_spoke() => {
                self.ask_again(now)
            }
            Verdict::Back(chunks) => self.rewind(chunks),
            Verdict::Behind => self.lose_session(LossCause::BytesLost),
            Verdict::MidChunk => self.lose_session(LossCause::InsideChunk),
            Verdict::Unknown | Verdict::Unsure => self.lose_session(LossCause::Silent),
        }
    }

    /// Decides a doubt after sealing: the video may be complete, so only an answer to status can allow another init.
    fn weigh_sealed(&mut self, uploaded: Option<u64>, now: Now) -> Applied {
        let verdict = self.reading(uploaded, now);
        let doubt = &self.run.doubt;
        let may_put = !doubt.refused && !doubt.dead;
        match verdict {
            Verdict::Ahead => self.begin_processing(),
            Verdict::AtBorder if doubt.refused && doubt.asked < 3 && !self.header_spoke() => {
                self.ask_again(now)
            }
            Verdict::AtBorder if !doubt.dead => self.settle(),
            Verdict::Unsure if may_put && doubt.asked < 3 => self.ask_again(now),
            _ if may_put => {
                self.run.in_doubt = false;
                Applied::NOTHING
            }
            Verdict::Back(chunks) if self.stands_still() && !doubt.dead => self.rewind(chunks),
            Verdict::AtBorder | Verdict::MidChunk | Verdict::Back(_) | Verdict::Behind
                if self.stands_still() && self.may_be_replaced() =>
            {
                self.lose_session(LossCause::LastChunkLost)
            }
            // Status gives no number but a 416 does: sending the same bytes again gets the next number.
            _ if uploaded.is_none() && !doubt.dead && self.header_spoke() => {
                self.run.in_doubt = false;
                self.run.not_before = Some(now.boot + UNCHANGED / 3);
                Applied::NOTHING
            }
            _ => self.poll_again(now),
        }
    }

    fn reading(&mut self, uploaded: Option<u64>, now: Now) -> Verdict {
        let confirmed = self.confirmed();
        self.run.doubt.asked += 1;
        if let Some(bytes) = uploaded {
            self.run.doubt.readings.push(Reading {
                by: Witness::Status,
                bytes,
                at: now.boot,
            });
        }
        let verdict = self.plan().map_or(Verdict::Unknown, |plan| {
            reconcile(plan, confirmed, &self.run.doubt.readings)
        });
        match verdict {
            Verdict::Ahead if !self.run.due_left => Verdict::Beyond,
            verdict => verdict,
        }
    }

    fn header_spoke(&self) -> bool {
        self.run
            .doubt
            .readings
            .iter()
            .any(|reading| reading.by == Witness::Header)
    }

    /// Whether the service's number has not changed for so long that no bytes can be on their way. After an acknowledged
    /// last chunk this takes longer: a lagging status would otherwise cause a second draft.
    fn stands_still(&self) -> bool {
        self.stood_still_for(if self.is_acknowledged() {
            5 * SWALLOWED
        } else {
            UNCHANGED
        })
    }

    fn is_acknowledged(&self) -> bool {
        matches!(
            self.state,
            State::Sealed {
                acknowledged: true,
                ..
            }
        )
    }

    /// Whether a new session may replace a sealed one for which status counts too few bytes. After an acknowledged last
    /// chunk status may be wrong, so the upload host itself must report fewer bytes.
    fn may_be_replaced(&self) -> bool {
        !self.is_acknowledged() || self.header_spoke()
    }

    pub(super) fn stood_still_for(&self, span: Duration) -> bool {
        let readings = &self.run.doubt.readings;
        let told = readings.iter().any(|reading| reading.by == Witness::Status);
        let by = if told {
            Witness::Status
        } else {
            Witness::Header
        };
        let mut said = readings.iter().filter(|reading| reading.by == by);
        let (Some(first), Some(last)) = (said.next(), said.next_back()) else {
            return false;
        };
        said.all(|reading| reading.bytes == last.bytes)
            && first.bytes == last.bytes
            && last.at >= first.at + span
    }

    /// Ends the doubt: journal and service agree. The count of failed attempts stays.
    fn settle(&mut self) -> Applied {
        self.run.in_doubt = false;
        self.run.doubt = Doubt::default();
        Applied::NOTHING
    }

    fn ask_again(&mut self, now: Now) -> Applied {
        self.run.not_before =
            Some(now.boot + Duration::from_millis(1050) * self.run.doubt.asked.max(1));
        Applied::NOTHING
    }

    /// Waits for the next status call while the service processes the video.
    pub(super) fn poll_again(&mut self, now: Now) -> Applied {
        let since = *self.run.processing_since.get_or_insert(now.boot);
        let waited = now.boot.saturating_sub(since);
        if waited >= LAST_WORD && self.is_past_telling(now) {
            let publish_id = self.state.publish_id().map(str::to_owned);
            let why = "its URL takes nothing more, and the service does not say whether the last bytes arrived";
            return self.end(State::Unknown {
                publish_id,
                why: why.to_owned(),
                at: now.wall,
            });
        }
        let left = self.patience(since, now).saturating_sub(waited);
        if left.is_zero() {
            let seconds = waited.as_secs();
            let text = match (&self.origin, &self.state) {
                (Origin::Url { .. }, _) => {
                    format!(
                        "After {seconds} s the service is still fetching or processing the video."
                    )
                }
                (_, State::Sealed { .. }) => format!(
                    "The service does not say whether the last bytes arrived: after {seconds} s it is still working on the video."
                ),
                _ => format!(
                    "Every byte is at the service, but after {seconds} s it is still working on the video."
                ),
            };
            return self.stop(Stop::Spent(text));
        }
        self.run.not_before = Some(now.boot + poll_interval(self.run.polls).min(left));
        self.run.polls += 1;
        Applied::NOTHING
    }

    /// Whether neither the URL, whose hour is over, nor status can ever show whether the last chunk arrived.
    fn is_past_telling(&self, now: Now) -> bool {
        let State::Sealed {
            session,
            acknowledged,
        } = &self.state
        else {
            return false;
        };
        let mut readings = self.run.doubt.readings.iter();
        let told = readings.any(|reading| reading.by == Witness::Status);
        session.is_over(now) && (*acknowledged || !told)
    }

    /// How long the service may process the video, from the first answer that said so; a fetch gets the rest of its
    /// hour, too.
    fn patience(&self, first_seen: Duration, now: Now) -> Duration {
        let fetching = match &self.state {
            State::Pulling { since, .. } => {
                let followed = now.boot.saturating_sub(first_seen);
                let age = now.wall.since(*since).saturating_sub(followed);
                URL_LIFETIME.saturating_sub(age)
            }
            _ => Duration::ZERO,
        };
        self.run.limits.processing + fetching
    }

    pub(super) fn status_refused(&mut self, error: Failure, now: Now, random: u64) -> Applied {
        if error.means(Meaning::ForeignToken) {
            return self.stop(Stop::ForeignToken);
        }
        let doubt = &self.run.doubt;
        match &self.state {
            // The upload host checks the range as a second witness, and the same URL can't make a second draft.
            State::Uploading { .. } | State::Sealed { .. }
                if !doubt.refused && !doubt.dead && !error.means(Meaning::UnknownUpload) =>
            {
                self.run.in_doubt = false;
                Applied::NOTHING
            }
            State::Uploading { .. } if error.means(Meaning::UnknownUpload) => {
                self.lose_session(LossCause::Forgotten)
            }
            State::Sealed { .. } | State::Pulling { .. } | State::Processing { .. }
                if error.means(Meaning::UnknownUpload) =>
            {
                let publish_id = self.state.publish_id().map(str::to_owned);
                let why = LossCause::Forgotten.to_string();
                self.end(State::Unknown {
                    publish_id,
                    why,
                    at: now.wall,
                })
            }
            _ => match error {
                Failure::Busy(error) => {
                    self.run.unanswered.add(now.boot);
                    if self.run.unanswered.count > 5 {
                        return self.stop(Stop::Refused(Call::Status, error));
                    }
                    let wait = error.retry_after.unwrap_or(WINDOW);
                    self.pause(wait, RetryCause::StatusLimit, now)
                }
                Failure::Token(error) if !error.is_temporary() => {
                    self.stop(stop_for(Call::Status, Failure::Token(error)))
                }
                error @ (Failure::NotSent(_)
                | Failure::Lost(_)
                | Failure::Faulty(_)
                | Failure::Token(_)) => self.try_again(Call::Status, cause_of(&error), now, random),
                error => self.stop(stop_for(Call::Status, error)),
            },
        }
    }
}
