//! `man`: the manual pages of this command, one for each subcommand. They are made from the grammar, as the help is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use super::exit::Exit;
use super::globals::means_something;
use super::{Failure, grammar, terminal};

const EXITS: &str = "\
0    the draft is in the inbox, or what was asked for is done
1    TikTok refused the request or the video
2    the command line or the config file is wrong
3    the file is missing, unfinished or not a video, or it changed while it was sent
4    a person must act first: a token, a permission, a certificate, waiting drafts
5    whether there is a draft is not known
75   temporary: run the same command again
130  stopped by SIGINT; run the same command again
143  stopped by SIGTERM or SIGHUP; run the same command again";

/// Print the manual page, or write all of them
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Examples:\n  chunkferry man | man -l -\n  chunkferry man --dir ~/.local/share/man/man1"
)]
pub(super) struct ManArgs {
    /// Write this page, and one for each subcommand, into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        if let Some(dir) = &self.dir {
            write_all(dir).map_err(|(path, error)| {
                Failure::temporary(format!("{} cannot be written: {error}", path.display()))
            })?;
            return Ok(Exit::DELIVERED);
        }
        let page = page(&whole_grammar());
        let mut stdout = io::stdout();
        if let Err(error) = stdout
            .write_all(page.as_bytes())
            .and_then(|()| stdout.flush())
        {
            terminal::complain(&error);
        }
        Ok(Exit::DELIVERED)
    }
}

/// Writes all pages; names the file or folder that cannot be written.
fn write_all(dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    std::fs::create_dir_all(dir).map_err(|error| (dir.to_owned(), error))?;
    for (name, page) in pages(&whole_grammar()) {
        let path = dir.join(name);
        std::fs::write(&path, page).map_err(|error| (path, error))?;
    }
    Ok(())
}

/// The grammar of the help, and with it the options that the help leaves out because few users need them, and the variables
/// of the environment.
fn whole_grammar() -> Command {
    whole(grammar(), None)
}

/// The same of this command, which `subcommand` is or has.
fn whole(command: Command, subcommand: Option<&str>) -> Command {
    let used = |id: &str| subcommand.is_none_or(|name| means_something(id, name));
    let mut command = command.mut_args(|arg| {
        let id = arg.get_id().as_str();
        let hidden = match arg.is_global_set() {
            true => !used(id),
            false => ["help", "carry"].contains(&id),
        };
        arg.hide(hidden).hide_env(false)
    });
    let names = command.get_subcommands().map(Command::get_name);
    for name in names.map(str::to_owned).collect::<Vec<_>>() {
        let top = subcommand.unwrap_or(&name).to_owned();
        command = command.mut_subcommand(&name, |sub| {
            let known = sub.get_name() == "help";
            whole(sub, Some(&top)).hide(known)
        });
    }
    command
}

/// Each page and the name of its file.
fn pages(command: &Command) -> Vec<(String, String)> {
    let name = Man::new(command.clone()).get_filename();
    let mut all = vec![(name, page(command))];
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        all.extend(pages(sub));
    }
    all
}

/// The page of a command. It has no date: the same program gives the same bytes.
fn page(command: &Command) -> String {
    let mut page = Vec::new();
    if let Err(error) = render(command, &mut page) {
        unreachable!("a vector takes all bytes: {error}");
    }
    // Each section is written with the definition of its quotation marks before it. Once is enough.
    let text = String::from_utf8_lossy(&page);
    let lines = text.lines().map(str::trim_end);
    let (quotes, lines): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.contains(".ds Aq "));
    let quotes = quotes.into_iter().take(2);
    let lines: Vec<&str> = quotes.chain(lines).collect();
    lines.join("\n") + "\n"
}

fn render(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone().override_usage(usage));
    let title = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        page,
        r#".TH "{title}" "1" "" "chunkferry {version}" "chunkferry""#
    )?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(page)?;
    }
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        man.render_subcommands_section(page)?;
    }
    // The end of the help has a paragraph of examples, and others.
    let end = command.get_after_help().map(ToString::to_string);
    let end = end.unwrap_or_default();
    let is_examples = |part: &&str| part.starts_with("Example");
    let (examples, notes): (Vec<&str>, Vec<&str>) = end.split("\n\n").partition(is_examples);
    if let Some((_, examples)) = examples.join("\n").split_once(':') {
        section(page, "EXAMPLES\n.nf", examples)?;
        writeln!(page, ".fi")?;
    }
    section(page, "NOTES", &notes.join("\n"))?;
    if name == "chunkferry" {
        section(page, "EXIT STATUS\n.nf", EXITS)?;
        writeln!(page, ".fi")
    } else {
        section(page, "SEE ALSO", "chunkferry(1)")
    }
}

/// Writes a section with the lines of this text, unless it is empty.
fn section(page: &mut Vec<u8>, heading: &str, text: &str) -> io::Result<()> {
    let lines: Vec<&str> = text.trim().lines().map(str::trim).collect();
    if lines.is_empty() {
        return Ok(());
    }
    // The crate escapes what it writes, and no more than that.
    let text = Command::new("text").after_help(lines.join("\n"));
    let mut extra = Vec::new();
    Man::new(text).render_extra_section(&mut extra)?;
    let extra = String::from_utf8_lossy(&extra).replacen("EXTRA", heading, 1);
    page.write_all(extra.as_bytes())
}
