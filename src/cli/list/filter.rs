//! Which uploads and jobs `list` shows.

use std::time::{Duration, SystemTime};

use chunkferry::{Escaped, Record};
use clap::Args;
use serde_json::Value;

use crate::config::nearest_of;
use crate::words::moment;

/// The states of uploads that have not ended.
const OPEN: [&str; 6] = [
    "queued",
    "init_intent",
    "uploading",
    "sealed",
    "pulling",
    "processing",
];

/// The states of uploads that have ended.
const ENDED: [&str; 5] = ["delivered", "published", "failed", "given_up", "unknown"];

/// The states of a service's jobs that have not ended, but for `queued`.
const JOBS: [&str; 3] = ["running", "paused", "parked"];

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only this state, such as failed; open: all that have not ended
    #[arg(long, value_parser = state)]
    state: Option<String>,
    /// Only what has changed since a time (RFC 3339), or for so long: 2d, 12h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
}

fn state(text: &str) -> Result<String, String> {
    let known = || ["open"].into_iter().chain(OPEN).chain(ENDED).chain(JOBS);
    match known().any(|state| state == text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "there is no state \"{}\"; the nearest is \"{}\"",
            Escaped::new(text),
            nearest_of(known(), text)
        )),
    }
}

/// A moment, or how long ago it was.
fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.into());
    }
    let wrong = || {
        format!(
            "\"{}\" is no time: write it like 2026-01-31T23:59:59Z, or like 2d, 12h or 30m for so long ago",
            Escaped::new(text)
        )
    };
    let unit = text.char_indices().next_back().map_or(0, |(at, _)| at);
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ago = Duration::from_secs(number.saturating_mul(seconds));
    // Nothing is older than the start of 1970.
    let time = SystemTime::now().checked_sub(ago);
    Ok(time.map_or(SystemTime::UNIX_EPOCH, |time| {
        time.max(SystemTime::UNIX_EPOCH)
    }))
}

impl Filter {
    /// Whether everything fits.
    pub(super) const fn is_empty(&self) -> bool {
        self.state.is_none() && self.since.is_none()
    }

    pub(super) fn fits(&self, record: &Record) -> bool {
        let state = match self.state.as_deref() {
            Some("open") => OPEN.contains(&&*record.state),
            Some(state) => record.state == state,
            None => true,
        };
        state && self.since.is_none_or(|since| record.updated() >= since)
    }

    /// Whether a job of a service that has not ended fits.
    pub(super) fn fits_job(&self, job: &Value) -> bool {
        let state = match self.state.as_deref() {
            Some("open") | None => true,
            Some(state) => job["state"] == state,
        };
        let updated = || moment(job, "updated");
        state && self.since.is_none_or(|since| updated() >= Some(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_so_long_ago() {
        let ago = |text| {
            let time = since(text).expect("a time");
            SystemTime::now()
                .duration_since(time)
                .expect("it is past")
                .as_secs()
        };
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("12h", 43_200),
            ("2d", 172_800),
            ("1w", 604_800),
        ] {
            assert!((seconds..seconds + 60).contains(&ago(text)), "{text}");
        }
        assert_eq!(since("99999999999999999999w").ok(), None);
        assert_eq!(since("9999999999999999w"), Ok(SystemTime::UNIX_EPOCH));
        let whole = since("2001-09-09T03:46:40+02:00");
        assert_eq!(
            whole,
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        );
        for text in [
            "",
            "2",
            "d",
            "-2d",
            "2 d",
            "2d5h",
            "2\u{e9}",
            "yesterday",
            "2026-01-31",
        ] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
