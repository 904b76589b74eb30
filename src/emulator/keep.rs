//! Keeps what arrives, where the user asked for it with a directory.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// The file of one upload, open at the start of a chunk.
///
/// A chunk that is sent again is written over what its first attempt left; the rename at the end makes
/// a whole file out of the `.part`.
pub(crate) struct Keep {
    file: File,
    path: PathBuf,
    end: u64,
}

impl Keep {
    pub(crate) async fn open(dir: &Path, publish_id: &str, first: u64) -> io::Result<Self> {
        fs::create_dir_all(dir).await?;
        let path = dir.join(format!("{publish_id}.part"));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let mut file = options.open(&path).await?;
        file.seek(SeekFrom::Start(first)).await?;
        Ok(Self {
            file,
            path,
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

    /// Gives the whole file its name.
    pub(crate) async fn complete(self, extension: &str) -> io::Result<()> {
        self.file.set_len(self.end).await?;
        // The id itself ends in a dot and digits, so the new ending is added, not exchanged.
        let mut name = self.path.with_extension("").into_os_string();
        name.push(".");
        name.push(extension);
        fs::rename(&self.path, name).await
    }
}
