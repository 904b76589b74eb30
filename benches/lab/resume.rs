//! How soon an upload that was killed sends its next byte.

use std::io::{self, BufRead, BufReader};
use std::process::Stdio;

use chunkferry::emulator::SessionLog;

use crate::scene::{Scene, median, sample};

const SIZE: u64 = 4_000_000_000;

pub(crate) struct Resumed {
    /// Milliseconds from the start of the process to the head of its first chunk at the server.
    pub(crate) first_byte: f64,
    /// Milliseconds that the process of an upload from the start takes for the same.
    pub(crate) from_the_start: f64,
    /// Bytes that were acknowledged and came again, in all rounds.
    pub(crate) again: u64,
}

pub(crate) fn resume(scene: &Scene, rounds: usize) -> io::Result<Resumed> {
    let file = sample(scene.dir.path(), "resumed.mp4", SIZE)?;
    let (mut first_bytes, mut fresh, mut again) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let state = scene.journal()?;
        let token = format!("act.lab{:08x}.1", fastrand::u32(..));
        let upload = || {
            let args = ["--json", "--chunk-size", "10MB"];
            let mut command = scene.upload(&file, state.path(), &scene.plain, &args);
            command
                .env("TIKTOK_ACCESS_TOKEN", &token)
                .stderr(Stdio::null());
            command
        };
        let client = scene.plain.client();
        let now = || client.usage().map(|usage| usage.now_us);
        let started = now()?;
        let mut child = upload().stdout(Stdio::piped()).spawn()?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let told: serde_json::Value = serde_json::from_str(&line?)?;
                if told["confirmed"]
                    .as_u64()
                    .is_some_and(|confirmed| confirmed >= SIZE / 10 * 9)
                {
                    break;
                }
            }
        }
        child.kill()?;
        child.wait()?;
        let log = client.log_of(&token)?;
        let first = log.sessions.iter().flat_map(|session| &session.puts).next();
        fresh.extend(first.map(|put| put.began_us.saturating_sub(started) as f64 / 1e3));
        let started = now()?;
        scene.run(&mut upload(), SIZE)?;
        let log = client.log_of(&token)?;
        let mut puts = log.sessions.iter().flat_map(|session| &session.puts);
        let next = puts.find(|put| put.began_us > started);
        first_bytes.extend(next.map(|put| (put.began_us - started) as f64 / 1e3));
        again += log.sessions.iter().map(SessionLog::sent_again).sum::<u64>();
    }
    std::fs::remove_file(file)?;
    Ok(Resumed {
        first_byte: median(first_bytes),
        from_the_start: median(fresh),
        again,
    })
}
