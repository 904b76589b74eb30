//! The file itself: where it is, who may write to it, and places in its text.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Failure;

/// Most bytes of a config file.
const MOST: u64 = 1 << 20;

/// A config file that was read.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
    mode: u32,
}

/// `chunkferry/config.toml` in the XDG config directory. A relative directory is ignored there, as XDG says.
pub(super) fn usual_path() -> Option<PathBuf> {
    let absolute = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let config = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(config.join("chunkferry/config.toml"))
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        open(path).map_err(|error| cannot(path, &error))?.check()
    }

    /// As [`read`](Self::read); `None` if there is no such file.
    pub(super) fn read_if_there(path: &Path) -> Result<Option<Self>, Failure> {
        match open(path) {
            Err(error) if missing(&error) => Ok(None),
            opened => Ok(Some(opened.map_err(|error| cannot(path, &error))?.check()?)),
        }
    }

    /// An error at a place of the text.
    pub(super) fn wrong(&self, at: Option<Range<usize>>, what: &str) -> Failure {
        let place = at.map(|at| place(&self.text, at.start)).unwrap_or_default();
        Failure::usage(format!("{}{place}: {what}.", self.path.display()))
    }

    /// Refuses a secret in a file that others can read.
    pub(super) fn keep_private(&self, secret: &Range<usize>) -> Result<(), Failure> {
        if self.mode & 0o077 == 0 {
            return Ok(());
        }
        let text = format!(
            "app.client_secret is a secret, and others can read this file (mode {:04o}): chmod 600 {}; or name client_secret_file or client_secret_command instead",
            self.mode & 0o7777,
            self.path.display()
        );
        Err(self.wrong(Some(secret.clone()), &text))
    }

    /// What a path in the file means: from the folder of the file, and with `~/` from the home directory.
    pub(super) fn path_of(&self, text: &str) -> Result<PathBuf, String> {
        if let Some(rest) = text.strip_prefix("~/") {
            let home = std::env::var_os("HOME").map(PathBuf::from);
            let home = home.filter(|home| home.is_absolute());
            let home = home.ok_or("begins with ~/, and HOME is not set")?;
            return Ok(home.join(rest));
        }
        if text.starts_with('~') {
            return Err("has to be a whole path: only ~/ stands for a home directory".to_owned());
        }
        let folder = self.path.parent().unwrap_or_else(|| Path::new("/"));
        Ok(folder.join(text))
    }
}

/// A file whose owner and mode were not looked at yet.
struct Opened {
    file: File,
    owner: u32,
}

impl Opened {
    /// Whoever writes this file decides where tokens go, so only this user and root may.
    fn check(self) -> Result<File, Failure> {
        let Self { file, owner } = self;
        let path = file.path.display();
        let us = rustix::process::geteuid().as_raw();
        if ![0, us].contains(&owner) {
            return Err(Failure::usage(format!(
                "{path} belongs to another user ({owner}), who could have tokens sent elsewhere. It has to belong to you or to root: chown {us} {path}"
            )));
        }
        if file.mode & 0o002 != 0 {
            return Err(Failure::usage(format!(
                "{path} can be written by everybody, who could have tokens sent elsewhere: chmod 600 {path}"
            )));
        }
        Ok(file)
    }
}

/// Opens and reads it. A pipe is not waited for; /dev/null is an empty file.
fn open(path: &Path) -> io::Result<Opened> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    let path = std::path::absolute(path)?;
    let is_null = metadata.file_type().is_char_device() && path == Path::new("/dev/null");
    if is_null {
        let (text, mode) = (String::new(), 0);
        let file = File { path, text, mode };
        return Ok(Opened { file, owner: 0 });
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        io::Error::other(format!("it is not UTF-8{}", place(&before, good)))
    })?;
    let file = File {
        path,
        text,
        mode: metadata.mode(),
    };
    let owner = metadata.uid();
    Ok(Opened { file, owner })
}

fn missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!(
        "The config file {} cannot be read: {error}.",
        path.display()
    ))
}

/// `, line 7, column 3` of a byte in a text.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!(", line {line}, column {column}")
}
