//! What is read afterwards: the wire log, the lines of `--json`, and the log file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::Command;

use serde_json::Value;

use crate::scene::{CHUNK, Scene, Start};
use crate::secrets::Watched;
use crate::serve::{Service, command, wish};

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    let lines = lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    lines.collect()
}

/// Whether this is a time in UTC, to the microsecond, that lies within the last hour.
fn is_now(at: &Value) -> bool {
    let text = at.as_str().unwrap_or_default();
    let age = text
        .parse::<jiff::Timestamp>()
        .map(|at| jiff::Timestamp::now().duration_since(at));
    let recent = age.is_ok_and(|age| (-60..3600).contains(&age.as_secs()));
    text.len() == "2026-11-26T16:17:14.000250Z".len() && text.ends_with('Z') && recent
}

#[test]
fn each_line_of_the_wire_log_tells_when_it_was_whose_it_is_and_what_was_answered() {
    let faults = [
        "put chunk=1 nth=1 status=503 body=busy",
        "status nth=1 status=502 body=<html>",
    ];
    let scene = Scene::new(&["put_body=object"], &faults);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let wire = scene.path("wire.jsonl");
    let log = ["--wire-log", wire.to_str().unwrap()];
    let ended = scene.upload(&file, &log).end().expect(0);
    // Already delivered: one question, outside of any upload's run.
    scene.upload(&file, &log).end().expect(0);
    let publish_id = ended.outcome()["publish_id"].clone();
    let told = lines(&fs::read_to_string(&wire).unwrap());
    let mut calls: Vec<_> = told
        .iter()
        .map(|line| line["call"].as_str().unwrap())
        .collect();
    for line in &told {
        assert!(is_now(&line["at"]), "{line}");
        assert_eq!(line["account"], "lena", "{line}");
        // The creator is asked for before there is an upload.
        let (upload, id) = match line["call"] == "user info" {
            true => (&Value::Null, &Value::Null),
            false => (&ended.outcome()["id"], &publish_id),
        };
        assert_eq!(
            (&line["upload"], &line["publish_id"]),
            (upload, id),
            "{line}"
        );
        assert!(line["ms"].is_f64(), "{line}");
        // What is hidden counts.
        assert!(line["body_bytes"].is_u64(), "{line}");
    }
    let body_of = |call: &str, status: u16| {
        let mut lines = told.iter();
        let line = lines.find(|line| line["call"] == call && line["status"] == status);
        line.unwrap()["body"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let init = body_of("init", 200);
    for word in ["\"publish_id\":\"v_inbox", "REDACTED", "\"log_id\":\""] {
        assert!(init.contains(word), "{word}: {init}");
    }
    assert!(body_of("chunk PUT", 206).starts_with('{'));
    assert!(body_of("status", 200).contains("SEND_TO_USER_INBOX"));
    calls.sort();
    calls.dedup();
    assert_eq!(calls, ["chunk PUT", "init", "status", "user info"]);
}

#[test]
fn a_wire_log_on_a_full_disk_is_told_once_and_stops_nothing() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 4 * CHUNK);
    let ended = scene
        .upload(&file, &["--wire-log", "/dev/full"])
        .end()
        .expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    let told = ended.stderr.matches("/dev/full").count();
    assert_eq!(told, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
}

#[test]
fn a_wire_log_whose_disk_stands_still_holds_up_no_upload_and_is_whole_in_the_end() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 4 * CHUNK);
    let pipe = scene.path("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    // Full to the brim: the first line has no room.
    let both = || {
        File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe)
    };
    let mut held = both().unwrap();
    let mut filled = 0;
    for piece in [4096, 1] {
        loop {
            match held.write(&vec![b'\n'; piece]) {
                Ok(written) => filled += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    let mut run = scene
        .upload(&file, &["--wire-log", pipe.to_str().unwrap()])
        .start();
    let outcome = run.until("the draft is there", |line| line["event"] == "outcome");
    assert_eq!(outcome["outcome"], "delivered");
    // The disk works again.
    let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while run.is_running() {
        match held.read(&mut buffer) {
            Ok(read) => text.extend_from_slice(&buffer[..read]),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(2)),
        }
    }
    while let Ok(read @ 1..) = held.read(&mut buffer) {
        text.extend_from_slice(&buffer[..read]);
    }
    run.end().expect(0);
    let told = lines(std::str::from_utf8(&text[filled..]).unwrap());
    let puts = told.iter().filter(|line| line["call"] == "chunk PUT");
    assert_eq!(puts.count(), 4);
}

#[test]
fn each_json_line_has_its_time_and_its_account() {
    let scene = Scene::new(&[], &["put chunk=1 nth=1 status=503"]);
    scene.video("clip.mp4", 2 * CHUNK);
    let id = |line: &Value| line["id"].as_str().unwrap().to_owned();
    let mut uploaded = String::new();
    let mut events = Vec::new();
    for args in [
        &["upload", "--chunk-size", "5MiB", "clip.mp4"][..],
        &["list"],
        &["status", "clip.mp4"],
        &["forget", "clip.mp4"],
    ] {
        let ended = scene.command(args).arg("--json").end().expect(0);
        for line in lines(&ended.stdout) {
            assert!(is_now(&line["at"]), "{line}");
            assert_eq!(line["account"], "lena", "{line}");
            match args[0] {
                "upload" => uploaded = id(&line),
                "status" => {}
                _ => assert_eq!(id(&line), uploaded),
            }
            events.push(line["event"].as_str().unwrap().to_owned());
        }
    }
    events.sort();
    events.dedup();
    for event in [
        "chunk",
        "forgotten",
        "outcome",
        "planned",
        "record",
        "retry",
        "status",
    ] {
        assert!(
            events.iter().any(|known| known == event),
            "{event}: {events:?}"
        );
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let scene = Scene::new(&[], &["status status=403 code=scope_not_authorized"]);
    let missing = scene.path("missing");
    let missing = missing.to_str().unwrap();
    let rows: [(&[&str], i32, Option<&str>); 8] = [
        (
            &["status", "v_inbox_file~v2.1"],
            4,
            Some("scope_not_authorized"),
        ),
        (&["status", "nothing"], 2, None),
        (&["forget", "nothing"], 2, None),
        (&["cancel", "nothing"], 2, None),
        (
            &["cancel", "v_inbox_url~v2.1"],
            1,
            Some("invalid_publish_id"),
        ),
        (&["plan", missing], 3, None),
        (&["upload", "ftp://media.example/clip.mp4"], 2, None),
        (&["pull", "--url-file", missing], 2, None),
    ];
    for (args, code, stated) in rows {
        let ended = scene.command(args).arg("--json").end().expect(code);
        let told = lines(&ended.stdout);
        assert_eq!(told.len(), 1, "{args:?}: {}", ended.stdout);
        let line = &told[0];
        assert_eq!((&line["event"], &line["v"]), (&"error".into(), &1.into()));
        assert_eq!(
            (&line["exit"], &line["account"]),
            (&code.into(), &"lena".into())
        );
        assert!(is_now(&line["at"]), "{line}");
        assert_eq!(line["error"]["code"].as_str(), stated, "{line}");
        let message = line["error"]["message"].as_str().unwrap();
        assert!(message.len() > 20, "{line}");
        assert_eq!(
            line["error"]["log_id"].is_string(),
            stated.is_some(),
            "{line}"
        );
        // Without it, people read the same.
        let ended = scene.command(args).end().expect(code);
        assert_eq!(ended.stdout, "", "{args:?}");
        let (but_for_log_id, _) = message.split_once(" [log_id").unwrap_or((message, ""));
        assert!(
            ended.stderr.contains(but_for_log_id),
            "{args:?}: {}",
            ended.stderr
        );
    }
}

/// The time and the level of each line of a log for people.
fn dated(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| {
        let (time, rest) = line.split_once(' ').unwrap_or_default();
        assert!(is_now(&time.into()), "{line}");
        let level = rest.trim_start().split(' ').next().unwrap_or_default();
        assert!(["ERROR", "WARN", "INFO"].contains(&level), "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        level
    });
    lines.collect()
}

#[test]
fn a_log_file_has_the_life_of_an_upload_and_whose_it_is_and_standard_error_has_none_of_it() {
    let scene = Scene::new(&[], &["put chunk=1 nth=1 status=503"]);
    scene.video("clip.mp4", 2 * CHUNK);
    scene.video("two.mp4", 2 * CHUNK + 1);
    let log = scene.path("log");
    let upload = |file: &str, more: &[&str]| {
        let mut command = scene.command(["upload", "--chunk-size", "5MiB", file]);
        command.args(more);
        command
    };
    let at = log.to_str().unwrap();
    let ended = upload("clip.mp4", &["--log-file", at]).end().expect(0);
    let mode = fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&log).unwrap();
    assert!(!dated(&text).is_empty());
    let id = scene.log().sessions[0].publish_id.clone();
    for words in [
        "the upload has a session",
        "a request is sent again",
        "clip.mp4",
        "outcome=\"delivered\"",
        &id,
    ] {
        let mut lines = text.lines().filter(|line| line.contains(words));
        assert!(
            lines.all(|line| line.contains("account=\"lena\"")) && text.contains(words),
            "{words}: {text}"
        );
    }
    assert!(!ended.stderr.contains("INFO"), "{}", ended.stderr);
    // The variable and the file say so, too, in the form that is asked for; lines are appended.
    let before = text.lines().count();
    let mut second = upload("two.mp4", &[]);
    let config = scene.path("config.toml");
    fs::write(&config, "log_format = \"json\"\nlog_file = \"log\"\n").unwrap();
    let ended = second.env("CHUNKFERRY_CONFIG", &config).end().expect(0);
    assert!(!ended.stderr.contains("INFO"), "{}", ended.stderr);
    let text = fs::read_to_string(&log).unwrap();
    let added: Vec<&str> = text.lines().skip(before).collect();
    let added = lines(&added.join("\n"));
    assert!(!added.is_empty());
    for line in &added {
        assert!(is_now(&line["time"]), "{line}");
        assert_eq!(
            (&line["level"], &line["account"]),
            (&"INFO".into(), &"lena".into())
        );
    }
    // A level of its own.
    let other = scene.path("other");
    let mut third = upload("two.mp4", &["--again"]);
    third
        .env("CHUNKFERRY_LOG_FILE", &other)
        .env("CHUNKFERRY_LOG", "error")
        .end()
        .expect(0);
    assert_eq!(fs::read_to_string(&other).unwrap(), "");
    // What a name would draw is text.
    let name = "x\u{1b}[2J\nINFO.mp4";
    fs::write(scene.path(name), "no video").unwrap();
    upload(name, &["--log-file", at]).end().expect(3);
    let text = fs::read_to_string(&log).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.contains("source") && last.contains("WARN"), "{last}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn uploads_at_once_and_commands_at_once_write_whole_lines_into_one_log_file() {
    let scene = Scene::new(&["limits=off"], &[]);
    let names: Vec<String> = (0..8).map(|at| format!("clip-{at}.mp4")).collect();
    for (at, name) in names.iter().enumerate() {
        scene.video(name, 2 * CHUNK + at as u64);
    }
    let log = scene.path("log");
    let runs: Vec<_> = names
        .chunks(2)
        .enumerate()
        .map(|(at, names)| {
            let mut command = scene.command(["upload", "--jobs", "2", "--log-format", "json"]);
            command
                .args(["--log-file", "log", "--state-dir", &format!("state-{at}")])
                .args(["--chunk-size", "5MiB"])
                .args(names)
                .env("CHUNKFERRY_LOG", "trace")
                .start()
        })
        .collect();
    for run in runs {
        run.end().expect(0);
    }
    let told = lines(&fs::read_to_string(&log).unwrap());
    let ends = told.iter().filter(|line| line["outcome"] == "delivered");
    assert_eq!(ends.count(), names.len());
    let chunks = told.iter().filter(|line| line["call"] == "chunk PUT");
    assert!(chunks.count() >= 2 * names.len());
}

#[test]
fn a_log_file_that_cannot_be_opened_is_refused_before_anything_and_a_full_one_stops_nothing() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    let none = scene.path("none/log");
    for path in [none.to_str().unwrap(), "/"] {
        for json in [None, Some("--json")] {
            let mut command = scene.command(["upload", "clip.mp4", "--log-file", path]);
            let ended = command.args(json).end().expect(2);
            assert!(ended.stderr.contains(path), "{}", ended.stderr);
            assert!(ended.stderr.contains("--log-file"), "{}", ended.stderr);
            assert_eq!(ended.stdout.is_empty(), json.is_none(), "{}", ended.stdout);
        }
    }
    assert!(!scene.state_dir().exists());
    assert_eq!(scene.log().requests.init, 0);
    let mut command = scene.command(["upload", "clip.mp4", "--log-file", "/dev/full"]);
    let ended = command.env("CHUNKFERRY_LOG", "debug").end().expect(0);
    let told = ended.stderr.matches("/dev/full").count();
    assert_eq!(told, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
}

#[test]
fn a_log_file_has_no_secret_even_where_everything_is_logged() {
    for format in ["text", "json"] {
        let faults = ["put chunk=1 nth=1 cut=1MB", "status nth=1 status=500"];
        let mut watched = Watched::new(&[], &faults);
        watched.scene.video("clip.mp4", 12_000_000);
        let args = ["upload", "--chunk-size", "5MiB", "--log-file", "log"];
        let mut run = watched.command(&args);
        run.args(["clip.mp4", "--log-format", format]);
        let ended = run.end().expect(0);
        let text = fs::read_to_string(watched.scene.path("log")).unwrap();
        assert!(text.contains("TRACE"), "{format}");
        assert!(!ended.stderr.contains("TRACE"), "{format}");
        watched.printed.push(ended.stderr);
        watched.assert_nothing_leaked(1);
    }
}

#[test]
fn the_log_file_of_a_service_says_whose_upload_each_line_is_about() {
    let scene = Scene::new(&[], &[]);
    let mut started = command(&scene, &["--log-file", "log", "--log-format", "json"]);
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let mut jobs = Vec::new();
    for name in ["lena", "mia"] {
        let file = scene.video(&format!("{name}.mp4"), 1_000_000);
        let job = service.post(None, &wish(&file, name)).expect(202).json();
        service.ended(&job["id"]);
        jobs.push((name, job["id"].clone()));
    }
    let told = lines(&fs::read_to_string(scene.path("log")).unwrap());
    for (name, job) in jobs {
        let mut lines = told.iter();
        let end = lines.find(|line| line["job"] == job && line["outcome"] == "delivered");
        assert_eq!(end.unwrap()["account"], name, "{told:#?}");
    }
    assert!(service.running.told().starts_with("Listening on "));
}
