//! The results as one page with plots: no script, nothing to load.

use std::fmt::{self, Display, Write};

use super::course::Row;
use super::table::runs;
use super::{Results, advice, humane};

/// Width of a plot, of its labels and of its bars, in SVG units.
const WIDTH: f64 = 900.0;
const NAMES: f64 = 200.0;
const BARS: f64 = 560.0;
const STEP: f64 = 26.0;

pub(super) fn page(results: &Results) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, results);
    page
}

fn write_page(page: &mut String, results: &Results) -> fmt::Result {
    let host = &results.host;
    let memory = host.memory.map_or_else(String::new, |bytes| {
        format!(", {} of memory", humane(bytes))
    });
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
        <title>chunkferry bench</title><style>{}</style>\n\
        <h1>What this path can do</h1>\n<p class=\"dim\">{}</p>\n<p class=\"advice\">{}</p>\n",
        include_str!("report.css"),
        Text(&format!(
            "chunkferry {}, {}, {}, {} cores{memory}, {}. {} in each run, {} of each setup, server {}.",
            host.version,
            host.system,
            host.cpu,
            host.cores,
            host.at,
            humane(results.bytes),
            runs(results.rounds),
            if results.local {
                "in a process beside it"
            } else {
                "elsewhere"
            },
        )),
        Text(&advice::words(results)),
    )?;
    let megabits = |rate: f64| rate * 8.0 / 1e6;
    plot(
        page,
        results,
        "Throughput",
        "Mbit/s; a dot for each run, the bar is the median",
        |row| {
            Some(Bar {
                value: megabits(row.rate),
                dots: row.rates.iter().copied().map(megabits).collect(),
                digits: 0,
                remark: if row.sink_bound {
                    " server was the limit"
                } else {
                    ""
                },
            })
        },
    )?;
    plot(
        page,
        results,
        "CPU time",
        "seconds for each GiB, of all threads, in and out of the kernel",
        |row| Some(Bar::of(row.cpu_per_gib, 2)),
    )?;
    plot(
        page,
        results,
        "Memory",
        "MiB at the most; mapped bytes count",
        |row| Some(Bar::of(row.peak_rss / f64::from(1 << 20), 1)),
    )?;
    plot(
        page,
        results,
        "Between two chunks",
        "milliseconds from an answer to the next chunk's head, as the server saw it: the round trip of the path is in it",
        |row| row.gap.map(|gap| Bar::of(gap * 1e3, 2)),
    )?;
    table(page, results)
}

struct Bar {
    value: f64,
    dots: Vec<f64>,
    digits: usize,
    remark: &'static str,
}

impl Bar {
    fn of(value: f64, digits: usize) -> Self {
        Self {
            value,
            dots: Vec::new(),
            digits,
            remark: "",
        }
    }
}

fn plot(
    page: &mut String,
    results: &Results,
    title: &str,
    what: &str,
    bar: impl Fn(&Row) -> Option<Bar>,
) -> fmt::Result {
    let bars: Vec<(&str, Bar)> = results
        .rows
        .iter()
        .filter_map(|row| Some((row.name.as_str(), bar(row)?)))
        .collect();
    if bars.is_empty() {
        return Ok(());
    }
    let all = bars
        .iter()
        .flat_map(|(_, bar)| bar.dots.iter().copied().chain([bar.value]));
    let most = all.fold(f64::MIN_POSITIVE, f64::max);
    let height = bars.len() as f64 * STEP + 8.0;
    write!(
        page,
        "<h2>{title}</h2>\n<figure><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\
        <line class=\"axis\" x1=\"{NAMES}\" x2=\"{NAMES}\" y1=\"0\" y2=\"{height}\"/>"
    )?;
    for (index, (name, bar)) in bars.iter().enumerate() {
        let (top, middle) = (index as f64 * STEP + 6.0, index as f64 * STEP + 19.0);
        let length = |value: f64| value / most * BARS;
        let end = NAMES
            + bar
                .dots
                .iter()
                .copied()
                .map(length)
                .fold(length(bar.value), f64::max);
        write!(
            page,
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{}</text>\
            <rect class=\"bar\" x=\"{NAMES}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"18\" rx=\"2\"/>",
            NAMES - 10.0,
            Text(name),
            length(bar.value),
        )?;
        for dot in &bar.dots {
            let (x, y) = (NAMES + length(*dot), top + 9.0);
            write!(
                page,
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.0}\" r=\"3\"/>"
            )?;
        }
        write!(
            page,
            "<text x=\"{:.1}\" y=\"{middle:.0}\">{:.*}<tspan class=\"warn\">{}</tspan></text>",
            end + 8.0,
            bar.digits,
            bar.value,
            Text(bar.remark),
        )?;
    }
    writeln!(page, "</svg><figcaption>{what}</figcaption></figure>")
}

fn table(page: &mut String, results: &Results) -> fmt::Result {
    page.push_str(
        "<h2>Figures</h2>\n<div class=\"wide\"><table><tr><th>setup<th>Mbit/s<th>CPU s/GiB<th>peak MiB<th>gap ms<th>connections\
        <th>sent twice<th>server's CPU</tr>\n",
    );
    for row in &results.rows {
        let gap = row
            .gap
            .map_or_else(|| "-".to_owned(), |gap| format!("{:.2}", gap * 1e3));
        writeln!(
            page,
            "<tr><td>{}<td>{:.0}<td>{:.2}<td>{:.1}<td>{gap}<td>{:.0}<td>{}<td>{:.0} %</tr>",
            Text(&row.name),
            row.rate * 8.0 / 1e6,
            row.cpu_per_gib,
            row.peak_rss / f64::from(1 << 20),
            row.connections,
            humane(row.again),
            row.sink_cores * 100.0,
        )?;
    }
    page.push_str(
        "</table></div>\n<p class=\"dim\">10 MB chunks, read, with ledger, over http unless the name says otherwise. Medians.</p></html>\n",
    );
    Ok(())
}

/// Text, escaped for HTML.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            c => f.write_char(c),
        })
    }
}
