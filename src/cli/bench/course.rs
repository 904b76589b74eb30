//! The setups to measure, in rounds that alternate between them: a machine's speed changes all the time, and compared
//! setups must get the same share of that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;
use tempfile::TempDir;

use super::Bench;
use super::carry::Setup;
use super::cost;
use super::host::Host;
use super::seen::Seen;
use super::sink::Sink;
use crate::{Failure, Globals};

/// The chunk size of all setups, unless they differ in it.
const USUAL: u64 = 10_000_000;
const CHUNK_SIZES: [u64; 4] = [5_242_880, USUAL, 20_000_000, 32_000_000];
const AT_ONCE: [usize; 2] = [8, 64];

/// Bytes of the first run, which only determines the length of the others.
const PROBE: u64 = 32_000_000;

/// Seconds that each run should take.
const RUN: f64 = 3.0;

/// The options of this command line that each run needs, too.
fn shared(globals: &Globals) -> Vec<OsString> {
    let allow_http = globals.allow_http.then(|| "--allow-http".into());
    let config = globals.config.iter();
    let config = config.flat_map(|path| ["--config".into(), path.into()]);
    allow_http.into_iter().chain(config).collect()
}

pub(super) struct Course {
    rows: Vec<(String, Setup)>,
    rounds: u16,
    program: PathBuf,
    /// The command line's options for each run.
    globals: Vec<OsString>,
    plain: Sink,
    tls: Option<Sink>,
    /// The input of each run. It closes, and so ends the runs, with this process or this value.
    leash: PipeReader,
    /// Whether the sinks run on this machine.
    local: bool,
    size: u64,
    /// Contains the samples and the journals.
    dir: TempDir,
}

/// The results of all measurements.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    pub(super) host: Host,
    /// Whether the server was a local process.
    pub(super) local: bool,
    pub(super) bytes: u64,
    pub(super) rounds: u16,
    pub(super) rows: Vec<Row>,
}

/// The result of one setup: medians of its rounds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) setup: Setup,
    /// Bytes per second, from the first chunk's head to the last one's answer.
    pub(super) rate: f64,
    /// Seconds of CPU time for 2^30 bytes.
    pub(super) cpu_per_gib: f64,
    /// Most memory at any time, in bytes.
    pub(super) peak_rss: f64,
    /// Seconds between two chunks, as the server saw them; `None` if each run has one chunk.
    pub(super) gap: Option<f64>,
    /// Processors that the server used.
    pub(super) sink_cores: f64,
    /// Whether the server may have been the limit.
    pub(super) sink_bound: bool,
    pub(super) connections: f64,
    /// Bytes that were sent twice.
    pub(super) again: u64,
    /// The rate of each round.
    pub(super) rates: Vec<f64>,
}

/// The result of one run.
struct Measured {
    rate: f64,
    cpu_per_gib: f64,
    peak_rss: f64,
    gap: Option<f64>,
    sink_cores: f64,
    connections: f64,
    again: u64,
}

impl Course {
    pub(super) fn new(
        bench: &Bench,
        globals: &Globals,
        leash: PipeReader,
    ) -> Result<Self, Failure> {
        let cannot = |error: io::Error| {
            Failure::temporary(format!("There is nothing to measure with: {error}"))
        };
        let dir = beside(&globals.state_dir()?).map_err(cannot)?;
        let program = std::env::current_exe().map_err(cannot)?;
        let (plain, tls) = match &globals.api_base {
            Some(url) if url.starts_with("http://") => (Sink::at(url), None),
            Some(url) => {
                return Err(Failure::usage(format!(
                    "{url} is not measured: bench sends to nothing but an emulator, and asks it in the clear. Start `chunkferry emulator --sink` there and name it by its http URL."
                )));
            }
            None => (
                Sink::start(&program, None).map_err(cannot)?,
                Some(Sink::start(&program, Some(&dir.path().join("ca.pem"))).map_err(cannot)?),
            ),
        };
        plain.client.usage().map_err(|error| {
            Failure::temporary(format!(
                "{} does not answer as an emulator does ({error}). Nothing was sent.",
                plain.url
            ))
        })?;
        let mut course = Self {
            rows: Vec::new(),
            rounds: bench.rounds,
            program,
            globals: shared(globals),
            local: tls.is_some(),
            leash,
            plain,
            tls,
            size: 0,
            dir,
        };
        course.lay_out(bench).map_err(cannot)?;
        Ok(course)
    }

    /// Determines how much to send, and makes the samples.
    fn lay_out(&mut self, bench: &Bench) -> io::Result<()> {
        let (file, size) = match (&bench.file, bench.size) {
            (Some(file), _) => {
                let file = std::path::absolute(file)?;
                let size = warm(&file)?;
                (file, size)
            }
            (None, size) => {
                let size = match size {
                    Some(size) => size,
                    None => self.enough()?,
                };
                (self.sample("whole", size)?, size)
            }
        };
        self.size = size;
        let usual = self.setup(vec![file]);
        let chunks = CHUNK_SIZES.map(|chunk_size| {
            let megabytes = chunk_size as f64 / 1e6;
            (
                format!("chunk {megabytes:.1} MB"),
                Setup {
                    chunk_size,
                    ..usual.clone()
                },
            )
        });
        self.rows.extend(chunks);
        if bench.quick {
            return Ok(());
        }
        let mut add = |name: &str, setup| self.rows.push((name.to_owned(), setup));
        add(
            "no ledger",
            Setup {
                ledger: false,
                ..usual.clone()
            },
        );
        add(
            "no ledger, map",
            Setup {
                ledger: false,
                map: true,
                ..usual.clone()
            },
        );
        if self.tls.is_some() {
            let tls = Setup {
                tls: true,
                ..usual.clone()
            };
            add("TLS", tls.clone());
            add(
                "TLS, no ledger",
                Setup {
                    ledger: false,
                    ..tls.clone()
                },
            );
            add(
                "TLS, no ledger, map",
                Setup {
                    ledger: false,
                    map: true,
                    ..tls
                },
            );
        }
        for many in AT_ONCE {
            // Files of one size would count as possibly the same video, and be sent one after another.
            let each = (size / many as u64).max(6_000_000);
            let files =
                (0..many).map(|one| self.sample(&format!("{many}-{one}"), each + one as u64));
            let files = files.collect::<io::Result<_>>()?;
            self.rows
                .push((format!("{many} uploads at once"), self.setup(files)));
        }
        Ok(())
    }

    fn setup(&self, files: Vec<PathBuf>) -> Setup {
        Setup {
            chunk_size: USUAL,
            map: false,
            ledger: true,
            tls: false,
            files,
            creator: String::new(),
            ca_file: None,
        }
    }

    /// Bytes that take some seconds.
    fn enough(&self) -> io::Result<u64> {
        let probe = self.setup(vec![self.sample("probe", PROBE)?]);
        let rate = self.measure(&probe)?.rate;
        Ok(((rate * RUN) as u64).clamp(64_000_000, 2_000_000_000))
    }

    fn sample(&self, name: &str, size: u64) -> io::Result<PathBuf> {
        let path = self.dir.path().join(name);
        File::create(&path)?.set_len(size)?;
        warm(&path)?;
        Ok(path)
    }

    /// Measures all setups. `show` gets the number of finished runs, of all runs, and the name of the next one.
    pub(super) fn run(self, show: impl Fn(usize, usize, &str)) -> Result<Results, Failure> {
        let failed = |error: io::Error| Failure::temporary(format!("A run failed: {error}"));
        let mut measured: BTreeMap<usize, Vec<Measured>> = BTreeMap::new();
        let (mut done, all) = (0, usize::from(self.rounds) * self.rows.len());
        for _ in 0..self.rounds {
            for (index, (name, setup)) in self.rows.iter().enumerate() {
                show(done, all, name);
                let run = self.measure(setup).map_err(failed)?;
                measured.entry(index).or_default().push(run);
                done += 1;
            }
        }
        let rows = self.rows.iter().zip(measured.into_values());
        Ok(Results {
            host: Host::this(),
            local: self.local,
            bytes: self.size,
            rounds: self.rounds,
            rows: rows
                .map(|((name, setup), runs)| Row::of(name, setup, &runs))
                .collect(),
        })
    }

    fn measure(&self, setup: &Setup) -> io::Result<Measured> {
        let sink = self
            .tls
            .as_ref()
            .filter(|_| setup.tls)
            .unwrap_or(&self.plain);
        let setup = Setup {
            creator: format!("bench{:08x}", fastrand::u32(..)),
            ca_file: setup.tls.then(|| self.dir.path().join("ca.pem")),
            ..setup.clone()
        };
        let state = tempfile::tempdir_in(&self.dir)?;
        let before = sink.client.usage()?;
        let mut command = Command::new(&self.program);
        command
            .args(["bench", "--carry", &serde_json::to_string(&setup)?])
            .args(["--api-base", &sink.url, "--state-dir"])
            .arg(state.path())
            .args(&self.globals)
            .env_remove("CHUNKFERRY_JSON");
        let (output, cost) = cost::run(command.stdin(self.leash.try_clone()?))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(said.trim().to_owned()));
        }
        let after = sink.client.usage()?;
        let seen = Seen::of(&sink.client, &setup.tokens())?;
        let bytes = seen.bytes as f64;
        let transfer = seen.transfer.max(1e-6);
        Ok(Measured {
            rate: bytes / transfer,
            cpu_per_gib: cost.cpu / (bytes / f64::from(1 << 30)),
            peak_rss: cost.peak_rss as f64,
            gap: seen.gaps.get(seen.gaps.len() / 2).copied(),
            sink_cores: (after.cpu_us - before.cpu_us) as f64 / 1e6 / transfer,
            connections: (after.connections - before.connections) as f64,
            again: seen.again,
        })
    }
}

/// Reads a file, so that the first run finds it in memory as the others do; returns its size in bytes.
fn warm(path: &Path) -> io::Result<u64> {
    io::copy(&mut File::open(path)?, &mut io::sink())
}

/// A directory on the disk of the journal, since the time of a sync depends on the disk.
fn beside(state_dir: &Path) -> io::Result<TempDir> {
    let make = |dir: &Path| {
        tempfile::Builder::new()
            .prefix("chunkferry-bench-")
            .tempdir_in(dir)
    };
    let there = state_dir.ancestors().find(|dir| dir.is_dir());
    there
        .and_then(|dir| make(dir).ok())
        .map_or_else(|| make(&std::env::temp_dir()), Ok)
}

impl Row {
    fn of(name: &str, setup: &Setup, runs: &[Measured]) -> Self {
        let median = |of: fn(&Measured) -> f64| {
            let mut all: Vec<f64> = runs.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        let sink_cores = median(|run| run.sink_cores);
        let lanes = setup.files.len().min(2) as f64;
        Self {
            name: name.to_owned(),
            setup: setup.clone(),
            rate: median(|run| run.rate),
            cpu_per_gib: median(|run| run.cpu_per_gib),
            peak_rss: median(|run| run.peak_rss),
            gap: runs
                .iter()
                .all(|run| run.gap.is_some())
                .then(|| median(|run| run.gap.unwrap_or_default())),
            sink_cores,
            sink_bound: sink_cores > 0.9 * lanes,
            connections: median(|run| run.connections),
            again: runs.iter().map(|run| run.again).sum(),
            rates: runs.iter().map(|run| run.rate).collect(),
        }
    }
}
