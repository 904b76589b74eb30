//! A job as a client writes it, in JSON.
//!
//! No message repeats a value: a URL's query may be a secret.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;
use chunkferry::{Escaped, Job, Ledger};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::access::Caller;
use super::problem::Problem;
use crate::config::nearest_of;
use crate::stat::Stat;

/// The fields of every job.
const COMMON: [&str; 15] = [
    "account",
    "again",
    "destination",
    "file",
    "give_up_after",
    "id",
    "labels",
    "name",
    "no_wait",
    "notify",
    "once",
    "patience",
    "post",
    "url",
    "wait",
];

/// The fields that mean something to one kind of source.
const OF_FILES: [&str; 7] = [
    "allow_writer",
    "chunk_size",
    "content_type",
    "ignore_forecast",
    "no_ledger",
    "settle",
    "stat",
];
const OF_URLS: [&str; 2] = ["key", "preflight"];

/// How long a drive may take to show a file.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client wants.
pub(super) struct Wanted {
    pub(super) job: Job,
    pub(super) named: Named,
    /// The file that the client sees at the path.
    stat: Option<Stat>,
}

/// The job of a JSON text, which the caller may submit; `id` is the caller's id of the request's head, `is_target` says whether
/// `[[notify]]` has a name.
pub(super) fn job(
    text: &[u8],
    id: Option<&str>,
    caller: &Caller,
    is_target: impl Fn(&str) -> bool,
) -> Result<Wanted, Problem> {
    let fields = Fields::of(text)?;
    Ok(Wanted {
        job: fields.job(fields.source()?, id, caller, is_target)?,
        named: fields.named()?,
        stat: fields.stat()?,
    })
}

/// The same for a video that comes with its job, from the other fields of that.
pub(super) fn job_of_body(
    text: &[u8],
    id: Option<&str>,
    caller: &Caller,
    is_target: impl Fn(&str) -> bool,
) -> Result<Job, Problem> {
    let fields = Fields::of(text)?;
    for others in [
        &["file", "url"][..],
        &OF_URLS,
        &["allow_writer", "settle", "stat"],
    ] {
        fields.lacks(others, "its video as the body")?;
    }
    let name = fields.text("name")?.unwrap_or("body");
    fields.job(Job::body(name), id, caller, is_target)
}

/// What a job names: where its video is. The query of a URL may be a secret.
pub(super) enum Named {
    File(PathBuf),
    Url(Url),
}

impl Wanted {
    /// Refuses a job whose client sees another file at its path than the service.
    pub(super) async fn check_stat(&self) -> Result<(), Problem> {
        let (Named::File(path), Some(by_client)) = (&self.named, self.stat) else {
            return Ok(());
        };
        let of = path.clone();
        let look = tokio::task::spawn_blocking(move || Stat::of(&of));
        let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, look).await else {
            // The drive does not answer, which is a matter of the job's run.
            return Ok(());
        };
        let why = match found {
            Ok(found) if found == by_client => return Ok(()),
            Ok(_) => "the service sees another file".to_owned(),
            Err(error) => format!("the service cannot see the file: {error}"),
        };
        let shown = Escaped::new(&*path.to_string_lossy()).to_string();
        let text = format!(
            "{shown}: {why}. It may run in a container, with another user's rights, or with a /tmp of its own; or the file is being changed. Nothing was accepted."
        );
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Err(Problem::new(status, "other_file", text).with("field", "stat"))
    }
}

/// A field asks for more than a draft.
fn posts(field: &str) -> Problem {
    let text = "Videos go to the creator's inbox as drafts; posting directly is not supported. Nothing was accepted.";
    Problem::new(StatusCode::BAD_REQUEST, "not_supported", text).with("field", field)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn stat(&self) -> Result<Option<Stat>, Problem> {
        let stat = self.get("stat").map(Stat::deserialize).transpose();
        stat.map_err(|_| {
            Problem::field(
                "stat",
                "stat has to be an object of inode, size and mtime_ns.",
            )
        })
    }

    /// The fields of a JSON text, of which each is known.
    fn of(text: &[u8]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::usage(format!("This is no JSON (line {line}, column {column})."))
        })?;
        let Value::Object(fields) = value else {
            return Err(Problem::usage("A job is a JSON object."));
        };
        let fields = Self(fields);
        fields.check_names()?;
        Ok(fields)
    }

    /// The job with everything but its source.
    fn job(
        &self,
        job: Job,
        head: Option<&str>,
        caller: &Caller,
        is_target: impl Fn(&str) -> bool,
    ) -> Result<Job, Problem> {
        match self.text("destination")? {
            None | Some("inbox") => {}
            Some("direct") => return Err(posts("destination")),
            Some(_) => {
                return Err(Problem::field(
                    "destination",
                    "destination has to be inbox.",
                ));
            }
        }
        if self.get("post").is_some() {
            return Err(posts("post"));
        }
        let account = self.text("account")?;
        let account = account.ok_or_else(|| {
            Problem::field("account", "account is missing: the name of the account.")
        })?;
        caller.check_account(account)?;
        let mut job = job.account_name(account);
        match (head, self.text("id")?) {
            (Some(head), Some(id)) if head != id => {
                let text = "The field id and the header Idempotency-Key differ.";
                return Err(Problem::field("id", text));
            }
            (None, None) => {}
            (Some(id), _) | (None, Some(id)) => job = job.id(id),
        }
        if let Some(labels) = self.get("labels") {
            let wrong = || Problem::field("labels", "labels has to be an object of texts.");
            for (name, value) in labels.as_object().ok_or_else(wrong)? {
                job = job.label(name, value.as_str().ok_or_else(wrong)?);
            }
        }
        if let Some(name) = self.text("notify")? {
            if !is_target(name) {
                let text =
                    "notify has to be the name of an entry of [[notify]] in the config file.";
                return Err(Problem::field("notify", text));
            }
            job = job.notify(name);
        }
        self.options(job)
    }

    fn options(&self, mut job: Job) -> Result<Job, Problem> {
        if let Some(bytes) = self.number("chunk_size", "bytes")? {
            job = job.chunk_size(bytes);
        }
        if let Some(content_type) = self.text("content_type")? {
            job = job.content_type(content_type);
        }
        if self.switch("no_ledger")?.unwrap_or(false) {
            job = job.ledger(Ledger::Off);
        }
        if let Some(allow) = self.switch("allow_writer")? {
            job = job.allow_writer(allow);
        }
        if let Some(ignore) = self.switch("ignore_forecast")? {
            job = job.ignore_forecast(ignore);
        }
        if let Some(settle) = self.seconds("settle")? {
            job = job.settle(settle);
        }
        if let Some(key) = self.text("key")? {
            job = job.key(key);
        }
        if let Some(look) = self.switch("preflight")? {
            job = job.preflight(look);
        }
        if let Some(again) = self.switch("again")? {
            job = job.again(again);
        }
        if let Some(once) = self.switch("once")? {
            job = job.once(once);
        }
        if let Some(hand_over) = self.switch("no_wait")? {
            job = job.hand_over(hand_over);
        }
        if let Some(wait) = self.seconds("wait")? {
            job = job.wait(wait);
        }
        if let Some(patience) = self.seconds("patience")? {
            job = job.patience(patience);
        }
        if let Some(failing) = self.seconds("give_up_after")? {
            job = job.give_up_after(failing);
        }
        Ok(job)
    }

    fn named(&self) -> Result<Named, Problem> {
        match (self.text("file")?, self.text("url")?) {
            (Some(file), None) => {
                self.lacks(&OF_URLS, "file")?;
                self.lacks(&["name"], "file")?;
                let file = PathBuf::from(file);
                // A relative path would count from wherever the service was started.
                match file.is_absolute() {
                    true => Ok(Named::File(file)),
                    false => Err(Problem::field("file", "file has to be an absolute path.")),
                }
            }
            (None, Some(url)) => {
                self.lacks(&OF_FILES, "url")?;
                self.lacks(&["name"], "url")?;
                let url = Url::parse(url);
                url.map(Named::Url)
                    .map_err(|_| Problem::field("url", "url has to be a whole URL."))
            }
            _ => Err(Problem::usage("A job has either file or url.")),
        }
    }

    /// The job without its options.
    fn source(&self) -> Result<Job, Problem> {
        Ok(match (self.named()?, self.text("url")?) {
            // As its client wrote it: the same text once more is the same job.
            (Named::Url(_), url) => Job::url(url.unwrap_or_default()),
            (Named::File(path), _) => Job::file(path),
        })
    }

    fn lacks(&self, fields: &[&str], source: &str) -> Result<(), Problem> {
        match fields.iter().find(|field| self.get(field).is_some()) {
            Some(field) => {
                let text = format!("{field} means nothing to a job with {source}.");
                Err(Problem::field(field, text))
            }
            None => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), Problem> {
        let known = || COMMON.into_iter().chain(OF_FILES).chain(OF_URLS);
        let mut names = self.0.keys();
        match names.find(|name| !known().any(|known| known == *name)) {
            Some(unknown) => {
                let nearest = nearest_of(known(), unknown);
                // What is no word may be a part of a value, in a text that is broken.
                let is_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                let named = match unknown.len() <= 40 && unknown.chars().all(is_word) {
                    true => format!("the field \"{unknown}\""),
                    false => "a field".to_owned(),
                };
                let text = format!("No job has {named}; the nearest known one is {nearest}.");
                Err(Problem::usage(text).with("nearest", nearest))
            }
            None => Ok(()),
        }
    }

    /// The value of a field; null is as good as none.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn read<'a, T>(
        &'a self,
        name: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let wrong = || Problem::field(name, format!("{name} has to be {kind}."));
        read(value).map(Some).ok_or_else(wrong)
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        self.read(name, "text", Value::as_str)
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.read(name, "true or false", Value::as_bool)
    }

    fn number(&self, name: &str, unit: &str) -> Result<Option<u64>, Problem> {
        self.read(name, &format!("a whole number of {unit}"), Value::as_u64)
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let seconds = self.number(name, "seconds")?;
        Ok(seconds.map(Duration::from_secs))
    }
}
