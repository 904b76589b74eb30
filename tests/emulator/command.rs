//! `chunkferry emulator`, as a test suite of another language uses it.

#![cfg(all(unix, feature = "cli"))]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn emulator(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
    command.arg("emulator").args(args);
    command
}

fn run(args: &[&str]) -> Output {
    emulator(args).output().unwrap()
}

/// An init that nobody follows up; the review does not like it.
const ABANDON: &str = r#"
    body='{"source_info":{"source":"FILE_UPLOAD","video_size":9,"chunk_size":9,"total_chunk_count":1}}'
    exec 3<>"/dev/tcp/127.0.0.1/${CHUNKFERRY_EMULATOR_URL##*:}"
    printf '%s\r\n' 'POST /v2/post/publish/inbox/video/init/ HTTP/1.1' 'host: x' \
        'authorization: Bearer act.lena.1' 'content-type: application/json' \
        'connection: close' "content-length: ${#body}" '' >&3
    printf %s "$body" >&3
    cat <&3
"#;

#[test]
fn the_exit_code_is_the_commands_unless_strict_finds_something() {
    let exit = |args: &[&str]| run(args).status.code();
    assert_eq!(exit(&["--", "sh", "-c", "exit 7"]), Some(7));
    assert_eq!(exit(&["--", "sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(exit(&["--strict", "--", "true"]), Some(0));
    assert_eq!(exit(&["--", "bash", "-c", ABANDON]), Some(0));
    let strict = run(&["--strict", "--", "bash", "-c", ABANDON]);
    assert_eq!(strict.status.code(), Some(1));
    let said = String::from_utf8(strict.stderr).unwrap();
    assert!(
        said.contains("session_abandoned (lena, v_inbox_file~v2."),
        "{said}"
    );
    assert_eq!(
        exit(&[
            "--strict",
            "--",
            "bash",
            "-c",
            &format!("{ABANDON}\nexit 9")
        ]),
        Some(9)
    );
}

#[test]
fn what_it_does_not_understand_is_a_usage_error() {
    let wrong: [&[&str]; 7] = [
        &["--set", "nonsense=1"],
        &["--set", "max_chunk=64M"],
        &["--fault", "put nonsense"],
        &["--chaos", "1"],
        &["--strict"],
        &["--allow-host", "a.test:80"],
        &["--settings", "/nonexistent"],
    ];
    for args in wrong {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
    let missing = run(&["--", "/nonexistent/program"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn it_says_where_it_listens_and_stops_when_told() {
    let mut child = emulator(&["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port = line.strip_prefix("listening on http://127.0.0.1:");
    assert!(
        port.is_some_and(|port| port.trim_end().parse::<u16>().is_ok()),
        "{line:?}"
    );
    let killed = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The lines that a started emulator prints, and its process.
fn started(listen: &str, args: &[&str]) -> (Child, Vec<String>) {
    let mut child = emulator(&["--listen", listen])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        said.map_while(Result::ok)
            .for_each(|line| tell.send(line).unwrap_or(()))
    });
    // The last line is the command to try; a test without one must fail, not hang.
    let mut lines = Vec::new();
    while let Ok(line) = told.recv_timeout(Duration::from_secs(10)) {
        let last = line.contains("chunkferry upload");
        lines.push(line);
        if last {
            break;
        }
    }
    (child, lines)
}

#[test]
fn the_line_that_is_printed_at_the_start_uploads_a_video_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let clip = include_bytes!("../../src/cli/demo/clip.mp4");
    std::fs::write(dir.path().join("clip.mp4"), clip).unwrap();
    let ca = dir.path().join("it's a ca.pem");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_chunkferry"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    for tls in [&[][..], &["--tls", ca.to_str().unwrap()]] {
        let (mut child, lines) = started("127.0.0.1:0", tls);
        let base = lines[0].strip_prefix("listening on ").unwrap();
        let all = lines.join("\n");
        assert!(all.contains(&format!("{base}/")), "the page: {all}");
        assert!(all.contains("act.NAME."), "a token: {all}");
        let line = lines.last().unwrap().trim_start();
        assert!(line.contains(&format!("--api-base {base}")), "{all}");
        let uploaded = Command::new("sh")
            .args(["-c", line])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("CHUNKFERRY_STATE_DIR", dir.path().join("state"))
            .output()
            .unwrap();
        assert!(uploaded.status.success(), "{line}: {uploaded:?}");
        let told = String::from_utf8(uploaded.stdout).unwrap();
        assert!(told.contains("\tdelivered\t"), "{told}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn the_lines_at_the_start_promise_no_token_that_is_refused_and_no_address_that_leads_nowhere() {
    let (mut child, lines) = started("0.0.0.0:0", &["--set", "auth=issued"]);
    let all = lines.join("\n");
    assert!(!all.contains("act.NAME"), "{all}");
    assert!(all.contains("/v2/oauth/token/"), "{all}");
    let line = lines.last().unwrap();
    assert!(line.contains("--api-base http://127.0.0.1:"), "{all}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn every_setting_is_listed_with_its_default_and_its_mark() {
    let listed = String::from_utf8(run(&["--list-settings"]).stdout).unwrap();
    for setting in chunkferry::emulator::Settings::list() {
        assert!(listed.contains(&format!("{}={}\n", setting.key, setting.default)));
        assert!(listed.contains(&format!("{} [{}]", setting.meaning, setting.mark)));
    }
}

#[test]
fn settings_and_faults_can_come_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings");
    let faults = dir.path().join("faults");
    std::fs::write(&settings, "# ours\nreplay=206\n\nlimits=off\n").unwrap();
    std::fs::write(&faults, "# once\nput nth=1 reset\n").unwrap();
    let (settings, faults) = (settings.to_str().unwrap(), faults.to_str().unwrap());
    let args = [
        "--settings",
        settings,
        "--faults",
        faults,
        "--set",
        "replay=416",
        "--",
        "true",
    ];
    assert_eq!(run(&args).status.code(), Some(0));
    std::fs::write(faults, "put nonsense\n").unwrap();
    assert_eq!(run(&args).status.code(), Some(2));
}
