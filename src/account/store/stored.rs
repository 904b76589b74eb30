//! An account as its file holds it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::Granted;
use crate::clock::{Now, Timestamp};
use crate::secret::Secret;

/// The version of this form of an account, in the clear or within a seal.
const VERSION: u32 = 1;

/// `accounts/NAME.json`. Has no `Debug`, because it holds tokens.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) api_base: String,
    pub(super) client_key: String,
    pub(super) open_id: String,
    pub(super) scopes: String,
    #[serde(with = "crate::secret::stored")]
    pub(super) access: Secret,
    access_seconds: u64,
    #[serde(with = "crate::secret::stored")]
    pub(super) refresh: Secret,
    refresh_seconds: u64,
    /// Counts the pairs of tokens that were stored.
    pub(super) generation: u64,
    pub(super) logged_in: Timestamp,
    /// When the request for this pair left: its life ends no later than counted from here.
    asked: Timestamp,
    /// When a renewal of this pair began whose answer is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renewing: Option<Timestamp>,
    /// Why the creator must log in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) needs_login: Option<String>,
}

/// An answer of the token endpoint that is not taken in yet: `accounts/NAME.answer`.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    /// Of the pair that it replaces.
    pub(super) generation: u64,
    pub(super) asked: Timestamp,
    pub(super) http_status: u16,
    #[serde(with = "crate::secret::stored")]
    pub(super) body: Secret,
}

impl Stored {
    /// A new account, or a new login of one.
    pub(super) fn new(
        name: &str,
        api_base: &str,
        client_key: &str,
        granted: Granted,
        asked: Timestamp,
        generation: u64,
    ) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            api_base: api_base.to_owned(),
            client_key: client_key.to_owned(),
            open_id: granted.open_id,
            scopes: granted.scopes,
            access: granted.access,
            access_seconds: granted.access_lives.as_secs(),
            refresh: granted.refresh,
            refresh_seconds: granted.refresh_lives.as_secs(),
            generation,
            logged_in: asked,
            asked,
            renewing: None,
            needs_login: None,
        }
    }

    /// An account of which there is only a refresh token: its first access token is due.
    pub(super) fn imported(name: &str, api_base: &str, client_key: &str, refresh: Secret) -> Self {
        let granted = Granted {
            access: Secret::none(),
            access_lives: Duration::ZERO,
            refresh,
            refresh_lives: Duration::ZERO,
            open_id: String::new(),
            scopes: String::new(),
        };
        Self::new(name, api_base, client_key, granted, Now::read().wall, 0)
    }

    /// The same account with the next pair.
    pub(super) fn renewed(&self, granted: Granted, asked: Timestamp) -> Self {
        let (name, base, key) = (&self.name, &self.api_base, &self.client_key);
        let next = Self::new(name, base, key, granted, asked, self.generation + 1);
        Self {
            logged_in: self.logged_in,
            ..next
        }
    }

    pub(super) fn access_ends(&self) -> Timestamp {
        self.asked.plus(Duration::from_secs(self.access_seconds))
    }

    pub(super) fn refresh_ends(&self) -> Timestamp {
        self.asked.plus(Duration::from_secs(self.refresh_seconds))
    }

    /// Whether the access token is to be replaced: half of its life is over, or the service has refused it.
    pub(super) fn is_due(&self, refused: Option<&Secret>, now: Now) -> bool {
        refused == Some(&self.access) || self.is_older_than(self.access_seconds, 2, now)
    }

    /// Whether the access token can still be used.
    pub(super) fn is_alive(&self, refused: Option<&Secret>, now: Now) -> bool {
        refused != Some(&self.access) && now.wall < self.access_ends()
    }

    /// Whether a third of the refresh token's life is over.
    pub(super) fn is_idle(&self, now: Now) -> bool {
        self.is_older_than(self.refresh_seconds, 3, now)
    }

    fn is_older_than(&self, seconds: u64, share: u32, now: Now) -> bool {
        let age = Duration::from_millis(now.wall.0.saturating_sub(self.asked.0));
        // A clock that was set back makes a token look as if it came from the future: that one is replaced, too.
        now.wall < self.asked || age >= Duration::from_secs(seconds) / share
    }
}
