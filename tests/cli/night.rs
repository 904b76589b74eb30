//! A night's work: a folder that fills and two manifests, for eight creators whose tokens live for seconds and whose inboxes have room for
//! five drafts; and the next day.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::login::{command, log_in};
use crate::scene::{Ended, Scene, Start};
use crate::serve::Service;
use crate::video;

const CREATORS: [&str; 8] = ["ada", "bo", "cleo", "dan", "eve", "finn", "gus", "hana"];

/// Files of the folder, and of each manifest.
const EACH: usize = 20;

/// How much faster time passes.
const SCALE: &str = "60";

/// A command of the night.
fn ours(scene: &Scene, args: &[&str]) -> Command {
    let mut command = command(scene, args);
    command
        .env("CHUNKFERRY_CONFIG", scene.path("night.toml"))
        .env("CHUNKFERRY_CLOCK_SCALE", SCALE)
        .env_remove("CHUNKFERRY_ACCOUNT");
    command
}

fn creator(number: usize) -> &'static str {
    CREATORS[number % CREATORS.len()]
}

/// The drafts of each creator.
fn drafts(scene: &Scene) -> BTreeMap<String, usize> {
    let mut drafts = BTreeMap::new();
    for session in scene.log().sessions {
        if session.sha256.is_some() {
            *drafts.entry(session.creator).or_default() += 1;
        }
    }
    drafts
}

/// Of each creator, the outcomes in the order of the lines.
fn outcomes(ended: &Ended) -> BTreeMap<String, Vec<String>> {
    let mut lines = ended.outcomes();
    lines.sort_by_key(|line| line["line"].as_u64());
    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let account = line["account"].as_str().unwrap().to_owned();
        let outcome = line["outcome"].as_str().unwrap().to_owned();
        outcomes.entry(account).or_default().push(outcome);
    }
    outcomes
}

#[test]
fn a_night_of_sixty_files_needs_a_config_file_and_three_commands() {
    let scene = Scene::new(
        &[
            "auth=issued",
            "access_lifetime=150s",
            &format!("clock={SCALE}x"),
        ],
        &[],
    );
    let config = "[[watch]]\npath = \"render/{account}\"\ndone_dir = \"sent\"\nscan = 1\n";
    fs::write(scene.path("night.toml"), config).unwrap();
    for name in CREATORS {
        log_in(&scene, name);
        fs::create_dir_all(scene.path("render").join(name)).unwrap();
    }
    let mut sizes = 100_000..;
    let mut video = |name: String| {
        scene.video(&name, sizes.next().unwrap());
        name
    };
    let (mut json, mut table) = (String::new(), "\u{feff}File;Account;Take\r\n".to_owned());
    for number in 0..EACH {
        let name = video(format!("json {number}.mp4"));
        let job =
            json!({ "file": name, "account": creator(number), "id": format!("json {number}") });
        json += &format!("{job}\n");
        let name = video(format!("table {number}.mp4"));
        table += &format!("{name};{};{number}\r\n", creator(number));
    }
    fs::write(scene.path("night.jsonl"), json).unwrap();
    fs::write(scene.path("night.csv"), table).unwrap();
    let rendered: Vec<String> = (0..EACH)
        .map(|n| video(format!("render {n}.mp4")))
        .collect();
    let mut sent = BTreeSet::new();
    for entry in fs::read_dir(scene.path("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "mp4") {
            sent.insert(video::sha256(&path));
        }
    }
    assert_eq!(sent.len(), 3 * EACH);

    let mut serving = ours(&scene, &["serve", "--json"]);
    let service = Service::of(&mut serving, scene.state_dir().join("socket"));
    let night = |renders: bool| {
        thread::scope(|scope| {
            let run = |from: &'static str| {
                let scene = &scene;
                scope.spawn(move || ours(scene, &["upload", "--json", "--from", from]).end())
            };
            let (json, table) = (run("night.jsonl"), run("night.csv"));
            for (number, name) in rendered.iter().enumerate().filter(|_| renders) {
                let place = scene.path("render").join(creator(number));
                // As renderers do it: under another name, and then renamed.
                fs::rename(scene.path(name), place.join(format!("{name}.part"))).unwrap();
                fs::rename(place.join(format!("{name}.part")), place.join(name)).unwrap();
            }
            (json.join().unwrap(), table.join().unwrap())
        })
    };

    let (json, table) = night(true);
    for ended in [&json, &table] {
        assert!(matches!(ended.code, Some(0 | 75)), "{}", ended.stderr);
        for (account, outcomes) in outcomes(ended) {
            let first_left = outcomes.iter().position(|of| of != "delivered");
            let left = first_left.map_or(&[][..], |at| &outcomes[at..]);
            let are_capped = left.iter().all(|of| of == "needs_person");
            assert!(are_capped, "{account}: who stood first: {outcomes:?}");
        }
    }
    let full = CREATORS.map(|name| (name.to_owned(), 5));
    let began = Instant::now();
    while drafts(&scene) != BTreeMap::from(full.clone()) {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{:?}",
            drafts(&scene)
        );
        thread::sleep(Duration::from_millis(50));
    }
    let left = 3 * EACH - 5 * CREATORS.len();
    assert_eq!(left, 20);

    // A day later all inboxes have room again.
    scene.emulator.advance(Duration::from_secs(24 * 3600 + 60));
    let began = Instant::now();
    loop {
        let (json, table) = night(false);
        if (json.code, table.code) == (Some(0), Some(0)) {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{}\n{}",
            json.stdout,
            table.stdout
        );
        thread::sleep(Duration::from_secs(1));
    }
    while drafts(&scene).values().sum::<usize>() < 3 * EACH {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{:?}",
            drafts(&scene)
        );
        thread::sleep(Duration::from_millis(50));
    }
    let received = scene.log().sessions.into_iter().filter_map(|of| of.sha256);
    let received: Vec<String> = received.collect();
    assert_eq!(received.len(), 3 * EACH, "nothing twice");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), sent);
    drop(service);
    assert!(
        scene.log().requests.token > CREATORS.len() as u64,
        "tokens were renewed"
    );
}
