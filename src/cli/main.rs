//! The command: grammar, rendering and exit codes over the library's public API. This file has the grammar and one call
//! for each subcommand.

use std::process::ExitCode;

use chunkferry::{Accounts, ErrorKind, Escaped};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::config::Config;
use self::exit::Exit;
use self::failure::Failure;
use self::globals::{GLOBALS, Globals, means_something};
use self::signals::Signals;

/// Like those of `std`, but through [`terminal`].
macro_rules! println {
    ($($text:tt)*) => {
        crate::terminal::print(format_args!($($text)*))
    };
}
macro_rules! eprintln {
    ($($text:tt)*) => {
        crate::terminal::say(format_args!($($text)*))
    };
}

mod accounts;
mod bench;
mod board;
mod bwlimit;
mod callback;
mod completions;
mod config;
mod demo;
mod doctor;
mod emulator;
mod exit;
mod failure;
mod folder;
mod gauge;
mod glob;
mod globals;
mod handover;
mod heap;
mod item;
mod json;
mod lines;
mod list;
mod log;
mod login;
mod man;
mod manifest;
mod message;
mod metrics;
mod pace;
#[cfg(feature = "service")]
mod page;
mod pipe;
mod plan;
mod provider;
mod pull;
mod records;
mod remote;
mod render;
mod run;
#[cfg(feature = "service")]
mod serve;
mod signals;
mod size;
mod stat;
mod status;
mod terminal;
mod token;
mod upload;
mod url_source;
mod videos;
#[cfg(feature = "service")]
mod watch;
mod wish;
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

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Login(login::LoginArgs),
    Upload(upload::Upload),
    Pull(pull::Pull),
    #[cfg(feature = "service")]
    Serve(serve::Serve),
    #[cfg(feature = "service")]
    Page(page::Page),
    #[cfg(feature = "service")]
    Watch(watch::Watch),
    Plan(plan::Plan),
    List(list::List),
    Status(status::Status),
    Cancel(pull::Cancel),
    Forget(list::Forget),
    Accounts(accounts::AccountsArgs),
    Logout(login::Logout),
    Emulator(emulator::EmulatorArgs),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::ManArgs),
}

/// The whole grammar. The help of a subcommand omits options that it does not use or that few users need.
fn grammar() -> clap::Command {
    shown(Cli::command())
}

/// The same, of a grammar that has the values of a config file.
fn shown(mut grammar: clap::Command) -> clap::Command {
    // The help of all commands is one screen; that of "doctor" shows each option.
    for seldom in [
        "upload_host",
        "allow_http",
        "service_key_file",
        "accounts_dir",
        "ca_file",
    ] {
        grammar = grammar.mut_arg(seldom, |arg| arg.hide(true));
    }
    grammar.build();
    let of_serve = grammar.find_subcommand("serve").into_iter();
    let of_serve = of_serve.flat_map(clap::Command::get_arguments);
    let of_serve: Vec<clap::Id> = of_serve.map(|arg| arg.get_id().clone()).collect();
    let names: Vec<String> = grammar
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        let subcommand = name.clone();
        let seldom = |arg: &Arg| {
            matches!(
                arg.get_id().as_str(),
                "config"
                    | "upload_host"
                    | "allow_http"
                    | "ca_file"
                    | "accounts_dir"
                    | "service"
                    | "service_key_file"
                    | "log_format"
                    | "log_file"
            )
        };
        // A user who reads the help knows about the help.
        let known = name == "help";
        grammar = grammar.mut_subcommand(name, |command| {
            command.hide(known).mut_args(|arg| {
                let nothing = !means_something(arg.get_id().as_str(), &subcommand);
                let seldom = seldom(&arg) && subcommand != "doctor";
                let hidden = arg.is_global_set() && (nothing || seldom);
                let arg = match (arg.get_id().as_str(), &*subcommand) {
                    ("account", "list") => arg.help("Only the uploads of this account"),
                    ("account", "watch") => arg.help("Whose videos they are"),
                    ("account", "status" | "cancel" | "forget") => {
                        arg.help("Whose upload it is, where several accounts have one")
                    }
                    _ => arg,
                };
                let known = arg.get_id() == "help";
                let of_serve = subcommand == "watch" && of_serve.contains(arg.get_id());
                match arg.is_global_set() {
                    true => arg.hide(hidden),
                    false if known || of_serve => arg.hide(true),
                    false => arg,
                }
            })
        });
    }
    grammar
}

/// Escapes the arguments that an error repeats: they are text from outside, and a URL's query is a secret.
fn escaped(mut error: clap::Error) -> clap::Error {
    let repeated = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => Some((kind, text.clone())),
        _ => None,
    });
    for (kind, text) in repeated.collect::<Vec<_>>() {
        let shown = Escaped::new(&*records::shown(&text)).to_string();
        if shown != text {
            // Suggestions repeat the argument, too.
            error.remove(ContextKind::Suggested);
            error.insert(kind, ContextValue::String(shown));
        }
    }
    error
}

/// The database may panic on damage and on failing disks. The library turns that into an error, so the text of the panic
/// is not shown; CHUNKFERRY_LOG=debug has it.
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

/// Why a command line is not run.
enum Refused {
    Grammar(Box<clap::Error>),
    /// The config file cannot be used.
    File(Box<(Cli, Failure)>),
}

/// The command line as it is meant, with what the config file adds to it. Help, and errors of the command line itself, need no
/// file.
fn parse() -> Result<Cli, Refused> {
    let grammar_error = |error| Refused::Grammar(Box::new(error));
    let (mut cli, subcommand) = parse_with(grammar()).map_err(grammar_error)?;
    if !means_something("config", &subcommand) {
        return Ok(cli);
    }
    match Config::load(cli.globals.config.as_deref(), &grammar()) {
        Ok(config) => {
            let grammar = shown(config.defaults_in(Cli::command()));
            (cli, _) = parse_with(grammar).map_err(grammar_error)?;
            cli.globals.file = config;
            Ok(cli)
        }
        Err(failure) => Err(Refused::File(Box::new((cli, failure)))),
    }
}

/// Parses the command line by this grammar; also the name of its subcommand. An option that the subcommand does not use is
/// refused: the user expects an effect.
fn parse_with(mut grammar: clap::Command) -> Result<(Cli, String), clap::Error> {
    let matches = grammar.try_get_matches_from_mut(std::env::args_os())?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let Some((subcommand, matches)) = matches.subcommand() {
        for (id, option, _) in GLOBALS {
            match matches.value_source(id) {
                Some(ValueSource::CommandLine) => {}
                Some(ValueSource::EnvVariable) => {
                    cli.globals.in_environment.push(id);
                    continue;
                }
                _ => continue,
            }
            if !means_something(id, subcommand) {
                let text = format!("{option} means nothing to `chunkferry {subcommand}`");
                return Err(grammar.error(clap::error::ErrorKind::UnknownArgument, text));
            }
            cli.globals.given.push(id.to_owned());
        }
        let own = matches.ids().map(clap::Id::as_str);
        let given = own.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine));
        let given: Vec<String> = given.map(str::to_owned).collect();
        cli.globals.given.extend(given);
    }
    let subcommand = matches.subcommand_name().unwrap_or_default();
    Ok((cli, subcommand.to_owned()))
}

fn main() -> ExitCode {
    heap::share();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(Refused::File(refused)) => {
            let (cli, failure) = *refused;
            let as_json = cli.globals.json;
            return failed(&failure, as_json, cli.globals.account_name());
        }
        Err(Refused::Grammar(error)) => {
            let error = escaped(*error);
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
    let (format, file) = (cli.globals.log_format, cli.globals.log_file.as_deref());
    if let Err(failure) = log::begin(format.unwrap_or_default(), file) {
        return failed(&failure, cli.globals.json, cli.globals.account_name());
    }
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
            Command::Login(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Accounts(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Logout(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Upload(command) => command.run(cli.globals).await,
            Command::Pull(command) => command.run(&cli.globals).await,
            #[cfg(feature = "service")]
            Command::Serve(command) => command.run(cli.globals).await,
            #[cfg(feature = "service")]
            Command::Page(command) => Signals::or(command.run(&cli.globals)).await,
            #[cfg(feature = "service")]
            Command::Watch(command) => command.run(cli.globals).await,
            Command::Cancel(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Plan(command) => command.run(&cli.globals),
            Command::List(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Status(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Forget(command) => command.run(&cli.globals).await,
            Command::Emulator(command) => command.run().await,
            Command::Bench(command) => command.run(cli.globals).await,
            Command::Doctor(command) => Signals::or(command.run(&cli.globals)).await,
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    });
    // A refresh token may be spent by a request that is under way.
    runtime.block_on(Accounts::finish_renewals());
    // Blocking reads on other threads are not waited for.
    runtime.shutdown_background();
    token::end_commands();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => failed(&failure, as_json, &account),
    }
}

/// Says why a command ends without having done its work.
fn failed(failure: &Failure, as_json: bool, account: &str) -> ExitCode {
    if as_json {
        println!("{}", json::failed(failure, account));
    }
    eprintln!("{}", Escaped::new(&failure.message));
    for detail in &failure.details {
        eprintln!("  {}", Escaped::new(detail));
    }
    failure.exit.into()
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
        assert!(command.render_help().to_string().lines().count() <= 40);
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
