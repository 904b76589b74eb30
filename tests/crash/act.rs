//! What may happen to a file while it is uploaded, or while the uploader is dead.

#![allow(unsafe_code)] // Mapped writers are part of it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use memmap2::MmapMut;
use tempfile::TempDir;

use crate::video;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Act {
    #[default]
    None,
    /// Other bytes near both ends: one version's first chunk and the other's last are no version.
    Edited,
    /// The same, with the time of modification put back.
    EditedUnderKeptTime,
    /// Deleted and written anew with other bytes and the same time of modification, perhaps under the same inode.
    Replaced,
    /// The same edit through a mapping whose pages were dirty before the upload began.
    Mapped,
    /// Another mode, another name and back, a link: no byte changes.
    Touched,
}

impl Act {
    pub(crate) const DURING: [Self; 5] = [
        Self::Edited,
        Self::EditedUnderKeptTime,
        Self::Replaced,
        Self::Mapped,
        Self::Touched,
    ];

    pub(crate) fn changes_bytes(self) -> bool {
        !matches!(self, Self::None | Self::Touched)
    }
}

/// The file of one case, and the change that it will undergo.
pub(crate) struct Subject {
    act: Act,
    pub(crate) path: PathBuf,
    map: Option<MmapMut>,
    _dir: TempDir,
}

impl Subject {
    /// A copy of `file` on disk, or in memory, where mapped writes move no time.
    pub(crate) fn of(file: &Path, act: Act, in_memory: bool) -> Self {
        let dir = match in_memory {
            true => tempfile::tempdir_in("/dev/shm"),
            false => tempfile::tempdir(),
        };
        let dir = dir.unwrap();
        let path = dir.path().join("clip.mp4");
        fs::copy(file, &path).unwrap();
        let map = (act == Act::Mapped).then(|| {
            let open = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            // SAFETY: nobody changes the length of this file.
            let mut map = unsafe { MmapMut::map_mut(&open).unwrap() };
            for at in places(map.len() as u64) {
                map[at as usize] ^= 1;
            }
            map
        });
        Self {
            act,
            path,
            map,
            _dir: dir,
        }
    }

    pub(crate) fn sha256(&self) -> String {
        video::sha256(&self.path)
    }

    pub(crate) fn act(&mut self) {
        let modified = || fs::metadata(&self.path).unwrap().modified().unwrap();
        let set_modified = |time| {
            let file = File::options().write(true).open(&self.path).unwrap();
            file.set_modified(time).unwrap();
        };
        match self.act {
            Act::None => {}
            Act::Edited => edit(&self.path),
            Act::EditedUnderKeptTime => {
                let before = modified();
                edit(&self.path);
                set_modified(before);
            }
            Act::Replaced => {
                let (before, copy) = (modified(), self.path.with_extension("copy"));
                fs::copy(&self.path, &copy).unwrap();
                fs::remove_file(&self.path).unwrap();
                fs::copy(&copy, &self.path).unwrap();
                edit(&self.path);
                set_modified(before);
            }
            Act::Mapped => {
                let map = self.map.as_mut().expect("mapped at the start");
                for at in places(map.len() as u64) {
                    map[at as usize] ^= 2;
                }
            }
            Act::Touched => {
                let other = self.path.with_extension("other");
                fs::set_permissions(&self.path, Permissions::from_mode(0o640)).unwrap();
                fs::rename(&self.path, &other).unwrap();
                fs::hard_link(&other, self.path.with_extension("link")).unwrap();
                fs::rename(&other, &self.path).unwrap();
            }
        }
    }
}

fn places(size: u64) -> [u64; 2] {
    [1000, size - 1000]
}

fn edit(file: &Path) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    for at in places(file.metadata().unwrap().len()) {
        file.write_all_at(b"edited", at).unwrap();
    }
}
