//! What every run needs: the sample, the sinks, and places for journals.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use chunkferry::emulator::Process;
use tempfile::TempDir;

use crate::cost::{self, Cost};

pub(crate) const CHUNKFERRY: &str = env!("CARGO_BIN_EXE_chunkferry");

pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) size: u64,
    pub(crate) file: PathBuf,
    pub(crate) plain: Process,
    pub(crate) tls: Process,
    pub(crate) ca_file: PathBuf,
}

/// One run of anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) cost: Cost,
    pub(crate) bytes: u64,
}

impl Run {
    /// GiB a second, from the start of the process to its end.
    pub(crate) fn rate(&self) -> f64 {
        self.gib() / self.cost.wall
    }

    /// Seconds of CPU time for each GiB.
    pub(crate) fn cpu(&self) -> f64 {
        self.cost.cpu / self.gib()
    }

    fn gib(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 30)
    }
}

impl Scene {
    pub(crate) fn new(size: u64) -> io::Result<Self> {
        // Beside the build, where a disk is: what is synced shall cost what it costs.
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let file = sample(dir.path(), "sample.mp4", size)?;
        let ca_file = dir.path().join("ca.pem");
        Ok(Self {
            size,
            file,
            plain: emulator(["--sink"])?,
            tls: emulator(["--sink".as_ref(), "--tls".as_ref(), ca_file.as_os_str()])?,
            ca_file,
            dir,
        })
    }

    /// `chunkferry upload` of `file`, with a journal of its own below `state`.
    pub(crate) fn upload(
        &self,
        file: &Path,
        state: &Path,
        sink: &Process,
        args: &[&str],
    ) -> Command {
        let mut command = Command::new(CHUNKFERRY);
        command
            .args(["upload", "--no-wait", "--content-type", "video/mp4"])
            .args(["--api-base", sink.url(), "--ca-file"])
            .arg(&self.ca_file)
            .arg("--state-dir")
            .arg(state)
            .args(args)
            .arg(file)
            .env(
                "TIKTOK_ACCESS_TOKEN",
                format!("act.lab{:08x}.1", fastrand::u32(..)),
            );
        command
    }

    /// Runs it, and sees to it that it did what it should.
    pub(crate) fn run(&self, command: &mut Command, bytes: u64) -> io::Result<Run> {
        let cost = cost::run(command)?;
        Ok(Run { cost, bytes })
    }

    /// An empty journal's place.
    pub(crate) fn journal(&self) -> io::Result<TempDir> {
        TempDir::new_in(&self.dir)
    }
}

/// An emulator whose only limits are these arguments.
pub(crate) fn emulator<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> io::Result<Process> {
    let mut command = Command::new(CHUNKFERRY);
    command.args(["emulator", "--listen", "127.0.0.1:0"]).args([
        "--set",
        "limits=off",
        "--set",
        "processing_time=0s",
    ]);
    Process::spawn(command.args(args))
}

/// A file of bytes that no file system folds, in memory as far as there is room.
pub(crate) fn sample(dir: &Path, name: &str, size: u64) -> io::Result<PathBuf> {
    let path = dir.join(name);
    let mut file = File::create(&path)?;
    let mut block = vec![0; 1 << 20];
    fastrand::Rng::with_seed(size).fill(&mut block);
    let mut left = size;
    while left > 0 {
        let part = left.min(block.len() as u64);
        file.write_all(&block[..part as usize])?;
        left -= part;
    }
    file.sync_all()?;
    io::copy(&mut File::open(&path)?, &mut io::sink())?;
    Ok(path)
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
