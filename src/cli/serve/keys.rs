//! The API keys: who may use the service over the network, from a file of digests.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use chunkferry::Escaped;
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::nearest_of;
use crate::serve::pattern::Pattern;

const FIELDS: [&str; 4] = ["accounts", "name", "role", "sha256"];
const ROLES: [&str; 4] = ["admin", "metrics", "read", "submit"];

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Read the jobs and events of its accounts.
    Read,
    /// Read the metrics.
    Metrics,
    /// Read, submit and change jobs of its accounts.
    Submit,
    Admin,
}

/// A key, of which only the digest is known.
#[derive(PartialEq, Eq)]
pub(super) struct ApiKey {
    pub(super) name: String,
    pub(super) role: Role,
    accounts: Vec<Pattern>,
    sha256: [u8; 32],
}

impl ApiKey {
    /// Whether the key is for this account.
    pub(super) fn reaches(&self, account: &str) -> bool {
        self.accounts.iter().any(|pattern| pattern.fits(account))
    }

    /// Whether the key is for every account.
    pub(super) fn reaches_all(&self) -> bool {
        self.accounts.iter().any(Pattern::is_any)
    }
}

/// The keys of a file.
#[derive(Default, PartialEq, Eq)]
pub(super) struct ApiKeys(Vec<Arc<ApiKey>>);

impl ApiKeys {
    /// Reads the text of a file. An error says in which line, or of which key, something is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let line = |at: usize| {
            let before = text.get(..at).unwrap_or(text);
            before.matches('\n').count() + 1
        };
        let file = DeTable::parse(text).map_err(|error| {
            // What the error displays repeats the line.
            let place = error.span().map(|at| format!("line {}: ", line(at.start)));
            let why = Escaped::new(error.message());
            format!("{}{why}", place.unwrap_or_default())
        })?;
        let mut keys = Vec::new();
        for (name, value) in file.get_ref() {
            if name.get_ref() != "key" {
                return Err(format!(
                    "line {}: unknown key \"{}\"; each API key is a table [[key]]",
                    line(name.span().start),
                    Escaped::new(&**name.get_ref())
                ));
            }
            let DeValue::Array(tables) = value.get_ref() else {
                return Err(format!(
                    "line {}: each API key is a table [[key]]",
                    line(name.span().start)
                ));
            };
            for table in tables {
                let key = read(table).map_err(|(at, why)| format!("line {}: {why}", line(at)))?;
                keys.push(Arc::new(key));
            }
        }
        if keys.is_empty() {
            return Err("there is no key in it; each is a table [[key]]".to_owned());
        }
        let (mut names, mut digests) = (HashSet::new(), HashSet::new());
        for key in &keys {
            let name = Escaped::new(&key.name);
            if !names.insert(&key.name) {
                return Err(format!("two keys have the name \"{name}\""));
            }
            if !digests.insert(key.sha256) {
                return Err(format!("the key \"{name}\" has the sha256 of another key"));
            }
        }
        Ok(Self(keys))
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, key: &ApiKey) -> bool {
        self.0.iter().any(|of| **of == *key)
    }

    /// The key with the digest of this text. How long it takes depends on no digest: all are compared, and each to its end.
    pub(super) fn find(&self, presented: &[u8]) -> Option<Arc<ApiKey>> {
        let digest = Sha256::digest(presented);
        let mut found = None;
        for key in &self.0 {
            if verify_slices_are_equal(&digest, &key.sha256).is_ok() {
                found = Some(key);
            }
        }
        found.cloned()
    }
}

/// Where something is wrong, and what.
type Wrong = (usize, String);

/// Reads one `[[key]]`.
fn read(table: &Spanned<DeValue<'_>>) -> Result<ApiKey, Wrong> {
    let start = table.span().start;
    let DeValue::Table(fields) = table.get_ref() else {
        return Err((start, "each API key is a table [[key]]".to_owned()));
    };
    if let Some((unknown, _)) = fields
        .iter()
        .find(|(name, _)| !FIELDS.contains(&&**name.get_ref()))
    {
        let nearest = nearest_of(FIELDS, unknown.get_ref());
        let shown = Escaped::new(&**unknown.get_ref());
        let text = format!("unknown key \"{shown}\"; the nearest key is \"{nearest}\"");
        return Err((unknown.span().start, text));
    }
    let get = |name: &str| {
        let mut fields = fields.iter();
        fields.find_map(|(of, value)| (of.get_ref() == name).then_some(value))
    };
    let text = |name: &str| match get(name) {
        Some(value) => Ok((value.span().start, text_of(name, value)?)),
        None => Err((start, format!("{name} is missing in this [[key]]"))),
    };
    let (at, name) = text("name")?;
    if name.trim().is_empty() || Escaped::new(&*name).to_string() != *name {
        let text = "name has at least one letter, and no control characters".to_owned();
        return Err((at, text));
    }
    let of = |text: String| format!("the key \"{name}\": {text}");
    let (at, role) = text("role")?;
    let role = match &*role {
        "read" => Role::Read,
        "metrics" => Role::Metrics,
        "submit" => Role::Submit,
        "admin" => Role::Admin,
        _ => return Err((at, of(format!("role is one of {}", ROLES.join(", "))))),
    };
    let (at, sha256) = text("sha256")?;
    let sha256 = digest(&sha256).map_err(|why| (at, of(why)))?;
    let accounts = match (role, get("accounts")) {
        (Role::Read | Role::Submit, None) => {
            let text = "accounts is missing: a list of names such as [\"lena\", \"team-*\"], or [\"*\"] for all";
            return Err((start, of(text.to_owned())));
        }
        (_, None) => Vec::new(),
        (_, Some(value)) => patterns(value).map_err(|(at, why)| (at, of(why)))?,
    };
    let accounts = match role {
        Role::Read | Role::Submit => accounts,
        // Whoever lists accounts here expects a limit that there is not.
        _ if accounts.iter().any(|of| !of.is_any()) => {
            let text = "accounts limits the roles read and submit only; leave accounts out";
            return Err((start, of(text.to_owned())));
        }
        Role::Admin => vec![Pattern::new("*")],
        Role::Metrics => Vec::new(),
    };
    Ok(ApiKey {
        name: name.into_owned(),
        role,
        accounts,
        sha256,
    })
}

fn text_of<'a>(name: &str, value: &'a Spanned<DeValue<'_>>) -> Result<Cow<'a, str>, Wrong> {
    match value.get_ref() {
        DeValue::String(text) => Ok(Cow::Borrowed(text)),
        _ => Err((value.span().start, format!("{name} has to be text"))),
    }
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let digest: Option<[u8; 32]> = hex::decode(text).ok().and_then(|of| of.try_into().ok());
    match digest {
        Some(digest) if digest == *Sha256::digest(b"") => {
            Err("sha256 is the digest of an empty text".to_owned())
        }
        Some(digest) => Ok(digest),
        None => Err("sha256 has to be 64 hexadecimal digits".to_owned()),
    }
}

fn patterns(value: &Spanned<DeValue<'_>>) -> Result<Vec<Pattern>, Wrong> {
    let at = value.span().start;
    let wrong = || (at, "accounts has to be a list of names".to_owned());
    let DeValue::Array(names) = value.get_ref() else {
        return Err(wrong());
    };
    let pattern = |name: &Spanned<DeValue<'_>>| match name.get_ref() {
        DeValue::String(text) if !text.is_empty() => Ok(Pattern::new(text)),
        _ => Err(wrong()),
    };
    let patterns = names.iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
    match patterns.is_empty() {
        true => Err(wrong()),
        false => Ok(patterns),
    }
}
