//! All triples of journal, header and status: what becomes of an upload whose service answers so and no other way.

use std::fmt::Write;

use super::*;

/// What a witness may say, relative to the journal's border of `confirmed` chunks.
const SAYINGS: [&str; 9] = [
    "absent", "zero", "behind", "here-1", "here", "inside", "next-1", "next", "beyond",
];

fn bytes_of(saying: &str, upload: &Upload) -> Option<u64> {
    let plan = upload.plan().expect("a file");
    let (here, next) = (
        plan.border(upload.confirmed()),
        plan.border(upload.confirmed() + 1),
    );
    match saying {
        "absent" => None,
        "zero" => Some(0),
        "behind" => Some(here.saturating_sub(10_000_000)),
        "here-1" => Some(here.saturating_sub(1)),
        "here" => Some(here),
        "inside" => Some(here + 4_000_000),
        "next-1" => Some(next - 1),
        "next" => Some(next),
        _ => Some(next + 6_000_000),
    }
}

/// Where it ends, if every chunk is answered 416 with this header and status says "working" with this count. `resent`: the
/// chunk that is due is taken instead.
fn fate(mut upload: Upload, header: &str, status: &str, taken: bool) -> &'static str {
    let (header, status) = (bytes_of(header, &upload), bytes_of(status, &upload));
    let (confirmed, sessions) = (upload.confirmed(), upload.totals.lost_sessions);
    let (mut second, mut requests) = (100, 0);
    upload.apply(lost(), at(second), 0);
    loop {
        requests += 1;
        assert!(requests < 400, "it does not end");
        let reply = match upload.step(at(second)) {
            Step::Wait(wait) => {
                second += wait.as_secs() + 1;
                continue;
            }
            Step::Put(_) if taken => return "resent",
            Step::Put(_) | Step::Release => put(416, header),
            Step::Ask => working(status),
            Step::Adopt(_) => Reply::Adopted(Some(Running::default())),
            Step::Rewind(_) => return "back",
            Step::Init => return "anew",
            Step::Expire(_) => return "expired",
            Step::Stop(_) => return "stops",
            Step::Done => return upload.state.name(),
        };
        second += 2;
        upload.apply(reply, at(second), 0);
        if upload.totals.lost_sessions > sessions {
            return "anew";
        }
        if upload.confirmed() > confirmed {
            return "counted";
        }
    }
}

fn table(what: &str, upload: &Upload, taken: bool) -> String {
    let mut text = format!("{what}\n{:>8}", "");
    for status in SAYINGS {
        write!(text, "{status:>9}").expect("a string");
    }
    for header in SAYINGS {
        write!(text, "\n{header:>8}").expect("a string");
        for status in SAYINGS {
            write!(text, "{:>9}", fate(upload.clone(), header, status, taken)).expect("a string");
        }
        if taken {
            break; // Then no header is ever seen.
        }
    }
    text + "\n"
}

#[test]
fn every_triple_of_witnesses_has_an_end_that_makes_no_second_draft() {
    let mut text = String::from(
        "Down: the header of each 416. Across: uploaded_bytes of each status. The answer to a chunk was lost.\n\
         resent: the same chunk goes again; counted: the service has it; anew: a new session from byte 0;\n\
         back: what the service has lost goes again, in the same session;\n\
         stops: exit 75, the row stays as it is.\n\n",
    );
    for taken in [true, false] {
        let now = if taken { "is taken" } else { "is refused" };
        for (what, upload) in [
            ("the first chunk", uploading(0)),
            ("a middle chunk", uploading(2)),
            ("the last chunk, sealed", sealed()),
        ] {
            text += &table(&format!("{what}, which {now}"), &upload, taken);
            text += "\n";
        }
    }
    insta::assert_snapshot!(text);
}
