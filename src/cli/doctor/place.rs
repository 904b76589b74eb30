//! Checks of the state directory: its owner, its mode, its file system and the free space.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chunkferry::StateDir;
use rustix::fs::{Access, AtFlags, CWD};

use super::checks::Check;
use crate::size::humane;

/// Least free space that is no warning, in bytes: a journal of thousands of uploads has a few MB.
const LITTLE: u64 = 64_000_000;

/// What the state directory is, and whether an engine could use it. Writes nothing.
pub(super) fn check(dir: &Path) -> Vec<Check> {
    let failed =
        |found: String, advice: &str| vec![Check::failed("state directory", found).with(advice)];
    let shown = dir.display();
    let metadata = match dir.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return vec![not_made(dir)],
        Err(error) => {
            return failed(
                format!("{shown} cannot be looked at ({error})."),
                "Name another one with --state-dir.",
            );
        }
    };
    if !metadata.is_dir() {
        return failed(
            format!("{shown} is a file."),
            "Name a directory with --state-dir.",
        );
    }
    if let Some(owner) = stranger(dir, &metadata) {
        return failed(
            format!("{shown} belongs to another user ({owner})."),
            "Name a directory of your own with --state-dir.",
        );
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return failed(
            format!("{shown} can be written by everybody (mode {mode:04o})."),
            &format!("chmod 700 {shown}"),
        );
    }
    if let Err(error) = writable(dir) {
        return failed(
            format!("{shown} cannot be written to ({error})."),
            "Name another one with --state-dir.",
        );
    }
    let found = format!("{shown} is yours, mode {mode:04o}{}.", lies_on(dir));
    let mut checks = vec![Check::ok("state directory", found)];
    checks.extend(space(dir));
    for why in StateDir::new(dir).fragility() {
        checks.push(
            Check::warning("state directory", format!("{why}."))
                .with("Name another one with --state-dir, or accept that."),
        );
    }
    checks
}

/// A directory that the first upload makes, if it can.
fn not_made(dir: &Path) -> Check {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let above = whole.ancestors().skip(1).find(|above| above.exists());
    let above = above.unwrap_or_else(|| Path::new("/"));
    let shown = dir.display();
    match writable(above) {
        Ok(()) => Check::ok(
            "state directory",
            format!("{shown} is made by the first upload{}.", lies_on(above)),
        ),
        Err(error) => Check::failed(
            "state directory",
            format!(
                "{shown} cannot be made: {} cannot be written to ({error}).",
                above.display()
            ),
        )
        .with("Name another one with --state-dir."),
    }
}

/// The owner of the directory, or of a link that leads to it, if that is neither this user nor root.
fn stranger(dir: &Path, reached: &Metadata) -> Option<u32> {
    let us = rustix::process::geteuid().as_raw();
    let named = dir.symlink_metadata().ok().map(|link| link.uid());
    let owners = named.into_iter().chain([reached.uid()]);
    owners.into_iter().find(|owner| ![0, us].contains(owner))
}

/// Whether files can be made in it. Also for root, which a file system that is mounted to be read refuses.
fn writable(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let access = Access::WRITE_OK | Access::EXEC_OK;
    Ok(rustix::fs::accessat(CWD, dir, access, AtFlags::EACCESS)?)
}

/// `, on ext4 (/home), 34.10 GB free`, as far as the system says so.
fn lies_on(dir: &Path) -> String {
    let mount = mount(dir).map(|(kind, at)| format!(", on {kind} ({})", at.display()));
    let free = free(dir).map(|free| format!(", {} free", humane(free)));
    [mount, free].into_iter().flatten().collect()
}

fn free(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn space(dir: &Path) -> Option<Check> {
    let free = free(dir).filter(|free| *free < LITTLE)?;
    let found = format!("only {} are free where the journal lies.", humane(free));
    Some(
        Check::warning("state directory", found).with("Make room: without it no upload can go on."),
    )
}

/// The kind of the file system that holds this directory, and where it is mounted. Only Linux lists them.
fn mount(dir: &Path) -> Option<(String, PathBuf)> {
    let dir = dir.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        // man 5 proc: the mount point is the fifth field, and the type comes after a lone hyphen.
        let (before, after) = line.split_once(" - ")?;
        let at = before.split(' ').nth(4)?.replace("\\040", " ");
        Some((after.split(' ').next()?.to_owned(), PathBuf::from(at)))
    });
    let above = mounts.filter(|(_, at)| dir.starts_with(at));
    // Of two at one place the later one covers the other.
    above.max_by_key(|(_, at)| at.components().count())
}
