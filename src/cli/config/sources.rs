//! `[sources]`: what jobs of the service may name.

use std::path::{Component, PathBuf};

use toml::de::DeValue;
use url::Url;

use super::keys::nearest_of;
use super::{Config, Entry};
use crate::Failure;
use crate::url_source::UrlCommands;

/// The keys of the table.
pub(crate) const KEYS: [&str; 3] = ["allow", "private", "url_commands"];

/// Something that jobs may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// The files beneath a directory.
    Root(PathBuf),
    /// The URLs of a host, or those of them whose path begins like this; it ends with `/`.
    Under(Url),
}

impl Allowed {
    /// As the file has it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Root(root) => root.display().to_string(),
            Self::Under(url) => url.to_string(),
        }
    }
}

impl Config {
    pub(super) fn read_sources(&mut self, table: &Entry<'_>) -> Result<(), Failure> {
        let entries = table.table()?;
        if entries.is_empty() {
            return Err(table.wrong("is empty: its keys are allow, private and url_commands"));
        }
        for (key, value) in entries {
            let entry = table.below(key, value);
            match &**key.get_ref() {
                "allow" => {}
                "private" => {
                    self.private_sources = entry.switch()?;
                    continue;
                }
                "url_commands" => {
                    self.url_commands = UrlCommands(entry.url_commands()?);
                    continue;
                }
                other => {
                    let help = format!("the nearest key is \"{}\"", nearest_of(KEYS, other));
                    return Err(entry.unknown(key, &help));
                }
            }
            let DeValue::Array(list) = entry.value.get_ref() else {
                return Err(entry.is_not("a list of texts in quotes"));
            };
            let allowed = list.iter().map(|value| {
                let (file, name) = (entry.file, entry.name.clone());
                Entry { file, name, value }.allowed()
            });
            self.sources = Some(allowed.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(())
    }
}

impl Entry<'_> {
    /// A table of commands, by names.
    fn url_commands(&self) -> Result<Vec<(String, String)>, Failure> {
        let commands = self.table()?.iter().map(|(name, value)| {
            let entry = self.below(name, value);
            Ok((name.get_ref().to_string(), entry.text()?.to_owned()))
        });
        commands.collect()
    }

    fn allowed(&self) -> Result<Allowed, Failure> {
        if self.text()?.contains("://") {
            return self.allowed_url().map(Allowed::Under);
        }
        let root = self.path()?;
        let root = std::path::absolute(&root).unwrap_or(root);
        match root.components().any(|part| part == Component::ParentDir) {
            true => Err(self.wrong("has a folder with .. in its path: name the folder itself")),
            false => Ok(Allowed::Root(root)),
        }
    }

    fn allowed_url(&self) -> Result<Url, Failure> {
        let url = Url::parse(self.text()?);
        let url = url.map_err(|_| self.wrong("has a text that is no URL"))?;
        let wrong = match () {
            () if !["https", "s3", "gs", "az"].contains(&url.scheme()) => {
                "has a URL that is none of https, s3, gs and az, which is all that is fetched"
            }
            () if url.domain().is_none() => {
                "has a URL without the name of a host, which is all that TikTok fetches from"
            }
            () if !url.username().is_empty() || url.password().is_some() => {
                "has a URL with a user name"
            }
            () if url.query().is_some() || url.fragment().is_some() => {
                "has a URL with a query or a fragment: it is compared without them"
            }
            () if !url.path().ends_with('/') => {
                "has a URL whose path does not end with /, and would allow other paths that begin like it"
            }
            () if self.text()?.contains('%') => {
                "has a URL with a % in its path, which servers read in more than one way"
            }
            () => return Ok(url),
        };
        Err(self.wrong(wrong))
    }
}
