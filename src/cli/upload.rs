//! `upload`: files in, drafts out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::emulator::Emulator;
use chunkferry::{
    Account, Engine, Error, ErrorKind, Job, Ledger, Options, Progress, fragile_state_dir,
};
use clap::Args;
use futures::future::join_all;

use super::exit::Exit;
use super::render::{Screen, View};
use super::signals::Signals;
use super::size::{bytes, rate};
use super::{Failure, Globals};

/// Upload videos as drafts; the same command again carries on
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry upload clip.mp4 --account lena")]
pub(super) struct Upload {
    /// MP4, MOV or WebM, up to 4 GB each
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Upload to an emulator inside this process: no account, nothing real
    #[arg(long)]
    emulator: bool,
    /// Size of a chunk, 5MiB to 32MB: auto follows the last known rate
    #[arg(long, value_name = "auto|SIZE", default_value = "auto", value_parser = chunk_size, hide_default_value = true)]
    chunk_size: ChunkSize,
    /// Uploads in flight at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Bytes a second for all files together, such as 30MB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    bwlimit: Option<u64>,
    /// Send a file although it was delivered before
    #[arg(long)]
    again: bool,
    /// End when every byte is accepted, without waiting for the inbox
    #[arg(long)]
    no_wait: bool,
    /// How long TikTok may work on a video
    #[arg(long, value_name = "SECS", default_value_t = 1800)]
    wait: u64,
    /// Do not hash: changes are told by size and time alone
    #[arg(long)]
    no_ledger: bool,
    /// video/mp4, video/quicktime or video/webm, unseen
    #[arg(long, value_name = "TYPE", value_parser = ["video/mp4", "video/quicktime", "video/webm"], hide_possible_values = true)]
    content_type: Option<String>,
    /// Exit 75 instead of waiting for another chunkferry to end
    #[arg(long)]
    no_wait_lock: bool,
    /// Append each request and answer, without secrets, to this file
    #[arg(long, value_name = "FILE")]
    wire_log: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
enum ChunkSize {
    Auto,
    Bytes(u64),
}

fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    if text == "auto" {
        Ok(ChunkSize::Auto)
    } else {
        bytes(text).map(ChunkSize::Bytes)
    }
}

impl Upload {
    pub(super) async fn run(self, mut globals: Globals) -> Result<Exit, Failure> {
        let screen = Screen::new(globals.json);
        let mut local = None;
        let state_dir = if self.emulator {
            let emulator = Local::start().await?;
            globals.api_base = Some(emulator.emulator.url());
            let dir = emulator.state.path().to_owned();
            local = Some(emulator);
            dir
        } else {
            globals.state_dir()?
        };
        let account = match &local {
            Some(_) => Account::new(
                globals.account.as_deref().unwrap_or("emulator"),
                "act.emulator.1",
            ),
            None => globals.account(),
        };
        if local.is_none() && !state_dir.exists() {
            screen.say(&format!(
                "The journal is kept in {}. It is what lets uploads carry on and prevents double drafts.",
                state_dir.display()
            ));
        }
        let names: Vec<_> = self
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let mut options = globals
            .options(state_dir.clone())
            .jobs(self.jobs.into())
            .doing(format!("upload {}", names.join(" ")));
        if let Some(rate) = self.bwlimit {
            options = options.bandwidth(rate);
        }
        if let Some(path) = &self.wire_log {
            options = options.wire_log(path);
        }
        let mut signals = Signals::listen()?;
        let views: Vec<_> = self
            .files
            .iter()
            .map(|file| screen.file(file, account.name()))
            .collect();
        let engine = match self.open(&options, &screen, &mut signals).await {
            Ok(engine) => engine,
            Err((exit, error)) => {
                // No file was looked at; programs wait for an outcome of each all the same.
                let result = Err(error);
                for view in &views {
                    view.end(&result, exit, Progress::default());
                }
                return Ok(exit);
            }
        };
        if local.is_none()
            && let Some(why) = fragile_state_dir(&state_dir)
        {
            screen.say(&format!("The journal in {}: {why}.", state_dir.display()));
        }
        let uploads =
            self.files.iter().zip(&views).map(|(file, view)| {
                follow(&engine, self.job(file, &account), view, signals.clone())
            });
        let exit = join_all(uploads)
            .await
            .into_iter()
            .fold(Exit::DELIVERED, Exit::worse);
        if [Exit::INTERRUPTED, Exit::TERMINATED].contains(&exit) {
            screen.say("Stopped. The same command carries on.");
        }
        if let Some(local) = local {
            local.report(&screen);
        }
        Ok(exit)
    }

    fn job(&self, file: &Path, account: &Account) -> Job {
        let mut job = Job::file(file)
            .for_account(account.clone())
            .again(self.again)
            .hand_over(self.no_wait)
            .wait(Duration::from_secs(self.wait))
            .ledger(if self.no_ledger {
                Ledger::Off
            } else {
                Ledger::On
            });
        if let ChunkSize::Bytes(bytes) = self.chunk_size {
            job = job.chunk_size(bytes);
        }
        if let Some(content_type) = &self.content_type {
            job = job.content_type(content_type);
        }
        job
    }

    /// Opens the engine, waiting for another process as long as that takes, or until a signal.
    async fn open(
        &self,
        options: &Options,
        screen: &Screen,
        signals: &mut Signals,
    ) -> Result<Engine, (Exit, Error)> {
        let mut told = false;
        loop {
            let error = match options.open() {
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

/// Shows one upload until it ends, or until a signal stops it.
async fn follow(engine: &Engine, job: Job, view: &View<'_>, mut signals: Signals) -> Exit {
    let mut handle = engine.submit(job);
    let mut tick = tokio::time::interval(view.tick());
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
            _ = tick.tick() => view.progress(handle.progress()),
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

/// `--emulator`: everything of it ends with the command.
struct Local {
    emulator: Emulator,
    state: tempfile::TempDir,
}

impl Local {
    async fn start() -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            Failure::temporary(format!("The emulator cannot start: {error}"))
        };
        let state = tempfile::tempdir().map_err(cannot)?;
        let emulator = Emulator::start().await.map_err(cannot)?;
        Ok(Self { emulator, state })
    }

    fn report(&self, screen: &Screen) {
        for session in self.emulator.log().sessions {
            let sha256 = session.sha256.as_deref().unwrap_or("not whole");
            screen.say(&format!(
                "emulator: {} received sha256 {sha256}",
                session.publish_id
            ));
        }
    }
}
