//! The contract with scripts: exit codes, lines on stdout, and the memory between runs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::scene::{CHUNK, Scene, Start, accepted};
use crate::video;

#[test]
fn one_line_a_file_on_stdout_and_nothing_else() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(0);
    let publish_id = &scene.log().sessions[0].publish_id;
    assert_eq!(ended.stdout, format!("{publish_id}\tdelivered\tclip.mp4\n"));
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(0);
    assert_eq!(
        ended.stdout,
        format!("{publish_id}\talready_delivered\tclip.mp4\n")
    );
    let ended = scene.command(["upload", "missing.mp4"]).end().expect(3);
    assert_eq!(ended.stdout, "-\tfailed\tmissing.mp4\n");
}

#[test]
fn every_json_line_says_what_it_is_about_and_the_last_one_says_it_all() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let ended = scene.upload(&file, &[]).end().expect(0);
    let lines: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert_eq!(line["v"], 1, "{line}");
        assert!(
            line["event"].is_string() && line["file"].is_string(),
            "{line}"
        );
        assert!(line["id"].is_string(), "{line}");
    }
    let last = lines.last().unwrap();
    assert_eq!(*last, ended.outcome());
    let fields = [
        "v",
        "event",
        "id",
        "file",
        "outcome",
        "exit",
        "publish_id",
        "sha256",
        "bytes",
        "bytes_sent",
        "bytes_resent",
        "inits",
        "retry_at",
        "error",
    ];
    for field in fields {
        assert!(last.get(field).is_some(), "{field} is missing: {last}");
    }
    assert_eq!(last["exit"], 0);
    assert_eq!(last["sha256"], *video::sha256(&file));
    assert_eq!(
        (&last["bytes"], &last["bytes_sent"]),
        (&12_000_000.into(), &12_000_000.into())
    );
    assert_eq!(
        (&last["bytes_resent"], &last["inits"]),
        (&0.into(), &1.into())
    );
    assert!(last["retry_at"].is_null() && last["error"].is_null());
    assert_eq!(
        ended.stderr, "",
        "with --json a program reads along, not a person"
    );
}

#[test]
fn handed_over_is_not_delivered_and_the_same_command_follows_it_to_the_end() {
    let scene = Scene::new(&["processing_time=3s"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let ended = scene.upload(&file, &["--no-wait"]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "sent");
    assert_eq!(scene.log().drafts, 0);
    let puts = scene.log().requests.put;
    let ended = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    assert_eq!(scene.log().requests.put, puts);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_wait_that_ends_before_the_inbox_is_temporary_and_sends_nothing_again() {
    let scene = Scene::new(&["processing_time=1h"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let ended = scene.upload(&file, &["--wait", "1"]).end().expect(75);
    assert_eq!(ended.outcome()["outcome"], "retry");
    scene.emulator.advance(Duration::from_secs(3600));
    scene.upload(&file, &[]).end().expect(0);
    let log = scene.log();
    assert_eq!((log.inits, log.requests.put), (1, 1));
}

#[test]
fn a_signal_stops_it_cleanly_and_the_same_command_carries_on() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 143)] {
        let scene = Scene::new(&[], &[]);
        let file = scene.video("clip.mp4", 30_000_000);
        let mut run = scene.upload(&file, &["--bwlimit", "10MB"]).start();
        run.until_confirmed(CHUNK);
        run.signal(signal);
        let ended = run.end().expect(code);
        assert_eq!(ended.outcome()["outcome"], "retry");
        assert_eq!(ended.outcome()["exit"], code);
        scene.upload(&file, &[]).end().expect(0);
        let session = scene.assert_one_draft_of(&file);
        assert_eq!(accepted(&session.puts).len(), 5, "each chunk counted once");
        assert_eq!(scene.log().inits, 1);
    }
}

#[test]
fn a_hangup_gives_each_file_its_outcome() {
    let scene = Scene::new(&[], &[]);
    for name in ["one.mp4", "two.mp4", "three.mp4"] {
        scene.video(name, 30_000_000 + name.len() as u64);
    }
    let args = [
        "upload",
        "--json",
        "--jobs",
        "1",
        "--bwlimit",
        "5MB",
        "one.mp4",
        "two.mp4",
        "three.mp4",
    ];
    let mut run = scene.command(args).start();
    run.until("a session", |line| line["event"] == "session");
    run.signal("-HUP");
    let ended = run.end().expect(143);
    let outcomes = ended.outcomes();
    assert_eq!(outcomes.len(), 3, "{}", ended.stdout);
    assert!(
        outcomes.iter().all(|line| line["outcome"] == "retry"),
        "{outcomes:?}"
    );
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    for (name, signal) in [("INT", "-INT"), ("HUP", "-HUP"), ("TERM", "-TERM")] {
        let scene = Scene::new(&[], &[]);
        let file = scene.video("clip.mp4", 20_000_000);
        let upload = scene.upload(&file, &["--bwlimit", "10MB"]);
        // As a script's background job, or under nohup.
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("trap '' {name}; exec \"$0\" \"$@\"")]);
        shell
            .arg(upload.get_program())
            .args(upload.get_args())
            .env_clear();
        shell.envs(
            upload
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
        shell.current_dir(scene.path(""));
        let mut run = shell.start();
        run.until_confirmed(CHUNK);
        run.signal(signal);
        run.signal(signal);
        let ended = run.end().expect(0);
        assert_eq!(ended.outcome()["outcome"], "delivered", "{name}");
        scene.assert_one_draft_of(&file);
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_lock_too() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let mut first = scene.upload(&file, &["--bwlimit", "5MB"]).start();
    first.until("it began", |line| line["event"] == "session");
    let mut second = scene.command(["upload", "clip.mp4"]).start();
    second.until_told("Waiting for it to end");
    second.signal("-INT");
    let ended = second.end().expect(130);
    assert_eq!(
        ended.stdout.lines().count(),
        1,
        "a line for the file: {}",
        ended.stdout
    );
    assert!(ended.stdout.starts_with("-\tretry\t"), "{}", ended.stdout);
}

#[test]
fn a_name_with_a_tab_in_it_does_not_make_two_fields() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("two\tfields.mp4", 1_000);
    let ended = scene.command(["upload"]).arg(&file).end().expect(0);
    let fields: Vec<&str> = ended.stdout.trim_end().split('\t').collect();
    assert_eq!(fields.len(), 3, "{}", ended.stdout);
    assert!(fields[2].ends_with("two\\tfields.mp4"), "{}", ended.stdout);
}

#[test]
fn of_several_files_all_are_tried_and_the_worst_decides() {
    let scene = Scene::new(&[], &[]);
    let good = scene.video("good.mp4", 1_000_000);
    fs::write(scene.path("text.mp4"), "no video").unwrap();
    let ended = scene
        .command([
            "upload",
            "--json",
            "missing.mp4",
            "good.mp4",
            "text.mp4",
            "good.mp4",
        ])
        .end()
        .expect(3);
    let outcomes = ended.outcomes();
    assert_eq!(outcomes.len(), 4);
    let of =
        |name: &str| outcomes.iter().find(|line| line["file"] == *name).unwrap()["exit"].clone();
    assert_eq!(
        (of("missing.mp4"), of("text.mp4"), of("good.mp4")),
        (3.into(), 3.into(), 0.into())
    );
    scene.assert_one_draft_of(&good);
}

#[test]
fn what_is_no_finished_video_is_refused_before_any_request() {
    let scene = Scene::new(&[], &[]);
    let whole = scene.video("whole.mp4", 100_000);
    fs::write(scene.path("empty.mp4"), "").unwrap();
    let bytes = fs::read(&whole).unwrap();
    // A render that is still being written: its last box reaches past the end; or its index is not there yet.
    fs::write(scene.path("rendering.mp4"), &bytes[..60_000]).unwrap();
    let without_moov = [&bytes[..24], &bytes[video::START.len()..]].concat();
    fs::write(scene.path("no-moov.mp4"), without_moov).unwrap();
    let mkv = b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska"
        .iter()
        .chain(&[0; 100]);
    fs::write(scene.path("film.mkv"), mkv.copied().collect::<Vec<u8>>()).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(scene.path("pipe.mp4"))
            .status()
            .unwrap()
            .success()
    );
    let unreadable = scene.video("secret.mp4", 100_000);
    let rows = [
        ("missing.mp4", "cannot be read"),
        ("pipe.mp4", "not a regular file"),
        ("empty.mp4", "cannot be sent"),
        ("film.mkv", "ffmpeg"),
        ("rendering.mp4", "unfinished"),
        ("no-moov.mp4", "unfinished"),
    ];
    for (name, text) in rows {
        let ended = scene.command(["upload", name]).end().expect(3);
        assert!(
            ended.stderr.contains(text) && ended.stderr.contains(name),
            "{name}: {}",
            ended.stderr
        );
    }
    let mut mode = fs::metadata(&unreadable).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0);
    fs::set_permissions(&unreadable, mode).unwrap();
    // Root reads everything.
    if fs::File::open(&unreadable).is_err() {
        scene.command(["upload", "secret.mp4"]).end().expect(3);
    }
    assert_eq!(scene.log().requests.init, 0);

    // Who knows better says so.
    scene
        .command(["upload", "no-moov.mp4", "--content-type", "video/mp4"])
        .end()
        .expect(0);
}

#[test]
fn a_file_larger_than_any_allowed_one_is_refused_by_the_number() {
    let scene = Scene::new(&[], &[]);
    let file = scene.path("huge.mp4");
    fs::File::create(&file)
        .unwrap()
        .set_len(4_294_967_297)
        .unwrap();
    let ended = scene.command(["upload", "huge.mp4"]).end().expect(3);
    assert!(ended.stderr.contains("4294967296"), "{}", ended.stderr);
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn usage_that_cannot_mean_one_thing_is_refused() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 30_000_000);
    let ended = scene
        .command(["upload", "--chunk-size", "10M", "clip.mp4"])
        .end()
        .expect(2);
    assert!(
        ended.stderr.contains("10MB") && ended.stderr.contains("10MiB"),
        "{}",
        ended.stderr
    );
    scene
        .command(["upload", "--chunk-size", "5MB", "clip.mp4"])
        .end()
        .expect(2);
    scene
        .command(["upload", "--bwlimit", "0", "clip.mp4"])
        .end()
        .expect(2);
    scene.command(["upload"]).end().expect(2);
    scene
        .command(["upload", "clip.mp4", "--api-base", "http://203.0.113.7"])
        .end()
        .expect(2);
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn without_a_token_a_person_must_act() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    scene
        .command(["upload", "clip.mp4"])
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .end()
        .expect(4);
    scene
        .command(["upload", "clip.mp4", "--token-file", "no-such-file"])
        .end()
        .expect(4);
    scene
        .command(["upload", "clip.mp4", "--token-command", "false"])
        .end()
        .expect(4);
    scene
        .command(["upload", "clip.mp4", "--token-command", "true"])
        .end()
        .expect(4);
    assert_eq!(scene.log().requests.init, 0);
    scene
        .command(["upload", "clip.mp4", "--token-command", "echo act.lena.1"])
        .end()
        .expect(0);
}

#[test]
fn a_refused_token_is_asked_for_once_more_and_then_a_person_must_act() {
    let scene = Scene::new(&[], &["inbox_init nth=1-2 code=access_token_invalid"]);
    scene.video("clip.mp4", 1_000_000);
    // Each call of the command prints another token.
    let counting = "echo x >>calls; echo act.lena.$(wc -l <calls)";
    let ended = scene
        .command(["upload", "--json", "clip.mp4", "--token-command", counting])
        .end()
        .expect(4);
    let outcome = ended.outcome();
    assert_eq!(outcome["error"]["code"], "access_token_invalid");
    assert_eq!(outcome["error"]["who"], "you");
    assert_eq!(
        outcome["error"]["remedies"],
        serde_json::json!(["renew_token"])
    );
    assert!(outcome["error"]["log_id"].is_string(), "{outcome}");
    assert_eq!(scene.log().requests.init, 2);
    scene
        .command(["upload", "clip.mp4", "--token-command", counting])
        .end()
        .expect(0);
    assert_eq!(scene.log().drafts, 1);
}

#[test]
fn the_pending_cap_names_the_creator_and_the_hour_and_costs_no_second_init() {
    let scene = Scene::new(&["pending_cap=1"], &[]);
    scene.video("one.mp4", 1_000_000);
    for name in ["two.mp4", "three.mp4"] {
        scene.video(name, 1_100_000);
    }
    scene.command(["upload", "one.mp4"]).end().expect(0);
    let ended = scene
        .command(["upload", "--json", "--jobs", "1", "two.mp4", "three.mp4"])
        .end()
        .expect(75);
    for outcome in ended.outcomes() {
        assert_eq!(outcome["outcome"], "needs_person");
        assert_eq!(outcome["error"]["code"], "spam_risk_too_many_pending_share");
        assert_eq!(outcome["error"]["who"], "creator");
        let retry_at: jiff::Timestamp = outcome["retry_at"].as_str().unwrap().parse().unwrap();
        let hours = (retry_at.as_second() - jiff::Timestamp::now().as_second()) as f64 / 3600.0;
        assert!((23.9..=24.0).contains(&hours), "{hours}");
    }
    assert_eq!(scene.log().requests.init, 2, "one init found out for all");
    // A day later the place is free.
    scene.emulator.advance(Duration::from_secs(24 * 3600 + 60));
    scene.command(["upload", "two.mp4"]).end().expect(0);
}

#[test]
fn a_video_that_tiktok_failed_is_remembered_without_a_request() {
    let scene = Scene::new(&["fail_reason=frame_rate_check_failed"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let ended = scene.upload(&file, &[]).end().expect(1);
    assert_eq!(ended.outcome()["outcome"], "failed");
    assert_eq!(ended.outcome()["error"]["code"], "frame_rate_check_failed");
    let before = scene.log().requests;
    let ended = scene.upload(&file, &[]).end().expect(1);
    assert!(ended.message().contains("ffmpeg"), "{}", ended.message());
    assert_eq!(scene.log().requests, before);
    assert_eq!(before.init, 1);

    scene.emulator.set("fail_reason", "none").unwrap();
    scene.upload(&file, &["--again"]).end().expect(0);
    assert_eq!(scene.log().inits, 2);
}

#[test]
fn a_reason_nobody_listed_is_told_as_it_is_and_not_tried_again() {
    let scene = Scene::new(&["extra_fail_reason=moon_phase"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let ended = scene.upload(&file, &[]).end().expect(1);
    assert!(ended.message().contains("moon_phase"));
    assert_eq!(scene.log().inits, 1);
}

#[test]
fn an_internal_failure_is_worth_another_try_but_not_for_ever() {
    let scene = Scene::new(&["final_status=FAILED"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let ended = scene.upload(&file, &[]).end().expect(75);
    assert_eq!(ended.outcome()["inits"], 3);
    assert_eq!(scene.log().inits, 3);
}

#[test]
fn an_emulator_inside_the_command_needs_no_account_and_never_uses_the_real_one() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let wire = scene.path("wire.jsonl");
    let mut command = scene.command([
        "upload",
        "clip.mp4",
        "--emulator",
        "--wire-log",
        "wire.jsonl",
    ]);
    let ended = command
        .env("TIKTOK_ACCESS_TOKEN", "act.real.secret")
        .end()
        .expect(0);
    assert!(
        ended.stderr.contains(&video::sha256(&file)),
        "{}",
        ended.stderr
    );
    assert_eq!(scene.log().requests.init, 0, "not this one");
    assert!(fs::read_to_string(wire).unwrap().lines().count() >= 4);
    assert!(!scene.state_dir().exists(), "temporary state");
}

#[test]
fn status_forget_and_plan_do_what_their_names_say() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 50_000_123);
    let plan = scene
        .command(["plan", "--size", "50000123"])
        .end()
        .expect(0);
    assert!(plan.stdout.contains("10000123"), "{}", plan.stdout);
    scene.upload(&file, &[]).end().expect(0);
    let publish_id = scene.log().sessions[0].publish_id.clone();
    for id in [&*publish_id, "clip.mp4"] {
        let status = scene.command(["status", id]).end().expect(0);
        assert_eq!(status.stdout, format!("{publish_id}\tSEND_TO_USER_INBOX\n"));
    }
    scene
        .command(["status", "nothing-of-the-kind"])
        .end()
        .expect(2);
    let before = scene.log().requests;
    scene.command(["list"]).end().expect(0);
    assert_eq!(scene.log().requests, before, "list asks nobody");
    scene.command(["forget", "clip.mp4"]).end().expect(0);
    scene.upload(&file, &[]).end().expect(0);
    assert_eq!(scene.log().drafts, 2, "forgotten means new");
}

#[test]
fn a_corrected_content_type_is_the_one_that_is_sent() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let wire = scene.path("wire.jsonl");
    let log = ["--wire-log", wire.to_str().unwrap()];
    let sent = || {
        let text = fs::read_to_string(&wire).unwrap();
        fs::remove_file(&wire).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let types =
            lines.filter_map(|line| Some(line["request"]["content_type"].as_str()?.to_owned()));
        types.collect::<std::collections::BTreeSet<_>>()
    };
    let wrong = ["--content-type", "video/webm", "--bwlimit", "20MB"];
    for (again, right) in [
        (false, &[][..]),
        (true, &["--content-type", "video/quicktime"]),
    ] {
        let again = again.then_some("--again");
        let mut run = scene.upload(&file, &wrong).args(log).args(again).start();
        run.until_confirmed(10_000_000);
        assert!(run.kill());
        assert_eq!(sent(), ["video/webm".to_owned()].into());
        scene
            .upload(&file, right)
            .args(log)
            .args(again)
            .end()
            .expect(0);
        let wanted = right.last().unwrap_or(&"video/mp4");
        assert_eq!(sent(), [(*wanted).to_owned()].into());
    }
    assert_eq!(scene.log().drafts, 2);
}
