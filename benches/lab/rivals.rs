//! Us and the others, in turns.

use std::io;
use std::process::Command;

use chunkferry::emulator::{Process, SessionLog};

use crate::scene::{CHUNKFERRY, Run, Scene, median, sample};

/// The chunk size of those who send in chunks.
const CHUNK: u64 = 10_000_000;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Curl,
    DdCurl,
    Raw,
    Python,
    Sha256,
    Ours,
    OursMapped,
    OursLedger,
}

impl Who {
    pub(crate) fn name(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Curl, _) => "one `curl -T` of the whole file",
            (Self::DdCurl, _) => "`dd \\| curl` for each chunk",
            (Self::Raw, false) => "limit: blocking writes from a map",
            (Self::Raw, true) => "limit: blocking rustls from a map",
            (Self::Python, _) => "Python requests, one PUT",
            (Self::Sha256, _) => "SHA-256 alone",
            (Self::Ours, _) => "chunkferry, no ledger",
            (Self::OursMapped, _) => "chunkferry, no ledger, `--read map`",
            (Self::OursLedger, _) => "chunkferry",
        }
    }
}

/// All runs of one of them.
pub(crate) struct Lane {
    pub(crate) who: Who,
    pub(crate) tls: bool,
    pub(crate) runs: Vec<Run>,
}

pub(crate) struct Rivals {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) rounds: usize,
    /// Of our runs: connections of each, and bytes sent twice in all of them.
    pub(crate) connections: Vec<u64>,
    pub(crate) again: u64,
    /// Seconds of CPU time that the sinks took for a GiB, in the clear and under TLS.
    pub(crate) sinks: [f64; 2],
}

impl Rivals {
    pub(crate) fn lane(&self, who: Who, tls: bool) -> Option<&Lane> {
        self.lanes
            .iter()
            .find(|lane| lane.who == who && lane.tls == tls)
    }

    /// The median over the rounds of what `of` says of one lane, divided by what it says of another.
    pub(crate) fn ratio(&self, of: fn(&Run) -> f64, a: (Who, bool), b: (Who, bool)) -> Option<f64> {
        let (a, b) = (self.lane(a.0, a.1)?, self.lane(b.0, b.1)?);
        Some(median(
            a.runs.iter().zip(&b.runs).map(|(a, b)| of(a) / of(b)),
        ))
    }
}

/// Everybody who is here.
pub(crate) fn all() -> Vec<Who> {
    let mut all = vec![
        Who::Curl,
        Who::DdCurl,
        Who::Raw,
        Who::Ours,
        Who::OursMapped,
        Who::OursLedger,
        Who::Sha256,
    ];
    let python = Command::new("python3")
        .args(["-c", "import requests"])
        .output();
    all.extend(
        python
            .is_ok_and(|output| output.status.success())
            .then_some(Who::Python),
    );
    all
}

pub(crate) fn compare(scene: &Scene, rounds: usize, who: &[Who]) -> io::Result<Rivals> {
    let both = who.iter().flat_map(|who| [(*who, false), (*who, true)]);
    let lanes = both.filter(|lane| *lane != (Who::Sha256, true));
    let mut rivals = Rivals {
        lanes: lanes
            .map(|(who, tls)| Lane {
                who,
                tls,
                runs: Vec::new(),
            })
            .collect(),
        rounds,
        connections: Vec::new(),
        again: 0,
        sinks: [0.0; 2],
    };
    let spent = || {
        Ok::<_, io::Error>([
            scene.plain.client().usage()?.cpu_us,
            scene.tls.client().usage()?.cpu_us,
        ])
    };
    let before = spent()?;
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        // Forth and back, so that nobody always follows the same one.
        let count = rivals.lanes.len();
        let order: Vec<usize> = if round % 2 == 0 {
            (0..count).collect()
        } else {
            (0..count).rev().collect()
        };
        for index in order {
            let Lane { who, tls, .. } = rivals.lanes[index];
            let run = match who {
                Who::Ours | Who::OursMapped | Who::OursLedger => {
                    ours(scene, who, tls, &mut rivals)?
                }
                _ => scene.run(&mut theirs(scene, who, tls), scene.size)?,
            };
            rivals.lanes[index].runs.push(run);
        }
    }
    let after = spent()?;
    for tls in [false, true] {
        let senders = rivals
            .lanes
            .iter()
            .filter(|lane| lane.tls == tls && lane.who != Who::Sha256);
        let gib = senders.count() as f64 * rounds as f64 * scene.size as f64 / f64::from(1 << 30);
        let which = usize::from(tls);
        rivals.sinks[which] = (after[which] - before[which]) as f64 / 1e6 / gib;
    }
    Ok(rivals)
}

fn ours(scene: &Scene, who: Who, tls: bool, rivals: &mut Rivals) -> io::Result<Run> {
    let sink = if tls { &scene.tls } else { &scene.plain };
    let args: &[&str] = match who {
        Who::Ours => &["--chunk-size", "10MB", "--no-ledger"],
        Who::OursMapped => &["--chunk-size", "10MB", "--no-ledger", "--read", "map"],
        _ => &["--chunk-size", "10MB"],
    };
    let (run, seen) = watched(scene, sink, args)?;
    rivals.connections.push(seen.0);
    rivals.again += seen.1;
    Ok(run)
}

/// One of our uploads, the connections it took, and the bytes it sent twice.
pub(crate) fn watched(
    scene: &Scene,
    sink: &Process,
    args: &[&str],
) -> io::Result<(Run, (u64, u64))> {
    let state = scene.journal()?;
    let token = format!("act.lab{:08x}.1", fastrand::u32(..));
    let before = sink.client().usage()?.connections;
    let mut command = scene.upload(&scene.file, state.path(), sink, args);
    let run = scene.run(command.env("TIKTOK_ACCESS_TOKEN", &token), scene.size)?;
    let connections = sink.client().usage()?.connections - before;
    let log = sink.client().log_of(&token)?;
    let again = log.sessions.iter().map(SessionLog::sent_again).sum();
    Ok((run, (connections, again)))
}

fn theirs(scene: &Scene, who: Who, tls: bool) -> Command {
    let sink = if tls { &scene.tls } else { &scene.plain };
    let target = format!("{}/_emulator/sink", sink.url());
    let (file, ca_file) = (scene.file.display(), scene.ca_file.display());
    let lab = |words: &[&str]| {
        let mut command = Command::new(std::env::current_exe().unwrap_or_default());
        command.arg("--yardstick").args(words);
        command
    };
    match who {
        Who::Curl => {
            let mut command = Command::new("curl");
            command
                .args(["-fsS", "-o", "/dev/null", "--cacert"])
                .arg(&scene.ca_file);
            command.arg("-T").arg(&scene.file).arg(target);
            command
        }
        Who::DdCurl => {
            let (last, total) = (scene.size / CHUNK - 1, scene.size);
            // The last chunk takes the tail along.
            let script = format!(
                "for i in $(seq 0 {last}); do \
                 first=$((i * {CHUNK})); count=1; end=$((first + {CHUNK} - 1)); \
                 [ $i = {last} ] && count=2 && end=$(({total} - 1)); \
                 dd if='{file}' bs={CHUNK} skip=$i count=$count status=none | \
                 curl -fsS -o /dev/null --cacert '{ca_file}' -X PUT --data-binary @- -H 'Content-Type: video/mp4' \
                 -H \"Content-Range: bytes $first-$end/{total}\" '{target}' || exit 1; done"
            );
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        }
        Who::Raw => {
            let address = sink.client().address();
            let (file, ca_file) = (file.to_string(), ca_file.to_string());
            match tls {
                true => lab(&["rustls", address, &file, &ca_file]),
                false => lab(&["raw", address, &file]),
            }
        }
        Who::Python => {
            let script = format!(
                "import requests; requests.put('{target}', data=open('{file}', 'rb'), verify='{ca_file}').raise_for_status()"
            );
            let mut command = Command::new("python3");
            command.args(["-c", &script]);
            command
        }
        Who::Sha256 => lab(&["sha256", &file.to_string()]),
        Who::Ours | Who::OursMapped | Who::OursLedger => unreachable!("these are ours"),
    }
}

/// Peak memory of one upload, in bytes, by size of the file and of a chunk, and whether it is hashed.
pub(crate) struct Memory {
    pub(crate) rows: Vec<(u64, &'static str, bool, u64)>,
}

pub(crate) fn memory(scene: &Scene) -> io::Result<Memory> {
    let mut rows = Vec::new();
    for size in [200_000_000, 4_000_000_000] {
        let file = sample(scene.dir.path(), "memory.mp4", size)?;
        for (chunk, ledger) in [("10MB", true), ("32MB", true), ("10MB", false)] {
            let state = scene.journal()?;
            let off: &[&str] = if ledger { &[] } else { &["--no-ledger"] };
            let args = [&["--chunk-size", chunk], off].concat();
            let mut command = scene.upload(&file, state.path(), &scene.plain, &args);
            let run = scene.run(&mut command, size)?;
            rows.push((size, chunk, ledger, run.cost.peak_rss));
        }
        std::fs::remove_file(file)?;
    }
    Ok(Memory { rows })
}

/// What `bench` says of many uploads at once.
pub(crate) fn scale(rounds: usize) -> io::Result<serde_json::Value> {
    let output = Command::new(CHUNKFERRY)
        .args([
            "bench",
            "--json",
            "--size",
            "1GB",
            "--rounds",
            &rounds.to_string(),
        ])
        .args(["--state-dir", env!("CARGO_TARGET_TMPDIR")])
        .output()?;
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}
