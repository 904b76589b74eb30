//! A file that the textfile collector of node_exporter reads.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chunkferry::Escaped;

use crate::Failure;

/// The file of `--metrics-textfile`.
#[derive(Debug, Clone)]
pub(crate) struct Textfile(PathBuf);

impl Textfile {
    /// The file of this option, whose directory must be there.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let file = Self(path.to_owned());
        match file.directory().is_dir() && path.file_name().is_some() && !path.is_dir() {
            true => Ok(file),
            false => Err(Failure::usage(format!(
                "{} cannot be the file of --metrics-textfile: name a file in a directory that is there.",
                file.shown()
            ))),
        }
    }

    /// Replaces the file as a whole, so that nobody reads half of it.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(self.directory())?;
        new.write_all(text.as_bytes())?;
        // node_exporter is another user.
        new.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
        new.persist(&self.0)?;
        Ok(())
    }

    /// The same, of a command that goes on whatever becomes of the file.
    pub(crate) fn write_or_say(&self, text: &str) {
        self.say(&self.write(text));
    }

    /// Says why the file was not written, if so.
    pub(crate) fn say(&self, written: &io::Result<()>) {
        if let Err(error) = written {
            eprintln!("{} was not written: {error}.", self.shown());
        }
    }

    fn directory(&self) -> &Path {
        let parent = self.0.parent();
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or_else(|| Path::new("."))
    }

    fn shown(&self) -> String {
        Escaped::new(&*self.0.to_string_lossy()).to_string()
    }
}
