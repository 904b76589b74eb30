//! Many files in one command: manifests, folders, and runs that nobody watches.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wait4::Wait4;

use crate::scene::{Ended, Scene, Start};
use crate::serve::{Service, command as serve};
use crate::video;

/// `upload` with more arguments, and the accounts that a service of the scene has, too.
fn upload(scene: &Scene, more: &[&str]) -> Command {
    // Writes the config file.
    drop(serve(scene, &[]));
    let mut command = scene.command(["upload"]);
    command
        .args(more)
        .env("CHUNKFERRY_CONFIG", scene.path("config.toml"))
        .env_remove("TIKTOK_ACCESS_TOKEN");
    command
}

/// The accounts of the drafts, each as often as it has one.
fn creators(scene: &Scene) -> Vec<String> {
    let sessions = scene.log().sessions.into_iter();
    let whole = sessions.filter(|session| session.sha256.is_some());
    let mut creators: Vec<String> = whole.map(|session| session.creator).collect();
    creators.sort();
    creators
}

fn last_line(ended: &Ended) -> &str {
    ended.stderr.trim_end().lines().last().unwrap_or_default()
}

#[test]
fn one_wrong_line_of_a_manifest_posts_nothing_and_every_wrong_line_is_named() {
    let scene = Scene::new(&[], &[]);
    for name in ["a.mp4", "b.mp4", "c.mp4"] {
        scene.video(name, 100_000);
    }
    fs::create_dir(scene.path("folder")).unwrap();
    let lines = [
        r#"{"file": "a.mp4", "account": "lena"}"#,
        r#"{"file": "b.mp4", "acount": "lena"}"#,
        r#"{"file": "a.mp4", "account": "lena", "labels": {"n": "1"}}"#,
        "",
        r#"{"file": "folder", "account": "mia"}"#,
        r#"{"file": "gone.mp4", "account": "mia"}"#,
        r#"{"file": "c.mp4", "account": "nobody"}"#,
        r#"{"file": "c.mp4", "account": "mia", "again": true}"#,
        r#"{"file": "b.mp4", "account": "mia", "patience": 99999}"#,
        r#"{"url": "https://media.example/v.mp4?s3cr3t", "account": "mia", "chunk_size": 5}"#,
        r#"{"file": "b.mp4"#,
    ];
    fs::write(scene.path("night.jsonl"), lines.join("\n")).unwrap();
    let wanted = [
        (2, "account"),
        (3, "line 1"),
        (5, "directory"),
        (6, "no such file"),
        (7, "nobody"),
        (8, "id"),
        (9, "3,600"),
        (10, "chunk_size"),
        (11, "JSON"),
    ];
    let check = |ended: Ended| {
        for (line, why) in wanted {
            let of = format!("  line {line}: ");
            let found = ended.stderr.lines().find(|said| said.starts_with(&of));
            assert!(
                found.is_some_and(|said| said.contains(why)),
                "{line} {why}: {}",
                ended.stderr
            );
        }
        assert!(!ended.stderr.contains("  line 1: "), "{}", ended.stderr);
        assert!(!ended.stderr.contains("s3cr3t"), "{}", ended.stderr);
    };
    let run = || upload(&scene, &["--from", "night.jsonl"]).end().expect(2);
    check(run());
    assert!(!scene.state_dir().exists());
    let service = Service::start(&scene, &[]);
    check(run());
    assert_eq!(service.get("/v1/jobs")["jobs"], json!([]));
    assert_eq!(scene.log().inits, 0);
}

#[test]
fn a_table_of_a_spreadsheet_sends_each_video_to_its_creator_and_who_stood_first_gets_through() {
    let scene = Scene::new(&["pending_cap=2"], &[]);
    let mut table = "\u{feff}File;Account;Night\r\n".to_owned();
    for number in 0..4 {
        scene.video(&format!("lena {number}.mp4"), 100_000 + number);
        table += &format!("lena {number}.mp4;lena;7\r\n");
    }
    scene.video("mia.mp4", 100_000);
    table += "mia.mp4;mia;7\r\n";
    fs::write(scene.path("night.csv"), table).unwrap();
    let args = ["--from", "night.csv", "--json"];
    let ended = upload(&scene, &args).end().expect(75);
    let mut delivered: Vec<_> = ended
        .outcomes()
        .iter()
        .filter(|line| line["outcome"] == "delivered")
        .map(|line| (line["line"].as_u64().unwrap(), line["account"].clone()))
        .collect();
    delivered.sort_by_key(|(line, _)| *line);
    assert_eq!(
        delivered,
        [(2, json!("lena")), (3, json!("lena")), (6, json!("mia"))]
    );
    assert_eq!(creators(&scene), ["lena", "lena", "mia"]);
    let ended = upload(&scene, &["--from", "night.csv"]).end().expect(75);
    assert_eq!(
        last_line(&ended),
        "3 already delivered, 2 wait for room in their inboxes"
    );
    let mut run = upload(&scene, &["--from", "night.csv", "--dry-run"]);
    let ended = run.end().expect(0);
    assert_eq!(
        last_line(&ended),
        "Nothing was sent: 2 to send, 3 already delivered."
    );
    assert_eq!(creators(&scene).len(), 3);
}

#[test]
fn a_token_without_a_name_never_serves_another_account_of_a_manifest() {
    let scene = Scene::new(&[], &[]);
    scene.video("a.mp4", 100_000);
    scene.video("b.mp4", 100_000);
    let both = "{\"file\": \"a.mp4\"}\n{\"file\": \"b.mp4\", \"account\": \"mia\"}\n";
    fs::write(scene.path("night.jsonl"), both).unwrap();
    let ended = scene.command(["upload", "--from", "night.jsonl"]).end();
    let ended = ended.expect(2);
    assert!(ended.stderr.contains("line 2: "), "{}", ended.stderr);
    assert_eq!(scene.log().inits, 0);
    fs::write(scene.path("night.jsonl"), "{\"file\": \"a.mp4\"}\n").unwrap();
    let ended = scene.command(["upload", "--from", "night.jsonl"]).end();
    ended.expect(0);
    assert_eq!(creators(&scene), ["lena"]);
}

#[test]
fn lines_of_a_stream_are_sent_as_they_come_and_a_wrong_one_ends_the_run() {
    let scene = Scene::new(&[], &[]);
    for name in ["a.mp4", "b.mp4"] {
        scene.video(name, 100_000);
    }
    let mut command = upload(&scene, &["--from", "-", "--stream"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().unwrap();
    let mut lines = child.stdin.take().unwrap();
    writeln!(lines, r#"{{"file": "a.mp4", "account": "lena"}}"#).unwrap();
    scene.sees("a draft before the stream ends", |log| log.drafts == 1);
    writeln!(lines, r#"{{"file": "b.mp4", "account": "nobody"}}"#).unwrap();
    // Nobody reads this line any more.
    let _ = writeln!(lines, r#"{{"file": "b.mp4", "account": "lena"}}"#);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
    assert!(said.contains("line 2: "), "{said}");
    assert_eq!(creators(&scene), ["lena"]);
}

#[test]
fn what_a_stream_takes_of_memory_does_not_grow_with_its_lines() {
    let scene = Scene::new(&[], &[]);
    scene.video("a.mp4", 20_000);
    let most = |count: usize| {
        let mut command = upload(&scene, &["--from", "-", "--stream", "--quiet"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = child.stdin.take().unwrap();
        let line = "{\"file\": \"a.mp4\", \"account\": \"lena\"}\n";
        lines.write_all(line.repeat(count).as_bytes()).unwrap();
        drop(lines);
        let ended = child.wait4().unwrap();
        assert!(ended.status.success());
        ended.rusage.maxrss
    };
    let (few, many) = (
        most(1_000),
        most(if crate::scene::full() { 10_000 } else { 3_000 }),
    );
    println!("peak memory of 1,000 lines: {few} bytes, of many: {many} bytes");
    assert!(many < few + few / 4, "{few} bytes, then {many} bytes");
    assert_eq!(scene.log().drafts, 1);
}

#[test]
fn of_a_folder_only_what_is_meant_is_sent_in_the_order_of_the_names() {
    let scene = Scene::new(&["pending_cap=100"], &[]);
    fs::create_dir_all(scene.path("night/deep")).unwrap();
    let videos = [
        "night/b.mp4",
        "night/a.MOV",
        "night/deep/c.webm.mp4",
        "night/d.mkv",
        "night/.e.mp4",
    ];
    for (name, size) in videos.iter().zip(100_000..) {
        scene.video(name, size);
    }
    fs::write(scene.path("night/notes.txt"), "no video").unwrap();
    let names = |more: &[&str]| {
        let mut run = upload(&scene, &[&["night", "--dry-run", "--json"], more].concat());
        let ended = run.end().expect(0);
        let lines = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let lines = lines.filter(|line: &Value| line["event"] == "dry_run");
        lines
            .map(|line| line["source"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["night/a.MOV", "night/b.mp4"]);
    assert_eq!(
        names(&["--recursive"]),
        ["night/a.MOV", "night/b.mp4", "night/deep/c.webm.mp4"]
    );
    assert_eq!(
        names(&["--recursive", "--exclude", "deep/*"]),
        ["night/a.MOV", "night/b.mp4"]
    );
    assert_eq!(names(&["--include", "*.mkv"]), ["night/d.mkv"]);
    assert_eq!(scene.log().inits, 0);
    upload(&scene, &["night", "--recursive"]).end().expect(0);
    assert_eq!(scene.log().drafts, 3);
    // The same again has nothing to do, and a folder without videos is no error.
    let ended = upload(&scene, &["night", "--quiet"]).end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    fs::create_dir(scene.path("empty")).unwrap();
    upload(&scene, &["empty"]).end().expect(0);
}

#[test]
fn a_quiet_run_says_what_failed_and_nothing_else() {
    let scene = Scene::new(&[], &[]);
    scene.video("good.mp4", 100_000);
    fs::write(scene.path("text.mp4"), "no video").unwrap();
    let args = ["upload", "--quiet", "good.mp4", "text.mp4"];
    let ended = scene.command(args).end().expect(3);
    assert_eq!(ended.stdout, "-\tfailed\ttext.mp4\n");
    assert!(ended.stderr.starts_with("text.mp4: "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("good.mp4"), "{}", ended.stderr);
    let ended = scene.command(args).arg("--json").end().expect(3);
    let events = ended.stdout.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["event"].clone()
    });
    assert_eq!(events.collect::<Vec<_>>(), ["outcome", "summary"]);
}

#[test]
fn a_run_that_may_take_no_longer_stops_with_75_and_the_same_command_carries_on() {
    let scene = Scene::new(&["receive_rate=5MB"], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let args = ["--max-duration", "2s"];
    let ended = scene.upload(&file, &args).end().expect(75);
    assert_eq!(ended.outcome()["outcome"], "retry");
    let mut runs = 1;
    while scene.upload(&file, &args).end().code != Some(0) {
        runs += 1;
        assert!(runs < 20, "no run gets on");
    }
    assert!(runs > 1);
    let session = scene.assert_one_draft_of(&file);
    assert_eq!(session.sent_again(), 0);
}

#[test]
fn a_command_waits_for_another_one_no_longer_than_it_was_told() {
    let scene = Scene::new(&["receive_rate=1MB"], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let mut first = scene.upload(&file, &[]).start();
    first.until("it begins", |line| line["event"] == "session");
    let ended = scene.upload(&file, &["--wait-lock", "1s"]).end();
    ended.expect(75);
    assert!(first.is_running());
}

#[test]
fn a_manifest_beside_a_service_is_carried_by_the_service_once_however_often_it_is_given() {
    let scene = Scene::new(&["pending_cap=100", "init_per_minute=100"], &[]);
    let mut lines = String::new();
    for number in 0..10_u64 {
        let name = format!("{number}.mp4");
        scene.video(&name, 100_000 + number);
        let account = ["lena", "mia"][number as usize % 2];
        let job = json!({ "file": name, "account": account, "id": format!("clip {number}"), "labels": { "night": "7" } });
        lines += &format!("{job}\n");
    }
    fs::write(scene.path("night.jsonl"), lines).unwrap();
    let service = Service::start(&scene, &[]);
    for outcome in ["delivered", "delivered"] {
        let mut run = upload(&scene, &["--from", "night.jsonl", "--json"]);
        let outcomes = run.end().expect(0).outcomes();
        assert_eq!(outcomes.len(), 10);
        for line in outcomes {
            assert_eq!(line["outcome"], outcome, "{line}");
            let number = line["line"].as_u64().unwrap() - 1;
            assert_eq!(line["caller_id"], format!("clip {number}"), "{line}");
        }
    }
    assert_eq!(scene.log().drafts, 10);
    // What was delivered is known by the service's API, which the command need not know.
    let mut run = upload(&scene, &["--from", "night.jsonl", "--dry-run"]);
    let ended = run.env_remove("CHUNKFERRY_API_BASE").end().expect(0);
    assert_eq!(last_line(&ended), "Nothing was sent: 10 already delivered.");
    let jobs = service.get("/v1/jobs")["jobs"].as_array().unwrap().clone();
    assert_eq!(jobs.len(), 10);
    assert!(jobs.iter().all(|job| job["labels"]["night"] == "7"));
    let sent = (0..10).map(|number| video::sha256(&scene.path(&format!("{number}.mp4"))));
    let received = scene.log().sessions.into_iter().filter_map(|of| of.sha256);
    let (mut sent, mut received): (Vec<_>, Vec<_>) = (sent.collect(), received.collect());
    sent.sort();
    received.sort();
    assert_eq!(sent, received);
}

#[test]
fn the_same_command_with_an_id_tries_again_what_ended_in_vain_beside_a_service() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let run = || upload(&scene, &["a.mp4", "--id", "a", "--json"]).end();
    fs::write(scene.path("a.mp4"), "no video yet").unwrap();
    assert_eq!(run().expect(3).outcome()["outcome"], "failed");
    scene.video("a.mp4", 100_000);
    assert_eq!(run().expect(0).outcome()["outcome"], "delivered");
    assert_eq!(run().expect(0).outcome()["outcome"], "delivered");
    let jobs = service.get("/v1/jobs")["jobs"].clone();
    assert_eq!(jobs.as_array().unwrap().len(), 1, "{jobs}");
    assert_eq!((scene.log().inits, scene.log().drafts), (1, 1));
}

#[test]
fn the_story_of_a_job_has_what_a_person_asks_for() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 11_000_000);
    let service = Service::start(&scene, &[]);
    let args = ["--json", "clip.mp4", "--chunk-size", "5MiB"];
    let ended = upload(&scene, &args).end().expect(0);
    let job = service.get("/v1/jobs")["jobs"][0].clone();
    assert_eq!(job["by"], "socket");
    let status = |of: &Value| -> Value {
        let mut command = scene.command(["status", of.as_str().unwrap(), "--json"]);
        let command = command.env("CHUNKFERRY_CONFIG", scene.path("config.toml"));
        let ended = command.env_remove("TIKTOK_ACCESS_TOKEN").end().expect(0);
        serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap()
    };
    let of_job = status(&job["id"]);
    let upload = &of_job["upload"];
    assert_eq!(of_job["job"]["end"]["outcome"], "delivered", "{of_job}");
    assert_eq!(upload["id"], ended.outcome()["id"], "{of_job}");
    assert_eq!(upload["sha256"], video::sha256(&file), "{of_job}");
    let story = &upload["story"];
    assert_eq!(story["chunk_size"], 5 << 20, "{story}");
    assert_eq!(story["total_chunk_count"], 2, "{story}");
    assert_eq!(story["identity"]["size"], 11_000_000, "{story}");
    assert!(story["began_ms"].as_u64() > Some(0), "{story}");
    for count in ["retries", "lost_inits", "lost_sessions"] {
        assert_eq!(story[count], 0, "{story}");
    }
    // What TikTok says of an upload comes with the same story.
    let asked = status(&upload["publish_id"]);
    assert_eq!(asked["upload"], *upload, "{asked}");
    assert!(asked["status"].is_string(), "{asked}");
}
