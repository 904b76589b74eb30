//! Command lines that cannot mean what they say are refused before any request, with the way on.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::mount::Mount;
use crate::scene::{CHUNK, Scene, Start, TOKEN};

#[test]
fn an_emulator_within_the_command_is_not_mistaken_for_the_real_upload() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    let token = scene.path("token");
    fs::write(&token, TOKEN).unwrap();
    let token = token.to_str().unwrap();
    for option in [
        ["--api-base", "https://open.tiktokapis.com"],
        ["--state-dir", "state"],
        ["--token-file", token],
        ["--token-command", "echo act.lena.1"],
        ["--ca-file", token],
        ["--upload-host", "uploads.example"],
    ] {
        for args in [
            ["upload", "clip.mp4", "--emulator", option[0], option[1]],
            [option[0], option[1], "upload", "clip.mp4", "--emulator"],
        ] {
            let ended = scene.command(args).end().expect(2);
            assert!(
                ended.stderr.contains(option[0]) && ended.stderr.contains("--emulator"),
                "{}",
                ended.stderr
            );
            assert_eq!(ended.stdout, "");
        }
    }
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn what_the_environment_says_is_left_aside_by_an_emulator_within_the_command_and_that_is_said() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    for json in [None, Some("--json")] {
        let mut command = scene.command(["upload", "clip.mp4", "--emulator"]);
        let ended = command
            .args(json)
            .env("CHUNKFERRY_CA_FILE", "/nonexistent")
            .end()
            .expect(0);
        let told = ended
            .stderr
            .lines()
            .filter(|line| line.contains("TIKTOK_ACCESS_TOKEN"));
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 1, "{}", ended.stderr);
        for name in [
            "CHUNKFERRY_API_BASE",
            "CHUNKFERRY_STATE_DIR",
            "CHUNKFERRY_CA_FILE",
            "emulator",
        ] {
            assert!(told[0].contains(name), "{name}: {}", told[0]);
        }
    }
    let mut bare = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
    bare.env_clear()
        .args(["upload", "clip.mp4", "--emulator"])
        .current_dir(scene.path(""));
    let ended = bare.end().expect(0);
    assert!(!ended.stderr.contains("environment"), "{}", ended.stderr);
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn an_account_has_a_name_that_can_be_read() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    for name in ["", "  ", "le\nna", "\u{200b}", "lena\u{1b}[2J"] {
        for args in [&["upload", "clip.mp4"][..], &["status", "v~1"], &["list"]] {
            let ended = scene
                .command(args)
                .args(["--account", name])
                .end()
                .expect(2);
            assert!(ended.stderr.contains("account"), "{}", ended.stderr);
        }
        let mut upload = scene.command(["upload", "clip.mp4"]);
        upload.env("CHUNKFERRY_ACCOUNT", name).end().expect(2);
    }
    assert_eq!(scene.log().requests.init, 0);
    scene
        .command(["upload", "clip.mp4", "--account", "L\u{e9}na \u{6771} 2"])
        .end()
        .expect(0);
}

#[test]
fn a_rate_that_cannot_carry_the_file_within_its_hour_is_refused_before_any_request() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 46_000_000);
    let ended = scene
        .command(["upload", "clip.mp4", "--bwlimit", "5KB"])
        .end()
        .expect(2);
    let told = &ended.stderr;
    assert!(told.contains("clip.mp4") && told.contains("hour"), "{told}");
    assert!(told.contains("--ignore-forecast"), "{told}");
    assert_eq!(scene.log().requests.init, 0);
    let list = scene.command(["list"]).end().expect(0);
    assert!(list.stdout.is_empty(), "nothing has begun: {}", list.stdout);
    // The limit that the message names works.
    let limit = told.split("--bwlimit ").nth(1).unwrap();
    let limit = limit
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap();
    let mut run = scene.upload(&file, &["--bwlimit", limit]).start();
    run.until("it began", |line| line["event"] == "session");
    run.kill();
    // What is left of a session that lives counts, and not the whole file.
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(7 * CHUNK);
    run.kill();
    let mut run = scene.upload(&file, &["--bwlimit", "5KB"]).start();
    run.until("it goes on", |line| line["event"] == "planned");
    assert!(run.is_running());
    run.kill();
    assert_eq!(scene.log().inits, 1);
    let mut run = scene
        .upload(&file, &["--again", "--bwlimit", "5KB", "--ignore-forecast"])
        .start();
    run.until("it is forced", |line| line["event"] == "planned");
    run.kill();
}

#[test]
fn a_rate_of_a_few_bytes_is_refused_with_the_reason() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000);
    for rate in ["1B", "1", "999"] {
        let ended = scene
            .command(["upload", "clip.mp4", "--bwlimit", rate])
            .end()
            .expect(2);
        assert!(
            ended.stderr.contains("1 kB") || ended.stderr.contains("1kB"),
            "{}",
            ended.stderr
        );
    }
    scene
        .command(["upload", "clip.mp4", "--bwlimit", "1KB"])
        .end()
        .expect(0);
    assert_eq!(scene.log().inits, 1);
}

#[test]
fn what_names_no_video_is_refused_with_what_would() {
    let scene = Scene::new(&[], &[]);
    for url in [
        "ftp://media.example/clip.mp4?sig=SECRET",
        "HTTP://media.example/clip.mp4?sig=SECRET",
        "https:/media.example/clip.mp4?sig=SECRET",
    ] {
        let ended = scene.command(["upload", url]).end().expect(2);
        assert!(ended.stderr.contains("https"), "{url}: {}", ended.stderr);
        assert!(!ended.stderr.contains("SECRET"), "{}", ended.stderr);
    }
    let ended = scene.command(["upload", "-"]).end().expect(2);
    assert!(
        ended.stderr.contains("standard input") && ended.stderr.contains("file"),
        "{}",
        ended.stderr
    );
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn a_file_over_the_services_limit_is_refused_in_plain_words() {
    let scene = Scene::new(&[], &[]);
    scene.emulator.set("max_file", "4000000000").unwrap();
    let file = scene.path("huge.mp4");
    fs::copy(scene.video("clip.mp4", 100_000), &file).unwrap();
    let video = fs::OpenOptions::new().write(true).open(&file).unwrap();
    video.set_len(4_100_000_000).unwrap();
    drop(video);
    let ended = scene
        .command([
            "upload",
            "--no-ledger",
            "--content-type",
            "video/mp4",
            "huge.mp4",
        ])
        .end()
        .expect(1);
    let told = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        told.contains("huge.mp4") && told.contains("4 GB") && !told.contains("report this"),
        "{told}"
    );
}

#[test]
fn options_that_do_nothing_are_refused_and_not_in_the_help() {
    let scene = Scene::new(&[], &[]);
    let rows: [(&[&str], &[&str]); 4] = [
        (&["plan", "--size", "5MB"], &["--json"]),
        (&["list"], &["--json", "--state-dir", "--account"]),
        (
            &["status", "v~1"],
            &[
                "--json",
                "--state-dir",
                "--account",
                "--api-base",
                "--token-file",
                "--token-command",
                "--ca-file",
            ],
        ),
        (&["forget", "1"], &["--state-dir", "--account"]),
    ];
    let all = [
        ("--state-dir", "x"),
        ("--api-base", "http://127.0.0.1:1"),
        ("--account", "x"),
        ("--token-file", "x"),
        ("--token-command", "x"),
        ("--ca-file", "x"),
        ("--upload-host", "x"),
    ];
    for (args, taken) in rows {
        let help = scene.command([args[0], "--help"]).end().expect(0).stdout;
        for (option, value) in all.iter().filter(|(option, _)| !taken.contains(option)) {
            assert!(!help.contains(option), "{option}: {help}");
            let ended = scene.command(args).args([*option, value]).end().expect(2);
            assert!(
                ended.stderr.contains(option),
                "{args:?} {option}: {}",
                ended.stderr
            );
        }
    }
    scene
        .command(["plan", "--size", "5MB", "--json"])
        .end()
        .expect(0);
}

#[test]
fn results_that_a_full_disk_swallows_are_told_and_the_exit_code_is_kept() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    for args in [
        &["upload", "clip.mp4"][..],
        &["upload", "--json", "clip.mp4"],
        &["list"],
        &["plan", "clip.mp4"],
        &["completions", "bash"],
        &["man"],
        &["emulator", "--list-settings"],
        &["upload", "--help"],
    ] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = scene
            .command(args)
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {told}");
        assert_eq!(
            told.matches("tandard output").count(),
            1,
            "{args:?}: {told}"
        );
        assert!(told.contains("No space left"), "{told}");
    }
}

#[test]
fn a_wire_log_on_a_full_disk_is_told_once() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 12_000_000);
    let told_of = |path: &Path| {
        let mut command = scene.command(["upload", "--again", "clip.mp4", "--wire-log"]);
        let ended = command.arg(path).end().expect(0);
        let path = path.to_str().unwrap();
        let told = ended.stderr.lines().filter(|line| line.contains(path));
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 1, "{}", ended.stderr);
        assert!(told[0].contains("No space left"), "{}", ended.stderr);
    };
    told_of(Path::new("/dev/full"));
    let Some(mount) = Mount::new(scene.path("small"), "16k") else {
        return;
    };
    let mut filler = fs::File::create(mount.path().join("filler")).unwrap();
    assert!(
        io::copy(&mut io::repeat(0), &mut filler).is_err(),
        "it is full"
    );
    told_of(&mount.path().join("wire.jsonl"));
}
