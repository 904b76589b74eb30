//! What a file is to the process that looks: a command and a service on one machine can see different files under one path.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The parts of a file's identity that are the same for every process of a machine. The device is not one of them: in a container, it may
/// have another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stat {
    inode: u64,
    /// In bytes.
    size: u64,
    /// In nanoseconds since 1970.
    mtime_ns: i64,
}

impl Stat {
    /// The file at a path now. Blocks.
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self {
            inode: found.ino(),
            size: found.len(),
            mtime_ns: found
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(found.mtime_nsec()),
        })
    }
}
