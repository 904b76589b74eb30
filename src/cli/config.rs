//! The config file: defaults for options, the accounts, and the app. The command line and the environment win over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Failure;
use super::globals::account_name;
use super::url_source::UrlCommands;

mod app;
mod file;
mod keys;
mod notify;
mod seal;
mod sources;
mod token_from;
mod watch;

use super::provider::Provider;
pub(super) use app::{App, CLIENT_KEY, CLIENT_SECRET_FILE, ClientSecret};
use file::File;
pub(super) use keys::{Key, is_near, nearest_of, options};
use keys::{NEVER, elsewhere, nearest};
pub(super) use notify::NotifyEntry;
#[cfg(feature = "service")]
pub(super) use notify::{NotifySecret, NotifyTo};
pub(super) use seal::{SEAL_KEY_FILE, SealKey};
pub(super) use sources::Allowed;
pub(super) use token_from::TokenFrom;
pub(super) use watch::WatchEntry;
#[cfg(feature = "service")]
pub(super) use watch::{LONGEST_SCAN, PLACE, SCAN};

/// What a config file sets. Without a file it sets nothing.
#[derive(Debug, Default)]
pub(super) struct Config {
    path: Option<PathBuf>,
    /// Values for options, as the command line would have them: by table (empty for the top level) and key.
    defaults: BTreeMap<(&'static str, String), String>,
    accounts: BTreeMap<String, TokenFrom>,
    pub(super) client_key: Option<String>,
    pub(super) client_secret: Option<ClientSecret>,
    provider: Option<Provider>,
    pub(super) seal_key: Option<SealKey>,
    /// What jobs of the service may name.
    pub(super) sources: Option<Vec<Allowed>>,
    /// Whether videos are fetched from hosts of this network, too.
    pub(super) private_sources: bool,
    /// The commands that print new URLs.
    pub(super) url_commands: UrlCommands,
    pub(super) notify: Vec<NotifyEntry>,
    /// The folders whose files the service sends.
    pub(super) watch: Vec<WatchEntry>,
}

/// A value of the file, with all that an error about it needs.
struct Entry<'a> {
    file: &'a File,
    /// The key with its table, such as `upload.jobs`.
    name: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl Config {
    /// Reads the file of this name, or without a name the one in the usual place, where it may be missing.
    ///
    /// `grammar` is the command's own: it says which options there are, and its parsers check their values.
    pub(super) fn load(named: Option<&Path>, grammar: &Command) -> Result<Self, Failure> {
        let read = match named {
            Some(path) => Some(File::read(path)?),
            None => match file::usual_path() {
                Some(path) => File::read_if_there(&path)?,
                None => None,
            },
        };
        let Some(file) = read else {
            return Ok(Self::default());
        };
        let config = Self::of(&file, &options(grammar))?;
        Ok(Self {
            path: Some(file.path),
            ..config
        })
    }

    fn of(file: &File, options: &[Key]) -> Result<Self, Failure> {
        let mut config = Self::default();
        let table = DeTable::parse(&file.text).map_err(|error| {
            // What the error displays repeats the line, which may hold a secret.
            file.wrong(error.span(), error.message())
        })?;
        for (key, value) in table.get_ref() {
            let name = key.get_ref().to_string();
            let entry = Entry { file, name, value };
            match &*entry.name {
                "app" => config.read_app(&entry)?,
                "sources" => config.read_sources(&entry)?,
                "seal_key_file" | "seal_key_command" => config.read_seal_key(&entry)?,
                "notify" => config.notify = entry.notify()?,
                "watch" => config.watch = entry.watch()?,
                "token_provider" => config.provider = Some(entry.provider()?),
                "accounts" => {
                    for (name, value) in entry.table()? {
                        let account = account_name(name.get_ref())
                            .map_err(|why| file.wrong(Some(name.span()), &why))?;
                        let entry = entry.below(name, value);
                        config.accounts.insert(account, entry.token_source()?);
                    }
                }
                table @ ("upload" | "pull") => {
                    let table = if table == "upload" { "upload" } else { "pull" };
                    for (name, value) in entry.table()? {
                        config.read_option(options, table, name, &entry.below(name, value))?;
                    }
                }
                _ => config.read_option(options, "", key, &entry)?,
            }
        }
        Ok(config)
    }

    fn read_option(
        &mut self,
        options: &[Key],
        table: &'static str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        entry: &Entry<'_>,
    ) -> Result<(), Failure> {
        let name = &**key.get_ref();
        if let Some((_, why)) = NEVER.iter().find(|(never, _)| *never == name) {
            let text = format!("\"{name}\" cannot be set in a file: {why}");
            return Err(entry.file.wrong(Some(key.span()), &text));
        }
        let found = options
            .iter()
            .find(|of| of.table == table && of.name == name);
        let Some(option) = found else {
            let places = elsewhere(options, name);
            let help = match places.is_empty() {
                false => format!("it belongs {places}"),
                true => format!("the nearest key is \"{}\"", nearest(options, table, name)),
            };
            return Err(entry.unknown(key, &help));
        };
        let value = entry.option(option)?;
        self.defaults.insert((table, name.to_owned()), value);
        Ok(())
    }

    fn read_seal_key(&mut self, entry: &Entry<'_>) -> Result<(), Failure> {
        let key = match &*entry.name {
            "seal_key_file" => SealKey::File(entry.path()?),
            _ => SealKey::Command(entry.text()?.to_owned()),
        };
        match self.seal_key.replace(key) {
            Some(_) => Err(entry
                .wrong("is one too many: the keys come from seal_key_file or seal_key_command")),
            None => Ok(()),
        }
    }

    fn read_app(&mut self, app: &Entry<'_>) -> Result<(), Failure> {
        const KEYS: [&str; 4] = [
            "client_key",
            "client_secret",
            "client_secret_file",
            "client_secret_command",
        ];
        for (key, value) in app.table()? {
            let entry = app.below(key, value);
            let secret = match &**key.get_ref() {
                "client_key" => {
                    self.client_key = Some(entry.text()?.to_owned());
                    continue;
                }
                "client_secret" => {
                    entry.file.keep_private(&entry.value.span())?;
                    ClientSecret::Text(entry.text()?.into())
                }
                "client_secret_file" => ClientSecret::File(entry.path()?),
                "client_secret_command" => ClientSecret::Command(entry.text()?.to_owned()),
                _ => {
                    let nearest = nearest_of(KEYS, key.get_ref());
                    let help = format!("the nearest key is \"{nearest}\"");
                    return Err(entry.unknown(key, &help));
                }
            };
            if self.client_secret.replace(secret).is_some() {
                return Err(entry.wrong(
                    "is one too many: the secret comes from client_secret, client_secret_file or client_secret_command",
                ));
            }
        }
        Ok(())
    }

    /// The grammar with the values of the file as defaults of its options, so that the command line and the environment win.
    pub(super) fn defaults_in(&self, mut grammar: Command) -> Command {
        for ((table, key), value) in &self.defaults {
            let set = |arg: Arg| arg.default_value(value.clone());
            grammar = match *table {
                "" => grammar.mut_arg(key, set),
                table => grammar.mut_subcommand(table, |of| of.mut_arg(key, set)),
            };
        }
        grammar
    }

    /// The file that was read.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What the file has for a key of this table (empty for the top level).
    pub(super) fn value(&self, table: &'static str, key: &str) -> Option<&str> {
        let value = self.defaults.get(&(table, key.to_owned()));
        value.map(String::as_str)
    }

    /// The names of the accounts that the file lists.
    pub(super) fn account_names(&self) -> impl Iterator<Item = &str> {
        self.accounts.keys().map(String::as_str)
    }

    /// Where tokens of accounts that the file does not list come from.
    pub(super) fn provider(&self) -> Option<&Provider> {
        self.provider.as_ref()
    }

    /// The accounts that the file lists, and where their tokens come from.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (&str, &TokenFrom)> {
        self.accounts.iter().map(|(name, from)| (&**name, from))
    }

    /// Where the tokens of an account come from, if the file lists it.
    pub(super) fn account(&self, name: &str) -> Option<&TokenFrom> {
        self.accounts.get(name)
    }
}

impl<'a> Entry<'a> {
    /// A value in this table.
    fn below(
        &self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self {
            file: self.file,
            name: format!("{}.{}", self.name, key.get_ref()),
            value,
        }
    }

    /// `what` completes a sentence that begins with the key.
    fn wrong(&self, what: &str) -> Failure {
        let text = format!("{} {what}", self.name);
        self.file.wrong(Some(self.value.span()), &text)
    }

    fn unknown(&self, key: &Spanned<std::borrow::Cow<'_, str>>, help: &str) -> Failure {
        let text = format!("there is no key \"{}\"; {help}", self.name);
        self.file.wrong(Some(key.span()), &text)
    }

    fn is_not(&self, expected: &str) -> Failure {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(&format!("has to be {expected}, and is {found}"))
    }

    fn table(&self) -> Result<&'a DeTable<'a>, Failure> {
        let table = self.value.get_ref().as_table();
        table.ok_or_else(|| self.is_not(&format!("a table, [{}]", self.name)))
    }

    /// Text that is not empty.
    fn text(&self) -> Result<&'a str, Failure> {
        match self.value.get_ref().as_str() {
            Some("") => Err(self.wrong("is empty")),
            Some(text) => Ok(text),
            None => Err(self.is_not("text in quotes")),
        }
    }

    /// A path, which counts from the folder of the file.
    fn path(&self) -> Result<PathBuf, Failure> {
        let text = self.text()?;
        self.file.path_of(text).map_err(|why| self.wrong(&why))
    }

    /// The value of an option, as the command line would have it and as the option's own parser takes it.
    fn option(&self, key: &Key) -> Result<String, Failure> {
        let value = match (key.kind(), self.value.get_ref()) {
            (keys::Kind::Switch, DeValue::Boolean(on)) => return Ok(on.to_string()),
            (keys::Kind::Switch, _) => return Err(self.is_not("true or false")),
            (keys::Kind::Path, _) => {
                let path = self.path()?.into_os_string().into_string();
                path.map_err(|_| self.wrong("leads to a folder whose name is not UTF-8"))?
            }
            (keys::Kind::Number, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                number.map_err(|_| self.wrong("is too large"))?.to_string()
            }
            (keys::Kind::Number, DeValue::String(_)) | (keys::Kind::Text, _) => {
                self.text()?.to_owned()
            }
            (keys::Kind::Number, _) => return Err(self.is_not("a whole number, or text in quotes")),
        };
        key.check(&value)
            .map_err(|why| self.wrong(&format!("cannot be used: {why}")))?;
        Ok(value)
    }

    fn provider(&self) -> Result<Provider, Failure> {
        const ONE: &str = "needs exactly one of url and command";
        let mut found = None;
        for (key, value) in self.table()? {
            let entry = self.below(key, value);
            let provider = match &**key.get_ref() {
                "url" => Provider::at(entry.text()?).map_err(|why| entry.wrong(why))?,
                "command" => Provider::Command(entry.text()?.to_owned()),
                _ => {
                    let nearest = nearest_of(["url", "command"], key.get_ref());
                    let help = format!("the nearest key is \"{nearest}\"");
                    return Err(entry.unknown(key, &help));
                }
            };
            if found.replace(provider).is_some() {
                return Err(self.wrong(ONE));
            }
        }
        found.ok_or_else(|| self.wrong(ONE))
    }

    fn token_source(&self) -> Result<TokenFrom, Failure> {
        const KEYS: [&str; 4] = ["login", "token_file", "token_command", "token_env"];
        const ONE: &str =
            "needs exactly one of login = true, token_file, token_command and token_env";
        let mut found = None;
        for (key, value) in self.table()? {
            let entry = self.below(key, value);
            let source = match &**key.get_ref() {
                "login" => match entry.value.get_ref().as_bool() {
                    Some(true) => TokenFrom::Login,
                    _ => return Err(entry.wrong("is true, or left out")),
                },
                "token_file" => TokenFrom::File(entry.path()?),
                "token_command" => TokenFrom::Command(entry.text()?.to_owned()),
                "token_env" => TokenFrom::Variable(entry.variable()?),
                _ => {
                    let nearest = nearest_of(KEYS, key.get_ref());
                    let help = format!("the nearest key is \"{nearest}\"");
                    return Err(entry.unknown(key, &help));
                }
            };
            if found.replace(source).is_some() {
                return Err(self.wrong(ONE));
            }
        }
        found.ok_or_else(|| self.wrong(ONE))
    }

    /// The name of a variable. Whoever puts the token itself here must not see it in the error.
    fn variable(&self) -> Result<String, Failure> {
        let text = self.text()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match text.chars().all(fits) {
            true => Ok(text.to_owned()),
            false => Err(self.wrong("has to be the name of a variable of the environment")),
        }
    }
}
