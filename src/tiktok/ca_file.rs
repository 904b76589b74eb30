//! A file of certificates that are trusted besides the system's.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Remedy};

/// Largest file of certificates in bytes; a system's has a quarter of a MiB.
const MOST: u64 = 4 << 20;

/// A file of certificates in PEM, for [`Options::ca_file`](crate::Options::ca_file). Cheap to clone.
///
/// A regular file is read whenever a client is made. A pipe or a device, such as a shell's `<(…)`, can be read only once: its
/// content is kept for this value and its clones, so options that are made apart from each other need clones of one value.
#[derive(Debug, Clone)]
pub struct CaFile {
    path: Arc<Path>,
    kept: Arc<Mutex<Option<Arc<[u8]>>>>,
}

impl CaFile {
    /// The file of this path. It is read later.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into().into(),
            kept: Arc::default(),
        }
    }

    /// What the file holds. Blocks while it is read; a pipe waits for its writer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if it cannot be read, or has more than 4 MiB.
    pub fn pem(&self) -> Result<Arc<[u8]>, Error> {
        let is_read_once = std::fs::metadata(&self.path).is_ok_and(|found| !found.is_file());
        if !is_read_once {
            return self.read();
        }
        // Held while the pipe is read, so that others wait for its content.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(pem) => Ok(Arc::clone(pem)),
            None => Ok(Arc::clone(kept.insert(self.read()?))),
        }
    }

    fn read(&self) -> Result<Arc<[u8]>, Error> {
        let mut pem = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(MOST + 1).read_to_end(&mut pem));
        read.map_err(|error| self.unusable(&error.to_string()))?;
        match pem.len() as u64 > MOST {
            true => Err(self.unusable("it has more than 4 MiB")),
            false => Ok(pem.into()),
        }
    }

    pub(crate) fn unusable(&self, reason: &str) -> Error {
        Error::usage(format!(
            "{} is not usable as a file of CA certificates: {reason}.",
            self.path.display()
        ))
        .helped_by([Remedy::NameCaFile])
    }
}

impl<P: Into<PathBuf>> From<P> for CaFile {
    fn from(path: P) -> Self {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_read_once_for_all_clones_and_a_regular_file_each_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "one").expect("written");
        let file = CaFile::new(&path);
        assert_eq!(&*file.pem().expect("read"), b"one");
        std::fs::write(&path, "two").expect("written");
        assert_eq!(&*file.pem().expect("read"), b"two");

        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        let file = CaFile::new(&pipe);
        let readers =
            [file.clone(), file.clone()].map(|file| std::thread::spawn(move || file.pem()));
        // Blocks until one of them has opened the pipe.
        std::fs::write(&pipe, "three").expect("written");
        for reader in readers {
            let read = reader.join().expect("did not panic");
            assert_eq!(&*read.expect("read"), b"three");
        }
        assert_eq!(&*file.pem().expect("kept"), b"three");
    }
}
