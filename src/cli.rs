//! Grammar of the command line.

#[cfg(feature = "emulator")]
mod emulator;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "emulator")]
    Emulator(emulator::EmulatorArgs),
}

pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Some(command) => match command {
            #[cfg(feature = "emulator")]
            Command::Emulator(args) => emulator::run(args),
        },
        None => ExitCode::from(2),
    }
}
