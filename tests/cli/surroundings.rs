//! What a shell, a pipe or a file system does to a command that did nothing wrong.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use crate::scene::{Scene, Start};
use crate::support;

/// Runs it with readers that are gone before it says a word; its exit code.
fn unheard(command: &mut Command) -> Option<i32> {
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    child.wait().unwrap().code()
}

#[test]
fn a_reader_that_goes_away_stops_no_upload() {
    let scene = Scene::new(&[], &["put chunk=0 nth=1 status=503"]);
    let file = scene.video("clip.mp4", 12_000_000);
    let mut words = scene.command(["upload", "--chunk-size", "5MiB", "clip.mp4"]);
    assert_eq!(unheard(words.env("CHUNKFERRY_LOG", "debug")), Some(0));
    scene.assert_one_draft_of(&file);
    assert_eq!(unheard(&mut scene.upload(&file, &["--again"])), Some(0));
    assert_eq!(scene.log().drafts, 2);

    assert_eq!(unheard(&mut scene.command(["list"])), Some(0));
    assert_eq!(unheard(&mut scene.command(["list", "--json"])), Some(0));
    assert_eq!(unheard(&mut scene.command(["plan", "clip.mp4"])), Some(0));
    let publish_id = scene.log().sessions[0].publish_id.clone();
    assert_eq!(
        unheard(&mut scene.command(["status", &publish_id])),
        Some(0)
    );
    let mut refused = scene.command(["upload", "missing.mp4"]);
    assert_eq!(unheard(&mut refused), Some(3));
    assert_eq!(
        unheard(&mut scene.command(["forget", &publish_id])),
        Some(0)
    );
}

#[test]
fn a_name_that_is_no_text_is_uploaded_resumed_and_listed() {
    let scene = Scene::new(&[], &[]);
    let plain = scene.video("clip.mp4", 30_000_000);
    let odd = scene
        .path("")
        .join(OsStr::from_bytes(b"caf\xe9 \xff clip.mp4"));
    if std::fs::rename(&plain, &odd).is_err() {
        eprintln!("skipped: this file system takes only text as names");
        return;
    }
    let mut run = scene.upload(&odd, &["--bwlimit", "10MB"]).start();
    run.until_confirmed(10_000_000);
    let list = scene.command(["list", "--json"]).end().expect(0);
    assert!(
        list.stdout.contains("\"uploading\""),
        "while it runs: {list:?}"
    );
    assert!(run.kill());
    let list = scene.command(["list", "--json"]).end().expect(0);
    assert!(
        list.stdout.contains("\"uploading\""),
        "after a kill: {list:?}"
    );
    let list = scene.command(["list"]).end().expect(0);
    assert!(list.stdout.contains("clip.mp4"), "{list:?}");

    let ended = scene.upload(&odd, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&odd);
    let list = scene.command(["list", "--json"]).end().expect(0);
    assert!(list.stdout.contains("\"delivered\""), "{list:?}");
}

#[test]
fn without_a_ledger_the_same_file_is_known_and_its_copy_is_not() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let copy = scene.path("copy.mp4");
    std::fs::copy(&file, &copy).unwrap();
    scene.upload(&file, &["--no-ledger"]).end().expect(0);
    let ended = scene.upload(&file, &["--no-ledger"]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    assert!(ended.outcome()["sha256"].is_null());
    let ended = scene.upload(&copy, &["--no-ledger"]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
}

#[test]
fn another_file_of_the_same_size_does_not_take_over_an_upload_that_has_not_begun() {
    let scene = Scene::new(&["receive_rate=2MB"], &[]);
    let one = scene.video("one.mp4", 12_000_000);
    let two = scene.video("two.mp4", 12_000_000);
    let mut run = scene.upload(&one, &[]).start();
    run.until("a session", |line| line["event"] == "session");
    assert!(run.kill());
    scene.emulator.set("receive_rate", "off").unwrap();
    scene.upload(&two, &[]).end().expect(0);
    scene.assert_one_draft_of(&two);
    scene.upload(&one, &[]).end().expect(0);
    assert_eq!((scene.log().inits, scene.log().drafts), (2, 2));
}

#[test]
fn a_shell_completes_what_the_command_understands() {
    let script = r#"
        eval "$("$0" completions bash)" || exit
        COMP_WORDS=(chunkferry "$@") COMP_CWORD=$#
        _chunkferry chunkferry "${!#}" "${COMP_WORDS[$# - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let completed = |words: &[&str]| {
        let output = Command::new("bash")
            .args(["-c", script, env!("CARGO_BIN_EXE_chunkferry")])
            .args(words)
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completed(&["upl"]), "upload\n");
    assert_eq!(completed(&["emulator", "--fa"]), "--fault\n--faults\n");
    assert!(completed(&["completions", ""]).contains("fish"));
}

#[test]
fn a_machine_without_certificates_still_uploads_to_an_emulator_and_says_what_it_lacks() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 6_000_000);
    let bare = |command: &mut Command| {
        command
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent")
            .end()
    };
    bare(&mut scene.upload(&file, &[])).expect(0);
    scene.assert_one_draft_of(&file);

    let ca = scene.path("ca.pem");
    let ca = ca.to_str().unwrap();
    let sink = support::emulator(["--sink", "--tls", ca]);
    let mut named = scene.upload(&file, &["--api-base", sink.url(), "--ca-file", ca]);
    bare(&mut named).expect(0);

    let mut live = scene.upload(&file, &["--api-base", "https://127.0.0.1:1"]);
    let ended = bare(&mut live).expect(2);
    let told = ended.message();
    assert!(
        told.contains("ca-certificates") && told.contains("--ca-file"),
        "{told}"
    );
}

#[test]
fn a_proxy_of_the_environment_gets_no_request_to_this_machine() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 6_000_000);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut upload = scene.upload(&file, &[]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"] {
        upload.env(name, &url);
    }
    upload.end().expect(0);
    scene.assert_one_draft_of(&file);
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_err(), "it would have seen the token");
}

#[test]
fn the_demo_shows_one_draft_after_a_kill_and_says_so_where_it_cannot() {
    let demo = || {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
        demo.arg("demo");
        demo
    };
    let shown = demo().end().expect(0);
    assert_eq!(
        shown.stdout.trim(),
        "1 draft · sha256 equal · killed once · bytes acknowledged then sent again: 0"
    );
    assert!(
        shown.stderr.contains("Killed (SIGKILL) after"),
        "{}",
        shown.stderr
    );

    // Its uploads end at once.
    let refused = demo()
        .env("CHUNKFERRY_CA_FILE", "/nonexistent")
        .end()
        .expect(75);
    let told = &refused.stderr;
    assert!(
        told.contains("/nonexistent") && told.contains("ended by itself"),
        "{told}"
    );
    assert!(!told.contains("Killed"), "{told}");
}

#[test]
fn a_relative_home_does_not_make_a_second_draft_from_another_folder() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let from = |folder: &str, set: &[(&str, &str)]| {
        std::fs::create_dir_all(scene.path(folder)).unwrap();
        let mut command = scene.upload(&file, &[]);
        command
            .env_remove("CHUNKFERRY_STATE_DIR")
            .env_remove("HOME")
            .envs(set.iter().copied())
            .current_dir(scene.path(folder));
        command.end()
    };
    // With nothing else to go by, a relative one is no home at all.
    for set in [
        &[("XDG_STATE_HOME", "state")][..],
        &[("HOME", "."), ("XDG_STATE_HOME", "./state")],
        &[("STATE_DIRECTORY", "state:/nowhere")],
    ] {
        for folder in ["one", "two"] {
            let ended = from(folder, set).expect(2);
            assert!(ended.stderr.contains("--state-dir"), "{}", ended.stderr);
        }
    }
    assert_eq!(scene.log().requests.init, 0);
    // With a home, it is passed over; of several directories of systemd, the first one counts.
    let home = scene.path("home").to_string_lossy().into_owned();
    let several = format!("{home}/.local/state/chunkferry:/nowhere");
    for (folder, set) in [
        ("one", [("HOME", &*home), ("XDG_STATE_HOME", "state")]),
        ("two", [("HOME", &*home), ("STATE_DIRECTORY", "state")]),
        ("two", [("HOME", "."), ("STATE_DIRECTORY", &*several)]),
    ] {
        from(folder, &set).expect(0);
    }
    assert_eq!(scene.log().drafts, 1);
}
