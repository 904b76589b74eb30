//! The meaning of the figures for an upload of a video.

use serde::Serialize;

use super::Results;
use super::course::Row;

/// An upload must be over within this many seconds of its init (Media Transfer Guide).
const HOUR: f64 = 3600.0;

/// Largest video that the service takes for sure, in bytes.
const LARGEST: f64 = 4e9;

#[derive(Debug, Serialize)]
pub(super) struct Advice {
    /// Bytes per second.
    rate: f64,
    /// Smallest chunk size that is as fast as any, in bytes: a broken chunk then costs least.
    chunk_size: u64,
    /// Seconds for the largest video.
    largest_takes: f64,
    /// How many times the largest video fits in its hour.
    times_inside: f64,
}

/// A ratio of rates above this counts as equally fast.
const AS_FAST: f64 = 0.97;

pub(super) fn advice(results: &Results) -> Option<Advice> {
    let chunks = || {
        results
            .rows
            .iter()
            .filter(|row| row.name.starts_with("chunk "))
    };
    let best = chunks().map(|row| row.rate).max_by(f64::total_cmp)?;
    let chosen = chunks()
        .filter(|row| row.rate >= best * AS_FAST)
        .min_by_key(|row: &&Row| row.setup.chunk_size)?;
    let largest_takes = LARGEST / chosen.rate;
    Some(Advice {
        rate: chosen.rate,
        chunk_size: chosen.setup.chunk_size,
        largest_takes,
        times_inside: HOUR / largest_takes,
    })
}

pub(super) fn words(results: &Results) -> String {
    let Some(advice) = advice(results) else {
        return String::new();
    };
    let mut text = format!(
        "this path: {:.0} Mbit/s, chunk {:.0} MB, a 4 GB video takes {}, {}",
        advice.rate * 8.0 / 1e6,
        advice.chunk_size as f64 / 1e6,
        clock(advice.largest_takes),
        if advice.times_inside >= 1.0 {
            format!("{:.0}x inside the hour", advice.times_inside.floor())
        } else {
            format!(
                "and cannot be uploaded within the hour it has: up to {:.1} GB can",
                advice.rate * HOUR / 1e9
            )
        }
    );
    if results.rows.iter().any(|row| row.again > 0) {
        text.push_str("\nSome chunks broke and were sent again: the path is not steady.");
    }
    if results.local {
        text.push_str("\nThat is this machine alone. For a network, name an emulator on the other side of it with --api-base.");
    }
    text
}

/// A time as `1:45` or `1:02:03`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
