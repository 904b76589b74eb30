//! What every test plays on: an emulator, a directory of its own, and runs of the real command.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chunkferry::emulator::{Emulator, EmulatorBuilder, Log, PutLog, SessionLog, Settings};
use serde_json::Value;
use tempfile::TempDir;

use crate::video;

/// Longest run of a command. A longer one hangs, and fails the test instead of blocking it.
const HANGS: Duration = Duration::from_secs(300);

pub(crate) const MIB: u64 = 1 << 20;
/// The smallest chunk there is.
pub(crate) const CHUNK: u64 = 5 * MIB;
pub(crate) const TOKEN: &str = "act.lena.1";

/// Whether the sizes are those of the promises and not those of a quick run.
pub(crate) fn full() -> bool {
    std::env::var_os("CHUNKFERRY_FULL").is_some_and(|value| !value.is_empty())
}

/// These, and a video that is ready as soon as it is whole.
pub(crate) fn settings(set: &[&str]) -> Settings {
    let mut settings = Settings::default();
    settings.set("processing_time", "0s").unwrap();
    for pair in set {
        settings.set_pair(pair).unwrap();
    }
    settings
}

pub(crate) struct Scene {
    pub(crate) emulator: Emulator,
    dir: TempDir,
}

impl Scene {
    /// An emulator with these settings, and faults.
    pub(crate) fn new(set: &[&str], faults: &[&str]) -> Self {
        let mut builder = Emulator::builder().settings(settings(set));
        for fault in faults {
            builder = builder.fault(fault.parse().unwrap());
        }
        Self::of(builder)
    }

    pub(crate) fn of(builder: EmulatorBuilder) -> Self {
        Self {
            emulator: builder.start_blocking().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// A video of `size` bytes; its bytes follow from its name and size.
    pub(crate) fn video(&self, name: &str, size: u64) -> PathBuf {
        self.video_in(self.dir.path(), name, size)
    }

    /// The same on another disk.
    pub(crate) fn video_in(&self, dir: &Path, name: &str, size: u64) -> PathBuf {
        let path = dir.join(name);
        let seed = name
            .bytes()
            .fold(size, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        video::write(&path, size, seed);
        path
    }

    /// The command with nothing of this process's environment: lena's token, this emulator, this state directory.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
        command.env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
            .env("HOME", self.dir.path())
            .env("TZ", "UTC")
            .env("CHUNKFERRY_STATE_DIR", self.state_dir())
            .env("CHUNKFERRY_API_BASE", self.emulator.url())
            .env("CHUNKFERRY_ACCOUNT", "lena")
            .env("TIKTOK_ACCESS_TOKEN", TOKEN)
            .current_dir(self.dir.path())
            .args(args);
        command
    }

    /// `upload --json FILE` in chunks of 5 MiB, with more arguments.
    pub(crate) fn upload(&self, file: &Path, more: &[&str]) -> Command {
        let mut command = self.command(["upload", "--json", "--chunk-size", "5MiB"]);
        command.arg(file).args(more);
        command
    }

    pub(crate) fn log(&self) -> Log {
        self.emulator.log()
    }

    /// Waits for what the emulator must come to see.
    pub(crate) fn sees(&self, what: &str, mut seen: impl FnMut(&Log) -> bool) {
        let started = Instant::now();
        while !seen(&self.log()) {
            assert!(started.elapsed() < HANGS, "the emulator never saw {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The one upload that became a draft, byte for byte.
    pub(crate) fn assert_one_draft_of(&self, file: &Path) -> SessionLog {
        let log = self.log();
        assert_eq!(log.drafts, 1, "{log:#?}");
        let wanted = Some(video::sha256(file));
        let mut sessions = log.sessions.into_iter();
        let found = sessions.find(|session| session.sha256 == wanted);
        found.expect("a session holds exactly these bytes")
    }
}

/// PUTs that were answered with success, of this range's first byte.
pub(crate) fn accepted(puts: &[PutLog]) -> Vec<u64> {
    let good = puts
        .iter()
        .filter(|put| put.http_status.is_some_and(|status| status < 300));
    good.filter_map(|put| put.first).collect()
}

pub(crate) trait Start {
    /// Starts it with this as its standard input.
    fn start_with(&mut self, stdin: Stdio) -> Running;

    fn start(&mut self) -> Running {
        self.start_with(Stdio::null())
    }

    fn end(&mut self) -> Ended {
        self.start().end()
    }
}

impl Start for Command {
    fn start_with(&mut self, stdin: Stdio) -> Running {
        let spawned = self
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            // A test that has seen enough no longer listens.
            lines.for_each(|line| drop(sender.send(line)));
        });
        let told = Arc::new(Mutex::new(Vec::new()));
        let (writer, mut stderr) = (Arc::clone(&told), child.stderr.take().unwrap());
        let listener = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut buffer) {
                writer.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Running {
            child,
            lines,
            seen: Vec::new(),
            told,
            threads: vec![reader, listener],
            started: Instant::now(),
        }
    }
}

/// A run under way; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    told: Arc<Mutex<Vec<u8>>>,
    threads: Vec<JoinHandle<()>>,
    started: Instant,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stdout, if it comes within this time; `None` at the end, too.
    pub(crate) fn line(&mut self, within: Duration) -> Option<Value> {
        match self.lines.recv_timeout(within) {
            Ok(line) => {
                let value = serde_json::from_str(&line).unwrap_or(Value::Null);
                self.seen.push(line);
                Some(value)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Reads JSON lines until one fits.
    pub(crate) fn until(&mut self, what: &str, mut fits: impl FnMut(&Value) -> bool) -> Value {
        loop {
            match self.line(HANGS) {
                Some(line) if fits(&line) => return line,
                Some(_) => {}
                None => panic!(
                    "it ended or hung before {what}:\n{}\n{}",
                    self.seen.join("\n"),
                    self.told()
                ),
            }
        }
    }

    /// Reads until the service has acknowledged at least so many bytes.
    pub(crate) fn until_confirmed(&mut self, bytes: u64) {
        self.until("so much was accepted", |line| {
            line["event"] == "chunk" && line["confirmed"].as_u64() >= Some(bytes)
        });
    }

    /// Waits for a text on stderr.
    pub(crate) fn until_told(&mut self, text: &str) {
        while !self.told().contains(text) {
            assert!(
                self.started.elapsed() < HANGS,
                "never said `{text}`: {}",
                self.told()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn told(&self) -> String {
        String::from_utf8_lossy(&self.told.lock().unwrap()).into_owned()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL. Whether it was still running.
    pub(crate) fn kill(mut self) -> bool {
        let alive = self.is_running();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        alive
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn end(mut self) -> Ended {
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if self.started.elapsed() > HANGS => panic!("it hangs: {}", self.told()),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        let mut stdout = std::mem::take(&mut self.seen);
        stdout.extend(self.lines.try_iter());
        Ended {
            code: status.code(),
            stdout: stdout.into_iter().map(|line| line + "\n").collect(),
            stderr: self.told(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The outcome lines, in the order the files ended.
    pub(crate) fn outcomes(&self) -> Vec<Value> {
        let lines = self
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == "outcome").collect()
    }

    /// The outcome of the only file.
    #[track_caller]
    pub(crate) fn outcome(&self) -> Value {
        let mut outcomes = self.outcomes();
        assert_eq!(outcomes.len(), 1, "{}\n{}", self.stdout, self.stderr);
        outcomes.remove(0)
    }

    /// The message a person reads, or that the JSON line carries.
    pub(crate) fn message(&self) -> String {
        match self
            .outcomes()
            .first()
            .map(|outcome| &outcome["error"]["message"])
        {
            Some(Value::String(message)) => message.clone(),
            _ => self.stderr.clone(),
        }
    }
}
