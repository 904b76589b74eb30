//! Whether a token is of the creator that its account's name has stood for since its first use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::transfer::{Transfer, subject};
use crate::answer::Meaning;
use crate::clock;
use crate::error::Error;
use crate::secret::Secret;
use crate::upload::Reply;

/// How long an init waits for the answer to who the creator is. Nothing depends on it, so there is no second try.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this engine has found out about the last token of each account, by the account's name.
#[derive(Debug, Default)]
pub(super) struct Creators(Mutex<HashMap<String, (Secret, Creator)>>);

/// Whose token an account has, compared with the first one that was used under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creator {
    Same,
    Other,
    /// The token's scopes do not allow the question, or it was not answered.
    Unknown,
}

impl Creators {
    fn known(&self) -> MutexGuard<'_, HashMap<String, (Secret, Creator)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks anew at the next init of this account.
    pub(super) fn forget(&self, account: &str) {
        self.known().remove(account);
    }
}

impl Transfer {
    /// Asks whose this token is, once for each token of an account, if [`Options::check_creator`] wants that. Ends the run
    /// if it is another creator's than before.
    ///
    /// [`Options::check_creator`]: crate::Options::check_creator
    pub(super) async fn check_creator(&mut self, token: &Secret) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let Some(creators) = &shared.creators else {
            return Ok(());
        };
        let account = self.account.name().to_owned();
        let known = creators.known().get(&account).cloned();
        let creator = match known {
            Some((of, creator)) if of == *token => creator,
            _ => {
                let asked = self.ask_for_creator(token).await?;
                if let Some(creator) = asked {
                    let found = (token.clone(), creator);
                    creators.known().insert(account.clone(), found);
                }
                asked.unwrap_or(Creator::Unknown)
            }
        };
        self.note(Reply::Creator(creator == Creator::Same));
        match creator {
            Creator::Other => Err(Error::other_creator(&account)),
            Creator::Same | Creator::Unknown => Ok(()),
        }
    }

    /// `None` for a token that was refused: another one may follow.
    async fn ask_for_creator(&mut self, token: &Secret) -> Result<Option<Creator>, Error> {
        let shared = Arc::clone(&self.shared);
        let client = shared.client.about(|| subject(&self.upload));
        let asked = tokio::time::timeout(clock::real(PATIENCE), client.creator(token));
        let open_id = match self.aside(asked).await {
            Ok(Ok(open_id)) => open_id,
            Ok(Err(error)) if error.means(Meaning::InvalidToken) => return Ok(None),
            Ok(Err(error)) => {
                tracing::debug!(%error, "whose the token is cannot be known");
                return Ok(Some(Creator::Unknown));
            }
            Err(_) => return Ok(Some(Creator::Unknown)),
        };
        let first = shared
            .journal
            .creator(self.upload.key.clone(), open_id.clone())
            .await?;
        Ok(Some(match first == open_id {
            true => Creator::Same,
            false => Creator::Other,
        }))
    }
}
