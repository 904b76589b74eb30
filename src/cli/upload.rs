//! `upload`: files in, drafts out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::emulator::Emulator;
use chunkferry::{Account, Escaped, Job, Ledger, Options, ReadMode};
use clap::Args;
use serde_json::Value;

use super::exit::Exit;
use super::globals::Source;
use super::handover::{self, Wish};
use super::records::is_url;
use super::remote::Remote;
use super::render::Screen;
use super::run::{Place, RunArgs};
use super::size::{bytes, rate};
use super::{Failure, Globals};

/// Upload videos as drafts; the same command again carries on
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry upload clip.mp4 --account lena")]
pub(super) struct Upload {
    /// MP4, MOV or WebM, up to 4 GB each; sent in this order
    #[arg(required_unless_present = "follow", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Instead: follow a job that was handed to the service before
    #[arg(long, value_name = "JOB", conflicts_with = "files", hide = true)]
    follow: Option<String>,
    /// Upload to an emulator inside this process: no account, nothing real
    #[arg(long)]
    emulator: bool,
    /// Size of a chunk, 5MiB to 32MB: auto follows the last known rate
    #[arg(long, value_name = "auto|SIZE", default_value = "auto", value_parser = chunk_size, hide_default_value = true)]
    chunk_size: ChunkSize,
    /// Bytes a second for all files together, such as 30MB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    bwlimit: Option<u64>,
    /// Begin although --bwlimit is too low for the hour of an upload. The message that refuses such a file names this
    /// option
    #[arg(long, hide = true)]
    ignore_forecast: bool,
    /// Do not hash: detect changes by size and time alone
    #[arg(long)]
    no_ledger: bool,
    /// map: less CPU time under TLS, for files that nobody shortens
    #[arg(long, value_name = "read|map", default_value = "read", value_parser = read_mode, hide = true)]
    read: ReadMode,
    /// Send a file that a program may still write to. The message that refuses such a file names this option
    #[arg(long, hide = true)]
    allow_writer: bool,
    /// How long a file with an open end must be unchanged. The message that refuses such a file names this option
    #[arg(long, value_name = "SECS", hide = true)]
    settle: Option<u64>,
    /// video/mp4, video/quicktime or video/webm, without a check
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
    pub(super) async fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let (file, counters) = (self.run.metrics_textfile.clone(), globals.counters.clone());
        RunArgs::measured(file, counters, self.send(globals)).await
    }

    async fn send(mut self, mut globals: Globals) -> Result<Exit, Failure> {
        self.files.iter().try_for_each(|file| is_file(file))?;
        if self.emulator {
            leave_aside(&mut globals)?;
        } else if let Some(job) = &self.follow {
            return follow(&globals, job).await;
        } else {
            let wishes = || {
                let account = globals.account_name();
                self.files
                    .iter()
                    .map(|file| Wish::file(file, self.wish(account)))
                    .collect()
            };
            if let Some(exit) = self.run.hand_over(&globals, wishes).await? {
                return Ok(exit);
            }
        }
        let screen = Screen::new(globals.json);
        self.share_rate(&screen).await;
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
            None => globals.account()?,
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

    /// Uploads at the same time share the rate. If one of them could then exceed its hour, fewer run at once.
    async fn share_rate(&mut self, screen: &Screen) {
        let Some(rate) = self
            .bwlimit
            .filter(|_| !self.ignore_forecast && self.files.len() > 1)
        else {
            return;
        };
        let files = self.files.clone();
        let sizes = tokio::task::spawn_blocking(move || {
            let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
            sizes.map(|metadata| metadata.len()).collect()
        });
        // A drive that does not answer delays nobody; the sizes are then unknown.
        let Ok(Ok(sizes)) = tokio::time::timeout(PATIENCE, sizes).await else {
            return;
        };
        let jobs = at_once(sizes, rate, self.run.jobs);
        if jobs < self.run.jobs {
            self.run.jobs = jobs;
            screen.say(&format!(
                "So that each file ends within its hour at this --bwlimit, {jobs} of them go at once."
            ));
        }
    }

    /// The job of a file in the words of a service, but for the file.
    fn wish(&self, account: &str) -> Value {
        let mut wish = self.run.wish(account);
        wish["allow_writer"] = self.allow_writer.into();
        wish["chunk_size"] = match self.chunk_size {
            ChunkSize::Bytes(bytes) => bytes.into(),
            ChunkSize::Auto => Value::Null,
        };
        wish["content_type"] = self.content_type.clone().into();
        wish["ignore_forecast"] = self.ignore_forecast.into();
        wish["no_ledger"] = self.no_ledger.into();
        wish["settle"] = self.settle.into();
        wish
    }

    fn job(&self, file: &Path, account: &Account) -> Job {
        let mut job = self
            .run
            .job(Job::file(file), account)
            .read(self.read)
            .allow_writer(self.allow_writer)
            .ignore_forecast(self.ignore_forecast)
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

/// Follows a job of the service to its end.
async fn follow(globals: &Globals, job: &str) -> Result<Exit, Failure> {
    let remote = Remote::find(globals).await?;
    let remote = remote.ok_or_else(|| {
        Failure::usage("--follow needs the service that has the job: chunkferry serve.")
    })?;
    handover::follow(&remote, &Screen::new(globals.json), job).await
}

/// Longest wait for a drive to report the sizes of files.
const PATIENCE: Duration = Duration::from_secs(5);

/// Seconds of the hour to plan with; the rest is a reserve.
const HOUR: u64 = 3_300;

/// How many of `jobs` uploads with these sizes can share a rate so that each ends in time.
fn at_once(mut sizes: Vec<u64>, rate: u64, jobs: u16) -> u16 {
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    let fits = |jobs: &u16| {
        let together: u64 = sizes.iter().take(usize::from(*jobs)).sum();
        together <= rate.saturating_mul(HOUR)
    };
    (1..=jobs).rev().find(fits).unwrap_or(1)
}

/// Refuses a path that cannot be a file.
fn is_file(file: &Path) -> Result<(), Failure> {
    let text = file.to_string_lossy().to_lowercase();
    let is_web = ["http:/", "https:/"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if (is_url(&text) || is_web) && !file.exists() {
        return Err(Failure::usage(
            "A URL is fetched by TikTok, not sent from here: chunkferry pull URL.",
        ));
    }
    if file == Path::new("-") {
        return Err(Failure::usage(
            "A video cannot come from standard input: it is read again whenever something goes wrong. Write it to a file first, and upload that. (A file of this name is ./-)",
        ));
    }
    Ok(())
}

/// Refuses or ignores options for another API, journal or token, which the internal emulator does not use. On the
/// command line such an option is an error: a job that posts nothing must not look like one that posts. From the
/// environment it is ignored, with a note.
fn leave_aside(globals: &mut Globals) -> Result<(), Failure> {
    const OTHERS: [(&str, &str, &str); 7] = [
        ("api_base", "--api-base", "CHUNKFERRY_API_BASE"),
        ("state_dir", "--state-dir", "CHUNKFERRY_STATE_DIR"),
        ("token_file", "--token-file", "CHUNKFERRY_TOKEN_FILE"),
        (
            "token_command",
            "--token-command",
            "CHUNKFERRY_TOKEN_COMMAND",
        ),
        ("ca_file", "--ca-file", "CHUNKFERRY_CA_FILE"),
        ("upload_host", "--upload-host", "CHUNKFERRY_UPLOAD_HOST"),
        ("allow_http", "--allow-http", "CHUNKFERRY_ALLOW_HTTP"),
    ];
    if let Some((_, option, _)) = OTHERS.iter().find(|(id, ..)| globals.is_given(id)) {
        return Err(Failure::usage(format!(
            "--emulator uploads to an emulator inside this command, which has a journal and a token of its own, and posts nothing: {option} cannot go with it. To upload to another one, leave out --emulator."
        )));
    }
    let variables = OTHERS.iter().map(|(.., variable)| *variable);
    let set = variables
        .chain(["TIKTOK_ACCESS_TOKEN"])
        .filter(|variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty()));
    let set: Vec<&str> = set.collect();
    if !set.is_empty() {
        eprintln!(
            "--emulator posts nothing at TikTok and leaves aside what the environment says: {}.",
            set.join(", ")
        );
    }
    let file = globals.file.path();
    if let Some(path) = file.filter(|_| {
        OTHERS
            .iter()
            .any(|(id, ..)| globals.source(id) == Source::File)
    }) {
        let path = Escaped::new(&*path.to_string_lossy()).to_string();
        eprintln!(
            "--emulator posts nothing at TikTok and leaves aside what {path} says of API, journal and tokens."
        );
    }
    globals.api_base = None;
    globals.state_dir = None;
    globals.token_file = None;
    globals.token_command = None;
    globals.ca_file = None;
    globals.upload_host = None;
    globals.allow_http = false;
    Ok(())
}

/// The parts of `--emulator`, which end with the command.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_share_a_rate_as_all_end_in_time() {
        let mb = 1_000_000;
        assert_eq!(at_once(vec![46 * mb, 46 * mb], 20_000, 2), 1);
        assert_eq!(at_once(vec![46 * mb, 46 * mb], 30_000, 2), 2);
        assert_eq!(at_once(vec![mb, 46 * mb, mb], 15_000, 3), 3);
        assert_eq!(at_once(vec![46 * mb, 46 * mb], 1_000, 2), 1);
        assert_eq!(at_once(vec![], 1_000, 64), 64);
    }
}
