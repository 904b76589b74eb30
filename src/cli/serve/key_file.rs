//! The file of API keys, which is read again when it has changed.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::keys::ApiKeys;
use crate::Failure;

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// A file that changed so recently is read again: times of files are coarse, and the next change may leave them as they are.
const YOUNG: Duration = Duration::from_secs(3);

/// Most bytes of the file.
const MOST: u64 = 1 << 20;

/// The keys as they are now. When the file is broken, they stay as they were.
pub(super) type Current = watch::Receiver<Arc<ApiKeys>>;

/// Reads the file, and again whenever it has changed, for as long as somebody has the receiver.
pub(super) fn follow(path: PathBuf) -> Result<Current, Failure> {
    let mut file = KeyFile {
        path,
        seen: None,
        complaint: None,
    };
    let keys = file.read().map_err(|why| {
        let path = file.path.display();
        Failure::usage(format!(
            "The file of API keys {path} cannot be used: {why}."
        ))
    })?;
    let (sender, current) = watch::channel(Arc::new(keys));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            if sender.is_closed() {
                return;
            }
            // The file may be on a drive that does not answer.
            let looked = tokio::task::spawn_blocking(move || {
                let changed = file.look();
                (file, changed)
            });
            let Ok((again, changed)) = looked.await else {
                return;
            };
            file = again;
            if let Some(keys) = changed
                && keys != **sender.borrow()
            {
                let (path, count) = (file.path.display(), keys.len());
                eprintln!("The API keys of {path} were read again; there are {count}.");
                sender.send_replace(Arc::new(keys));
            }
        }
    });
    Ok(current)
}

struct KeyFile {
    path: PathBuf,
    /// The file that was read last; `None` if it may have changed since without a trace.
    seen: Option<Identity>,
    /// Why the file was not usable when it was read last.
    complaint: Option<String>,
}

/// Device, inode, size, and the times of the last changes.
type Identity = (u64, u64, u64, [i64; 4]);

fn identity(file: &Metadata) -> Identity {
    let times = [
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ];
    (file.dev(), file.ino(), file.size(), times)
}

impl KeyFile {
    /// The keys if the file has changed, or may have. A file that is not usable is reported once.
    fn look(&mut self) -> Option<ApiKeys> {
        let now = std::fs::metadata(&self.path).ok().as_ref().map(identity);
        if now.is_some() && now == self.seen {
            return None;
        }
        match self.read() {
            Ok(keys) => {
                self.complaint = None;
                Some(keys)
            }
            Err(why) => {
                if self.complaint.as_ref() != Some(&why) {
                    let path = self.path.display();
                    eprintln!("The API keys stay as they were, as {path} cannot be used: {why}.");
                    self.complaint = Some(why);
                }
                None
            }
        }
    }

    fn read(&mut self) -> Result<ApiKeys, String> {
        self.seen = None;
        let (file, text) = read(&self.path).map_err(|error| error.to_string())?;
        let changed = file.modified().ok();
        let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > YOUNG) {
            self.seen = Some(identity(&file));
        }
        check(&self.path, &file)?;
        ApiKeys::parse(&text)
    }
}

/// Whoever writes this file decides who has the service, so only this user and root may.
fn check(path: &Path, file: &Metadata) -> Result<(), String> {
    let path = path.display();
    let us = rustix::process::geteuid().as_raw();
    if ![0, us].contains(&file.uid()) {
        return Err(format!(
            "it belongs to another user ({}), who could add keys: chown {us} {path}",
            file.uid()
        ));
    }
    if file.mode() & 0o002 != 0 {
        return Err(format!(
            "it can be written by everybody, who could add keys: chmod 600 {path}"
        ));
    }
    Ok(())
}

/// Reads a file of the user's. A pipe is not waited for.
fn read(path: &Path) -> io::Result<(Metadata, String)> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok((metadata, text))
}
