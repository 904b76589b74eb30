//! `list` and `forget`: show and change the journal, without any request.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::ErrorKind::NotFound;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chunkferry::{Account, Escaped, Job, Options, Record, StateDir};
use clap::Args;

use super::exit::Exit;

use super::size::humane;
use super::words::when;
use super::{Failure, Globals, json};

/// List the uploads in the journal, without any request
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry list --json")]
pub(super) struct List {}

impl List {
    pub(super) fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let mut records = StateDir::new(globals.state_dir()?).records()?;
        let accounts: BTreeSet<String> = records.iter().map(|of| of.account.clone()).collect();
        match globals.given_account() {
            Some(account) if !accounts.contains(account) && !accounts.is_empty() => {
                let others: Vec<&str> = accounts.iter().map(String::as_str).collect();
                let text = format!(
                    "There is no upload of an account \"{account}\". There are some of: {}.",
                    others.join(", ")
                );
                eprintln!("{}", Escaped::new(&text));
                records.clear();
            }
            Some(account) => records.retain(|record| record.account == account),
            None => {}
        }
        if accounts.is_empty() && !globals.json {
            eprintln!("No uploads yet.");
        }
        let gone = match globals.json {
            true => Vec::new(),
            false => gone(&records),
        };
        for record in &records {
            if globals.json {
                let fields = serde_json::to_value(record).unwrap_or_default();
                let account = Some(&*record.account);
                println!("{}", json::line("record", account, fields));
                continue;
            }
            let part = record.confirmed.saturating_mul(100) / record.size.max(1);
            let mut notes = vec![when(record.updated()), record.account.clone()];
            notes.extend(record.publish_id.clone());
            notes.extend(record.reason.clone());
            println!(
                "{}  {:<11} {part:>3}% of {:>9}  {}  ({})",
                Escaped::new(&record.id),
                Escaped::new(&record.state).to_string(),
                humane(record.size),
                Escaped::new(&*record.name()),
                Escaped::new(&notes.join(", "))
            );
            if gone.contains(&record.id) {
                println!(
                    "{:18}its file is gone: put it back and upload it again; or drop this record: forget {}",
                    "",
                    Escaped::new(&record.id)
                );
            }
            if record.state == "unknown" {
                println!(
                    "{:18}look into {}'s inbox for a draft of about {}; if it is not there, pull or upload --again; to drop this record: forget {}",
                    "",
                    Escaped::new(&record.account),
                    when(record.updated()),
                    Escaped::new(&record.id)
                );
            }
        }
        Ok(Exit::DELIVERED)
    }
}

/// Longest wait for a drive to say whether a file exists.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ids of uploads whose file is needed and missing.
fn gone(records: &[Record]) -> Vec<String> {
    let needed = records.iter().filter(|record| {
        matches!(
            record.state.as_str(),
            "queued" | "init_intent" | "uploading"
        )
    });
    let files: Vec<_> = needed
        .filter_map(|record| Some((record.id.clone(), record.file.clone()?)))
        .collect();
    let (sender, answers) = channel();
    // A network drive may never answer, so this thread is detached.
    let look = move || {
        for (id, file) in files {
            let gone = file
                .symlink_metadata()
                .is_err_and(|error| error.kind() == NotFound);
            // The receiver may have stopped waiting.
            let _ = sender.send(gone.then_some(id));
        }
    };
    drop(std::thread::Builder::new().spawn(look));
    let until = Instant::now() + PATIENCE;
    let next = || answers.recv_timeout(until.saturating_duration_since(Instant::now()));
    std::iter::from_fn(|| next().ok()).flatten().collect()
}

/// Drop an upload from the journal, so that the file counts as new
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry forget 3f9c")]
pub(super) struct Forget {
    /// Start of its id or publish_id, its path or its URL
    #[arg(required_unless_present = "creator")]
    id: Option<String>,
    /// Instead: the creator of the account NAME, so that another creator may have that name
    #[arg(long, value_name = "NAME", conflicts_with = "id", value_parser = super::globals::account_name)]
    creator: Option<String>,
}

impl Forget {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        if let Some(account) = &self.creator {
            return forget_creator(globals, account).await;
        }
        let record = find(globals, self.id.as_deref().unwrap_or_default())?;
        let engine = Options::new(globals.state_dir()?)
            .doing(format!("forget {}", record.id))
            .open()?;
        engine.forget(&record.id).await?;
        if globals.json {
            let fields = serde_json::to_value(&record).unwrap_or_default();
            println!("{}", json::line("forgotten", Some(&record.account), fields));
            return Ok(Exit::DELIVERED);
        }
        eprintln!(
            "{} is forgotten ({}, {}).",
            Escaped::new(&*record.name()),
            Escaped::new(&record.id),
            Escaped::new(&record.state)
        );
        Ok(Exit::DELIVERED)
    }
}

async fn forget_creator(globals: &Globals, account: &str) -> Result<Exit, Failure> {
    let engine = Options::new(globals.state_dir()?)
        .doing(format!("forget --creator {account}"))
        .open()?;
    if !engine.forget_creator(account).await? {
        return Err(Failure::usage(format!(
            "The account \"{account}\" has no creator yet."
        )));
    }
    eprintln!(
        "The account {} belongs to the creator of the next token that is used under its name.",
        Escaped::new(account)
    );
    Ok(Exit::DELIVERED)
}

/// Finds the one upload that `text` names.
pub(super) fn find(globals: &Globals, text: &str) -> Result<Record, Failure> {
    let mut found: Vec<Record> = StateDir::new(globals.state_dir()?)
        .records()?
        .into_iter()
        .filter(|record| record.answers_to(text))
        .collect();
    let of = |account: &str| format!(" of the account \"{account}\"");
    let mut whose = String::new();
    if let Some(account) = globals.given_account() {
        found.retain(|record| record.account == account);
        whose = of(account);
    } else if found.len() > 1 {
        // Among several, the upload of the default account is taken.
        let usual = globals.account.as_deref().unwrap_or(Account::DEFAULT);
        if found
            .iter()
            .filter(|record| record.account == usual)
            .count()
            == 1
        {
            found.retain(|record| record.account == usual);
        }
    }
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|record| record.id.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} names {} uploads{whose}: {}. Use more of the id, or --account.",
            shown(text),
            ids.len(),
            ids.join(", ")
        )));
    }
    found.pop().ok_or_else(|| {
        Failure::usage(format!(
            "{} names no upload{whose} here. See: chunkferry list",
            shown(text)
        ))
    })
}

/// A typed text, fit for messages: a URL's query is a secret.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if is_url(text) {
        Job::url(text).name().into()
    } else {
        text.into()
    }
}

pub(super) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// The publish_id and the account of the upload that `text` names, which the journal need not know.
pub(super) fn publish_id(globals: &Globals, text: &str) -> Result<(String, Account), Failure> {
    match find(globals, text) {
        Ok(Record {
            publish_id: Some(publish_id),
            account,
            ..
        }) => Ok((publish_id, globals.account_named(&account)?)),
        Ok(record) => Err(Failure::usage(format!(
            "{} has no publish_id at the service ({}).",
            shown(text),
            record.state
        ))),
        Err(failure) if is_url(text) || !text.contains('~') => Err(failure),
        Err(_) => Ok((text.to_owned(), globals.account()?)),
    }
}
