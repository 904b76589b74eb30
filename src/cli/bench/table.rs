//! The results as a table for a terminal.

use std::fmt::Write;

use super::Results;

pub(super) fn table(results: &Results) -> String {
    let mut text = format!(
        "{:<22} {:>9} {:>9} {:>9} {:>9} {:>6} {:>7}\n",
        "", "Mbit/s", "CPU s/GiB", "peak MiB", "gap ms", "conns", "server"
    );
    for row in &results.rows {
        let gap = row
            .gap
            .map_or_else(|| "-".to_owned(), |gap| format!("{:.2}", gap * 1e3));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<22} {:>9.0} {:>9.2} {:>9.1} {gap:>9} {:>6.0} {:>6.0}%{}",
            row.name,
            row.rate * 8.0 / 1e6,
            row.cpu_per_gib,
            row.peak_rss / f64::from(1 << 20),
            row.connections,
            row.sink_cores * 100.0,
            if row.sink_bound {
                "  the server was the limit"
            } else {
                ""
            },
        );
    }
    let _ = write!(
        text,
        "Medians of {}, {} each; 10 MB chunks, read, with ledger, over http unless said otherwise.\n\
        gap: from an answer to the next chunk, as the server saw it. server: CPU time it took while bytes came.",
        runs(results.rounds),
        super::humane(results.bytes),
    );
    text
}

pub(super) fn runs(count: u16) -> String {
    match count {
        1 => "1 run".to_owned(),
        count => format!("{count} runs"),
    }
}
