//! The command line: its grammar, and one call for each subcommand.

use std::path::PathBuf;
use std::process::ExitCode;

use chunkferry::{Account, Error, ErrorKind, Escaped, Options, default_state_dir};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::exit::Exit;
use self::signals::Signals;
use self::token::Tokens;

/// As those of `std`, but for what [`terminal`] sees to.
macro_rules! println {
    ($($text:tt)*) => {
        crate::cli::terminal::print(format_args!($($text)*))
    };
}
macro_rules! eprintln {
    ($($text:tt)*) => {
        crate::cli::terminal::say(format_args!($($text)*))
    };
}

mod bench;
mod board;
mod completions;
mod demo;
mod emulator;
mod exit;
mod gauge;
mod json;
mod list;
mod pace;
mod plan;
mod pull;
mod render;
mod run;
mod signals;
mod size;
mod status;
mod terminal;
mod token;
mod upload;
mod witness;
mod words;

const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}";

/// Uploads big videos to TikTok as drafts, and survives what kills other uploaders.
#[derive(Debug, Parser)]
#[command(name = "chunkferry", version, help_template = TEMPLATE, max_term_width = 110)]
#[command(after_help = "Example, without an account: chunkferry demo")]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// Where the journal is kept [default: XDG state]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_STATE_DIR",
        value_name = "DIR",
        hide_env = true
    )]
    state_dir: Option<PathBuf>,
    /// Another API, such as an emulator's
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_API_BASE",
        value_name = "URL",
        hide_env = true
    )]
    api_base: Option<String>,
    /// Your name for the creator's account [default: default]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_ACCOUNT",
        value_name = "NAME",
        value_parser = account_name,
        hide_env = true
    )]
    account: Option<String>,
    /// File with the access token [default: TIKTOK_ACCESS_TOKEN]
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_TOKEN_FILE",
        value_name = "FILE",
        hide_env = true
    )]
    token_file: Option<PathBuf>,
    /// Command that prints the access token, run at each call
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_TOKEN_COMMAND",
        value_name = "CMD",
        hide_env = true
    )]
    token_command: Option<String>,
    /// Certificates (PEM) to trust besides the system's
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_CA_FILE",
        value_name = "FILE",
        hide_env = true
    )]
    ca_file: Option<PathBuf>,
    /// One more host that upload URLs may name
    #[arg(
        long,
        global = true,
        env = "CHUNKFERRY_UPLOAD_HOST",
        value_name = "HOST",
        hide_env = true
    )]
    upload_host: Option<String>,
    /// Permit http to other machines: token and video in the clear
    #[arg(long, global = true, env = "CHUNKFERRY_ALLOW_HTTP", hide_env = true)]
    allow_http: bool,
    /// Write JSON lines to stdout
    #[arg(long, global = true, env = "CHUNKFERRY_JSON", hide_env = true)]
    json: bool,
    /// Ids of those of these that stand on the command line; the others come from the environment, if at all.
    #[arg(skip)]
    given: Vec<&'static str>,
}

/// The global options, each with the subcommands that it means something to.
const GLOBALS: [(&str, &str, &[&str]); 9] = [
    (
        "state_dir",
        "--state-dir",
        &[
            "upload", "pull", "list", "status", "cancel", "forget", "bench",
        ],
    ),
    (
        "api_base",
        "--api-base",
        &["upload", "pull", "status", "cancel", "bench"],
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
        &["upload", "pull", "status", "cancel", "bench"],
    ),
    ("upload_host", "--upload-host", &["upload", "bench"]),
    (
        "allow_http",
        "--allow-http",
        &["upload", "pull", "status", "cancel", "bench"],
    ),
    (
        "json",
        "--json",
        &[
            "upload", "pull", "plan", "list", "status", "cancel", "forget", "bench",
        ],
    ),
];

/// Whether a global option means something to a subcommand.
fn means_something(option: &str, subcommand: &str) -> bool {
    let mut globals = GLOBALS.iter();
    globals.any(|(id, _, subcommands)| *id == option && subcommands.contains(&subcommand))
}

/// A name that people can read, and tell from others.
fn account_name(text: &str) -> Result<String, String> {
    match text.trim().is_empty() || Escaped::new(text).to_string() != text {
        true => {
            Err("the name of an account has at least one letter, and no control characters".into())
        }
        false => Ok(text.to_owned()),
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Upload(upload::Upload),
    Pull(pull::Pull),
    Plan(plan::Plan),
    List(list::List),
    Status(status::Status),
    Cancel(pull::Cancel),
    Forget(list::Forget),
    Emulator(emulator::EmulatorArgs),
    Bench(bench::Bench),
    Completions(completions::Completions),
}

impl Globals {
    fn state_dir(&self) -> Result<PathBuf, Failure> {
        self.state_dir
            .clone()
            .or_else(default_state_dir)
            .ok_or_else(|| {
                Failure::usage(
                    "There is no home for the journal. Name a directory with --state-dir.",
                )
            })
    }

    fn options(&self, state_dir: PathBuf) -> Options {
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

    /// Whether this option stands on the command line.
    fn is_given(&self, id: &str) -> bool {
        self.given.contains(&id)
    }

    /// The account that is asked for on the command line.
    fn given_account(&self) -> Option<&str> {
        self.account.as_deref().filter(|_| self.is_given("account"))
    }

    fn account(&self) -> Account {
        self.account_named(self.account_name())
    }

    /// An account of this name, with the tokens that are asked for.
    fn account_named(&self, name: &str) -> Account {
        let tokens = Tokens::new(self.token_command.clone(), self.token_file.clone());
        if let Some(remark) = tokens.remark() {
            eprintln!("{}", Escaped::new(&remark));
        }
        Account::new(name, tokens)
    }
}

/// Why a command ends without having done its work.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
    /// The library's error, if it is one.
    error: Option<Box<Error>>,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            error: None,
        }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::of(ErrorKind::Usage), message)
    }

    fn temporary(message: impl Into<String>) -> Self {
        Self::new(Exit::of(ErrorKind::Temporary), message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            exit: Exit::of(error.kind()),
            message: error.to_string(),
            error: Some(Box::new(error)),
        }
    }
}

/// The whole grammar. An option that means nothing to a subcommand, or little to most of its users, is not in its help.
fn grammar() -> clap::Command {
    let mut grammar = Cli::command();
    grammar.build();
    let names: Vec<String> = grammar
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        let subcommand = name.clone();
        let seldom = |arg: &Arg| {
            matches!(
                arg.get_id().as_str(),
                "upload_host" | "allow_http" | "ca_file"
            )
        };
        // Whoever reads the help knows how to ask for it.
        let known = name == "help";
        grammar = grammar.mut_subcommand(name, |command| {
            command.hide(known).mut_args(|arg| {
                let nothing = !means_something(arg.get_id().as_str(), &subcommand);
                let hidden = arg.is_global_set() && (nothing || seldom(&arg));
                let arg = match (arg.get_id().as_str(), &*subcommand) {
                    ("account", "list") => arg.help("Only the uploads of this account"),
                    ("account", "status" | "cancel" | "forget") => {
                        arg.help("Whose upload it is, where several accounts have one")
                    }
                    _ => arg,
                };
                let known = arg.get_id() == "help";
                if hidden || known { arg.hide(true) } else { arg }
            })
        });
    }
    grammar
}

/// The arguments that an error repeats are text from outside, and the query of a URL among them is a secret.
fn escaped(mut error: clap::Error) -> clap::Error {
    let repeated = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => Some((kind, text.clone())),
        _ => None,
    });
    for (kind, text) in repeated.collect::<Vec<_>>() {
        let shown = Escaped::new(&*list::shown(&text)).to_string();
        if shown != text {
            // What clap suggests repeats it, too.
            error.remove(ContextKind::Suggested);
            error.insert(kind, ContextValue::String(shown));
        }
    }
    error
}

/// The database may panic on damage and on disks that fail. The library turns that into an error for people, so the text of
/// the panic is not shown; CHUNKFERRY_LOG=debug has it.
fn hush_the_database() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let of_database = |place: &std::panic::Location<'_>| place.file().contains("/sled-");
        if panic.location().is_some_and(of_database) {
            tracing::debug!(%panic, "the database gave up");
        } else {
            told(panic);
        }
    }));
}

/// The command line as it is meant. An option that would do nothing is refused: whoever gives it expects something of it.
fn parse() -> Result<Cli, clap::Error> {
    let mut grammar = grammar();
    let matches = grammar.try_get_matches_from_mut(std::env::args_os())?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let Some((subcommand, matches)) = matches.subcommand() {
        for (id, option, _) in GLOBALS {
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            if !means_something(id, subcommand) {
                let text = format!("{option} means nothing to `chunkferry {subcommand}`");
                return Err(grammar.error(clap::error::ErrorKind::UnknownArgument, text));
            }
            cli.globals.given.push(id);
        }
    }
    Ok(cli)
}

pub(crate) fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = escaped(error);
            if let Err(error) = error.print() {
                terminal::complain(&error);
            }
            return if error.use_stderr() {
                Exit::of(ErrorKind::Usage).into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    hush_the_database();
    tracing_subscriber::fmt()
        .with_writer(|| terminal::Log)
        .with_ansi(terminal::has_colours())
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("CHUNKFERRY_LOG"))
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("The runtime cannot start: {error}");
            return Exit::of(ErrorKind::Temporary).into();
        }
    };
    let as_json = cli.globals.json;
    let account = cli.globals.account_name().to_owned();
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Demo(command) => command.run(&cli.globals).await,
            Command::Upload(command) => command.run(cli.globals).await,
            Command::Pull(command) => command.run(&cli.globals).await,
            Command::Cancel(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Plan(command) => command.run(&cli.globals),
            Command::List(command) => command.run(&cli.globals),
            Command::Status(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Forget(command) => command.run(&cli.globals).await,
            Command::Emulator(command) => command.run().await,
            Command::Bench(command) => command.run(cli.globals).await,
            Command::Completions(command) => command.run(),
        }
    });
    // Reads that are under way on other threads need not be waited for.
    runtime.shutdown_background();
    token::end_commands();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if as_json {
                println!("{}", json::failed(&failure, &account));
            }
            eprintln!("{}", Escaped::new(&failure.message));
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::grammar;

    #[test]
    fn every_help_has_an_example_and_fits_on_a_screen() {
        let mut command = grammar();
        let names: Vec<String> = command
            .get_subcommands()
            .map(|sub| sub.get_name().to_owned())
            .collect();
        for name in names.iter().filter(|name| *name != "help") {
            let sub = command.find_subcommand_mut(name).expect("listed");
            let help = sub.render_help().to_string();
            assert!(help.contains("Example"), "{help}");
            assert!(
                help.lines().count() <= 30,
                "{} lines:\n{help}",
                help.lines().count()
            );
        }
        assert!(command.render_help().to_string().lines().count() <= 36);
    }

    #[test]
    fn no_shell_is_left_without_a_word_of_the_grammar() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut grammar(), "chunkferry", &mut script);
            let script = String::from_utf8(script).expect("text");
            for word in [
                "upload",
                "emulator",
                "bwlimit",
                "list-settings",
                "completions",
            ] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
