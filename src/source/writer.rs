//! Whether a program still writes a file; half a video must not be sent.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file_system::FileSystem;
#[cfg(target_os = "linux")]
use super::lease::writers;
use crate::upload::Identity;

/// How long a file must be unchanged if leases do not show whether a program has it open for writing.
const SETTLE: Duration = Duration::from_secs(10);

/// The same for file systems where changes come from another machine, or through its cache.
const SETTLE_REMOTE: Duration = Duration::from_secs(60);

/// Whether programs have a file open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writers {
    /// No program of this machine has the file open for writing.
    None,
    /// At least one program has.
    Some,
    /// The kernel grants no leases for this file: it belongs to another user, or its file system has none.
    Unknown,
}

impl Writers {
    /// Asks for a lease. A network file system may refuse one for reasons of its own (NFSv4 without a delegation, SMB
    /// without an oplock), and does not know writers on other machines.
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
    /// Always; the caller takes the responsibility.
    pub(crate) always: bool,
    /// After being unchanged for so long, if there are no leases. `None`: 10 s, on remote file systems 60 s.
    pub(crate) settle: Option<Duration>,
}

impl Finished {
    /// A text that names the program with the file open for writing, if there is one.
    pub(super) fn is_open(self, file: &File, identity: &Identity) -> Option<String> {
        if self.always || Writers::of(file) != Writers::Some {
            return None;
        }
        Some(match holder(identity) {
            Some(holder) => format!("{holder} has it open for writing"),
            None => "a program has it open for writing".into(),
        })
    }

    /// Why a file without a recorded end may be unfinished, if there are no leases.
    pub(super) fn is_young(self, file: &File, identity: &Identity) -> Option<String> {
        if self.always || Writers::of(file) != Writers::Unknown {
            return None;
        }
        let (age, settle) = self.since(file, identity)?;
        Some(format!(
            "its end is open, and it was changed {age} s ago: it counts as finished after {settle} s"
        ))
    }

    /// Why a file may be unfinished, whatever it holds, if there are no leases.
    pub(super) fn is_unsettled(self, file: &File, identity: &Identity) -> Option<String> {
        match Writers::of(file) {
            Writers::Unknown => self.is_recent(file, identity),
            Writers::None | Writers::Some => None,
        }
    }

    /// Whether a file was changed recently, whatever leases say.
    pub(super) fn is_recent(self, file: &File, identity: &Identity) -> Option<String> {
        let (age, settle) = self.since(file, identity)?;
        Some(format!(
            "it was changed {age} s ago, and counts as finished after {settle} s"
        ))
    }

    /// How long ago a file was changed, and for how long it must not have changed, in seconds; `None` if it has not for that long.
    fn since(self, file: &File, identity: &Identity) -> Option<(u64, u64)> {
        let settle = self.settle.unwrap_or_else(|| match FileSystem::of(file) {
            FileSystem::Remote => SETTLE_REMOTE,
            _ => SETTLE,
        });
        let changed = u64::try_from(identity.ctime_ns?).ok()?;
        let changed = UNIX_EPOCH + Duration::from_nanos(changed);
        let age = SystemTime::now()
            .duration_since(changed)
            .unwrap_or_default();
        (age < settle).then_some((age.as_secs(), settle.as_secs()))
    }
}

/// The program that has the file open for writing, if `/proc` shows it.
fn holder(identity: &Identity) -> Option<String> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let numbered = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        Some((pid, process.path()))
    });
    for (pid, process) in numbered {
        // Processes of other users, and processes that have ended, list no descriptors.
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

/// Reads the access mode from the octal flags of a descriptor's fdinfo.
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
