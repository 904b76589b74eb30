//! Stores received videos, so that they can be viewed.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;
use tokio::fs::{self, DirBuilder, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// The place for received files.
#[derive(Debug)]
pub(crate) enum Storage {
    /// Keeps everything in a directory of the user; an upload that cannot be stored is refused.
    UserDir(PathBuf),
    /// Keeps the last `most` bytes until the server ends; an upload that cannot be stored is only not shown. The
    /// directory is made for the first upload.
    Temporary {
        most: u64,
        dir: OnceLock<TempStorage>,
    },
}

/// A directory that is removed with its server and locked while the server runs. An unlocked one belonged to a killed
/// server; the next server that keeps anything removes it.
#[derive(Debug)]
pub(crate) struct TempStorage {
    dir: TempDir,
    _lock: std::fs::File,
}

const PREFIX: &str = "chunkferry-emulator-";

impl TempStorage {
    fn new() -> io::Result<Self> {
        sweep(&std::env::temp_dir());
        loop {
            let dir = private_dir()?;
            let lock = std::fs::File::open(dir.path())?;
            // On a file system without locks, no server can take it for an abandoned one either.
            let _ = lock.lock();
            // Another server may have removed it as abandoned.
            if dir.path().is_dir() {
                return Ok(Self { dir, _lock: lock });
            }
        }
    }
}

#[cfg(unix)]
fn private_dir() -> io::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let private = std::fs::Permissions::from_mode(0o700);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).permissions(private).tempdir()
}

#[cfg(not(unix))]
fn private_dir() -> io::Result<TempDir> {
    TempDir::with_prefix(PREFIX)
}

/// Removes the directories of killed servers in `temp`, as far as permissions allow.
fn sweep(temp: &Path) {
    let entries = std::fs::read_dir(temp).into_iter().flatten().flatten();
    for entry in entries {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let left = std::fs::File::open(entry.path()).ok();
        if let Some(left) = left.filter(|left| left.try_lock().is_ok()) {
            let removed = std::fs::remove_dir_all(entry.path());
            tracing::debug!(dir = %entry.path().display(), ?removed, "left by a killed emulator");
            drop(left);
        }
    }
}

impl Storage {
    pub(crate) fn temporary(most: u64) -> Self {
        Self::Temporary {
            most,
            dir: OnceLock::new(),
        }
    }

    /// Most bytes, if there is a limit.
    pub(crate) fn most(&self) -> Option<u64> {
        match self {
            Self::UserDir(_) => None,
            Self::Temporary { most, .. } => Some(*most),
        }
    }

    /// The place for one upload; its file does not exist yet.
    pub(crate) fn place(&self, publish_id: &str, size: u64) -> io::Result<StoredFile> {
        let file = Names {
            part: self.dir()?.join(format!("{publish_id}.part")),
            temporary: self.most().is_some(),
        };
        Ok(StoredFile {
            file: Arc::new(file),
            ending: None,
            size,
        })
    }

    fn dir(&self) -> io::Result<&Path> {
        match self {
            Self::UserDir(dir) => Ok(dir),
            Self::Temporary { dir, .. } => {
                if let Some(made) = dir.get() {
                    return Ok(made.dir.path());
                }
                let made = TempStorage::new()?;
                Ok(dir.get_or_init(|| made).dir.path())
            }
        }
    }
}

/// The file of one upload, partial or complete.
///
/// In a temporary directory the file is removed with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    file: Arc<Names>,
    /// The file extension, once the file is complete.
    ending: Option<&'static str>,
    /// Bytes that the file has or will have.
    pub(crate) size: u64,
}

#[derive(Debug)]
struct Names {
    part: PathBuf,
    temporary: bool,
}

impl Names {
    /// Only in a user's directory does a complete file get a name of its own.
    fn whole(&self, ending: &str) -> PathBuf {
        if self.temporary {
            return self.part.clone();
        }
        // The id itself ends in a dot and digits, so the extension is added, not replaced.
        let mut name = self.part.with_extension("").into_os_string();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if self.temporary {
            // The file may never have been written; its directory is removed at the end in any case.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

impl StoredFile {
    /// The same place with room for `size` bytes.
    pub(crate) fn grown(self, size: u64) -> Self {
        Self {
            size: size.max(self.size),
            ..self
        }
    }

    /// The complete file and its extension.
    pub(crate) fn whole(&self) -> Option<(PathBuf, &'static str)> {
        let ending = self.ending?;
        Some((self.file.whole(ending), ending))
    }
}

/// A received file, open for writing at the start of a chunk.
///
/// A repeated chunk overwrites what its first attempt left; the rename at the end turns the `.part` into the complete
/// file.
pub(crate) struct PartFile {
    file: File,
    place: StoredFile,
    end: u64,
}

impl PartFile {
    pub(crate) async fn open(place: StoredFile, first: u64) -> io::Result<Self> {
        let path = &place.file.part;
        let mut dir = DirBuilder::new();
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        // Videos are private to the user.
        #[cfg(unix)]
        {
            dir.mode(0o700);
            options.mode(0o600);
        }
        let parent = path.parent().unwrap_or_else(|| Path::new("."));
        dir.recursive(true).create(parent).await?;
        let mut file = options.open(path).await?;
        file.seek(SeekFrom::Start(first)).await?;
        Ok(Self {
            file,
            place,
            end: first,
        })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.end += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.file.flush().await
    }

    /// Renames the complete file.
    pub(crate) async fn complete(self, ending: &'static str) -> io::Result<StoredFile> {
        self.file.set_len(self.end).await?;
        let kept = &self.place.file;
        fs::rename(&kept.part, kept.whole(ending)).await?;
        Ok(StoredFile {
            ending: Some(ending),
            ..self.place
        })
    }
}
