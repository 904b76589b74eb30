//! Files as tests need them: hollow ones, and ones that change.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::video::head;

/// Writes a video of exactly `size` bytes that takes no room on disk.
pub(crate) fn write_sparse(path: &Path, size: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(&head(size)).unwrap();
    file.set_len(size).unwrap();
}

/// Changes one byte in place; the size stays.
pub(crate) fn edit(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}
