//! At 1 Gbit/s: does the journal, or the ledger, cost any of it?

use std::io;
use std::path::Path;

use chunkferry::emulator::Log;
use tempfile::TempDir;

use crate::scene::{Scene, emulator, median, sample};

const SIZE: u64 = 1_000_000_000;

/// Ratios of the transfer's time.
pub(crate) struct Gigabit {
    /// Journal on a disk, to journal in memory.
    pub(crate) journal: f64,
    /// With the ledger, to without it.
    pub(crate) ledger: f64,
    /// Of the rate that the line has.
    pub(crate) used: f64,
}

pub(crate) fn gigabit(scene: &Scene, rounds: usize) -> io::Result<Gigabit> {
    let file = sample(scene.dir.path(), "gigabit.mp4", SIZE)?;
    let rate = ["--set", "receive_rate=125MB", "--keep", "0"];
    let server = emulator(rate)?;
    let memory = Path::new("/dev/shm");
    let run = |in_memory: bool, args: &[&str]| -> io::Result<f64> {
        let state = match in_memory && memory.is_dir() {
            true => TempDir::new_in(memory)?,
            false => scene.journal()?,
        };
        let token = format!("act.lab{:08x}.1", fastrand::u32(..));
        let mut command = scene.upload(&file, state.path(), &server, args);
        scene.run(command.env("TIKTOK_ACCESS_TOKEN", &token), SIZE)?;
        transfer(&server.client().log_of(&token)?)
    };
    let (mut journal, mut ledger, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let on_disk = run(false, &[])?;
        journal.push(on_disk / run(true, &[])?);
        ledger.push(on_disk / run(false, &["--no-ledger"])?);
        used.push(SIZE as f64 / on_disk / 125e6);
    }
    std::fs::remove_file(file)?;
    Ok(Gigabit {
        journal: median(journal),
        ledger: median(ledger),
        used: median(used),
    })
}

/// Seconds from the head of the first chunk to the answer to the last one.
fn transfer(log: &Log) -> io::Result<f64> {
    let puts = || log.sessions.iter().flat_map(|session| &session.puts);
    let began = puts().map(|put| put.began_us).min();
    let ended = puts().filter_map(|put| put.answered_us).max();
    let micros = began.zip(ended).map(|(began, ended)| ended - began);
    let micros = micros.ok_or_else(|| io::Error::other("the emulator saw no chunk"))?;
    Ok(micros as f64 / 1e6)
}
