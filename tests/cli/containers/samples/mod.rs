//! Video files as lists of their structure: written by programs, with data appended, or broken.

use serde::{Deserialize, Serialize};

pub(crate) mod sketch;

/// A file that is taken.
#[derive(Deserialize, Serialize)]
pub(crate) struct Taken {
    pub(crate) name: String,
    /// The program and its version, or the specification.
    pub(crate) source: String,
    /// What makes it, in a shell with `$OUT` and `$IN`, a short MP4. None where more than the shell is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    pub(crate) content_type: String,
    pub(crate) structure: Vec<String>,
}

impl Taken {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        sketch::file(&self.structure)
    }
}

/// What somebody appends to a file that is complete.
#[derive(Deserialize)]
pub(crate) struct Trailer {
    pub(crate) name: String,
    bytes: Vec<String>,
}

impl Trailer {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        sketch::file(&self.bytes)
    }
}

/// A refused file: of this structure, or an accepted one with a change.
#[derive(Deserialize)]
pub(crate) struct Broken {
    pub(crate) name: String,
    of: Option<String>,
    /// How many of its bytes are left, or how many are gone from its end.
    keep: Option<usize>,
    cut: Option<usize>,
    /// How many zeros there are in place of its last bytes.
    zeroed: Option<usize>,
    /// What follows.
    #[serde(default)]
    structure: Vec<String>,
    pub(crate) reason: String,
}

impl Broken {
    pub(crate) fn bytes(&self, taken: &[Taken]) -> Vec<u8> {
        let of = |name: &String| taken.iter().find(|row| row.name == *name).unwrap();
        let mut bytes = self.of.as_ref().map(|name| of(name).bytes());
        let bytes = bytes.get_or_insert_default();
        bytes.truncate(self.keep.unwrap_or(bytes.len()) - self.cut.unwrap_or(0));
        let kept = bytes.len() - self.zeroed.unwrap_or(0);
        bytes[kept..].fill(0);
        [bytes, sketch::file(&self.structure).as_slice()].concat()
    }
}

pub(crate) fn taken() -> Vec<Taken> {
    serde_json::from_str(include_str!("../taken.json")).unwrap()
}

pub(crate) fn trailers() -> Vec<Trailer> {
    serde_json::from_str(include_str!("../trailers.json")).unwrap()
}

pub(crate) fn broken() -> Vec<Broken> {
    serde_json::from_str(include_str!("../broken.json")).unwrap()
}
