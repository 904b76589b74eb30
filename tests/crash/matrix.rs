//! The matrix itself: which cases are played, by how many at once, and what must come of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::act::Act;
use crate::case::{Case, Place, Videos};
use crate::page;
use crate::points::POINTS;
use crate::scene::{Kill, Point, at};
use crate::stages::{self, FIRST_RUN, instant, later};
use crate::switches::{Row, rows, switches};
use crate::verdict::{Fate, Verdict};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    number("CHUNKFERRY_SEED").unwrap_or(1)
}

pub(crate) fn full() -> bool {
    std::env::var_os("CHUNKFERRY_FULL").is_some_and(|value| !value.is_empty())
}

/// The ends that a row allows.
fn ends(row: &Row) -> Vec<i32> {
    let mut ends = vec![0];
    // Once status no longer knows the upload, its outcome is unknown.
    if !matches!(row.get("publish_id_ttl"), "forever" | "24h") {
        ends.push(5);
    }
    // Nothing shows whether the last chunk has arrived: the video may be complete, so no other session is opened.
    let dead = ["_url", "drop_session", "chaos"]
        .iter()
        .any(|end| row.get("fault").contains(end));
    let swallowed = row.is_whole() && row.get("fault").contains("status=206");
    let silent = row.get("progress_header") == "never" || dead || swallowed;
    // A filter that refuses the upload host would refuse the next session, too.
    let barred = row.is_whole() && row.get("fault").contains("expire_url");
    if row.get("status_bytes") == "absent" && silent || barred {
        ends.push(75);
    }
    ends
}

fn case(row: &Row, kills: Vec<Kill>) -> Case {
    Case {
        row: row.clone(),
        kills,
        act: Act::None,
        place: Place::Disk,
        ends: ends(row),
        patient: false,
    }
}

/// A kill at this point in the first run, and perhaps another one in a later run.
fn at_point(row: &Row, (step, what, times): (&str, &str, u32), random: &mut Rng) -> Case {
    let times = match (row.is_whole(), step) {
        (true, "body") if what == "piece" => 12,
        (true, "file") => times.min(2),
        (true, _) => 1,
        (false, _) => times,
    };
    let mut kills = vec![at(step, what, random.u32(1..=times))];
    kills.extend(later(random));
    case(row, kills)
}

/// Something happens to the file while the first run is frozen at this point, or, one time in three, after it was killed
/// there. Once the last bytes may have left, it is unknown whether the earlier video is complete.
fn acted_on(row: &Row, (step, what, times): (&str, &str, u32), act: Act, random: &mut Rng) -> Case {
    let place = match random.bool() {
        true => Place::Memory,
        false => Place::Disk,
    };
    let Kill::At(point, nth) = at(step, what, random.u32(1..=times)) else {
        unreachable!("a kill at a point")
    };
    let long = if random.u8(..8) == 0 { 3000 } else { 100 };
    let long = Duration::from_millis(random.u64(0..long));
    let kill = match random.u8(..3) {
        0 => Kill::At(point, nth),
        _ => Kill::Freeze(point, nth, long),
    };
    let mut ends = ends(row);
    if act.changes_bytes() {
        ends.extend([3, 5]);
    }
    Case {
        act,
        place,
        ends,
        patient: true,
        ..case(row, vec![kill])
    }
}

/// A video on a web server: killed at this point, or another version in its place while it is frozen there.
fn remote(row: &Row, point: (&str, &str, u32), act: Act, random: &mut Rng) -> Case {
    let case = match act {
        Act::None => at_point(row, point, random),
        act => acted_on(row, point, act, random),
    };
    Case {
        place: Place::Server,
        ..case
    }
}

/// Every point under every row, every stage, and kills at any instant.
fn all(rows: &[Row], random: &mut Rng) -> Vec<Case> {
    let mut cases = stages::cases();
    let plain = Row::with(&[]);
    // Without a ledger nothing can be compared, and the promises are weaker.
    let hashed: Vec<&Row> = rows
        .iter()
        .filter(|row| row.get("ledger") != "off")
        .collect();
    for point in FIRST_RUN {
        for act in Act::DURING {
            cases.extend((0..4).map(|_| acted_on(&plain, *point, act, random)));
            let row = hashed[random.usize(..hashed.len())];
            cases.push(acted_on(row, *point, act, random));
        }
    }
    for point in FIRST_RUN {
        for act in [Act::None, Act::Replaced] {
            cases.extend((0..3).map(|_| remote(&plain, *point, act, random)));
            for _ in 0..3 {
                let row = hashed[random.usize(..hashed.len())];
                cases.push(remote(row, *point, act, random));
            }
        }
    }
    for row in rows {
        cases.extend(FIRST_RUN.iter().map(|point| at_point(row, *point, random)));
        for _ in 0..4 {
            cases.push(case(row, (0..3).map(|_| instant(random)).collect()));
        }
        // Waits that no kill ends must end by themselves.
        if ["stall", "429", "chaos"]
            .iter()
            .any(|long| row.get("fault").contains(long))
        {
            let patient = case(row, vec![at("open", "ready", 1)]);
            cases.push(Case {
                patient: true,
                ..patient
            });
        }
    }
    cases
}

/// Every point once, under a row drawn by chance, and a few kills at any instant.
fn some(rows: &[Row], random: &mut Rng) -> Vec<Case> {
    let mut cases = stages::cases();
    let plain = rows.iter().filter(|row| row.get("fault") == "none");
    let plain: Vec<&Row> = plain.collect();
    for point in FIRST_RUN {
        let row = plain[random.usize(..plain.len())];
        cases.push(at_point(row, *point, random));
    }
    for act in Act::DURING {
        for _ in 0..6 {
            let point = FIRST_RUN[random.usize(..FIRST_RUN.len())];
            cases.push(acted_on(&Row::with(&[]), point, act, random));
        }
    }
    for act in [Act::None, Act::Replaced] {
        for _ in 0..12 {
            let point = FIRST_RUN[random.usize(..FIRST_RUN.len())];
            cases.push(remote(&Row::with(&[]), point, act, random));
        }
    }
    for _ in 0..6 {
        let row = &rows[random.usize(..rows.len())];
        cases.push(case(row, (0..2).map(|_| instant(random)).collect()));
    }
    cases
}

/// What all cases together have shown.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: usize,
    pub(crate) fates: BTreeMap<&'static str, usize>,
    pub(crate) at_points: BTreeMap<Point, usize>,
    pub(crate) cuts: usize,
    pub(crate) frozen: usize,
    pub(crate) inits: u64,
    /// Why sessions were given up, and how often.
    pub(crate) sessions_lost: BTreeMap<String, usize>,
    /// Uploads that ended as unknown instead of in a draft: the setting that leaves no witness, and how often.
    pub(crate) told: BTreeMap<String, usize>,
    /// Cases in which another promise was broken.
    pub(crate) broken: usize,
    pub(crate) bad: Vec<String>,
}

impl Tally {
    fn add(&mut self, case: &Case, verdict: &Verdict) {
        self.cases += 1;
        let fate = match verdict.fate {
            Fate::Draft => "draft",
            Fate::Told(..) => "told",
            Fate::Lost => "lost",
            Fate::Doubled => "doubled",
            Fate::Mixed => "mixed",
            Fate::Withheld => "withheld",
            Fate::Hung => "hung",
        };
        *self.fates.entry(fate).or_default() += 1;
        for point in &verdict.at_points {
            *self.at_points.entry(*point).or_default() += 1;
        }
        self.cuts += verdict.cuts;
        self.frozen += verdict.frozen;
        self.inits += verdict.inits;
        for reason in &verdict.sessions_lost {
            *self.sessions_lost.entry(reason.clone()).or_default() += 1;
        }
        if let Fate::Told(code, draft) = verdict.fate {
            let draft = if draft { "one draft" } else { "no draft" };
            let cell = format!("{}: exit {code}, {draft}", case.row.reason(code));
            *self.told.entry(cell).or_default() += 1;
        }
        self.broken += usize::from(!verdict.broken.is_empty());
        if verdict.is_bad() {
            let broken = verdict.broken.join("; ");
            let text = format!("{:?} {broken}\n    {}", verdict.fate, case.told());
            eprintln!("{text}\n{}", verdict.story.join("\n"));
            self.bad.push(text);
        }
    }

    pub(crate) fn kills(&self) -> usize {
        self.cuts + self.at_points.values().sum::<usize>()
    }

    pub(crate) fn never_reached(&self) -> BTreeSet<Point> {
        let reached = |point: &&Point| !self.at_points.contains_key(*point);
        POINTS.iter().filter(reached).copied().collect()
    }
}

fn play(cases: Vec<Case>, threads: usize) -> Tally {
    let videos = Videos::new();
    let tally = Mutex::new(Tally::default());
    let (count, started) = (cases.len(), Instant::now());
    let queue = Mutex::new(cases.into_iter());
    let next = || queue.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let verdict = case.play(&videos);
                    let mut tally = tally.lock().unwrap();
                    tally.add(&case, &verdict);
                    if tally.cases.is_multiple_of(100) {
                        let (done, kills) = (tally.cases, tally.kills());
                        let seconds = started.elapsed().as_secs();
                        eprintln!("{done} of {count} cases, {kills} kills, {seconds} s");
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// Leaves those cases that the environment picks, each as often as it says; whether it picks at all.
///
/// `CHUNKFERRY_ONLY` is a text that the description of a case holds, as it is printed where a promise is broken: `row 144:`,
/// or the whole line. `CHUNKFERRY_TIMES` is how often each of them is played.
fn picked(cases: &mut Vec<Case>) -> bool {
    let (most, times) = (number("CHUNKFERRY_CASES"), number("CHUNKFERRY_TIMES"));
    let only = std::env::var("CHUNKFERRY_ONLY").ok();
    if let Some(only) = &only {
        cases.retain(|case| case.told().contains(only.trim()));
        assert!(!cases.is_empty(), "no case is described by {only:?}");
    }
    if let Some(most) = most {
        cases.truncate(most as usize);
    }
    let once = cases.clone();
    for _ in 1..times.unwrap_or(1) {
        cases.extend(once.iter().cloned());
    }
    only.is_some() || most.is_some() || times.is_some()
}

#[test]
fn killed_anywhere_it_is_one_draft_or_a_typed_end() {
    let mut random = Rng::with_seed(seed());
    let rows = rows(seed());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let (cases, threads) = match full() {
        true => (
            all(&rows, &mut random),
            // A case mostly waits: for the progress to settle, for a status, for a window.
            number("CHUNKFERRY_THREADS").map_or(cores * 12, |n| n as usize),
        ),
        false => (some(&rows, &mut random), cores * 5),
    };
    let mut cases = cases;
    random.shuffle(&mut cases);
    let picked = picked(&mut cases);
    let started = Instant::now();
    let tally = play(cases, threads);
    eprintln!(
        "seed {}: {} cases, {} kills, {:?}, {} inits, {} s\n{:#?}\n{:#?}",
        seed(),
        tally.cases,
        tally.kills(),
        tally.fates,
        tally.inits,
        started.elapsed().as_secs(),
        tally.sessions_lost,
        tally.told,
    );
    if !picked {
        if full() {
            page::write(&tally, &switches(), rows.len(), seed());
        }
        let never = tally.never_reached();
        assert!(never.is_empty(), "never reached: {never:?}");
    }
    assert!(
        tally.bad.is_empty(),
        "{} of {} cases:\n{}",
        tally.bad.len(),
        tally.cases,
        tally.bad.join("\n")
    );
}
