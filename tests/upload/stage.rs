//! What every test plays on: an emulator in this process, a directory, and an engine.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chunkferry::emulator::{Emulator, Log, SessionLog, Settings};
use chunkferry::{Draft, Engine, Error, Event, Job, Options};
use tempfile::TempDir;

use crate::video;

pub(crate) const MIB: u64 = 1 << 20;
/// The smallest chunk there is.
pub(crate) const CHUNK: u64 = 5 * MIB;
pub(crate) const TOKEN: &str = "act.lena.1";

pub(crate) struct Stage {
    pub(crate) emulator: Emulator,
    dir: TempDir,
}

impl Stage {
    pub(crate) fn new(set: &[&str], faults: &[&str]) -> Self {
        let mut settings = Settings::default();
        settings.set("processing_time", "0s").unwrap();
        for pair in set {
            settings.set_pair(pair).unwrap();
        }
        let mut builder = Emulator::builder().settings(settings);
        for fault in faults {
            builder = builder.fault(fault.parse().unwrap());
        }
        Self {
            emulator: builder.start_blocking().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn video(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        video::write(&path, size, size);
        path
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(self.path("state")).api_base(&self.emulator.url())
    }

    pub(crate) fn engine(&self) -> Engine {
        self.options().open().unwrap()
    }

    pub(crate) fn log(&self) -> Log {
        self.emulator.log()
    }

    /// Every PUT of every session: chunk and HTTP status, 0 where there was no answer.
    pub(crate) fn puts(&self) -> Vec<(u64, u16)> {
        let sessions = self.log().sessions;
        let puts = sessions.iter().flat_map(|session| {
            let size = session.chunk_size.unwrap();
            let put = move |put: &chunkferry::emulator::PutLog| {
                (put.first.unwrap() / size, put.http_status.unwrap_or(0))
            };
            session.puts.iter().map(put)
        });
        puts.collect()
    }

    /// The creator posts a draft that waits.
    pub(crate) fn post(&self, publish_id: &str) {
        let mut stream = TcpStream::connect(self.emulator.address()).unwrap();
        let body = format!("{{\"publish_id\":\"{publish_id}\"}}");
        let head = "POST /_emulator/post HTTP/1.1\r\nhost: emulator\r\nconnection: close";
        let length = body.len();
        write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[track_caller]
    pub(crate) fn assert_one_draft_of(&self, file: &Path) -> SessionLog {
        let log = self.log();
        assert_eq!(log.drafts, 1, "{log:#?}");
        let wanted = Some(video::sha256(file));
        let mut sessions = log.sessions.into_iter();
        let found = sessions.find(|session| session.sha256 == wanted);
        found.expect("a session holds exactly these bytes")
    }
}

/// Lena's job for this file, in the smallest chunks.
pub(crate) fn job(file: &Path) -> Job {
    Job::file(file).account("lena", TOKEN).chunk_size(CHUNK)
}

/// Runs a job to its end and keeps its events.
pub(crate) async fn run(engine: &Engine, job: Job) -> (Result<Draft, Error>, Vec<Event>) {
    let mut handle = engine.upload(job);
    let mut events = Vec::new();
    while let Some(event) = handle.event().await {
        events.push(event);
    }
    (handle.await, events)
}

/// Waits until a handle has reported so many confirmed bytes.
pub(crate) async fn until_confirmed(handle: &mut chunkferry::Uploading, bytes: u64) {
    while let Some(event) = handle.event().await {
        if matches!(event, Event::ChunkAccepted { confirmed, .. } if confirmed >= bytes) {
            return;
        }
    }
    panic!("it ended before");
}

/// Runs an ignored test of this binary in a process of its own whose time passes faster.
#[cfg(all(target_os = "linux", feature = "cli", debug_assertions))]
pub(crate) fn with_scaled_clocks(test: &str, times: u32) {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env("CHUNKFERRY_CLOCK_SCALE", times.to_string())
        .status();
    assert!(child.unwrap().success());
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} never came"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a directory holds, as one text.
pub(crate) fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Why an error came about, in the words of its source.
pub(crate) fn cause(error: &Error) -> String {
    let source = std::error::Error::source(error).expect("a source");
    source.to_string()
}
