//! The section "Links" of `docs/performance.md`.

use std::fmt::Write;
use std::path::Path;

use crate::link::MTU;
use crate::matrix::{SIZES, Times, median, seconds};
use crate::namespace::congestion_control;

/// Replaces only the text between the marks.
pub(crate) fn write(cells: &[Times]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- link:begin -->", "<!-- link:end -->");
    let (before, rest) = page.split_once(begin).expect("the section begins");
    let (_, after) = rest.split_once(end).expect("the section ends");
    let text = section(cells);
    std::fs::write(path, format!("{before}{begin}\n{text}{end}{after}")).unwrap();
}

pub(crate) fn section(cells: &[Times]) -> String {
    let mut text = String::new();
    let sizes = SIZES
        .map(|size| format!("{:.1}", megabytes(size)))
        .join(" | ");
    let _ = writeln!(
        text,
        "Seconds for the whole file, by chunk size in MB; medians. \"Rate\" is what its bytes take at the rate of the link.\n\n\
         | Mbit/s | RTT ms | file MB | rate | {sizes} | auto (its size) | auto / best | one PUT by curl | auto / curl |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    for cell in cells {
        let _ = writeln!(text, "{}", row(cell));
    }
    let _ = writeln!(
        text,
        "\nWhat it costs that one chunk breaks half-way, at an RTT of 50 ms:\n\n\
         | Mbit/s | chunk MB | MB sent again | seconds more |\n|---:|---:|---:|---:|"
    );
    for cell in cells {
        prices(&mut text, cell);
    }
    let _ = writeln!(
        text,
        "\nMTU {MTU}, congestion control `{}`. Made by `CHUNKFERRY_FULL=1 cargo test --release --test link -- --nocapture`.",
        congestion_control()
    );
    text
}

pub(crate) fn row(cell: &Times) -> String {
    let fixed = cell
        .fixed_seconds()
        .map(|time| format!("{time:.2}"))
        .join(" | ");
    let (auto, curl) = (cell.auto_seconds(), cell.curl_seconds());
    format!(
        "| {} | {} | {:.0} | {:.2} | {fixed} | {auto:.2} ({:.1}) | {:.3} | {curl:.2} | {:.3} |",
        cell.shape.rate / 1_000_000,
        cell.shape.rtt.as_millis(),
        megabytes(cell.file),
        cell.shape.busy(cell.file).as_secs_f64(),
        megabytes(cell.auto_size),
        cell.against_best(),
        auto / curl,
    )
}

fn prices(text: &mut String, cell: &Times) {
    let rows = SIZES
        .iter()
        .zip(cell.broken.iter().zip(cell.fixed_seconds()));
    for (size, (broken, whole)) in rows.filter(|(_, (broken, _))| !broken.is_empty()) {
        let again = median(broken.iter().map(|run| megabytes(run.sent_again)));
        let _ = writeln!(
            text,
            "| {} | {:.1} | {again:.1} | {:.1} |",
            cell.shape.rate / 1_000_000,
            megabytes(*size),
            seconds(broken) - whole,
        );
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
