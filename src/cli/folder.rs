//! Videos of folders that the command line names.

use std::io;
use std::path::{Path, PathBuf};

use chunkferry::{ErrorKind, Escaped};
use clap::Args;

use super::Failure;
use super::exit::Exit;
use super::glob::Glob;

/// Ends of the names of videos.
const VIDEOS: [&str; 4] = ["mp4", "mov", "m4v", "webm"];

#[derive(Debug, Args)]
pub(super) struct Folders {
    /// Also the folders in a folder
    #[arg(long)]
    recursive: bool,
    /// Of folders, only files that fit, such as night/**/*.mkv. Can be repeated [default: mp4, mov, m4v, webm]
    #[arg(long, value_name = "GLOB", value_parser = glob, hide = true)]
    include: Vec<Glob>,
    /// Of folders, no file that fits. Can be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob, hide = true)]
    exclude: Vec<Glob>,
}

fn glob(text: &str) -> Result<Glob, String> {
    match text.is_empty() {
        true => Err("it is a pattern such as *.mp4".to_owned()),
        false => Ok(Glob::new(text)),
    }
}

impl Folders {
    /// The files, and for each folder the videos in it by their names. Blocks.
    pub(super) fn files(&self, named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        let mut files = Vec::new();
        for path in named {
            match path.is_dir() {
                true => self.collect(path, path, &mut files)?,
                false => files.push(path.clone()),
            }
        }
        Ok(files)
    }

    fn collect(&self, root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
        let cannot = |error: io::Error| {
            let shown = Escaped::new(&*folder.to_string_lossy()).to_string();
            let text = format!("The folder {shown} cannot be read: {error}.");
            Failure::new(Exit::of(ErrorKind::Source), text)
        };
        let entries = std::fs::read_dir(folder).map_err(cannot)?;
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(cannot)?;
        let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            let is_hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if is_hidden || self.exclude.iter().any(|glob| glob.fits(&below)) {
                continue;
            }
            // A link to a file is a file; a link to a folder may lead in a circle.
            if path.is_dir() {
                if self.recursive && !path.is_symlink() {
                    self.collect(root, &path, files)?;
                }
            } else if self.takes(&below) {
                files.push(path);
            }
        }
        Ok(())
    }

    fn takes(&self, below: &str) -> bool {
        match self.include.is_empty() {
            false => self.include.iter().any(|glob| glob.fits(below)),
            true => Path::new(below)
                .extension()
                .and_then(|end| end.to_str())
                .is_some_and(|end| VIDEOS.contains(&end.to_ascii_lowercase().as_str())),
        }
    }
}

/// Refuses a path that cannot be a file of a manifest.
pub(super) fn is_video(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    match (metadata.is_dir(), metadata.is_file()) {
        (true, _) => Err("it is a directory; a line names one video".to_owned()),
        (_, true) => Ok(()),
        _ => Err("it is no regular file".to_owned()),
    }
}
