//! Access tokens from a table of the caller's own, by the names of accounts.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::Mutex as FairMutex;

use super::{Account, TokenError, TokenSource};
use crate::clock::{self, Now};
use crate::error::remedy::Remedy;
use crate::secret::Secret;

/// How long a provider may take to answer before the job goes on without it: it tries again later.
const PATIENCE: Duration = Duration::from_secs(10);

/// A table of access tokens by account names, for programs that log creators in by themselves.
///
/// An engine asks for an account at most once at a time, keeps the token in memory until it ends or the service refuses it, and
/// stores nothing. Each call runs in a task of its own and is not interrupted, also when it takes longer than the 10 seconds
/// after which jobs go on without it and try again later.
pub trait AccountProvider: Send + Sync + 'static {
    /// The access token of an account. `refused` is the token that this provider gave last, if the service has refused that one.
    ///
    /// # Errors
    ///
    /// [`TokenError::temporary`] for what passes by itself: jobs keep their places and try again. Any other error says to a
    /// person why there is no token, such as an account that the table does not have.
    fn token<'a>(
        &'a self,
        account: &'a str,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Provided, TokenError>>;
}

/// What an [`AccountProvider`] has for an account.
#[derive(Debug, Clone)]
pub struct Provided {
    token: Secret,
    ends: Option<SystemTime>,
    open_id: Option<String>,
}

impl Provided {
    /// A token that is used until the service refuses it.
    pub fn new(token: impl Into<Secret>) -> Self {
        Self {
            token: token.into(),
            ends: None,
            open_id: None,
        }
    }

    /// The provider is asked again after this time.
    #[must_use]
    pub fn until(mut self, ends: SystemTime) -> Self {
        self.ends = Some(ends);
        self
    }

    /// The token's creator, as this app knows it. The name of an account stands for one creator: a later token of another
    /// one is refused, and its job ends in [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) without a request.
    #[must_use]
    pub fn open_id(mut self, open_id: impl Into<String>) -> Self {
        self.open_id = Some(open_id.into());
        self
    }

    /// What was asked for after `last`: refused if it is another creator's. A creator that it does not name is still the last
    /// one's.
    fn after(mut self, last: Option<&Self>, account: &str) -> Result<Self, TokenError> {
        let before = last.and_then(|last| last.open_id.as_ref());
        match (before, &self.open_id) {
            (Some(before), Some(now)) if before != now => {
                let text = format!(
                    "the provider of tokens gave the account \"{account}\" first a token of the creator {before} and then one of {now}, and a name is one creator's"
                );
                Err(TokenError::from(text).helped_by(&[Remedy::NameAccount]))
            }
            _ => {
                self.open_id = self.open_id.or_else(|| before.cloned());
                Ok(self)
            }
        }
    }

    fn is_usable(&self, refused: Option<&Secret>) -> bool {
        let now = SystemTime::from(Now::read().wall);
        refused != Some(&self.token) && self.ends.is_none_or(|ends| now < ends)
    }
}

/// A provider, and the tokens that it has given.
pub(crate) struct Providing {
    provider: Arc<dyn AccountProvider>,
    known: Mutex<HashMap<String, Known>>,
}

/// The last token of an account. Held while the provider is asked, so that it is asked once at a time.
type Known = Arc<FairMutex<Option<Provided>>>;

impl fmt::Debug for Providing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Providing").finish_non_exhaustive()
    }
}

impl Providing {
    pub(crate) fn new(provider: impl AccountProvider) -> Self {
        Self {
            provider: Arc::new(provider),
            known: Mutex::default(),
        }
    }

    pub(crate) fn account(self: &Arc<Self>, name: &str) -> Account {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = ProvidedTokens {
            provider: Arc::clone(&self.provider),
            known: Arc::clone(known.entry(name.to_owned()).or_default()),
            name: name.to_owned(),
        };
        drop(known);
        Account::new(name, tokens)
    }
}

/// The tokens of one account.
struct ProvidedTokens {
    provider: Arc<dyn AccountProvider>,
    known: Known,
    name: String,
}

impl TokenSource for ProvidedTokens {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async move {
            let mut known = Arc::clone(&self.known).lock_owned().await;
            if let Some(known) = known.as_ref().filter(|known| known.is_usable(refused)) {
                return Ok(known.token.clone());
            }
            let last = known.as_ref().map(|known| &known.token);
            let refused = last.filter(|last| refused == Some(*last)).cloned();
            let (provider, name) = (Arc::clone(&self.provider), self.name.clone());
            let call = tokio::spawn(async move {
                let provided = provider.token(&name, refused.as_ref()).await?;
                let provided = provided.after(known.as_ref(), &name)?;
                let token = provided.token.clone();
                *known = Some(provided);
                Ok(token)
            });
            match tokio::time::timeout(clock::real(PATIENCE), call).await {
                Ok(Ok(token)) => token,
                Ok(Err(_)) => Err("the provider of tokens panicked".into()),
                Err(_) => Err(TokenError::temporary(format!(
                    "the provider of tokens did not answer within {} s",
                    PATIENCE.as_secs()
                ))),
            }
        })
    }

    /// As the last answer has named it. The token that comes with the answer is kept for the job that asks.
    fn open_id(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async {
            self.token(None).await.ok()?;
            self.known.lock().await.as_ref()?.open_id.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts its calls, and says which token was refused.
    struct Table {
        calls: Arc<AtomicUsize>,
        ends_in: Duration,
    }

    impl AccountProvider for Table {
        fn token<'a>(
            &'a self,
            account: &'a str,
            refused: Option<&'a Secret>,
        ) -> BoxFuture<'a, Result<Provided, TokenError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
                if account == "nobody" {
                    return Err("there is no account \"nobody\"".into());
                }
                let was_refused = refused.map_or("", |_| ".after");
                let token = format!("act.{account}.{call}{was_refused}");
                Ok(Provided::new(token).until(SystemTime::now() + self.ends_in))
            })
        }
    }

    fn providing(ends_in: Duration) -> (Arc<Providing>, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let table = Table {
            calls: Arc::clone(&calls),
            ends_in,
        };
        (Arc::new(Providing::new(table)), calls)
    }

    async fn token(account: &Account, refused: Option<&Secret>) -> Secret {
        let token = account.tokens().token(refused).await;
        token.expect("a token")
    }

    #[tokio::test]
    async fn many_jobs_ask_once_and_again_only_after_a_refusal_or_the_end() {
        let (providing, calls) = providing(Duration::from_secs(60));
        let asked = (0..16).map(|_| {
            let account = providing.account("lena");
            tokio::spawn(async move { token(&account, None).await })
        });
        let tokens = futures::future::join_all(asked).await;
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        let first = tokens[0].as_ref().expect("ran").clone();
        let lena = providing.account("lena");
        let second = token(&lena, Some(&first)).await;
        assert_eq!(second.expose(), "act.lena.2.after");
        // Others that were refused the same one.
        assert_eq!(token(&lena, Some(&first)).await, second);
        assert_eq!(
            token(&providing.account("mia"), None).await.expose(),
            "act.mia.3"
        );
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        let (short, calls) = self::providing(Duration::ZERO);
        let lena = short.account("lena");
        let first = token(&lena, None).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_ne!(token(&lena, None).await, first);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    /// Gives a token, and a creator if there is one, for each call.
    struct Creators(Mutex<Vec<Option<&'static str>>>);

    impl AccountProvider for Creators {
        fn token<'a>(
            &'a self,
            _: &'a str,
            _: Option<&'a Secret>,
        ) -> BoxFuture<'a, Result<Provided, TokenError>> {
            let mut left = self.0.lock().expect("no test panicked here");
            let (creator, call) = (left.remove(0), left.len());
            let provided = Provided::new(format!("act.lena.{call}"));
            let provided = match creator {
                Some(creator) => provided.open_id(creator),
                None => provided,
            };
            Box::pin(std::future::ready(Ok(provided)))
        }
    }

    #[tokio::test]
    async fn a_token_of_another_creator_is_refused_also_after_one_that_names_none() {
        let answers = [Some("o-lena"), None, Some("o-mia"), Some("o-lena")];
        let creators = Creators(Mutex::new(answers.to_vec()));
        let lena = Arc::new(Providing::new(creators)).account("lena");
        let first = token(&lena, None).await;
        let second = token(&lena, Some(&first)).await;
        let error = lena.tokens().token(Some(&second)).await;
        let error = error.expect_err("a token of mia");
        let text = error.to_string();
        for word in ["\"lena\"", "o-lena", "o-mia"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!error.is_temporary() && !text.contains("act."), "{text}");
        assert_eq!(error.remedies(), [Remedy::NameAccount]);
        // The earlier token is kept for those to whom the service did not refuse it.
        assert_eq!(token(&lena, None).await, second);
        assert_eq!(token(&lena, Some(&second)).await.expose(), "act.lena.0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_hangs_is_a_matter_of_time_and_one_without_the_account_of_a_person() {
        struct Hanging;
        impl AccountProvider for Hanging {
            fn token<'a>(
                &'a self,
                _: &'a str,
                _: Option<&'a Secret>,
            ) -> BoxFuture<'a, Result<Provided, TokenError>> {
                Box::pin(std::future::pending())
            }
        }
        let hanging = Arc::new(Providing::new(Hanging)).account("lena");
        let error = hanging.tokens().token(None).await.expect_err("no answer");
        assert!(
            error.is_temporary() && error.to_string().contains("10 s"),
            "{error}"
        );
        let (providing, _) = providing(Duration::from_secs(60));
        let error = providing.account("nobody").tokens().token(None).await;
        assert!(!error.expect_err("unknown").is_temporary());
    }
}
