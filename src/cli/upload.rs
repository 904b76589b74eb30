//! `upload`: files in, drafts out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::{Account, Job, Options, ReadMode};
use clap::Args;
use serde_json::{Map, Value};

use super::bwlimit::{Bandwidth, bandwidth};
use super::exit::Exit;
use super::folder::Folders;
use super::handover;
use super::item::{Accounts, Item, Source};
use super::manifest::Manifest;
use super::manifest::known::{Known, Sender};
use super::records::{is_remote, is_url};
use super::remote::Remote;
use super::render::Screen;
use super::run::{Place, RunArgs};
use super::size::bytes;
use super::url_source::{self, UrlCommand};
use super::videos::Videos;
use super::{Failure, Globals};

mod dry_run;
mod emulator;
mod piped;

use emulator::{Local, leave_aside};

/// Upload videos as drafts; the same command again carries on
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry upload clip.mp4 --account lena")]
pub(super) struct Upload {
    /// MP4, MOV or WebM, up to 4 GB each, or folders of them; - is a pipe, with --name
    #[arg(required_unless_present_any = ["follow", "from"], value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    folders: Folders,
    /// What a video from standard input (upload -) is called: in messages, and with its id
    #[arg(long, value_name = "NAME", hide = true)]
    name: Option<String>,
    /// Where a video from standard input is kept until it is sent, instead of the state directory. A video under a URL is copied there
    /// first
    #[arg(long, value_name = "DIR", hide = true)]
    spool: Option<PathBuf>,
    /// A video on each line, as JSON or CSV; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    from: Option<PathBuf>,
    /// Send each line when it comes, instead of checking all lines first
    #[arg(long, requires = "from", conflicts_with = "dry_run", hide = true)]
    stream: bool,
    /// Show what would be sent, and send nothing
    #[arg(long, conflicts_with_all = ["emulator", "detach"])]
    dry_run: bool,
    /// Instead: follow a job that was handed to the service before
    #[arg(long, value_name = "JOB", conflicts_with = "files", hide = true)]
    follow: Option<String>,
    /// Upload to an emulator inside this process: no account, nothing real
    #[arg(long)]
    emulator: bool,
    /// Size of a chunk, 5MiB to 32MB: auto follows the last known rate
    #[arg(long, value_name = "auto|SIZE", default_value = "auto", value_parser = chunk_size, hide_default_value = true)]
    chunk_size: ChunkSize,
    /// Bytes a second for all files: 30MB, or "08:00,2MB 22:00,off"
    #[arg(long, value_name = "RATE", value_parser = bandwidth)]
    bwlimit: Option<Bandwidth>,
    /// Begin although --bwlimit is too low for the hour of an upload. The message that refuses such a file names this
    /// option
    #[arg(long, hide = true)]
    ignore_forecast: bool,
    /// Do not hash: detect changes by size and time alone
    #[arg(long, hide = true)]
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
    #[arg(long, value_name = "TYPE", value_parser = ["video/mp4", "video/quicktime", "video/webm"], hide_possible_values = true, hide = true)]
    content_type: Option<String>,
    /// Of a URL: file of headers for its host, a NAME: VALUE on each line
    #[arg(long, value_name = "FILE", hide = true)]
    header_file: Option<PathBuf>,
    /// Of a URL: prints a new one when the host refuses it. Its input is the URL without the query
    #[arg(long, value_name = "CMD", hide = true)]
    url_command: Option<String>,
    /// Of a URL: after a crash, read the chunks again that were sent, and compare their bytes
    #[arg(long, hide = true)]
    verify_source: bool,
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

    async fn send(self, mut globals: Globals) -> Result<Exit, Failure> {
        self.files.iter().try_for_each(|file| can_be_sent(file))?;
        let is_piped = self.is_piped(&globals)?;
        if let Some(job) = self.follow.as_ref().filter(|_| !self.emulator) {
            return follow(&globals, job).await;
        }
        let local = match self.emulator {
            true => {
                leave_aside(&mut globals)?;
                let emulator = Local::start().await?;
                globals.api_base = Some(emulator.emulator.url());
                Some(emulator)
            }
            false => None,
        };
        let service = match &local {
            Some(_) => None,
            None => self.run.service(&globals, is_piped).await?,
        };
        let screen = self.run.screen(&globals);
        let videos = self.videos(&globals, service.as_ref()).await?;
        if let Videos::All(items) = &videos {
            if self.dry_run {
                return dry_run::show(&globals, service.as_ref(), &screen, items).await;
            }
            if items.is_empty() {
                screen.say("There is no video to send.");
                return Ok(Exit::DELIVERED);
            }
        }
        let headers = match &self.header_file {
            Some(file) => tokio::task::block_in_place(|| url_source::headers(file))?,
            None => Vec::new(),
        };
        if let Some(remote) = &service {
            if self.header_file.is_some()
                || self.url_command.is_some()
                || self.spool.is_some() && !is_piped
            {
                return Err(Failure::usage(
                    "A service runs no command and keeps no header of another program: --header-file, --url-command and --spool work without it (--service none). A command of its config: [sources.url_commands].",
                ));
            }
            return self.run.hand_over(remote, &screen, videos).await;
        }
        let jobs = self.share_rate(&videos, &screen).await;
        let state_dir = match &local {
            Some(local) => local.state.path().to_owned(),
            None => globals.state_dir()?,
        };
        let place = Place {
            screen: &screen,
            state_dir: &state_dir,
            bandwidth: self.bwlimit.as_ref(),
            lasting: local.is_none(),
        };
        let limit = |options: Options| {
            let options = options.jobs(jobs.into());
            match &self.spool {
                Some(dir) => options.spool_dir(dir),
                None => options,
            }
        };
        let accounts = Accounts::new(|name: &str| match self.emulator {
            true => Ok(Account::new(name, "act.emulator.1")),
            false => globals.account_named(name),
        });
        let job = |item: &Item| {
            let mut job = item.job()?.read(self.read);
            if let Source::Remote(_) = &item.source {
                for (name, value) in &headers {
                    job = job.header(name, value.clone());
                }
                if let Some(command) = &self.url_command {
                    job = job.url_source(UrlCommand {
                        name: "--url-command".to_owned(),
                        command: command.clone(),
                        address: item.name(),
                    });
                }
            }
            Ok((job, accounts.named(&item.account)?))
        };
        let ended = self
            .run
            .run(&place, &globals, limit, "upload", videos, job)
            .await;
        if let Some(local) = local {
            local.report(&screen);
        }
        ended
    }

    /// The videos of the command line, of its folders and of the manifest. A manifest with a wrong line has none.
    async fn videos<'a>(
        &'a self,
        globals: &'a Globals,
        service: Option<&Remote>,
    ) -> Result<Videos<'a>, Failure> {
        let account = match self.emulator {
            true => globals.account.as_deref().unwrap_or("emulator"),
            false => globals.account_name(),
        };
        let account = account.to_owned();
        let base = move |is_url| self.options(&account, is_url);
        let Some(path) = &self.from else {
            if let Some(name) = &self.name {
                return Ok(self.piped(name, base(false)));
            }
            let files = tokio::task::block_in_place(|| self.folders.files(&self.files))?;
            let items = files.into_iter().map(|path| {
                let source = source(path);
                let mut options = base(false);
                if let Source::Remote(_) = source {
                    self.remote(&mut options);
                }
                Item {
                    account: text(&options, "account"),
                    source,
                    options,
                    line: None,
                }
            });
            return Ok(Videos::All(items.collect()));
        };
        let manifest = Manifest::at(path, self.stream);
        let sender = match service {
            Some(_) => Sender::Service,
            None if self.emulator => Sender::Emulator,
            None => Sender::Us(globals),
        };
        if self.stream {
            let known = Known::new(sender);
            return Ok(Videos::Each(manifest.lines(path, base, known)));
        }
        let read = tokio::task::block_in_place(|| manifest.read(path, base));
        let (items, mut faults) = read?;
        faults.extend(match service {
            Some(remote) => handover::check(remote, &items).await?,
            None => Known::new(sender).check_all(&items).await,
        });
        if !faults.is_empty() {
            return Err(manifest.refused(faults));
        }
        Ok(Videos::All(items))
    }

    /// Uploads at the same time share the rate. If one of them could then exceed its hour, fewer run at once.
    async fn share_rate(&self, videos: &Videos<'_>, screen: &Screen) -> u16 {
        let rate = self.bwlimit.as_ref().and_then(Bandwidth::now);
        let (Some(rate), Videos::All(items)) = (rate, videos) else {
            return self.run.jobs;
        };
        if self.ignore_forecast || items.len() < 2 {
            return self.run.jobs;
        }
        let files = items.iter().filter_map(|item| match &item.source {
            Source::File(path) => Some(path.clone()),
            Source::Remote(_) | Source::Url(_) | Source::Piped(_) => None,
        });
        let files: Vec<PathBuf> = files.collect();
        let sizes = tokio::task::spawn_blocking(move || {
            let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
            sizes.map(|metadata| metadata.len()).collect()
        });
        // A drive that does not answer delays nobody; the sizes are then unknown.
        let Ok(Ok(sizes)) = tokio::time::timeout(PATIENCE, sizes).await else {
            return self.run.jobs;
        };
        let jobs = at_once(sizes, rate, self.run.jobs);
        if jobs < self.run.jobs {
            screen.say(&format!(
                "So that each file ends within its hour at this --bwlimit, {jobs} of them go at once."
            ));
        }
        jobs
    }

    /// Adds the options that mean something to a video on a web server.
    fn remote(&self, options: &mut Map<String, Value>) {
        options.insert("spool".to_owned(), self.spool.is_some().into());
        options.insert("verify_source".to_owned(), self.verify_source.into());
    }

    /// The options of a job in the words of a service.
    fn options(&self, account: &str, is_url: bool) -> Map<String, Value> {
        let mut wish = self.run.wish(account);
        if is_url {
            return wish;
        }
        let chunk_size = match self.chunk_size {
            ChunkSize::Bytes(bytes) => bytes.into(),
            ChunkSize::Auto => Value::Null,
        };
        for (field, value) in [
            ("allow_writer", self.allow_writer.into()),
            ("chunk_size", chunk_size),
            ("content_type", self.content_type.clone().into()),
            ("ignore_forecast", self.ignore_forecast.into()),
            ("no_ledger", self.no_ledger.into()),
            ("settle", self.settle.into()),
        ] {
            wish.insert(field.to_owned(), value);
        }
        wish
    }
}

fn text(options: &Map<String, Value>, field: &str) -> String {
    let text = options.get(field).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
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

/// Where the video is that the command line names.
fn source(path: PathBuf) -> Source {
    match path.to_str() {
        Some(text) if is_remote(text) => Source::Remote(text.to_owned()),
        _ => Source::File(path),
    }
}

/// Refuses what names no video.
fn can_be_sent(file: &Path) -> Result<(), Failure> {
    let text = file.to_string_lossy();
    let is_typed_wrong = ["http:/", "https:/"]
        .iter()
        .any(|scheme| text.to_lowercase().starts_with(scheme));
    if (is_url(&text) || is_typed_wrong) && !is_remote(&text) && !file.exists() {
        return Err(Failure::usage(format!(
            "{} is no URL that videos are fetched from: https://HOST/PATH, s3://BUCKET/KEY, gs://BUCKET/OBJECT or az://CONTAINER/BLOB.",
            Job::url(text.split('?').next().unwrap_or_default()).name()
        )));
    }
    Ok(())
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
