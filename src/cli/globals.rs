//! Options of several subcommands.

use std::path::PathBuf;
use std::sync::OnceLock;

use chunkferry::{Account, CaFile, Counters, Escaped, Options, StateDir};
use clap::Args;

use super::Failure;
use super::config::{Config, TokenFrom};
use super::log::LogFormat;
use super::token::{self, Tokens};

mod meaning;

pub(super) use meaning::{GLOBALS, means_something};

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// File of defaults and accounts [default: XDG config]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_CONFIG",
        value_name = "FILE",
        hide_env = true
    )]
    pub(super) config: Option<PathBuf>,
    /// Where the journal is kept [default: XDG state]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_STATE_DIR",
        value_name = "DIR",
        hide_env = true
    )]
    pub(super) state_dir: Option<PathBuf>,
    /// Where logins are kept [default: in the state directory]
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
    /// Socket or URL of the service that sends, or none
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_SERVICE",
        value_name = "WHERE",
        hide_env = true
    )]
    pub(super) service: Option<String>,
    /// File with the key for a service that is named by its URL
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_SERVICE_KEY_FILE",
        value_name = "FILE",
        hide_env = true
    )]
    pub(super) service_key_file: Option<PathBuf>,
    /// Write JSON lines to stdout
    #[arg(long, global = true, env = "CHUNKFERRY_JSON", hide_env = true)]
    pub(super) json: bool,
    /// The log's lines as text, or as JSON objects
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_LOG_FORMAT",
        value_name = "text|json",
        hide = true,
        hide_env = true,
        hide_possible_values = true
    )]
    pub(super) log_format: Option<LogFormat>,
    /// Append the log's lines to this file instead of standard error
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_LOG_FILE",
        value_name = "FILE",
        hide = true,
        hide_env = true
    )]
    pub(super) log_file: Option<PathBuf>,
    /// Ids of the options that were given on the command line; other values come from the environment.
    #[arg(skip)]
    pub(super) given: Vec<String>,
    /// Ids of the options above that the environment sets.
    #[arg(skip)]
    pub(super) in_environment: Vec<&'static str>,
    /// What the config file says.
    #[arg(skip)]
    pub(super) file: Config,
    /// What all that this command opens counts in.
    #[arg(skip)]
    pub(super) counters: Counters,
    /// The file of `ca_file`, which may be a pipe that all readers share.
    #[arg(skip)]
    certificates: OnceLock<CaFile>,
}

/// Where a value comes from; of two, the greater wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Default,
    File,
    Environment,
    Flag,
}

/// The variable with a token for an account that the config file does not list.
pub(super) const TOKEN_VARIABLE: &str = "TIKTOK_ACCESS_TOKEN";

/// Refuses an account name that is empty or has invisible characters.
pub(super) fn account_name(text: &str) -> Result<String, String> {
    match text.trim().is_empty() || Escaped::new(text).to_string() != text {
        true => {
            Err("the name of an account has at least one letter, and no control characters".into())
        }
        false => Ok(text.to_owned()),
    }
}

/// A source of tokens, by what messages call it; `None` for an account that logs in or is the provider's.
fn source_of(from: (TokenFrom, String)) -> Option<Tokens> {
    Some(match from {
        (TokenFrom::Login | TokenFrom::Provider, _) => return None,
        (TokenFrom::File(path), _) => Tokens::file(path),
        (TokenFrom::Command(line), name) => Tokens::Command(token::Command { name, line }),
        (TokenFrom::Variable(name), _) => Tokens::Variable(name),
    })
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
        let mut options = Options::new(state_dir)
            .allow_http(self.allow_http)
            .counters(self.counters.clone())
            .private_sources(self.file.private_sources)
            .url_sources(self.file.url_commands.clone());
        if let Some(api_base) = &self.api_base {
            options = options.api_base(api_base);
        }
        if let Some(host) = &self.upload_host {
            options = options.upload_host(host);
        }
        if let Some(certificates) = self.certificates() {
            options = options.ca_file(certificates);
        }
        options
    }

    /// The certificates that are trusted besides the system's.
    pub(super) fn certificates(&self) -> Option<CaFile> {
        let path = self.ca_file.as_ref()?;
        let certificates = self.certificates.get_or_init(|| CaFile::new(path));
        Some(certificates.clone())
    }

    /// Whether this option was given on the command line.
    pub(super) fn is_given(&self, id: &str) -> bool {
        self.given.iter().any(|given| given == id)
    }

    /// The account from the command line.
    pub(super) fn given_account(&self) -> Option<&str> {
        self.account.as_deref().filter(|_| self.is_given("account"))
    }

    /// Where the value of a global option comes from.
    pub(super) fn source(&self, id: &str) -> Source {
        if self.is_given(id) {
            Source::Flag
        } else if self.in_environment.contains(&id) {
            Source::Environment
        } else if self.file.value("", id).is_some() {
            Source::File
        } else {
            Source::Default
        }
    }

    pub(super) fn account(&self) -> Result<Account, Failure> {
        self.account_named(self.account_name())
    }

    /// An account of this name, with the token source of the options.
    pub(super) fn account_named(&self, name: &str) -> Result<Account, Failure> {
        self.account_from(name, self.tokens(name))
    }

    /// An account of this name beside others: a token of the options is that of the command's account alone, and the others have what
    /// the config file, a login or the provider has by their names. `None` for an account that nothing of these has.
    pub(super) fn account_among(&self, name: &str) -> Option<Result<Account, Failure>> {
        if name == self.account_name() {
            return Some(self.account_named(name));
        }
        Some(self.account_from(name, self.tokens_by_name(name)?))
    }

    fn account_from(&self, name: &str, from: (TokenFrom, String)) -> Result<Account, Failure> {
        let is_provided = from.0 == TokenFrom::Provider;
        let Some(tokens) = source_of(from) else {
            return match self.file.provider().filter(|_| is_provided) {
                Some(provider) => self.provided(name, provider),
                None => self.logged_in(name),
            };
        };
        if let Some(remark) = tokens.remark() {
            eprintln!("{}", Escaped::new(&remark));
        }
        Ok(Account::new(name, tokens))
    }

    /// The source of an account's tokens; `None` for an account that logs in or is the provider's.
    pub(super) fn token_source(&self, name: &str) -> Option<Tokens> {
        source_of(self.tokens(name))
    }

    /// Where the tokens of an account come from, and what messages call that.
    ///
    /// Options of the command line and of the environment win over the file. TIKTOK_ACCESS_TOKEN names no account, so it
    /// serves accounts that the file does not list, and the one that is used without a name.
    pub(super) fn tokens(&self, name: &str) -> (TokenFrom, String) {
        let variable = || {
            (
                TokenFrom::Variable(TOKEN_VARIABLE.into()),
                TOKEN_VARIABLE.into(),
            )
        };
        let is_set = std::env::var_os(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty());
        let unnamed = self.account.is_none() && name == Account::DEFAULT;
        if let Some(found) = self.token_option(Source::Environment) {
            return found;
        }
        if is_set && unnamed {
            return variable();
        }
        if let Some(found) = self.tokens_by_name(name) {
            return found;
        }
        match is_set {
            true => variable(),
            false => self.token_option(Source::File).unwrap_or_else(variable),
        }
    }

    /// The same for an account that is known by its name.
    fn tokens_by_name(&self, name: &str) -> Option<(TokenFrom, String)> {
        if let Some(from) = self.file.account(name) {
            return Some((from.clone(), format!("accounts.{name}.{}", from.key())));
        }
        // A name whose creator has logged in needs no line in the file.
        if self.is_logged_in(name) {
            return Some((TokenFrom::Login, "login".to_owned()));
        }
        let provider = self.file.provider();
        provider.map(|_| (TokenFrom::Provider, "token_provider".to_owned()))
    }

    /// The option or the variable that gives this command a token of its own, if it is not of an account that has a name.
    pub(super) fn ad_hoc_tokens(&self) -> Option<String> {
        if let Some((_, name)) = self.token_option(Source::Environment) {
            return Some(name);
        }
        let is_set = std::env::var_os(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty());
        let (_, name) = self.tokens(self.account_name());
        (is_set && name == TOKEN_VARIABLE).then_some(name)
    }

    /// Whether accounts that are neither listed nor logged in are the provider's.
    pub(super) fn provides(&self) -> bool {
        self.file.provider().is_some() && self.token_option(Source::Environment).is_none()
    }

    /// Where --token-command and --token-file say that tokens come from, if a source of at least this rank sets one of them.
    fn token_option(&self, least: Source) -> Option<(TokenFrom, String)> {
        let from = |option: Option<TokenFrom>| {
            let option = option?;
            let source = self.source(option.key());
            (source >= least).then_some((source, option))
        };
        let command = from(self.token_command.clone().map(TokenFrom::Command));
        let file = from(self.token_file.clone().map(TokenFrom::File));
        let (source, option) = match (command, file) {
            (Some(command), Some(file)) if file.0 > command.0 => file,
            (command, file) => command.or(file)?,
        };
        let name = match source {
            Source::File => option.key().to_owned(),
            _ => format!("--{}", option.key().replace('_', "-")),
        };
        Some((option, name))
    }
}
