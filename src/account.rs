//! Who uploads: a name of the user's own and the source of its access tokens.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::secret::Secret;

/// Where an access token comes from; asked before each call of the API.
///
/// Tokens rotate every few hours, so a long upload outlives its first one. The engine never stores a token and derives
/// nothing from it. After the service has refused a token, the source is asked once more: return a fresh one then.
///
/// A plain [`Secret`], `String` or `&str` is a source that always gives the same token.
pub trait TokenSource: Send + Sync + 'static {
    /// The token to use now, without `Bearer`.
    ///
    /// # Errors
    ///
    /// Any error that says to a person why there is none and what to do; the upload stops and keeps its place.
    fn token(&self) -> BoxFuture<'_, Result<Secret, Box<dyn std::error::Error + Send + Sync>>>;
}

impl TokenSource for Secret {
    fn token(&self) -> BoxFuture<'_, Result<Secret, Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async { Ok(self.clone()) })
    }
}

impl TokenSource for String {
    fn token(&self) -> BoxFuture<'_, Result<Secret, Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async { Ok(Secret::new(self)) })
    }
}

impl TokenSource for &'static str {
    fn token(&self) -> BoxFuture<'_, Result<Secret, Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async { Ok(Secret::new(self)) })
    }
}

impl<T: TokenSource> TokenSource for Arc<T> {
    fn token(&self) -> BoxFuture<'_, Result<Secret, Box<dyn std::error::Error + Send + Sync>>> {
        (**self).token()
    }
}

/// One creator's account, under a name the user gives it.
///
/// The name, not the token, is what keeps one account's uploads apart from another's: no two drafts of the same bytes
/// for one name. Cheap to clone.
#[derive(Clone)]
pub struct Account {
    name: Arc<str>,
    tokens: Arc<dyn TokenSource>,
}

impl Account {
    /// Name used where none is given.
    pub const DEFAULT: &'static str = "default";

    /// Pairs a name with a source of tokens.
    pub fn new(name: &str, tokens: impl TokenSource) -> Self {
        Self {
            name: name.into(),
            tokens: Arc::new(tokens),
        }
    }

    /// The user's name for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn tokens(&self) -> &dyn TokenSource {
        &*self.tokens
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
