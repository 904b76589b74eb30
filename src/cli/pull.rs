//! `pull` and `cancel`: the service fetches the video itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chunkferry::Escaped;
use clap::Args;
use reqwest::Method;

use super::exit::Exit;
use super::handover::segment;
use super::item::{Item, Source};
use super::records::publish_id;
use super::remote::Remote;
use super::run::{Place, RunArgs};
use super::videos::Videos;
use super::{Failure, Globals, json};

/// Let TikTok fetch videos from https URLs, as drafts
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Example: chunkferry pull https://media.example/clip.mp4 --account lena\n\n\
    Other users of this machine can see arguments. A signed URL comes in a file: --url-file."
)]
pub(super) struct Pull {
    /// On a host that your app has verified, without a redirect
    #[arg(required_unless_present = "url_file", value_name = "URL")]
    urls: Vec<String>,
    /// File with more URLs, one on each line; - is standard input
    #[arg(long, value_name = "FILE")]
    url_file: Option<PathBuf>,
    /// A name for this video, instead of the URL without its query
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Skip the check of the URL from this machine
    #[arg(long)]
    no_preflight: bool,
    /// upload: send it from here where TikTok does not fetch it
    #[arg(long, value_name = "upload", value_parser = ["upload"], hide_possible_values = true)]
    fallback: Option<String>,
    #[command(flatten)]
    run: RunArgs,
}

impl Pull {
    pub(super) async fn run(self, globals: &Globals) -> Result<Exit, Failure> {
        let (file, counters) = (self.run.metrics_textfile.clone(), globals.counters.clone());
        RunArgs::measured(file, counters, self.fetch(globals)).await
    }

    async fn fetch(self, globals: &Globals) -> Result<Exit, Failure> {
        let mut urls = self.urls;
        if let Some(file) = &self.url_file {
            urls.extend(read_urls(file)?);
        }
        if self.key.is_some() && urls.len() > 1 {
            return Err(Failure::usage(
                "One --key cannot name several videos: pull them one by one.",
            ));
        }
        let account = globals.account_name();
        let items = urls.into_iter().map(|url| {
            let mut options = self.run.wish(account);
            options.insert("key".to_owned(), self.key.clone().into());
            options.insert("fallback".to_owned(), self.fallback.clone().into());
            options.insert("preflight".to_owned(), (!self.no_preflight).into());
            Item {
                source: Source::Url(url),
                account: account.to_owned(),
                options,
                line: None,
            }
        });
        let (videos, screen) = (Videos::All(items.collect()), self.run.screen(globals));
        if let Some(remote) = self.run.service(globals, false).await? {
            return self.run.hand_over(&remote, &screen, videos).await;
        }
        let account = globals.account()?;
        let state_dir = globals.state_dir()?;
        let place = Place {
            screen: &screen,
            state_dir: &state_dir,
            bandwidth: None,
            lasting: true,
        };
        let job = |item: &Item| Ok((item.job()?, account.clone()));
        self.run
            .run(&place, globals, |options| options, "pull", videos, job)
            .await
    }
}

/// Largest file of URLs in bytes.
const MOST: u64 = 1 << 20;

/// Reads the URLs of a file. Errors repeat none of them: they may be signed.
fn read_urls(file: &Path) -> Result<Vec<String>, Failure> {
    let cannot = |what: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "{} is not usable as --url-file: {what}.",
            file.display()
        ))
    };
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().take(MOST + 1).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(MOST + 1).read_to_string(&mut text))
    };
    read.map_err(|error| cannot(&error))?;
    if text.len() as u64 > MOST {
        return Err(cannot(&"it has more than 1 MiB"));
    }
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let urls: Vec<String> = lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if urls.is_empty() {
        return Err(cannot(&"it has no URL"));
    }
    Ok(urls)
}

/// Ask TikTok to end a pull that is under way
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry cancel v_inbox_url~v2.123")]
pub(super) struct Cancel {
    /// Start of its id or publish_id, its URL, or any whole publish_id
    id: String,
}

impl Cancel {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let remote = Remote::find(globals).await?;
        if let Some(remote) = &remote {
            remote.check(globals)?;
            if remote.job(&self.id).await?.is_some() {
                return cancel_job(remote, globals, &self.id).await;
            }
        }
        let known = publish_id(globals, remote.as_ref(), &self.id).await?;
        let (publish_id, account) = (known.publish_id, known.account);
        match &remote {
            Some(remote) => {
                let (id, account) = (segment(&publish_id), segment(&account));
                let path = format!("/v1/uploads/{id}/cancel?account={account}");
                remote.call(Method::POST, &path, None).await?;
            }
            None => {
                let account = globals.account_named(&account)?;
                let options = globals.options(globals.state_dir()?);
                options.cancel(&publish_id, &account).await?;
            }
        }
        if globals.json {
            let fields = serde_json::json!({ "publish_id": publish_id });
            let account = Some(globals.account_name());
            println!("{}", json::line("cancelled", account, fields));
        } else {
            eprintln!(
                "TikTok cancels {}. The same pull again shows how it ended, without a new init.",
                Escaped::new(&publish_id)
            );
        }
        Ok(Exit::DELIVERED)
    }
}

/// Ends a job of the service.
async fn cancel_job(remote: &Remote, globals: &Globals, id: &str) -> Result<Exit, Failure> {
    let path = format!("/v1/jobs/{id}/cancel");
    let job = remote.call(Method::POST, &path, None).await?;
    let outcome = job["end"]["outcome"].as_str().unwrap_or_default();
    if globals.json {
        let fields = serde_json::json!({ "job": job });
        println!("{}", json::line("job", job["account"].as_str(), fields));
    } else {
        eprintln!(
            "The job {} has ended: {}.",
            Escaped::new(id),
            Escaped::new(outcome)
        );
    }
    Ok(Exit::DELIVERED)
}
