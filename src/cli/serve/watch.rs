//! The folders of `[[watch]]`: each file that is complete becomes a job of the queue.
//!
//! A scan is the truth; inotify only wakes it. Nothing is kept here over a restart: each file is submitted again then, under an id that
//! follows from the file, so that it is the same job.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chunkferry::Engine;
use tokio::task::JoinSet;

use super::notify::Notify;
use crate::Failure;
use crate::config::WatchEntry;

mod finish;
mod folder;
mod names;
mod run;
mod scan;
mod shown;
mod wake;

use folder::{Folder, shown};
use run::Watcher;
use scan::Scan;
use shown::Shown;
pub(super) use shown::{list, write_metrics};
use wake::Wake;

/// How long a drive may take at the start to show that a folder for delivered files is on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The watched folders of a service.
pub(super) struct Watches {
    entries: Vec<WatchEntry>,
    /// What requests see of each.
    shown: Vec<Arc<Shown>>,
}

/// The tasks that watch.
pub(super) struct Watching(JoinSet<()>);

impl Watches {
    /// Checks the entries, before anything is opened.
    pub(super) async fn prepare(
        entries: Vec<WatchEntry>,
        notify: &Notify,
    ) -> Result<Self, Failure> {
        for entry in &entries {
            if let Some(name) = entry.notify.as_ref().filter(|name| !notify.has(name)) {
                let text =
                    format!("the notify \"{name}\" is no entry of [[notify]] in the config file");
                return Err(wrong(entry, &text));
            }
            if let Some(done) = entry.done_dir.clone() {
                let root = entry.root();
                let checked = tokio::task::spawn_blocking(move || check_done(&root, &done));
                // A drive that does not answer is a matter of the scan.
                if let Ok(Ok(checked)) = tokio::time::timeout(PATIENCE, checked).await {
                    checked.map_err(|why| wrong(entry, &why))?;
                }
            }
        }
        let shown = entries.iter().map(|entry| Arc::new(Shown::new(entry)));
        Ok(Self {
            shown: shown.collect(),
            entries,
        })
    }

    /// Begins to watch.
    pub(super) fn start(&self, engine: &Engine) -> Result<Watching, Failure> {
        let done = self.entries.iter().filter_map(|of| of.done_dir.clone());
        let done: Vec<PathBuf> = done.collect();
        let mut tasks = JoinSet::new();
        for (entry, shown) in self.entries.iter().zip(&self.shown) {
            let wake = match entry.inotify {
                true => wake(entry),
                false => None,
            };
            let scan = Scan::new(entry.clone(), done.clone(), wake);
            let watcher = Watcher::new(engine.clone(), Folder::new(scan), Arc::clone(shown))?;
            tasks.spawn(watcher.run());
        }
        Ok(Watching(tasks))
    }
}

impl Watching {
    /// Submits nothing any more.
    pub(super) async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

fn wake(entry: &WatchEntry) -> Option<Arc<Wake>> {
    match Wake::new() {
        Ok(wake) => Some(Arc::new(wake)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
        Err(error) => {
            say(
                entry,
                &format!("There is no inotify ({error}), so each scan finds what is new."),
            );
            None
        }
    }
}

fn say(entry: &WatchEntry, text: &str) {
    eprintln!("Watched folder {}: {text}", shown(&entry.path));
}

fn wrong(entry: &WatchEntry, why: &str) -> Failure {
    Failure::usage(format!(
        "The watched folder {} cannot be used: {why}.",
        shown(&entry.path)
    ))
}

/// Whether files can be moved from beneath `root` to `done`, which is made if need be.
fn check_done(root: &Path, done: &Path) -> Result<(), String> {
    let Ok(of_root) = root.metadata() else {
        // The scan says so.
        return Ok(());
    };
    let cannot = |error: io::Error| format!("its done_dir {} {error}", shown(done));
    std::fs::create_dir_all(done)
        .map_err(|error| cannot(io::Error::other(format!("cannot be made: {error}"))))?;
    let of_done = done
        .metadata()
        .map_err(|error| cannot(io::Error::other(format!("cannot be read: {error}"))))?;
    if (of_root.dev(), of_root.ino()) == (of_done.dev(), of_done.ino()) {
        return Err("its done_dir is the watched folder itself".to_owned());
    }
    if of_root.dev() != of_done.dev() || mount(root) != mount(done) {
        return Err(format!(
            "its done_dir {} is on another file system, and a delivered file is moved in one step or not at all. Name a folder on the same one",
            shown(done)
        ));
    }
    Ok(())
}

/// The number of the mount that a folder is on, where the system has one: no file is renamed from one mount to another.
fn mount(dir: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
        let stat = statx(CWD, dir, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
        let is_known = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        is_known.then_some(stat.stx_mnt_id)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        None
    }
}
