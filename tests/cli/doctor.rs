//! `doctor`: what it shows of settings and never of secrets, and what it finds wrong before an upload does.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::scene::{CHUNK, Ended, Scene, Start};

/// `doctor --json` with this config file, which also names the account lena, whose token is there.
fn doctor(scene: &Scene, config: &str) -> Command {
    let path = scene.path("config.toml");
    fs::write(&path, config).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = scene.command(["doctor", "--json", "--config"]);
    command.arg(path);
    command
}

fn lines(ended: &Ended, event: &str) -> Vec<Value> {
    let lines = ended.stdout.lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

/// A setting's value and source.
#[track_caller]
fn setting(ended: &Ended, key: &str) -> (Value, String) {
    let found = lines(ended, "setting")
        .into_iter()
        .find(|of| of["key"] == key);
    let found = found.unwrap_or_else(|| panic!("no {key}: {}", ended.stdout));
    (
        found["value"].clone(),
        found["source"].as_str().unwrap().to_owned(),
    )
}

/// The results of a check, worst or not, with what they say.
fn checked(ended: &Ended, check: &str) -> Vec<(String, String)> {
    let found = lines(ended, "check")
        .into_iter()
        .filter(|of| of["check"] == check);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found
        .map(|of| {
            let said = format!("{} {}", text(&of["message"]), text(&of["advice"]));
            (text(&of["result"]), said)
        })
        .collect()
}

#[track_caller]
fn assert_found(ended: &Ended, check: &str, result: &str, said: &str) {
    let found = checked(ended, check);
    let fits = |(of, text): &(String, String)| of == result && text.contains(said);
    assert!(
        found.iter().any(fits),
        "{check} {result} {said}: {}",
        ended.stdout
    );
}

#[test]
fn each_setting_has_its_value_and_the_source_that_won() {
    let scene = Scene::new(&[], &[]);
    let config = "
        account = 'filed'
        state_dir = 'filed'
        upload_host = 'uploads.example'
        [upload]
        jobs = 7
        no_ledger = true
        [accounts.mira]
        token_env = 'TOKEN_OF_MIRA'
        [app]
        client_key = 'aw1'
    ";
    let mut command = doctor(&scene, config);
    command
        .env("TOKEN_OF_MIRA", "act.mira.1")
        .args(["--account", "mira"]);
    command.env("CHUNKFERRY_CLIENT_SECRET_FILE", "secret");
    fs::write(scene.path("secret"), "x\n").unwrap();
    let ended = command.end().expect(0);
    let state = scene.state_dir().to_str().unwrap().to_owned();
    let rows = [
        ("account", "mira", "flag"),
        ("state_dir", &state, "environment"),
        ("upload_host", "uploads.example", "file"),
        ("allow_http", "false", "default"),
        ("upload.jobs", "7", "file"),
        ("upload.no_ledger", "true", "file"),
        ("upload.patience", "600", "default"),
        ("pull.jobs", "2", "default"),
        ("accounts.mira.token_env", "TOKEN_OF_MIRA", "file"),
        ("TIKTOK_ACCESS_TOKEN", "set", "environment"),
        ("app.client_key", "aw1", "file"),
        ("app.client_secret_file", "secret", "environment"),
    ];
    for (key, value, source) in rows {
        assert_eq!(setting(&ended, key), (value.into(), source.into()), "{key}");
    }
    assert_eq!(setting(&ended, "ca_file"), (Value::Null, "default".into()));
    let (config, source) = setting(&ended, "config");
    assert!(
        config.as_str().unwrap().ends_with("config.toml"),
        "{config}"
    );
    assert_eq!(source, "flag");
    // People see the same.
    let mut people = scene.command(["doctor", "--config", "config.toml"]);
    let shown = people.end().expect(2).stdout;
    let row = |key: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
    };
    assert!(
        row("state_dir").contains("environment (CHUNKFERRY_STATE_DIR)"),
        "{shown}"
    );
    assert!(row("upload.jobs").ends_with("file"), "{shown}");
    assert!(
        shown.contains("failed   account mira: there is no token: TOKEN_OF_MIRA is not set."),
        "{shown}"
    );
}

#[test]
fn no_secret_is_shown_whether_it_works_or_not() {
    const SECRET: &str = "s3cr3t";
    let scene = Scene::new(&[], &[]);
    fs::write(scene.path("token"), format!("act.{SECRET}.1\n")).unwrap();
    let config = format!(
        "
        api_base = 'https://user:{SECRET}@api.example/?sig={SECRET}'
        token_command = 'curl -H {SECRET}'
        [accounts.file]
        token_file = 'token'
        [accounts.command]
        token_command = 'echo act.{SECRET}.2; echo act.{SECRET}.3 >&2'
        [accounts.variable]
        token_env = 'TOKEN'
        [accounts.broken]
        token_command = 'echo client_secret={SECRET} >&2; exit 1'
        [app]
        client_key = 'aw1'
        client_secret = '{SECRET}'
        "
    );
    for json in [true, false] {
        let mut command = doctor(&scene, &config);
        command
            .env_remove("CHUNKFERRY_API_BASE")
            .env("TOKEN", format!("act.{SECRET}.4"));
        command.env("CHUNKFERRY_JSON", if json { "true" } else { "false" });
        if !json {
            command = scene.command(["doctor", "--config", "config.toml"]);
            command
                .env_remove("CHUNKFERRY_API_BASE")
                .env("TOKEN", format!("act.{SECRET}.4"));
        }
        let ended = command
            .env("TIKTOK_ACCESS_TOKEN", format!("act.{SECRET}.5"))
            .end()
            .expect(2);
        assert!(!ended.stdout.contains(SECRET), "{}", ended.stdout);
        assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
        if json {
            assert_eq!(
                setting(&ended, "app.client_secret"),
                ("set".into(), "file".into())
            );
            assert_eq!(
                setting(&ended, "token_command"),
                ("set".into(), "file".into())
            );
            for account in ["accounts.file", "accounts.command", "accounts.variable"] {
                let said = if account.ends_with("variable") {
                    "TOKEN"
                } else {
                    account
                };
                let said = if account.ends_with("file") {
                    "token_file"
                } else {
                    said
                };
                assert_found(&ended, "account", "ok", said);
            }
            assert_found(&ended, "account", "failed", "accounts.broken.token_command");
            assert_found(&ended, "app", "ok", "aw1");
        }
    }
}

#[test]
fn a_state_directory_that_no_upload_could_use_is_found_and_nothing_is_written() {
    let scene = Scene::new(&[], &[]);
    let look = |code: i32| doctor(&scene, "").end().expect(code);
    let ended = look(0);
    assert_found(&ended, "state directory", "ok", "made by the first upload");
    assert!(!scene.state_dir().exists(), "it is not made");

    fs::write(scene.state_dir(), "").unwrap();
    assert_found(&look(2), "state directory", "failed", "is a file");
    fs::remove_file(scene.state_dir()).unwrap();

    fs::create_dir(scene.state_dir()).unwrap();
    let mode = |mode| fs::set_permissions(scene.state_dir(), PermissionsExt::from_mode(mode));
    mode(0o777).unwrap();
    assert_found(&look(2), "state directory", "failed", "chmod 700");
    mode(0o770).unwrap();
    assert_found(
        &look(0),
        "state directory",
        "warning",
        "its group can write",
    );
    mode(0o700).unwrap();
    let ended = look(0);
    assert_found(&ended, "state directory", "ok", "mode 0700");
    assert_found(&ended, "state directory", "ok", "free");
    assert_found(&ended, "lock", "ok", "free");
    assert_eq!(fs::read_dir(scene.state_dir()).unwrap().count(), 0);
    if chown(scene.state_dir(), Some(12_345), None).is_ok() {
        assert_found(
            &look(2),
            "state directory",
            "failed",
            "another user (12345)",
        );
    }
}

#[test]
fn who_holds_the_lock_is_named_and_the_upload_is_not_disturbed() {
    let scene = Scene::new(&["receive_rate=4MB"], &[]);
    let file = scene.video("clip.mp4", 2 * CHUNK);
    let mut run = scene.upload(&file, &[]).start();
    run.until_confirmed(CHUNK);
    let ended = doctor(&scene, "").end().expect(0);
    assert_found(&ended, "lock", "warning", "clip.mp4");
    assert_found(&ended, "lock", "warning", &run.pid().to_string());
    assert_found(
        &ended,
        "journal",
        "ok",
        "uploads: 1, of which 1 have not ended",
    );
    run.end().expect(0);
    scene.assert_one_draft_of(&file);
    let ended = doctor(&scene, "").end().expect(0);
    assert_found(&ended, "lock", "ok", "free");
    assert_found(
        &ended,
        "journal",
        "ok",
        "uploads: 1, of which 0 have not ended",
    );
}

#[test]
fn each_account_is_asked_for_a_token_and_one_without_is_a_failure() {
    let scene = Scene::new(&[], &[]);
    let config = "
        [accounts.lena]
        token_command = 'touch asked; echo act.lena.1'
        [accounts.mira]
        token_file = 'none'
        [accounts.zoe]
        login = true
    ";
    let ended = doctor(&scene, config).end().expect(2);
    let accounts: Vec<String> = lines(&ended, "check")
        .iter()
        .filter(|of| of["check"] == "account")
        .map(|of| {
            format!(
                "{} {}",
                of["account"].as_str().unwrap(),
                of["result"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(accounts, ["lena ok", "mira failed", "zoe failed"]);
    assert!(scene.path("asked").exists());
    // One account alone.
    let mut command = doctor(&scene, config);
    let ended = command.args(["--account", "lena"]).end().expect(0);
    assert_eq!(checked(&ended, "account").len(), 1);
    // Nobody has named an account or a token yet: that is no failure.
    let mut command = doctor(&scene, "");
    command
        .env_remove("CHUNKFERRY_ACCOUNT")
        .env_remove("TIKTOK_ACCESS_TOKEN");
    assert_found(
        &command.end().expect(0),
        "account",
        "warning",
        "TIKTOK_ACCESS_TOKEN is not set",
    );
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn an_account_whose_creator_has_not_logged_in_is_told_how() {
    let scene = Scene::new(&[], &[]);
    let ended = doctor(&scene, "[accounts.lena]\nlogin = true\n")
        .end()
        .expect(2);
    assert_found(&ended, "account", "failed", "chunkferry login lena");
}

#[test]
fn an_app_without_its_secret_is_found() {
    let scene = Scene::new(&[], &[]);
    for (app, said) in [
        ("client_key = 'aw1'", "no client_secret"),
        ("client_secret_command = 'echo x'", "no client_key"),
        ("client_key = 'aw1'\nclient_secret_file = 'none'", "/none"),
        (
            "client_key = 'aw1'\nclient_secret_command = 'true'",
            "client_secret_command",
        ),
    ] {
        let ended = doctor(&scene, &format!("[app]\n{app}\n")).end().expect(2);
        assert_found(&ended, "app", "failed", said);
    }
    assert!(checked(&doctor(&scene, "").end().expect(0), "app").is_empty());
}

#[test]
fn nothing_is_sent_unless_it_is_asked_for_and_then_one_request_without_a_token() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..read]);
        }
        let answer = "HTTP/1.1 401 Unauthorized\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        drop(stream);
        listener.set_nonblocking(true).unwrap();
        thread::sleep(std::time::Duration::from_millis(300));
        let more = listener.accept().is_ok();
        (String::from_utf8(request).unwrap(), more)
    });
    let scene = Scene::new(&[], &[]);
    let mut command = doctor(&scene, "");
    let ended = command.env("CHUNKFERRY_API_BASE", &url).end().expect(0);
    assert!(checked(&ended, "API").is_empty());
    let mut command = doctor(&scene, "");
    command.env("CHUNKFERRY_API_BASE", &url).arg("--online");
    let ended = command.end().expect(0);
    assert_found(&ended, "API", "ok", "HTTP 401");
    assert_found(&ended, "clock", "warning", "off the server's");
    let (request, more) = server.join().unwrap();
    assert!(!more, "one request alone");
    let request = request.to_lowercase();
    assert!(
        !request.contains("authorization") && !request.contains("act."),
        "{request}"
    );
    // Nobody listens there any more: that passes by itself, unless something else has to be put right.
    let mut command = doctor(&scene, "");
    command.env("CHUNKFERRY_API_BASE", &url).arg("--online");
    assert_found(&command.end().expect(75), "API", "retry", "no connection");
    let mut command = doctor(&scene, "[app]\nclient_key = 'aw1'\n");
    command
        .env("CHUNKFERRY_API_BASE", &url)
        .arg("--online")
        .end()
        .expect(2);
    // The emulator, whose clock is ours.
    let ended = doctor(&scene, "").arg("--online").end().expect(0);
    assert_found(&ended, "API", "ok", "it answers");
    assert_eq!(checked(&ended, "clock").len(), 1, "{}", ended.stdout);
}

#[test]
fn certificates_that_are_missing_and_settings_of_no_use_are_found() {
    let scene = Scene::new(&[], &[]);
    let empty = scene.path("empty.pem");
    fs::write(&empty, "").unwrap();
    let bare = |config: &str| {
        let mut command = doctor(&scene, config);
        command
            .env("SSL_CERT_FILE", &empty)
            .env("SSL_CERT_DIR", scene.path("none"));
        command
    };
    // An emulator over http needs none.
    assert_found(
        &bare("").end().expect(0),
        "TLS",
        "warning",
        "no certificate",
    );
    let mut command = bare("");
    command.env("CHUNKFERRY_API_BASE", "https://api.example");
    assert_found(
        &command.end().expect(2),
        "requests",
        "failed",
        "TLS cannot be set up",
    );
    for (config, said) in [
        ("ca_file = 'none.pem'", "none.pem"),
        ("api_base = 'http://api.example'", "--allow-http"),
    ] {
        let mut command = doctor(&scene, config);
        let ended = command.env_remove("CHUNKFERRY_API_BASE").end().expect(2);
        assert_found(&ended, "requests", "failed", said);
    }
}

#[test]
fn a_broken_config_file_is_what_doctor_says_first() {
    let scene = Scene::new(&[], &[]);
    let ended = doctor(&scene, "acount = 'lena'").end().expect(2);
    assert!(ended.stderr.contains("\"account\""), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("\"event\":\"error\""),
        "{}",
        ended.stdout
    );
}
