//! The common part of uploads and pulls: running jobs and following them to their end.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::{Account, Counters, Engine, Error, ErrorKind, Job, Options, Progress, StateDir};
use clap::Args;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::exit::Exit;
use super::handover::{self, Wish};
use super::metrics::{self, textfile::Textfile};
use super::remote::Remote;
use super::render::{Screen, View};
use super::signals::Signals;
use super::{Failure, Globals};

/// Longest wait at the end for the wire log's last lines, and for a call for a token or an init that was stopped; a
/// second signal ends it.
const LAST_CALLS: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Uploads in flight at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) jobs: u16,
    /// Send a video although it was delivered before
    #[arg(long)]
    again: bool,
    /// Exit once TikTok has all bytes, without waiting for the inbox
    #[arg(long)]
    no_wait: bool,
    /// How long TikTok may process a video
    #[arg(long, value_name = "SECS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(..=2_592_000))]
    wait: u64,
    /// How long an outage may last
    #[arg(long, value_name = "SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(..=3_600))]
    patience: u64,
    /// Exit 75 instead of waiting for another chunkferry to end
    #[arg(long)]
    no_wait_lock: bool,
    /// Your id of this video: the same id again is the same job. Needs a service
    #[arg(long, value_name = "ID", hide = true)]
    id: Option<String>,
    /// Hand the videos to the service, print the ids of their jobs, and exit
    #[arg(long, hide = true)]
    pub(super) detach: bool,
    /// Append each request and answer to this file, without secrets
    #[arg(long, value_name = "FILE")]
    wire_log: Option<PathBuf>,
    /// Write metrics for node_exporter to this file at the end
    #[arg(long, value_name = "FILE", hide = true)]
    pub(super) metrics_textfile: Option<PathBuf>,
}

/// The surroundings of a run.
pub(super) struct Place<'a> {
    pub(super) screen: &'a Screen,
    pub(super) account: &'a Account,
    pub(super) state_dir: &'a Path,
    /// Whether messages may mention the journal: that of an internal emulator ends with the process.
    pub(super) lasting: bool,
}

impl RunArgs {
    /// A job with these options.
    pub(super) fn job(&self, job: Job, account: &Account) -> Job {
        job.for_account(account.clone())
            .again(self.again)
            .hand_over(self.no_wait)
            .wait(Duration::from_secs(self.wait))
            .patience(Duration::from_secs(self.patience))
    }

    /// The job of a video in the words of a service. Followed to its end, it ends as it would in this process.
    pub(super) fn wish(&self, account: &str) -> Value {
        json!({
            "account": account,
            "id": self.id,
            "again": self.again,
            "no_wait": self.no_wait,
            "once": !self.detach,
            "patience": self.patience,
            "wait": self.wait,
        })
    }

    /// Carries the videos by the service that this command uses, if there is one.
    pub(super) async fn hand_over(
        &self,
        globals: &Globals,
        wishes: impl FnOnce() -> Result<Vec<Wish>, Failure>,
    ) -> Result<Option<Exit>, Failure> {
        let Some(remote) = Remote::find(globals).await? else {
            if self.detach || self.id.is_some() {
                let option = if self.detach { "--detach" } else { "--id" };
                return Err(Failure::usage(format!(
                    "{option} needs a service that keeps the job: chunkferry serve. Nothing was recorded."
                )));
            }
            return Ok(None);
        };
        remote.check(globals)?;
        let wishes = wishes()?;
        if self.id.is_some() && wishes.len() > 1 {
            return Err(Failure::usage(
                "One --id cannot name several videos: hand them over one by one.",
            ));
        }
        let screen = Screen::new(globals.json);
        let ended = match self.detach {
            true => handover::detach(&remote, &screen, wishes).await,
            false => handover::run(&remote, &screen, globals.account_name(), wishes).await,
        };
        ended.map(Some)
    }

    /// Writes the metrics at the end of a command, whatever that end is.
    pub(super) async fn measured(
        file: Option<PathBuf>,
        counters: Counters,
        command: impl Future<Output = Result<Exit, Failure>>,
    ) -> Result<Exit, Failure> {
        let file = file.as_deref().map(Textfile::new).transpose()?;
        let ended = command.await;
        if let Some(file) = file {
            file.write_or_say(&metrics::page(&counters.metrics()).into_text());
        }
        ended
    }

    /// Runs all jobs to their ends.
    pub(super) async fn run(
        &self,
        place: &Place<'_>,
        globals: &Globals,
        adjust: impl FnOnce(Options) -> Options,
        doing: &str,
        jobs: Vec<Job>,
    ) -> Result<Exit, Failure> {
        let Place {
            screen,
            account,
            state_dir,
            lasting,
        } = *place;
        if lasting && !state_dir.exists() {
            screen.say(&format!(
                "The journal is kept in {}. It is what lets uploads carry on and prevents double drafts.",
                state_dir.display()
            ));
        }
        let names: Vec<_> = jobs.iter().map(Job::name).collect();
        let mut options = adjust(globals.options(state_dir.to_owned()))
            .jobs(self.jobs.into())
            .check_creator(true)
            .paused()
            .doing(format!("{doing} {}", names.join(" ")));
        if let Some(path) = &self.wire_log {
            options = options.wire_log(path);
        }
        let mut signals = Signals::listen()?;
        let views = screen.views(&jobs, account.name());
        let engine = match self.open(&options, screen, &mut signals).await {
            Ok(engine) => engine,
            Err((exit, error)) => {
                // No video was opened; programs still expect an outcome for each.
                let result = Err(error);
                for view in &views {
                    view.end(&result, exit, Progress::default());
                }
                screen.sum_up(exit);
                return Ok(exit);
            }
        };
        if lasting {
            tokio::spawn(globals.renew_idle());
        }
        for why in StateDir::new(state_dir)
            .fragility()
            .iter()
            .filter(|_| lasting)
        {
            screen.say(&format!("The journal in {}: {why}.", state_dir.display()));
        }
        let runs = jobs
            .into_iter()
            .zip(&views)
            .map(|(job, view)| follow(&engine, job, view, signals.clone()));
        let exit = join_all(runs)
            .await
            .into_iter()
            .fold(Exit::DELIVERED, Exit::over);
        let stopped = [Exit::INTERRUPTED, Exit::TERMINATED].contains(&exit);
        if stopped || self.wire_log.is_some() {
            // An init without a recorded answer would leave an unused session.
            let closed = tokio::time::timeout(LAST_CALLS, engine.close()).await;
            if let (Err(_), Some(log)) = (closed, &self.wire_log) {
                screen.say(&format!("{} does not have all lines.", log.display()));
            }
        }
        if stopped {
            screen.say("Stopped. The same command carries on.");
        }
        screen.sum_up(exit);
        Ok(exit)
    }

    /// Opens the engine; waits until another process releases the state directory, or a signal comes.
    async fn open(
        &self,
        options: &Options,
        screen: &Screen,
        signals: &mut Signals,
    ) -> Result<Engine, (Exit, Error)> {
        let mut told = false;
        loop {
            // Files of the options may be pipes, or on a drive that does not answer.
            let opening = options.clone();
            let opened = tokio::select! {
                opened = tokio::task::spawn_blocking(move || opening.open()) => opened,
                exit = signals.first() => return Err((exit, Error::cancelled())),
            };
            let error = match opened.unwrap_or_else(|error| resume_unwind(error.into_panic())) {
                Err(error) if error.kind() == ErrorKind::Locked && !self.no_wait_lock => error,
                opened => return opened.map_err(|error| (Exit::of(error.kind()), error)),
            };
            if !told {
                screen.say(&format!(
                    "{error} Waiting for it to end (--no-wait-lock: do not wait)."
                ));
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
                exit = signals.first() => return Err((exit, error)),
            }
        }
    }
}

/// Shows one upload until it ends or a signal stops it.
async fn follow(engine: &Engine, job: Job, view: &View<'_>, mut signals: Signals) -> Exit {
    let mut handle = engine.upload(job);
    let mut tick = tokio::time::interval(view.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stopped = None;
    loop {
        tokio::select! {
            event = handle.event() => match event {
                Some(event) => view.event(event),
                None => break,
            },
            exit = signals.first(), if stopped.is_none() => {
                stopped = Some(exit);
                handle.cancel();
            }
            // Jobs in the queue cost nothing.
            _ = tick.tick(), if view.has_begun() => view.progress(handle.progress()),
        }
    }
    let result = (&mut handle).await;
    let exit = match (&result, stopped) {
        (Ok(_), _) => Exit::DELIVERED,
        (Err(error), Some(exit)) if error.kind() == ErrorKind::Cancelled => exit,
        (Err(error), _) => Exit::of(error.kind()),
    };
    view.end(&result, exit, handle.progress());
    exit
}
