//! Whether jobs can run where they are sent, before the first one does.

use std::cell::RefCell;
use std::collections::HashMap;

use chunkferry::{AccountProvider, Escaped};

use crate::Failure;
use crate::config::{TokenFrom, is_near};
use crate::folder::is_video;
use crate::globals::Globals;
use crate::item::{Item, Source};
use crate::manifest::Fault;

/// Where the jobs are sent.
pub(crate) enum Sender<'a> {
    /// By this process, with these settings' accounts.
    Us(&'a Globals),
    /// By this process, to an emulator that knows every account.
    Emulator,
    /// By a service, which looks at its jobs itself.
    Service,
}

/// The sender of the jobs, and the accounts that were looked for.
pub(crate) struct Known<'a> {
    sender: Sender<'a>,
    accounts: RefCell<HashMap<String, Result<(), String>>>,
}

impl<'a> Known<'a> {
    pub(crate) fn new(sender: Sender<'a>) -> Self {
        Self {
            sender,
            accounts: RefCell::default(),
        }
    }

    /// What is wrong with the jobs that cannot be sent.
    pub(crate) async fn check_all(&self, items: &[Item]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for item in items {
            if let Err(failure) = self.check(item).await {
                faults.push((item.line.unwrap_or_default(), failure.message));
            }
        }
        faults
    }

    /// Refuses a job that cannot be sent.
    pub(crate) async fn check(&self, item: &Item) -> Result<(), Failure> {
        if matches!(self.sender, Sender::Service) {
            return Ok(());
        }
        item.job()?.check()?;
        if let Source::File(path) = &item.source {
            is_video(path).map_err(|why| {
                let shown = Escaped::new(&*path.to_string_lossy()).to_string();
                Failure::usage(format!("{shown}: {why}."))
            })?;
        }
        if item.options.get("again").is_some_and(|again| again == true) && item.id().is_some() {
            let text = "again with an id needs a service that remembers the id: chunkferry serve.";
            return Err(Failure::usage(text));
        }
        let Sender::Us(globals) = self.sender else {
            return Ok(());
        };
        let name = &item.account;
        let known = self.accounts.borrow().get(name).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let known = globals.knows(name).await;
                let mut accounts = self.accounts.borrow_mut();
                accounts.insert(name.clone(), known.clone());
                known
            }
        };
        known.map_err(Failure::usage)
    }
}

impl Globals {
    /// Whether an account of this name has tokens of its own, or why not. A token that names no account is of the command's own.
    async fn knows(&self, name: &str) -> Result<(), String> {
        if name == self.account_name() {
            return Ok(());
        }
        let shown = Escaped::new(name).to_string();
        let (from, key) = self.tokens(name);
        if let (TokenFrom::Provider, Some(provider)) = (&from, self.file.provider()) {
            return match self.table(provider).token(name, None).await {
                // What is wrong with the token of an account ends its videos alone.
                Err(error) if error.is_unknown() => Err(format!(
                    "the provider of tokens has no account \"{shown}\"."
                )),
                _ => Ok(()),
            };
        }
        let is_by_name = from == TokenFrom::Login || key.starts_with("accounts.");
        if is_by_name {
            return Ok(());
        }
        let mut names = self.file.account_names();
        let nearest = names.find(|known| is_near(name, known));
        let nearest = nearest.map(|known| format!(" The nearest is \"{known}\"."));
        Err(format!(
            "there is no account \"{shown}\": neither the config file nor a login has that name.{}",
            nearest.unwrap_or_default()
        ))
    }
}
