//! The accounts that log in.

use std::path::PathBuf;

use super::Options;
use crate::account::store::{Accounts, App};
use crate::error::Error;

impl Options {
    /// The accounts that log in, with their files in `dir`, or in `accounts` in the state directory. Needs no engine, and takes
    /// no lock: any number of processes can use one directory. Without an app, tokens are used and not renewed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a setting that can't be used.
    pub fn open_accounts(&self, dir: Option<PathBuf>, app: Option<App>) -> Result<Accounts, Error> {
        let dir = dir.unwrap_or_else(|| self.accounts_dir());
        Ok(Accounts::new(
            dir,
            self.seal_keys.clone(),
            self.client()?,
            self.api_base.clone(),
            app,
        ))
    }

    /// Whether somebody has logged in as this account, in `dir` or in `accounts` in the state directory. Looks for one file, and
    /// blocks for that moment.
    pub fn has_account(&self, dir: Option<PathBuf>, name: &str) -> bool {
        Accounts::contains(dir.unwrap_or_else(|| self.accounts_dir()), name)
    }

    /// Whether there is a directory of accounts at `dir`, or as `accounts` in the state directory.
    pub fn has_accounts(&self, dir: Option<PathBuf>) -> bool {
        dir.unwrap_or_else(|| self.accounts_dir()).is_dir()
    }

    fn accounts_dir(&self) -> PathBuf {
        self.state_dir.join("accounts")
    }
}
