//! `[[notify]]`: the URLs and commands that the service calls at each end of a job.

use std::fmt;
use std::path::PathBuf;

use toml::de::DeValue;
use url::{Host, Url};

use super::{Entry, nearest_of};
use crate::Failure;

/// The keys of an entry.
pub(super) const KEYS: [&str; 8] = [
    "name",
    "url",
    "command",
    "secret_file",
    "secret_command",
    "accounts",
    "kinds",
    "when_named",
];

/// The kinds of notices.
const KINDS: [&str; 5] = [
    "ended",
    "parked",
    "unparked",
    "account_needs_token",
    "account_has_token",
];

/// The longest name, in characters: a file is named after it.
const LONGEST: usize = 64;

/// An entry: whom to call, and for which notices.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) struct NotifyEntry {
    pub(crate) name: String,
    pub(crate) to: NotifyTo,
    /// Patterns of account names whose jobs the entry is for; `*` in a pattern fits any text. `None`: the jobs of all accounts.
    pub(crate) accounts: Option<Vec<String>>,
    pub(crate) kinds: Vec<&'static str>,
    /// Only notices of jobs that name this entry.
    pub(crate) when_named: bool,
}

/// Whom an entry calls. The query of a URL, and a command, may hold a secret; Debug shows neither.
#[derive(Clone)]
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) enum NotifyTo {
    Url(Box<Url>, NotifySecret),
    Command(String),
}

/// The file or the command that has the secret; the secret signs each POST to the entry's URL.
#[derive(Clone)]
#[cfg_attr(not(feature = "service"), allow(dead_code))]
pub(crate) enum NotifySecret {
    /// A file that only its owner can read.
    File(PathBuf),
    /// A command that prints it.
    Command(String),
}

impl NotifyTo {
    /// The key that says so.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Url(..) => "url",
            Self::Command(_) => "command",
        }
    }
}

impl fmt::Debug for NotifyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl NotifyEntry {
    /// A command that is called for each end of a job.
    #[cfg(feature = "service")]
    pub(crate) fn on_end(name: &str, command: String) -> Self {
        Self {
            name: name.to_owned(),
            to: NotifyTo::Command(command),
            accounts: None,
            kinds: vec!["ended"],
            when_named: false,
        }
    }
}

impl Entry<'_> {
    /// The entries of `[[notify]]`.
    pub(super) fn notify(&self) -> Result<Vec<NotifyEntry>, Failure> {
        let mut entries: Vec<NotifyEntry> = Vec::new();
        for table in self.list("a list of tables, [[notify]]")? {
            let entry = table.notify_entry()?;
            // Each entry has a file of its name, and on some file systems `a.json` and `A.json` are one file.
            let is_same = |other: &NotifyEntry| other.name.eq_ignore_ascii_case(&entry.name);
            if entries.iter().any(is_same) {
                return Err(table.wrong(&format!("has the name \"{}\" twice", entry.name)));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn notify_entry(&self) -> Result<NotifyEntry, Failure> {
        let (mut name, mut url, mut command) = (None, None, None);
        let (mut secret, mut accounts, mut when_named) = (None, None, false);
        let mut kinds = KINDS.to_vec();
        for (key, value) in self.table()? {
            let entry = self.below(key, value);
            let found = match &**key.get_ref() {
                "name" => {
                    name = Some(entry.notify_name()?);
                    continue;
                }
                "url" => {
                    url = Some(entry.notify_url()?);
                    continue;
                }
                "command" => {
                    command = Some(entry.text()?.to_owned());
                    continue;
                }
                "accounts" => {
                    let globs = entry.texts("a list of names of accounts")?;
                    accounts = Some(globs.into_iter().map(str::to_owned).collect());
                    continue;
                }
                "kinds" => {
                    kinds = entry.kinds()?;
                    continue;
                }
                "when_named" => {
                    let on = entry.value.get_ref().as_bool();
                    when_named = on.ok_or_else(|| entry.is_not("true or false"))?;
                    continue;
                }
                "secret_file" => NotifySecret::File(entry.path()?),
                "secret_command" => NotifySecret::Command(entry.text()?.to_owned()),
                _ => {
                    let nearest = nearest_of(KEYS, key.get_ref());
                    let help = format!("the nearest key is \"{nearest}\"");
                    return Err(entry.unknown(key, &help));
                }
            };
            if secret.replace(found).is_some() {
                return Err(entry.wrong(
                    "is one too many: the secret comes from secret_file or secret_command",
                ));
            }
        }
        let to = match (url, command, secret) {
            (Some(url), None, Some(secret)) => NotifyTo::Url(url, secret),
            (Some(_), None, None) => {
                return Err(self.wrong(
                    "with a url needs exactly one of secret_file and secret_command: the secret signs what is sent",
                ));
            }
            (None, Some(command), None) => NotifyTo::Command(command),
            (None, Some(_), Some(_)) => {
                return Err(self.wrong("with a command has no secret: only a url is signed for"));
            }
            _ => return Err(self.wrong("needs exactly one of url and command")),
        };
        Ok(NotifyEntry {
            name: name.ok_or_else(|| self.wrong("needs a name"))?,
            to,
            accounts,
            kinds,
            when_named,
        })
    }

    fn notify_name(&self) -> Result<String, Failure> {
        let text = self.text()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        match text.len() <= LONGEST && text.chars().all(fits) {
            true => Ok(text.to_owned()),
            false => Err(self.wrong("has to be letters, digits, - and _, at most 64")),
        }
    }

    /// https, or http to this machine. No message repeats the URL: its path and query may hold a secret.
    fn notify_url(&self) -> Result<Box<Url>, Failure> {
        let url = Url::parse(self.text()?).map_err(|_| self.wrong("is no URL"))?;
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.wrong("has a user or a password, which it must not have"));
        }
        match url.scheme() {
            "https" => Ok(Box::new(url)),
            "http" if is_local => Ok(Box::new(url)),
            _ => Err(self.wrong("has to be https, or http to this machine")),
        }
    }

    fn kinds(&self) -> Result<Vec<&'static str>, Failure> {
        let kind = |text: &str| {
            let found = KINDS.into_iter().find(|kind| *kind == text);
            let nearest = nearest_of(KINDS, text);
            found.ok_or_else(|| {
                self.wrong(&format!(
                    "has an unknown kind; the nearest is \"{nearest}\""
                ))
            })
        };
        let texts = self.texts("a list of kinds")?;
        texts.into_iter().map(kind).collect()
    }

    /// The texts of a list that is not empty.
    pub(super) fn texts(&self, expected: &str) -> Result<Vec<&str>, Failure> {
        let entries = self.list(expected)?;
        if entries.is_empty() {
            return Err(self.wrong("is empty: leave it out for all"));
        }
        entries.iter().map(Entry::text).collect()
    }

    /// The values of a list.
    pub(super) fn list(&self, expected: &str) -> Result<Vec<Self>, Failure> {
        let DeValue::Array(values) = self.value.get_ref() else {
            return Err(self.is_not(expected));
        };
        let entry = |value| Self {
            file: self.file,
            name: self.name.clone(),
            value,
        };
        Ok(values.iter().map(entry).collect())
    }
}
