//! `completions`: completions of this command for a shell.

use std::io::{self, Write};

use clap::Args;
use clap_complete::{Shell, generate};

use super::exit::Exit;
use super::{Failure, grammar, terminal};

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Examples:\n  chunkferry completions bash > ~/.local/share/bash-completion/completions/chunkferry\n  \
    chunkferry completions fish > ~/.config/fish/completions/chunkferry.fish"
)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut grammar(), "chunkferry", &mut script);
        let mut stdout = io::stdout();
        if let Err(error) = stdout.write_all(&script).and_then(|()| stdout.flush()) {
            terminal::complain(&error);
        }
        Ok(Exit::DELIVERED)
    }
}
