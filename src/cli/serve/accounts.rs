//! The accounts that jobs may name: those that the command itself can use by their names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use chunkferry::{Account, AccountProvider, Escaped, Provided, Secret, TokenError, TokenSource};
use futures::future::BoxFuture;

use crate::config::TokenFrom;
use crate::globals::{Globals, Source, TOKEN_VARIABLE, account_name};
use crate::provider::Table;

/// How long a token is used before its source is asked again: files are rewritten, and logins renewed.
const FRESH: Duration = Duration::from_secs(60);

/// Leaves aside the sources of tokens that are no account's: a job's account would get a token of whoever set them. Also a remark
/// that names those that were set.
pub(super) fn by_name_alone(mut globals: Globals) -> (Globals, Option<String>) {
    let set = |id, option| (globals.source(id) > Source::Default).then_some(option);
    let variable = std::env::var_os(TOKEN_VARIABLE).filter(|token| !token.is_empty());
    let aside: Vec<&str> = [
        set("token_file", "token_file"),
        set("token_command", "token_command"),
        variable.map(|_| TOKEN_VARIABLE),
    ]
    .into_iter()
    .flatten()
    .collect();
    let remark = (!aside.is_empty()).then(|| {
        format!(
            "Jobs name their accounts, so tokens come from [accounts] and [token_provider] of the config file and from logins; left aside: {}.",
            aside.join(", ")
        )
    });
    globals.token_file = None;
    globals.token_command = None;
    // With a name, the variable serves no account that the config file lists.
    globals.account = Some(Account::DEFAULT.to_owned());
    (globals, remark)
}

/// Tokens by the names of accounts, from wherever the config file and the logins say.
pub(super) struct Named {
    globals: Arc<Globals>,
    table: Option<Table>,
    /// The sources that were asked, by account.
    known: Mutex<HashMap<String, Known>>,
}

/// A source of tokens, and what it was made from: an account may log in later, or out.
type Known = (TokenFrom, Arc<dyn TokenSource>);

impl Named {
    pub(super) fn new(globals: Arc<Globals>) -> Self {
        let table = globals
            .file
            .provider()
            .map(|provider| globals.table(provider));
        Self {
            globals,
            table,
            known: Mutex::default(),
        }
    }

    /// The source of an account's tokens; `None` if it is the provider's.
    fn source(&self, name: &str) -> Result<Option<Arc<dyn TokenSource>>, TokenError> {
        let from = self.globals.tokens(name).0;
        let by_nobody = matches!(from, TokenFrom::Variable(_));
        if by_nobody && self.globals.file.account(name).is_none() || account_name(name).is_err() {
            return Err(TokenError::unknown_account(format!(
                "neither the config file nor a login has \"{}\"",
                Escaped::new(name)
            )));
        }
        if from == TokenFrom::Provider {
            return Ok(None);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, source)) = known.get(name)
            && *of == from
        {
            return Ok(Some(Arc::clone(source)));
        }
        let source: Arc<dyn TokenSource> = match self.globals.token_source(name) {
            Some(tokens) => Arc::new(tokens),
            None => {
                let tokens = self.globals.tokens_of_login(name);
                Arc::new(tokens.map_err(|failure| failure.message)?)
            }
        };
        known.insert(name.to_owned(), (from, Arc::clone(&source)));
        Ok(Some(source))
    }
}

impl AccountProvider for Named {
    fn token<'a>(
        &'a self,
        account: &'a str,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Provided, TokenError>> {
        Box::pin(async move {
            match (self.source(account)?, &self.table) {
                (Some(source), _) => {
                    let provided = Provided::new(source.token(refused).await?);
                    let provided = provided.until(SystemTime::now() + FRESH);
                    Ok(match source.open_id().await {
                        Some(open_id) => provided.open_id(open_id),
                        None => provided,
                    })
                }
                (None, Some(table)) => table.token(account, refused).await,
                (None, None) => Err("there is no provider of tokens".into()),
            }
        })
    }
}
