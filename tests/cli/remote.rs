//! Videos that lie on a web server: read by ranges of one version, whatever the server, the network or this process does meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Host, Manner};
use crate::nginx::Nginx;
use crate::scene::{CHUNK, Ended, Scene, Start, full};
use crate::serve::{Service, command};

/// The query of a signed URL.
const SECRET: &str = "X-Signature=0f8d6c1a7b5e4932";

/// 300 MB where all is run in full.
fn size() -> u64 {
    if full() { 300_000_000 } else { 60_000_000 }
}

/// Real nginx with TLS that serves a directory, and an emulator.
struct Stage {
    scene: Scene,
    nginx: Nginx,
    ca_file: PathBuf,
    www: PathBuf,
}

impl Stage {
    /// `None` where nginx is not installed.
    fn new() -> Option<Self> {
        let scene = Scene::new(&[], &[]);
        let www = scene.path("www");
        fs::create_dir_all(&www).unwrap();
        let server = format!("root {};", www.display());
        let (nginx, ca_file) = Nginx::with_tls(&scene.path("nginx"), &server)?;
        Some(Self {
            scene,
            nginx,
            ca_file,
            www,
        })
    }

    fn video(&self, size: u64) -> PathBuf {
        self.scene.video_in(&self.www, "clip.mp4", size)
    }

    fn upload(&self, more: &[&str]) -> Command {
        let url = format!("https://localhost:{}/clip.mp4?{SECRET}", self.nginx.port);
        let mut command = self.scene.upload(Path::new(&url), more);
        command.env("CHUNKFERRY_CA_FILE", &self.ca_file);
        command
    }
}

/// Nothing of the query is in any output or readable file of the state directory.
fn assert_secret(scene: &Scene, ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains("0f8d6c1a"), "{text}");
    }
    let mut dirs = vec![scene.state_dir()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => {
                    let bytes = fs::read(entry.path()).unwrap();
                    let found = bytes.windows(8).any(|part| part == b"0f8d6c1a");
                    assert!(!found, "{}", entry.path().display());
                }
            }
        }
    }
}

fn sent(log: &chunkferry::emulator::SessionLog) -> u64 {
    log.puts.iter().map(|put| put.bytes).sum()
}

#[test]
fn a_video_on_a_web_server_is_one_draft_and_is_known_again_at_once() {
    let Some(stage) = Stage::new() else { return };
    let file = stage.video(size());
    let ended = stage.upload(&[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    let session = stage.scene.assert_one_draft_of(&file);
    assert_eq!(sent(&session), size());
    assert_secret(&stage.scene, &ended);
    let read = stage.nginx.answered("GET").len();
    let again = stage.upload(&[]).end().expect(0);
    assert_eq!(again.outcome()["outcome"], "already_delivered");
    let read = stage.nginx.answered("GET").len() - read;
    assert!(read <= 4, "its bytes were read again by {read} requests");
    assert_eq!(stage.scene.log().inits, 1);
}

#[test]
fn a_kill_half_way_costs_a_chunk_at_most() {
    let Some(stage) = Stage::new() else { return };
    let file = stage.video(size());
    let mut run = stage.upload(&["--bwlimit", "50MB"]).start();
    run.until_confirmed(size() / 2);
    assert!(run.kill());
    let read = stage.nginx.answered("GET").len();
    let ended = stage.upload(&[]).end().expect(0);
    let session = stage.scene.assert_one_draft_of(&file);
    assert!(sent(&session) <= size() + 2 * CHUNK, "{}", sent(&session));
    assert_eq!(stage.scene.log().inits, 1);
    let reads = stage.nginx.answered("GET").len() - read;
    let chunks = (size() / 2).div_ceil(CHUNK) as usize;
    assert!(reads <= chunks + 6, "what was sent was read again: {reads}");
    assert_secret(&stage.scene, &ended);
}

#[test]
fn a_server_that_is_killed_and_comes_back_is_waited_for() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let file = stage.video(size());
    let mut run = stage.upload(&["--bwlimit", "30MB"]).start();
    run.until_confirmed(size() / 3);
    stage.nginx.restart(Duration::from_secs(1));
    run.end().expect(0);
    stage.scene.assert_one_draft_of(&file);
    assert_eq!(stage.scene.log().inits, 1);
}

#[test]
fn a_video_that_is_replaced_half_way_is_not_posted() {
    let Some(stage) = Stage::new() else { return };
    let file = stage.video(size());
    let other = stage.scene.video("other.mp4", size());
    // The tag of nginx is the time in seconds and the size.
    let later = fs::metadata(&file).unwrap().modified().unwrap() + Duration::from_secs(2);
    let opened = fs::File::options().write(true).open(&other).unwrap();
    opened.set_modified(later).unwrap();
    let mut run = stage.upload(&["--bwlimit", "30MB"]).start();
    run.until_confirmed(size() / 3);
    fs::rename(&other, &file).unwrap();
    let ended = run.end().expect(3);
    assert_eq!(ended.outcome()["outcome"], "source_changed");
    assert_eq!(stage.scene.log().drafts, 0);
    stage.upload(&[]).end().expect(0);
    stage.scene.assert_one_draft_of(&file);
}

fn content(scene: &Scene, name: &str, size: u64) -> (PathBuf, Vec<u8>) {
    let file = scene.video(name, size);
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}

const SIZE: u64 = 30_000_000;

/// A host of a video, whose URL is on this machine.
fn hosted() -> (Scene, Host, PathBuf) {
    let scene = Scene::new(&[], &[]);
    let (file, bytes) = content(&scene, "clip.mp4", SIZE);
    let host = Host::of(bytes);
    (scene, host, file)
}

fn upload(scene: &Scene, url: &str, more: &[&str]) -> Command {
    scene.upload(Path::new(url), more)
}

#[test]
fn a_server_that_cannot_be_read_by_ranges_is_refused_before_any_request() {
    for (manner, why) in [
        (Manner::IgnoresRange, "does not answer with ranges"),
        (Manner::OtherRange, "another range"),
        (Manner::Gzip, "compresses"),
        (Manner::Refuses(404), "no such video"),
    ] {
        let (scene, host, _) = hosted();
        host.behaves(manner);
        let ended = upload(&scene, &host.url(), &[]).end().expect(3);
        assert!(ended.message().contains(why), "{}", ended.message());
        assert_eq!(scene.log().requests.init, 0);
    }
}

#[test]
fn a_server_that_becomes_a_liar_half_way_posts_nothing() {
    for (manner, code, why) in [
        (Manner::IgnoresRange, 3, "all of it"),
        (Manner::OtherRange, 3, "another range"),
        (Manner::ShortRange, 3, "another range"),
        (Manner::Gzip, 3, "compresses"),
        (Manner::WeakTag, 3, "its version"),
        (Manner::NoValidator, 3, "its version"),
        (Manner::Refuses(404), 3, "no such video"),
        (Manner::Refuses(403), 4, "signature"),
    ] {
        let (scene, host, file) = hosted();
        let mut run = upload(&scene, &host.url(), &["--bwlimit", "20MB"]).start();
        run.until_confirmed(SIZE / 3);
        host.behaves(manner);
        let ended = run.end().expect(code);
        assert!(
            ended.message().contains(why),
            "{manner:?}: {}",
            ended.message()
        );
        assert_eq!(scene.log().drafts, 0, "{manner:?}");
        host.behaves(Manner::Good);
        upload(&scene, &host.url(), &[]).end().expect(0);
        scene.assert_one_draft_of(&file);
    }
}

#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    let (scene, host, _) = hosted();
    host.behaves(Manner::IgnoresCondition);
    let mut run = upload(&scene, &host.url(), &["--bwlimit", "20MB"]).start();
    run.until_confirmed(SIZE / 3);
    let (_, other) = content(&scene, "other.mp4", SIZE);
    host.replace(other);
    let ended = run.end().expect(3);
    assert_eq!(ended.outcome()["outcome"], "source_changed");
    assert_eq!(scene.log().drafts, 0);
}

#[test]
fn a_new_end_under_an_old_tag_is_found_before_the_last_bytes_leave() {
    let (scene, host, _) = hosted();
    let mut run = upload(&scene, &host.url(), &["--bwlimit", "20MB"]).start();
    run.until_confirmed(SIZE / 3);
    let (_, other) = content(&scene, "other.mp4", SIZE);
    host.replace_unnoticed(other);
    let ended = run.end().expect(3);
    assert_eq!(ended.outcome()["outcome"], "source_changed");
    assert_eq!(scene.log().drafts, 0);
}

#[test]
fn connections_that_break_are_resumed_within_a_chunk_and_no_byte_is_sent_twice() {
    let (scene, host, file) = hosted();
    host.behaves(Manner::Breaks(700));
    let ended = upload(&scene, &host.url(), &[]).end().expect(0);
    assert_eq!(ended.outcome()["bytes_resent"], 0);
    let session = scene.assert_one_draft_of(&file);
    assert_eq!(sent(&session), SIZE);
}

#[test]
fn a_server_that_trickles_is_waited_for_as_long_as_it_moves() {
    let scene = Scene::new(&[], &[]);
    let (file, bytes) = content(&scene, "clip.mp4", 1_000_000);
    let host = Host::of(bytes);
    host.behaves(Manner::Trickles(3_000));
    let ended = upload(&scene, &host.url(), &[]).end().expect(0);
    assert_eq!(ended.outcome()["bytes_resent"], 0);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_time_of_modification_is_as_good_as_a_tag_if_it_is_old() {
    let (scene, host, file) = hosted();
    host.behaves(Manner::OnlyTime);
    upload(&scene, &host.url(), &[]).end().expect(0);
    scene.assert_one_draft_of(&file);
    let requests = host.state().requests.clone();
    let conditional = requests
        .iter()
        .filter(|head| head.contains("if-unmodified-since"));
    assert!(conditional.count() > 3);
}

#[test]
fn a_redirect_to_a_signed_url_that_expires_is_followed_anew() {
    let (scene, host, file) = hosted();
    host.state().signature = Some(SECRET.to_owned());
    host.state().moved_to = format!("/clip.mp4?{SECRET}");
    let moved = format!("{}/moved", host.origin);
    let mut run = upload(&scene, &moved, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(SIZE / 3);
    {
        let mut state = host.state();
        state.signature = Some(format!("{SECRET}2"));
        state.moved_to = format!("/clip.mp4?{SECRET}2");
    }
    let ended = run.end().expect(0);
    let session = scene.assert_one_draft_of(&file);
    assert_eq!(sent(&session), SIZE);
    assert_secret(&scene, &ended);
}

#[test]
fn a_signature_that_dies_keeps_its_place_until_the_whole_url_is_given_again() {
    let (scene, host, file) = hosted();
    host.state().signature = Some(SECRET.to_owned());
    let url = format!("{}?{SECRET}", host.url());
    let mut run = upload(&scene, &url, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(SIZE / 3);
    host.state().signature = Some(format!("{SECRET}2"));
    let ended = run.end().expect(4);
    assert!(ended.message().contains("signature"), "{}", ended.message());
    assert_secret(&scene, &ended);
    let url = format!("{}?{SECRET}2", host.url());
    upload(&scene, &url, &[]).end().expect(0);
    let session = scene.assert_one_draft_of(&file);
    assert!(sent(&session) < SIZE + 2 * CHUNK);
}

#[test]
fn redirects_end_and_lead_to_no_other_network() {
    for (to, why) in [
        ("/moved", "more than 5 times"),
        ("http://10.0.0.1/clip.mp4", "https only"),
        ("https://10.0.0.1/clip.mp4", "not allowed"),
        ("ftp://media.example/clip.mp4", "https only"),
        ("https://lena:secret@media.example/", "user name"),
    ] {
        let (scene, host, _) = hosted();
        host.state().moved_to = to.to_owned();
        let moved = format!("{}/moved", host.origin);
        let ended = upload(&scene, &moved, &[]).end().expect(3);
        assert!(ended.message().contains(why), "{to}: {}", ended.message());
        assert!(!ended.message().contains("lena:secret"));
        assert_eq!(scene.log().requests.init, 0);
    }
}

#[test]
fn the_same_bytes_from_a_server_and_from_a_disk_are_one_draft() {
    let (scene, host, file) = hosted();
    scene.upload(&file, &[]).end().expect(0);
    let ended = upload(&scene, &host.url(), &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    let file_again = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(file_again.outcome()["outcome"], "already_delivered");
    assert_eq!(scene.log().drafts, 1);
    let listed = scene.command(["list", "--json"]).end().expect(0);
    let listed: Vec<Value> = listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[test]
fn a_host_without_a_strong_version_is_copied_from_and_carried_on_by_bytes() {
    for manner in [Manner::WeakTag, Manner::NoValidator] {
        let (scene, host, file) = hosted();
        host.behaves(manner);
        let mut run = upload(&scene, &host.url(), &["--bwlimit", "20MB"]).start();
        run.until("the notice", |line| line["cause"] == "spooled");
        run.until_confirmed(SIZE / 3);
        assert!(run.kill());
        let ended = upload(&scene, &host.url(), &[]).end().expect(0);
        let session = scene.assert_one_draft_of(&file);
        assert!(sent(&session) < SIZE + 2 * CHUNK);
        let left = fs::read_dir(scene.state_dir().join("spool")).unwrap();
        assert_eq!(left.count(), 0, "{manner:?}: {}", ended.stdout);
        let again = upload(&scene, &host.url(), &[]).end().expect(0);
        assert_eq!(again.outcome()["outcome"], "already_delivered");
    }
}

#[test]
fn a_host_that_ignores_ranges_is_copied_from_where_that_is_asked_for() {
    let (scene, host, file) = hosted();
    host.behaves(Manner::IgnoresRange);
    fs::create_dir(scene.path("copies")).unwrap();
    let refused = upload(&scene, &host.url(), &[]).end().expect(3);
    assert!(
        refused.message().contains("--spool") || refused.stderr.contains("--spool"),
        "{refused:?}"
    );
    upload(&scene, &host.url(), &["--spool", "copies"])
        .end()
        .expect(0);
    scene.assert_one_draft_of(&file);
}

/// The files below a directory.
fn files_in(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let counts = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => files_in(&entry.path()),
        false => 1,
    });
    counts.sum()
}

#[test]
fn a_copy_that_breaks_off_is_no_video() {
    let (scene, host, _) = hosted();
    host.behaves(Manner::Breaks(3_000));
    fs::create_dir(scene.path("copies")).unwrap();
    let ended = upload(&scene, &host.url(), &["--spool", "copies"])
        .end()
        .expect(75);
    assert_eq!(scene.log().requests.init, 0, "{}", ended.message());
    assert_eq!(files_in(&scene.path("copies")), 0);
}

#[test]
fn headers_go_to_their_host_alone_and_are_shown_nowhere() {
    let (scene, host, file) = hosted();
    let (_, other, _) = hosted();
    let secrets = scene.path("headers");
    fs::write(
        &secrets,
        "Authorization: Bearer 0f8d6c1a7b5e4932\n\nX-Key: 0f8d6c1a\n",
    )
    .unwrap();
    other.replace(fs::read(&file).unwrap());
    host.state().moved_to = other.url();
    let moved = format!("{}/moved", host.origin);
    let mut command = upload(&scene, &moved, &["--header-file"]);
    let ended = command.arg(&secrets).end().expect(0);
    scene.assert_one_draft_of(&file);
    assert_secret(&scene, &ended);
    let asked = host.state().requests.clone();
    assert!(
        asked.iter().all(|head| head.contains("bearer 0f8d6c1a")),
        "{asked:?}"
    );
    let elsewhere = other.state().requests.clone();
    assert!(!elsewhere.is_empty() && !elsewhere.concat().contains("0f8d6c1a"));
    fs::write(&secrets, "Authorization Bearer 0f8d6c1a7b5e4932\n").unwrap();
    let mut command = upload(&scene, &moved, &["--header-file"]);
    let refused = command.arg(&secrets).end().expect(2);
    assert!(refused.stderr.contains("line 1"), "{}", refused.stderr);
    assert_secret(&scene, &refused);
}

#[test]
fn a_command_renews_a_url_whose_signature_is_over() {
    let (scene, host, file) = hosted();
    host.state().signature = Some(SECRET.to_owned());
    let url = format!("{}?{SECRET}", host.url());
    let command = format!(
        "read old; echo \"$old?{SECRET}$(ls {} | grep -c asked)\"; touch {}",
        scene.path("").display(),
        scene.path("asked").display()
    );
    let mut run = upload(
        &scene,
        &url,
        &["--bwlimit", "20MB", "--url-command", &command],
    )
    .start();
    run.until_confirmed(SIZE / 3);
    host.state().signature = Some(format!("{SECRET}0"));
    run.until_confirmed(SIZE * 2 / 3);
    host.state().signature = Some(format!("{SECRET}1"));
    let ended = run.end().expect(0);
    let session = scene.assert_one_draft_of(&file);
    assert_eq!(sent(&session), SIZE);
    assert_secret(&scene, &ended);
}

#[test]
fn a_command_that_has_no_url_leaves_the_upload_to_a_person() {
    let (scene, host, file) = hosted();
    host.state().signature = Some(SECRET.to_owned());
    let url = format!("{}?{SECRET}", host.url());
    let more = [
        "--bwlimit",
        "20MB",
        "--url-command",
        "echo no key >&2; exit 1",
    ];
    let mut run = upload(&scene, &url, &more).start();
    run.until_confirmed(SIZE / 3);
    host.state().signature = Some(format!("{SECRET}2"));
    let ended = run.end().expect(4);
    assert!(
        ended.message().contains("there is no new one"),
        "{}",
        ended.message()
    );
    host.state().signature = Some(SECRET.to_owned());
    upload(&scene, &url, &[]).end().expect(0);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_lie_about_the_version_over_a_crash_is_found_where_the_source_is_verified() {
    for (more, code) in [(&["--verify-source"][..], 3), (&[], 0)] {
        let (scene, host, file) = hosted();
        let mut run = upload(&scene, &host.url(), &["--bwlimit", "20MB"]).start();
        run.until_confirmed(SIZE / 3);
        assert!(run.kill());
        // One byte of the first chunk, which is at the service already.
        let mut other = fs::read(&file).unwrap();
        other[1_000_000] ^= 1;
        host.replace_unnoticed(other);
        upload(&scene, &host.url(), more).end().expect(code);
        assert_eq!(scene.log().drafts, u64::from(code == 0));
    }
}

#[test]
fn hosts_of_this_network_are_asked_for_nothing() {
    let (scene, _, _) = hosted();
    // An API base that is not overridden by this machine's would be the live one, so the address alone decides here.
    for url in [
        "https://10.1.2.3/clip.mp4",
        "https://169.254.169.254/latest/clip.mp4",
        "https://192.168.1.1/clip.mp4",
    ] {
        let ended = upload(&scene, url, &[]).end().expect(2);
        assert!(
            ended.stderr.contains("private = true") || ended.message().contains("not allowed"),
            "{ended:?}"
        );
        assert_eq!(scene.log().requests.init, 0);
    }
}

/// A service with more lines in its config.
fn serving(scene: &Scene, more: &[&str], lines: &str) -> Service {
    let mut run = command(scene, more);
    let config = scene.path("config.toml");
    let accounts = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{accounts}{lines}")).unwrap();
    Service::of(&mut run, scene.state_dir().join("socket"))
}

#[test]
fn a_job_of_the_service_outlives_a_kill_and_its_signature_and_leaves_no_secret() {
    let (scene, host, file) = hosted();
    host.state().signature = Some(SECRET.to_owned());
    let sign = format!("[sources.url_commands]\nsign = 'read old; echo \"$old?{SECRET}2\"'\n");
    let serve = |more: &[&str]| serving(&scene, more, &sign);
    let service = serve(&["--bwlimit", "20MB"]);
    let job = |name: &str| {
        let url = format!("{}?{SECRET}", host.url());
        json!({ "account": "lena", "file": url, "url_command": name, "chunk_size": CHUNK })
            .to_string()
    };
    service
        .post(Some("one"), job("other").as_bytes())
        .expect(400);
    let accepted = service
        .post(Some("one"), job("sign").as_bytes())
        .expect(202)
        .json();
    let id = accepted["id"].clone();
    scene.sees("some chunks", |log| log.requests.put > 3);
    drop(service);
    host.state().signature = Some(format!("{SECRET}2"));
    let service = serve(&[]);
    let ended = service.ended(&id);
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    assert_eq!(
        (&ended["source"], &ended["is_pull"]),
        (&json!(host.url()), &json!(false))
    );
    let session = scene.assert_one_draft_of(&file);
    assert!(sent(&session) < SIZE + 2 * CHUNK);
    let again = service
        .post(Some("one"), job("sign").as_bytes())
        .expect(200)
        .json();
    assert_eq!(again["id"], id);
    drop(service);
    let shown = format!("{ended}{again}");
    assert!(!shown.contains("0f8d6c1a"), "{shown}");
}

#[test]
fn a_job_names_no_url_that_the_service_does_not_allow() {
    let (scene, host, _) = hosted();
    let allow = "[sources]\nallow = [\"https://media.example/team/\"]\n";
    let service = serving(&scene, &[], allow);
    for url in [
        host.url(),
        "https://media.example/other/clip.mp4".to_owned(),
        "https://10.0.0.1/team/clip.mp4".to_owned(),
    ] {
        let job = json!({ "account": "lena", "file": url }).to_string();
        let refused = service.post(None, job.as_bytes()).expect(403).json();
        assert_eq!(refused["code"], "forbidden", "{refused}");
    }
    assert!(host.state().requests.is_empty());
}

#[test]
fn a_command_beside_a_service_hands_its_url_over() {
    let (scene, host, file) = hosted();
    let service = Service::start(&scene, &[]);
    let url = format!("{}?{SECRET}", host.url());
    let ended = upload(&scene, &url, &[])
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .end()
        .expect(0);
    assert_eq!(ended.outcome()["file"], host.url());
    scene.assert_one_draft_of(&file);
    let secrets = scene.path("headers");
    fs::write(&secrets, "X-Key: 0f8d6c1a\n").unwrap();
    let refused = upload(&scene, &url, &["--header-file"])
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .arg(&secrets)
        .end()
        .expect(2);
    assert!(
        refused.stderr.contains("--service none"),
        "{}",
        refused.stderr
    );
    drop(service);
    for text in [
        &ended.stdout,
        &ended.stderr,
        &refused.stdout,
        &refused.stderr,
    ] {
        assert!(!text.contains("0f8d6c1a"), "{text}");
    }
}

fn pull(scene: &Scene, url: &str, more: &[&str]) -> Command {
    let mut command = scene.command(["pull", "--json", url]);
    command.args(more);
    command
}

#[test]
fn a_url_that_the_service_does_not_fetch_is_sent_from_here_and_is_one_draft() {
    for (set, code) in [
        (
            &[
                "pull_allow_http=true",
                "verified_prefix=https://media.example/",
            ][..],
            "url_ownership_unverified",
        ),
        (&["pull_allow_http=true"], "video_pull_failed"),
    ] {
        let scene = Scene::new(set, &[]);
        let (file, bytes) = content(&scene, "clip.mp4", SIZE);
        let host = Host::of(bytes);
        let url = format!("{}?{SECRET}", host.url());
        // The service asks for no range.
        host.state().only_ranges = code == "video_pull_failed";
        let alone = pull(&scene, &url, &["--no-preflight"]).end().expect(4);
        assert!(alone.message().contains(code), "{}", alone.message());
        let more = ["--no-preflight", "--fallback", "upload"];
        let ended = pull(&scene, &url, &more).end().expect(0);
        assert_eq!(ended.outcome()["outcome"], "delivered", "{code}");
        scene.assert_one_draft_of(&file);
        assert_secret(&scene, &ended);
        let inits = scene.log().requests.init;
        for again in [&more[..], &["--no-preflight"]] {
            let again = pull(&scene, &url, again).end().expect(0);
            assert_eq!(again.outcome()["outcome"], "already_delivered", "{code}");
        }
        assert_eq!(scene.log().requests.init, inits, "{code}");
    }
}

#[test]
fn a_pull_that_succeeded_is_not_sent() {
    let scene = Scene::new(&["pull_allow_http=true"], &[]);
    let (_, bytes) = content(&scene, "clip.mp4", SIZE);
    let host = Host::of(bytes);
    for outcome in ["delivered", "already_delivered"] {
        let ended = pull(&scene, &host.url(), &["--fallback", "upload"])
            .end()
            .expect(0);
        assert_eq!(ended.outcome()["outcome"], outcome);
    }
    assert_eq!((scene.log().drafts, scene.log().requests.put), (1, 0));
}

#[test]
fn a_video_that_is_being_sent_is_not_pulled_although_the_service_would_fetch_it_by_now() {
    let set = [
        "pull_allow_http=true",
        "verified_prefix=https://media.example/",
        "processing_time=1h",
    ];
    let scene = Scene::new(&set, &[]);
    let (file, bytes) = content(&scene, "clip.mp4", SIZE);
    let host = Host::of(bytes);
    let more = ["--no-preflight", "--fallback", "upload"];
    let mut run = pull(&scene, &host.url(), &more).start();
    run.until("every byte is sent", |line| line["event"] == "processing");
    assert!(run.kill());
    scene.emulator.set("verified_prefix", "none").unwrap();
    scene.emulator.set("processing_time", "0s").unwrap();
    let inits = scene.log().requests.init;
    pull(&scene, &host.url(), &more).end().expect(0);
    scene.assert_one_draft_of(&file);
    assert_eq!(scene.log().requests.init, inits);
}
