//! `page`: asks the service for a link to its page, for a browser of this machine.

use clap::Args;
use reqwest::Method;

use super::exit::Exit;
use super::remote::Remote;
use super::{Failure, Globals, json};

/// Print a link to the service's page; it works once, within 5 minutes
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: xdg-open \"$(chunkferry page)\"")]
pub(super) struct Page {}

impl Page {
    pub(super) async fn run(self, globals: &Globals) -> Result<Exit, Failure> {
        let Some(remote) = Remote::find(globals).await? else {
            return Err(Failure::temporary(
                "No service was started for this state directory. Start one: chunkferry serve",
            ));
        };
        let link = remote.call(Method::POST, "/v1/page-links", None).await?;
        let url = link["url"].as_str().unwrap_or_default();
        if globals.json {
            let fields = serde_json::json!({ "url": url, "expires": link["expires"] });
            println!("{}", json::line("page", None, fields));
        } else {
            println!("{url}");
        }
        Ok(Exit::DELIVERED)
    }
}
