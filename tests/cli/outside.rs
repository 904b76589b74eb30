//! Names and words that others have chosen: they stay text, on a terminal, in a build log and in a table.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::rogue::{Bad, Rogue, http, ok, text};
use crate::scene::{Ended, Scene, Start};
use crate::video;

/// A line of its own in a build log, a title for the window, a cleared screen, reversed text, a line break of Unicode.
const NAME: &str =
    "a\r\n::error ::b\u{1b}]0;t\u{7}\u{1b}[2J\u{9b}31m\u{202e}4pm\u{2066}\u{2028}\u{200b}\tc.mp4";

/// Texts that no output for people may contain.
fn assert_is_plain(what: &str, ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        for line in text.lines() {
            assert!(!line.trim_start().starts_with("::"), "{what}: {line:?}");
        }
        let foreign = text.chars().find(|c| {
            c.is_control() && !matches!(c, '\n' | '\t')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        });
        assert_eq!(foreign, None, "{what}: {text:?}");
    }
}

#[test]
fn a_name_draws_nothing_and_makes_no_line_of_its_own() {
    let scene = Scene::new(&[], &[]);
    let command = |args: &[&str]| scene.command(args).end();
    let mut account = scene.command(["upload", NAME]);
    account.env("CHUNKFERRY_ACCOUNT", "lena\n::error ::x\u{1b}[2J");
    assert_is_plain("the account", &account.end().expect(2));
    video::write(&scene.path(NAME), 100_000, 7);
    let uploaded = command(&["upload", NAME]).expect(0);
    assert_is_plain("upload", &uploaded);
    assert_eq!(uploaded.stdout.lines().count(), 1, "{:?}", uploaded.stdout);
    assert_eq!(
        uploaded.stdout.matches('\t').count(),
        2,
        "{:?}",
        uploaded.stdout
    );
    let list = command(&["list"]).expect(0);
    assert_is_plain("list", &list);
    assert_eq!(list.stdout.lines().count(), 1, "{:?}", list.stdout);
    let plan = command(&["plan", NAME]).expect(0);
    assert_is_plain("plan", &plan);
    assert_is_plain("status", &command(&["status", NAME]).expect(0));
    assert_is_plain("again", &command(&["upload", NAME]).expect(0));
    assert_is_plain("forget", &command(&["forget", NAME]).expect(0));
    assert_is_plain("no such upload", &command(&["forget", NAME]).expect(2));
    fs::write(scene.path(NAME), "no video").unwrap();
    assert_is_plain("no video", &command(&["upload", NAME]).expect(3));
    fs::remove_file(scene.path(NAME)).unwrap();
    assert_is_plain("missing", &command(&["upload", NAME]).expect(3));
    assert_is_plain("missing plan", &command(&["plan", NAME]).expect(3));
    assert_is_plain("a command", &command(&[NAME]).expect(2));
    assert_is_plain(
        "an option",
        &command(&["upload", &format!("--{NAME}")]).expect(2),
    );
    assert_is_plain("a size", &command(&["plan", "--size", NAME]).expect(2));
    for option in [
        "--state-dir",
        "--ca-file",
        "--token-file",
        "--api-base",
        "--wire-log",
    ] {
        let value = format!("missing/{NAME}");
        assert_is_plain(option, &command(&["upload", NAME, option, &value]));
    }
}

#[test]
fn json_has_the_name_as_it_is() {
    let scene = Scene::new(&[], &[]);
    video::write(&scene.path(NAME), 100_000, 7);
    let ended = scene.command(["upload", "--json", NAME]).end().expect(0);
    assert_eq!(ended.outcome()["file"], NAME);
    let list = scene.command(["list", "--json"]).end().expect(0);
    let record: serde_json::Value = serde_json::from_str(list.stdout.trim()).unwrap();
    assert_eq!(record["file"], *scene.path(NAME).to_str().unwrap());
}

#[test]
fn a_name_that_begins_like_a_command_or_is_no_text_is_shown() {
    let scene = Scene::new(&[], &[]);
    video::write(&scene.path("::error ::x.mp4"), 100_000, 7);
    assert_is_plain(
        "colons",
        &scene.command(["upload", "::error ::x.mp4"]).end().expect(0),
    );
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe\n.mp4");
    let mut command = scene.command(["upload"]);
    assert_is_plain("missing", &command.arg(name).end().expect(3));
    let mut command = scene.command(["upload"]);
    video::write(&scene.path("").join(name), 100_000, 8);
    assert_is_plain("bytes", &command.arg(name).end().expect(0));
}

#[test]
fn words_of_the_service_forge_neither_rows_nor_lines() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    let forged =
        r"x\n3f9c  delivered  100% of 9 B  other.mp4\r\n::error ::y\t\u001b[2J\u202e\u2028\u200b";
    let refused =
        format!(r#"{{"error":{{"code":"{forged}","message":"{forged}","log_id":"{forged}"}}}}"#);
    let failed = format!(r#"{{"status":"FAILED","fail_reason":"{forged}"}}"#);
    let word = format!(r#"{{"status":"{forged}"}}"#);
    let cases = [
        ("init", Bad::Init(text(http(400, "", &refused)))),
        ("status", Bad::Status(text(http(400, "", &refused)))),
        ("failed", Bad::Status(text(ok(&failed)))),
        ("word", Bad::Status(text(ok(&word)))),
    ];
    for (name, bad) in cases {
        let rogue = Rogue::start(|_| bad);
        let at_rogue = |args: &[&str]| {
            let mut command = scene.command(args);
            command
                .env("CHUNKFERRY_API_BASE", &rogue.base)
                .env("CHUNKFERRY_STATE_DIR", scene.path(&format!("state {name}")));
            command.end()
        };
        let file = file.to_str().unwrap();
        assert_is_plain(name, &at_rogue(&["upload", "--wait", "1", file]));
        let list = at_rogue(&["list"]).expect(0);
        assert_is_plain(name, &list);
        assert!(
            list.stdout.lines().count() <= 1,
            "{name}: {:?}",
            list.stdout
        );
        let status = at_rogue(&["status", "v_inbox_file~v2.1"]);
        assert_is_plain(name, &status);
        assert!(
            status.stdout.matches(['\t', '\n']).count() <= 2,
            "{name}: {:?}",
            status.stdout
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_draws_nothing_beside_a_progress_bar() {
    let scene = Scene::new(&["receive_rate=2MB"], &[]);
    video::write(&scene.path(NAME), 2_000_000, 7);
    let mut terminal = std::process::Command::new("script");
    let upload = scene.command(["upload"]);
    let set = upload
        .get_envs()
        .filter_map(|(key, value)| Some((key, value?)));
    terminal
        .env_clear()
        .envs(set)
        .env("TERM", "xterm")
        .env("PROGRAM", env!("CARGO_BIN_EXE_chunkferry"))
        .env("NAME", NAME)
        .current_dir(scene.path(""))
        .args(["-qec", "\"$PROGRAM\" upload \"$NAME\"", "/dev/null"]);
    let ended = terminal.end().expect(0);
    let drawn = format!("{}{}", ended.stdout, ended.stderr);
    assert!(drawn.contains("% "), "no bar: {drawn:?}");
    for foreign in [
        "\u{1b}]0;",
        "\u{7}",
        "\u{1b}[2J",
        "\u{9b}",
        "\u{202e}",
        "\u{2028}",
        "\u{200b}",
    ] {
        assert!(!drawn.contains(foreign), "{foreign:?}: {drawn:?}");
    }
    let forged = drawn
        .lines()
        .any(|line| line.trim_start().starts_with("::error"));
    assert!(!forged, "{drawn:?}");
}
