//! What one account may ask for within a time: questions for the status, and drafts that wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex as FairMutex;
use tokio::time::Instant;

use super::{ASK_AGAIN, Line};
use crate::answer::{Failure, Refusal};
use crate::clock::{self, Now};
use crate::tiktok::limits::STATUS_A_MINUTE;
use crate::upload::retry::WINDOW;

/// The questions of the last minute.
#[derive(Debug, Default)]
pub(super) struct StatusWindow {
    /// Who waits for room in the window, in order.
    line: FairMutex<()>,
    asked: Mutex<VecDeque<Instant>>,
}

impl StatusWindow {
    /// The questions that still count, the oldest first.
    fn recent(&self) -> MutexGuard<'_, VecDeque<Instant>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |at: &Instant| at.elapsed() >= clock::real(WINDOW);
        while asked.front().is_some_and(gone) {
            asked.pop_front();
        }
        asked
    }

    /// When there is room, if there is none now.
    fn frees(&self) -> Option<Instant> {
        let asked = self.recent();
        let over = asked.len().checked_sub(STATUS_A_MINUTE)?;
        asked.get(over).map(|at| *at + clock::real(WINDOW))
    }

    /// Counts one more question, as soon as there is room for it.
    async fn count(&self) -> Instant {
        let _first = self.line.lock().await;
        while let Some(frees) = self.frees() {
            tokio::time::sleep_until(frees).await;
        }
        let now = Instant::now();
        self.recent().push_back(now);
        now
    }

    /// A question that was counted then has never left.
    fn uncount(&self, then: Instant) {
        let mut asked = self.recent();
        if let Some(place) = asked.iter().rposition(|at| *at == then) {
            asked.remove(place);
        }
    }
}

/// The service has said that too many drafts of this account wait.
#[derive(Debug, Clone)]
pub(crate) struct PendingCap {
    pub(crate) error: Refusal,
    /// When the oldest of these drafts no longer counts, at the latest.
    pub(crate) retry_at: SystemTime,
}

/// What was said, and until when it is believed, on the clock that counts from boot.
pub(super) type Cap = Mutex<Option<(PendingCap, Duration)>>;

impl Line {
    /// Asks for a status as soon as one more question fits into the window. Only what may have reached the service counts.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let counted = self.status.count().await;
        let answer = question.await;
        if answer.as_ref().is_err_and(Failure::never_left) {
            self.status.uncount(counted);
        }
        answer
    }

    /// Whether a question would be asked at once.
    pub(crate) fn can_ask_now(&self) -> bool {
        self.status.line.try_lock().is_ok() && self.status.frees().is_none()
    }

    /// Only the service knows which drafts wait. After it has said that they are too many, jobs of this account ask for no
    /// init until the oldest one no longer counts, or for some minutes.
    pub(crate) fn set_pending_cap(&self, cap: PendingCap, now: Now) {
        let left = cap.retry_at.duration_since(now.wall.into());
        let until = now.boot + left.unwrap_or_default().min(ASK_AGAIN);
        *self.lock_cap() = Some((cap, until));
    }

    /// What the service has said, if it is not to be asked again yet.
    pub(crate) fn pending_cap(&self, now: Now) -> Option<PendingCap> {
        let cap = self.lock_cap();
        let (cap, until) = cap.as_ref()?;
        (now.boot < *until).then(|| cap.clone())
    }

    fn lock_cap(&self) -> MutexGuard<'_, Option<(PendingCap, Duration)>> {
        self.pending_cap
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(line: &Line, answer: Result<(), Failure>) -> Instant {
        // The answer says whether it has left.
        let _ = line.ask(async { answer }).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_sees_more_than_thirty_questions_and_those_that_never_left_are_none() {
        let (line, mut times) = (Line::default(), Vec::new());
        for round in 0..95 {
            for never_left in [
                Failure::NotSent("refused".into()),
                Failure::Untrusted("unknown issuer".into()),
                Failure::Token("log in again".into()),
            ] {
                asked(&line, Err(never_left)).await;
            }
            let lost = || Failure::Lost("reset".into());
            times.push(asked(&line, (round % 2 == 0).then_some(()).ok_or_else(lost)).await);
        }
        for window in times.windows(STATUS_A_MINUTE + 1) {
            assert!(window[STATUS_A_MINUTE] - window[0] >= WINDOW);
        }
        let minutes = times[94] - times[0];
        assert!(minutes < WINDOW * 4, "the others took no room: {minutes:?}");
        while line.can_ask_now() {
            asked(&line, Ok(())).await;
        }
        assert_eq!(line.status.recent().len(), STATUS_A_MINUTE);
    }

    #[test]
    fn a_cap_ends_after_some_minutes_or_when_the_oldest_draft_no_longer_counts() {
        let now = Now::read();
        for (draft_counts_for, ends_after) in [(0, 0), (60, 60), (24 * 3600, 300)] {
            let (counts_for, line) = (Duration::from_secs(draft_counts_for), Line::default());
            let error = Refusal {
                meaning: crate::answer::Meaning::PendingCap,
                http_status: 403,
                code: "spam_risk_too_many_pending_share".into(),
                message: String::new(),
                log_id: None,
                retry_after: None,
            };
            let retry_at = now.wall.plus(counts_for).into();
            line.set_pending_cap(PendingCap { error, retry_at }, now);
            let stands = |seconds| {
                let boot = now.boot + Duration::from_secs(seconds);
                line.pending_cap(Now { boot, ..now }).is_some()
            };
            assert!(
                ends_after == 0 || stands(ends_after - 1),
                "{draft_counts_for}"
            );
            assert!(!stands(ends_after + 1), "{draft_counts_for}");
        }
    }
}
