//! `status`: asks the service about an upload.

use std::time::Duration;

use chunkferry::Escaped;
use clap::Args;

use super::exit::Exit;
use super::list::publish_id;
use super::{Failure, Globals, json};

/// Ask the service how far an upload is
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry status v_inbox_file~v2.123 --wait")]
pub(super) struct Status {
    /// Start of its id or publish_id, its path or URL, or any whole publish_id
    id: String,
    /// Ask until the upload has ended
    #[arg(long)]
    wait: bool,
}

impl Status {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let (publish_id, account) = publish_id(globals, &self.id)?;
        let options = globals.options(globals.state_dir()?);
        let mut wait = Duration::from_secs(1);
        loop {
            let status = options.ask_status(&publish_id, &account).await?;
            if globals.json {
                let fields = serde_json::json!({
                    "publish_id": publish_id,
                    "status": status.status,
                    "fail_reason": status.fail_reason,
                    "uploaded_bytes": status.uploaded_bytes,
                    "downloaded_bytes": status.downloaded_bytes,
                });
                println!("{}", json::line("status", Some(account.name()), fields));
            } else {
                let reason = status
                    .fail_reason
                    .as_deref()
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default();
                let status = format!("{}{reason}", status.status);
                println!("{}\t{}", Escaped::new(&publish_id), Escaped::new(&status));
            }
            if status.is_final || !self.wait {
                return Ok(if status.fail_reason.is_some() {
                    Exit(1)
                } else {
                    Exit::DELIVERED
                });
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(10));
        }
    }
}
