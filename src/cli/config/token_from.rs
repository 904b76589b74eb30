//! Where the tokens of an account come from.

use std::path::PathBuf;

/// Where the file says that an account's tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenFrom {
    /// The account has logged in by this command.
    Login,
    File(PathBuf),
    Command(String),
    /// A variable of the environment.
    Variable(String),
    /// The table of the user's own that `[token_provider]` names.
    Provider,
}

impl TokenFrom {
    /// The key that says so.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::File(_) => "token_file",
            Self::Command(_) => "token_command",
            Self::Variable(_) => "token_env",
            Self::Provider => "token_provider",
        }
    }
}
