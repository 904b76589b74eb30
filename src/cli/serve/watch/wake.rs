//! What inotify reports of watched folders. It only wakes the scan: network file systems report nothing, and queues overflow.

#[cfg(target_os = "linux")]
pub(super) use linux::Wake;
#[cfg(not(target_os = "linux"))]
pub(super) use nothing::Wake;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{HashMap, HashSet};
    use std::ffi::OsStr;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;
    use tokio::sync::Notify;

    use super::super::names;

    /// Renames of which the second half has not been read.
    const HALVES: usize = 1_024;

    /// An inotify instance with the folders of one entry.
    #[derive(Debug)]
    pub(in super::super) struct Wake {
        queue: Arc<OwnedFd>,
        heard: Arc<Mutex<Heard>>,
        changed: Arc<Notify>,
    }

    #[derive(Debug, Default)]
    struct Heard {
        dirs: HashMap<i32, PathBuf>,
        /// Files that were renamed to a final name in one step.
        arrived: HashSet<PathBuf>,
        /// By the number of the rename: whether the old name was a temporary one.
        from: HashMap<u32, bool>,
    }

    impl Wake {
        /// The thread that reads the queue lives as long as the process.
        pub(in super::super) fn new() -> io::Result<Self> {
            let wake = Self {
                queue: Arc::new(inotify::init(CreateFlags::CLOEXEC)?),
                heard: Arc::default(),
                changed: Arc::default(),
            };
            let queue = Arc::clone(&wake.queue);
            let (heard, changed) = (Arc::clone(&wake.heard), Arc::clone(&wake.changed));
            std::thread::Builder::new()
                .name("chunkferry-inotify".to_owned())
                .spawn(move || read(&queue, &heard, &changed))?;
            Ok(wake)
        }

        /// Reports the changes of this folder from now on. Cheap for one that is known.
        pub(in super::super) fn hear_of(&self, dir: &Path) -> io::Result<()> {
            let flags = WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::MOVED_FROM
                | WatchFlags::CREATE
                | WatchFlags::ONLYDIR;
            let mut heard = lock(&self.heard);
            let number = inotify::add_watch(&self.queue, dir, flags)?;
            heard.dirs.insert(number, dir.to_owned());
            Ok(())
        }

        /// Returns when something has changed since it last returned.
        pub(in super::super) async fn woken(&self) {
            self.changed.notified().await;
        }

        /// The files that were renamed to final names since the last call.
        pub(in super::super) fn arrived(&self) -> HashSet<PathBuf> {
            std::mem::take(&mut lock(&self.heard).arrived)
        }
    }

    fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
        heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads events. One that says that the queue has overflowed wakes the scan as any other does.
    fn read(queue: &OwnedFd, heard: &Mutex<Heard>, changed: &Notify) {
        let mut buffer = [MaybeUninit::uninit(); 16_384];
        let mut reader = Reader::new(queue, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => lock(heard).note(&event),
                Err(Errno::INTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "inotify reports nothing any more; scans find what is new");
                    return;
                }
            }
            if reader.is_buffer_empty() {
                changed.notify_one();
            }
        }
    }

    impl Heard {
        fn note(&mut self, event: &Event<'_>) {
            let flags = event.events();
            if flags.contains(ReadFlags::IGNORED) {
                self.dirs.remove(&event.wd());
            }
            let name = event.file_name().map(|name| name.to_bytes());
            let dir = self.dirs.get(&event.wd());
            let (Some(name), Some(dir)) = (name.map(OsStr::from_bytes), dir) else {
                return;
            };
            if flags.contains(ReadFlags::MOVED_FROM) {
                if self.from.len() == HALVES {
                    self.from.clear();
                }
                self.from.insert(event.cookie(), names::is_temporary(name));
            } else if flags.contains(ReadFlags::MOVED_TO) {
                // Without the first half, the file came from elsewhere.
                let is_whole = self.from.remove(&event.cookie()).unwrap_or(true);
                if is_whole && !names::is_temporary(name) {
                    self.arrived.insert(dir.join(name));
                }
            }
        }
    }
}

/// Other systems have no inotify.
#[cfg(not(target_os = "linux"))]
mod nothing {
    use std::collections::HashSet;
    use std::convert::Infallible;
    use std::io;
    use std::path::{Path, PathBuf};

    #[derive(Debug)]
    pub(in super::super) struct Wake(Infallible);

    impl Wake {
        pub(in super::super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(in super::super) fn hear_of(&self, _: &Path) -> io::Result<()> {
            match self.0 {}
        }

        pub(in super::super) async fn woken(&self) {
            match self.0 {}
        }

        pub(in super::super) fn arrived(&self) -> HashSet<PathBuf> {
            match self.0 {}
        }
    }
}
