//! What the answer to a chunk, or its absence, makes of an upload.

use super::apply::{Applied, stop_for};
use super::run::{Doubt, Stop};
use super::{State, Upload};
use crate::clock::Now;
use crate::event::Event;
use crate::ledger::Running;
use crate::reconcile::{Reading, Witness};
use crate::retry::{Failures, WINDOW};
use crate::wire::{self, Call, CallError, PutAnswer};

impl Upload {
    pub(super) fn put_answered(
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
                return self.try_again(Call::Put, error.to_string(), now, random);
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
                self.try_again(Call::Put, reason, now, random)
            }
            403 if self.cannot_have_expired(now) => self.barred(now, random),
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
                self.run.failed.add(now.boot);
                if self.run.failed.count > 5 {
                    return self.stop(Stop::Spent(
                        "Chunks kept being answered 429 (too many requests).".into(),
                    ));
                }
                self.pause(wait, "the upload host is busy (429)".into(), now)
            }
            // Neither a refusal nor a success that the documents know: status may tell which.
            status @ (202..=205 | 207..300) => {
                self.run.in_doubt = true;
                self.try_again(Call::Put, format!("HTTP {status}"), now, random)
            }
            status @ (408 | 500..) => {
                self.run.in_doubt = true;
                let reason = format!("HTTP {status}");
                let applied = self.try_again(Call::Put, reason, now, random);
                if let (Some(wait), None) = (answer.retry_after, &self.run.stop) {
                    return self.pause(wait, format!("HTTP {status}"), now);
                }
                applied
            }
            status => self.stop(Stop::Refused(Call::Put, wire::without_words(status))),
        }
    }

    /// The chunk that was due is acknowledged.
    pub(super) fn confirm(&mut self, running: Option<Running>) -> Applied {
        let Some(due) = self.due() else {
            return Applied::NOTHING;
        };
        self.run.failed = Failures::default();
        self.run.barred = 0;
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
}

/// Whether a progress header of `bytes`, as a count or as a last index, means that everything below `end` is there.
const fn ends_at(bytes: u64, end: u64) -> bool {
    bytes == end || bytes.saturating_add(1) == end
}
