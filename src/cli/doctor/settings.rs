//! Every setting, its value, and where that comes from. Secrets, and commands that may hold some, are only said to be set.

use chunkferry::{Account, Escaped, StateDir};
use clap::ArgAction;
use serde_json::{Value, json};

use crate::config::{
    Allowed, CLIENT_KEY, CLIENT_SECRET_FILE, ClientSecret, Key, SEAL_KEY_FILE, SealKey, TokenFrom,
    options,
};
use crate::globals::{Globals, Source, TOKEN_VARIABLE};
use crate::log::LogFormat;
use crate::records::shown;

/// What a secret is shown as.
const SET: &str = "set";
const NOT_SET: &str = "-";

/// A row of the table.
#[derive(Debug)]
pub(super) struct Setting {
    /// As the config file spells it, with its table.
    pub(super) key: String,
    pub(super) value: String,
    /// Where the value comes from, with the name of the variable if that is the environment.
    pub(super) source: String,
    from: Source,
}

impl Setting {
    fn new(key: impl Into<String>, value: &str, from: Source, variable: Option<&str>) -> Self {
        let source = match (from, variable) {
            (Source::Environment, Some(name)) => format!("environment ({name})"),
            _ => from.word().to_owned(),
        };
        Self {
            key: Escaped::new(&key.into()).to_string(),
            value: Escaped::new(value).to_string(),
            source,
            from,
        }
    }

    /// As a JSON line has it.
    pub(super) fn fields(&self) -> Value {
        let value = (self.value != NOT_SET).then_some(&self.value);
        json!({ "key": self.key, "value": value, "source": self.from.word() })
    }
}

pub(super) fn all(globals: &Globals) -> Vec<Setting> {
    let keys = options(&crate::grammar());
    let mut settings = vec![config(globals)];
    settings.extend(keys.iter().map(|key| option(globals, key)));
    settings.extend(accounts(globals));
    settings.extend(app(globals));
    settings.push(seal_key(globals));
    settings.extend(sources(globals));
    settings.extend(notify(globals));
    settings.extend(watches(globals));
    settings
}

/// The config file itself.
fn config(globals: &Globals) -> Setting {
    let path = globals.file.path().map(|path| path.display().to_string());
    let path = path.unwrap_or_else(|| NOT_SET.to_owned());
    let from = globals.source("config");
    Setting::new("config", &path, from, Some("CHUNKFERRY_CONFIG"))
}

fn option(globals: &Globals, key: &Key) -> Setting {
    if key.table.is_empty() {
        let variable = format!("CHUNKFERRY_{}", key.name.to_uppercase());
        let from = globals.source(&key.name);
        return Setting::new(&key.name, &global(globals, key), from, Some(&variable));
    }
    let name = format!("{}.{}", key.table, key.name);
    match globals.file.value(key.table, &key.name) {
        Some(value) => Setting::new(name, value, Source::File, None),
        None => Setting::new(name, &usual(key), Source::Default, None),
    }
}

/// The value of a global option.
fn global(globals: &Globals, key: &Key) -> String {
    let path = |path: &Option<std::path::PathBuf>| {
        let path = path.as_ref().map(|path| path.display().to_string());
        path.unwrap_or_else(|| NOT_SET.to_owned())
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| NOT_SET.to_owned());
    match &*key.name {
        "state_dir" => path(&globals.state_dir.clone().or_else(StateDir::default_path)),
        "accounts_dir" => path(&globals.accounts_dir),
        "api_base" => match &globals.api_base {
            Some(url) => shown(url).into_owned(),
            None => "TikTok's".to_owned(),
        },
        "account" => match &globals.account {
            Some(account) => account.clone(),
            None => Account::DEFAULT.to_owned(),
        },
        "token_file" => path(&globals.token_file),
        "token_command" if globals.token_command.is_some() => SET.to_owned(),
        "ca_file" => path(&globals.ca_file),
        "upload_host" => text(&globals.upload_host),
        "allow_http" => globals.allow_http.to_string(),
        "service" => match &globals.service {
            Some(service) => shown(service).into_owned(),
            None => NOT_SET.to_owned(),
        },
        "service_key_file" => path(&globals.service_key_file),
        "json" => globals.json.to_string(),
        "log_format" => match globals.log_format.unwrap_or_default() {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        },
        "log_file" => path(&globals.log_file),
        _ => NOT_SET.to_owned(),
    }
}

/// The value of an option that nobody sets.
fn usual(key: &Key) -> String {
    if matches!(key.arg.get_action(), ArgAction::SetTrue) {
        return "false".to_owned();
    }
    match key.arg.get_default_values() {
        [] => NOT_SET.to_owned(),
        values => values[0].to_string_lossy().into_owned(),
    }
}

fn accounts(globals: &Globals) -> Vec<Setting> {
    let row = |name: &str, from: &TokenFrom| {
        let value = match from {
            TokenFrom::Login => "true".to_owned(),
            TokenFrom::File(path) => path.display().to_string(),
            TokenFrom::Command(_) => SET.to_owned(),
            TokenFrom::Variable(name) => name.clone(),
            TokenFrom::Provider => SET.to_owned(),
        };
        let key = format!("accounts.{name}.{}", from.key());
        Setting::new(key, &value, Source::File, None)
    };
    let listed = globals.file.accounts().map(|(name, from)| row(name, from));
    let is_set = std::env::var_os(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty());
    let variable = is_set.then(|| Setting::new(TOKEN_VARIABLE, SET, Source::Environment, None));
    let provider = globals.file.provider().map(|_| {
        let key = TokenFrom::Provider.key();
        Setting::new(key, SET, Source::File, None)
    });
    listed.chain(variable).chain(provider).collect()
}

fn seal_key(globals: &Globals) -> Setting {
    let key = globals.file.seal_key();
    let from = match &key {
        None => Source::Default,
        key if *key == globals.file.seal_key => Source::File,
        Some(_) => Source::Environment,
    };
    let (name, value) = match key {
        Some(SealKey::File(path)) => ("seal_key_file", path.display().to_string()),
        Some(SealKey::Command(_)) => ("seal_key_command", SET.to_owned()),
        None => ("seal_key_file", NOT_SET.to_owned()),
    };
    Setting::new(name, &value, from, Some(SEAL_KEY_FILE))
}

fn sources(globals: &Globals) -> Option<Setting> {
    let allowed = globals.file.sources.as_ref()?;
    let shown: Vec<String> = allowed.iter().map(Allowed::shown).collect();
    let value = shown.join(", ");
    Some(Setting::new("sources.allow", &value, Source::File, None))
}

/// Whom `serve` calls, by the names of the entries.
fn notify(globals: &Globals) -> impl Iterator<Item = Setting> {
    let entries = globals.file.notify.iter();
    entries.map(|entry| {
        let key = format!("notify.{}.{}", entry.name, entry.to.key());
        Setting::new(key, SET, Source::File, None)
    })
}

/// The folders that `serve` watches.
fn watches(globals: &Globals) -> impl Iterator<Item = Setting> {
    let entries = globals.file.watch.iter();
    entries.map(|entry| {
        let path = entry.path.to_string_lossy();
        Setting::new("watch.path", &path, Source::File, None)
    })
}

fn app(globals: &Globals) -> [Setting; 2] {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = &globals.file;
    let key = match (set(CLIENT_KEY), &file.client_key) {
        (Some(key), _) => (key, Source::Environment),
        (None, Some(key)) => (key.clone(), Source::File),
        (None, None) => (NOT_SET.to_owned(), Source::Default),
    };
    let secret = match (set(CLIENT_SECRET_FILE), &file.client_secret) {
        (Some(path), _) => ("client_secret_file", path, Source::Environment),
        (None, Some(secret)) => match secret {
            ClientSecret::Text(_) => ("client_secret", SET.to_owned(), Source::File),
            ClientSecret::File(path) => (
                "client_secret_file",
                path.display().to_string(),
                Source::File,
            ),
            ClientSecret::Command(_) => ("client_secret_command", SET.to_owned(), Source::File),
        },
        (None, None) => ("client_secret", NOT_SET.to_owned(), Source::Default),
    };
    [
        Setting::new("app.client_key", &key.0, key.1, Some(CLIENT_KEY)),
        Setting::new(
            format!("app.{}", secret.0),
            &secret.1,
            secret.2,
            Some(CLIENT_SECRET_FILE),
        ),
    ]
}
