//! `doctor`: what the command would use and where that comes from, and whether it works.

use chunkferry::Escaped;
use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::globals::Source;
use super::json::line;
use super::{Failure, Globals};

mod checks;
mod place;
mod settings;

use checks::{Check, Verdict};
use settings::Setting;

/// Show every setting and where it comes from, and check what uploads need
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Example: chunkferry doctor --online\n\n\
    Exit code 2: something has to be put right. 75: run it again later. Without --online nothing is sent."
)]
pub(super) struct Doctor {
    /// Also make one request, without a token, to see whether the API answers
    #[arg(long)]
    online: bool,
}

impl Doctor {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let settings = settings::all(globals);
        if !globals.json {
            print_table(&settings);
        }
        for setting in settings.iter().filter(|_| globals.json) {
            println!("{}", line("setting", None, setting.fields()));
        }
        let mut verdict = Verdict::Ok;
        // Each is shown as soon as it is known: a drive or a command may take its time.
        for check in checks::all(self.online) {
            for found in check.make(globals).await {
                verdict = verdict.max(found.verdict);
                show(globals, &found);
            }
        }
        Ok(verdict.exit())
    }
}

fn print_table(settings: &[Setting]) {
    let width = |of: fn(&Setting) -> &str| {
        let widths = settings.iter().map(|setting| of(setting).chars().count());
        // A long path does not push all others to the right.
        widths.filter(|width| *width <= 40).max().unwrap_or(0)
    };
    let (key, value) = (width(|of| &of.key), width(|of| &of.value));
    for setting in settings {
        println!(
            "{:<key$}  {:<value$}  {}",
            setting.key, setting.value, setting.source
        );
    }
    println!("");
}

fn show(globals: &Globals, check: &Check) {
    let Check {
        name,
        verdict,
        found,
        advice,
        account,
    } = check;
    if globals.json {
        let fields = json!({
            "check": name,
            "result": verdict.word(),
            "message": found,
            "advice": advice,
        });
        println!("{}", line("check", account.as_deref(), fields));
        return;
    }
    let name = match account {
        Some(account) => format!("{name} {account}"),
        None => (*name).to_owned(),
    };
    let advice = advice.as_ref().map(|advice| format!(" {advice}"));
    println!(
        "{:<8} {}: {}{}",
        verdict.word(),
        Escaped::new(&name),
        Escaped::new(found),
        Escaped::new(&advice.unwrap_or_default())
    );
}

impl Source {
    const fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}
