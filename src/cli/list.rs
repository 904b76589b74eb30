//! `list` and `forget`: show and change the journal, without any request to TikTok.

use std::collections::BTreeSet;
use std::io::ErrorKind::NotFound;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chunkferry::{Escaped, Options, Record};
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::exit::Exit;
use super::handover::segment;
use super::records::{all, find};
use super::remote::Remote;
use super::size::humane;
use super::words::{moment, when};
use super::{Failure, Globals, json};

mod filter;

use filter::Filter;

/// List the uploads in the journal, without any request
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry list --json")]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
}

impl List {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let remote = Remote::find(globals).await?;
        let mut records = all(globals, remote.as_ref()).await?;
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
        let of_account = records.len();
        records.retain(|record| self.filter.fits(record));
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
        let mut shown = records.len();
        if let Some(remote) = &remote {
            let mut jobs = remote.open_jobs().await?;
            // The upload of a job that has begun is listed already, unless the job has begun just now.
            let listed: BTreeSet<&str> = records.iter().map(|record| &*record.id).collect();
            jobs.retain(|job| {
                let wanted = globals.given_account();
                let is_wanted = wanted.is_none_or(|wanted| job["account"] == wanted);
                let is_listed = job["upload"]
                    .as_str()
                    .is_some_and(|upload| listed.contains(upload));
                is_wanted && self.filter.fits_job(job) && (!is_listed || job["state"] == "parked")
            });
            shown += jobs.len();
            jobs.iter().for_each(|job| show(job, globals.json));
        }
        if shown == 0 && of_account > 0 && !globals.json && !self.filter.is_empty() {
            eprintln!("None of {of_account} uploads fits.");
        }
        Ok(Exit::DELIVERED)
    }
}

/// Shows a job that waits in a service.
fn show(job: &Value, as_json: bool) {
    let text = |field: &str| job[field].as_str().unwrap_or_default();
    if as_json {
        let fields = serde_json::json!({ "job": job });
        println!("{}", json::line("job", job["account"].as_str(), fields));
        return;
    }
    let since = moment(job, "updated").map(when);
    let why = job["end"]["why"].as_str().or_else(|| job["why"].as_str());
    let account = job["account"].as_str();
    let notes = [since.as_deref(), account, why].into_iter().flatten();
    println!(
        "{}  {:<11} job {:>13}  {}  ({})",
        Escaped::new(text("id")),
        Escaped::new(text("state")).to_string(),
        "",
        Escaped::new(text("source")),
        Escaped::new(&notes.collect::<Vec<_>>().join(", "))
    );
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
        let id = self.id.as_deref().unwrap_or_default();
        let remote = Remote::find(globals).await?;
        if let Some(remote) = &remote
            && remote.job(id).await?.is_some()
        {
            remote
                .call(Method::DELETE, &format!("/v1/jobs/{id}"), None)
                .await?;
            eprintln!(
                "The job {} is forgotten; its upload is not.",
                Escaped::new(id)
            );
            return Ok(Exit::DELIVERED);
        }
        let record = find(globals, remote.as_ref(), id).await?;
        forget(globals, remote.as_ref(), &record.id).await?;
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

/// Drops an upload by its id.
async fn forget(globals: &Globals, remote: Option<&Remote>, id: &str) -> Result<(), Failure> {
    if let Some(remote) = remote {
        let path = format!("/v1/uploads/{id}");
        return remote.call(Method::DELETE, &path, None).await.map(drop);
    }
    let engine = Options::new(globals.state_dir()?)
        .doing(format!("forget {id}"))
        .open()?;
    Ok(engine.forget(id).await?)
}

async fn forget_creator(globals: &Globals, account: &str) -> Result<Exit, Failure> {
    let forgotten = match Remote::find(globals).await? {
        Some(remote) => {
            let path = format!("/v1/creators/{}", segment(account));
            remote.call(Method::DELETE, &path, None).await?["forgotten"] == true
        }
        None => {
            let engine = Options::new(globals.state_dir()?)
                .doing(format!("forget --creator {account}"))
                .open()?;
            engine.forget_creator(account).await?
        }
    };
    if !forgotten {
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
