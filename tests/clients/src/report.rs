//! From what was seen to words.

use std::fmt::Write;

use crate::client::{CLIENTS, Client};
use crate::faults::Row;
use crate::play::{Cell, Said, Seen, Size};

/// Of one video: posted once, not at all, more than once, or as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Delivered,
    Lost,
    Doubled,
    Garbled,
}

const VERDICTS: [Verdict; 4] = [
    Verdict::Delivered,
    Verdict::Lost,
    Verdict::Doubled,
    Verdict::Garbled,
];

impl Verdict {
    fn of(seen: &Seen) -> Self {
        match (seen.posts, seen.garbled) {
            (_, 1..) => Self::Garbled,
            (0, _) => Self::Lost,
            (1, _) => Self::Delivered,
            (2.., _) => Self::Doubled,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Lost => "lost",
            Self::Doubled => "**doubled**",
            Self::Garbled => "**garbled**",
        }
    }
}

fn ends(cell: &Cell) -> (&Seen, &Seen) {
    match &cell[..] {
        [first, .., last] => (first, last),
        [only] => (only, only),
        [] => unreachable!("every client is run at least once"),
    }
}

fn words(cell: &Cell) -> String {
    let (first, last) = ends(cell);
    let told = match first.said {
        Said::Success => "",
        Said::Failure => " (exit ≠ 0)",
        Said::Killed => " (killed)",
        Said::Hung => " (hung)",
    };
    let mut words = format!("{}{told}", Verdict::of(first).word());
    if cell.len() > 1 {
        let _ = write!(words, " → {}", Verdict::of(last).word());
    }
    if cell.len() > 2 {
        let _ = write!(words, " after {} runs", cell.len());
    }
    if last.said != Said::Success {
        words.push_str(", still failing");
    }
    if last.inits != 1 {
        let _ = write!(words, "; {} inits", last.inits);
    }
    words
}

pub(crate) fn line(row: &Row, cells: &[Cell; 4]) -> String {
    let cells: Vec<String> = cells.iter().map(words).collect();
    format!("| {} | {} |", row.name, cells.join(" | "))
}

pub(crate) fn size_line(case: &Size, seen: &Seen) -> String {
    let set = if case.set.is_empty() {
        "as documented".to_owned()
    } else {
        let set: Vec<String> = case
            .set
            .iter()
            .map(|pair| format!("`--set {pair}`"))
            .collect();
        set.join(" ")
    };
    let became = match (seen.posts, seen.inits) {
        (1.., _) => "passes".to_owned(),
        (0, 0) => "refused at init".to_owned(),
        (0, _) => match &seen.log_why {
            Some(why) => format!("refused at the PUT: {why}"),
            None => "lost".to_owned(),
        },
    };
    format!(
        "| {} | {} | {} | {set} | {became} |",
        case.client.name(),
        case.size,
        case.plan
    )
}

/// What is claimed and did not hold.
pub(crate) fn wrong(rows: &[(&Row, [Cell; 4])], sizes: &[(&Size, Seen)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (row, cells) in rows {
        let untroubled = row.faults.is_empty();
        for (client, cell) in CLIENTS.iter().zip(cells) {
            let claimed = untroubled || *client == Client::Chunkferry;
            let (_, last) = ends(cell);
            let held = last.said == Said::Success && Verdict::of(last) == Verdict::Delivered;
            if claimed && !held {
                wrong.push(format!("{}, {}: {}", client.name(), row.name, words(cell)));
            }
        }
    }
    for (case, seen) in sizes {
        let passed = Verdict::of(seen) == Verdict::Delivered;
        // A client that never asked was not refused.
        if passed != case.passes || seen.asked == 0 {
            wrong.push(format!("not as expected: {}", size_line(case, seen)));
        }
    }
    wrong
}

const TOP: &str = "\
# Four uploaders under one list of faults

Made by `cargo run --release --manifest-path tests/clients/Cargo.toml`; do not edit.

Each uploader is given one video of 32,000,000 bytes and a fresh emulator with one fault, and is run. If it says that it
failed, if it is killed, or if it has not ended after eight minutes, it is run again with the same arguments, three times
at most: what a person or a service manager does. What became of the video is read from the emulator's log, not from the
uploader: **delivered** is one post whose bytes are those of the file, **lost** is none, **doubled** is more than one,
**garbled** is a post of other bytes. A fault of `nth=1` hits the first request that fits, so the next run is left alone.

- *curl script*: [`upload.sh`](../tests/clients/upload.sh), chunks of 10 MiB, `--fail --retry 3 --max-time 60`, waits for the
  inbox.
- *tiktok-api 0.3.0*: chunks of 10 MiB. The crate fixes the host but leaves the sending of the init to its caller, who
  replaces the origin; the rest is the crate's own code. It has no status call, so it ends with the last chunk.
- *tiktok_rust 0.0.13*: takes a base URL. It sends the whole file in one PUT, so a fault of a chunk hits that PUT; it posts
  directly, to the private profile. Its one-call function expects an undocumented field in the status answer and fails
  always, so it is driven step by step, without asking for the status.
- *chunkferry*: `chunkferry upload`, chunks of 10 MiB, its journal kept between the runs.

Nobody has compared the emulator with the live service: this shows how the four deal with faults, not how often faults
happen.
";

pub(crate) fn page(rows: &[(&Row, [Cell; 4])], sizes: &[(&Size, Seen)]) -> String {
    let mut page = TOP.to_owned();
    let line = |page: &mut String, text: &str| {
        page.push_str(text);
        page.push('\n');
    };
    line(&mut page, "\n## In numbers\n");
    let _ = writeln!(
        page,
        "Of {} rows, after the first run and after the last:\n",
        rows.len()
    );
    line(
        &mut page,
        "| | delivered | lost | doubled | garbled | hung |\n|---|---|---|---|---|---|",
    );
    for (column, client) in CLIENTS.iter().enumerate() {
        let cells: Vec<&Cell> = rows.iter().map(|(_, cells)| &cells[column]).collect();
        let counts = VERDICTS.map(|verdict| {
            let first = cells
                .iter()
                .filter(|cell| Verdict::of(ends(cell).0) == verdict)
                .count();
            let last = cells
                .iter()
                .filter(|cell| Verdict::of(ends(cell).1) == verdict)
                .count();
            format!("{first} → {last}")
        });
        let hung = cells
            .iter()
            .filter(|cell| cell.iter().any(|seen| seen.said == Said::Hung))
            .count();
        let _ = writeln!(
            page,
            "| {} | {} | {hung} |",
            client.name(),
            counts.join(" | ")
        );
    }
    line(&mut page, "\n## Row by row\n");
    line(
        &mut page,
        "After the first run, then after the last; the number of inits if it is not one.\n",
    );
    let names = CLIENTS.map(Client::name);
    let _ = writeln!(
        page,
        "| fault | {} |\n|---|---|---|---|---|",
        names.join(" | ")
    );
    for (row, cells) in rows {
        line(&mut page, &self::line(row, cells));
    }
    line(&mut page, "\n## The faults as the emulator is told\n");
    line(
        &mut page,
        "MID is a chunk before the last, LAST the last; both are the only one where the file is sent at once. An uploader \
         that is to be killed is killed with SIGKILL, once the fault has fired; one that never asks for the status has \
         ended by itself before the last of them.\n",
    );
    line(&mut page, "| fault | script |\n|---|---|");
    for (row, _) in rows {
        let set = row.set.iter().map(|pair| format!("`--set {pair}`"));
        let faults = row
            .faults
            .iter()
            .map(|script| format!("`--fault '{script}'`"));
        let told: Vec<String> = set.chain(faults).collect();
        let _ = writeln!(page, "| {} | {} |", row.name, told.join(" "));
    }
    line(&mut page, "\n## Sizes\n");
    line(
        &mut page,
        "No fault. The documents say MB and not which: by default the emulator takes 10^6 for what is too big.\n",
    );
    line(
        &mut page,
        "| client | bytes | declared | limits | |\n|---|---|---|---|---|",
    );
    for (case, seen) in sizes {
        line(&mut page, &size_line(case, seen));
    }
    page
}
