//! One case: an upload that is killed, carried on and killed again until it ends.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::act::{Act, Subject};
use crate::host::Host;
use crate::scene::{End, Kill, Scene};
use crate::switches::Row;
use crate::verdict::{Fate, Recorded, Verdict, is_draft, session};
use crate::video;

/// Runs after the last planned kill; each may end with 75, which asks for another.
const MOST_RUNS: usize = 8;

/// A run that takes longer is killed where it waits, at most twice in a case: waits are instants like any other.
const PATIENCE: Duration = Duration::from_secs(4);

/// States in which an upload has ended, and still has the id of its session.
const ENDS: [&str; 4] = ["delivered", "published", "failed", "unknown"];

/// What a case is: its row, its file and its kills.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) row: Row,
    pub(crate) kills: Vec<Kill>,
    /// What happens to the file after the first kill, or while the first run is frozen.
    pub(crate) act: Act,
    pub(crate) place: Place,
    /// The exit codes that may end it; 75 means that it stays where it is, however often it is run.
    pub(crate) ends: Vec<i32>,
    /// Nobody kills it where it waits.
    pub(crate) patient: bool,
}

/// Where the video of a case lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Disk,
    /// A file in memory, where times prove little.
    Memory,
    /// On a web server.
    Server,
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

impl Case {
    pub(crate) fn told(&self) -> String {
        format!(
            "{}; kills {:?}; {:?} on {:?}",
            self.row.told(),
            self.kills,
            self.act,
            self.place
        )
    }

    pub(crate) fn play(&self, videos: &Videos) -> Verdict {
        let (file, sha256) = videos.of(&self.row);
        let mut versions = vec![sha256];
        let mut scene = Scene::new(&self.row, &file);
        let host = (self.place == Place::Server).then(|| Host::of(std::fs::read(&file).unwrap()));
        if let Some(host) = &host {
            scene.file = host.url().into();
        }
        let mut subject = (self.act != Act::None && host.is_none()).then(|| {
            let subject = Subject::of(&file, self.act, self.place == Place::Memory);
            subject.path.clone_into(&mut scene.file);
            if self.act == Act::Mapped {
                scene.allow_writer();
            }
            versions = vec![subject.sha256()];
            subject
        });
        // Happens once.
        let mut act = |versions: &mut Vec<String>| {
            if let (1, Some(subject)) = (versions.len(), &mut subject) {
                subject.act();
                versions.push(subject.sha256());
            }
            if let (1, Some(host), true) = (versions.len(), &host, self.act.changes_bytes()) {
                let mut other = std::fs::read(&file).unwrap();
                let last = other.len() - 1000;
                (other[1000], other[last]) = (other[1000] ^ 1, other[last] ^ 1);
                versions.push(video::sha256_of(&other));
                host.replace(other);
            }
        };
        let mut verdict = Verdict {
            fate: Fate::Lost,
            at_points: Vec::new(),
            cuts: 0,
            frozen: 0,
            inits: 0,
            sessions_lost: Vec::new(),
            broken: Vec::new(),
            story: Vec::new(),
        };
        let mut recorded = Vec::new();
        // Inits that a kill or a dead token left without a session, and how many the journal had counted at a kill.
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
            let run = scene.run(kill, patience, || act(&mut versions));
            let reasons = run.events("session_lost");
            let reasons = reasons.map(|line| line["reason"].as_str().unwrap_or_default());
            verdict.sessions_lost.extend(reasons.map(str::to_owned));
            verdict.frozen += usize::from(run.frozen);
            verdict.story.push(format!("    run {runs}: {:?}", run.end));
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
                    verdict.tell(&scene.log());
                    return verdict;
                }
                End::Exit(75) => retries += 1,
                // The token died: the creator has another.
                End::Exit(4)
                    if self.row.get("fault").contains("revoke_token") && scene.token < 3 =>
                {
                    scene.token += 1;
                    unheard += 1;
                }
                End::Exit(code) => {
                    last = Some(code);
                    break;
                }
            }
            if let Some(record) = scene.record() {
                let (state, reason) = (&record.state, record.reason.as_deref().unwrap_or("-"));
                verdict.story.push(format!(
                    "        recorded {state} ({reason}), {} bytes, {:?}",
                    record.confirmed, record.publish_id
                ));
                // Nothing shows whether the last chunk has arrived.
                let waits = match record.state.as_str() {
                    "sealed" => true,
                    "processing" => self.row.is_whole() && self.swallows_a_chunk(),
                    _ => false,
                };
                if retries == 2 && waits {
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
                        ended: ENDS.contains(&&*record.state),
                    });
                    verdict
                        .story
                        .push(format!("        {} PUTs by then", session.puts.len()));
                }
            }
            if runs == 1 {
                act(&mut versions);
            }
        }
        // The upload host refuses a URL that cannot have expired, and that never took a chunk: as long as it does.
        if last.is_none() && retries >= MOST_RUNS && self.ends.contains(&75) {
            last = Some(75);
        }
        let log = scene.log();
        verdict.tell(&log);
        verdict.inits = log.requests.init;
        verdict.fate = self.fate(last, &log, &versions);
        verdict.judge(self, &log, &recorded, unheard, runs as u64);
        let there = versions.last();
        let mut drafts = log.sessions.iter().filter(|session| is_draft(session));
        let posted = drafts.any(|draft| draft.sha256.as_ref() == there);
        match last {
            Some(0 | 3) if !posted => verdict.send_what_is_there(&mut scene, there),
            // The outcome of the earlier video is unknown; the present file is another video.
            Some(5) if self.act.changes_bytes() => {}
            Some(code @ (0 | 1 | 5)) => verdict.run_once_more(&mut scene, code, &log),
            _ => {}
        }
        verdict
    }
}
