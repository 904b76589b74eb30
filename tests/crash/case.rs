//! One case: an upload that is killed, carried on and killed again until it ends.

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::scene::{End, Kill, Scene};
use crate::switches::Row;
use crate::verdict::{Fate, Recorded, Verdict, session};
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
                    unheard += 1;
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
}

/// Other bytes near both ends, same size: one version's first chunk and the other's last are no version.
fn edit(file: &Path) {
    let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    for place in [SeekFrom::Start(1000), SeekFrom::End(-1000)] {
        file.seek(place).unwrap();
        file.write_all(b"edited").unwrap();
    }
}
