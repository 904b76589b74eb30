//! `list` and `forget`: what the journal knows. Neither makes a request.

use std::borrow::Cow;

use chunkferry::{Escaped, Job, Record, records};
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
        let records = records(&globals.state_dir()?)?;
        if records.is_empty() && !globals.json {
            eprintln!("No uploads yet.");
        }
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

/// Drop an upload from the journal, so that the file counts as new
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry forget 3f9c")]
pub(super) struct Forget {
    /// Start of its id or publish_id, its path or its URL
    id: String,
}

impl Forget {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let record = find(globals, &self.id)?;
        let engine = globals
            .options(globals.state_dir()?)
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

/// The one upload that `text` names.
pub(super) fn find(globals: &Globals, text: &str) -> Result<Record, Failure> {
    let mut found: Vec<Record> = records(&globals.state_dir()?)?
        .into_iter()
        .filter(|record| record.answers_to(text))
        .collect();
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|record| record.id.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} names {} uploads: {}. Use more of the id.",
            shown(text),
            ids.len(),
            ids.join(", ")
        )));
    }
    found.pop().ok_or_else(|| {
        Failure::usage(format!(
            "{} names no upload here. See: chunkferry list",
            shown(text)
        ))
    })
}

/// What was typed, as it may be said again: a URL's query is a secret.
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

/// The service's name of the upload that `text` names, or of one that the journal does not know.
pub(super) fn publish_id(globals: &Globals, text: &str) -> Result<String, Failure> {
    match find(globals, text) {
        Ok(record) => record.publish_id.ok_or_else(|| {
            Failure::usage(format!(
                "{} has no publish_id at the service ({}).",
                shown(text),
                record.state
            ))
        }),
        Err(failure) if is_url(text) || !text.contains('~') => Err(failure),
        Err(_) => Ok(text.to_owned()),
    }
}
