//! The identity of a file as the file system states it, and when it proves something about the bytes.
//!
//! On the file systems listed here each write moves the change time (ctime), and so does a write through a shared
//! mapping if the page was clean before. `fdatasync` cleans all pages, even through a read-only descriptor (measured on
//! ext4, ext3 and overlayfs; untrue on tmpfs).

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file_system::FileSystem;
use crate::upload::Identity;

/// Two changes within this time may have the same change time: one tick of the kernel's clock.
const TICK: Duration = Duration::from_millis(20);

/// The same for file systems that keep whole seconds or use another machine's clock.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// The identity of an open file now, even if its name has come to mean another file.
pub(super) fn now(file: &File) -> io::Result<Identity> {
    let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
    // A network file system would otherwise answer from its cache. Without statx (unknown or forbidden), fstat will do.
    #[cfg(target_os = "linux")]
    if let Ok(stat) = rustix::fs::statx(
        file,
        c"",
        rustix::fs::AtFlags::EMPTY_PATH | rustix::fs::AtFlags::STATX_FORCE_SYNC,
        rustix::fs::StatxFlags::BASIC_STATS,
    ) {
        let time = |time: rustix::fs::StatxTimestamp| ns(time.tv_sec, i64::from(time.tv_nsec));
        return Ok(Identity {
            device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: stat.stx_size,
            mtime_ns: time(stat.stx_mtime),
            ctime_ns: Some(time(stat.stx_ctime)),
            proves: false,
        });
    }
    let stat = file.metadata()?;
    Ok(Identity {
        device: stat.dev(),
        inode: stat.ino(),
        size: stat.size(),
        mtime_ns: ns(stat.mtime(), stat.mtime_nsec()),
        ctime_ns: Some(ns(stat.ctime(), stat.ctime_nsec())),
        proves: false,
    })
}

/// The identity once all writes so far are on disk, so that each later write moves the change time. Blocks for as long
/// as the disk needs.
pub(super) fn synced(file: &File) -> io::Result<Identity> {
    let synced = file.sync_data();
    let mut identity = now(file)?;
    identity.proves = synced.is_ok() && FileSystem::of(file) == FileSystem::Timed;
    Ok(identity)
}

/// The identity once the change time is so old that the next change must move it. Waits two seconds at most: the
/// identity of a file that changes all the time proves nothing.
pub(super) fn settled(file: &File) -> io::Result<Identity> {
    let mut patience = COARSE_TICK;
    loop {
        let mut identity = synced(file)?;
        let Some(young) = young(&identity, FileSystem::of(file), SystemTime::now()) else {
            return Ok(identity);
        };
        if young > patience {
            identity.proves = false;
            return Ok(identity);
        }
        patience -= young;
        std::thread::sleep(young);
    }
}

/// For how much longer a further change could leave the same change time; `None` if it could not. Only the change time
/// matters: the kernel moves it even when a program sets the modification time. A change time in the future counts as
/// now.
fn young(identity: &Identity, on: FileSystem, now: SystemTime) -> Option<Duration> {
    const SECOND: i64 = 1_000_000_000;
    let ctime = identity.ctime_ns?;
    let whole = ctime % SECOND == 0 && identity.mtime_ns % SECOND == 0;
    let tick = if whole || on == FileSystem::Remote {
        COARSE_TICK
    } else {
        TICK
    };
    let changed = UNIX_EPOCH + Duration::from_nanos(u64::try_from(ctime).ok()?);
    match now.duration_since(changed) {
        Ok(age) => tick.checked_sub(age).filter(|left| !left.is_zero()),
        Err(_) => Some(tick),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(ns: i64) -> Identity {
        Identity {
            device: 1,
            inode: 2,
            size: 3,
            mtime_ns: 1_000_000_000,
            ctime_ns: Some(ns),
            proves: true,
        }
    }

    #[test]
    fn a_time_as_young_as_the_tick_of_its_clock_proves_nothing() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        let ms = Duration::from_millis;
        for (ctime, on, left) in [
            (99_990_000_001, FileSystem::Timed, Some(10)),
            (99_970_000_001, FileSystem::Timed, None),
            (99_000_000_000, FileSystem::Timed, Some(1000)),
            (98_000_000_000, FileSystem::Timed, None),
            (99_000_000_001, FileSystem::Remote, Some(1000)),
            (100_000_000_001, FileSystem::Timed, Some(20)),
            (200_000_000_000, FileSystem::Timed, Some(2000)),
        ] {
            let young = young(&changed(ctime), on, now);
            let rounded = young.map(|young| ms(young.as_millis().next_multiple_of(10) as u64));
            assert_eq!(rounded, left.map(ms), "{ctime} {on:?}");
        }
    }

    #[test]
    fn only_an_unmoved_change_time_proves_the_same_bytes() {
        let then = changed(5);
        assert!(then.proves_same(&changed(5)));
        assert!(!then.proves_same(&changed(6)));
        assert!(then.but_for_ctime(&changed(6)));
        let old = Identity {
            ctime_ns: None,
            ..then
        };
        assert!(!old.is_still(&old), "a row of an older version");
        let weak = Identity {
            proves: false,
            ..then
        };
        assert!(weak.is_still(&then) && !weak.proves_same(&then));
    }
}
