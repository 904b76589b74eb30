//! Files that are opened beneath a directory only, whatever links are on the way and whenever they are changed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// What is known of the file at `path`, without opening it to be read; `None` if it lies outside of `root`.
pub(crate) fn look(root: &Path, path: &Path) -> io::Result<Option<Metadata>> {
    match way(root, path) {
        #[cfg(target_os = "linux")]
        Some(way) => match linux::open(root, &way, rustix::fs::OFlags::PATH) {
            Ok(opened) => opened.map(|file| file.metadata()).transpose(),
            Err(error) if linux::is_unknown(&error) => named::look(root, &root.join(way)),
            Err(error) => Err(error),
        },
        #[cfg(not(target_os = "linux"))]
        Some(way) => named::look(root, &root.join(way)),
        None => Ok(None),
    }
}

/// Opens the file at `path` to be read; `None` if it lies outside of `root`. Nothing else than a regular file is waited for.
pub(crate) fn open(root: &Path, path: &Path) -> io::Result<Option<File>> {
    match way(root, path) {
        #[cfg(target_os = "linux")]
        Some(way) => {
            use rustix::fs::OFlags;
            match linux::open(root, &way, OFlags::RDONLY | OFlags::NONBLOCK) {
                Err(error) if linux::is_unknown(&error) => named::open(root, &root.join(way)),
                opened => opened,
            }
        }
        #[cfg(not(target_os = "linux"))]
        Some(way) => named::open(root, &root.join(way)),
        None => Ok(None),
    }
}

/// Opens the file at `path` to be read, wherever it lies. Nothing else than a regular file is waited for.
pub(super) fn anywhere(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    options.open(path)
}

/// The path from the root on; `None` if it goes up anywhere, or begins elsewhere.
fn way(root: &Path, path: &Path) -> Option<PathBuf> {
    let way = path.strip_prefix(root).ok()?;
    let down = |part| matches!(part, Component::Normal(_));
    (way.components().next().is_some() && way.components().all(down)).then(|| way.to_owned())
}

/// The kernel itself keeps to the root.
#[cfg(target_os = "linux")]
mod linux {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
    use rustix::io::Errno;

    use super::*;

    /// How often a way is walked again that somebody changed meanwhile.
    const TRIES: usize = 64;

    pub(super) fn open(root: &Path, way: &Path, flags: OFlags) -> io::Result<Option<File>> {
        let of_root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, root, of_root, Mode::empty())?;
        let (flags, resolve) = (
            flags | OFlags::CLOEXEC,
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        );
        let mut tries = 0;
        loop {
            match openat2(&root, way, flags, Mode::empty(), resolve) {
                Ok(file) => return Ok(Some(file.into())),
                Err(Errno::XDEV) => return Ok(None),
                Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the kernel, or whatever filters its calls, does not know this one.
    pub(super) fn is_unknown(error: &io::Error) -> bool {
        let unknown = [Errno::NOSYS, Errno::PERM].map(|known| Some(known.raw_os_error()));
        unknown.contains(&error.raw_os_error())
    }
}

/// Names are compared, once more after opening.
mod named {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use super::*;

    /// The path without links; `None` if it lies outside of the root.
    fn real(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
        let (root, path) = (fs::canonicalize(root)?, fs::canonicalize(path)?);
        Ok(path.starts_with(root).then_some(path))
    }

    pub(super) fn look(root: &Path, path: &Path) -> io::Result<Option<Metadata>> {
        let real = real(root, path)?;
        real.map(fs::symlink_metadata).transpose()
    }

    pub(super) fn open(root: &Path, path: &Path) -> io::Result<Option<File>> {
        let Some(before) = real(root, path)? else {
            return Ok(None);
        };
        let mut options = fs::OpenOptions::new();
        let options = options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(&before)?;
        let identity = |of: &Metadata| (of.dev(), of.ino());
        let opened = identity(&file.metadata()?);
        let now = look(root, path)?;
        let is_same = now.is_some_and(|now| identity(&now) == opened);
        Ok(is_same.then_some(file))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    type Open = fn(&Path, &Path) -> io::Result<Option<File>>;

    #[test]
    fn no_link_and_no_way_up_leads_out_of_the_root() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("in")).expect("made");
        fs::write(dir.path().join("secret"), "secret").expect("written");
        fs::write(root.join("in/clip"), "clip").expect("written");
        symlink("in/clip", root.join("link")).expect("made");
        symlink("../secret", root.join("out")).expect("made");
        symlink(dir.path(), root.join("up")).expect("made");
        symlink(&root, dir.path().join("way")).expect("made");
        let by_name: Open = |root, path| match way(root, path) {
            Some(way) => named::open(root, &root.join(way)),
            None => Ok(None),
        };
        for open in [open as Open, by_name] {
            let opened = |path: &str| open(&root, &root.join(path)).expect("readable");
            assert!(opened("in/clip").is_some());
            assert!(opened("link").is_some());
            for out in [
                "out",
                "up/secret",
                "up/root/in/clip/..",
                "../secret",
                ".",
                "",
            ] {
                assert!(opened(out).is_none(), "{out}");
            }
            assert!(
                open(&root, &dir.path().join("rootless"))
                    .expect("none")
                    .is_none()
            );
            let other = dir.path().join("way");
            assert!(
                open(&other, &other.join("in/clip"))
                    .expect("readable")
                    .is_some()
            );
            let missing = open(&root, &root.join("missing")).expect_err("missing");
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        }
        assert!(look(&root, &root.join("out")).expect("readable").is_none());
        assert!(
            look(&root, &root.join("in/clip"))
                .expect("readable")
                .is_some()
        );
    }
}
