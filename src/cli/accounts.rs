//! `accounts`: lists the accounts that commands can use, and renews, prints and imports the tokens of those that log in.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::time::SystemTime;

use chunkferry::{Error, Escaped, LogIn, Secret};
use clap::{Args, Subcommand};

use super::config::TokenFrom;
use super::exit::Exit;
use super::globals::account_name;
use super::words::when;
use super::{Failure, Globals, json, message};

/// List the accounts, where their tokens come from, and what they need
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, subcommand_value_name = "WHAT", after_help = "Example: chunkferry accounts refresh --all")]
pub(super) struct AccountsArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print a live access token, renewed if need be
    Token {
        /// Your name for the account
        #[arg(value_parser = account_name)]
        name: String,
    },
    /// Renew tokens now, as a cron job may do
    Refresh {
        /// Your names for the accounts
        #[arg(value_parser = account_name, required_unless_present = "all")]
        names: Vec<String>,
        /// Those of all accounts
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Take a refresh token over, from standard input; no other program may use it any more
    Import {
        /// Your name for the account
        #[arg(value_parser = account_name)]
        name: String,
    },
}

impl AccountsArgs {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let Some(what) = &self.what else {
            return list(globals).await;
        };
        let accounts = globals.accounts().await?;
        match what {
            What::Token { name } => {
                let token = accounts.token(name, None).await?;
                println!("{}", token.expose());
                Ok(Exit::DELIVERED)
            }
            What::Refresh { names, all } => {
                let renewed = match all {
                    true => accounts.renew_all().await?,
                    false => {
                        let mut renewed = Vec::new();
                        for name in names {
                            renewed.push((name.clone(), accounts.renew(name).await));
                        }
                        renewed
                    }
                };
                let exits = renewed.iter().map(|(name, end)| told(globals, name, end));
                Ok(exits.fold(Exit::DELIVERED, Exit::over))
            }
            What::Import { name } => {
                let mut token = String::new();
                BufReader::new(std::io::stdin())
                    .read_line(&mut token)
                    .map_err(|error| Failure::usage(format!("No token was read: {error}.")))?;
                accounts.import(name, &Secret::new(&token)).await?;
                Ok(told(globals, name, &Ok(())))
            }
        }
    }
}

fn told(globals: &Globals, name: &str, end: &Result<(), Error>) -> Exit {
    let text = match end {
        Ok(()) => "renewed".to_owned(),
        Err(error) => message::message(error),
    };
    if globals.json {
        let fields = serde_json::json!({ "renewed": end.is_ok(), "message": text });
        println!("{}", json::line("renewed", Some(name), fields));
    } else {
        println!("{}: {}", Escaped::new(name), Escaped::new(&text));
    }
    end.as_ref()
        .map_or_else(|error| Exit::of(error.kind()), |()| Exit::DELIVERED)
}

/// An account, or all accounts that the provider of tokens answers for.
struct Entry<'a> {
    name: Option<&'a str>,
    source: &'static str,
    /// Where its tokens are those of a login, as far as the login can be read.
    login: Option<&'a LogIn>,
    needs: Option<Needs>,
}

/// What a person must do about an account.
pub(super) struct Needs {
    pub(super) why: String,
    /// Where a login helps.
    pub(super) login: bool,
    exit: Exit,
}

/// An account that is logged in, or why its file cannot be read.
pub(super) type Listed = (String, Result<LogIn, Error>);

/// Lists the accounts of the config file, those that are logged in, and the provider of tokens. Asks nobody, and
/// runs no command but the one that prints the keys of sealed accounts.
async fn list(globals: &Globals) -> Result<Exit, Failure> {
    let logged_in = globals.accounts_of(None).await?.list().await?;
    let named = names(globals, &logged_in).into_iter().map(|name| {
        let from = globals.tokens(name).0;
        let login = logged_in.iter().find(|(of, _)| of == name);
        let login = login.map(|(_, login)| login.as_ref());
        let (login, needs) = match from {
            TokenFrom::Login => (login.and_then(Result::ok), needs(login)),
            _ => (None, None),
        };
        Entry {
            name: Some(name),
            source: from.key(),
            login,
            needs,
        }
    });
    let others = globals.provides().then(|| Entry {
        name: None,
        source: TokenFrom::Provider.key(),
        login: None,
        needs: None,
    });
    let entries: Vec<Entry<'_>> = named.chain(others).collect();
    let exits = entries.iter().filter_map(|entry| entry.needs.as_ref());
    let exit = exits.fold(Exit::DELIVERED, |exit, needs| exit.over(needs.exit));
    if globals.json {
        entries.iter().for_each(Entry::print_line);
        return Ok(exit);
    }
    if entries.is_empty() {
        eprintln!("Nobody is logged in. Log in: chunkferry login NAME");
    }
    let widths = entries.iter().map(|entry| entry.shown().chars().count());
    // A long name does not push all others to the right.
    let width = widths.filter(|width| *width <= 30).max().unwrap_or(0);
    entries.iter().for_each(|entry| entry.print(width));
    Ok(exit)
}

/// The accounts that the config file lists, and those that are logged in.
pub(super) fn names<'a>(globals: &'a Globals, logged_in: &'a [Listed]) -> BTreeSet<&'a str> {
    let listed = globals.file.accounts().map(|(name, _)| name);
    let stored = logged_in.iter().map(|(name, _)| &**name);
    listed.chain(stored).collect()
}

/// What a person must do before an account that logs in has a token.
pub(super) fn needs(login: Option<Result<&LogIn, &Error>>) -> Option<Needs> {
    let log_in = |why: String| Needs {
        why,
        login: true,
        exit: Exit::DELIVERED,
    };
    let login = match login {
        Some(Ok(login)) => login,
        Some(Err(error)) => {
            return Some(Needs {
                why: message::message(error),
                login: false,
                exit: Exit::of(error.kind()),
            });
        }
        None => return Some(log_in("nobody is logged in under this name".to_owned())),
    };
    match &login.needs_login {
        Some(reason) => Some(log_in(format!("its creator must log in again: {reason}"))),
        None if is_taken_over(login) => None,
        None if login.refresh_ends < SystemTime::now() => {
            Some(log_in("its login has ended".to_owned()))
        }
        None => None,
    }
}

/// Whether there is only a refresh token of another program, which was not exchanged yet.
pub(super) fn is_taken_over(login: &LogIn) -> bool {
    login.open_id.is_empty()
}

impl Entry<'_> {
    fn shown(&self) -> String {
        match self.name {
            Some(name) => Escaped::new(name).to_string(),
            None => "every other name".to_owned(),
        }
    }

    fn print_line(&self) {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        };
        let known = self.login.filter(|login| !is_taken_over(login));
        let fields = serde_json::json!({
            "open_id": known.map(|login| &login.open_id),
            "api_base": self.login.map(|login| &login.api_base),
            "scopes": known.map(|login| &login.scopes),
            "source": self.source,
            "access_ends": known.map(|login| seconds(login.access_ends)),
            "refresh_ends": known.map(|login| seconds(login.refresh_ends)),
            "needs_login": self.needs.as_ref().map(|needs| &needs.why),
        });
        println!("{}", json::line("account", self.name, fields));
    }

    fn print(&self, width: usize) {
        let state = match self.login {
            _ if self.needs.is_some() => "needs a person".to_owned(),
            Some(login) if is_taken_over(login) => "not exchanged yet".to_owned(),
            Some(login) => format!(
                "logged in until {} unless renewed",
                when(login.refresh_ends)
            ),
            None => String::new(),
        };
        let row = format!("{:<width$}  {:<14}  {state}", self.shown(), self.source);
        println!("{}", row.trim_end());
        if let Some(login) = self.login.filter(|login| !is_taken_over(login)) {
            let scopes: Vec<&str> = login.scopes.iter().map(String::as_str).collect();
            println!("  open_id  {}", Escaped::new(&login.open_id));
            println!("  scopes   {}", Escaped::new(&scopes.join(", ")));
        }
        if let (Some(needs), Some(name)) = (&self.needs, self.name) {
            println!("  {}", Escaped::new(&needs.why));
            if needs.login {
                println!("  Log in: chunkferry login {}", Escaped::new(name));
            }
        }
    }
}
