//! The one list of faults.

/// Something that goes wrong, for every client in the same way.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) set: &'static [&'static str],
    /// Scripts of the emulator; MID stands for a chunk before the last, LAST for the last.
    pub(crate) faults: &'static [&'static str],
    /// When the client is killed.
    pub(crate) kill: Option<Kill>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kill {
    /// Once the fault has fired: the service holds the chunk half read.
    InChunk,
    /// Once every byte has arrived; a client that asks no more has ended by then.
    BeforeInbox,
}

const fn row(name: &'static str, faults: &'static [&'static str]) -> Row {
    Row {
        name,
        set: &[],
        faults,
        kill: None,
    }
}

pub(crate) const ROWS: &[Row] = &[
    row("none", &[]),
    row(
        "a chunk is answered 503, once",
        &["put chunk=MID nth=1 status=503"],
    ),
    row(
        "an HTML page of a gateway, 502, four times",
        &["put chunk=MID nth=1-4 status=502 body=html"],
    ),
    row(
        "a chunk is stored and answered 500",
        &["put chunk=MID nth=1 store=500"],
    ),
    row(
        "the connection is reset in the middle of a chunk",
        &["put chunk=MID nth=1 cut=3MB"],
    ),
    row(
        "the answer to a chunk is lost",
        &["put chunk=MID nth=1 lose"],
    ),
    row(
        "the answer to the last chunk is lost",
        &["put chunk=LAST nth=1 lose"],
    ),
    row("the answer to the init is lost", &["init nth=1 lose"]),
    row("the init is answered 503, once", &["init nth=1 status=503"]),
    row("the init is answered 429, once", &["init nth=1 status=429"]),
    Row {
        name: "a chunk is stored, its answer lost, and no 416 carries the progress",
        set: &["progress_header=never"],
        faults: &["put chunk=MID nth=1 lose"],
        kill: None,
    },
    row(
        "a chunk is answered 416 without a header, once",
        &["put chunk=MID nth=1 status=416 body=none"],
    ),
    row(
        "the upload URL expires before a chunk",
        &["put chunk=MID nth=1 expire_url"],
    ),
    row(
        "the service forgets the upload before a chunk",
        &["put chunk=MID nth=1 drop_session"],
    ),
    row(
        "the service stops reading a chunk",
        &["put chunk=MID nth=1 stall=1MB"],
    ),
    row(
        "the first status call is answered 503",
        &["status nth=1 status=503"],
    ),
    Row {
        name: "the uploader is killed in the middle of a chunk",
        set: &[],
        faults: &["put chunk=MID nth=1 stall=3MB"],
        kill: Some(Kill::InChunk),
    },
    Row {
        name: "the uploader is killed after the last byte",
        set: &[],
        faults: &["status nth=1 delay=20s"],
        kill: Some(Kill::BeforeInbox),
    },
];

impl Row {
    /// The scripts for a client that sends its last chunk under this index.
    pub(crate) fn scripts(&self, last: u64) -> Vec<String> {
        let mid = last.min(1).to_string();
        let scripts = self.faults.iter();
        let scripts = scripts.map(|script| script.replace("MID", &mid));
        scripts
            .map(|script| script.replace("LAST", &last.to_string()))
            .collect()
    }
}
