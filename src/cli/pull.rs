//! `pull` and `cancel`: the service fetches the video itself.

use chunkferry::Job;
use clap::Args;

use super::exit::Exit;
use super::list::publish_id;
use super::render::Screen;
use super::run::{Place, RunArgs};
use super::{Failure, Globals};

/// Let TikTok fetch videos from https URLs, as drafts
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Example: chunkferry pull https://media.example/clip.mp4 --account lena"
)]
pub(super) struct Pull {
    /// On a host that your app has verified, without a redirect
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// What tells this video from others, instead of the URL without its query
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Do not look at the URL from here first
    #[arg(long)]
    no_preflight: bool,
    #[command(flatten)]
    run: RunArgs,
}

impl Pull {
    pub(super) async fn run(self, globals: &Globals) -> Result<Exit, Failure> {
        if self.key.is_some() && self.urls.len() > 1 {
            return Err(Failure::usage(
                "One --key cannot tell several videos apart: pull them one by one.",
            ));
        }
        let (screen, account) = (Screen::new(globals.json), globals.account());
        let state_dir = globals.state_dir()?;
        let place = Place {
            screen: &screen,
            account: &account,
            state_dir: &state_dir,
            lasting: true,
        };
        let jobs = self.urls.iter().map(|url| {
            let job = self.run.job(Job::url(url), &account);
            let job = job.preflight(!self.no_preflight);
            match &self.key {
                Some(key) => job.key(key),
                None => job,
            }
        });
        let jobs = jobs.collect();
        self.run
            .run(&place, globals, |options| options, "pull", jobs)
            .await
    }
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
        let publish_id = publish_id(globals, &self.id)?;
        let options = globals.options(globals.state_dir()?);
        options.cancel(&publish_id, &globals.account()).await?;
        if globals.json {
            println!(
                "{}",
                serde_json::json!({ "v": 1, "event": "cancelled", "publish_id": publish_id })
            );
        } else {
            eprintln!(
                "TikTok cancels {publish_id}. The same pull again tells how it ended, without a new init."
            );
        }
        Ok(Exit::DELIVERED)
    }
}
