//! A job as its writer words it, in JSON: for a service, and on a line of a manifest.
//!
//! No message repeats a value: a URL's query may be a secret.

use std::path::PathBuf;
use std::time::Duration;

use chunkferry::{Job, Ledger};
use serde_json::{Map, Value};
use url::Url;

use super::config::nearest_of;
use super::records::is_remote;

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
pub(super) const OF_URLS: [&str; 3] = ["fallback", "key", "preflight"];
/// Of files, those on a web server or in a bucket.
const OF_REMOTES: [&str; 3] = ["spool", "url_command", "verify_source"];

/// All fields.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    let of_files = OF_FILES.into_iter().chain(OF_REMOTES);
    COMMON.into_iter().chain(of_files).chain(OF_URLS)
}

/// Why a text is no job.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "service"),
    expect(
        dead_code,
        reason = "answers of a service say more than messages of a manifest"
    )
)]
pub(super) struct Fault {
    pub(super) text: String,
    /// The field that is wrong.
    pub(super) field: Option<String>,
    /// Of a field that nobody knows: the nearest one that is known.
    pub(super) nearest: Option<&'static str>,
    /// Whether the job asks for something that is not built.
    pub(super) is_unsupported: bool,
}

impl Fault {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            field: None,
            nearest: None,
            is_unsupported: false,
        }
    }

    pub(super) fn field(field: &str, text: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::usage(text)
        }
    }

    /// The field asks for more than a draft.
    fn posts(field: &str) -> Self {
        let text = "Videos go to the creator's inbox as drafts; posting directly is not supported. Nothing was accepted.";
        Self {
            is_unsupported: true,
            ..Self::field(field, text)
        }
    }
}

/// What a job names: where its video is. The query of a URL may be a secret.
#[cfg_attr(
    not(feature = "service"),
    expect(dead_code, reason = "a service compares URLs with its list")
)]
pub(super) enum Named {
    File(PathBuf),
    /// Fetched by ranges, and sent from here.
    Remote(Url),
    /// Fetched by TikTok.
    Url(Url),
}

/// The fields of a job, of which each is known.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of a JSON text, of which each is known.
    #[cfg(feature = "service")]
    pub(super) fn of(text: &[u8]) -> Result<Self, Fault> {
        let value: Value = serde_json::from_slice(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Fault::usage(format!("This is no JSON (line {line}, column {column})."))
        })?;
        match value {
            Value::Object(fields) => Self::of_object(fields),
            _ => Err(Fault::usage("A job is a JSON object.")),
        }
    }

    /// The fields of an object.
    pub(super) fn of_object(fields: Map<String, Value>) -> Result<Self, Fault> {
        let fields = Self(fields);
        fields.check_names()?;
        Ok(fields)
    }

    pub(super) fn account(&self) -> Result<&str, Fault> {
        let account = self.text("account")?;
        account
            .ok_or_else(|| Fault::field("account", "account is missing: the name of the account."))
    }

    /// The job with its labels and options, for its account.
    pub(super) fn job(&self, job: Job) -> Result<Job, Fault> {
        match self.text("destination")? {
            None | Some("inbox") => {}
            Some("direct") => return Err(Fault::posts("destination")),
            Some(_) => {
                return Err(Fault::field("destination", "destination has to be inbox."));
            }
        }
        if self.get("post").is_some() {
            return Err(Fault::posts("post"));
        }
        let mut job = job.account_name(self.account()?);
        if let Some(labels) = self.get("labels") {
            let wrong = || Fault::field("labels", "labels has to be an object of texts.");
            for (name, value) in labels.as_object().ok_or_else(wrong)? {
                job = job.label(name, value.as_str().ok_or_else(wrong)?);
            }
        }
        self.options(job)
    }

    fn options(&self, mut job: Job) -> Result<Job, Fault> {
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
        if let Some(verify) = self.switch("verify_source")? {
            job = job.verify_source(verify);
        }
        if let Some(spool) = self.switch("spool")? {
            job = job.spool(spool);
        }
        if let Some(name) = self.text("url_command")? {
            job = job.url_source_named(name);
        }
        if let Some(key) = self.text("key")? {
            job = job.key(key);
        }
        if let Some(look) = self.switch("preflight")? {
            job = job.preflight(look);
        }
        match self.text("fallback")? {
            None => {}
            Some("upload") => job = job.send_instead(true),
            Some(_) => return Err(Fault::field("fallback", "fallback has to be upload.")),
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

    pub(super) fn named(&self) -> Result<Named, Fault> {
        match (self.text("file")?, self.text("url")?) {
            (Some(file), None) => {
                self.lacks(&OF_URLS, "file")?;
                self.lacks(&["name"], "file")?;
                if is_remote(file) {
                    let url = Url::parse(file);
                    let wrong =
                        |_| Fault::field("file", "file has to be an absolute path or a whole URL.");
                    return url.map(Named::Remote).map_err(wrong);
                }
                self.lacks(&OF_REMOTES, "a local file")?;
                let file = PathBuf::from(file);
                // A relative path would count from wherever the service was started.
                match file.is_absolute() {
                    true => Ok(Named::File(file)),
                    false => Err(Fault::field("file", "file has to be an absolute path.")),
                }
            }
            (None, Some(url)) => {
                self.lacks(&OF_FILES, "url")?;
                self.lacks(&OF_REMOTES, "url")?;
                self.lacks(&["name"], "url")?;
                let url = Url::parse(url);
                url.map(Named::Url)
                    .map_err(|_| Fault::field("url", "url has to be a whole URL."))
            }
            _ => Err(Fault::usage("A job has either file or url.")),
        }
    }

    /// The job without its options.
    #[cfg(feature = "service")]
    pub(super) fn source(&self) -> Result<Job, Fault> {
        Ok(match (self.named()?, self.text("url")?) {
            // As its client wrote it: the same text once more is the same job.
            (Named::Url(_), url) => Job::url(url.unwrap_or_default()),
            (Named::File(path), _) => Job::file(path),
            (Named::Remote(_), _) => Job::remote(self.text("file")?.unwrap_or_default()),
        })
    }

    pub(super) fn lacks(&self, fields: &[&str], source: &str) -> Result<(), Fault> {
        match fields.iter().find(|field| self.get(field).is_some()) {
            Some(field) => {
                let text = format!("{field} means nothing to a job with {source}.");
                Err(Fault::field(field, text))
            }
            None => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), Fault> {
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
                Err(Fault {
                    nearest: Some(nearest),
                    ..Fault::usage(text)
                })
            }
            None => Ok(()),
        }
    }

    /// The value of a field; null is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn read<'a, T>(
        &'a self,
        name: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let wrong = || Fault::field(name, format!("{name} has to be {kind}."));
        read(value).map(Some).ok_or_else(wrong)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Fault> {
        self.read(name, "text", Value::as_str)
    }

    pub(super) fn switch(&self, name: &str) -> Result<Option<bool>, Fault> {
        self.read(name, "true or false", Value::as_bool)
    }

    fn number(&self, name: &str, unit: &str) -> Result<Option<u64>, Fault> {
        self.read(name, &format!("a whole number of {unit}"), Value::as_u64)
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Fault> {
        let seconds = self.number(name, "seconds")?;
        Ok(seconds.map(Duration::from_secs))
    }
}
