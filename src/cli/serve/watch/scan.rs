//! What is in a watched folder: one look at its names, on a thread where that may block.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names;
use super::wake::Wake;
use crate::config::{PLACE, WatchEntry};
use crate::glob::Glob;
use crate::globals::account_name;

/// The version of a file, as the file system shows it. Attributes count, too: a file whose rights were mended is another one. So it
/// differs for each content, and at times for equal ones, which the engine finds out by the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) ctime_ns: i64,
}

impl Seen {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether this is the same content under another name: a rename moves the time of change alone.
    pub(super) fn is_renamed(&self, other: &Self) -> bool {
        let but_for_ctime = Self {
            ctime_ns: self.ctime_ns,
            ..*other
        };
        *self == but_for_ctime
    }
}

/// A file that the folder's patterns let in.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// The watched folder, with the account's name in its place.
    pub(super) folder: Arc<Path>,
    pub(super) account: Arc<str>,
    pub(super) seen: Seen,
    /// A marker says that it is complete, and is not older than the file.
    pub(super) marked: bool,
}

/// What one look has found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<Found>,
    /// Device and inode of each file under a temporary name.
    pub(super) temporary: HashSet<(u64, u64)>,
    /// Device and inode of each folder of delivered files, under whatever name: one that was looked into would go round for ever.
    done: HashSet<(u64, u64)>,
    /// What is left alone or cannot be read, and why.
    pub(super) remarks: BTreeSet<(PathBuf, String)>,
}

/// What to look for.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) entry: WatchEntry,
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    /// Folders that hold delivered files, of all entries.
    done: Vec<PathBuf>,
    pub(super) wake: Option<Arc<Wake>>,
}

impl Scan {
    pub(super) fn new(entry: WatchEntry, done: Vec<PathBuf>, wake: Option<Arc<Wake>>) -> Self {
        let globs = |texts: &[String]| texts.iter().map(|text| Glob::new(text)).collect();
        Self {
            include: globs(&entry.include),
            exclude: globs(&entry.exclude),
            entry,
            done,
            wake,
        }
    }

    /// Lists the folder.
    ///
    /// # Errors
    ///
    /// If the folder itself, or the one that holds the accounts' folders, cannot be read.
    pub(super) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let done = self.done.iter().filter_map(|dir| fs::metadata(dir).ok());
        listing.done = done.map(|dir| (dir.dev(), dir.ino())).collect();
        let path = &self.entry.path;
        let Some(account) = &self.entry.account else {
            self.list_accounts(&mut listing)?;
            return Ok(listing);
        };
        let folder = Folder {
            path: path.as_path().into(),
            account: account.as_str().into(),
        };
        self.list_dir(&folder, path, &mut listing)?;
        Ok(listing)
    }

    /// Each folder in the place of the account's name is that account's.
    fn list_accounts(&self, listing: &mut Listing) -> io::Result<()> {
        let root = self.entry.root();
        let parts = self.entry.path.components();
        let below = parts.skip_while(|part| part.as_os_str() != PLACE).skip(1);
        let below: PathBuf = below.collect();
        self.hear_of(&root, listing);
        for found in fs::read_dir(&root)? {
            let found = found?;
            let dir = found.path();
            if names::is_temporary(&found.file_name()) {
                continue;
            }
            let kind = found.file_type()?;
            if kind.is_symlink() {
                listing.remark(dir, "it is a link, which is not followed");
                continue;
            }
            if !kind.is_dir() || listing.is_done(&found) {
                continue;
            }
            let name = found.file_name();
            let account = name.to_str().map(account_name);
            let Some(Ok(account)) = account else {
                listing.remark(dir, "its name is no name of an account");
                continue;
            };
            let path = match below.as_os_str().is_empty() {
                true => dir,
                false => dir.join(&below),
            };
            let folder = Folder {
                path: path.as_path().into(),
                account: account.into(),
            };
            match self.list_dir(&folder, &path, listing) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    listing.remark(path, &format!("it cannot be read: {error}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn list_dir(&self, folder: &Folder, dir: &Path, listing: &mut Listing) -> io::Result<()> {
        // Before its names are read, so that no file comes in between.
        self.hear_of(dir, listing);
        let mut markers: HashMap<OsString, i64> = HashMap::new();
        let mut files = Vec::new();
        for found in fs::read_dir(dir)? {
            let found = found?;
            let kind = found.file_type()?;
            let name = found.file_name();
            if kind.is_dir() {
                let path = found.path();
                let is_looked_into = self.entry.recursive && !names::is_temporary(&name);
                if is_looked_into && !listing.is_done(&found) {
                    match self.list_dir(folder, &path, listing) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            listing.remark(path, &format!("it cannot be read: {error}"));
                        }
                        _ => {}
                    }
                }
                continue;
            }
            let is_temporary = names::is_temporary(&name);
            if !is_temporary && !names::is_remark(&name) && !self.lets_in(folder, &found.path()) {
                continue;
            }
            if kind.is_symlink() {
                if !is_temporary {
                    listing.remark(found.path(), "it is a link, which is not followed");
                }
                continue;
            }
            let metadata = match found.metadata() {
                // It went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if !metadata.is_file() {
                continue;
            }
            let seen = Seen::of(&metadata);
            if is_temporary {
                listing.temporary.insert((seen.device, seen.inode));
            } else if names::is_remark(&name) {
                markers.insert(name, seen.ctime_ns);
            } else {
                files.push((found, seen));
            }
        }
        let found = |(file, seen): (DirEntry, Seen)| {
            let marker = markers.get(&names::marker(&file.file_name()));
            Found {
                path: file.path(),
                folder: Arc::clone(&folder.path),
                account: Arc::clone(&folder.account),
                seen,
                // Of a file that was written anew, an older marker says nothing.
                marked: marker.is_some_and(|marked| *marked >= seen.ctime_ns),
            }
        };
        listing.files.extend(files.into_iter().map(found));
        Ok(())
    }

    /// Whether the patterns are for this file.
    fn lets_in(&self, folder: &Folder, path: &Path) -> bool {
        let below = path.strip_prefix(&folder.path).unwrap_or(path);
        let below = below.to_string_lossy();
        let one_fits = |globs: &[Glob]| globs.iter().any(|glob| glob.fits(&below));
        one_fits(&self.include) && !one_fits(&self.exclude)
    }

    fn hear_of(&self, dir: &Path, listing: &mut Listing) {
        let Some(wake) = &self.wake else { return };
        // A folder that is gone is said by whoever reads its names.
        if let Err(error) = wake.hear_of(dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            let text = format!("inotify does not report its changes ({error}): scans find them");
            listing.remark(dir.to_owned(), &text);
        }
    }
}

/// A watched folder of an account.
struct Folder {
    path: Arc<Path>,
    account: Arc<str>,
}

impl Listing {
    /// Whether a folder is one of delivered files, or cannot be known.
    fn is_done(&self, dir: &DirEntry) -> bool {
        let id = dir.metadata().map(|dir| (dir.dev(), dir.ino()));
        id.map_or(true, |id| self.done.contains(&id))
    }

    fn remark(&mut self, path: PathBuf, text: &str) {
        self.remarks.insert((path, text.to_owned()));
    }
}
