//! `--bwlimit`: as much as was said leaves in any stretch of time, and no more.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::scene::{CHUNK, Scene, Start, accepted};
use crate::serve::{Service, command, wish};

const RATE: u64 = 16_000_000;

/// What a pause leaves to be made up for, in seconds.
const CREDIT: f64 = 0.2;

/// A chunk whose every byte left between two moments: the answer to the one before it, and its own.
struct Passage {
    after: u64,
    until: u64,
    bytes: u64,
}

#[test]
fn two_uploads_together_never_exceed_the_rate_by_more_than_its_credit() {
    let scene = Scene::new(&[], &[]);
    let files = [
        scene.video("one.mp4", 6 * CHUNK),
        scene.video("two.mp4", 6 * CHUNK + 1),
    ];
    let ended = scene
        .upload(&files[0], &["--bwlimit", "16MB"])
        .arg(&files[1])
        .end();
    let log = scene.log();
    assert_eq!(ended.code, Some(0), "{ended:?}\n{log:#?}");
    assert_eq!(log.drafts, 2);
    let passages = log.sessions.iter().flat_map(|session| {
        session.puts.windows(2).map(|puts| Passage {
            after: puts[0].answered_us.unwrap(),
            until: puts[1].answered_us.unwrap(),
            bytes: puts[1].bytes,
        })
    });
    let passages: Vec<_> = passages.collect();
    assert_eq!(passages.len(), 10);
    // However late the server looks, a stretch only gets longer by that.
    for start in passages.iter().map(|passage| passage.after) {
        for end in passages.iter().map(|passage| passage.until) {
            let within = passages
                .iter()
                .filter(|passage| passage.after >= start && passage.until <= end);
            let bytes: u64 = within.map(|passage| passage.bytes).sum();
            let seconds = end.saturating_sub(start) as f64 / 1e6;
            let most = RATE as f64 * (seconds + CREDIT);
            assert!(
                bytes as f64 <= most,
                "{bytes} bytes in {seconds} s: {:#?}",
                log.sessions
            );
        }
    }
}

/// The clocks of these tests run so many times faster: a minute is a second.
const SCALE: &str = "60";

/// A timetable that is so low now that no upload ends, and has no limit two minutes later.
fn low_for_two_minutes() -> String {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let at = |minutes: i64| {
        let time = now
            .time()
            .wrapping_add(jiff::SignedDuration::from_mins(minutes));
        time.strftime("%H:%M").to_string()
    };
    format!("{},off {},1KB", at(2), at(-1))
}

/// Each chunk was sent once, to one session.
fn assert_nothing_was_cut(scene: &Scene, chunks: usize) {
    let log = scene.log();
    assert_eq!(log.sessions.len(), 1, "{log:#?}");
    assert_eq!(accepted(&log.sessions[0].puts).len(), chunks, "{log:#?}");
    assert_eq!(log.sessions[0].puts.len(), chunks, "{log:#?}");
}

/// The rates that the log names, in their order.
fn rates(scene: &Scene) -> Vec<String> {
    let text = fs::read_to_string(scene.path("log")).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.contains("the limit of the rate"));
    let rates = lines.map(|line| line.split("rate=").nth(1).unwrap().to_owned());
    rates.collect()
}

const RATES: [&str; 2] = ["\"1.0 kB a second\"", "\"no limit\""];

#[test]
fn an_upload_under_way_gets_the_rate_of_the_hour_and_no_chunk_is_cut() {
    let scene = Scene::new(&["clock=60x"], &[]);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let limit = low_for_two_minutes();
    let more = ["--ignore-forecast", "--log-file", "log", "--bwlimit"];
    let mut upload = scene.upload(&file, &more);
    upload.arg(&limit).env("CHUNKFERRY_CLOCK_SCALE", SCALE);
    let ended = upload.end().expect(0);
    assert_eq!(ended.outcome()["bytes_resent"], 0);
    assert_nothing_was_cut(&scene, 3);
    assert_eq!(rates(&scene), RATES);
}

#[test]
fn the_uploads_of_a_service_get_the_rate_of_the_hour_too() {
    let scene = Scene::new(&["clock=60x"], &[]);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let limit = low_for_two_minutes();
    let mut serve = command(&scene, &["--log-file", "log", "--bwlimit", &limit]);
    serve.env("CHUNKFERRY_CLOCK_SCALE", SCALE);
    let service = Service::of(&mut serve, scene.state_dir().join("socket"));
    let mut wish: Value = serde_json::from_slice(&wish(&file, "lena")).unwrap();
    wish["ignore_forecast"] = true.into();
    let job = service.post(None, wish.to_string().as_bytes()).expect(202);
    let ended = service.ended(&job.json()["id"]);
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    assert_nothing_was_cut(&scene, 3);
    assert_eq!(rates(&scene), RATES);
    assert!(service.running.told().contains(&limit[..5]));
    service.running.signal("-TERM");
    service.running.end().expect(0);
}

#[test]
fn a_timetable_that_is_wrong_is_refused_before_anything_and_its_entry_is_named() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    let wrong = "08:00,2MB 25:00,off";
    let config = scene.path("wrong.toml");
    fs::write(&config, format!("[upload]\nbwlimit = \"{wrong}\"\n")).unwrap();
    let config = config.to_str().unwrap();
    for args in [
        &["upload", "clip.mp4", "--bwlimit", wrong][..],
        &["serve", "--bwlimit", wrong],
        &["upload", "clip.mp4", "--config", config],
    ] {
        let ended = scene.command(args).end().expect(2);
        assert!(ended.stderr.contains("\"25:00,off\""), "{}", ended.stderr);
        assert!(ended.stderr.contains("bwlimit"), "{}", ended.stderr);
    }
    assert!(!scene.state_dir().exists());
    // The file has one, and the command line none.
    fs::write(config, "[upload]\nbwlimit = \"00:00,20MB 12:00,30MB\"\n").unwrap();
    let upload = |more: &[&str]| {
        let mut upload = scene.command(["upload", "clip.mp4", "--config", config]);
        upload.args(more).end().expect(0).stderr
    };
    let told = upload(&[]);
    assert!(told.contains("--bwlimit: "), "{told}");
    let told = upload(&["--bwlimit", "off"]);
    assert!(!told.contains("--bwlimit"), "{told}");
}

#[test]
fn the_hour_of_a_timetable_is_that_of_the_zone_and_a_zone_that_is_not_known_is_said() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    let told = |zone: &str| {
        let limit = "00:00,20MB 12:00,30MB";
        let mut upload = scene.command(["upload", "clip.mp4", "--bwlimit", limit]);
        upload.env("TZ", zone).end().expect(0).stderr
    };
    let rows = [
        ("JST-9", "(local time, UTC+09:00)"),
        ("Asia/Tokyo", "(local time, UTC+09:00)"),
        ("Nowhere/Land", "UTC+00:00; the time zone"),
    ];
    for (zone, words) in rows {
        if zone == "Asia/Tokyo" && !Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists() {
            eprintln!("NOT TESTED: there are no time zones on this machine");
            continue;
        }
        let told = told(zone);
        assert!(told.contains(words), "{zone}: {told}");
    }
}
