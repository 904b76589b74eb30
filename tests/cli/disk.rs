//! File systems that keep time in different ways.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A directory on some file system; what was mounted for it goes with it.
pub(crate) struct Disk {
    pub(crate) name: &'static str,
    dir: TempDir,
    mounted: Option<PathBuf>,
}

impl Disk {
    pub(crate) fn path(&self) -> &Path {
        self.mounted.as_deref().unwrap_or_else(|| self.dir.path())
    }

    /// The disk of this machine, memory (where mapped writes move no time), and ext3 with times of whole seconds.
    pub(crate) fn all() -> Vec<Self> {
        let plain = |name, dir: std::io::Result<TempDir>| Self {
            name,
            dir: dir.unwrap(),
            mounted: None,
        };
        let mut disks = vec![
            plain("disk", tempfile::tempdir()),
            plain("tmpfs", tempfile::tempdir_in("/dev/shm")),
        ];
        match Self::with_whole_seconds() {
            Some(disk) => disks.push(disk),
            None => println!(
                "NOT TESTED: times of whole seconds need root, mkfs.ext3 and a loop device"
            ),
        }
        disks
    }

    fn with_whole_seconds() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (image, mounted) = (dir.path().join("image"), dir.path().join("mounted"));
        std::fs::create_dir(&mounted).unwrap();
        std::fs::File::create(&image)
            .unwrap()
            .set_len(400_000_000)
            .unwrap();
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).arg(&image);
            if program == "mount" {
                command.arg(&mounted);
            }
            command.output().is_ok_and(|output| output.status.success())
        };
        let made = run("mkfs.ext3", &["-q", "-F", "-I", "128"]) && run("mount", &["-o", "loop"]);
        made.then_some(Self {
            name: "ext3",
            dir,
            mounted: Some(mounted),
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(mounted) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(mounted).status();
        }
    }
}
