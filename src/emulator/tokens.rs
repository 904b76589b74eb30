//! The codes and tokens that this server issued, and their lifetimes.

use std::time::Duration;

use super::bounded::{LastKeys, MOST_KEYS};
use super::clock::Moment;
use super::settings::{Auth, RefreshRotation, Settings, TokenLifetimes};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// All scopes of this server; a token without a detailed consent has them all.
pub(crate) const ALL_SCOPES: &str =
    "user.info.basic,user.info.profile,user.info.stats,video.list,video.publish,video.upload";

/// The last 10,000 of each kind.
#[derive(Debug)]
pub(crate) struct Tokens {
    codes: LastKeys<String, Code>,
    /// Granted scopes by client and creator, which need not be requested again.
    consents: LastKeys<(String, String), String>,
    access: LastKeys<String, Access>,
    refresh: LastKeys<String, Refresh>,
    /// Tokens that a fault or a revocation has invalidated.
    dead: LastKeys<String, ()>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            codes: LastKeys::new(MOST_KEYS),
            consents: LastKeys::new(MOST_KEYS),
            access: LastKeys::new(MOST_KEYS),
            refresh: LastKeys::new(MOST_KEYS),
            dead: LastKeys::new(MOST_KEYS),
        }
    }
}

/// A creator's consent.
#[derive(Clone, Debug)]
pub(crate) struct Consent {
    pub(crate) creator: String,
    pub(crate) scopes: String,
    pub(crate) client_key: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) consent: Consent,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<String>,
}

#[derive(Debug)]
struct Access {
    consent: Consent,
    expires: Moment,
}

#[derive(Debug)]
struct Refresh {
    consent: Consent,
    expires: Moment,
    replaced: Option<Moment>,
    uses: u64,
}

/// A pair of tokens, as the token endpoint returns it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) expires_in: u64,
    pub(crate) refresh: String,
    pub(crate) refresh_expires_in: u64,
    pub(crate) consent: Consent,
}

/// Why a bearer token is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Invalid,
    Scope,
}

impl Tokens {
    /// Checks that a bearer may make a call that needs one of `scopes`.
    pub(crate) fn admit(
        &self,
        token: &str,
        scopes: &[&str],
        now: Moment,
        settings: &Settings,
    ) -> Result<(), Unfit> {
        if self.dead.contains(token) {
            return Err(Unfit::Invalid);
        }
        let access = match (self.access.get(token), settings.auth) {
            (None, Auth::Any) => return Ok(()),
            (None, Auth::Issued) => return Err(Unfit::Invalid),
            (Some(access), Auth::Issued) if now >= access.expires => return Err(Unfit::Invalid),
            (Some(access), _) => access,
        };
        let granted = |scope: &&str| access.consent.scopes.split(',').any(|has| has == *scope);
        match scopes.is_empty() || scopes.iter().any(granted) {
            true => Ok(()),
            false => Err(Unfit::Scope),
        }
    }

    pub(crate) fn keep_consent(&mut self, consent: Consent) {
        let between = (consent.client_key, consent.creator);
        self.consents.insert(between, consent.scopes);
    }

    /// Whether the creator has agreed to all these scopes and not revoked it.
    pub(crate) fn has_consent(&self, client_key: &str, creator: &str, scopes: &str) -> bool {
        let between = (client_key.to_owned(), creator.to_owned());
        let given = self.consents.get(&between);
        given.is_some_and(|given| {
            let has = |scope| given.split(',').any(|one| one == scope);
            scopes.split(',').all(has)
        })
    }

    /// All creators with a consent.
    pub(crate) fn consenting(&self) -> impl Iterator<Item = &str> {
        let keys = self.consents.iter().map(|(key, _)| key);
        keys.map(|(_, creator)| creator.as_str())
    }

    pub(crate) fn keep_code(&mut self, text: String, code: Code) {
        self.codes.insert(text, code);
    }

    /// Takes a code out: it works once.
    pub(crate) fn take_code(&mut self, text: &str) -> Option<Code> {
        self.codes.remove(text)
    }

    /// Issues a new pair.
    pub(crate) fn issue(
        &mut self,
        consent: Consent,
        now: Moment,
        settings: &Settings,
        random: &mut fastrand::Rng,
    ) -> Pair {
        let refresh = format!("rft.{}.{:032x}", consent.creator, random.u128(..));
        let (_, lives) = lifetimes(settings);
        self.refresh.insert(
            refresh.clone(),
            Refresh {
                consent: consent.clone(),
                expires: now.plus(lives),
                replaced: None,
                uses: 0,
            },
        );
        self.pair(consent, refresh, now, settings, random)
    }

    /// Renews: a new access token, and a new refresh token if the rotation requires it.
    pub(crate) fn renew(
        &mut self,
        old: &str,
        now: Moment,
        settings: &Settings,
        random: &mut fastrand::Rng,
    ) -> Option<Pair> {
        if self.dead.contains(old) {
            return None;
        }
        let known = self.refresh.get_mut(old)?;
        let within_grace = known.replaced.is_none_or(|replaced| {
            let grace = settings.refresh_grace;
            grace.is_some_and(|grace| now.since(replaced) < grace)
        });
        if now >= known.expires || !within_grace {
            return None;
        }
        known.uses += 1;
        let consent = known.consent.clone();
        let rotates = match settings.refresh_rotation {
            RefreshRotation::Always => true,
            RefreshRotation::Sometimes => known.uses.is_multiple_of(2),
        };
        if !rotates {
            return Some(self.pair(consent, old.to_owned(), now, settings, random));
        }
        known.replaced = known.replaced.or(Some(now));
        Some(self.issue(consent, now, settings, random))
    }

    fn pair(
        &mut self,
        consent: Consent,
        refresh: String,
        now: Moment,
        settings: &Settings,
        random: &mut fastrand::Rng,
    ) -> Pair {
        let (lives, _) = lifetimes(settings);
        let access = format!("act.{}.{:032x}", consent.creator, random.u128(..));
        let held = Access {
            consent: consent.clone(),
            expires: now.plus(lives),
        };
        self.access.insert(access.clone(), held);
        let refresh_lives = self
            .refresh
            .get(&refresh)
            .map(|held| held.expires.since(now));
        Pair {
            access,
            expires_in: lives.as_secs(),
            refresh,
            refresh_expires_in: refresh_lives.unwrap_or_default().as_secs(),
            consent,
        }
    }

    /// Invalidates one token.
    pub(crate) fn kill(&mut self, token: &str) {
        self.dead.insert(token.to_owned(), ());
    }

    /// Revokes all tokens of this token's creator for its client; returns the creator.
    pub(crate) fn revoke(&mut self, token: &str, creator: &str) -> String {
        let held = self.access.get(token).map(|access| &access.consent);
        let held = held.or_else(|| self.refresh.get(token).map(|refresh| &refresh.consent));
        let creator = held.map_or_else(|| creator.to_owned(), |held| held.creator.clone());
        let access = self
            .access
            .iter()
            .map(|(token, held)| (token, &held.consent));
        let refresh = self
            .refresh
            .iter()
            .map(|(token, held)| (token, &held.consent));
        let theirs = access
            .chain(refresh)
            .filter(|(_, held)| held.creator == creator);
        for token in theirs.map(|(token, _)| &**token).chain([token]) {
            self.dead.insert(token.to_owned(), ());
        }
        self.consents.retain(|(_, known)| *known != creator);
        creator
    }

    pub(crate) fn revive(&mut self, token: &str) {
        self.dead.remove(token);
    }
}

/// Lifetimes of access and refresh token (D OA-new; D OA; which is in force is O-18).
fn lifetimes(settings: &Settings) -> (Duration, Duration) {
    let (access, refresh) = match settings.token_lifetimes {
        TokenLifetimes::Short => (2 * HOUR, 180 * DAY),
        TokenLifetimes::Long => (24 * HOUR, 365 * DAY),
    };
    (settings.access_lifetime.unwrap_or(access), refresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent() -> Consent {
        Consent {
            creator: "lena".to_owned(),
            scopes: "video.upload".to_owned(),
            client_key: "key".to_owned(),
        }
    }

    fn settings(set: &[&str]) -> Settings {
        let mut settings = Settings::default();
        for pair in set {
            settings.set_pair(pair).unwrap();
        }
        settings
    }

    const START: Moment = Moment(Duration::ZERO);

    #[test]
    fn a_replaced_refresh_token_is_worth_nothing_unless_there_is_grace() {
        let random = &mut fastrand::Rng::with_seed(1);
        for (set, works) in [(&[][..], false), (&["refresh_grace=60s"][..], true)] {
            let settings = settings(set);
            let mut tokens = Tokens::default();
            let first = tokens.issue(consent(), START, &settings, random);
            let second = tokens
                .renew(&first.refresh, START, &settings, random)
                .unwrap();
            assert_ne!(first.refresh, second.refresh);
            let again = tokens.renew(&first.refresh, START, &settings, random);
            assert_eq!(again.is_some(), works);
            let late = START.plus(Duration::from_secs(60));
            assert!(
                tokens
                    .renew(&first.refresh, late, &settings, random)
                    .is_none()
            );
        }
    }

    #[test]
    fn a_token_never_outlives_its_time_or_its_scopes() {
        let random = &mut fastrand::Rng::with_seed(1);
        let settings = settings(&["auth=issued"]);
        let mut tokens = Tokens::default();
        let pair = tokens.issue(consent(), START, &settings, random);
        let admit = |tokens: &Tokens, scopes: &[&str], at| {
            tokens.admit(&pair.access, scopes, at, &settings)
        };
        assert_eq!(admit(&tokens, &["video.upload"], START), Ok(()));
        assert_eq!(admit(&tokens, &["video.publish"], START), Err(Unfit::Scope));
        let late = START.plus(2 * HOUR);
        assert_eq!(admit(&tokens, &["video.upload"], late), Err(Unfit::Invalid));
        tokens.revoke(&pair.refresh, "");
        assert_eq!(
            admit(&tokens, &["video.upload"], START),
            Err(Unfit::Invalid)
        );
    }
}
