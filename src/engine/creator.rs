//! Which creator an account's name stands for, and whether a token is of that creator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shared;
use super::tokens::token;
use super::transfer::{Transfer, subject};
use crate::account::Account;
use crate::answer::Meaning;
use crate::clock;
use crate::error::Error;
use crate::journal::{ApiAccount, Creator};
use crate::secret::Secret;
use crate::tiktok::client::{Client, Subject};
use crate::upload::Reply;

/// How long an init waits for the answer to who the creator is. Nothing depends on it, so there is no second try.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a source of tokens may take to say whose they are.
const LONGEST: Duration = Duration::from_secs(60);

/// What this engine has found out about the last token of each account, by the account's name.
#[derive(Debug, Default)]
pub(super) struct Creators(Mutex<HashMap<String, (Secret, Whose)>>);

/// Whose token an account has, compared with the first one that was used under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Same,
    Other,
    /// The token's scopes do not allow the question, or it was not answered.
    Unknown,
}

impl Creators {
    fn known(&self) -> MutexGuard<'_, HashMap<String, (Secret, Whose)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of this token of an account.
    fn of(&self, account: &str, token: &Secret) -> Option<Whose> {
        let known = self.known();
        let (of, whose) = known.get(account)?;
        (of == token).then_some(*whose)
    }

    fn learn(&self, account: &str, token: &Secret, whose: Whose) {
        self.known()
            .insert(account.to_owned(), (token.clone(), whose));
    }

    /// Asks anew at the next init of this account.
    pub(super) fn forget(&self, account: &str) {
        self.known().remove(account);
    }
}

impl Shared {
    /// Who the account stands for, as far as the journal and the source of its tokens know.
    ///
    /// # Errors
    ///
    /// Needs a person, if the tokens are of another creator than the name has stood for.
    pub(super) async fn identify(&self, account: &Account) -> Result<Creator, Error> {
        let tokens = account.tokens();
        let stated = tokio::time::timeout(clock::real(LONGEST), tokens.open_id()).await;
        let (open_id, replace) = (stated.ok().flatten(), account.is_decided());
        let of = self.api_account(account.name());
        let creator = self.journal.identify(of, open_id.clone(), replace).await?;
        match open_id.is_some() && creator.open_id != open_id {
            true => Err(Error::other_creator(account.name())),
            false => Ok(creator),
        }
    }

    /// The same; if the creator is not known, and matters, the service is asked. A token that cannot be had, or does not allow the
    /// question, leaves the creator unknown.
    pub(super) async fn identify_by_token(&self, account: &Account) -> Result<Creator, Error> {
        let known = self.identify(account).await?;
        let (Some(creators), None) = (&self.creators, &known.open_id) else {
            return Ok(known);
        };
        let Ok(token) = token(account, None).await else {
            return Ok(known);
        };
        if creators.of(account.name(), &token).is_some() {
            return Ok(known);
        }
        let client = self.client.about(|| Subject {
            account: Some(account.name().to_owned()),
            ..Subject::default()
        });
        match owner(&client, &token).await {
            Owner::Known(open_id) => {
                creators.learn(account.name(), &token, Whose::Same);
                let of = self.api_account(account.name());
                Ok(self.journal.identify(of, Some(open_id), false).await?)
            }
            Owner::Unknown => {
                creators.learn(account.name(), &token, Whose::Unknown);
                Ok(known)
            }
            Owner::Refused => Ok(known),
        }
    }

    fn api_account(&self, name: &str) -> ApiAccount {
        ApiAccount {
            account: name.to_owned(),
            api_base: self.api_base.clone(),
        }
    }
}

/// What the service says about the creator of a token.
enum Owner {
    /// The open_id.
    Known(String),
    /// The token's scopes do not allow the question, or it was not answered.
    Unknown,
    /// The token is not valid: another one may follow.
    Refused,
}

async fn owner(client: &Client, token: &Secret) -> Owner {
    match tokio::time::timeout(clock::real(PATIENCE), client.creator(token)).await {
        Ok(Ok(open_id)) => Owner::Known(open_id),
        Ok(Err(error)) if error.means(Meaning::InvalidToken) => Owner::Refused,
        Ok(Err(error)) => {
            tracing::debug!(%error, "whose the token is cannot be known");
            Owner::Unknown
        }
        Err(_) => Owner::Unknown,
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
        let whose = match creators.of(&account, token) {
            Some(whose) => whose,
            None => {
                let asked = self.ask_for_creator(token).await?;
                if let Some(whose) = asked {
                    creators.learn(&account, token, whose);
                }
                asked.unwrap_or(Whose::Unknown)
            }
        };
        self.note(Reply::Creator(whose == Whose::Same));
        match whose {
            Whose::Other => Err(Error::other_creator(&account)),
            Whose::Same | Whose::Unknown => Ok(()),
        }
    }

    /// `None` for a token that was refused: another one may follow.
    async fn ask_for_creator(&mut self, token: &Secret) -> Result<Option<Whose>, Error> {
        let shared = Arc::clone(&self.shared);
        let client = shared.client.about(|| subject(&self.upload));
        let open_id = match self.aside(owner(&client, token)).await {
            Owner::Known(open_id) => open_id,
            Owner::Unknown => return Ok(Some(Whose::Unknown)),
            Owner::Refused => return Ok(None),
        };
        let of = shared.api_account(self.account.name());
        let asked = shared.journal.identify(of, Some(open_id.clone()), false);
        let creator = asked.await?;
        if creator.open_id != Some(open_id) {
            return Ok(Some(Whose::Other));
        }
        // The upload has no place in the queue of that name, and was not compared with the uploads there.
        if !Arc::ptr_eq(self.turn.queue(), &shared.scheduler.queue(&creator.name)) {
            return Err(Error::alias(self.account.name(), &creator.name));
        }
        Ok(Some(Whose::Same))
    }
}
