//! Jobs whose waiting is over: for a time, or for a token.

use std::sync::Arc;

use super::dispatch::Dispatch;
use crate::clock::Now;
use crate::journal::queue::{Change, JobState};

impl Dispatch {
    /// Lets jobs go on that needed a person because nobody had a token, if there is one now.
    pub(super) async fn look_for_tokens(self: Arc<Self>) {
        let accounts = self.lines().tokenless_accounts();
        for name in accounts {
            let Ok(account) = self.account(&name) else {
                continue;
            };
            if account.tokens().token(None).await.is_err() {
                continue;
            }
            let jobs = self.lines().tokenless_of(&name);
            for id in jobs {
                self.insist(&id, None, |row| match &row.state {
                    JobState::Parked { end, .. } if end.wants_a_token() => {
                        row.state = JobState::Queued {
                            not_before: None,
                            why: None,
                        };
                        Change::News("unparked")
                    }
                    _ => Change::Nothing,
                })
                .await;
            }
        }
    }

    /// Queues the jobs whose wait is over, and ends those for whom nobody has come.
    pub(super) async fn wake_due(self: &Arc<Self>) {
        let due = self.lines().due(Now::read().wall);
        for id in due {
            self.insist(&id, None, |row| match row.state.clone() {
                JobState::Queued { why, .. } => {
                    row.state = JobState::Queued {
                        not_before: None,
                        why,
                    };
                    // It can run from now on.
                    row.updated = Now::read().wall;
                    Change::Nothing
                }
                JobState::Parked { end, .. } => {
                    row.state = JobState::Ended { end };
                    Change::News("ended")
                }
                JobState::Ended { .. } => Change::Nothing,
            })
            .await;
        }
    }
}
