//! `upload`: files in, drafts out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::emulator::Emulator;
use chunkferry::{Account, Job, Ledger, Options, ReadMode};
use clap::Args;

use super::exit::Exit;
use super::list::is_url;
use super::render::Screen;
use super::run::{Place, RunArgs};
use super::size::{bytes, rate};
use super::{Failure, Globals};

/// Upload videos as drafts; the same command again carries on
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry upload clip.mp4 --account lena")]
pub(super) struct Upload {
    /// MP4, MOV or WebM, up to 4 GB each; sent in this order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Upload to an emulator inside this process: no account, nothing real
    #[arg(long)]
    emulator: bool,
    /// Size of a chunk, 5MiB to 32MB: auto follows the last known rate
    #[arg(long, value_name = "auto|SIZE", default_value = "auto", value_parser = chunk_size, hide_default_value = true)]
    chunk_size: ChunkSize,
    /// Bytes a second for all files together, such as 30MB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    bwlimit: Option<u64>,
    /// Do not hash: changes are told by size and time alone
    #[arg(long)]
    no_ledger: bool,
    /// map: less CPU time under TLS, for files that nobody shortens
    #[arg(long, value_name = "read|map", default_value = "read", value_parser = read_mode, hide_default_value = true)]
    read: ReadMode,
    /// Send a file that a program may still write to. The message that refuses such a file names this option
    #[arg(long, hide = true)]
    allow_writer: bool,
    /// How long a file with an open end must not have changed. The message that refuses such a file names this option
    #[arg(long, value_name = "SECS", hide = true)]
    settle: Option<u64>,
    /// video/mp4, video/quicktime or video/webm, unseen
    #[arg(long, value_name = "TYPE", value_parser = ["video/mp4", "video/quicktime", "video/webm"], hide_possible_values = true)]
    content_type: Option<String>,
    #[command(flatten)]
    run: RunArgs,
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

fn read_mode(text: &str) -> Result<ReadMode, String> {
    match text {
        "read" => Ok(ReadMode::Read),
        "map" => Ok(ReadMode::Map),
        _ => Err("it is read or map".to_owned()),
    }
}

impl Upload {
    pub(super) async fn run(self, mut globals: Globals) -> Result<Exit, Failure> {
        if self
            .files
            .iter()
            .any(|file| is_url(&file.to_string_lossy()) && !file.exists())
        {
            return Err(Failure::usage(
                "A URL is fetched by TikTok, not sent from here: chunkferry pull URL.",
            ));
        }
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
        let place = Place {
            screen: &screen,
            account: &account,
            state_dir: &state_dir,
            lasting: local.is_none(),
        };
        let limit = |options: Options| match self.bwlimit {
            Some(rate) => options.bandwidth(rate),
            None => options,
        };
        let jobs = self.files.iter().map(|file| self.job(file, &account));
        let ended = self
            .run
            .run(&place, &globals, limit, "upload", jobs.collect())
            .await;
        if let Some(local) = local {
            local.report(&screen);
        }
        ended
    }

    fn job(&self, file: &Path, account: &Account) -> Job {
        let mut job = self
            .run
            .job(Job::file(file), account)
            .read(self.read)
            .allow_writer(self.allow_writer)
            .ledger(if self.no_ledger {
                Ledger::Off
            } else {
                Ledger::On
            });
        if let ChunkSize::Bytes(bytes) = self.chunk_size {
            job = job.chunk_size(bytes);
        }
        if let Some(seconds) = self.settle {
            job = job.settle(Duration::from_secs(seconds));
        }
        if let Some(content_type) = &self.content_type {
            job = job.content_type(content_type);
        }
        job
    }
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
