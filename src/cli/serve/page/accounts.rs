//! The accounts that the page shows: where their tokens come from, and what they need of a person.

use std::time::{Duration, Instant, SystemTime};

use chunkferry::Accounts;
use tokio::sync::{Mutex, OnceCell};

use crate::accounts::{Listed, is_taken_over, names, needs};
use crate::config::TokenFrom;
use crate::serve::Service;

/// How long what was read is used: a page that is open asks every second.
const FRESH: Duration = Duration::from_secs(5);

/// How long a drive, or the command that prints a seal key, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// An account, as far as it is known without asking anybody.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    /// The key of the config file, or `login`.
    pub(super) source: &'static str,
    /// What a person must do, and whether a login helps.
    pub(super) needs: Option<(String, bool)>,
    /// When its login ends, unless it is renewed before.
    pub(super) ends: Option<SystemTime>,
}

/// The accounts as they were a few seconds ago.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Opened once: to open them may run a command.
    stored: OnceCell<Accounts>,
    last: Mutex<Option<(Instant, Vec<Named>)>>,
}

impl Known {
    /// All accounts; an error says why those that log in cannot be read.
    pub(super) async fn all(&self, service: &Service) -> Result<Vec<Named>, String> {
        let reading = tokio::time::timeout(PATIENCE, self.read(service)).await;
        reading.unwrap_or_else(|_| Err("their directory does not answer".to_owned()))
    }

    async fn read(&self, service: &Service) -> Result<Vec<Named>, String> {
        let mut read = self.last.lock().await;
        if let Some((at, named)) = &*read
            && at.elapsed() < FRESH
        {
            return Ok(named.clone());
        }
        let open = || async {
            let opened = service.globals.accounts_of(None).await;
            opened.map_err(|failure| failure.message)
        };
        let stored = self.stored.get_or_try_init(open).await?;
        let listed = stored.list().await.map_err(|error| error.to_string())?;
        let named = named(service, &listed);
        *read = Some((Instant::now(), named.clone()));
        Ok(named)
    }
}

fn named(service: &Service, listed: &[Listed]) -> Vec<Named> {
    let globals = &service.globals;
    let all = names(globals, listed).into_iter().map(|name| {
        let from = globals.tokens(name).0;
        let login = listed.iter().find(|(of, _)| of == name);
        let login = login.map(|(_, login)| login.as_ref());
        let (needs, ends) = match from {
            TokenFrom::Login => {
                let known = login.and_then(Result::ok).filter(|of| !is_taken_over(of));
                let needs = needs(login).map(|needs| (needs.why, needs.login));
                (needs, known.map(|login| login.refresh_ends))
            }
            _ => (None, None),
        };
        Named {
            name: name.to_owned(),
            source: from.key(),
            needs,
            ends,
        }
    });
    all.collect()
}
