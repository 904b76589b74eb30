//! How the answer to a chunk, or its absence, changes an upload.

use super::apply::{Applied, cause_of, stop_for};
use super::run::{Doubt, Stop};
use super::{State, Upload};
use crate::answer::{Call, Failure, Put, Said};
use crate::clock::Now;
use crate::upload::event::{Event, LossCause, RetryCause};
use crate::upload::ledger::Running;
use crate::upload::reconcile::{Reading, Witness};
use crate::upload::retry::{Failures, WINDOW};

impl Upload {
    pub(super) fn put_answered(
        &mut self,
        reply: Result<Put, Failure>,
        running: Option<Running>,
        now: Now,
        random: u64,
    ) -> Applied {
        let Some(chunk) = self.due() else {
            return Applied::NOTHING;
        };
        self.run.due_left |= !matches!(reply, Err(Failure::NotSent(_)));
        let Put {
            said,
            progress,
            wait,
        } = match reply {
            Ok(answer) => answer,
            Err(error @ (Failure::NotSent(_) | Failure::Lost(_))) => {
                self.run.in_doubt = true;
                return self.try_again(Call::Put, cause_of(&error), now, random);
            }
            Err(error) => return self.stop(stop_for(Call::Put, error)),
        };
        if let Some(bytes) = progress.filter(|_| !matches!(said, Said::Accepted | Said::Unclear(_)))
        {
            self.run.doubt.readings.push(Reading {
                by: Witness::Header,
                bytes,
                at: now.boot,
            });
        }
        match said {
            Said::Accepted => {
                let doubt = progress
                    .is_some_and(|bytes| !chunk.is_last() && !ends_at(bytes, chunk.range().end));
                let applied = self.confirm(running);
                self.run.in_doubt = doubt;
                applied
            }
            Said::OtherRange => {
                self.run.in_doubt = true;
                self.run.doubt.refused = true;
                self.run.doubt.asked = 0;
                self.try_again(Call::Put, RetryCause::OtherRange, now, random)
            }
            Said::Expired if self.cannot_have_expired(now) => self.barred(now, random),
            Said::Expired | Said::Gone => {
                if matches!(self.state, State::Uploading { .. }) {
                    return self.lose_session(if said == Said::Expired {
                        LossCause::UrlExpired
                    } else {
                        LossCause::UrlGone
                    });
                }
                self.run.in_doubt = true;
                self.run.doubt = Doubt {
                    dead: true,
                    ..Doubt::default()
                };
                Applied::NOTHING
            }
            Said::Busy => {
                let wait = wait.unwrap_or(WINDOW);
                self.run.failed.add(now.boot);
                if self.run.failed.count > 5 {
                    return self.stop(Stop::Spent(
                        "The upload host kept answering that it gets too many requests.".into(),
                    ));
                }
                self.pause(wait, RetryCause::HostBusy, now)
            }
            Said::Unclear(answer) => {
                self.run.in_doubt = true;
                self.try_again(Call::Put, RetryCause::Unclear { answer }, now, random)
            }
            Said::Faulty(answer) => {
                self.run.in_doubt = true;
                let cause = RetryCause::Fault { answer };
                let applied = self.try_again(Call::Put, cause.clone(), now, random);
                if let (Some(wait), None) = (wait, &self.run.stop) {
                    return self.pause(wait, cause, now);
                }
                applied
            }
        }
    }

    /// Counts the chunk in flight as acknowledged.
    pub(super) fn confirm(&mut self, running: Option<Running>) -> Applied {
        let Some(due) = self.due() else {
            return Applied::NOTHING;
        };
        self.run.failed = Failures::default();
        self.run.barred = 0;
        self.run.doubt = Doubt::default();
        self.run.in_doubt = false;
        self.run.due_left = false;
        if due.is_last() {
            // `hash_state` stays before the last chunk, which may have to be sent again.
            if self.sha256.is_none() {
                self.sha256 = running.map(|running| hex::encode(running.entry()));
            }
            return self.begin_processing();
        }
        if let Some(running) = &running {
            self.hash_state = Some(running.store());
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
}

/// Whether a progress header of `bytes`, as a count or as a last index, stands for all bytes below `end`.
const fn ends_at(bytes: u64, end: u64) -> bool {
    bytes == end || bytes.saturating_add(1) == end
}
