//! `docs/performance.md`: what was measured, between its marks.

use std::fmt::Write;
use std::io;

use crate::gigabit::Gigabit;
use crate::resume::Resumed;
use crate::rivals::{Memory, Rivals, Who};
use crate::scene::{Run, Scene, median};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");
const MARKS: [&str; 2] = ["<!-- lab:begin -->\n", "<!-- lab:end -->"];
const MIB: f64 = (1 << 20) as f64;

/// Everything, as it stands between the marks.
pub(crate) fn page(
    scene: &Scene,
    compared: &Rivals,
    memory: &Memory,
    resumed: &Resumed,
    gigabit: &Gigabit,
    scale: &serde_json::Value,
) -> String {
    let host = &scale["results"]["host"];
    let mut text = format!(
        "{}, {}, {} cores; {} MiB in each run, {} rounds.\n\n",
        host["system"].as_str().unwrap_or_default(),
        host["cpu"].as_str().unwrap_or_default(),
        host["cores"],
        scene.size >> 20,
        compared.rounds,
    );
    text.push_str(&goals(compared, memory, resumed, gigabit, scale));
    text.push_str("\n### Each by itself\n\n");
    text.push_str(&rivals(compared));
    text.push_str("\n### Many at once\n\n");
    text.push_str(&many(scale));
    text
}

pub(crate) fn rivals(rivals: &Rivals) -> String {
    let mut text = String::from(
        "| | http: GiB/s | CPU s/GiB | peak MiB | TLS: GiB/s | CPU s/GiB | peak MiB |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    let mut seen = Vec::new();
    for lane in &rivals.lanes {
        if seen.contains(&lane.who) {
            continue;
        }
        seen.push(lane.who);
        let cells = [false, true].map(|tls| match rivals.lane(lane.who, tls) {
            Some(lane) => {
                let of = |of: fn(&Run) -> f64| median(lane.runs.iter().map(of));
                let peak = of(|run| run.cost.peak_rss as f64 / MIB);
                format!("{:.2} | {:.3} | {peak:.0}", of(Run::rate), of(Run::cpu))
            }
            None => "- | - | -".to_owned(),
        });
        let name = match (lane.who, rivals.lane(lane.who, true)) {
            (Who::Raw, _) => "limit: blocking writes from a map, of rustls or in the clear",
            (who, _) => who.name(false),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {} | {} |", cells[0], cells[1]);
    }
    let [plain, tls] = rivals.sinks;
    let _ = writeln!(
        text,
        "\nThe sink took {plain:.2} s of CPU time for a GiB in the clear, and {tls:.2} s under TLS."
    );
    text
}

fn goals(
    rivals: &Rivals,
    memory: &Memory,
    resumed: &Resumed,
    gigabit: &Gigabit,
    scale: &serde_json::Value,
) -> String {
    let ratio = |of: fn(&Run) -> f64, a, b| rivals.ratio(of, a, b).unwrap_or(f64::NAN);
    let both = |a, b| {
        format!(
            "{:.2} / {:.2}",
            ratio(Run::rate, a, b),
            ratio(Run::cpu, a, b)
        )
    };
    let [ours, mapped, curl, dd, raw] =
        [Who::Ours, Who::OursMapped, Who::Curl, Who::DdCurl, Who::Raw];
    let limit = |who| {
        let of = |tls| ratio(Run::rate, (who, tls), (raw, tls));
        format!("{:.2} / {:.2}", of(false), of(true))
    };
    let peak = memory.rows.iter().map(|row| row.3).max().unwrap_or(0) as f64 / MIB;
    let of_size = |size| {
        memory
            .rows
            .iter()
            .filter(move |row| row.0 == size)
            .map(|row| row.3 as f64 / MIB)
    };
    let sizes = of_size(200_000_000).zip(of_size(4_000_000_000));
    let growth = sizes
        .map(|(small, large)| large - small)
        .fold(f64::MIN, f64::max);
    let connections = rivals.connections.iter().max().copied().unwrap_or(0);
    let rows = [
        (
            "against one `curl -T`, TLS, no ledger: throughput / CPU for a GiB",
            both((ours, true), (curl, true)),
            ">= 1.5 / <= 0.7",
        ),
        (
            "the same, http",
            both((ours, false), (curl, false)),
            ">= 1.5 / <= 0.65",
        ),
        (
            "against `dd \\| curl` for each chunk, TLS",
            both((ours, true), (dd, true)),
            ">= 5 / <= 0.2",
        ),
        (
            "against the blocking limit: throughput, http / TLS",
            limit(ours),
            ">= 0.9 / >= 0.8",
        ),
        ("the same with `--read map`", limit(mapped), "-"),
        (
            "with the ledger, http, against SHA-256 alone: throughput",
            format!(
                "{:.2}",
                ratio(Run::rate, (Who::OursLedger, false), (Who::Sha256, false))
            ),
            ">= 0.9",
        ),
        (
            "peak memory of one upload, MiB (any of 0.2 and 4 GB, 10 and 32 MB chunks)",
            format!("{peak:.1}"),
            "<= 20",
        ),
        (
            "its growth from 0.2 to 4 GB, MiB",
            format!("{growth:.1}"),
            "<= 2",
        ),
        (
            "each further upload in flight, MiB (1 to 64)",
            format!("{:.2}", further(scale)),
            "<= 2",
        ),
        (
            "at 1 Gbit/s: journal on a disk to in memory / ledger on to off, time",
            format!("{:.3} / {:.3}", gigabit.journal, gigabit.ledger),
            "<= 1.01 / <= 1.02",
        ),
        (
            "at 1 Gbit/s: share of the line that is used",
            format!("{:.3}", gigabit.used),
            "-",
        ),
        (
            "killed at 90 % of 4 GB: process start to first byte, ms (a new upload: the second figure)",
            format!("{:.0} / {:.0}", resumed.first_byte, resumed.from_the_start),
            "<= 60",
        ),
        (
            "connections of a clean upload; bytes sent twice; acknowledged bytes sent again after the kill",
            format!("{connections}; {}; {}", rivals.again, resumed.again),
            "1; 0; 0",
        ),
    ];
    let mut text = String::from("| work | measured | goal |\n|---|---|---|\n");
    for (work, measured, goal) in rows {
        let _ = writeln!(text, "| {work} | {measured} | {goal} |");
    }
    text
}

fn row<'a>(scale: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let rows = scale["results"]["rows"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    rows.iter()
        .find(|row| row["name"] == name)
        .unwrap_or(&serde_json::Value::Null)
}

fn further(scale: &serde_json::Value) -> f64 {
    let peak = |name| row(scale, name)["peak_rss"].as_f64().unwrap_or(f64::NAN) / MIB;
    (peak("64 uploads at once") - peak("chunk 10.0 MB")) / 63.0
}

fn many(scale: &serde_json::Value) -> String {
    let mut text = String::from(
        "| uploads in flight | GiB/s | CPU s/GiB | peak MiB |\n|---|---:|---:|---:|\n",
    );
    for (count, name) in [
        ("1", "chunk 10.0 MB"),
        ("8", "8 uploads at once"),
        ("64", "64 uploads at once"),
    ] {
        let figure = |key: &str| row(scale, name)[key].as_f64().unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {count} | {:.2} | {:.2} | {:.0} |",
            figure("rate") / f64::from(1 << 30),
            figure("cpu_per_gib"),
            figure("peak_rss") / MIB
        );
    }
    text
}

/// Puts it between the marks of the page.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let page = std::fs::read_to_string(PAGE)?;
    let marked = page
        .split_once(MARKS[0])
        .and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let Some((before, after)) = marked else {
        return Err(io::Error::other("docs/performance.md has no marks for it"));
    };
    std::fs::write(
        PAGE,
        format!("{before}{}{text}{}{after}", MARKS[0], MARKS[1]),
    )
}
