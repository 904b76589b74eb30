//! `demo`: the main job on this machine alone, with a kill and a broken chunk on the way.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Stdio;

use chunkferry::Escaped;
use chunkferry::emulator::{Process, SessionLog};
use clap::Args;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::exit::Exit;
use super::terminal;
use super::{Failure, Globals};

/// Upload a sample to an emulator, kill the upload on the way, and watch it arrive
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry demo")]
pub(super) struct Demo {}

/// Three seconds of H.264 in MP4; `clip.sh` beside it made it.
const CLIP: &[u8] = include_bytes!("demo/clip.mp4");

/// A token of the emulator's creator "demo".
const TOKEN: &str = "act.demo.1";

/// The sample's size in bytes: the clip and a `free` box of zeros.
const SIZE: u64 = 340_000_000;

/// Share of the sample, in percent, after which the uploader is killed.
const KILL_AT: u64 = 40;

/// One chunk of the second run breaks off after 3 MB.
const FAULT: &str = "put chunk=24 nth=1 cut=3MB";

impl Demo {
    pub(super) async fn run(&self, _: &Globals) -> Result<Exit, Failure> {
        let failed =
            |error: io::Error| Failure::temporary(format!("The demo cannot run here: {error}"));
        let dir = tempfile::tempdir().map_err(failed)?;
        let sample = dir.path().join("sample.mp4");
        make_sample(&sample).map_err(failed)?;
        let emulator = start_emulator(dir.path()).map_err(failed)?;
        let url = emulator.url();
        eprintln!("An emulator of TikTok's upload API listens on {url}, at 40 MB/s.");
        eprintln!("Uploading a video of {} MB to it:", SIZE / 1_000_000);

        let mut upload = Run::start(&sample, dir.path(), url).map_err(failed)?;
        let sent = upload
            .until(|confirmed| confirmed * 100 >= SIZE * KILL_AT)
            .await
            .map_err(failed)?;
        if sent * 100 < SIZE * KILL_AT {
            return Err(Failure::temporary(format!(
                "The demo's upload ended by itself, before it could be killed. {}",
                upload.complaint
            )));
        }
        upload.child.kill().await.map_err(failed)?;
        eprintln!(
            "\nKilled (SIGKILL) after {} MB were accepted. The same command again:",
            sent / 1_000_000
        );

        let mut upload = Run::start(&sample, dir.path(), url).map_err(failed)?;
        upload.until(|_| false).await.map_err(failed)?;
        let ended = upload.child.wait().await.map_err(failed)?;
        let log = emulator.client().log().map_err(failed)?;
        let again: u64 = log.sessions.iter().map(SessionLog::sent_again).sum();
        // What it has kept goes with the directory.
        drop(emulator);
        // On a terminal it has said so itself.
        if !ended.success() && !upload.draws {
            eprintln!("{}", upload.complaint);
        }

        let received = log
            .sessions
            .iter()
            .find_map(|session| session.sha256.clone());
        let equal = received.is_some() && received == Some(sha256(&sample).map_err(failed)?);
        println!(
            "{} {} · sha256 {} · killed once · bytes acknowledged then sent again: {again}",
            log.drafts,
            if log.drafts == 1 { "draft" } else { "drafts" },
            if equal { "equal" } else { "DIFFERENT" },
        );
        let good = ended.success() && log.drafts == 1 && equal && again == 0;
        Ok(if good { Exit::DELIVERED } else { Exit(1) })
    }
}

/// The clip, and a `free` box (ISO/IEC 14496-12, 8.1.2) up to the size; its zeros take no room on disk.
fn make_sample(path: &Path) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(CLIP)?;
    let free = u32::try_from(SIZE - CLIP.len() as u64).map_err(io::Error::other)?;
    file.write_all(&free.to_be_bytes())?;
    file.write_all(b"free")?;
    file.seek(SeekFrom::Start(SIZE - 1))?;
    file.write_all(&[0])?;
    file.sync_all()
}

/// The SHA-256 of a file in hexadecimal. Blocks.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn start_emulator(temp: &Path) -> io::Result<Process> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command
        .args(["emulator", "--listen", "127.0.0.1:0"])
        .args(["--set", "receive_rate=40MB", "--fault", FAULT])
        // What it keeps goes with the rest.
        .env("TMPDIR", temp);
    Process::spawn(&mut command)
}

fn lines(child: &mut Child) -> io::Result<Lines<BufReader<ChildStdout>>> {
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no standard output"))?;
    Ok(BufReader::new(stdout).lines())
}

/// `chunkferry upload` as its own process, which draws its own bar.
struct Run {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Whether it draws a bar; elsewhere than on a terminal the demo prints what happens.
    draws: bool,
    /// Why it ended without a draft, once it has.
    complaint: String,
}

fn narrate(told: &serde_json::Value, confirmed: u64) {
    match told["event"].as_str() {
        Some("progress") => eprintln!(
            "  {} of {} MB accepted",
            confirmed / 1_000_000,
            SIZE / 1_000_000
        ),
        Some("retry") => {
            let reason = told["reason"].as_str().unwrap_or_default();
            eprintln!("  {}; again", Escaped::new(reason));
        }
        _ => {}
    }
}

impl Run {
    fn start(sample: &Path, dir: &Path, url: &str) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("upload")
            .arg(sample)
            .args(["--json", "--account", "demo", "--api-base", url])
            .arg("--state-dir")
            .arg(dir.join("state"))
            .env("TIKTOK_ACCESS_TOKEN", TOKEN)
            .env("CHUNKFERRY_CONFIG", "/dev/null")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let lines = lines(&mut child)?;
        Ok(Self {
            child,
            lines,
            draws: terminal::draws(),
            complaint: String::new(),
        })
    }

    /// Reads the upload's output until enough bytes are accepted or the upload has ended. Returns the accepted bytes.
    async fn until(&mut self, enough: impl Fn(u64) -> bool) -> io::Result<u64> {
        let mut confirmed = 0;
        while let Some(line) = self.lines.next_line().await? {
            let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            confirmed = told["confirmed"].as_u64().unwrap_or(confirmed);
            if let Some(message) = told["error"]["message"].as_str() {
                message.clone_into(&mut self.complaint);
            }
            if !self.draws {
                narrate(&told, confirmed);
            }
            if enough(confirmed) {
                break;
            }
        }
        Ok(confirmed)
    }
}
