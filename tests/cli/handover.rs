//! Commands beside a service: they hand their videos over, and end as they would alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::scene::{CHUNK, Ended, Scene, Start, accepted};
use crate::secrets::files;
use crate::serve::{ACCOUNTS, Service};

/// A command of somebody who has no token: the service has those of its accounts.
fn tokenless(scene: &Scene, args: &[&str]) -> Command {
    let mut command = scene.command(args);
    command.env_remove("TIKTOK_ACCESS_TOKEN");
    command
}

fn upload(scene: &Scene, file: &Path, more: &[&str]) -> Command {
    let mut command = scene.upload(file, more);
    command.env_remove("TIKTOK_ACCESS_TOKEN");
    command
}

fn lines(ended: &Ended) -> Vec<Value> {
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The lines of a run but for what differs from run to run: times, ids, and where the job ran.
fn told(ended: &Ended) -> Vec<Value> {
    let mut lines = lines(ended);
    lines.retain(|line| !matches!(line["event"].as_str(), Some("service" | "job" | "progress")));
    for line in &mut lines {
        for field in [
            "at",
            "id",
            "publish_id",
            "delivered_at",
            "retry_at",
            "seconds",
        ] {
            if line.get(field).is_some_and(|value| !value.is_null()) {
                line[field] = json!("some");
            }
        }
        let error = &mut line["error"];
        if error["log_id"].is_string() {
            error["log_id"] = json!("some");
        }
        if let Some(message) = error["message"].as_str() {
            let words = message.split(' ');
            let words = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
            error["message"] = words.collect::<Vec<_>>().join(" ").into();
        }
    }
    lines
}

#[test]
fn a_command_beside_a_service_says_and_ends_as_it_would_alone() {
    type Made = fn(&Scene) -> PathBuf;
    /// Settings and faults of the emulator, the video, more arguments, and the exit code.
    type Case = (
        &'static [&'static str],
        &'static [&'static str],
        Made,
        &'static [&'static str],
        i32,
    );
    let clip: Made = |scene| scene.video("clip.mp4", 2 * CHUNK);
    let text: Made = |scene| {
        let path = scene.path("notes.mp4");
        fs::write(&path, "no video").unwrap();
        path
    };
    let cases: [Case; 7] = [
        (&[], &[], clip, &[], 0),
        (&[], &["init nth=1 status=500"], clip, &[], 0),
        (&[], &[], clip, &["--no-wait"], 0),
        (&[], &[], text, &[], 3),
        (&[], &[], |scene| scene.path("gone.mp4"), &[], 3),
        (&["pending_cap=0"], &[], clip, &[], 4),
        (&[], &["init status=503"], clip, &["--patience", "1"], 75),
    ];
    for (settings, faults, video, more, code) in cases {
        let run = |served: bool| {
            let scene = Scene::new(settings, faults);
            let _service = served.then(|| Service::start(&scene, &[]));
            let file = video(&scene);
            let name = file.file_name().map(Path::new).unwrap();
            let mut command = match served {
                true => upload(&scene, name, more),
                false => scene.upload(name, more),
            };
            command.end().expect(code)
        };
        let (alone, served) = (run(false), run(true));
        let first = &lines(&served)[0];
        assert_eq!(first["event"], "service", "{first}");
        let (mut alone, mut served) = (told(&alone), told(&served));
        // How often a request is repeated within its patience is chance.
        if code == 75 {
            alone.retain(|line| line["event"] != "retry");
            served.retain(|line| line["event"] != "retry");
            for line in alone.iter_mut().chain(&mut served) {
                line["inits"] = json!("some");
            }
        }
        assert_eq!(alone, served, "{more:?} {code}");
    }
}

#[test]
fn people_read_the_same_beside_a_service_after_a_line_that_says_where_the_job_runs() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 2 * CHUNK);
    let mut run = tokenless(&scene, &["upload", "clip.mp4", "--chunk-size", "5MiB"]);
    let ended = run.end().expect(0);
    let session = scene.assert_one_draft_of(&file);
    let first = format!(
        "Sent by the service at {} (process {}).",
        service.socket.display(),
        service.running.pid()
    );
    assert!(ended.stderr.starts_with(&first), "{}", ended.stderr);
    assert!(ended.stderr.contains("in lena's inbox"), "{}", ended.stderr);
    let line = format!("{}\tdelivered\tclip.mp4\n", session.publish_id);
    assert_eq!(ended.stdout, line);
}

#[test]
fn ten_shells_upload_at_once_and_carry_on_when_the_service_is_killed_under_them() {
    // Each takes some seconds, so that all ten are under way at some moment.
    let scene = Scene::new(&["receive_rate=4MB"], &[]);
    let service = Service::start(&scene, &["--jobs", "10"]);
    let video = |at: u64| scene.video(&format!("{at}.mp4"), 3_000_000 + at);
    let files: Vec<PathBuf> = (0..10).map(video).collect();
    let start = |at: usize| {
        let account = ACCOUNTS[at % ACCOUNTS.len()];
        upload(&scene, &files[at], &["--account", account]).start()
    };
    let mut runs: Vec<_> = (0..10).map(start).collect();
    scene.sees("ten sessions under way at once", |log| {
        let open = |session: &&_| is_open(session);
        log.sessions.iter().filter(open).count() == 10
    });
    for run in &mut runs {
        run.until("its session is recorded", |line| line["event"] == "session");
    }
    // Killed under all of them: each command says so, and carries on.
    assert!(service.running.kill());
    for run in runs {
        let ended = run.end().expect(75);
        assert_eq!(ended.outcome()["outcome"], "retry");
    }
    let _service = Service::start(&scene, &["--jobs", "10"]);
    let runs: Vec<_> = (0..10).map(start).collect();
    for run in runs {
        let ended = run.end().expect(0);
        let outcome = ended.outcome()["outcome"].clone();
        assert!(outcome == "delivered" || outcome == "already_delivered");
    }
    let log = scene.log();
    assert_eq!((log.drafts, log.sessions.len()), (10, 10));
}

fn is_open(session: &chunkferry::emulator::SessionLog) -> bool {
    session.sha256.is_none()
}

#[test]
fn a_signal_stops_the_upload_in_the_service_and_the_same_command_carries_on() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 143)] {
        let scene = Scene::new(&["receive_rate=8MB"], &[]);
        let service = Service::start(&scene, &[]);
        let file = scene.video("clip.mp4", 4 * CHUNK);
        let mut run = upload(&scene, &file, &[]).start();
        run.until_confirmed(CHUNK);
        run.signal(signal);
        let ended = run.end().expect(code);
        assert_eq!(ended.outcome()["exit"], code);
        assert_eq!(ended.outcome()["outcome"], "retry");
        let jobs = service.get("/v1/jobs?state=ended")["jobs"].clone();
        assert_eq!(jobs[0]["end"]["outcome"], "cancelled", "{jobs}");
        upload(&scene, &file, &[]).end().expect(0);
        let session = scene.assert_one_draft_of(&file);
        let accepted = accepted(&session.puts);
        assert_eq!(accepted, [0, CHUNK, 2 * CHUNK, 3 * CHUNK], "{signal}");
        assert_eq!(scene.log().sessions.len(), 1);
    }
}

#[test]
fn a_service_that_is_killed_ends_its_commands_with_75_and_the_same_command_carries_on() {
    let scene = Scene::new(&["receive_rate=8MB"], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 4 * CHUNK);
    let mut run = upload(&scene, &file, &[]).start();
    run.until_confirmed(CHUNK);
    assert!(service.running.kill());
    let ended = run.end().expect(75);
    assert_eq!(ended.outcome()["outcome"], "retry");
    // Nobody works alone in a directory whose service is away.
    let away = upload(&scene, &file, &[]).end().expect(75);
    assert!(away.stderr.contains("--service none"), "{}", away.stderr);
    let service = Service::start(&scene, &[]);
    let ended = upload(&scene, &file, &[]).end().expect(0);
    let outcome = ended.outcome()["outcome"].clone();
    // The job of the first command goes on by itself.
    assert!(outcome == "delivered" || outcome == "already_delivered");
    scene.assert_one_draft_of(&file);
    // Drained: the same.
    let other = scene.video("other.mp4", 6 * CHUNK);
    let mut run = upload(&scene, &other, &[]).start();
    run.until_confirmed(CHUNK);
    service.running.signal("-TERM");
    run.end().expect(75);
    service.running.end().expect(0);
    // Alone, where that is said.
    let mut alone = scene.upload(&other, &["--service", "none"]);
    alone.end().expect(0);
    let log = scene.log();
    let sessions = log
        .sessions
        .iter()
        .filter(|of| of.video_size == Some(6 * CHUNK));
    let sessions: Vec<_> = sessions.collect();
    assert_eq!((log.drafts, sessions.len()), (2, 1));
    let accepted = accepted(&sessions[0].puts);
    let all: Vec<u64> = (0..6).map(|chunk| chunk * CHUNK).collect();
    assert_eq!(accepted, all);
}

#[test]
fn what_the_service_would_not_follow_is_refused_with_what_to_do_and_never_ignored() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let name = file.to_str().unwrap();
    let base = scene.emulator.url();
    for option in [
        &["--bwlimit", "3MB"][..],
        &["--jobs", "3"],
        &["--wire-log", "log"],
        &["--token-file", "token"],
        &["--token-command", "echo token"],
        &["--api-base", &base],
        &["--allow-http"],
        &["--upload-host", "localhost"],
    ] {
        let ended = upload(&scene, &file, option).end().expect(2);
        let message = &ended.stderr;
        assert!(message.contains(option[0]), "{message}");
        assert!(message.contains("--service none"), "{message}");
    }
    // A token of this shell.
    let ended = scene.upload(&file, &[]).end().expect(2);
    assert!(
        ended.stderr.contains("TIKTOK_ACCESS_TOKEN"),
        "{}",
        ended.stderr
    );
    // Another API.
    let mut elsewhere = upload(&scene, &file, &[]);
    elsewhere.env("CHUNKFERRY_API_BASE", "http://127.0.0.1:1");
    let ended = elsewhere.end().expect(2);
    assert!(
        ended.stderr.contains("http://127.0.0.1:1"),
        "{}",
        ended.stderr
    );
    // Another file under the same path.
    let stat = json!({ "inode": 1, "size": 1_000_000, "mtime_ns": 1 });
    let job = json!({ "account": "lena", "file": name, "stat": stat });
    let answer = service.post(None, job.to_string().as_bytes()).expect(422);
    assert_eq!(answer.json()["code"], "other_file");
    assert_eq!(service.get("/v1/jobs")["jobs"], json!([]));
    assert_eq!(scene.log().sessions.len(), 0);
}

#[test]
fn a_named_service_that_is_not_there_is_never_replaced_by_working_alone() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let gone = scene.path("gone");
    let gone = gone.to_str().unwrap();
    for named in [gone, "http://127.0.0.1:1"] {
        let ended = upload(&scene, &file, &["--service", named])
            .end()
            .expect(75);
        assert!(ended.stderr.contains(named), "{}", ended.stderr);
        let mut by_variable = upload(&scene, &file, &[]);
        by_variable
            .env("CHUNKFERRY_SERVICE", named)
            .end()
            .expect(75);
    }
    assert!(!scene.state_dir().exists());
    assert_eq!(scene.log().sessions.len(), 0);
    // Without any service everything is as it was.
    scene.upload(&file, &[]).end().expect(0);
}

#[test]
fn a_job_whose_id_was_printed_is_carried_to_its_end_whatever_is_killed() {
    let scene = Scene::new(&["receive_rate=4MB"], &[]);
    let file = scene.video("clip.mp4", 2 * CHUNK);
    let name = file.to_str().unwrap();
    let ended = tokenless(&scene, &["upload", "--detach", name])
        .end()
        .expect(2);
    assert!(
        ended.stderr.contains("chunkferry serve"),
        "{}",
        ended.stderr
    );
    assert!(!scene.state_dir().exists());

    let service = Service::start(&scene, &[]);
    let ended = tokenless(&scene, &["upload", "--detach", "--id", "a", name]).end();
    let printed = ended.expect(0).stdout;
    assert!(service.running.kill());
    let service = Service::start(&scene, &[]);
    let id = printed.trim();
    let listed = tokenless(&scene, &["list"]).end().expect(0);
    assert!(listed.stdout.contains(name), "{}", listed.stdout);
    // The same id again is the same job.
    let again = tokenless(&scene, &["upload", "--detach", "--id", "a", name]).end();
    assert_eq!(again.expect(0).stdout, printed);
    let mut follow = tokenless(&scene, &["upload", "--json", "--follow", id]);
    let followed = follow.end().expect(0);
    let outcome = followed.outcome();
    assert_eq!(outcome["outcome"], "delivered");
    let session = scene.assert_one_draft_of(&file);
    assert_eq!(outcome["publish_id"], *session.publish_id);
    // Once more: what is known of the end.
    let mut follow = tokenless(&scene, &["upload", "--json", "--follow", id]);
    let known = follow.end().expect(0).outcome();
    for field in [
        "outcome",
        "exit",
        "publish_id",
        "sha256",
        "creator_known",
        "id",
    ] {
        assert_eq!(known[field], outcome[field], "{field}");
    }
    drop(service);
}

#[test]
fn journal_and_jobs_are_shown_and_changed_through_the_service() {
    let scene = Scene::new(&["pending_cap=1"], &[]);
    let service = Service::start(&scene, &[]);
    let (file, other) = (
        scene.video("clip.mp4", 1_000_000),
        scene.video("other.mp4", 1_000_001),
    );
    upload(&scene, &file, &[]).end().expect(0);
    let listed = tokenless(&scene, &["list", "--json"]).end().expect(0);
    let listed = lines(&listed);
    assert_eq!(
        (listed.len(), &listed[0]["state"]),
        (1, &json!("delivered"))
    );
    let publish_id = listed[0]["publish_id"].as_str().unwrap();
    let status = tokenless(&scene, &["status", publish_id]).end().expect(0);
    assert!(status.stdout.starts_with(publish_id), "{}", status.stdout);

    // The inbox is full: the job waits.
    let name = other.to_str().unwrap();
    let printed = tokenless(&scene, &["upload", "--detach", name])
        .end()
        .expect(0);
    let id = printed.stdout.trim();
    let waits = || {
        let job = service.get(&format!("/v1/jobs/{id}"));
        job["why"].is_string() && job["state"] == "queued"
    };
    while !waits() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let status = tokenless(&scene, &["status", id]).end().expect(0);
    assert!(status.stdout.contains("queued"), "{}", status.stdout);
    let cancelled = tokenless(&scene, &["cancel", id]).end().expect(0);
    assert!(
        cancelled.stderr.contains("cancelled"),
        "{}",
        cancelled.stderr
    );
    tokenless(&scene, &["forget", id]).end().expect(0);
    service.call(&format!("GET /v1/jobs/{id}")).expect(404);

    tokenless(&scene, &["forget", file.to_str().unwrap()])
        .end()
        .expect(0);
    let listed = tokenless(&scene, &["list", "--json"]).end().expect(0);
    assert!(!listed.stdout.contains("delivered"), "{}", listed.stdout);
    tokenless(&scene, &["forget", "--creator", "lena"])
        .end()
        .expect(0);
    tokenless(&scene, &["forget", "--creator", "lena"])
        .end()
        .expect(2);
}

#[test]
fn the_query_of_a_url_that_is_handed_over_is_in_no_output_and_no_file() {
    let scene = Scene::new(&[], &[]);
    let mut service = Service::start(&scene, &[]);
    let url = "https://media.example/clip.mp4?signature=s3cret-one";
    let list = scene.path("urls");
    fs::write(&list, url).unwrap();
    let args = ["pull", "--json", "--no-preflight", "--url-file", "urls"];
    let ended = tokenless(&scene, &args).end();
    fs::remove_file(&list).unwrap();
    assert_eq!(ended.outcomes().len(), 1, "{ended:?}");
    let shown = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!shown.contains("s3cret-one"), "{shown}");
    assert!(ended.outcome()["url"] == "https://media.example/clip.mp4");
    let jobs = service.get("/v1/jobs").to_string();
    assert!(!jobs.contains("s3cret-one"), "{jobs}");
    while let Some(line) = service.running.line(std::time::Duration::ZERO) {
        assert!(!line.to_string().contains("s3cret-one"), "{line}");
    }
    assert!(!service.running.told().contains("s3cret-one"));
    for path in files(&scene.state_dir()) {
        let bytes = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let private = path.components().any(|part| part.as_os_str() == "journal");
        assert!(private || !text.contains("s3cret-one"), "{path:?}");
    }
}

#[test]
fn an_upload_that_was_quicker_than_the_service_hands_over_instead_of_waiting_for_its_end() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    let service = Service::start(&scene, &[]);
    // As it is before the service has written down where it listens.
    let place = scene.state_dir().join("service.json");
    let aside = scene.path("aside.json");
    fs::rename(&place, &aside).unwrap();
    let mut early = tokenless(&scene, &["upload", "clip.mp4", "--account", "lena"]).start();
    early.until_told("Waiting");
    fs::rename(&aside, &place).unwrap();
    early.end().expect(0);
    assert_eq!(service.get("/v1/jobs")["jobs"].as_array().unwrap().len(), 1);
    scene.assert_one_draft_of(&file);
}
