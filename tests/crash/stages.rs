//! Points that an upload without misfortune never comes to, and a service that leads there; and the plain ones.

use fastrand::Rng;

use crate::act::Act;
use crate::case::{Case, Place};
use crate::scene::{Kill, at};
use crate::switches::Row;

/// Points that every first run of an upload comes to, and how often it does with three chunks; a whole file comes to
/// each at least once.
pub(crate) const FIRST_RUN: &[(&str, &str, u32)] = &[
    ("open", "locked", 1),
    ("open", "ready", 1),
    ("submit", "before", 1),
    ("submit", "after", 1),
    ("begin", "before", 1),
    ("begin", "after", 1),
    ("init", "before", 1),
    ("init", "answered", 1),
    ("saving", "uploading", 3),
    ("applied", "uploading", 3),
    ("saved", "uploading", 3),
    ("file", "written", 4),
    ("file", "replaced", 4),
    ("put", "before", 3),
    ("body", "piece", 60),
    ("body", "last", 3),
    ("put", "answered", 3),
    ("gate", "reached", 1),
    ("gate", "proved", 1),
    ("saving", "sealed", 1),
    ("applied", "sealed", 1),
    ("saved", "sealed", 1),
    ("gate", "open", 1),
    ("saving", "processing", 1),
    ("applied", "processing", 1),
    ("saved", "processing", 1),
    ("ask", "before", 1),
    ("ask", "answered", 1),
    ("saving", "delivered", 1),
    ("history", "created", 1),
    ("history", "appended", 1),
    ("applied", "delivered", 1),
    ("saved", "delivered", 1),
];

/// Points that only a later run comes to, or only some of them.
const LATER_RUN: &[(&str, &str)] = &[
    ("claim", "before"),
    ("claim", "after"),
    ("rehash", "started"),
    ("adopt", "before"),
    ("adopt", "read"),
    ("saving", "queued"),
    ("applied", "queued"),
    ("saved", "queued"),
    ("saving", "init_intent"),
    ("saved", "init_intent"),
    ("ask", "before"),
    ("ask", "answered"),
];

/// The kill of a later run: mostly where only a later run comes to, else anywhere, at times at any instant.
pub(crate) fn later(random: &mut Rng) -> Option<Kill> {
    match random.u8(0..10) {
        0..4 => {
            let (step, what) = LATER_RUN[random.usize(..LATER_RUN.len())];
            Some(at(step, what, 1))
        }
        4..7 => {
            let (step, what, times) = FIRST_RUN[random.usize(..FIRST_RUN.len())];
            Some(at(step, what, random.u32(1..=times)))
        }
        7..9 => Some(instant(random)),
        _ => None,
    }
}

/// Any instant of a run, its first milliseconds as likely as all that follow.
pub(crate) fn instant(random: &mut Rng) -> Kill {
    let most = if random.bool() { 40 } else { 500 };
    Kill::After(std::time::Duration::from_micros(
        random.u64(500..most * 1000),
    ))
}

/// A service, the kills that lead to a point, and the ends there may be.
struct Stage {
    row: &'static [&'static str],
    before: &'static [(&'static str, &'static str, u32)],
    points: &'static [(&'static str, &'static str)],
    edited: bool,
    ends: &'static [i32],
}

const SUCCESS: &[i32] = &[0];

const STAGES: &[Stage] = &[
    // Only a slow transfer is measured, and only a slow receiver lets an answer be waited for.
    Stage {
        row: &["fault=put chunk=LAST trickle=2MB"],
        before: &[],
        points: &[("rate", "kept"), ("answer", "awaited")],
        edited: false,
        ends: SUCCESS,
    },
    Stage {
        row: &["fault=put chunk=MIDDLE nth=1 expire_url"],
        before: &[],
        points: &[
            ("saving", "queued"),
            ("applied", "queued"),
            ("saved", "queued"),
        ],
        edited: false,
        ends: SUCCESS,
    },
    Stage {
        row: &["fault=inbox_init nth=1 lose"],
        before: &[],
        points: &[
            ("saving", "init_intent"),
            ("applied", "init_intent"),
            ("saved", "init_intent"),
        ],
        edited: false,
        ends: SUCCESS,
    },
    Stage {
        row: &[],
        before: &[("put", "answered", 2)],
        points: &[
            ("claim", "before"),
            ("claim", "after"),
            ("rehash", "started"),
            ("adopt", "before"),
            ("adopt", "read"),
        ],
        edited: false,
        ends: SUCCESS,
    },
    Stage {
        row: &["final_status=PUBLISH_COMPLETE"],
        before: &[],
        points: &[
            ("saving", "published"),
            ("applied", "published"),
            ("saved", "published"),
        ],
        edited: false,
        ends: SUCCESS,
    },
    Stage {
        row: &["fail_reason=duration_check_failed"],
        before: &[],
        points: &[
            ("saving", "failed"),
            ("applied", "failed"),
            ("saved", "failed"),
            ("history", "appended"),
        ],
        edited: false,
        ends: &[1],
    },
    Stage {
        row: &["extra_fail_reason=never_heard_of"],
        before: &[],
        points: &[("saving", "failed"), ("saved", "failed")],
        edited: false,
        ends: &[1],
    },
    Stage {
        row: &["publish_id_ttl=0s"],
        before: &[],
        points: &[
            ("saving", "unknown"),
            ("applied", "unknown"),
            ("saved", "unknown"),
            ("saved", "processing"),
            ("saved", "sealed"),
        ],
        edited: false,
        ends: &[5],
    },
    // Its end is in the history and not yet in the database; the next run gets no answer from status.
    Stage {
        row: &["publish_id_ttl=0s", "fault=status nth=2 reset"],
        before: &[("gate", "open", 1)],
        points: &[("history", "appended")],
        edited: false,
        ends: &[5],
    },
    // A kill leaves the service with part of the last chunk, and only the header of a 416 shows it.
    Stage {
        row: &["cut_chunk=keep_prefix", "status_bytes=absent"],
        before: &[("gate", "open", 1)],
        points: &[("saved", "queued")],
        edited: false,
        ends: SUCCESS,
    },
    // The file changes while the uploader is dead.
    Stage {
        row: &[],
        before: &[("saved", "uploading", 2)],
        points: &[
            ("saving", "given_up"),
            ("applied", "given_up"),
            ("saved", "given_up"),
            ("history", "appended"),
        ],
        edited: true,
        ends: &[0, 3],
    },
    Stage {
        row: &["ledger=off"],
        before: &[("put", "answered", 2)],
        points: &[("saving", "given_up"), ("saved", "given_up")],
        edited: true,
        ends: &[0, 3],
    },
    // All bytes may have arrived when it changes: what lies there is the old version, the new one, or both.
    Stage {
        row: &[],
        before: &[("gate", "open", 1)],
        points: &[("open", "ready"), ("ask", "answered"), ("saved", "sealed")],
        edited: true,
        ends: &[0, 3, 5],
    },
    Stage {
        row: &[],
        before: &[("init", "answered", 1)],
        points: &[("put", "before"), ("gate", "proved")],
        edited: true,
        ends: &[0, 3],
    },
];

/// A case for each point that needs a stage of its own.
pub(crate) fn cases() -> Vec<Case> {
    let cases = STAGES.iter().flat_map(|stage| {
        stage.points.iter().map(|(step, what)| {
            let mut kills: Vec<Kill> = stage
                .before
                .iter()
                .map(|(step, what, nth)| at(step, what, *nth))
                .collect();
            kills.push(at(step, what, 1));
            Case {
                row: Row::with(stage.row),
                kills,
                act: if stage.edited { Act::Edited } else { Act::None },
                place: Place::Disk,
                ends: stage.ends.to_vec(),
                patient: true,
            }
        })
    });
    cases.collect()
}
