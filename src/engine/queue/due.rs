//! Jobs whose waiting is over: for a time, or for a token.

use std::sync::Arc;

use super::dispatch::Dispatch;
use super::outcome;
use crate::clock::Now;
use crate::engine::Engine;
use crate::error::Error;
use crate::journal::queue::{Change, JobState, Tokens};

impl Engine {
    /// Records in the outbox that a person is needed for the token of an account (`error` says why), or that the account has a token
    /// (`None`); nothing if that is known, or if the error is one that passes by itself. The runs of jobs record that themselves: call
    /// this where a program learns it without a job, such as from [`Accounts::renew_idle`](crate::Accounts::renew_idle).
    ///
    /// # Errors
    ///
    /// As [`job`](Self::job).
    pub async fn note_token(&self, account: &str, error: Option<&Error>) -> Result<(), Error> {
        let tokens = match error.map(outcome::end_of) {
            None => Tokens::There,
            Some(end) if end.wants_a_token() => Tokens::Missing(Box::new(end)),
            Some(_) => return Ok(()),
        };
        let queue = self.queue()?;
        queue
            .dispatch
            .store
            .set_tokens(account.to_owned(), tokens)
            .await?;
        Ok(())
    }
}

impl Dispatch {
    /// Lets jobs go on that needed a person because nobody had a token, if there is one now.
    pub(super) async fn look_for_tokens(self: Arc<Self>) {
        let mut accounts = self.lines().tokenless_accounts();
        match self.store.tokenless().await {
            Ok(marked) => accounts.extend(marked),
            Err(error) => tracing::error!(%error, "accounts without tokens cannot be read"),
        }
        for name in accounts {
            let Ok(account) = self.account(&name) else {
                continue;
            };
            if account.tokens().token(None).await.is_err() {
                continue;
            }
            if let Err(error) = self.store.set_tokens(name.clone(), Tokens::There).await {
                tracing::error!(%error, account = name, "the token cannot be noted");
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
