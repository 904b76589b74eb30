//! What is known of the files that are in a watched folder now. Nothing of it is kept over a restart: the queue knows the jobs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunkferry::{Completeness, Escaped, Job, completeness};
use sha2::{Digest, Sha256};

use super::scan::{Found, Listing, Scan, Seen};

/// How often an unfinished file that nobody writes to is looked at although it does not change.
const AGAIN: Duration = Duration::from_secs(30);

/// For how long an unfinished file is unchanged, and without a writer, before that is said.
const STUCK: Duration = Duration::from_secs(600);

/// The memory of a watched folder.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) scan: Scan,
    pub(super) files: HashMap<PathBuf, File>,
    /// The files of the jobs that have not ended, by the numbers of the jobs.
    pub(super) jobs: HashMap<u64, PathBuf>,
    /// Device and inode of each file that had a temporary name at the last scan.
    temporary: HashSet<(u64, u64)>,
    /// What was said of the folder, and is still so.
    said: BTreeSet<(PathBuf, String)>,
    /// Why the folder could not be read the last time.
    pub(super) problem: Option<String>,
}

/// A file that is in the folder.
#[derive(Debug)]
pub(super) struct File {
    pub(super) seen: Seen,
    pub(super) folder: Arc<Path>,
    pub(super) account: Arc<str>,
    pub(super) state: State,
}

/// How far a file is.
#[derive(Debug)]
pub(super) enum State {
    Waiting(Waiting),
    /// It is complete. `marked`: because a marker says so.
    Ready {
        marked: bool,
    },
    Submitted,
    /// It was delivered, and stays, or is moved at that time.
    Delivered {
        move_at: Option<Instant>,
        /// Whether it was said that it cannot be moved.
        is_said: bool,
    },
    Failed,
}

impl State {
    pub(super) const fn delivered(move_at: Option<Instant>, is_said: bool) -> Self {
        Self::Delivered { move_at, is_said }
    }
}

/// A file that is not complete.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) why: Arc<str>,
    /// It was renamed to its name in one step.
    came_whole: bool,
    since: Instant,
    look_at: Instant,
    is_written: bool,
    is_said: bool,
}

/// A file whose turn it is.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) path: PathBuf,
    pub(super) account: Arc<str>,
    mtime_ns: i64,
}

impl Folder {
    pub(super) fn new(scan: Scan) -> Self {
        Self {
            scan,
            files: HashMap::new(),
            jobs: HashMap::new(),
            temporary: HashSet::new(),
            said: BTreeSet::new(),
            problem: None,
        }
    }

    /// Looks at the folder once, and at each file that may have become complete. Blocks. Returns what is to be said.
    pub(super) fn look(&mut self) -> Vec<String> {
        let arrived = self.scan.wake.as_ref().map(|wake| wake.arrived());
        let mut said = Vec::new();
        match self.scan.list() {
            Ok(listing) => {
                if self.problem.take().is_some() {
                    said.push("The folder is there again.".to_owned());
                }
                self.take_in(listing, &arrived.unwrap_or_default(), &mut said);
            }
            Err(error) => self.cannot_list(&error, &mut said),
        }
        said
    }

    fn cannot_list(&mut self, error: &io::Error, said: &mut Vec<String>) {
        let why = format!("it cannot be read: {error}");
        if self.problem.as_ref() != Some(&why) {
            said.push(format!(
                "{}. Files are sent when it can be read again.",
                capitalised(&why)
            ));
        }
        self.problem = Some(why);
    }

    fn take_in(&mut self, listing: Listing, arrived: &HashSet<PathBuf>, said: &mut Vec<String>) {
        let new = listing.remarks.difference(&self.said);
        said.extend(new.map(|(path, text)| format!("{}: {text}.", shown(path))));
        self.said = listing.remarks;
        let mut before = std::mem::take(&mut self.files);
        for found in listing.files {
            let known = before.remove(&found.path);
            let place = (found.seen.device, found.seen.inode);
            let came_whole = arrived.contains(&found.path) || self.temporary.contains(&place);
            let mut file = match known {
                Some(known) if known.seen == found.seen && known.folder == found.folder => known,
                _ => File::new(&found),
            };
            if let State::Waiting(waiting) = &mut file.state
                && came_whole
            {
                waiting.came_whole = true;
                waiting.look_at = Instant::now();
            }
            file.look(&found, self.scan.entry.settle, said);
            self.files.insert(found.path, file);
        }
        self.temporary = listing.temporary;
        let files = &self.files;
        self.jobs.retain(|_, path| {
            let file = files.get(path);
            file.is_some_and(|file| matches!(file.state, State::Submitted))
        });
    }

    /// The files that are complete and not submitted, in the order of their turns.
    pub(super) fn ready(&self) -> Vec<Ready> {
        let ready = self.files.iter();
        let ready = ready.filter(|(_, file)| matches!(file.state, State::Ready { .. }));
        let ready = ready.map(|(path, file)| Ready {
            path: path.clone(),
            account: Arc::clone(&file.account),
            mtime_ns: file.seen.mtime_ns,
        });
        let mut ready: Vec<Ready> = ready.collect();
        ready.sort_by(|one, other| (one.mtime_ns, &one.path).cmp(&(other.mtime_ns, &other.path)));
        ready
    }

    /// The job of a file.
    pub(super) fn job(&self, path: &Path) -> Option<Job> {
        let file = self.files.get(path)?;
        let entry = &self.scan.entry;
        let mut job = Job::file(path)
            .beneath(&file.folder)
            .account_name(&file.account)
            .id(&id(path, &file.seen));
        for (name, value) in &entry.labels {
            job = job.label(name, value);
        }
        if let Some(name) = &entry.notify {
            job = job.notify(name);
        }
        if let Some(settle) = entry.settle {
            job = job.settle(Duration::from_secs(settle));
        }
        let marked = matches!(file.state, State::Ready { marked: true });
        Some(if marked { job.allow_writer(true) } else { job })
    }

    /// Notes the job of a file.
    pub(super) fn submitted(&mut self, path: &Path, job: u64) {
        if let Some(file) = self.files.get_mut(path) {
            file.state = State::Submitted;
            self.jobs.insert(job, path.to_owned());
        }
    }

    /// Whether a file is written to at this moment, so that it has to be looked at soon.
    pub(super) fn is_written(&self) -> bool {
        let written = |file: &File| match &file.state {
            State::Waiting(waiting) => waiting.is_written,
            _ => false,
        };
        self.files.values().any(written)
    }
}

impl File {
    fn new(found: &Found) -> Self {
        let now = Instant::now();
        Self {
            seen: found.seen,
            folder: Arc::clone(&found.folder),
            account: Arc::clone(&found.account),
            state: State::Waiting(Waiting {
                why: "it was not looked at yet".into(),
                came_whole: false,
                since: now,
                look_at: now,
                is_written: false,
                is_said: false,
            }),
        }
    }

    /// Looks whether a file that waits is complete.
    fn look(&mut self, found: &Found, settle: Option<u64>, said: &mut Vec<String>) {
        let State::Waiting(waiting) = &mut self.state else {
            return;
        };
        if found.marked {
            self.state = State::Ready { marked: true };
            return;
        }
        let now = Instant::now();
        if now < waiting.look_at {
            return;
        }
        let settle = settle.map(Duration::from_secs);
        let looked = completeness(&found.path, Some(&found.folder), settle, waiting.came_whole);
        waiting.is_written = false;
        let why = match looked {
            Ok(Completeness::Complete) => {
                self.state = State::Ready { marked: false };
                return;
            }
            Ok(Completeness::Written(why)) => {
                waiting.is_written = true;
                waiting.since = now;
                waiting.why = why.into();
                return;
            }
            Ok(Completeness::Unfinished(why)) => why,
            Ok(_) => "it is not complete".to_owned(),
            Err(error) => super::super::message(&error),
        };
        waiting.look_at = now + AGAIN;
        waiting.why = why.into();
        if now - waiting.since >= STUCK && !waiting.is_said {
            waiting.is_said = true;
            let minutes = STUCK.as_secs() / 60;
            said.push(format!(
                "{} has not changed for {minutes} minutes, nobody has it open for writing, and it is not complete: {}. It is looked at again when it changes.",
                shown(&found.path),
                waiting.why
            ));
        }
    }
}

/// The caller's id of the job of a file: the same file has the same id after each restart. The device is left out, as its number may
/// change when a drive is mounted again; the time of change is in, as a person can set all else to what it was before.
fn id(path: &Path, seen: &Seen) -> String {
    let mut digest = Sha256::new();
    digest.update(path.as_os_str().as_bytes());
    digest.update([0]);
    for number in [seen.inode, seen.size] {
        digest.update(number.to_be_bytes());
    }
    for time in [seen.mtime_ns, seen.ctime_ns] {
        digest.update(time.to_be_bytes());
    }
    format!("watch:{}", hex::encode(&digest.finalize()[..16]))
}

/// A path for people.
pub(super) fn shown(path: &Path) -> String {
    Escaped::new(&*path.to_string_lossy()).to_string()
}

/// A sentence that begins with a small letter, as one that stands alone.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
