//! The server's own pages below `/_emulator`: its log and its controls.
//!
//! A request with a bearer token concerns that token alone; without one it concerns all.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hyper::Method;
use hyper::http::request::Parts;
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::answer::json_answer;
use super::creator::{bearer, creator_of, public_name};
use super::faults::Fault;
use super::reach::Sender;
use super::service::Service;
use super::settings::value::{Codec, Scale, duration};
use super::settings::{Settings, check_reach};
use super::shared::Shared;
use super::sink::usage;
use super::webhooks::Hook;

/// Longest field of a webhook's registration in bytes.
const LONGEST_FIELD: usize = 2048;

/// Answers a request to one of these pages; `None` if there is no such page.
pub(crate) fn answer(shared: &Arc<Shared>, parts: &Parts, body: &[u8]) -> Option<Response> {
    let page = parts.uri.path().strip_prefix("/_emulator/")?;
    let desk = Desk {
        shared,
        sender: Sender::of(parts),
        token: bearer(&parts.headers),
        query: parts.uri.query().unwrap_or_default(),
    };
    let text = String::from_utf8_lossy(body);
    let done = match (&parts.method, page) {
        (&Method::GET, "log") => tell(&shared.service().log(desk.creator().as_deref())),
        (&Method::GET, "usage") => tell(&usage(shared)),
        (&Method::GET, "review") => desk.review(),
        (&Method::GET, "settings") => Ok(desk.settings()),
        (&Method::PUT, "settings") => desk.set(&text),
        (&Method::GET, "faults") => {
            Ok(json!({"faults": shared.service().faults.scripts(desk.token)}))
        }
        (&Method::POST, "faults") => desk.arm(&text),
        (&Method::DELETE, "faults") => Ok(desk.disarm()),
        (&Method::PUT, "webhooks") => desk.register(&text),
        (&Method::DELETE, "webhooks") => Ok(desk.unregister()),
        (&Method::POST, "post") => desk.decide(&text, Service::post),
        (&Method::POST, "discard") => desk.decide(&text, Service::discard),
        (&Method::POST, "unpublish") => desk.decide(&text, Service::unpublish),
        (&Method::POST, "clock") => desk.clock(&text),
        (&Method::POST, "reset") => Ok(desk.reset()),
        _ => return None,
    };
    Some(match done {
        Ok(value) => json_answer(200, &value),
        Err(why) => json_answer(400, &json!({ "error": why })),
    })
}

struct Desk<'a> {
    shared: &'a Arc<Shared>,
    sender: Sender,
    token: Option<&'a str>,
    query: &'a str,
}

fn tell(value: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// The creator that a request to one of these pages concerns: the bearer's, or else the one in `?creator=NAME`; `None`
/// for all.
pub(crate) fn concerned(token: Option<&str>, query: &str) -> Option<String> {
    let bearers = token.map(|token| public_name(creator_of(token), token));
    let named = || self::query(query, "creator").filter(|name| !name.is_empty());
    bearers.or_else(named)
}

fn query(query: &str, key: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(known, value)| (known == key).then(|| value.into_owned()))
}

impl Desk<'_> {
    fn creator(&self) -> Option<String> {
        concerned(self.token, self.query)
    }

    /// `?over=1`: the clients are done, so unfinished uploads count as abandoned.
    fn review(&self) -> Result<Value, String> {
        let over = query(self.query, "over").is_some_and(|over| over == "1");
        let findings = self
            .shared
            .service()
            .findings(self.creator().as_deref(), over);
        Ok(json!({ "findings": tell(&findings)? }))
    }

    fn settings(&self) -> Value {
        let settings = self.shared.service().settings(self.token);
        let pair = |row: super::settings::Setting| {
            let value = settings.get(row.key).unwrap_or_default();
            (row.key.to_owned(), Value::String(value))
        };
        Value::Object(Settings::list().into_iter().map(pair).collect())
    }

    /// A JSON object, or lines of `KEY=VALUE`.
    fn set(&self, text: &str) -> Result<Value, String> {
        let pairs = match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(object) => object
                .into_iter()
                .map(|(key, value)| (key, plain(value)))
                .collect(),
            Err(_) => lines(text)
                .map(|line| {
                    let pair = line.split_once('=');
                    let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
                    pair.ok_or_else(|| format!("`{line}` is not KEY=VALUE"))
                })
                .collect::<Result<Vec<_>, _>>()?,
        };
        if self.sender != Sender::Local {
            let mut keys = pairs.iter().map(|(key, _)| key);
            keys.try_for_each(|key| check_reach(key))
                .map_err(|error| error.to_string())?;
        }
        let set = self.shared.service().set(self.token, &pairs);
        set.map_err(|error| error.to_string())?;
        Ok(self.settings())
    }

    /// A JSON list of scripts, or one script a line; all are armed or none.
    fn arm(&self, text: &str) -> Result<Value, String> {
        let scripts = match serde_json::from_str::<Vec<String>>(text) {
            Ok(list) => list,
            Err(_) => lines(text).map(str::to_owned).collect(),
        };
        let faults = scripts.iter().map(|script| script.parse::<Fault>());
        let faults: Vec<Fault> = faults
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let mut service = self.shared.service();
        service.faults.check_room(faults.len())?;
        for fault in faults {
            service.faults.arm(fault, self.token);
        }
        Ok(json!({ "faults": service.faults.scripts(self.token) }))
    }

    fn disarm(&self) -> Value {
        self.shared.service().faults.disarm(self.token);
        json!({ "faults": [] })
    }

    /// `{"advance": "90s"}`, `{"scale": "60x"}`, or both, for the whole server.
    fn clock(&self, text: &str) -> Result<Value, String> {
        let wish: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut advance = Duration::ZERO;
        let mut scale = None;
        for (key, value) in wish {
            match &*key {
                "advance" => advance = duration(&plain(value))?,
                "scale" => scale = Some(<Scale as Codec<f64>>::read(&plain(value))?),
                other => return Err(format!("`{other}` is neither advance nor scale")),
            }
        }
        let mut service = self.shared.service();
        if advance > service.clock.left() {
            return Err("the clock ends with the year 9999; a reset does not turn it back, a new server does".to_owned());
        }
        if let Some(scale) = scale {
            service.clock.set_scale(scale);
        }
        service.clock.advance(advance);
        Ok(json!({ "now": service.clock.unix(service.now()) }))
    }

    /// `{"url", "client_secret"}` and perhaps `client_key`: registers the receiver of events from now on.
    fn register(&self, text: &str) -> Result<Value, String> {
        let wish: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let field = |key: &str| wish.get(key).and_then(Value::as_str);
        let url = field("url").ok_or("url is required")?;
        let secret = field("client_secret").ok_or("client_secret is required")?;
        let only = match self.sender {
            Sender::Local => None,
            Sender::Remote(address) => Some(address),
            Sender::Proxied => {
                return Err("a receiver cannot be registered through a proxy".to_owned());
            }
        };
        let longest = [url, secret]
            .into_iter()
            .chain(field("client_key"))
            .map(str::len)
            .max();
        if longest > Some(LONGEST_FIELD) {
            return Err(format!("a field is longer than {LONGEST_FIELD} bytes"));
        }
        let hook = Hook {
            url: Url::parse(url).map_err(|error| format!("{url}: {error}"))?,
            client_key: field("client_key").unwrap_or("client").to_owned(),
            client_secret: secret.to_owned(),
            owner: self.token.map(str::to_owned),
            only,
        };
        match matches!(hook.url.scheme(), "http" | "https") && hook.url.has_host() {
            true => self.shared.register(hook)?,
            false => return Err(format!("{url} is neither http nor https")),
        }
        Ok(json!({}))
    }

    /// `{"publish_id"}`: the creator's action on a draft or a post.
    fn decide(
        &self,
        text: &str,
        deed: fn(&mut Service, &str, Option<&str>) -> Result<(), String>,
    ) -> Result<Value, String> {
        let wish: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let publish_id = wish.get("publish_id").and_then(Value::as_str);
        let publish_id = publish_id.ok_or("publish_id is required")?;
        let owner = self.creator();
        deed(&mut self.shared.service(), publish_id, owner.as_deref())?;
        Ok(json!({}))
    }

    fn unregister(&self) -> Value {
        self.shared.service().webhooks.forget(self.token);
        json!({})
    }

    fn reset(&self) -> Value {
        let _gone = self.shared.service().reset(self.token);
        json!({})
    }
}

/// Numbers and flags need no quotes.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}
