//! `status`: asks the service about an upload.

use std::time::Duration;

use chunkferry::{Account, Escaped, Options, Record};
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::exit::Exit;
use super::handover::{self, segment};
use super::records::publish_id;
use super::remote::Remote;
use super::render::Screen;
use super::{Failure, Globals, json};

mod pending;

/// Ask the service how far an upload is
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry status v_inbox_file~v2.123 --wait")]
pub(super) struct Status {
    /// Start of its id or publish_id, its path or URL, or any whole publish_id
    #[arg(required_unless_present = "pending")]
    id: Option<String>,
    /// Ask until the upload has ended
    #[arg(long)]
    wait: bool,
    /// Instead: ask about each upload that TikTok has and whose end is not known
    #[arg(long, conflicts_with_all = ["id", "wait"])]
    pending: bool,
}

impl Status {
    pub(super) async fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let remote = Remote::find(globals).await?;
        if let Some(remote) = &remote {
            remote.check(globals)?;
        }
        let Some(id) = self.id.as_deref() else {
            return pending::ask(globals, remote).await;
        };
        if let Some(remote) = &remote
            && let Some(job) = remote.job(id).await?
        {
            return match self.wait {
                true => handover::follow(remote, &Screen::new(globals.json), id).await,
                false => {
                    let story = match globals.json {
                        true => upload_of(remote, &job).await?,
                        false => None,
                    };
                    Ok(show(&job, story, globals.json))
                }
            };
        }
        let known = publish_id(globals, remote.as_ref(), id).await?;
        let (publish_id, account, story) = (known.publish_id, known.account, known.record);
        let asked = Asked::new(globals, remote, &publish_id, account)?;
        let mut wait = Duration::from_secs(1);
        loop {
            let status = asked.status().await;
            if let (Err(_), Some(story), true) = (&status, &story, globals.json) {
                // What the journal has is known without TikTok.
                let fields = serde_json::json!({ "upload": story });
                println!("{}", json::line("upload", Some(asked.name()), fields));
            }
            let status = status?;
            if globals.json {
                let mut fields = status.fields(&publish_id);
                fields["upload"] = serde_json::json!(story);
                println!("{}", json::line("status", Some(asked.name()), fields));
            } else {
                let text = status.text();
                println!("{}\t{}", Escaped::new(&publish_id), Escaped::new(&text));
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

/// Who asks TikTok, and for whom.
enum Asked {
    Alone {
        options: Box<Options>,
        account: Account,
        publish_id: String,
    },
    Service {
        remote: Remote,
        account: String,
        publish_id: String,
    },
}

/// What TikTok says of an upload.
#[derive(Deserialize)]
struct Answer {
    status: String,
    fail_reason: Option<String>,
    uploaded_bytes: Option<u64>,
    downloaded_bytes: Option<u64>,
    is_final: bool,
}

impl Answer {
    /// As a JSON line has it.
    fn fields(&self, publish_id: &str) -> Value {
        serde_json::json!({
            "publish_id": publish_id,
            "status": self.status,
            "fail_reason": self.fail_reason,
            "uploaded_bytes": self.uploaded_bytes,
            "downloaded_bytes": self.downloaded_bytes,
        })
    }

    /// The status, with the reason of a failure. Text from outside.
    fn text(&self) -> String {
        match &self.fail_reason {
            Some(reason) => format!("{} ({reason})", self.status),
            None => self.status.clone(),
        }
    }
}

impl From<chunkferry::Status> for Answer {
    fn from(status: chunkferry::Status) -> Self {
        Self {
            status: status.status,
            fail_reason: status.fail_reason,
            uploaded_bytes: status.uploaded_bytes,
            downloaded_bytes: status.downloaded_bytes,
            is_final: status.is_final,
        }
    }
}

/// What the service says of an upload.
async fn of_service(remote: &Remote, publish_id: &str, account: &str) -> Result<Answer, Failure> {
    let (id, of) = (segment(publish_id), segment(account));
    let path = format!("/v1/uploads/{id}/status?account={of}");
    let answer = remote.call(Method::GET, &path, None).await?;
    let answer = Answer::deserialize(answer);
    answer.map_err(|error| Failure::temporary(format!("The service's answer: {error}")))
}

impl Asked {
    fn new(
        globals: &Globals,
        remote: Option<Remote>,
        publish_id: &str,
        account: String,
    ) -> Result<Self, Failure> {
        Ok(match remote {
            Some(remote) => Self::Service {
                remote,
                account,
                publish_id: publish_id.to_owned(),
            },
            None => Self::Alone {
                options: Box::new(globals.options(globals.state_dir()?)),
                account: globals.account_named(&account)?,
                publish_id: publish_id.to_owned(),
            },
        })
    }

    fn name(&self) -> &str {
        match self {
            Self::Alone { account, .. } => account.name(),
            Self::Service { account, .. } => account,
        }
    }

    async fn status(&self) -> Result<Answer, Failure> {
        match self {
            Self::Alone {
                options,
                account,
                publish_id,
            } => Ok(options.ask_status(publish_id, account).await?.into()),
            Self::Service {
                remote,
                account,
                publish_id,
            } => of_service(remote, publish_id, account).await,
        }
    }
}

/// What the service's journal has of a job's upload.
async fn upload_of(remote: &Remote, job: &Value) -> Result<Option<Record>, Failure> {
    let Some(id) = job["upload"].as_str() else {
        return Ok(None);
    };
    let mut records = remote.records().await?.into_iter();
    Ok(records.find(|record| record.id == id))
}

/// Shows a job of the service.
fn show(job: &Value, story: Option<Record>, as_json: bool) -> Exit {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if as_json {
        let fields = serde_json::json!({ "job": job, "upload": story });
        println!("{}", json::line("job", job["account"].as_str(), fields));
    } else {
        let (state, end) = (text(&job["state"]), &job["end"]);
        let outcome = [text(&end["outcome"]), text(&end["why"]), text(&job["why"])];
        let notes: Vec<&str> = outcome
            .iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .collect();
        let notes = match notes.is_empty() {
            true => String::new(),
            false => format!(" ({})", notes.join(": ")),
        };
        println!(
            "{}\t{}",
            Escaped::new(&text(&job["id"])),
            Escaped::new(&format!("{state}{notes}"))
        );
    }
    Exit::DELIVERED
}
