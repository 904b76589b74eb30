//! Why there is no access token.

use std::error::Error;
use std::fmt;

/// Why a [`TokenSource`](crate::TokenSource) has no token now.
///
/// Any error, and any text, turns into one that a person must see to; [`temporary`](Self::temporary) marks those that
/// pass by themselves. What it says is shown, so it must hold no secret.
#[derive(Debug)]
pub struct TokenError {
    cause: Box<dyn Error + Send + Sync>,
    temporary: bool,
}

impl TokenError {
    /// The same call can succeed later, without anybody doing anything: a timeout, a 503, a lost connection.
    pub fn temporary(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            cause: cause.into(),
            temporary: true,
        }
    }

    pub(crate) const fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(crate) fn into_cause(self) -> Box<dyn Error + Send + Sync> {
        self.cause
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for TokenError {
    fn from(cause: E) -> Self {
        Self {
            cause: cause.into(),
            temporary: false,
        }
    }
}
