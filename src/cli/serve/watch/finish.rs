//! What becomes of a file whose job has ended: moved, or a reason beside it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chunkferry::{Escaped, JobRecord};

use super::folder::{Folder, State, shown};
use super::names;
use super::scan::Seen;

/// How long until a file that could not be moved is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// The most files of one name in a folder of delivered ones.
const MOST: u32 = 10_000;

/// How the first line of each reason ends.
const FIRST_LINE: &str = "was not sent by chunkferry.";

/// A file whose job has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) path: PathBuf,
    pub(super) job: JobRecord,
}

impl Ended {
    pub(super) fn is_delivered(&self) -> bool {
        let end = self.job.end.as_ref();
        end.is_some_and(|end| {
            ["delivered", "already_delivered", "sent"].contains(&end.outcome.as_str())
        })
    }
}

impl Folder {
    /// Does what follows from the end of a file's job. Blocks. Returns what is to be said.
    pub(super) fn finish(&mut self, ended: &Ended, said: &mut Vec<String>) {
        let path = &ended.path;
        let Some(file) = self.files.get_mut(path) else {
            return;
        };
        if fs::symlink_metadata(path).map_or(true, |now| Seen::of(&now) != file.seen) {
            // It is gone, or another file; the next scan shows which.
            self.files.remove(path);
            return;
        }
        if ended.is_delivered() {
            drop_reason(path);
            file.state = State::delivered(Some(Instant::now()), false);
            self.put_away(path, said);
            return;
        }
        file.state = State::Failed;
        let text = reason(path, &ended.job);
        let why = ended.job.end.as_ref().and_then(|end| end.why.as_deref());
        let why = Escaped::new(why.unwrap_or("the job was cancelled")).to_string();
        let account = Escaped::new(&ended.job.account).to_string();
        let name = shown(path);
        said.push(match write_reason(path, &text) {
            Ok(()) => format!("{name} was not sent for {account}: {why}"),
            Err(error) => {
                format!("{name} was not sent for {account}: {why} (no reason beside it: {error})")
            }
        });
    }

    /// Moves the delivered files whose time has come again. Blocks.
    pub(super) fn put_all_away(&mut self, said: &mut Vec<String>) {
        let now = Instant::now();
        let is_due = |state: &State| match state {
            State::Delivered { move_at, .. } => move_at.is_some_and(|at| at <= now),
            _ => false,
        };
        let files = self.files.iter();
        let due = files.filter(|(_, file)| is_due(&file.state));
        let due: Vec<PathBuf> = due.map(|(path, _)| path.clone()).collect();
        for path in due {
            self.put_away(&path, said);
        }
    }

    /// Moves a delivered file, where the entry says so, and removes its marker.
    fn put_away(&mut self, path: &Path, said: &mut Vec<String>) {
        let Some(file) = self.files.get_mut(path) else {
            return;
        };
        let entry = &self.scan.entry;
        let moved = match &entry.done_dir {
            Some(done) => move_to(done, &entry.root(), path, &file.seen),
            None => Ok(Moved::Stays),
        };
        match moved {
            Ok(Moved::Stays) => file.state = State::delivered(None, false),
            Ok(Moved::Away) => drop(self.files.remove(path)),
            Ok(Moved::Other) => {
                self.files.remove(path);
                return;
            }
            Err(error) => {
                if !matches!(file.state, State::Delivered { is_said: true, .. }) {
                    said.push(format!(
                        "{} was delivered, and cannot be moved to done_dir: {error}. It stays, and is not sent again; the move is tried again every minute.",
                        shown(path)
                    ));
                }
                file.state = State::delivered(Some(Instant::now() + AGAIN), true);
                return;
            }
        }
        let marker = names::marker(path.file_name().unwrap_or_default());
        // There may be none.
        let _ = fs::remove_file(path.with_file_name(marker));
    }
}

enum Moved {
    Away,
    Stays,
    /// Another file had come to the place meanwhile, and is there again.
    Other,
}

/// Moves a file into the folder of delivered ones, at the same path below it, and never over another file.
fn move_to(done: &Path, root: &Path, path: &Path, seen: &Seen) -> io::Result<Moved> {
    let below = path.strip_prefix(root).map_err(io::Error::other)?;
    let wanted = done.join(below);
    if let Some(dir) = wanted.parent() {
        fs::create_dir_all(dir)?;
    }
    let name = wanted.file_name().unwrap_or_default().to_owned();
    for number in 1..=MOST {
        let name = match number {
            1 => name.clone(),
            number => names::numbered(&name, number),
        };
        let to = wanted.with_file_name(name);
        match rename_to_new(path, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            renamed => renamed?,
        }
        if fs::symlink_metadata(&to).is_ok_and(|now| Seen::of(&now).is_renamed(seen)) {
            return Ok(Moved::Away);
        }
        rename_to_new(&to, path)?;
        return Ok(Moved::Other);
    }
    Err(io::Error::other("too many files there have its name"))
}

/// Renames a file, and fails if there is one of the new name.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Its file system does not know this kind.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            renamed => return Ok(renamed?),
        }
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Why a file was not sent, for people.
fn reason(path: &Path, job: &JobRecord) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end = job.end.as_ref();
    let why = end.and_then(|end| end.why.clone());
    let why = match end.map(|end| end.outcome.as_str()) {
        Some("cancelled") | None => "The job was cancelled.".to_owned(),
        _ => why.unwrap_or_else(|| "TikTok gave no reason.".to_owned()),
    };
    let who = match end.and_then(|end| end.who.as_deref()) {
        Some("creator") => "the creator of the account",
        Some("developer") => "the developer of the app",
        Some("service") => "TikTok",
        _ => "you",
    };
    let code = end.and_then(|end| end.code.as_deref());
    let code = code.map(|code| format!(" (TikTok's code {code})"));
    let at = end.map_or(job.updated, |end| end.at);
    let at = super::super::problem::time(at).unwrap_or_default();
    let text = [
        format!("{name} {FIRST_LINE}"),
        String::new(),
        format!("Why: {why}{}", code.unwrap_or_default()),
        format!("Who must act: {who}."),
        "What to do: remove what the reason names. Then export or copy the file once more, or, if it was right as it is, \
         change its time (touch). It counts as a new file then, and is sent."
            .to_owned(),
        format!("Account: {}", job.account),
        format!("Job: {}", job.id),
        format!("When: {at}"),
    ];
    let lines = text
        .iter()
        .map(|line| Escaped::new(line).to_string() + "\n");
    lines.collect()
}

/// Puts the reason beside the file, in one step. One that is there stays.
fn write_reason(path: &Path, text: &str) -> io::Result<()> {
    let reason = names::reason(path);
    if fs::symlink_metadata(&reason).is_ok() {
        return Ok(());
    }
    let mut hidden = OsString::from(".");
    hidden.push(reason.file_name().unwrap_or_default());
    let hidden = reason.with_file_name(hidden);
    // Left by a kill.
    let _ = fs::remove_file(&hidden);
    let mut file = fs::File::create_new(&hidden)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    rename_to_new(&hidden, &reason)
}

/// Removes the reason beside a file, if this program wrote it.
pub(super) fn drop_reason(path: &Path) {
    let reason = names::reason(path);
    let is_file = fs::symlink_metadata(&reason).is_ok_and(|found| found.is_file());
    let mut start = Vec::new();
    let read = |file: fs::File| file.take(2_048).read_to_end(&mut start);
    if !is_file || fs::File::open(&reason).and_then(read).is_err() {
        return;
    }
    let start = String::from_utf8_lossy(&start);
    if start
        .lines()
        .next()
        .is_some_and(|line| line.ends_with(FIRST_LINE))
    {
        // A folder that is not writable keeps it.
        let _ = fs::remove_file(&reason);
    }
}
