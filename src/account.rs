//! The account of an upload: a name that the user chose, and the source of its access tokens.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::error::remedy::Remedy;
use crate::secret::Secret;
use crate::upload::outage::Outages;

pub(crate) mod provider;
pub(crate) mod store;

/// A source of access tokens; asked before each call of the API.
///
/// Tokens rotate every few hours, so a long upload outlives its first one. The engine never stores a token and derives
/// nothing from it. A plain [`Secret`], `String` or `&str` is a source that always returns the same token.
///
/// Each call runs to its end, in a task of its own: the engine stops waiting after 60 seconds (10, when it only checks a
/// delivered draft) or when the upload is dropped, but never interrupts the call. So a spent refresh token is never lost
/// half way. Calls for several uploads can overlap; a source that refreshes keeps a lock meanwhile:
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use chunkferry::{Secret, TokenError, TokenSource};
/// use futures::future::BoxFuture;
/// use tokio::sync::Mutex;
///
/// /// What the service's token endpoint answers.
/// struct Granted {
///     access: Secret,
///     refresh: Secret,
///     expires: Instant,
/// }
///
/// /// Caches the access token until it expires, or until the service refuses it.
/// struct OAuth(Mutex<Granted>);
///
/// impl TokenSource for OAuth {
///     fn token<'a>(
///         &'a self,
///         refused: Option<&'a Secret>,
///     ) -> BoxFuture<'a, Result<Secret, TokenError>> {
///         Box::pin(async move {
///             let mut granted = self.0.lock().await;
///             let expires_soon = granted.expires < Instant::now() + Duration::from_secs(60);
///             if expires_soon || refused == Some(&granted.access) {
///                 *granted = refresh(&granted.refresh).await?;
///             }
///             Ok(granted.access.clone())
///         })
///     }
/// }
///
/// /// Asks the token endpoint, and stores the new refresh token: the old one is worth nothing any more.
/// async fn refresh(refresh: &Secret) -> Result<Granted, TokenError> {
/// #   let post = async |_: &str, _: &Secret| Ok::<_, std::io::Error>((200, ("act.lena.2", "rft.lena.2")));
/// #   let store = async |_: &str| Ok::<_, std::io::Error>(());
///     let (status, (access, new)) = post("/v2/oauth/token/", refresh)
///         .await
///         .map_err(TokenError::temporary)?;
///     match status {
///         200 => {}
///         500.. => return Err(TokenError::temporary("the token endpoint is down")),
///         _ => return Err("Lena must log in again: https://app.example/login".into()),
///     }
///     store(new).await?;
///     Ok(Granted {
///         access: access.into(),
///         refresh: new.into(),
///         expires: Instant::now() + Duration::from_secs(24 * 3600),
///     })
/// }
/// # let granted = Granted { access: "act.lena.1".into(), refresh: "rft.lena.1".into(), expires: Instant::now() };
/// # let token = futures::FutureExt::now_or_never(OAuth(Mutex::new(granted)).token(None)).unwrap();
/// # assert_eq!(token.unwrap().expose(), "act.lena.2");
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// The token to use now, without `Bearer`.
    ///
    /// `refused` is a token of this source that the service has just refused (`access_token_invalid`): a source that
    /// keeps tokens drops that one and gets another. If it returns the same token again, the upload stops and a person
    /// must act.
    ///
    /// # Errors
    ///
    /// [`TokenError::temporary`] if the same call can succeed later: it is repeated up to 6 times with waits of up to 20
    /// seconds, and then the upload ends as [`ErrorKind::Temporary`](crate::ErrorKind::Temporary). So does a call that
    /// takes longer than 60 seconds. The text of any other error explains to a person why there is no token and what to
    /// do; the upload ends at once as [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson). In both cases the same
    /// job can be continued later.
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, TokenError>>;

    /// The open_id of the creator whose tokens these are, where the source knows it without asking the service. Drafts and windows
    /// are then kept by creator: two names of one creator share them, and a name that has stood for another creator ends the job in
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) before any request. By default it is not known.
    fn open_id(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { None })
    }
}

impl TokenSource for Secret {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async { Ok(self.clone()) })
    }
}

impl TokenSource for String {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async { Ok(Secret::new(self)) })
    }
}

impl TokenSource for &'static str {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async { Ok(Secret::new(self)) })
    }
}

impl<T: TokenSource> TokenSource for Arc<T> {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, TokenError>> {
        (**self).token(refused)
    }

    fn open_id(&self) -> BoxFuture<'_, Option<String>> {
        (**self).open_id()
    }
}

/// Why a [`TokenSource`] has no token, or a [`UrlSource`](crate::UrlSource) no URL.
///
/// Any error, and any text, converts into an error that a person must handle; [`temporary`](Self::temporary) marks
/// errors that pass by themselves. The text is shown, so it must hold no secret.
#[derive(Debug)]
pub struct TokenError {
    cause: Box<dyn std::error::Error + Send + Sync>,
    temporary: bool,
    unknown: bool,
    remedies: Vec<Remedy>,
}

impl TokenError {
    /// An error that passes by itself: a timeout, a 503, a lost connection.
    pub fn temporary(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            cause: cause.into(),
            temporary: true,
            unknown: false,
            remedies: Vec::new(),
        }
    }

    /// The source has no account of that name: a job for it is not accepted.
    pub fn unknown_account(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            unknown: true,
            ..Self::from(cause)
        }
    }

    /// Whether the source has no such account.
    pub const fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Whether the same call can succeed later, without anybody doing anything.
    pub const fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// What helps, where a fresh token from the source would not.
    pub(crate) fn helped_by(mut self, remedies: &[Remedy]) -> Self {
        self.remedies = remedies.to_vec();
        self
    }

    pub(crate) fn remedies(&self) -> &[Remedy] {
        &self.remedies
    }

    pub(crate) fn into_cause(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.cause
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for TokenError {
    fn from(cause: E) -> Self {
        Self {
            cause: cause.into(),
            temporary: false,
            unknown: false,
            remedies: Vec::new(),
        }
    }
}

/// One creator's account, under a name that the user chooses.
///
/// The name, not the token, keeps the uploads of accounts apart: no two drafts of the same bytes for one name, nor for two names
/// of a creator whose open_id is known ([`TokenSource::open_id`], [`Options::check_creator`](crate::Options::check_creator)).
/// Cheap to clone.
#[derive(Clone)]
pub struct Account {
    name: Arc<str>,
    tokens: Arc<dyn TokenSource>,
    /// Outages of the token source.
    tokenless: Arc<Outages>,
    /// A person has decided whose account this is, so the creator of its tokens takes the place of an earlier one.
    is_decided: bool,
}

impl Account {
    /// The name of an account without a given one.
    pub const DEFAULT: &'static str = "default";

    /// Makes an account of a name and a token source.
    pub fn new(name: &str, tokens: impl TokenSource) -> Self {
        Self {
            name: name.into(),
            tokens: Arc::new(tokens),
            tokenless: Arc::default(),
            is_decided: false,
        }
    }

    /// The same account, of which a person has decided whose it is: the creator that its tokens name ([`TokenSource::open_id`]) takes
    /// the place of an earlier one, instead of ending jobs as another creator's. The drafts of the two are kept apart.
    #[must_use]
    pub fn replacing_creator(self) -> Self {
        Self {
            is_decided: true,
            ..self
        }
    }

    pub(crate) const fn is_decided(&self) -> bool {
        self.is_decided
    }

    /// The name that the user chose.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same account; its calls for a token keep `alive` until they end.
    pub(crate) fn keeping(&self, alive: impl Send + Sync + 'static) -> Self {
        struct Keeping<K>(Arc<dyn TokenSource>, K);
        impl<K: Send + Sync + 'static> TokenSource for Keeping<K> {
            fn token<'a>(
                &'a self,
                refused: Option<&'a Secret>,
            ) -> BoxFuture<'a, Result<Secret, TokenError>> {
                self.0.token(refused)
            }

            fn open_id(&self) -> BoxFuture<'_, Option<String>> {
                self.0.open_id()
            }
        }
        Self {
            name: Arc::clone(&self.name),
            tokens: Arc::new(Keeping(self.tokens(), alive)),
            tokenless: Arc::clone(&self.tokenless),
            is_decided: self.is_decided,
        }
    }

    pub(crate) fn tokenless(&self) -> &Outages {
        &self.tokenless
    }

    pub(crate) fn tokens(&self) -> Arc<dyn TokenSource> {
        Arc::clone(&self.tokens)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
