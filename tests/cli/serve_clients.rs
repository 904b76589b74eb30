//! The clients of the pages, as programs of other languages use the service: whatever is killed, each job that was accepted is one draft, and
//! its end is heard.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::scene::{Scene, Start, full};
use crate::serve::{Service, command};
use crate::serve_notify::{Receiver, until};

/// How many times faster all clocks run.
const SCALE: u32 = 20;

fn client(language: &str) -> Option<Command> {
    let (program, name) = match language {
        "python3" => ("python3", "service.py"),
        _ => ("node", "service.mjs"),
    };
    if Command::new(program).arg("--version").output().is_err() {
        eprintln!("NOT TESTED: the client needs {program}");
        return None;
    }
    let mut command = Command::new(program);
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs/examples")
            .join(name),
    );
    Some(command)
}

/// The jobs of a run: your id, account and file.
fn wishes(scene: &Scene, accounts: usize, jobs: usize) -> Vec<(String, String, PathBuf)> {
    let wish = |at: usize| {
        let name = format!("{at:04}.mp4");
        // Each has bytes of its own.
        let file = scene.video(&name, 200_000 + at as u64);
        (name, format!("creator-{}", at % accounts), file)
    };
    (0..jobs).map(wish).collect()
}

/// `serve` for these creators, with a receiver of each end.
fn serve(scene: &Scene, accounts: usize, receiver: &Receiver) -> Service {
    let mut started = command(scene, &["--jobs", "16"]);
    let tables = (0..accounts).map(|at| {
        format!("[accounts.creator-{at}]\ntoken_command = \"echo act.creator-{at}.1\"\n")
    });
    let tables: String = tables.collect();
    let config = scene.path("config.toml");
    fs::write(&config, tables + &receiver.entry(scene, "studio", "")).unwrap();
    started.env("CHUNKFERRY_CLOCK_SCALE", SCALE.to_string());
    Service::of(&mut started, scene.state_dir().join("socket"))
}

/// Lets a client of the pages submit many jobs while the service is killed again and again.
fn night(language: &str, accounts: usize, jobs: usize, kills: u32) {
    let Some(mut client) = client(language) else {
        return;
    };
    let clock = format!("clock={SCALE}x");
    let scene = Scene::new(&[&clock, "pending_cap=1000000"], &[]);
    let receiver = Receiver::new();
    let wishes = wishes(&scene, accounts, jobs);
    let mut service = serve(&scene, accounts, &receiver);
    client.arg(&service.socket);
    client.args(
        wishes
            .iter()
            .map(|(_, account, file)| format!("{account}={}", file.display())),
    );
    let begun = Instant::now();
    let client = client.start();
    for kill in 1..=kills {
        // Spread over the submits and over the uploads.
        let drafts = u64::from(kill - 1) * jobs as u64 * 9 / 10 / u64::from(kills);
        let started = Instant::now();
        while scene.log().drafts < drafts {
            let waits = started.elapsed() < Duration::from_secs(300);
            assert!(
                waits,
                "{} of {drafts} drafts\n{}",
                scene.log().drafts,
                service.running.told()
            );
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(50 + u64::from(kill) * 37 % 200));
        assert!(service.running.kill());
        service = serve(&scene, accounts, &receiver);
    }
    let ended = client.end().expect(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let told: BTreeMap<&str, &str> = lines
        .iter()
        .filter(|line| !line.starts_with("accepted"))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    assert_eq!(told.len(), jobs, "{}", ended.stdout);
    let log = scene.log();
    let mut drafts: BTreeMap<String, u32> = BTreeMap::new();
    for session in log.sessions.iter().filter(|session| session.waiting) {
        *drafts.entry(session.sha256.clone().unwrap()).or_default() += 1;
    }
    for (name, _, file) in &wishes {
        let sha256 = crate::support::video::sha256(file);
        assert_eq!(drafts.get(&sha256), Some(&1), "{name}: {:?}", told[&**name]);
        assert!(
            told[&**name].contains("delivered"),
            "{name}: {}",
            told[&**name]
        );
    }
    assert_eq!(log.drafts, jobs as u64);
    // The receiver has heard of each end, some more than once.
    let numbers = 1..=jobs as u64;
    let calls = receiver.hears_all(numbers);
    let mut heard: BTreeMap<u64, u32> = BTreeMap::new();
    calls
        .iter()
        .for_each(|call| *heard.entry(call.number).or_default() += 1);
    until("the target is done", || {
        let targets = service.get("/v1/notify")["targets"].clone();
        (targets[0]["behind"] == 0).then_some(())
    });
    eprintln!(
        "{language}: {jobs} jobs of {accounts} accounts, {kills} kills in {:.0} s: {} drafts, lost 0, doubled 0; {} ends heard, {} repeats",
        begun.elapsed().as_secs_f64(),
        log.drafts,
        heard.len(),
        calls.len() - heard.len()
    );
}

#[test]
fn every_job_of_the_python_client_is_one_draft_and_its_end_is_heard_whatever_is_killed() {
    match full() {
        true => night("python3", 20, 1_000, 30),
        false => night("python3", 10, 40, 5),
    }
}

#[test]
fn every_job_of_the_node_client_is_one_draft_and_its_end_is_heard_whatever_is_killed() {
    night("node", 5, 15, 2);
}
