//! Commands that print a new URL of a video whose signature is over.

use std::path::Path;
use std::sync::Arc;

use chunkferry::{Secret, TokenError, UrlSource, UrlSources};
use futures::future::BoxFuture;

use super::Failure;
use super::token;

/// Prints a URL. The URL that is over, without its query, is the first line of its input.
#[derive(Debug, Clone)]
pub(super) struct UrlCommand {
    /// The option or the key that names it.
    pub(super) name: String,
    pub(super) command: String,
    /// The URL without its query.
    pub(super) address: String,
}

impl UrlSource for UrlCommand {
    fn url(&self) -> BoxFuture<'_, Result<Secret, TokenError>> {
        Box::pin(async {
            let input = format!("{}\n", self.address).into_bytes();
            let url = token::asked(&self.name, &self.command, Some(input)).await?;
            let url = token::succeeded(&self.name, url)?;
            match url.is_empty() {
                true => Err(format!("{} printed nothing", self.name).into()),
                false => Ok(url),
            }
        })
    }
}

/// The commands of the config file, by the names that jobs may use.
#[derive(Debug, Clone, Default)]
pub(super) struct UrlCommands(pub(super) Vec<(String, String)>);

impl UrlSources for UrlCommands {
    fn named(&self, name: &str, address: &str) -> Option<Arc<dyn UrlSource>> {
        let (_, command) = self.0.iter().find(|(known, _)| known == name)?;
        Some(Arc::new(UrlCommand {
            name: format!("sources.url_commands.{name}"),
            command: command.clone(),
            address: address.to_owned(),
        }))
    }
}

/// The headers of a file: a `Name: value` on each line. Blocks. Errors repeat no line: its value may be a secret.
pub(super) fn headers(file: &Path) -> Result<Vec<(String, Secret)>, Failure> {
    let cannot = |what: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "{} is not usable as --header-file: {what}.",
            file.display()
        ))
    };
    let text = std::fs::read_to_string(file).map_err(|error| cannot(&error))?;
    let lines = text.lines().zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim().is_empty());
    let headers = lines.map(|(line, number)| {
        let header = line.split_once(':');
        let header = header.filter(|(name, _)| !name.trim().is_empty());
        let (name, value) = header.ok_or_else(|| {
            cannot(&format_args!(
                "line {number} is no header; it is NAME: VALUE"
            ))
        })?;
        Ok((name.trim().to_owned(), Secret::new(value)))
    });
    headers.collect()
}
