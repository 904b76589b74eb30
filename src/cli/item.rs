//! A video as a command names it, with its job in the words of a service.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

use chunkferry::{Account, Job};
use serde_json::{Map, Value};

use super::Failure;
use super::wish::Fields;

/// Where a video is. Not shown in messages: a URL's query may be a secret.
pub(super) enum Source {
    File(PathBuf),
    /// Under a URL, read by ranges and sent from here.
    Remote(String),
    /// Fetched by the service.
    Url(String),
    /// Standard input, under this name.
    Piped(String),
}

/// A video that a command sends.
pub(super) struct Item {
    pub(super) source: Source,
    pub(super) account: String,
    /// The fields of the job but for its source.
    pub(super) options: Map<String, Value>,
    /// The number of the manifest's line that names it.
    pub(super) line: Option<usize>,
}

/// What means something to a job alone that somebody keeps.
const OF_A_SERVICE: [&str; 2] = ["give_up_after", "notify"];

impl Item {
    /// The path, or the URL without its secrets.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::File(path) => path.to_string_lossy().into_owned(),
            Source::Remote(url) | Source::Url(url) => Job::url(url).name(),
            Source::Piped(name) => name.clone(),
        }
    }

    pub(super) const fn is_url(&self) -> bool {
        matches!(self.source, Source::Url(_))
    }

    pub(super) const fn is_piped(&self) -> bool {
        matches!(self.source, Source::Piped(_))
    }

    /// The caller's id of the job.
    pub(super) fn id(&self) -> Option<&str> {
        self.options.get("id").and_then(Value::as_str)
    }

    /// The job for a service.
    pub(super) fn wish(&self) -> Result<Value, Failure> {
        let mut job = self.options.clone();
        match &self.source {
            Source::Url(url) => job.insert("url".to_owned(), url.as_str().into()),
            Source::Remote(url) => job.insert("file".to_owned(), url.as_str().into()),
            Source::Piped(name) => {
                // These mean nothing to it.
                job.retain(|field, _| !["allow_writer", "settle"].contains(&field.as_str()));
                job.insert("name".to_owned(), name.as_str().into())
            }
            Source::File(path) => {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let Some(text) = absolute.to_str() else {
                    return Err(Failure::usage(format!(
                        "{} cannot be handed over to a service: its path is no UTF-8. Work without the service: --service none.",
                        path.display()
                    )));
                };
                job.insert("file".to_owned(), text.into())
            }
        };
        Ok(Value::Object(job))
    }

    /// The job for this process.
    pub(super) fn job(&self) -> Result<Job, Failure> {
        let fields = Fields::of_object(self.options.clone());
        let fields = fields.map_err(|fault| Failure::usage(fault.text))?;
        if let Some(field) = OF_A_SERVICE
            .iter()
            .find(|field| fields.get(field).is_some())
        {
            return Err(Failure::usage(format!(
                "{field} means something to a job that a service keeps: chunkferry serve."
            )));
        }
        let video = match &self.source {
            Source::File(path) => Job::file(path),
            Source::Remote(url) => Job::remote(url),
            Source::Url(url) => Job::url(url),
            Source::Piped(name) => Job::body(name),
        };
        let job = fields.job(video);
        let job = job.map_err(|fault| Failure::usage(fault.text))?;
        Ok(match self.id() {
            Some(id) => job.id(id),
            None => job,
        })
    }
}

/// Puts the first video of each account before the second one of any, so that none waits for the many of another. The order of one
/// account's videos stays.
pub(super) fn fairly(items: Vec<Item>) -> Vec<Item> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let ranked = items.into_iter().map(|item| {
        let count = counts.entry(item.account.clone()).or_default();
        *count += 1;
        (*count, item)
    });
    let mut ranked: Vec<(usize, Item)> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, item)| item).collect()
}

/// The accounts of a run. Each account is made once, so that all videos of an account share what is known of its tokens.
pub(super) struct Accounts<M> {
    known: RefCell<HashMap<String, Account>>,
    make: M,
}

impl<M: Fn(&str) -> Result<Account, Failure>> Accounts<M> {
    pub(super) fn new(make: M) -> Self {
        Self {
            known: RefCell::default(),
            make,
        }
    }

    pub(super) fn named(&self, name: &str) -> Result<Account, Failure> {
        if let Some(account) = self.known.borrow().get(name) {
            return Ok(account.clone());
        }
        let account = (self.make)(name)?;
        let mut known = self.known.borrow_mut();
        known.insert(name.to_owned(), account.clone());
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_take_turns_and_each_keeps_its_order() {
        let item = |account: &str, line| Item {
            source: Source::File("clip.mp4".into()),
            account: account.to_owned(),
            options: Map::new(),
            line: Some(line),
        };
        let given = ["lena", "lena", "lena", "mia", "noa", "mia"];
        let items = given.iter().zip(1..).map(|(name, line)| item(name, line));
        let fair = fairly(items.collect());
        let lines: Vec<_> = fair.iter().filter_map(|item| item.line).collect();
        assert_eq!(lines, [1, 4, 5, 2, 6, 3]);
    }
}
