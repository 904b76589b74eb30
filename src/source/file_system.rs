//! The kind of file system that holds a file, and whether its change times prove anything.

use std::fs::File;
use std::path::Path;

use rustix::io::Errno;

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileSystem {
    /// Its change times prove that bytes are the same.
    Timed,
    /// On another machine, or served by a program.
    Remote,
    /// In memory, or a file system that was never measured.
    Other,
}

// Magic numbers of statfs(2).
const OVERLAY: u32 = 0x794c_7630;
/// ext2 to ext4, XFS, Btrfs.
const TIMED: [u32; 3] = [0xef53, 0x5846_5342, 0x9123_683e];
/// NFS, SMB (three kinds), FUSE, 9P, Ceph, AFS, Lustre, folders of a VirtualBox host.
const REMOTE: [u32; 10] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x0bd0_0bd0,
    0x786f_4256,
];

impl FileSystem {
    pub(super) fn of(file: &File) -> Self {
        Self::by(rustix::fs::fstatfs(file))
    }

    /// The file system of a path, or of the directory that it is in.
    pub(super) fn at(path: &Path) -> Self {
        let found = path.ancestors().take(2).map(rustix::fs::statfs);
        Self::by(found.reduce(Result::or).unwrap_or(Err(Errno::NOENT)))
    }

    fn by(stat: rustix::io::Result<rustix::fs::StatFs>) -> Self {
        match kind(stat) {
            Some(OVERLAY) if overlays_are_timed() => Self::Timed,
            Some(kind) if TIMED.contains(&kind) => Self::Timed,
            Some(kind) if REMOTE.contains(&kind) => Self::Remote,
            _ => Self::Other,
        }
    }
}

/// The numbers of file system kinds are the same on every architecture only under Linux.
fn kind(stat: rustix::io::Result<rustix::fs::StatFs>) -> Option<u32> {
    let stat = stat.ok()?;
    cfg!(target_os = "linux").then_some(stat.f_type as u32)
}

/// Whether every visible upper directory of an overlay lies on a timed file system. A container does not see its own.
fn overlays_are_timed() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let overlays = mounts.lines().filter(|line| line.contains(" - overlay "));
    let uppers = overlays
        .filter_map(|line| line.split_once("upperdir="))
        .filter_map(|(_, rest)| rest.split(',').next());
    uppers
        .filter_map(|upper| kind(rustix::fs::statfs(upper)))
        .all(|kind| TIMED.contains(&kind))
}
