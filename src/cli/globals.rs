//! Options of several subcommands.

use std::path::PathBuf;

use chunkferry::{Account, Escaped, Options, StateDir};
use clap::Args;

use super::Failure;
use super::token::Tokens;

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// Where the journal is kept [default: XDG state]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_STATE_DIR",
        value_name = "DIR",
        hide_env = true
    )]
    pub(super) state_dir: Option<PathBuf>,
    /// Where accounts that log in are kept [default: in the state directory]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_ACCOUNTS_DIR",
        value_name = "DIR",
        hide_env = true
    )]
    pub(super) accounts_dir: Option<PathBuf>,
    /// Another API, such as an emulator's
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_API_BASE",
        value_name = "URL",
        hide_env = true
    )]
    pub(super) api_base: Option<String>,
    /// Your name for the creator's account [default: default]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_ACCOUNT",
        value_name = "NAME",
        value_parser = account_name,
        hide_env = true
    )]
    pub(super) account: Option<String>,
    /// File with the access token [default: TIKTOK_ACCESS_TOKEN]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_TOKEN_FILE",
        value_name = "FILE",
        hide_env = true
    )]
    pub(super) token_file: Option<PathBuf>,
    /// Command that prints the access token, run at each call
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_TOKEN_COMMAND",
        value_name = "CMD",
        hide_env = true
    )]
    pub(super) token_command: Option<String>,
    /// Certificates (PEM) to trust besides the system's
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_CA_FILE",
        value_name = "FILE",
        hide_env = true
    )]
    pub(super) ca_file: Option<PathBuf>,
    /// One more host that upload URLs may name
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_UPLOAD_HOST",
        value_name = "HOST",
        hide_env = true
    )]
    pub(super) upload_host: Option<String>,
    /// Permit http to other machines: token and video in the clear
    #[arg(long, global = true, env = "CHUNKFERRY_ALLOW_HTTP", hide_env = true)]
    pub(super) allow_http: bool,
    /// Write JSON lines to stdout
    #[arg(long, global = true, env = "CHUNKFERRY_JSON", hide_env = true)]
    pub(super) json: bool,
    /// Ids of the options that were given on the command line; other values come from the environment.
    #[arg(skip)]
    pub(super) given: Vec<&'static str>,
}

/// The global options and the subcommands that use them.
pub(super) const GLOBALS: [(&str, &str, &[&str]); 10] = [
    (
        "state_dir",
        "--state-dir",
        &[
            "upload", "pull", "list", "status", "cancel", "forget", "bench", "login", "logout",
            "accounts",
        ],
    ),
    (
        "accounts_dir",
        "--accounts-dir",
        &[
            "upload", "pull", "status", "cancel", "login", "logout", "accounts",
        ],
    ),
    (
        "api_base",
        "--api-base",
        &[
            "upload", "pull", "status", "cancel", "bench", "login", "logout", "accounts",
        ],
    ),
    (
        "account",
        "--account",
        &["upload", "pull", "list", "status", "cancel", "forget"],
    ),
    (
        "token_file",
        "--token-file",
        &["upload", "pull", "status", "cancel"],
    ),
    (
        "token_command",
        "--token-command",
        &["upload", "pull", "status", "cancel"],
    ),
    (
        "ca_file",
        "--ca-file",
        &[
            "upload", "pull", "status", "cancel", "bench", "login", "logout", "accounts",
        ],
    ),
    ("upload_host", "--upload-host", &["upload", "bench"]),
    (
        "allow_http",
        "--allow-http",
        &[
            "upload", "pull", "status", "cancel", "bench", "login", "logout", "accounts",
        ],
    ),
    (
        "json",
        "--json",
        &[
            "upload", "pull", "plan", "list", "status", "cancel", "forget", "bench", "login",
            "logout", "accounts",
        ],
    ),
];

/// Whether a subcommand uses a global option.
pub(super) fn means_something(option: &str, subcommand: &str) -> bool {
    let mut globals = GLOBALS.iter();
    globals.any(|(id, _, subcommands)| *id == option && subcommands.contains(&subcommand))
}

/// Refuses an account name that is empty or has invisible characters.
pub(super) fn account_name(text: &str) -> Result<String, String> {
    match text.trim().is_empty() || Escaped::new(text).to_string() != text {
        true => {
            Err("the name of an account has at least one letter, and no control characters".into())
        }
        false => Ok(text.to_owned()),
    }
}

impl Globals {
    pub(super) fn state_dir(&self) -> Result<PathBuf, Failure> {
        self.state_dir
            .clone()
            .or_else(StateDir::default_path)
            .ok_or_else(|| {
                Failure::usage(
                    "There is no home for the journal. Name a directory with --state-dir.",
                )
            })
    }

    pub(super) fn options(&self, state_dir: PathBuf) -> Options {
        let mut options = Options::new(state_dir).allow_http(self.allow_http);
        if let Some(api_base) = &self.api_base {
            options = options.api_base(api_base);
        }
        if let Some(host) = &self.upload_host {
            options = options.upload_host(host);
        }
        if let Some(ca_file) = &self.ca_file {
            options = options.ca_file(ca_file);
        }
        options
    }

    /// Whether this option was given on the command line.
    pub(super) fn is_given(&self, id: &str) -> bool {
        self.given.contains(&id)
    }

    /// The account from the command line.
    pub(super) fn given_account(&self) -> Option<&str> {
        self.account.as_deref().filter(|_| self.is_given("account"))
    }

    pub(super) fn account(&self) -> Account {
        self.account_named(self.account_name())
    }

    /// An account of this name, with the token source of the options.
    pub(super) fn account_named(&self, name: &str) -> Account {
        let is_given = self.token_command.is_some() || self.token_file.is_some();
        if let Some(account) = (!is_given).then(|| self.logged_in(name)).flatten() {
            return account;
        }
        let tokens = Tokens::new(self.token_command.clone(), self.token_file.clone());
        if let Some(remark) = tokens.remark() {
            eprintln!("{}", Escaped::new(&remark));
        }
        Account::new(name, tokens)
    }
}
