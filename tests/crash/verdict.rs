//! One case: an upload that is killed, carried on and killed again until it ends, and what the witness says of it.

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chunkferry::emulator::{Log, SessionLog};

use crate::scene::{End, Kill, Point, Scene};
use crate::switches::Row;
use crate::video;

/// Runs after the last planned kill; each may end with 75, which asks for another.
const MOST_RUNS: usize = 8;

/// A run that takes longer is killed where it waits, at most twice in a case: waits are instants like any other.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a case is: its row, its file and its kills.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) row: Row,
    pub(crate) kills: Vec<Kill>,
    /// The file is edited after the first kill.
    pub(crate) edited: bool,
    /// The exit codes that may end it; 75 means that it stays where it is, however often it is run.
    pub(crate) ends: Vec<i32>,
    /// Nobody kills it where it waits.
    pub(crate) patient: bool,
}

/// What became of the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// One draft, byte for byte.
    Draft,
    /// A typed end without success that the case allows; the exit code.
    Told(i32),
    Lost,
    Doubled,
    Mixed,
    Hung,
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) fate: Fate,
    pub(crate) at_points: Vec<Point>,
    /// Kills from outside.
    pub(crate) cuts: usize,
    pub(crate) inits: u64,
    /// Why sessions were given up, in the words of the command.
    pub(crate) sessions_lost: Vec<String>,
    /// Promises that were broken, in words.
    pub(crate) broken: Vec<String>,
}

/// The videos that cases share, and their hashes.
pub(crate) struct Videos {
    dir: tempfile::TempDir,
    hashes: HashMap<u64, String>,
}

impl Videos {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sizes = [crate::switches::CHUNKED, crate::switches::WHOLE];
        let hashes = sizes.map(|size| {
            let path = dir.path().join(size.to_string());
            video::write(&path, size, size);
            (size, video::sha256(&path))
        });
        Self {
            dir,
            hashes: hashes.into(),
        }
    }

    fn of(&self, row: &Row) -> (PathBuf, String) {
        let size = match row.is_whole() {
            true => crate::switches::WHOLE,
            false => crate::switches::CHUNKED,
        };
        (
            self.dir.path().join(size.to_string()),
            self.hashes[&size].clone(),
        )
    }
}

/// What the journal held after a run, and how many PUTs of that session had come by then.
struct Recorded {
    publish_id: String,
    confirmed: u64,
    puts: usize,
}

impl Case {
    pub(crate) fn told(&self) -> String {
        let edited = if self.edited { ", then edited" } else { "" };
        format!("{}; kills {:?}{edited}", self.row.told(), self.kills)
    }

    pub(crate) fn play(&self, videos: &Videos) -> Verdict {
        let (file, sha256) = videos.of(&self.row);
        let mut versions = vec![sha256];
        let mut scene = Scene::new(&self.row, &file);
        if self.edited {
            scene.file = scene.path("clip.mp4");
            std::fs::copy(&file, &scene.file).unwrap();
        }
        let mut verdict = Verdict {
            fate: Fate::Lost,
            at_points: Vec::new(),
            cuts: 0,
            inits: 0,
            sessions_lost: Vec::new(),
            broken: Vec::new(),
        };
        let mut recorded = Vec::new();
        // Inits whose kill left no session in the journal, and how many inits it had counted then.
        let (mut unheard, mut inits_known) = (0, 0);
        let mut kills = self.kills.iter();
        let (mut impatient, mut runs, mut last) = (if self.patient { 0 } else { 2 }, 0, None);
        // Runs in a row that ended with 75.
        let mut retries = 0;
        while runs < self.kills.len() + MOST_RUNS {
            runs += 1;
            let kill = kills.next();
            let patience = if impatient > 0 {
                PATIENCE
            } else {
                Duration::MAX
            };
            let run = scene.run(kill, patience);
            let reasons = run.events("session_lost");
            let reasons = reasons.map(|line| line["reason"].as_str().unwrap_or_default());
            verdict.sessions_lost.extend(reasons.map(str::to_owned));
            match run.end {
                End::AtPoint => {
                    let Some(Kill::At(point, _)) = kill else {
                        unreachable!("only a point kills itself")
                    };
                    verdict.at_points.push(*point);
                    retries = 0;
                }
                End::Cut => {
                    verdict.cuts += 1;
                    retries = 0;
                    impatient -= i32::from(!matches!(kill, Some(Kill::After(_))));
                }
                End::Hung => {
                    verdict.fate = Fate::Hung;
                    return verdict;
                }
                End::Exit(75) => retries += 1,
                // The token died: the creator has another.
                End::Exit(4)
                    if self.row.get("fault").contains("revoke_token") && scene.token < 3 =>
                {
                    scene.token += 1;
                }
                End::Exit(code) => {
                    last = Some(code);
                    break;
                }
            }
            if let Some(record) = scene.record() {
                if retries == 2 && record.state == "sealed" {
                    last = Some(75);
                    break;
                }
                unheard += u64::from(record.state == "init_intent" && record.inits > inits_known);
                inits_known = record.inits;
                let log = scene.log();
                let publish_id = record.publish_id.unwrap_or_default();
                if let Some(session) = session(&log, &publish_id) {
                    recorded.push(Recorded {
                        puts: session.puts.len(),
                        publish_id,
                        confirmed: record.confirmed,
                    });
                }
            }
            if self.edited && runs == 1 {
                edit(&scene.file);
                versions.push(video::sha256(&scene.file));
            }
        }
        let log = scene.log();
        verdict.inits = log.requests.init;
        verdict.fate = self.fate(last, &log, &versions);
        verdict.judge(self, &log, &recorded, unheard, runs as u64);
        if let Some(code @ (0 | 1 | 5)) = last {
            verdict.run_once_more(&mut scene, code, &log);
        }
        verdict
    }

    fn fate(&self, last: Option<i32>, log: &Log, versions: &[String]) -> Fate {
        let is_draft = |session: &&SessionLog| {
            matches!(&*session.status, "SEND_TO_USER_INBOX" | "PUBLISH_COMPLETE")
        };
        let drafts: Vec<_> = log.sessions.iter().filter(is_draft).collect();
        let of = |version: &String| {
            let same = |draft: &&&SessionLog| draft.sha256.as_ref() == Some(version);
            drafts.iter().filter(same).count()
        };
        let counts: Vec<usize> = versions.iter().map(of).collect();
        if counts.iter().sum::<usize>() < drafts.len() {
            return Fate::Mixed;
        }
        if counts.iter().any(|count| *count > 1) {
            return Fate::Doubled;
        }
        match last {
            Some(0) if self.ends.contains(&0) && !drafts.is_empty() => Fate::Draft,
            Some(5) if self.ends.contains(&5) => Fate::Told(5),
            Some(code) if code != 0 && self.ends.contains(&code) && drafts.is_empty() => {
                Fate::Told(code)
            }
            _ => Fate::Lost,
        }
    }

    /// Whether this service may leave the client no other way than a new session.
    fn may_lose_sessions(&self) -> bool {
        let is = |key: &str, values: &[&str]| values.contains(&self.row.get(key));
        let fault = self.row.get("fault");
        let deadly = [
            "expire_url",
            "drop_session",
            "status=404",
            "status=416",
            "chaos",
        ];
        deadly.iter().any(|deadly| fault.contains(deadly))
            // A cut chunk leaves the service inside of it, and a kill cuts.
            || is("cut_chunk", &["keep_prefix"])
            || !is("publish_id_ttl", &["forever", "24h"])
            // Nobody tells where it stands.
            || is("progress_header", &["never"]) && !is("status_bytes", &["exact"])
            || is("final_status", &["FAILED"])
            || self.edited
    }
}

/// Other bytes near both ends, same size: one version's first chunk and the other's last are no version.
fn edit(file: &Path) {
    let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    for place in [SeekFrom::Start(1000), SeekFrom::End(-1000)] {
        file.seek(place).unwrap();
        file.write_all(b"edited").unwrap();
    }
}

fn session<'a>(log: &'a Log, publish_id: &str) -> Option<&'a SessionLog> {
    let mut sessions = log.sessions.iter();
    sessions.find(|session| session.publish_id == publish_id)
}

impl Verdict {
    pub(crate) fn is_bad(&self) -> bool {
        !self.broken.is_empty()
            || matches!(
                self.fate,
                Fate::Lost | Fate::Doubled | Fate::Mixed | Fate::Hung
            )
    }

    fn judge(&mut self, case: &Case, log: &Log, recorded: &[Recorded], unheard: u64, runs: u64) {
        for known in recorded {
            let Some(session) = session(log, &known.publish_id) else {
                continue;
            };
            let again = session.puts[known.puts..]
                .iter()
                .filter(|put| put.first.is_some_and(|first| first < known.confirmed));
            if again.count() > 0 {
                self.broken.push(format!(
                    "P1: bytes below {} were recorded, and sent again",
                    known.confirmed
                ));
            }
        }
        for session in &log.sessions {
            let firsts: Vec<_> = session.puts.iter().map(|put| put.first).collect();
            let chunk = session.chunk_size.unwrap_or(1);
            let steps = firsts
                .windows(2)
                .all(|pair| pair[0] == pair[1] || pair[0].map(|first| first + chunk) == pair[1]);
            if !steps || firsts.first().is_some_and(|first| *first != Some(0)) {
                self.broken
                    .push(format!("P1: chunks out of order: {firsts:?}"));
            }
        }
        let over =
            |note: &&chunkferry::emulator::NoteLog| note.text.contains("inbox_init calls a minute");
        if log.notes.iter().filter(over).count() > 0 {
            self.broken
                .push("the window of inits was not kept".to_owned());
        }
        let hit = |fault: &&chunkferry::emulator::FaultLog| fault.endpoint == "inbox_init";
        let excused = 1 + unheard + log.faults.iter().filter(hit).count() as u64;
        let most = match case.may_lose_sessions() {
            true => excused + 3 * runs,
            false => excused,
        };
        if log.requests.init > most {
            self.broken.push(format!(
                "P2: {} inits, and at most {most} can be accounted for",
                log.requests.init
            ));
        }
        if !self.sessions_lost.is_empty() && !case.may_lose_sessions() {
            self.broken
                .push("a session was given up though its offset could be told".to_owned());
        }
    }

    /// The same command once more: what has ended stays ended, without an init and without a byte.
    fn run_once_more(&mut self, scene: &mut Scene, code: i32, before: &Log) {
        let run = scene.run(None, Duration::MAX);
        let outcome = run.events("outcome").next();
        let outcome = outcome.map_or("", |line| line["outcome"].as_str().unwrap_or_default());
        if run.end != End::Exit(code) || code == 0 && outcome != "already_delivered" {
            self.broken
                .push(format!("once more: {:?}, {outcome}", run.end));
        }
        let after = scene.log();
        if (after.requests.init, after.requests.put) != (before.requests.init, before.requests.put)
        {
            self.broken.push("P2: a request after the end".to_owned());
        }
    }
}
