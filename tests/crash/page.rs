//! The matrix's own section of `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::matrix::Tally;
use crate::points::POINTS;
use crate::switches::Switch;

/// Replaces only the text between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
fn replace(path: &Path, name: &str, text: &str) {
    let page = std::fs::read_to_string(path).unwrap();
    let (begin, end) = (
        format!("<!-- {name}: begin -->"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = page.split_once(&begin).expect("the section begins");
    let (_, after) = rest.split_once(&end).expect("the section ends");
    std::fs::write(path, format!("{before}{begin}\n{text}{end}{after}")).unwrap();
}

pub(crate) fn write(tally: &Tally, switches: &[Switch], rows: usize, seed: u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    replace(&path, "crash matrix", &section(tally, switches, rows, seed));
}

fn section(tally: &Tally, switches: &[Switch], rows: usize, seed: u64) -> String {
    let fate = |name| tally.fates.get(name).copied().unwrap_or(0);
    let named = |name| switches.iter().find(|switch| switch.name == name);
    let faults = named("fault").map_or(0, |switch| switch.values.len() - 1);
    let values: usize = switches.iter().map(|switch| switch.values.len()).sum();
    let at_points: usize = tally.at_points.values().sum();
    let reached = POINTS.len() - tally.never_reached().len();
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {value} |");
    };
    row("what", "figure".to_owned());
    row("---", "---:".to_owned());
    row("uploads killed and carried on", tally.cases.to_string());
    row("kills by SIGKILL", tally.kills().to_string());
    row(
        "of these at a labelled point, at any instant",
        format!("{at_points}, {}", tally.cuts),
    );
    row(
        "runs frozen at a point while their file was changed or touched",
        tally.frozen.to_string(),
    );
    row(
        "labelled points, reached",
        format!("{}, {reached}", POINTS.len()),
    );
    row(
        "switches, their values",
        format!("{}, {values}", switches.len()),
    );
    row("faults", faults.to_string());
    row("rows (any two values meet)", rows.to_string());
    row("exactly one draft, sha256 equal", fate("draft").to_string());
    row(
        "a typed end without success, as expected",
        fate("told").to_string(),
    );
    for name in ["lost", "doubled", "mixed", "withheld", "hung"] {
        row(name, format!("**{}**", fate(name)));
    }
    row("another promise broken", format!("**{}**", tally.broken));
    row("inits", tally.inits.to_string());
    let mut list = |title: &str, entries: &BTreeMap<String, usize>| {
        let _ = writeln!(text, "\n{title}:\n");
        for (entry, count) in entries {
            let _ = writeln!(text, "- {entry} ({count})");
        }
    };
    list("Ends without success", &tally.told);
    list(
        "Sessions given up for a new one, in the words of the command",
        &tally.sessions_lost,
    );
    let _ = writeln!(
        text,
        "\nMade by `CHUNKFERRY_FULL=1 CHUNKFERRY_SEED={seed} cargo test --test crash -- --nocapture`."
    );
    text
}
