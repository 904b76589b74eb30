//! The power fails at any moment: nothing that was acknowledged is lost, and the journal opens.
//!
//! A child process takes realistic steps under strace, which gives an exact record of its writes and syncs. Each state
//! that a disk may be left in is then laid out in a fresh directory and opened.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};

use super::disk::{CALLS, Cut, Disk};
use super::{report, *};
use crate::secret::Secret;
use crate::upload::Session;

const PHASES: u32 = 5;
const SIZE: u64 = 4_294_967_296;

/// What the child does, and what it notes of it once a step has returned.
struct Steps {
    store: SledStore,
    notes: File,
}

impl Steps {
    fn note(&mut self, text: &str) {
        self.notes
            .write_all(format!("{text}\n").as_bytes())
            .expect("noted");
    }

    async fn submit(&mut self) -> Upload {
        let row = upload("lena", SIZE);
        self.store.add(row.clone()).await.expect("submitted");
        self.note(&format!("row {} 0", row.id));
        row
    }

    async fn save(&mut self, row: &mut Upload, state: State, entry: Option<u32>) {
        row.state = state;
        let digest = entry.map(|index| (index, [index as u8; 32]));
        self.store.write(next(row), digest).await.expect("saved");
        self.note(&format!("row {} {}", row.id, row.revision));
        if let Some(index) = entry {
            self.note(&format!("entry {} {index}", row.id));
        }
    }

    /// Init, and so many chunks.
    async fn begin(&mut self, row: &mut Upload, chunks: u32) {
        row.state = State::InitIntent;
        // Far enough apart for the window of inits.
        let now = Timestamp(row.created.0 + u64::from(fastrand::u32(..)) * 1000);
        let granted = self.store.init(next(row), now).await.expect("asked");
        assert_eq!(granted, Grant::Granted);
        self.note(&format!("row {} {}", row.id, row.revision));
        self.save(row, uploading(row, 0), None).await;
        self.chunks(row, 0, chunks).await;
    }

    async fn chunks(&mut self, row: &mut Upload, from: u32, to: u32) {
        for index in from..to {
            self.save(row, uploading(row, index + 1), Some(index)).await;
        }
    }

    async fn end(&mut self, row: &mut Upload) {
        let publish_id = format!("v~{}", row.id);
        let State::Uploading { session, .. } = uploading(row, 0) else {
            return;
        };
        row.sha256 = Some("7".repeat(64));
        self.save(
            row,
            State::Sealed {
                session,
                acknowledged: false,
            },
            None,
        )
        .await;
        let at = row.created;
        self.save(
            row,
            State::Processing {
                publish_id: publish_id.clone(),
                session: None,
            },
            None,
        )
        .await;
        self.save(row, State::Delivered { publish_id, at }, None)
            .await;
    }

    async fn take_up(&mut self, at: usize) -> Upload {
        let mut rows = self.store.rows().expect("rows");
        let row = rows.remove(at);
        self.store.take(row.key, row.id).await.expect("claimed")
    }

    async fn phase(&mut self, phase: u32) {
        match phase {
            0 => {
                let mut row = self.submit().await;
                self.begin(&mut row, 12).await;
            }
            1 => {
                let mut row = self.take_up(0).await;
                self.chunks(&mut row, 12, 20).await;
                let mut second = self.submit().await;
                self.begin(&mut second, 3).await;
                self.end(&mut row).await;
            }
            2 => {
                let mut row = self.take_up(0).await;
                let rate = Rate {
                    bytes_per_second: 1_000_000,
                    at: row.created,
                };
                self.store
                    .set_rate("https://a".into(), rate)
                    .await
                    .expect("set");
                let mut given_up = self.submit().await;
                let (why, at) = ("it changed".into(), row.created);
                self.save(&mut given_up, State::GivenUp { why, at }, None)
                    .await;
                self.note(&format!("removing {}", given_up.id));
                self.store
                    .remove(given_up.id.clone())
                    .await
                    .expect("removed");
                self.note(&format!("removed {}", given_up.id));
                self.chunks(&mut row, 3, 40).await;
            }
            3 => {
                for _ in 0..30 {
                    let mut row = self.submit().await;
                    self.begin(&mut row, 1).await;
                    self.end(&mut row).await;
                }
            }
            _ => {
                let mut row = self.take_up(0).await;
                self.end(&mut row).await;
            }
        }
    }
}

pub(super) fn uploading(row: &Upload, confirmed: u32) -> State {
    let session = Session {
        publish_id: format!("v~{}", row.id),
        upload_url: Secret::new("https://upload.example/upload/?upload_token=t"),
        issued: row.created,
        booted: None,
    };
    State::Uploading { session, confirmed }
}

#[test]
#[ignore = "the child of the tests beside it"]
fn child() {
    let Ok(told) = std::env::var("CHUNKFERRY_POWER_CHILD") else {
        return;
    };
    let mut told = told.split(':');
    let mut next = || told.next().expect("three words");
    let (phase, home, notes) = (next().parse().expect("a number"), next(), next());
    let notes = OpenOptions::new()
        .create(true)
        .append(true)
        .open(notes)
        .expect("opened");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let store =
            SledStore::open(&Path::new(home).join("state/chunkferry"), "test").expect("opened");
        let mut steps = Steps { store, notes };
        steps.phase(phase).await;
        if phase % 2 == 0 {
            // As if it were killed: sled does not get to close anything.
            std::process::exit(0);
        }
    });
}

/// The record of all phases; `None`, and said, where strace cannot be used.
fn record(home: &Path, work: &Path) -> Option<Disk> {
    let notes = work.join("notes");
    let mut disk = Disk::of(home);
    for phase in 0..PHASES {
        let trace = work.join("trace");
        let ran = Command::new("strace")
            .args(["-f", "-xx", "-s", "1048576", "-e"])
            .arg(format!("trace={CALLS}"))
            .arg("-o")
            .arg(&trace)
            .arg(std::env::current_exe().expect("a test"))
            .args(["--exact", "journal::sled::tests::power::child", "--ignored"])
            .env(
                "CHUNKFERRY_POWER_CHILD",
                format!("{phase}:{}:{}", home.display(), notes.display()),
            )
            .stdout(Stdio::null())
            .output();
        let ran = match ran {
            Err(error) => {
                eprintln!("skipped: strace is not installed ({error})");
                return None;
            }
            Ok(ran) => ran,
        };
        let told = String::from_utf8_lossy(&ran.stderr);
        if told.contains("PTRACE") {
            eprintln!("skipped: strace may not trace here");
            return None;
        }
        assert!(ran.status.success(), "phase {phase}: {told}");
        let text = std::fs::read_to_string(&trace).expect("a trace");
        disk.record(&text, &notes);
    }
    Some(disk)
}

/// What must be there, from the notes up to the cut.
#[derive(Default)]
struct Promised {
    rows: BTreeMap<String, u64>,
    entries: BTreeMap<String, u32>,
    removed: Vec<String>,
}

impl Promised {
    fn by<'a>(notes: impl Iterator<Item = &'a str>) -> Self {
        let mut promised = Self::default();
        for note in notes {
            let words: Vec<&str> = note.split(' ').collect();
            let id = words[1].to_owned();
            match words[0] {
                "row" => drop(
                    promised
                        .rows
                        .insert(id, words[2].parse().expect("a number")),
                ),
                "entry" => *promised.entries.entry(id).or_default() += 1,
                "removing" => drop(promised.rows.remove(&id)),
                "removed" => promised.removed.push(id),
                other => panic!("{other}"),
            }
        }
        promised
    }

    /// What is missing from an opened journal.
    async fn missing(&self, store: &SledStore) -> Result<Vec<String>, Error> {
        let rows = store.find(upload("lena", SIZE).key).await?.rows;
        let mut missing = Vec::new();
        for (id, revision) in &self.rows {
            let Some(row) = rows.iter().find(|row| row.id == *id) else {
                missing.push(format!("row {id}"));
                continue;
            };
            if row.revision < *revision {
                missing.push(format!(
                    "revision {revision} of {id}, it has {}",
                    row.revision
                ));
            }
            let entries = self.entries.get(id).copied().unwrap_or(0);
            if !row.state.is_final()
                && (store.ledger(id.clone(), 900).await?.len() as u32) < entries
            {
                missing.push(format!("ledger of {id}"));
            }
        }
        let back = rows.iter().filter(|row| self.removed.contains(&row.id));
        missing.extend(back.map(|row| format!("removed, but there: {}", row.id)));
        Ok(missing)
    }
}

#[derive(Default)]
struct Found {
    replayed: usize,
    lost: Vec<String>,
    unopenable: Vec<String>,
}

impl Found {
    async fn replay(&mut self, disk: &Disk, moment: usize, cut: Cut) {
        let dir = report::scratch();
        disk.leave(moment, cut, dir.path());
        self.replayed += 1;
        let state = dir.path().join("state/chunkferry");
        let promised = Promised::by(disk.notes(moment));
        let what = format!("{cut:?} at {moment}");
        let opened = async {
            let store = reopen(&state)?;
            let missing = promised.missing(&store).await?;
            // It is not only readable.
            store.add(upload("mia", 10)).await?;
            drop(store);
            let missing_later = promised.missing(&reopen(&state)?).await?;
            crate::journal::StateDir::new(&state).records()?;
            Ok::<_, Error>([missing, missing_later].concat())
        };
        match opened.await {
            Err(error) => self.unopenable.push(format!("{what}: {error}")),
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => self.lost.push(format!("{what}: {}", missing.join(", "))),
        }
    }

    fn show(of: &[String]) -> String {
        of.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged() {
    let (home, work) = (
        tempfile::tempdir().expect("made"),
        tempfile::tempdir().expect("made"),
    );
    let Some(disk) = record(home.path(), work.path()) else {
        return;
    };
    let full = report::full();
    let mut found = Found::default();
    let mut rng = fastrand::Rng::with_seed(1);
    assert!(
        disk.moments() > 1000,
        "only {} calls were seen",
        disk.moments()
    );
    for moment in 0..=disk.moments() {
        let cuts = |seed| [Cut::Strict, Cut::Kind, Cut::Ordered(seed), Cut::Wild(seed)];
        if full {
            for cut in cuts(1).into_iter().chain(
                [2, 3]
                    .into_iter()
                    .flat_map(|seed| cuts(seed).into_iter().skip(2)),
            ) {
                found.replay(&disk, moment, cut).await;
            }
        } else if rng.usize(0..disk.moments()) < 200 || moment < 40 {
            found.replay(&disk, moment, cuts(1)[rng.usize(0..4)]).await;
        }
    }
    let line = format!(
        "power-cut prefixes: {}, lost: {}, unopenable: {}",
        found.replayed,
        found.lost.len(),
        found.unopenable.len()
    );
    report::tell(
        "power",
        full,
        &line,
        &format!(
            "{} calls that write or sync, recorded by strace over {PHASES} processes; after each, everything unsynced \
             gone, all of it there, parts of it there with names in order, and with names in any order.",
            disk.moments()
        ),
    );
    assert!(
        found.lost.is_empty() && found.unopenable.is_empty(),
        "lost:\n{}\nunopenable:\n{}",
        Found::show(&found.lost),
        Found::show(&found.unopenable)
    );
}
