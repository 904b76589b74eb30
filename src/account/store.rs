//! Accounts that stay logged in: their tokens in files, renewed before they end.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::account::{Account, TokenError, TokenSource};
use crate::clock::Now;
use crate::error::{Error, Remedy};
use crate::secret::Secret;
use crate::tiktok::client::Client;
use crate::tiktok::client::oauth::AppKeys;
use crate::tiktok::oauth::Pkce;

mod dir;
mod list;
mod login;
mod renew;
mod seal;
mod stored;

use dir::Dir;
pub use list::LogIn;
pub use login::{LoggedIn, Login};
pub use seal::SealKeys;
use stored::Stored;

/// The app of TikTok's developer portal that creators log in to.
#[derive(Clone)]
pub struct App {
    client_key: String,
    client_secret: Secret,
    pkce: Pkce,
}

impl App {
    /// Takes the key and the secret that the portal shows.
    pub fn new(client_key: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self {
            client_key: client_key.into(),
            client_secret: client_secret.into(),
            pkce: Pkce::default(),
        }
    }

    /// Another form of the PKCE challenge than the documented one.
    #[must_use]
    pub fn pkce(mut self, pkce: Pkce) -> Self {
        self.pkce = pkce;
        self
    }

    fn keys(&self) -> AppKeys<'_> {
        AppKeys {
            client_key: &self.client_key,
            client_secret: &self.client_secret,
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("client_key", &self.client_key)
            .finish_non_exhaustive()
    }
}

/// The accounts that are logged in, one file each, and the app that renews their tokens. Cheap to clone.
///
/// Any number of processes can use one directory at once, also while an engine owns the state directory: a renewal is made by
/// one of them, and the others take its result. The files are readable by their owner alone, and hold tokens in the clear, or sealed
/// where [`Options::seal_keys`](crate::Options::seal_keys) gives keys. A refresh token has one owner: whatever else renews the same
/// token takes it away from this directory, and the other way round.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    dir: Dir,
    client: Client,
    api_base: String,
    app: Option<App>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("dir", &self.0.dir.path())
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// Whether an account of this name is in the directory `dir`.
    pub(crate) fn contains(dir: PathBuf, name: &str) -> bool {
        Dir::new(dir, None).contains(name)
    }

    /// Uses the directory `dir`, which is made when an account is first stored, and seals its files by `keys`. Without an app, accounts can be listed and
    /// their tokens used, but not renewed.
    pub(crate) fn new(
        dir: PathBuf,
        keys: Option<SealKeys>,
        client: Client,
        api_base: String,
        app: Option<App>,
    ) -> Self {
        Self(Arc::new(Inner {
            dir: Dir::new(dir, keys),
            client,
            api_base,
            app,
        }))
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        self.0.dir.path()
    }

    /// The account of this name, for a [`Job`](crate::Job). Its token is read from the directory at each call, and renewed
    /// once half of its life is over or the service has refused it.
    pub fn account(&self, name: &str) -> Account {
        Account::new(name, self.tokens(name)).replacing_creator()
    }

    /// The tokens of the account of this name: what [`account`](Self::account) pairs with the name.
    pub fn tokens(&self, name: &str) -> impl TokenSource + use<> {
        LoggedInAccount {
            accounts: self.clone(),
            name: name.to_owned(),
        }
    }

    /// The access token of an account, renewed if it is due or if the service has `refused` it.
    ///
    /// A renewal that has begun is a task of its own: it is finished even if this future is dropped. Its answer is durable before
    /// it is used. See [`finish_renewals`](Self::finish_renewals).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) if nobody is logged in under that name, or must log in again,
    /// and [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the service cannot be reached and the token has ended.
    pub async fn token(&self, name: &str, refused: Option<&Secret>) -> Result<Secret, Error> {
        renew::token(&self.0, name, refused).await
    }

    /// Renews the refresh tokens whose life is over by a third, so that accounts which are not used stay logged in. Returns
    /// the name of each account that was due or whose seal cannot be opened, and whether it was renewed.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn renew_idle(&self) -> Result<Vec<(String, Result<(), Error>)>, Error> {
        self.renew_where(|stored, now| stored.is_idle(now)).await
    }

    /// Renews every account, as a cron job may do. With seal keys, each file is then sealed by the first of them, also the file of
    /// an account that must log in again. Otherwise as [`renew_idle`](Self::renew_idle).
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn renew_all(&self) -> Result<Vec<(String, Result<(), Error>)>, Error> {
        let mut renewed = self.renew_where(|_, _| true).await?;
        for (name, stored) in self.0.dir.run(Dir::all).await? {
            if stored.is_ok_and(|stored| stored.needs_login.is_some())
                && let Err(error) = self.0.seal(&name).await
            {
                renewed.push((name, Err(error)));
            }
        }
        Ok(renewed)
    }

    async fn renew_where(
        &self,
        is_due: impl Fn(&Stored, Now) -> bool,
    ) -> Result<Vec<(String, Result<(), Error>)>, Error> {
        let mut renewed = Vec::new();
        for (name, stored) in self.0.dir.run(Dir::all).await? {
            let outcome = match stored {
                Ok(stored) if stored.needs_login.is_some() || !is_due(&stored, Now::read()) => {
                    continue;
                }
                Ok(_) => self.renew(&name).await,
                Err(error) => Err(error),
            };
            renewed.push((name, outcome));
        }
        Ok(renewed)
    }

    /// Waits until no renewal of this process is between its request and the record of its answer. Call it before the process or
    /// its runtime ends: an answer that is lost there can cost the login.
    pub async fn finish_renewals() {
        drop(renew::RENEWING.write().await);
    }

    /// Renews the tokens of one account now.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token), and also where the token has not ended.
    pub async fn renew(&self, name: &str) -> Result<(), Error> {
        let stored = self.0.stored(name).await?;
        let renewed = renew::token(&self.0, name, Some(&stored.access)).await;
        renewed.map(drop)
    }

    /// Takes over a refresh token that another program has used: it is exchanged for a new pair at once, and belongs to this
    /// directory from then on. If the exchange fails for now, the next call of [`token`](Self::token) makes it.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) also if the account is logged in
    /// already.
    pub async fn import(&self, name: &str, refresh: &Secret) -> Result<(), Error> {
        let inner = &self.0;
        let app = inner.app.as_ref().ok_or_else(|| Error::no_app(name))?;
        let stored = Stored::imported(name, &inner.api_base, &app.client_key, refresh.clone());
        let locked = inner.dir.lock(name).await?;
        let is_new = inner.dir.run(move |dir| {
            let is_new = dir
                .read(&stored.name)?
                .is_none_or(|of| of.needs_login.is_some());
            is_new.then(|| dir.write(&stored)).transpose()
        });
        let is_new = is_new.await?.is_some();
        drop(locked);
        match is_new {
            true => renew::token(inner, name, None).await.map(drop),
            false => Err(Error::account_taken(name)),
        }
    }

    /// Takes the app's access to the creator back at the service, and forgets the account. Returns whether the service has
    /// confirmed that; the account is forgotten in any case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) if there is no such account, and
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if its file cannot be removed.
    pub async fn log_out(&self, name: &str) -> Result<bool, Error> {
        let inner = &self.0;
        let _lock = inner.dir.lock(name).await?;
        let stored = inner.stored(name).await?;
        let revoked = match inner.app(&stored) {
            Ok(app) => inner
                .client
                .revoke(app.keys(), &stored.access)
                .await
                .is_ok(),
            Err(_) => false,
        };
        let name = name.to_owned();
        inner.dir.run(move |dir| dir.forget(&name)).await?;
        Ok(revoked)
    }
}

impl Inner {
    /// Writes an account as it is, by the first of the seal keys.
    async fn seal(&self, name: &str) -> Result<(), Error> {
        let _lock = self.dir.lock(name).await?;
        let name = name.to_owned();
        self.dir.run(move |dir| dir.seal(&name)).await
    }

    /// The account of this name, which must be logged in at this API base.
    async fn stored(&self, name: &str) -> Result<Stored, Error> {
        let of = name.to_owned();
        let stored = self.dir.run(move |dir| dir.read(&of)).await?;
        let stored = stored.ok_or_else(|| Error::not_logged_in(name))?;
        match stored.api_base == self.api_base {
            true => Ok(stored),
            false => Err(Error::logged_in_elsewhere(name, &stored.api_base)),
        }
    }

    /// The app that this account is logged in to.
    fn app(&self, stored: &Stored) -> Result<&App, Error> {
        let app = self
            .app
            .as_ref()
            .ok_or_else(|| Error::no_app(&stored.name))?;
        match app.client_key == stored.client_key {
            true => Ok(app),
            false => Err(Error::other_app(&stored.name)),
        }
    }
}

/// The scopes in a list with commas.
fn scopes(list: &str) -> BTreeSet<String> {
    let scopes = list.split(',').map(str::trim);
    let scopes = scopes.filter(|scope| !scope.is_empty());
    scopes.map(str::to_owned).collect()
}

/// The tokens of one account.
struct LoggedInAccount {
    accounts: Accounts,
    name: String,
}

impl TokenSource for LoggedInAccount {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async move {
            let token = self.accounts.token(&self.name, refused).await;
            token.map_err(|error| {
                let remedies = error.remedies().to_vec();
                let is_retryable = error.is_retryable();
                let cause = match std::error::Error::source(&error) {
                    Some(cause) => format!("{error}: {cause}"),
                    None => error.to_string(),
                };
                let error = match is_retryable {
                    true => TokenError::temporary(cause),
                    false => TokenError::from(cause),
                };
                error.helped_by(&remedies)
            })
        })
    }

    fn open_id(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async {
            let stored = self.accounts.0.stored(&self.name).await.ok()?;
            Some(stored.open_id).filter(|open_id| !open_id.is_empty())
        })
    }
}

/// How long a process waits for another one that renews the same account.
const PATIENCE: Duration = Duration::from_secs(50);

fn log_in(account: &str) -> Remedy {
    Remedy::LogIn {
        account: account.to_owned(),
    }
}

#[cfg(all(test, feature = "emulator"))]
mod tests;
