//! Where the command gets access tokens from.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use chunkferry::{Secret, TokenError, TokenSource};
use futures::future::BoxFuture;
use tokio::process::Command;

type Token = Result<Secret, TokenError>;

/// Asked anew at each call: a file may be rewritten, a command may fetch a fresh token.
#[derive(Debug)]
pub(super) enum Tokens {
    Command(String),
    File(PathBuf),
    Environment,
}

impl Tokens {
    pub(super) fn new(command: Option<String>, file: Option<PathBuf>) -> Self {
        match (command, file) {
            (Some(command), _) => Self::Command(command),
            (None, Some(file)) => Self::File(file),
            (None, None) => Self::Environment,
        }
    }

    async fn ask(&self) -> Token {
        let token = match self {
            Self::Command(command) => run(command).await?,
            Self::File(path) => {
                std::fs::read_to_string(path)
                    .map(Secret::from)
                    .map_err(|error| {
                        format!(
                            "No access token: {} cannot be read ({error}).",
                            path.display()
                        )
                    })?
            }
            Self::Environment => std::env::var("TIKTOK_ACCESS_TOKEN")
                .map(Secret::from)
                .unwrap_or_else(|_| Secret::new("")),
        };
        if token.is_empty() {
            return Err(match self {
                Self::Command(_) => "No access token: --token-command printed nothing.".into(),
                Self::File(path) => format!("No access token: {} is empty.", path.display()).into(),
                Self::Environment => {
                    "No access token. Set TIKTOK_ACCESS_TOKEN or --token-file. To try without an account: chunkferry demo".into()
                }
            });
        }
        Ok(token)
    }
}

impl TokenSource for Tokens {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Token> {
        Box::pin(self.ask())
    }
}

/// Runs the command by the shell and takes the first line it prints.
async fn run(command: &str) -> Token {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(Duration::from_secs(60), output).await {
        Ok(output) => output?,
        Err(_) => {
            let text = "--token-command did not end within 60 s";
            return Err(TokenError::temporary(text));
        }
    };
    if !output.status.success() {
        return Err(format!(
            "No access token: --token-command failed ({}).",
            output.status
        )
        .into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}
