//! One attempt to deliver a notice: a POST, or a run of a command.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chunkferry::{Escaped, JobNotice};
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::json;
use url::Url;

use super::sign::SigningKey;
use super::state::Missed;
use crate::callback::clock_scale;
use crate::token;

/// How long a receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same where a test runs a faster clock: no machine is so slow that this is too short.
const LEAST: Duration = Duration::from_secs(2);

/// Most characters of an error that are kept.
const LONGEST: usize = 500;

/// Whom a target calls.
pub(super) enum Receiver {
    Url {
        url: Box<Url>,
        key: SigningKey,
        client: Client,
    },
    Command(String),
}

impl Receiver {
    /// Delivers a notice once; `id` is the same for each attempt. `name` is the target's.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the exchange, or the command and what it has started.
    pub(super) async fn deliver(
        &self,
        name: &str,
        id: &str,
        notice: &JobNotice,
    ) -> Result<(), Missed> {
        // As the stream of events has it.
        let body = json!(notice).to_string();
        match self {
            Self::Url { url, key, client } => {
                let posted = post(client, url, key, id, body);
                let patience = (PATIENCE / clock_scale()).max(LEAST);
                match tokio::time::timeout(patience, posted).await {
                    Ok(posted) => posted,
                    Err(_) => Err(missed(&format!(
                        "no answer within {} s",
                        PATIENCE.as_secs()
                    ))),
                }
            }
            Self::Command(line) => run(name, line, body).await,
        }
    }
}

async fn post(
    client: &Client,
    url: &Url,
    key: &SigningKey,
    id: &str,
    body: String,
) -> Result<(), Missed> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let timestamp = now.unwrap_or_default().as_secs();
    let request = client
        .post(url.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", key.sign(id, timestamp, &body))
        .body(body);
    let answer = request.send().await.map_err(not_reached)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(Missed {
            retry_after: retry_after(answer.headers()),
            ..missed(&format!("HTTP {}", status.as_u16()))
        }),
    }
}

/// What an answer says of when to come again, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            Some(at.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

/// The cause alone: the query of the URL may hold a secret.
fn not_reached(error: reqwest::Error) -> Missed {
    let mut cause: &dyn std::error::Error = &error.without_url();
    while let Some(source) = cause.source() {
        cause = source;
    }
    missed(&format!("not reached: {cause}"))
}

/// Runs the command as commands of tokens are run. All that it prints is shown line by line.
async fn run(name: &str, line: &str, input: String) -> Result<(), Missed> {
    let line = format!("exec >&2\n{line}");
    let name = format!("notify {name}");
    match token::output(&name, &line, Some(input.into_bytes())).await {
        Ok((_, status, _)) if status.success() => Ok(()),
        Ok((_, status, said)) => {
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            Err(missed(&format!("{status}{said}")))
        }
        Err(error) => Err(missed(&error.to_string())),
    }
}

fn missed(why: &str) -> Missed {
    let why = Escaped::new(why).to_string();
    Missed {
        why: why.chars().take(LONGEST).collect(),
        retry_after: None,
    }
}
