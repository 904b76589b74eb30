//! The app that asks creators for access: its key and its secret.

use std::path::PathBuf;

use chunkferry::{ErrorKind, Secret, TokenError};

use super::Config;
use crate::Failure;
use crate::exit::Exit;
use crate::token;

/// The variables that win over `[app]`. None holds the secret itself.
pub(crate) const CLIENT_KEY: &str = "CHUNKFERRY_CLIENT_KEY";
pub(crate) const CLIENT_SECRET_FILE: &str = "CHUNKFERRY_CLIENT_SECRET_FILE";

/// The app's key, and where its secret comes from.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) client_key: String,
    pub(crate) secret: ClientSecret,
}

/// Where the app's secret comes from.
#[derive(Debug, Clone)]
pub(crate) enum ClientSecret {
    Text(Secret),
    /// A file whose first line it is.
    File(PathBuf),
    /// A command that prints it.
    Command(String),
}

impl Config {
    /// The app of the environment or else of the file.
    ///
    /// # Errors
    ///
    /// Usage, if the key or the secret is named nowhere.
    pub(crate) fn app(&self) -> Result<App, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let key = match set(CLIENT_KEY) {
            Some(key) => Some(key.to_string_lossy().into_owned()),
            None => self.client_key.clone(),
        };
        let secret = match set(CLIENT_SECRET_FILE) {
            Some(path) => Some(ClientSecret::File(path.into())),
            None => self.client_secret.clone(),
        };
        let missing = |what: &str, variable: &str| {
            let text = format!(
                "The app has no {what}. Set it in [app] of the config file, or by {variable}."
            );
            Failure::usage(text)
        };
        Ok(App {
            client_key: key.ok_or_else(|| missing("client_key", CLIENT_KEY))?,
            secret: secret.ok_or_else(|| missing("client_secret", CLIENT_SECRET_FILE))?,
        })
    }

    /// Whether anything names an app.
    pub(crate) fn has_app(&self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let named = set(CLIENT_KEY) || set(CLIENT_SECRET_FILE);
        named || self.client_key.is_some() || self.client_secret.is_some()
    }
}

impl ClientSecret {
    /// Reads the secret. A file or a command may take a minute.
    ///
    /// # Errors
    ///
    /// Temporary, if the file or the command takes longer; usage for any other reason.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the command.
    pub(crate) async fn read(&self) -> Result<Secret, Failure> {
        let (read, from) = match self {
            Self::Text(secret) => return Ok(secret.clone()),
            Self::File(path) => (
                token::in_file(path).await,
                format!("the first line of {}", path.display()),
            ),
            Self::Command(command) => (
                token::run("client_secret_command", command).await,
                "what client_secret_command printed".to_owned(),
            ),
        };
        let secret = read.map_err(|error| cannot_read("app's secret", &error))?;
        match secret.is_empty() {
            true => Err(cannot_read(
                "app's secret",
                &format!("{from} is empty").into(),
            )),
            false => Ok(secret),
        }
    }
}

pub(super) fn cannot_read(what: &str, error: &TokenError) -> Failure {
    let kind = match error.is_temporary() {
        true => ErrorKind::Temporary,
        false => ErrorKind::Usage,
    };
    Failure::new(
        Exit::of(kind),
        format!("The {what} cannot be read: {error}."),
    )
}
