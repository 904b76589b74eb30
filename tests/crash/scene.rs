//! An emulator in a process of its own, a state directory, and runs of the real command that may be killed.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chunkferry::Record;
use chunkferry::emulator::{Log, Process};
use serde_json::Value;
use tempfile::TempDir;

use crate::points::POINTS;
use crate::switches::Row;

/// No run takes as long, even with a minute of a window to wait out; one that does hangs.
const HANGS: Duration = Duration::from_secs(240);

/// How long status may stay "working": longer than the 15 s that a sealed session must stand still to be given up.
const WAIT: &str = "18";

/// When a run is killed.
#[derive(Clone, Debug)]
pub(crate) enum Kill {
    /// By itself, the nth time it comes to a point.
    At(Point, u32),
    /// From outside, this long after its start.
    After(Duration),
    /// Not killed but frozen, the nth time it comes to a point, for this long.
    Freeze(Point, u32, Duration),
}

pub(crate) type Point = (&'static str, &'static str);

/// The kill at the nth time of a point on the list.
pub(crate) fn at(step: &str, what: &str, nth: u32) -> Kill {
    let point = POINTS.iter().find(|point| **point == (step, what));
    Kill::At(*point.expect("a point on the list"), nth)
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    /// At the point it was armed for.
    AtPoint,
    /// From outside.
    Cut,
    Hung,
}

pub(crate) struct Run {
    pub(crate) end: End,
    pub(crate) frozen: bool,
    /// What it said on stdout.
    pub(crate) said: Vec<Value>,
}

impl Run {
    pub(crate) fn events(&self, event: &str) -> impl Iterator<Item = &Value> {
        self.said.iter().filter(move |line| line["event"] == event)
    }
}

pub(crate) struct Scene {
    emulator: Process,
    dir: TempDir,
    pub(crate) file: PathBuf,
    more: Vec<&'static str>,
    /// Tokens are the same creator's; a dead one is replaced by the next.
    pub(crate) token: u32,
    runs: u32,
}

impl Scene {
    pub(crate) fn new(row: &Row, file: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
        command
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(row.emulator_args())
            // It is killed in the end; what it keeps goes with the scene.
            .env("TMPDIR", dir.path())
            .stderr(Stdio::null());
        let emulator = Process::spawn(&mut command);
        let emulator = emulator.unwrap_or_else(|error| panic!("{}: {error}", row.told()));
        Self {
            emulator,
            dir,
            file: file.to_owned(),
            more: (row.get("ledger") == "off")
                .then_some("--no-ledger")
                .into_iter()
                .collect(),
            token: 1,
            runs: 0,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes a file that may have a writer.
    pub(crate) fn allow_writer(&mut self) {
        self.more.push("--allow-writer");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("CHUNKFERRY_STATE_DIR", self.path("state"))
            .env("CHUNKFERRY_API_BASE", self.emulator.url())
            .env("CHUNKFERRY_ACCOUNT", "lena")
            .env("TIKTOK_ACCESS_TOKEN", format!("act.lena.{}", self.token))
            .args(["upload", "--json", "--chunk-size", "5MiB", "--wait", WAIT])
            .args(&self.more)
            .arg(&self.file);
        command
    }

    /// Runs the command to its end, or to its death. One that takes longer than `patience` is killed from outside.
    /// `act` happens while it is frozen.
    pub(crate) fn run(
        &mut self,
        kill: Option<&Kill>,
        patience: Duration,
        mut act: impl FnMut(),
    ) -> Run {
        self.runs += 1;
        let out = self.path(&format!("run-{}.jsonl", self.runs));
        let mut command = self.command();
        let mut limit = patience;
        match kill {
            Some(Kill::At((step, what), nth)) => {
                command.env("CHUNKFERRY_KILL_POINT", format!("{step} {what} {nth}"));
            }
            Some(Kill::After(wait)) => limit = *wait,
            Some(Kill::Freeze((step, what), nth, _)) => {
                command.env("CHUNKFERRY_FREEZE_POINT", format!("{step} {what} {nth}"));
            }
            None => {}
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let mut frozen = false;
        let (status, cut) = loop {
            if let Some(Kill::Freeze(_, _, wait)) = kill
                && !frozen
                && is_stopped(child.id())
            {
                frozen = true;
                act();
                std::thread::sleep(*wait);
                signal(child.id(), "-CONT");
            }
            if let Some(status) = child.try_wait().unwrap() {
                break (status, false);
            }
            let lasted = started.elapsed();
            if lasted >= limit.min(HANGS) {
                child.kill().unwrap();
                break (child.wait().unwrap(), lasted >= limit);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let end = match (status.code(), status.signal()) {
            (Some(code), _) => End::Exit(code),
            (None, Some(9)) if cut => End::Cut,
            (None, Some(9)) if started.elapsed() >= HANGS => End::Hung,
            (None, Some(9)) => End::AtPoint,
            (None, signal) => panic!("died of {signal:?}"),
        };
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        let lines = text.lines();
        let said = lines.filter_map(|line| serde_json::from_str(line).ok());
        Run {
            end,
            frozen,
            said: said.collect(),
        }
    }

    /// What the emulator saw.
    pub(crate) fn log(&self) -> Log {
        self.emulator.client().log().unwrap()
    }

    /// What the journal says of the upload: read from a copy, so that looking changes nothing.
    pub(crate) fn record(&self) -> Option<Record> {
        let copy = tempfile::tempdir_in(self.dir.path()).unwrap();
        copy_dir(&self.path("state"), copy.path());
        // What a kill has kept from the list is there once the journal has been opened.
        if copy.path().join("journal").exists() {
            drop(chunkferry::Engine::open(copy.path()).unwrap());
        }
        chunkferry::StateDir::new(copy.path())
            .records()
            .unwrap()
            .pop()
    }
}

/// Whether a process is stopped, by the word of the kernel.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('T'))
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

fn copy_dir(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else {
        return; // A kill came before it was made.
    };
    for entry in entries {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
