//! Faults as text: `TARGET [SELECTOR]... [ACTION]`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::{Action, Canned, CannedBody, Chaos, Fault, Target, Upload};
use crate::answer::{Refusal, status_of};
use crate::bounded::short;
use crate::endpoint::Endpoint;
use crate::settings::value::{duration, print_duration, size};

/// Longest script in bytes.
const LONGEST: usize = 4096;

/// Why a fault script was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault `{script}`: {why}")]
pub struct FaultError {
    script: String,
    why: String,
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(script: &str) -> Result<Self, FaultError> {
        parse(script).map_err(|why| FaultError {
            script: short(script, 200),
            why,
        })
    }
}

fn parse(script: &str) -> Result<Fault, String> {
    let script = script.trim();
    if script.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    let (target, rest) = script
        .split_once(char::is_whitespace)
        .unwrap_or((script, ""));
    let mut fault = Fault::new(self::target(target)?);
    // A body may contain spaces, so it takes the rest of the line.
    let (words, body) = match rest.split_once("body=") {
        Some((words, body)) => (words, Some(body.trim_end())),
        None => (rest, None),
    };
    let mut canned = None;
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "chunk" => fault.chunk = Some(number(value)?),
            "upload" => fault.upload = Some(upload(value)),
            "token" => fault.token = Some(value.to_owned()),
            "creator" => fault.creator = Some(value.to_owned()),
            "nth" => fault.nth = Some(nth(value)?),
            "delay" => fault.delay = duration(value)?,
            "status" => canned.get_or_insert_with(|| Canned::new(0)).status = status(value)?,
            "code" => canned.get_or_insert_with(|| Canned::new(0)).code = Some(value.to_owned()),
            "retry_after" => {
                let canned = canned.get_or_insert_with(|| Canned::new(429));
                canned.retry_after = Some(value.to_owned());
            }
            "cut" => act(&mut fault, Action::Cut(size(value)?))?,
            "reset" => act(&mut fault, Action::Cut(0))?,
            "lose" => act(&mut fault, Action::Lose)?,
            "store" => act(&mut fault, Action::Store(Canned::new(status(value)?)))?,
            "stall" if value.is_empty() => act(&mut fault, Action::Stall(0))?,
            "stall" => act(&mut fault, Action::Stall(size(value)?))?,
            "trickle" => act(&mut fault, Action::Trickle(size(value)?.max(1)))?,
            "expire_url" => act(&mut fault, Action::ExpireUrl)?,
            "revoke_token" => act(&mut fault, Action::RevokeToken)?,
            "drop_session" => act(&mut fault, Action::DropSession)?,
            key => return Err(format!("`{key}` is neither a selector nor an action")),
        }
    }
    if let Some(mut canned) = canned {
        if canned.status == 0 {
            let code = canned.code.as_deref().unwrap_or_default();
            if status_of(code).is_none() {
                return Err(format!("`{code}` is no documented code; give its status="));
            }
            let refusal = Refusal::new(code, "");
            canned.status = match fault.target {
                Target::One(Endpoint::CreatorInfo) => refusal.under_200().status,
                _ => refusal.status,
            };
        }
        act(&mut fault, Action::Answer(canned))?;
    }
    if let Some(body) = body {
        let body = match body {
            "none" => CannedBody::None,
            "html" => CannedBody::Html,
            text => CannedBody::Text(text.to_owned()),
        };
        match &mut fault.action {
            Some(Action::Answer(canned) | Action::Store(canned)) => canned.body = body,
            _ => return Err("body= needs a status= or store=".to_owned()),
        }
    }
    if fault.action.is_none() && fault.delay.is_zero() {
        return Err("it does nothing: add an action or a delay".to_owned());
    }
    match only_for_puts(&fault).filter(|_| !fault.target.may_be_put()) {
        Some(word) => Err(format!("{word} only means something for put")),
        None => Ok(fault),
    }
}

/// The part of a fault that only PUTs have.
fn only_for_puts(fault: &Fault) -> Option<&'static str> {
    match (&fault.action, fault.chunk, &fault.upload) {
        (_, Some(_), _) => Some("chunk"),
        (_, _, Some(_)) => Some("upload"),
        (Some(Action::Trickle(_)), ..) => Some("trickle"),
        (Some(Action::ExpireUrl), ..) => Some("expire_url"),
        (Some(Action::DropSession), ..) => Some("drop_session"),
        _ => None,
    }
}

fn act(fault: &mut Fault, action: Action) -> Result<(), String> {
    match fault.action.replace(action) {
        None => Ok(()),
        Some(_) => Err("more than one action".to_owned()),
    }
}

fn target(word: &str) -> Result<Target, String> {
    match word {
        "any" => Ok(Target::Any),
        "init" => Ok(Target::AnyInit),
        word => {
            let found = Endpoint::ALL.into_iter().find(|known| known.name() == word);
            found.map(Target::One).ok_or_else(|| {
                let names: Vec<&str> = Endpoint::ALL.iter().map(|known| known.name()).collect();
                format!("`{word}` is not any, init, {}", names.join(", "))
            })
        }
    }
}

fn upload(text: &str) -> Upload {
    match text.parse() {
        Ok(number) => Upload::Number(number),
        Err(_) => Upload::PublishId(text.to_owned()),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok();
    status
        .filter(|status| (200..=599).contains(status))
        .ok_or_else(|| format!("`{text}` is no HTTP status from 200 to 599"))
}

/// `2`, `2-4`, or `2-`, counted from 1.
fn nth(text: &str) -> Result<RangeInclusive<u64>, String> {
    let nth = match text.split_once('-') {
        None => number(text)?..=number(text)?,
        Some((first, "")) => number(first)?..=u64::MAX,
        Some((first, last)) => number(first)?..=number(last)?,
    };
    match *nth.start() == 0 || nth.is_empty() {
        true => Err(format!("`{text}` counts from 1, upwards")),
        false => Ok(nth),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Any => f.write_str("any")?,
            Target::AnyInit => f.write_str("init")?,
            Target::One(endpoint) => f.write_str(endpoint.name())?,
        }
        if let Some(chunk) = self.chunk {
            write!(f, " chunk={chunk}")?;
        }
        match &self.upload {
            None => {}
            Some(Upload::Number(number)) => write!(f, " upload={number}")?,
            Some(Upload::PublishId(id)) => write!(f, " upload={id}")?,
        }
        // Everyone can read the log, so the token itself stays out of it.
        if self.token.is_some() {
            f.write_str(" token=…")?;
        }
        if let Some(creator) = &self.creator {
            write!(f, " creator={creator}")?;
        }
        if let Some(nth) = &self.nth {
            match (*nth.start(), *nth.end()) {
                (first, last) if first == last => write!(f, " nth={first}")?,
                (first, u64::MAX) => write!(f, " nth={first}-")?,
                (first, last) => write!(f, " nth={first}-{last}")?,
            }
        }
        if self.delay > Duration::ZERO {
            write!(f, " delay={}", print_duration(self.delay))?;
        }
        match &self.action {
            None => Ok(()),
            Some(action) => write!(f, " {action}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(canned) => {
                write!(f, "status={}", canned.status)?;
                if let Some(code) = &canned.code {
                    write!(f, " code={code}")?;
                }
                if let Some(after) = &canned.retry_after {
                    write!(f, " retry_after={after}")?;
                }
                canned.body.fmt(f)
            }
            Self::Store(canned) => {
                write!(f, "store={}", canned.status)?;
                canned.body.fmt(f)
            }
            Self::Cut(0) => f.write_str("reset"),
            Self::Cut(bytes) => write!(f, "cut={bytes}"),
            Self::Lose => f.write_str("lose"),
            Self::Stall(bytes) => write!(f, "stall={bytes}"),
            Self::Trickle(rate) => write!(f, "trickle={rate}"),
            Self::ExpireUrl => f.write_str("expire_url"),
            Self::RevokeToken => f.write_str("revoke_token"),
            Self::DropSession => f.write_str("drop_session"),
        }
    }
}

impl fmt::Display for CannedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => Ok(()),
            Self::None => f.write_str(" body=none"),
            Self::Html => f.write_str(" body=html"),
            Self::Text(text) => write!(f, " body={text}"),
        }
    }
}

impl FromStr for Chaos {
    type Err = FaultError;

    /// Reads `SEED,RATE`, the rate from 0 to 1.
    fn from_str(script: &str) -> Result<Self, FaultError> {
        let parsed = script.split_once(',').and_then(|(seed, rate)| {
            let rate: f64 = rate.trim().parse().ok()?;
            let seed = seed.trim().parse().ok()?;
            (0.0..=1.0).contains(&rate).then(|| Self::new(seed, rate))
        });
        parsed.ok_or_else(|| FaultError {
            script: script.to_owned(),
            why: "chaos is SEED,RATE with a rate from 0 to 1".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_again_what_it_was_read_from() {
        let scripts = [
            "put chunk=7 nth=1 cut=3000000",
            "put reset",
            "init nth=2-4 lose",
            "any delay=250ms",
            "status nth=3- status=429 retry_after=7",
            "put upload=2 store=500",
            "put stall=1000000",
            "put trickle=32000",
            "put status=502 body=html",
            "put status=503 body=try again later",
            "direct_init status=403 code=spam_risk_too_many_posts",
            "put upload=v_inbox_file~v2.1 expire_url",
            "cancel creator=lena revoke_token",
            "put drop_session",
        ];
        for script in scripts {
            let fault: Fault = script.parse().unwrap();
            assert_eq!(fault.to_string(), script);
        }
    }

    #[test]
    fn a_script_that_would_never_do_what_it_says_is_refused() {
        let wrong = [
            "",
            "putt reset",
            "put",
            "put chunk=x reset",
            "put reset lose",
            "put nth=0 reset",
            "put nth=4-2 reset",
            "put status=99",
            "put cut=3M",
            "init code=made_up",
            "put lose body=html",
            "put resett",
            "status expire_url",
            "init chunk=1 reset",
            "cancel upload=1 reset",
            "token trickle=1KB",
        ];
        for script in wrong {
            assert!(script.parse::<Fault>().is_err(), "{script}");
        }
    }

    #[test]
    fn a_token_never_shows_in_a_script_that_is_logged() {
        let fault: Fault = "put token=act.lena.secret reset".parse().unwrap();
        assert!(!fault.to_string().contains("secret"));
    }
}
