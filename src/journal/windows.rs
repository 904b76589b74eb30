//! What one account may ask for within a time, as far as a store keeps that in memory: questions for the status, and inits
//! while too many drafts wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::store::{ApiAccount, Ask, PendingCap, Question};
use crate::clock::Now;
use crate::tiktok::limits::STATUS_A_MINUTE;
use crate::upload::retry::WINDOW;

/// After the service has said that too many drafts wait, it is asked again at most this often: the creator may post a draft
/// at any time.
const ASK_AGAIN: Duration = Duration::from_secs(5 * 60);

/// The windows of all accounts.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<Accounts>);

#[derive(Debug, Default)]
struct Accounts {
    windows: HashMap<ApiAccount, Account>,
    /// The number of the next question.
    next: u64,
}

/// The windows of one account. Times are on the clock that counts from boot, which nobody sets back.
#[derive(Debug, Default)]
struct Account {
    /// The questions of the last minute by their numbers, the oldest first.
    asked: VecDeque<(Question, Duration)>,
    /// What the service has said, and until when it is believed.
    cap: Option<(PendingCap, Duration)>,
}

impl Windows {
    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self, of: ApiAccount, now: Now) -> Ask {
        let mut accounts = self.lock();
        let question = Question(accounts.next);
        let asked = &mut accounts.windows.entry(of).or_default().asked;
        while asked
            .front()
            .is_some_and(|(_, at)| *at + WINDOW <= now.boot)
        {
            asked.pop_front();
        }
        let over = asked.len().checked_sub(STATUS_A_MINUTE);
        if let Some((_, at)) = over.and_then(|over| asked.get(over)) {
            return Ask::Wait((*at + WINDOW).saturating_sub(now.boot));
        }
        asked.push_back((question, now.boot));
        accounts.next += 1;
        Ask::Granted(question)
    }

    pub(super) fn unask(&self, of: &ApiAccount, question: Question) {
        if let Some(account) = self.lock().windows.get_mut(of) {
            account.asked.retain(|(asked, _)| *asked != question);
        }
    }

    pub(super) fn set_pending_cap(&self, of: ApiAccount, cap: PendingCap, now: Now) {
        let left = cap.retry_at.duration_since(now.wall.into());
        let until = now.boot + left.unwrap_or_default().min(ASK_AGAIN);
        self.lock().windows.entry(of).or_default().cap = Some((cap, until));
    }

    pub(super) fn pending_cap(&self, of: &ApiAccount, now: Now) -> Option<PendingCap> {
        let accounts = self.lock();
        let (cap, until) = accounts.windows.get(of)?.cap.as_ref()?;
        (now.boot < *until).then(|| cap.clone())
    }
}
