//! What requests bring: the parameters of their queries, and their bodies, which are bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, Uri};
use futures::StreamExt;

use super::problem::Problem;
use crate::config::nearest_of;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes of a body that are read beyond its limit, so that the client reads why it is refused.
const BEYOND: usize = 64 << 20;

/// A parameter that may be given several times.
const REPEATABLE: &str = "label";

/// The parameters of a query. Each is known, and given once, or several times where that means something.
pub(super) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let query = uri.query().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*name) {
                return Err(Problem::usage(match known {
                    [] => "This address takes no query.".to_owned(),
                    _ => format!(
                        "The query has an unknown parameter; the nearest known one is {}.",
                        nearest_of(known.iter().copied(), &name)
                    ),
                }));
            }
            let values = found.entry(name.to_string()).or_default();
            if !values.is_empty() && name != REPEATABLE {
                return Err(Problem::field(&name, format!("{name} is given twice.")));
            }
            values.push(value.into_owned());
        }
        Ok(Self(found))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.get(name).into_iter().flatten();
        values.map(String::as_str)
    }

    /// Whether a parameter is `true`.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(Problem::field(
                name,
                format!("{name} has to be true or false."),
            )),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let number = |text: &str| {
            let number = text.parse().ok();
            number.ok_or_else(|| Problem::field(name, format!("{name} has to be a whole number.")))
        };
        self.text(name).map(number).transpose()
    }

    /// How many entries of a list are wanted: 100 by default, at most 1,000.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.number("limit")?.unwrap_or(100) {
            limit @ 1..=1_000 => Ok(limit as usize),
            _ => Err(Problem::field("limit", "limit has to be 1 to 1000.")),
        }
    }

    /// A time in seconds, with or without its unit: `60s`.
    pub(super) fn seconds(&self, name: &str, most: u64) -> Result<Duration, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(Duration::ZERO);
        };
        let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
        let seconds = seconds.filter(|seconds| *seconds <= most);
        seconds.map(Duration::from_secs).ok_or_else(|| {
            let text = format!("{name} has to be a number of seconds up to {most}, such as 60s.");
            Problem::field(name, text)
        })
    }
}

/// Reads a body of at most `most` bytes.
pub(super) async fn body(body: Body, most: usize) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(PATIENCE, read(body, most)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!("The body did not arrive within {} s.", PATIENCE.as_secs()),
        )),
    }
}

async fn read(body: Body, most: usize) -> Result<Vec<u8>, Problem> {
    let (mut pieces, mut whole, mut size) = (body.into_data_stream(), Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece: Bytes = piece.map_err(|_| Problem::usage("The body is not whole."))?;
        size += piece.len();
        if size <= most {
            whole.extend_from_slice(&piece);
        } else if size > most + BEYOND {
            break;
        }
    }
    match size <= most {
        true => Ok(whole),
        false => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("The body is longer than {most} bytes. Nothing was accepted."),
        )),
    }
}
