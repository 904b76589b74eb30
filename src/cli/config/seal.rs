//! The keys that seal the files of accounts.

use std::path::PathBuf;

use chunkferry::{Options, SealKeys};

use super::Config;
use super::app::cannot_read;
use crate::{Failure, message, token};

/// The variable that wins over the keys of the file.
pub(crate) const SEAL_KEY_FILE: &str = "CHUNKFERRY_SEAL_KEY_FILE";

/// Where the seal keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SealKey {
    /// A file of keys, one on each line.
    File(PathBuf),
    /// A command that prints such lines.
    Command(String),
}

impl Config {
    /// Where the seal keys come from, by the environment or else by the file.
    pub(crate) fn seal_key(&self) -> Option<SealKey> {
        let named = std::env::var_os(SEAL_KEY_FILE).filter(|path| !path.is_empty());
        match named {
            Some(path) => Some(SealKey::File(path.into())),
            None => self.seal_key.clone(),
        }
    }
}

impl SealKey {
    /// Reads the keys. A file or a command may take a minute.
    ///
    /// # Errors
    ///
    /// Temporary, if the file or the command takes longer; usage for any other reason.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the command.
    pub(crate) async fn read(&self) -> Result<SealKeys, Failure> {
        let (read, from) = match self {
            Self::File(path) => (token::private_lines(path).await, path.display().to_string()),
            Self::Command(command) => (
                token::run_for_lines("seal_key_command", command).await,
                "what seal_key_command printed".to_owned(),
            ),
        };
        let lines = read.map_err(|error| cannot_read("seal key", &error))?;
        SealKeys::from_lines(lines.expose()).map_err(|error| {
            let text = format!(
                "The seal key cannot be read from {from}: {}",
                message::message(&error)
            );
            Failure::usage(text)
        })
    }

    /// The settings with the keys, where there are some.
    pub(crate) async fn given_to(key: Option<&Self>, options: Options) -> Result<Options, Failure> {
        Ok(match key {
            Some(key) => options.seal_keys(key.read().await?),
            None => options,
        })
    }
}
