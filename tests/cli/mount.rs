//! Small file systems of their own, and other users, where root runs the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::Scene;

pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

impl Scene {
    /// The same command as a user with no rights.
    pub(crate) fn as_nobody(&self, of: &Command) -> Command {
        let program = self.path("chunkferry");
        // Not by this process: what another test starts meanwhile would hold it open for writing.
        let copied = Command::new("cp")
            .arg(of.get_program())
            .arg(&program)
            .status();
        assert!(copied.unwrap().success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(program).args(of.get_args()).env_clear();
        command.envs(of.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command.current_dir(self.path(""));
        command
    }
}

/// A file system in memory; gone when it is dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `None`, and said, where this may not be done.
    pub(crate) fn new(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let option = format!("size={size},mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(&at);
        match mount.output() {
            Ok(done) if done.status.success() => Some(Self(at)),
            _ => {
                eprintln!("skipped: nothing may be mounted here");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn remount(&self, how: &str) {
        let option = format!("remount,{how}");
        let done = Command::new("mount")
            .args(["-o", &option])
            .arg(&self.0)
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // The last run may have been killed a moment ago; a test may have done this itself.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
