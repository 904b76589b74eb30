//! Where tokens come from: too much, too late, once only, or nothing that a header can hold.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::scene::{Running, Scene, Start, TOKEN};
use crate::support;

fn fifo(scene: &Scene, name: &str) -> String {
    let path = scene.path(name);
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_command_that_prints_without_end_is_ended_with_all_it_has_started() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    // Its own name, so that it can be found.
    fs::copy("/usr/bin/yes", scene.path("endless")).unwrap();
    let endless = format!("{} & wait", scene.path("endless").display());
    let run = scene
        .command(["upload", "clip.mp4", "--token-command", &endless])
        .start();
    let ended = run.end().expect(4);
    assert!(ended.stderr.contains("64 KiB"), "{}", ended.stderr);
    let still = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| fs::read_link(entry.path().join("exe")).ok())
            .any(|exe| exe == scene.path("endless"))
    };
    for _ in 0..500 {
        if !still() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it runs on");
}

/// Waits until the process has a handler for SIGTERM.
fn until_it_listens(run: &Running) {
    let status = format!("/proc/{}/status", run.pid());
    let handles = || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap_or_default().trim(), 16);
        caught.is_ok_and(|caught| caught & (1 << 14) != 0)
    };
    while !handles() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process with this command line runs.
fn runs(line: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|found| String::from_utf8_lossy(&found).replace('\0', " ").trim() == line)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to: {what}");
}

#[test]
fn what_a_token_command_says_is_shown_without_secrets_and_without_codes() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let talks = "set -x; printf 'open https://login.example/\\033[2J\\n' >&2; echo act.lena.1";
    for json in [None, Some("--json")] {
        let mut command =
            scene.command(["upload", "--again", "clip.mp4", "--token-command", talks]);
        let ended = command.args(json).end().expect(0);
        assert!(
            ended.stderr.contains("open https://login.example/"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
        assert!(!ended.stderr.contains("act.lena"), "{}", ended.stderr);
    }
    let fails = "echo 'no route to the vault' >&2; exit 3";
    let mut command = scene.command([
        "upload",
        "--json",
        "--again",
        "clip.mp4",
        "--token-command",
        fails,
    ]);
    let ended = command.end().expect(4);
    assert!(
        ended.message().contains("no route to the vault"),
        "{}",
        ended.message()
    );
}

#[test]
fn what_a_token_command_leaves_running_ends_with_it_and_keeps_nobody_waiting() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let sleep = format!("sleep 301.{}", std::process::id());
    let leaves = format!("{sleep} & echo act.lena.1");
    let run = scene
        .command(["upload", "--json", "clip.mp4", "--token-command", &leaves])
        .start();
    run.end().expect(0);
    assert!(!runs(&sleep), "it was left over");
    // One that has left the group is left alone, and is not waited for either.
    let leaves = "setsid sleep 20 & echo act.lena.1";
    let run = scene
        .command([
            "upload",
            "--json",
            "--again",
            "clip.mp4",
            "--token-command",
            leaves,
        ])
        .start();
    run.end().expect(0);
}

#[test]
fn a_signal_ends_a_run_that_waits_for_a_token() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let pipe = fifo(&scene, "token");
    // Told apart from those of other tests.
    let sleep = format!("sleep 300.{}", std::process::id());
    for source in [["--token-file", &pipe], ["--token-command", &sleep]] {
        for args in [
            &["upload", "--json", "clip.mp4"][..],
            &["status", "v_inbox_file~v2.1"],
        ] {
            let run = scene.command(args).args(source).start();
            until_it_listens(&run);
            if source[1] == sleep {
                until("the command runs", || runs(&sleep));
            }
            run.signal("-TERM");
            let ended = run.end().expect(143);
            if args[0] == "upload" {
                assert_eq!(ended.outcome()["outcome"], "retry", "{source:?}");
            }
            until("the command has ended", || !runs(&sleep));
        }
    }
}

/// Other files that are named can be pipes, too.
#[test]
fn a_signal_ends_a_run_that_waits_for_a_file_of_its_settings() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let pipe = fifo(&scene, "pipe");
    for option in ["--ca-file", "--wire-log"] {
        let mut command = scene.command(["upload", "--json", "clip.mp4", option, &pipe]);
        let run = command.start();
        until_it_listens(&run);
        run.signal("-TERM");
        let ended = run.end().expect(143);
        assert_eq!(ended.outcome()["outcome"], "retry", "{option}");
    }
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn a_file_of_certificates_that_has_none_or_no_end_is_told() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    fs::write(scene.path("empty.pem"), "").unwrap();
    for file in ["empty.pem", "clip.mp4", "/dev/zero"] {
        let ended = scene
            .command(["upload", "clip.mp4", "--ca-file", file])
            .end()
            .expect(2);
        assert!(
            ended.stderr.contains("--ca-file"),
            "{file}: {}",
            ended.stderr
        );
    }
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn a_pipe_that_can_be_read_once_serves_the_whole_run_and_is_told_at_the_start() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 12_000_000);
    let program = env!("CARGO_BIN_EXE_chunkferry");
    let mut shell = Command::new("bash");
    let command = scene.command(["upload"]);
    shell.env_clear().envs(
        command
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    shell
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .current_dir(scene.path(""));
    shell.args([
        "-c",
        &format!("{program} upload clip.mp4 --token-file <(echo {TOKEN})"),
    ]);
    let ended = shell.end().expect(0);
    assert_eq!(scene.log().drafts, 1);
    let told = ended.stderr.lines().next().unwrap_or_default();
    assert!(
        told.contains("read only once") && told.contains("--token-command"),
        "{told}"
    );
}

#[test]
fn only_the_first_line_of_a_file_or_a_command_is_the_token() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let token = scene.path("token");
    for text in [
        format!("\u{feff}{TOKEN}\r\n"),
        format!("{TOKEN}\nexpires: never\n"),
        format!("  {TOKEN}  \r\nx\u{0}\n{}", "y".repeat(1 << 20)),
    ] {
        fs::write(&token, &text).unwrap();
        let mut command = scene.command(["upload", "--again", "clip.mp4", "--token-file", "token"]);
        command.end().expect(0);
    }
    let printing = "printf '\\357\\273\\277%s\\r\\nmore' act.lena.1";
    scene
        .command(["upload", "--again", "clip.mp4", "--token-command", printing])
        .end()
        .expect(0);
    fs::write(&token, "z".repeat(70_000)).unwrap();
    let ended = scene
        .command(["upload", "--again", "clip.mp4", "--token-file", "token"])
        .end();
    assert!(ended.expect(4).stderr.contains("64 KiB"));
}

#[test]
fn a_token_that_no_header_can_hold_needs_a_person_at_once() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    for token in ["act.le\u{1}na", "act.\u{fc}.1", "act.lena 1", "act.lena\r1"] {
        let mut command = scene.upload(&file, &[]);
        let ended = command.env("TIKTOK_ACCESS_TOKEN", token).end().expect(4);
        assert!(!ended.stdout.contains("\"retry\",\"id"), "{}", ended.stdout);
        assert!(
            !ended.stdout.contains("\"event\":\"retry\""),
            "{}",
            ended.stdout
        );
        assert!(
            ended.message().contains("line break"),
            "{}",
            ended.message()
        );
        let status = scene
            .command(["status", "v_inbox_file~v2.1"])
            .env("TIKTOK_ACCESS_TOKEN", token)
            .end()
            .expect(4);
        assert!(status.stderr.contains("line break"), "{}", status.stderr);
    }
    assert_eq!(scene.log().requests.init, 0);
    scene.upload(&file, &[]).end().expect(0);
}

#[test]
fn a_state_directory_that_is_a_file_is_told_at_once() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    fs::write(scene.path("taken"), "").unwrap();
    for name in ["taken", "taken/below"] {
        for args in [&["upload", "clip.mp4"][..], &["list"], &["forget", "1"]] {
            let mut command = scene.command(args);
            let ended = command
                .env("CHUNKFERRY_STATE_DIR", scene.path(name))
                .end()
                .expect(2);
            assert!(
                ended.stderr.contains("is a file"),
                "{name}: {}",
                ended.stderr
            );
        }
    }
    assert_eq!(scene.log().requests.init, 0);
    scene.upload(&file, &[]).end().expect(0);
}

#[test]
fn a_certificate_that_is_not_trusted_needs_a_person_at_once() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    let ca = scene.path("ca.pem");
    let sink = support::emulator(["--sink", "--tls", ca.to_str().unwrap()]);
    // Some other certificate is trusted, so that TLS can be set up on a machine that has none.
    let other = scene.path("other.pem");
    let _other = support::emulator(["--sink", "--tls", other.to_str().unwrap()]);
    let other = [
        "--api-base",
        sink.url(),
        "--ca-file",
        other.to_str().unwrap(),
    ];
    let ended = scene.upload(&file, &other).end().expect(4);
    assert!(
        !ended.stdout.contains("\"event\":\"retry\""),
        "{}",
        ended.stdout
    );
    let told = ended.message();
    assert!(
        told.contains("not trusted") && told.contains("--ca-file"),
        "{told}"
    );
    let mut status = scene.command(["status", "v_inbox_file~v2.1"]);
    let ended = status.args(other).end().expect(4);
    assert!(ended.stderr.contains("--ca-file"), "{}", ended.stderr);
    let url = format!("{}/clip.mp4", sink.url());
    let ended = scene.command(["pull", &url]).args(other).end().expect(4);
    assert!(ended.stderr.contains("--ca-file"), "{}", ended.stderr);
    // The same command carries on when it is.
    let ca = ["--api-base", sink.url(), "--ca-file", ca.to_str().unwrap()];
    scene.upload(&file, &ca).end().expect(0);
}
