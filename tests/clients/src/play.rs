//! One client, one fault, and what the emulator saw of it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::Anyhow;
use crate::client::Client;
use crate::emulator::{Emulator, Log};
use crate::faults::{Kill, Row};

/// A client that is still at it then is taken to hang. Ours waits for the answer to a chunk as long as a link of 32 kB/s
/// could need for it, six and a half minutes here.
const HANGS: Duration = Duration::from_secs(8 * 60);
/// How often a person, or a service manager, runs what has failed.
const RUNS: usize = 3;

pub(crate) struct Video {
    path: PathBuf,
    sha256: String,
}

impl Video {
    /// Bytes that do not repeat.
    pub(crate) fn new(dir: &Path, size: u64) -> Result<Self, Anyhow> {
        let path = dir.join(format!("{size}.mp4"));
        let (mut file, mut hash) = (File::create(&path)?, Sha256::new());
        let (mut state, mut left) = (size | 1, size as usize);
        while left > 0 {
            let block: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .take(1 << 13)
            .flatten()
            .take(left)
            .collect();
            file.write_all(&block)?;
            hash.update(&block);
            left -= block.len();
        }
        let sha256 = hash
            .finalize()
            .into_iter()
            .map(|byte| format!("{byte:02x}"));
        Ok(Self {
            path,
            sha256: sha256.collect(),
        })
    }
}

/// How a run ended, by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Success,
    Failure,
    /// It was killed, as the row has it.
    Killed,
    /// It did not end.
    Hung,
}

/// What the emulator had when a run had ended.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) said: Said,
    pub(crate) inits: u64,
    /// Posts with the bytes of the video.
    pub(crate) posts: usize,
    /// Posts with other bytes.
    pub(crate) garbled: usize,
    pub(crate) log_why: Option<String>,
    pub(crate) asked: u64,
}

/// Every run of one client under one fault.
pub(crate) type Cell = Vec<Seen>;

pub(crate) async fn row(
    command: &Path,
    client: Client,
    row: &Row,
    video: &Video,
) -> Result<Cell, Anyhow> {
    let emulator = Emulator::start(command, row.set, &row.scripts(client.last())).await?;
    let state = tempfile::tempdir()?;
    let mut runs = Vec::new();
    while runs.len() < RUNS {
        let kill = row.kill.filter(|_| runs.is_empty());
        let said = run(command, client, &emulator, video, state.path(), kill).await?;
        let seen = witness(&emulator, video, said).await?;
        runs.push(seen);
        if said == Said::Success {
            break;
        }
    }
    Ok(runs)
}

async fn run(
    command: &Path,
    client: Client,
    emulator: &Emulator,
    video: &Video,
    state: &Path,
    kill: Option<Kill>,
) -> Result<Said, Anyhow> {
    let mut process = client
        .run(command, &emulator.url, &video.path, state)?
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let started = Instant::now();
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(if status.success() {
                Said::Success
            } else {
                Said::Failure
            });
        }
        let hangs = started.elapsed() > HANGS;
        let due = match kill {
            None => false,
            Some(Kill::InChunk) => !emulator.log().await?.faults.is_empty(),
            Some(Kill::BeforeInbox) => {
                let log = emulator.log().await?;
                // A client that polls would wait for ever; one that does not poll ends by itself.
                !log.faults.is_empty()
                    && log.sessions.iter().any(|session| session.sha256.is_some())
            }
        };
        if due || hangs {
            kill_group(&mut process).await?;
            return Ok(if due { Said::Killed } else { Said::Hung });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Kills a script with the processes that it started.
async fn kill_group(process: &mut tokio::process::Child) -> Result<(), Anyhow> {
    if let Some(id) = process.id() {
        let group = format!("-{id}");
        tokio::process::Command::new("kill")
            .args(["-KILL", "--", &group])
            .status()
            .await?;
    }
    process.wait().await?;
    Ok(())
}

/// Reads the log once nothing in it moves any more.
async fn witness(emulator: &Emulator, video: &Video, said: Said) -> Result<Seen, Anyhow> {
    let mut log = emulator.log().await?;
    for _ in 0..50 {
        let moving = |log: &Log| {
            let mut sessions = log.sessions.iter();
            sessions
                .any(|session| session.sha256.is_some() && session.status.starts_with("PROCESSING"))
        };
        if !moving(&log) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        log = emulator.log().await?;
    }
    let posted = log
        .sessions
        .iter()
        .filter(|session| matches!(&*session.status, "SEND_TO_USER_INBOX" | "PUBLISH_COMPLETE"));
    let (posts, garbled): (Vec<_>, Vec<_>) =
        posted.partition(|session| session.sha256.as_ref() == Some(&video.sha256));
    let refused = log.sessions.iter().flat_map(|session| &session.puts);
    let refused = refused.filter(|put| put.http_status.is_some_and(|status| status >= 400));
    Ok(Seen {
        said,
        inits: log.inits,
        posts: posts.len(),
        garbled: garbled.len(),
        log_why: refused.filter_map(|put| put.why.clone()).next(),
        asked: log.requests.init,
    })
}

/// A size, and what the documented limits make of it.
pub(crate) struct Size {
    pub(crate) client: Client,
    pub(crate) size: u64,
    pub(crate) plan: &'static str,
    pub(crate) set: &'static [&'static str],
    pub(crate) passes: bool,
}

/// The limits read as 2^20 bytes a MB.
const BINARY: &[&str] = &["max_chunk=67108864", "max_last_chunk=134217728"];

const fn case(
    client: Client,
    size: u64,
    plan: &'static str,
    set: &'static [&'static str],
    passes: bool,
) -> Size {
    Size {
        client,
        size,
        plan,
        set,
        passes,
    }
}

pub(crate) const SIZES: &[Size] = &[
    case(
        Client::TiktokApi { own: true },
        150_000_000,
        "67108864 × 2",
        &[],
        false,
    ),
    case(
        Client::TiktokApi { own: true },
        150_000_000,
        "67108864 × 2",
        BINARY,
        true,
    ),
    case(
        Client::TiktokRust { cut: false },
        60_000_000,
        "60000000 × 1",
        &[],
        true,
    ),
    case(
        Client::TiktokRust { cut: false },
        150_000_000,
        "150000000 × 1",
        &[],
        false,
    ),
    case(
        Client::TiktokRust { cut: true },
        150_000_000,
        "10485760 × 14",
        &[],
        false,
    ),
    case(Client::Chunkferry, 150_000_000, "10485760 × 14", &[], true),
];

/// One run under no fault.
pub(crate) async fn size(command: &Path, case: &Size, dir: &Path) -> Result<Seen, Anyhow> {
    let video = Video::new(dir, case.size)?;
    let emulator = Emulator::start(command, case.set, &[]).await?;
    let state = tempfile::tempdir()?;
    let said = run(command, case.client, &emulator, &video, state.path(), None).await?;
    witness(&emulator, &video, said).await
}
