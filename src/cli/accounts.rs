//! `accounts`: lists the accounts that are logged in, and renews, prints and imports their tokens.

use std::io::{BufRead, BufReader};
use std::time::SystemTime;

use chunkferry::{Error, Escaped, LogIn, Secret};
use clap::{Args, Subcommand};

use super::exit::Exit;
use super::globals::account_name;
use super::words::when;
use super::{Failure, Globals, json, message};

/// List the accounts that are logged in
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
        let accounts = globals.accounts().await?;
        match &self.what {
            None => {
                let listed = accounts.list_all().await?;
                if listed.is_empty() && !globals.json {
                    eprintln!("Nobody is logged in. Log in: chunkferry login NAME");
                }
                let exits = listed.iter().map(|(name, login)| match login {
                    Ok(login) => show(globals, login),
                    Err(error) => show_unopened(globals, name, error),
                });
                Ok(exits.fold(Exit::DELIVERED, Exit::over))
            }
            Some(What::Token { name }) => {
                let token = accounts.token(name, None).await?;
                println!("{}", token.expose());
                Ok(Exit::DELIVERED)
            }
            Some(What::Refresh { names, all }) => {
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
            Some(What::Import { name }) => {
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

/// An account whose seal cannot be opened.
fn show_unopened(globals: &Globals, name: &str, error: &Error) -> Exit {
    let text = message::message(error);
    if globals.json {
        let fields = serde_json::json!({ "source": "login", "message": text });
        println!("{}", json::line("account", Some(name), fields));
    } else {
        println!("{}  {text}", Escaped::new(name));
    }
    Exit::of(error.kind())
}

fn show(globals: &Globals, account: &LogIn) -> Exit {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().as_secs()
    };
    if globals.json {
        let fields = serde_json::json!({
            "open_id": account.open_id,
            "api_base": account.api_base,
            "scopes": account.scopes,
            "source": "login",
            "access_ends": seconds(account.access_ends),
            "refresh_ends": seconds(account.refresh_ends),
            "needs_login": account.needs_login,
        });
        println!("{}", json::line("account", Some(&account.account), fields));
        return Exit::DELIVERED;
    }
    let scopes: Vec<&str> = account.scopes.iter().map(String::as_str).collect();
    println!(
        "{}  {}  logged in until {} unless renewed  ({})",
        Escaped::new(&account.account),
        Escaped::new(&account.open_id),
        when(account.refresh_ends),
        Escaped::new(&scopes.join(", "))
    );
    if let Some(reason) = &account.needs_login {
        let text = format!(
            "must log in again: {reason}. chunkferry login {}",
            account.account
        );
        println!("  {}", Escaped::new(&text));
    }
    Exit::DELIVERED
}
