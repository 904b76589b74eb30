//! Is a file still being written? Then half of a video would be sent.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file_system::FileSystem;
#[cfg(target_os = "linux")]
use super::lease::writers;
use crate::upload::Identity;

/// How long a file must not have changed, where leases do not say whether a program has the file open for writing.
const SETTLE: Duration = Duration::from_secs(10);

/// The same where changes come from another machine, or through its cache.
const SETTLE_REMOTE: Duration = Duration::from_secs(60);

/// Who may write to an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writers {
    /// No program of this machine has the file open for writing.
    None,
    /// At least one has.
    Some,
    /// Leases do not exist there: the file belongs to another user, or lies on a file system without them.
    Unknown,
}

impl Writers {
    /// Asks for a lease. A network file system refuses one for reasons of its own (NFSv4 without a delegation, SMB without
    /// an oplock), and does not know the writers of other machines.
    fn of(file: &File) -> Self {
        match FileSystem::of(file) {
            FileSystem::Remote => Self::Unknown,
            FileSystem::Timed | FileSystem::Other => writers(file),
        }
    }
}

/// Other systems have no leases.
#[cfg(not(target_os = "linux"))]
const fn writers(_: &File) -> Writers {
    Writers::Unknown
}

/// When a file counts as finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Always: the caller answers for that.
    pub(crate) always: bool,
    /// Once the file has not changed for so long, where there are no leases. `None`: 10 s, on remote file systems 60 s.
    pub(crate) settle: Option<Duration>,
}

impl Finished {
    /// Why the file is not finished, if a program has it open for writing.
    pub(super) fn is_open(self, file: &File, identity: &Identity) -> Option<String> {
        if self.always || Writers::of(file) != Writers::Some {
            return None;
        }
        Some(match holder(identity) {
            Some(holder) => format!("{holder} has it open for writing"),
            None => "a program has it open for writing".into(),
        })
    }

    /// Why a file whose end is open may not be finished, where there are no leases.
    pub(super) fn is_young(self, file: &File, identity: &Identity) -> Option<String> {
        if self.always || Writers::of(file) != Writers::Unknown {
            return None;
        }
        let settle = self.settle.unwrap_or_else(|| match FileSystem::of(file) {
            FileSystem::Remote => SETTLE_REMOTE,
            _ => SETTLE,
        });
        let changed = u64::try_from(identity.ctime_ns?).ok()?;
        let changed = UNIX_EPOCH + Duration::from_nanos(changed);
        let age = SystemTime::now()
            .duration_since(changed)
            .unwrap_or_default();
        (age < settle).then(|| {
            format!(
                "its end is open, and it was changed {} s ago: it counts as finished after {} s",
                age.as_secs(),
                settle.as_secs()
            )
        })
    }
}

/// The program that has the file open for writing, where `/proc` shows it to us.
fn holder(identity: &Identity) -> Option<String> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let numbered = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        Some((pid, process.path()))
    });
    for (pid, process) in numbered {
        // Processes of other users, and those that have ended meanwhile, show nothing.
        let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
            continue;
        };
        let writes = |descriptor: &std::fs::DirEntry| {
            let same = std::fs::metadata(descriptor.path()).is_ok_and(|metadata| {
                (metadata.dev(), metadata.ino()) == (identity.device, identity.inode)
            });
            let info = process.join("fdinfo").join(descriptor.file_name());
            same && std::fs::read_to_string(info).is_ok_and(|info| is_writable(&info))
        };
        if descriptors.flatten().any(|descriptor| writes(&descriptor)) {
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim().escape_debug()));
        }
    }
    None
}

/// Reads the access mode off a descriptor's line of flags, which are octal.
fn is_writable(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_writes_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("clip.mp4");
        let writer = File::create(&path).expect("created");
        let file = File::open(&path).expect("open");
        let identity = crate::source::identity::now(&file).expect("known");
        let why = Finished::default().is_open(&file, &identity);
        let me = format!("(process {})", std::process::id());
        assert!(
            why.as_deref().is_some_and(|why| why.contains(&me)),
            "{why:?}"
        );
        let always = Finished {
            always: true,
            settle: None,
        };
        assert_eq!(always.is_open(&file, &identity), None);
        drop(writer);
        assert_eq!(Finished::default().is_open(&file, &identity), None);
    }
}
