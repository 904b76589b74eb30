//! The accounts of a directory, as their owner sees them.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::dir::Dir;
use super::stored::Stored;
use super::{Accounts, scopes};
use crate::error::Error;

/// What is known of an account that is logged in. Holds no token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogIn {
    /// The user's name for the account.
    pub account: String,
    /// The API base at which the creator logged in.
    pub api_base: String,
    /// The creator, as this app knows it.
    pub open_id: String,
    /// What the creator granted.
    pub scopes: BTreeSet<String>,
    /// When the access token ends. It is renewed before that.
    pub access_ends: SystemTime,
    /// When the refresh token ends, unless it is replaced before that. The creator must then log in again.
    pub refresh_ends: SystemTime,
    /// When the creator logged in.
    pub logged_in: SystemTime,
    /// Why the creator must log in again.
    pub needs_login: Option<String>,
}

impl Accounts {
    /// All accounts in the directory, by their names: what is known of each, or why nothing is (its seal cannot be opened). A file
    /// that is damaged is left out, and an error is logged that names the file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the directory cannot be read.
    pub async fn list(&self) -> Result<Vec<(String, Result<LogIn, Error>)>, Error> {
        let all = self.0.dir.run(Dir::all).await?.into_iter();
        Ok(all
            .map(|(name, stored)| (name, stored.map(LogIn::from)))
            .collect())
    }
}

impl From<Stored> for LogIn {
    fn from(stored: Stored) -> Self {
        Self {
            access_ends: stored.access_ends().into(),
            refresh_ends: stored.refresh_ends().into(),
            scopes: scopes(&stored.scopes),
            account: stored.name,
            api_base: stored.api_base,
            open_id: stored.open_id,
            logged_in: stored.logged_in.into(),
            needs_login: stored.needs_login,
        }
    }
}
