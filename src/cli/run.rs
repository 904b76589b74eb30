//! The common part of uploads and pulls: running jobs and following them to their end.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::{
    Account, Counters, Draft, Engine, Error, ErrorKind, Job, Options, Progress, StateDir,
};
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::bwlimit::Bandwidth;
use super::exit::Exit;
use super::handover;
use super::item::Item;
use super::message::message;
use super::metrics::{self, textfile::Textfile};
use super::pipe;
use super::remote::Remote;
use super::render::{Screen, View};
use super::signals::Signals;
use super::size::duration;
use super::videos::Videos;
use super::{Failure, Globals, heap};

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
    /// The same, after waiting for so long, such as 5m
    #[arg(long, value_name = "DUR", value_parser = duration, conflicts_with = "no_wait_lock", hide = true)]
    wait_lock: Option<Duration>,
    /// Stop after so long, such as 6h, and exit 75: the same command carries on
    #[arg(long, value_name = "DUR", value_parser = duration, hide = true)]
    max_duration: Option<Duration>,
    /// Show only what fails; at exit 0 nothing
    #[arg(long, hide = true)]
    quiet: bool,
    /// Your id of this video: the same id again is the same job. For a service, or a video from standard input
    #[arg(long, value_name = "ID", hide = true)]
    id: Option<String>,
    /// Hand the videos to the service, print the ids of their jobs, and exit
    #[arg(long, hide = true)]
    pub(super) detach: bool,
    /// Append each request and answer to this file, without secrets
    #[arg(long, value_name = "FILE", hide = true)]
    wire_log: Option<PathBuf>,
    /// Write metrics for node_exporter to this file at the end
    #[arg(long, value_name = "FILE", hide = true)]
    pub(super) metrics_textfile: Option<PathBuf>,
}

/// The surroundings of a run.
pub(super) struct Place<'a> {
    pub(super) screen: &'a Screen,
    pub(super) state_dir: &'a Path,
    pub(super) bandwidth: Option<&'a Bandwidth>,
    /// Whether messages may mention the journal: that of an internal emulator ends with the process.
    pub(super) lasting: bool,
}

impl RunArgs {
    /// The options of a job in the words of a service. Followed to its end, it ends as it would in this process.
    pub(super) fn wish(&self, account: &str) -> Map<String, Value> {
        let wish = json!({
            "account": account,
            "again": self.again,
            "id": self.id,
            "no_wait": self.no_wait,
            "once": !self.detach,
            "patience": self.patience,
            "wait": self.wait,
        });
        match wish {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// How the run shows itself.
    pub(super) fn screen(&self, globals: &Globals) -> Screen {
        Screen::new(globals.json).quiet(self.quiet)
    }

    /// The service that carries the videos of this command, if there is one.
    pub(super) async fn service(
        &self,
        globals: &Globals,
        is_piped: bool,
    ) -> Result<Option<Remote>, Failure> {
        let Some(remote) = Remote::find(globals).await? else {
            if self.detach || self.id.is_some() && !is_piped {
                let option = if self.detach { "--detach" } else { "--id" };
                return Err(Failure::usage(format!(
                    "{option} needs a service that keeps the job: chunkferry serve. Nothing was recorded."
                )));
            }
            return Ok(None);
        };
        remote.check(globals)?;
        Ok(Some(remote))
    }

    /// Hands the videos over to a service.
    pub(super) async fn hand_over(
        &self,
        remote: &Remote,
        screen: &Screen,
        videos: Videos<'_>,
    ) -> Result<Exit, Failure> {
        let is_one = matches!(&videos, Videos::All(items) if items.len() == 1);
        if self.id.is_some() && !is_one {
            return Err(Failure::usage(
                "One --id cannot name several videos: hand them over one by one.",
            ));
        }
        match self.detach {
            true => handover::detach(remote, screen, videos).await,
            false => handover::run(remote, screen, videos, self.max_duration).await,
        }
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

    /// Runs the jobs of all videos to their ends in this process.
    pub(super) async fn run(
        &self,
        place: &Place<'_>,
        globals: &Globals,
        adjust: impl FnOnce(Options) -> Options,
        doing: &str,
        videos: Videos<'_>,
        job: impl Fn(&Item) -> Result<(Job, Account), Failure>,
    ) -> Result<Exit, Failure> {
        let Place {
            screen,
            state_dir,
            bandwidth,
            lasting,
        } = *place;
        if let Videos::All(items) = &videos {
            items.iter().try_for_each(|item| job(item).map(drop))?;
        }
        if lasting && !state_dir.exists() {
            screen.say(&format!(
                "The journal is kept in {}. It is what lets uploads carry on and prevents double drafts.",
                state_dir.display()
            ));
        }
        let options = globals.options(state_dir.to_owned()).jobs(self.jobs.into());
        let mut options = adjust(options)
            .check_creator(true)
            .paused()
            .doing(format!("{doing} {}", videos.shown()));
        if let Some(path) = &self.wire_log {
            options = options.wire_log(path);
        }
        if let Some(limit) = bandwidth {
            options = limit.set(options);
        }
        let mut signals = Signals::listen_for(self.max_duration)?;
        let served = || lasting && Remote::has_begun(globals);
        let engine = match self.open(&options, screen, &mut signals, served).await {
            Ok(Some(engine)) => engine,
            Ok(None) => {
                let remote = self.service(globals, videos.is_piped()).await?;
                let gone =
                    || Failure::temporary("The service is gone that has the state directory.");
                return self
                    .hand_over(&remote.ok_or_else(gone)?, screen, videos)
                    .await;
            }
            Err((exit, error)) => {
                let result = &Err(error);
                let Videos::All(_) = &videos else {
                    return result
                        .as_ref()
                        .map(|_: &Draft| exit)
                        .map_err(|error| Failure::new(exit, message(error)));
                };
                // No video was opened; programs still expect an outcome for each.
                let none = async |item: Item, _| {
                    screen.view_of(&item).end(result, exit, Progress::default())
                };
                let exit = videos.each(screen, &signals, none).await?;
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
        heap::give_back_code();
        let carry = async |item: Item, signals| {
            let view = screen.view_of(&item);
            match job(&item) {
                Ok(job) if item.is_piped() => {
                    pipe::carry(&engine, &item, job, &view, signals).await
                }
                Ok((job, account)) => {
                    follow(&engine, job.for_account(account), &view, signals).await
                }
                Err(failure) => view.fail(&failure),
            }
        };
        if let Some(remark) = bandwidth.and_then(Bandwidth::remark) {
            screen.say(&remark);
        }
        let carrying = videos.each(screen, &signals, carry);
        let exit = Bandwidth::during(bandwidth, &engine, carrying).await?;
        let stopped = signals.came().is_some();
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

    /// Opens the engine; waits until another process releases the state directory, or a signal comes. `None` if that process is a service,
    /// which takes the videos.
    async fn open(
        &self,
        options: &Options,
        screen: &Screen,
        signals: &mut Signals,
        is_served: impl Fn() -> bool,
    ) -> Result<Option<Engine>, (Exit, Error)> {
        let mut told = false;
        let give_up = match (self.no_wait_lock, self.wait_lock) {
            (true, _) => Some(Instant::now()),
            (false, most) => most.map(|most| Instant::now() + most),
        };
        loop {
            // Files of the options may be pipes, or on a drive that does not answer.
            let opening = options.clone();
            let opened = tokio::select! {
                opened = tokio::task::spawn_blocking(move || opening.open()) => opened,
                exit = signals.first() => return Err((exit, Error::cancelled())),
            };
            let error = match opened.unwrap_or_else(|error| resume_unwind(error.into_panic())) {
                Err(error)
                    if error.kind() == ErrorKind::Locked
                        && give_up.is_none_or(|at| Instant::now() < at) =>
                {
                    error
                }
                opened => {
                    let opened = opened.map(Some);
                    return opened.map_err(|error| (Exit::of(error.kind()), error));
                }
            };
            if is_served() {
                return Ok(None);
            }
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
    view.end(&result, exit, handle.progress())
}
