//! Tokens that the service has refused whatever the video: it is not asked again with each of them for each file.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ASK_AGAIN, AccountQueue};
use crate::answer::{Call, Meaning, Refusal};
use crate::clock::Now;
use crate::secret::Secret;

/// Most refusals that are remembered for one account.
const MOST: usize = 8;

/// The refusals of one account, the oldest first.
pub(super) type RefusedTokens = Mutex<Vec<Known>>;

#[derive(Debug)]
pub(super) struct Known {
    token: Secret,
    /// A missing scope, a daily limit or a ban is one of a call; a token that is invalid is so for all calls.
    call: Option<Call>,
    error: Refusal,
    /// On the clock that counts from boot.
    until: Duration,
}

impl AccountQueue {
    /// The service has refused a call with this token. What is known already stays as old as it is.
    pub(crate) fn learn(&self, call: Call, token: &Secret, error: &Refusal, now: Now) {
        if self.refusal(call, token, now).is_some() {
            return;
        }
        let call = match error.meaning {
            Meaning::MissingScope | Meaning::DailyLimit | Meaning::Banned => Some(call),
            Meaning::InvalidToken => None,
            _ => return,
        };
        let mut refused = self.refusals();
        refused.retain(|known| (&known.token, known.call) != (token, call));
        if refused.len() >= MOST {
            refused.remove(0);
        }
        refused.push(Known {
            token: token.clone(),
            call,
            error: error.clone(),
            until: now.boot + ASK_AGAIN,
        });
    }

    /// What the service has said to this token, if it is not to be asked again yet.
    pub(crate) fn refusal(&self, call: Call, token: &Secret, now: Now) -> Option<Refusal> {
        let refused = self.refusals();
        let known = refused.iter().rev().find(|known| {
            let of_call = known.call.is_none_or(|known| known == call);
            of_call && known.token == *token && now.boot < known.until
        });
        known.map(|known| known.error.clone())
    }

    fn refusals(&self) -> MutexGuard<'_, Vec<Known>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_of_one_token_and_a_missing_scope_of_one_call_and_both_are_asked_for_again() {
        let (queue, now) = (AccountQueue::default(), Now::read());
        let [old, new] = ["act.old", "act.new"].map(Secret::new);
        let error = |meaning| Refusal {
            meaning,
            http_status: 401,
            code: String::new(),
            message: String::new(),
            log_id: None,
            retry_after: None,
        };
        queue.learn(Call::Init, &old, &error(Meaning::InvalidToken), now);
        queue.learn(Call::Init, &new, &error(Meaning::MissingScope), now);
        queue.learn(Call::Status, &new, &error(Meaning::Other), now);
        let knows = |call, token, after: u64| {
            let boot = now.boot + Duration::from_secs(after);
            queue.refusal(call, token, Now { boot, ..now }).is_some()
        };
        assert!(knows(Call::Init, &old, 299) && knows(Call::Status, &old, 299));
        assert!(knows(Call::Init, &new, 299) && !knows(Call::Status, &new, 0));
        assert!(!knows(Call::Init, &old, 300) && !knows(Call::Init, &new, 300));
        for number in 0..100 {
            let token = Secret::new(&format!("act.{number}"));
            queue.learn(Call::Init, &token, &error(Meaning::InvalidToken), now);
        }
        assert_eq!(queue.refusals().len(), MOST);
    }
}
