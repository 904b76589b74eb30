//! The files of targets, and the id that keeps the notices of two state directories apart.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::state::{State, VERSION};
use crate::Failure;

/// Most bytes of a file that are read.
const MOST: u64 = 1 << 20;

/// The directory of the files, in the state directory.
pub(super) fn dir(state_dir: &Path) -> PathBuf {
    state_dir.join("notify")
}

/// Makes the directory if need be, durably.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_names(dir.parent().unwrap_or(dir)),
    }
}

/// The state of a target; `None` if there is no file.
pub(super) fn load(path: &Path) -> Result<Option<State>, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "{}: {why}. Move the file away, and its target begins with the next notices.",
            path.display()
        ))
    };
    let Some(text) = read(path).map_err(|error| wrong(&format!("it cannot be read ({error})")))?
    else {
        return Ok(None);
    };
    let state: State = serde_json::from_slice(&text)
        .map_err(|error| wrong(&format!("it is no state of a target ({error})")))?;
    match state.version > VERSION {
        true => Err(Failure::usage(format!(
            "{}: it was written by a newer chunkferry (version {}, this one reads {VERSION}).",
            path.display(),
            state.version
        ))),
        false => Ok(Some(state)),
    }
}

/// The id of this state directory, 16 hexadecimal digits; made if there is none, or if a new one is `wanted`.
pub(super) fn id(dir: &Path, wanted: bool) -> Result<String, Failure> {
    let path = dir.join("id");
    let failed = |error: io::Error| cannot(&path, &error);
    if let Some(text) = read(&path).map_err(failed)?.filter(|_| !wanted) {
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        return is_id.then_some(text).ok_or_else(|| {
            let text =
                "it is no id of 16 hexadecimal digits. Move the file away, and a new one is made";
            Failure::usage(format!("{}: {text}.", path.display()))
        });
    }
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| failed(io::Error::other("the system gives no random bytes")))?;
    let id = hex::encode(bytes);
    replace(&path, id.as_bytes()).map_err(failed)?;
    Ok(id)
}

/// A file that cannot be written, as a failure of the start.
pub(super) fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::temporary(format!("{} cannot be written: {error}.", path.display()))
}

/// Replaces a file in one step, durably: after a power cut the file has the old text or the new one.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let make = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&new)
    };
    let mut file = match make() {
        // Left by a kill.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&new)?;
            make()?
        }
        made => made?,
    };
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_names)
}

fn sync_names(dir: &Path) -> io::Result<()> {
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // Some file systems know no sync of a directory.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// The bytes of a file; `None` if there is none. A link is not followed.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut options = OpenOptions::new();
    let options = options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    Ok(Some(text))
}
