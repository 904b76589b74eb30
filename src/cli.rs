//! Grammar of the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {}

pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Some(command) => match command {},
        None => ExitCode::from(2),
    }
}
