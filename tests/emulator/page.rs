//! The page, in a real browser and over plain sockets.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use chunkferry::emulator::{Emulator, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::client::{Answer, INBOX_INIT, Line, TOKEN, Upload, get, plan, post, sample, started};
use crate::webhooks;

const CLIP: &[u8] = include_bytes!("../../src/cli/demo/clip.mp4");

static CLIPS: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// A playable video of this size: the clip, and a `free` box that takes no room on disk.
pub(crate) fn clip(size: u64) -> PathBuf {
    let path = CLIPS.path().join(format!("{size}.mp4"));
    let mut file = File::create(&path).unwrap();
    file.write_all(CLIP).unwrap();
    if let Ok(free @ 8..) = u32::try_from(size - CLIP.len() as u64) {
        file.write_all(&free.to_be_bytes()).unwrap();
        file.write_all(b"free").unwrap();
        file.seek(SeekFrom::Start(size - 1)).unwrap();
        file.write_all(&[0]).unwrap();
    }
    path
}

/// An emulator that keeps what it receives, and our command beside it.
pub(crate) struct Scene {
    pub(crate) emulator: Emulator,
    state: TempDir,
}

impl Scene {
    pub(crate) fn start(set: &[&str], faults: &[&str]) -> Self {
        let mut settings = Settings::default();
        settings.set("processing_time", "0s").unwrap();
        set.iter().for_each(|pair| settings.set_pair(pair).unwrap());
        let mut builder = Emulator::builder().settings(settings).keep(100_000_000);
        for fault in faults {
            builder = builder.fault(fault.parse().unwrap());
        }
        Self {
            emulator: builder.start_blocking().unwrap(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, args: &[&str], creator: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
        command
            .args(args)
            .args(["--account", creator, "--api-base", &self.emulator.url()])
            .arg("--state-dir")
            .arg(self.state.path().join(creator))
            .env("TIKTOK_ACCESS_TOKEN", format!("act.{creator}.secret"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn upload(&self, file: &Path, creator: &str) -> Child {
        self.command(&["upload", file.to_str().unwrap()], creator)
            .spawn()
            .unwrap()
    }
}
