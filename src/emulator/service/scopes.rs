//! Settings for all tokens and for single ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::creator::{creator_of, public_name};
use crate::settings::{SettingError, Settings, check_scope};

/// Most tokens with settings of their own.
const MOST_OWN: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Scopes {
    /// The settings of the start, which a reset restores.
    initial: Settings,
    base: Arc<Settings>,
    own: HashMap<String, Own>,
}

#[derive(Debug, Default)]
struct Own {
    pairs: BTreeMap<String, String>,
    effective: Arc<Settings>,
}

impl Scopes {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            base: Arc::new(settings.clone()),
            initial: settings,
            own: HashMap::new(),
        }
    }

    pub(crate) fn of(&self, token: Option<&str>) -> Arc<Settings> {
        let own = token.and_then(|token| self.own.get(token));
        Arc::clone(own.map_or(&self.base, |own| &own.effective))
    }

    /// The settings of single tokens, or of this one: creator, key, value. Tokens are not shown.
    pub(crate) fn chosen(&self, only: Option<&str>) -> Vec<(String, String, String)> {
        let mut chosen = Vec::new();
        let wanted = |(token, _): &(&String, &Own)| only.is_none_or(|only| only == *token);
        for (token, own) in self.own.iter().filter(wanted) {
            let whose = public_name(creator_of(token), token);
            let told =
                |(key, value): (&String, &String)| (whose.clone(), key.clone(), value.clone());
            chosen.extend(own.pairs.iter().map(told));
        }
        chosen.sort_unstable();
        chosen
    }

    /// Sets all pairs or none, for all or for one token.
    pub(crate) fn set(
        &mut self,
        token: Option<&str>,
        pairs: &[(String, String)],
    ) -> Result<(), SettingError> {
        let more = token.is_some_and(|token| !self.own.contains_key(token));
        if more && self.own.len() >= MOST_OWN {
            return Err(SettingError::TooManyTokens);
        }
        let mut settings = Settings::clone(&self.of(token));
        for (key, value) in pairs {
            if token.is_some() {
                check_scope(key)?;
            }
            settings.set(key, value)?;
        }
        match token {
            Some(token) => {
                let own = self.own.entry(token.to_owned()).or_default();
                own.pairs.extend(pairs.iter().cloned());
                own.effective = Arc::new(settings);
            }
            None => {
                self.base = Arc::new(settings);
                self.rebase();
            }
        }
        Ok(())
    }

    /// Restores the settings of the start, for all or for one token.
    pub(crate) fn reset(&mut self, token: Option<&str>) {
        match token {
            Some(token) => {
                self.own.remove(token);
            }
            None => {
                self.own.clear();
                self.base = Arc::new(self.initial.clone());
            }
        }
    }

    /// Applies the settings of single tokens on top of those for all.
    fn rebase(&mut self) {
        for own in self.own.values_mut() {
            let mut settings = Settings::clone(&self.base);
            for (key, value) in &own.pairs {
                // Every pair was accepted before, and other settings do not make it invalid.
                let _ = settings.set(key, value);
            }
            own.effective = Arc::new(settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap();
            (key.to_owned(), value.to_owned())
        };
        text.split_whitespace().map(pair).collect()
    }

    #[test]
    fn one_suite_never_sees_the_settings_of_another() {
        let mut scopes = Scopes::new(Settings::default());
        scopes.set(Some("a"), &pairs("replay=206")).unwrap();
        scopes
            .set(None, &pairs("limits=off replay_last=404"))
            .unwrap();
        let shown = |token, key| scopes.of(token).get(key);
        assert_eq!(shown(Some("a"), "replay").as_deref(), Some("206"));
        assert_eq!(shown(Some("a"), "limits").as_deref(), Some("off"));
        assert_eq!(shown(Some("b"), "replay").as_deref(), Some("416"));
        assert!(scopes.set(Some("a"), &pairs("clock=60x")).is_err());
    }

    #[test]
    fn half_a_change_is_never_kept() {
        let mut scopes = Scopes::new(Settings::default());
        assert!(scopes.set(None, &pairs("limits=off replay=999")).is_err());
        assert_eq!(*scopes.of(None), Settings::default());
        scopes.set(None, &pairs("limits=off")).unwrap();
        scopes.reset(None);
        assert_eq!(*scopes.of(None), Settings::default());
    }
}
