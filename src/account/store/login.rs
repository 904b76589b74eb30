//! A creator logs in: the address to open, and what the browser brings back from there.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::stored::Stored;
use super::{Accounts, renew, scopes};
use crate::clock::{Now, Timestamp};
use crate::error::Error;
use crate::secret::Secret;
use crate::tiktok::oauth::{Redirected, Wish};

/// A login that has begun: open [`url`](Self::url) in the creator's browser, and pass the address to which the browser is
/// sent to [`Accounts::finish_login`].
#[derive(Clone)]
pub struct Login(Begun);

/// A login that has begun, as `accounts/NAME.login` holds it. Apart from [`Login`], so that nobody outside of the store can
/// serialise its state and verifier.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) account: String,
    redirect_uri: String,
    scopes: String,
    #[serde(with = "crate::secret::stored")]
    state: Secret,
    #[serde(with = "crate::secret::stored")]
    verifier: Secret,
    url: String,
    began: Timestamp,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("account", &self.0.account)
            .field("redirect_uri", &self.0.redirect_uri)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// The address at which the creator consents. It may be shown and sent: without the verifier, which never leaves this
    /// machine but to the service, nobody can use the code that comes of it.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The account that is logged in.
    pub fn account(&self) -> &str {
        &self.0.account
    }
}

/// A login that was finished.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The creator, as this app knows it.
    pub open_id: String,
    /// What the creator granted.
    pub scopes: BTreeSet<String>,
    /// What was asked for and not granted.
    pub missing: BTreeSet<String>,
    /// Other accounts of the directory that are the same creator.
    pub aliases: Vec<String>,
}

impl Accounts {
    /// Begins a login. `redirect_uri` is an address of this machine on which the caller listens
    /// (`http://127.0.0.1:PORT/`), or one that is registered for the app; `asked` are the scopes, such as `video.upload`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) without an app.
    pub fn begin_login(
        &self,
        account: &str,
        redirect_uri: &str,
        asked: &[&str],
    ) -> Result<Login, Error> {
        let inner = &self.0;
        let app = inner.app.as_ref().ok_or_else(|| Error::no_app(account))?;
        let (state, verifier) = (random()?, random()?);
        let asked = asked.join(",");
        let wish = Wish {
            client_key: &app.client_key,
            scopes: &asked,
            redirect_uri,
            state: &state,
            verifier: &verifier,
            pkce: app.pkce,
        };
        Ok(Login(Begun {
            account: account.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            url: inner.client.consent_url(&wish).into(),
            scopes: asked,
            state,
            verifier,
            began: Now::read().wall,
        }))
    }

    /// Writes a login down, for another process to finish within a day. The account's earlier one is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if it cannot be written.
    pub async fn keep_login(&self, login: &Login) -> Result<(), Error> {
        let begun = login.0.clone();
        self.0.dir.run(move |dir| dir.keep_login(&begun)).await
    }

    /// The login of an account that was written down and not finished.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) if there is none.
    pub async fn kept_login(&self, account: &str) -> Result<Login, Error> {
        let of = account.to_owned();
        let kept = self.0.dir.run(move |dir| dir.login(&of)).await?;
        kept.map(Login).ok_or_else(|| Error::no_login(account))
    }

    /// Ends a login with the address to which the browser was sent, and stores the tokens durably.
    ///
    /// An account that is another creator's already is refused unless `replace` is set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the address holds neither a code nor an error,
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) if it belongs to another login, if the creator has not
    /// consented, or for another creator, and [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the service did not
    /// answer: the code may be spent then, and the login begins anew.
    pub async fn finish_login(
        &self,
        login: &Login,
        address: &str,
        replace: bool,
    ) -> Result<LoggedIn, Error> {
        let login = &login.0;
        let (inner, account) = (&self.0, &*login.account);
        let app = inner.app.as_ref().ok_or_else(|| Error::no_app(account))?;
        let redirected = Redirected::read(address).ok_or_else(Error::no_code)?;
        if Now::read().wall.since(login.began) > renew::LOGIN_LIVES {
            return Err(Error::login_expired(account));
        }
        if !equal(&redirected.state, &login.state) {
            return Err(Error::other_login(account));
        }
        let code = match redirected.code {
            Ok(code) => code,
            Err((error, description)) => {
                return Err(Error::no_consent(account, &error, &description));
            }
        };
        // A file that cannot be read refuses the login; better so before the code is spent.
        let of = account.to_owned();
        inner.dir.run(move |dir| dir.read(&of)).await?;
        let asked = Now::read().wall;
        let raw = inner
            .client
            .grant_by_code(app.keys(), &code, &login.redirect_uri, &login.verifier)
            .await;
        let granted = raw.and_then(|raw| inner.client.granted(&raw));
        let granted = granted.map_err(|failure| renew::error(account, failure))?;
        let _lock = inner.dir.lock(account).await?;
        let of = account.to_owned();
        let before = inner.dir.run(move |dir| dir.read(&of)).await?;
        // Of an account whose refresh token was taken over in vain nobody knows the creator.
        let known = before.as_ref().filter(|before| !before.open_id.is_empty());
        if known.is_some_and(|known| known.open_id != granted.open_id) && !replace {
            return Err(Error::account_taken(account));
        }
        let generation = before.map_or(0, |before| before.generation + 1);
        let (base, key) = (&inner.api_base, &app.client_key);
        let stored = Stored::new(account, base, key, granted, asked, generation);
        let (wanted, given) = (scopes(&login.scopes), scopes(&stored.scopes));
        let logged_in = LoggedIn {
            open_id: stored.open_id.clone(),
            missing: wanted.difference(&given).cloned().collect(),
            scopes: given,
            aliases: self.aliases(&stored).await?,
        };
        inner
            .dir
            .run(move |dir| {
                dir.write(&stored)?;
                dir.drop_kept(&stored.name)?;
                dir.drop_login(&stored.name)
            })
            .await?;
        Ok(logged_in)
    }

    /// Other names of the same creator.
    async fn aliases(&self, of: &Stored) -> Result<Vec<String>, Error> {
        let all = self.0.dir.run(super::Dir::all).await?;
        let all = all.into_iter().filter_map(|(_, stored)| stored.ok());
        let same = all.filter(|stored| {
            stored.name != of.name
                && stored.open_id == of.open_id
                && stored.client_key == of.client_key
                && stored.api_base == of.api_base
        });
        Ok(same.map(|stored| stored.name).collect())
    }
}

/// 256 random bits of the kernel, in hexadecimal.
fn random() -> Result<Secret, Error> {
    match random_bytes::<32>() {
        Ok(bytes) => Ok(Secret::new(&hex::encode(bytes))),
        Err(error) => Err(Error::temporary(format!("{error}."))),
    }
}

/// Random bytes of the kernel.
pub(super) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let read = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    match read {
        Ok(read) if read == bytes.len() => Ok(bytes),
        read => Err(io::Error::other(format!(
            "The kernel gives no random bytes ({read:?})"
        ))),
    }
}

/// Whether two secrets are the same, in a time that says nothing about where they differ.
fn equal(one: &Secret, other: &Secret) -> bool {
    Sha256::digest(one.expose()) == Sha256::digest(other.expose())
}
