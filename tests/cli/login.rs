//! A creator logs in once; from then on uploads have tokens, whoever dies on the way.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use chunkferry::emulator::Emulator;
use serde_json::Value;

use crate::browser::Browser;
use crate::mount::Mount;
use crate::scene::{Ended, Scene, Start, full, settings};

const SECRET: &str = "s3cr3t-of-the-app";

/// A command of an app's user, with no token but those of logins.
pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(
    scene: &Scene,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let secret = scene.path("secret");
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let mut command = scene.command(args);
    command
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .env("CHUNKFERRY_CLIENT_KEY", "my-app")
        .env("CHUNKFERRY_CLIENT_SECRET_FILE", secret);
    command
}

/// A browser that is a program: it follows the addresses, as this creator.
pub(crate) fn browser(scene: &Scene, creator: &str, more: &str) -> PathBuf {
    let path = scene.path("browser");
    let script = format!("#!/bin/sh\nexec curl -sL \"$1&creator={creator}{more}\"\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

pub(crate) fn log_in(scene: &Scene, name: &str) -> Ended {
    command(scene, ["login", name])
        .env("BROWSER", browser(scene, name, ""))
        .end()
        .expect(0)
}

/// The address of the consent page among what a command has said.
fn address(said: &str) -> String {
    let found = said
        .lines()
        .find(|line| line.contains("/v2/auth/authorize/"));
    found
        .unwrap_or_else(|| panic!("no address: {said}"))
        .to_owned()
}

/// Where the consent page sends a program.
fn consented(address: &str) -> String {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{redirect_url}", address])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn paste(command: &mut Command, text: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// No token, code or secret is in what was said, or in a file that others may read.
fn assert_no_secret(scene: &Scene, said: &[&Ended]) {
    for ended in said {
        let text = format!("{}{}", ended.stdout, ended.stderr);
        for secret in ["act.", "rft.", SECRET, "code_verifier"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    for entry in fs::read_dir(scene.state_dir().join("accounts")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn whoever_logs_in_once_uploads_by_the_name_of_the_account() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let nobody = command(&scene, ["upload", "clip.mp4", "--account", "lena"]).end();
    assert_eq!(nobody.code, Some(4), "{nobody:?}");
    let login = log_in(&scene, "lena");
    assert!(login.stdout.contains("lena is logged in"), "{login:?}");
    let mut upload = command(&scene, ["upload", "clip.mp4", "--account", "lena"]);
    let upload = upload.end().expect(0);
    assert_eq!(scene.assert_one_draft_of(&file).creator, "lena");
    let accounts = command(&scene, ["accounts", "--json"]).end().expect(0);
    let line: Value = serde_json::from_str(&accounts.stdout).unwrap();
    assert_eq!(line["account"], "lena");
    assert_no_secret(&scene, &[&login, &upload, &accounts]);
    let token = command(&scene, ["accounts", "token", "lena"])
        .end()
        .expect(0);
    assert!(token.stdout.starts_with("act.lena."), "{token:?}");
    command(&scene, ["logout", "lena"]).end().expect(0);
    let gone = command(&scene, ["accounts", "token", "lena"])
        .end()
        .expect(4);
    assert!(gone.stderr.contains("chunkferry login lena"), "{gone:?}");
}

#[test]
fn a_person_consents_in_a_browser_or_does_not() {
    let Some(chromium) = Browser::start() else {
        return;
    };
    let scene = Scene::new(&["auth=issued"], &[]);
    for (button, code) in [("refuse", 4), ("allow", 0)] {
        let mut login = command(&scene, ["login", "lena"]).start();
        login.until_told("ssh -L");
        chromium.open(&address(&login.told()));
        chromium.wait("document.getElementById('creator')");
        chromium.run("document.getElementById('creator').value = ''");
        chromium.write("#creator", "lena");
        chromium.click(&format!("button[value={button}]"));
        let said = login.told();
        let port = said.split("ssh -L ").nth(1).unwrap();
        let port = port.split(':').next().unwrap();
        chromium.arrive(&format!("http://127.0.0.1:{port}/callback?"));
        let page = chromium.value("document.body.innerText");
        assert!(page.as_str().unwrap().contains("close this page"), "{page}");
        let ended = login.end().expect(code);
        assert_eq!(
            ended.stderr.contains("access_denied"),
            code == 4,
            "{ended:?}"
        );
    }
    command(&scene, ["accounts", "token", "lena"])
        .end()
        .expect(0);
}

#[test]
fn without_a_browser_the_address_is_pasted_and_a_foreign_one_is_refused() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let mut waiting = command(&scene, ["login", "lena", "--no-browser"]);
    let waiting = waiting
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    // The address of one login ends no other.
    let mut first = waiting.spawn().unwrap();
    let said = {
        let lines = BufReader::new(first.stderr.take().unwrap()).lines();
        lines
            .map_while(Result::ok)
            .find(|line| line.contains("authorize"))
            .unwrap()
    };
    let came = consented(&format!("{}&creator=lena", address(&said)));
    let other = paste(
        &mut command(&scene, ["login", "lena", "--no-browser"]),
        &came,
    );
    assert_eq!(other.code, Some(4), "{other:?}");
    assert!(other.stderr.contains("another login"), "{other:?}");
    let mut stdin = first.stdin.take().unwrap();
    writeln!(stdin, "{came}").unwrap();
    drop(stdin);
    assert!(first.wait().unwrap().success());
    let none = paste(
        &mut command(&scene, ["login", "mia", "--no-browser"]),
        "hello\n",
    );
    assert_eq!(none.code, Some(2), "{none:?}");
    assert_no_secret(&scene, &[&other, &none]);
}

#[test]
fn a_link_is_opened_elsewhere_and_ended_by_another_command() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let link = command(&scene, ["login", "lena", "--link"]).end().expect(0);
    assert_no_secret(&scene, &[&link]);
    let came = consented(&format!("{}&creator=lena", address(&link.stdout)));
    let wrong = came.replace("state=", "state=x");
    let wrong = command(&scene, ["login", "lena", "--finish", &wrong])
        .end()
        .expect(4);
    let done = command(&scene, ["login", "lena", "--finish", &came])
        .end()
        .expect(0);
    let again = command(&scene, ["login", "lena", "--finish", &came])
        .end()
        .expect(4);
    assert_no_secret(&scene, &[&wrong, &done, &again]);
    command(&scene, ["accounts", "token", "lena"])
        .end()
        .expect(0);
}

#[test]
fn a_port_that_is_taken_and_a_missing_secret_are_said_before_anything_is_opened() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = command(&scene, ["login", "lena", "--redirect-port", &port])
        .end()
        .expect(2);
    assert!(ended.stderr.contains(&port), "{ended:?}");
    let mut no_secret = command(&scene, ["login", "lena"]);
    no_secret
        .env_remove("CHUNKFERRY_CLIENT_SECRET_FILE")
        .end()
        .expect(2);
    let mut no_app = command(&scene, ["login", "lena"]);
    let no_app = no_app.env_remove("CHUNKFERRY_CLIENT_KEY").end().expect(2);
    assert!(no_app.stderr.contains("client_key"), "{no_app:?}");
}

#[test]
fn an_upload_that_outlives_its_token_ten_times_is_delivered_with_few_renewals() {
    // The chunks take 7 s and the service 15 s more, while status is asked.
    let scene = Scene::new(
        &[
            "auth=issued",
            "access_lifetime=2s",
            "receive_rate=3MB",
            "processing_time=15s",
        ],
        &[],
    );
    let file = scene.video("clip.mp4", 21_000_000);
    log_in(&scene, "lena");
    let before = scene.log().requests.token;
    let started = std::time::Instant::now();
    command(&scene, ["upload", "clip.mp4", "--account", "lena"])
        .end()
        .expect(0);
    let lifetimes = started.elapsed().as_secs() / 2;
    scene.assert_one_draft_of(&file);
    assert!(lifetimes >= 10, "{lifetimes} lifetimes only");
    let renewals = scene.log().requests.token - before;
    assert!(
        renewals >= 1 && renewals <= 2 * lifetimes + 1,
        "{renewals} in {lifetimes}"
    );
}

#[test]
fn uploads_of_two_processes_renew_a_token_that_has_ended_once() {
    let scene = Scene::new(&["auth=issued", "limits=off"], &[]);
    log_in(&scene, "lena");
    // A process asks for six inits in a minute.
    let each = if full() { 8 } else { 6 };
    let names: Vec<String> = (0..2 * each).map(|n| format!("clip{n}.mp4")).collect();
    let files: Vec<PathBuf> = names
        .iter()
        .zip(1..)
        .map(|(name, n)| scene.video(name, 1_000_000 + n))
        .collect();
    // The token as it is at its end, by the file.
    let stored = scene.state_dir().join("accounts/lena.json");
    let mut account: Value = serde_json::from_slice(&fs::read(&stored).unwrap()).unwrap();
    let asked = account["asked"].as_u64().unwrap();
    account["asked"] = (asked - 2 * 3600 * 1000 - 1000).into();
    fs::write(&stored, account.to_string()).unwrap();
    let before = scene.log().requests.token;
    let runs = ["one", "two"].map(|state| {
        let files = match state {
            "one" => &names[..each],
            _ => &names[each..],
        };
        let mut upload = command(&scene, ["upload", "--account", "lena", "--jobs", "8"]);
        upload
            .args(files)
            .env("CHUNKFERRY_STATE_DIR", scene.path(state))
            .env(
                "CHUNKFERRY_ACCOUNTS_DIR",
                scene.state_dir().join("accounts"),
            );
        upload.start()
    });
    for run in runs {
        run.end().expect(0);
    }
    assert_eq!(scene.log().drafts as usize, files.len());
    assert_eq!(scene.log().requests.token - before, 1);
}

/// Killed at each point of a renewal, under every setting: whether the account is logged in afterwards, as far as the service
/// allows that at all.
#[test]
fn a_kill_at_any_point_of_a_renewal_loses_no_account_that_the_service_lets_us_keep() {
    let points = ["noted", "answered", "kept", "stored"];
    let mut lost = BTreeSet::new();
    for rotation in ["always", "sometimes"] {
        for grace in ["none", "1h"] {
            for point in points {
                let rotation_set = format!("refresh_rotation={rotation}");
                let grace_set = format!("refresh_grace={grace}");
                let scene = Scene::new(&["auth=issued", &rotation_set, &grace_set], &[]);
                log_in(&scene, "lena");
                let mut killed = command(&scene, ["accounts", "refresh", "lena"]);
                killed.env("CHUNKFERRY_KILL_POINT", format!("renew {point} 1"));
                let killed = killed.end();
                assert_eq!(killed.code, None, "not killed at {point}: {killed:?}");
                let after = command(&scene, ["accounts", "refresh", "lena"]).end();
                match after.code {
                    Some(0) => {
                        let token = command(&scene, ["accounts", "token", "lena"])
                            .end()
                            .expect(0);
                        assert!(token.stdout.starts_with("act.lena."));
                    }
                    _ => {
                        assert_eq!(after.code, Some(4), "{after:?}");
                        let said = format!("{}{}", after.stdout, after.stderr);
                        for word in ["invalid_grant", "cut off", "chunkferry login lena"] {
                            assert!(said.contains(word), "{word}: {said}");
                        }
                        lost.insert((point, rotation, grace));
                    }
                }
                assert_no_secret(&scene, &[&killed, &after]);
            }
        }
    }
    // The one answer that arrived and was not written down, where the service replaces the token at once.
    assert_eq!(lost, BTreeSet::from([("answered", "always", "none")]));
}

#[test]
fn a_store_that_cannot_be_written_loses_no_login() {
    let scene = Scene::new(&["auth=issued"], &[]);
    log_in(&scene, "lena");
    let accounts = scene.state_dir().join("accounts");
    let before = fs::read(accounts.join("lena.json")).unwrap();
    // root may write everywhere, but not through a directory that is in the way.
    fs::create_dir(accounts.join("lena.new")).unwrap();
    let requests = scene.log().requests.token;
    let ended = command(&scene, ["accounts", "refresh", "lena"]).end();
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert_eq!(scene.log().requests.token, requests, "nothing was asked");
    assert_eq!(fs::read(accounts.join("lena.json")).unwrap(), before);
    fs::remove_dir(accounts.join("lena.new")).unwrap();
    command(&scene, ["accounts", "refresh", "--all"])
        .end()
        .expect(0);
}

#[test]
fn a_refresh_token_of_another_program_is_taken_over() {
    let scene = Scene::new(&["auth=issued"], &[]);
    log_in(&scene, "lena");
    let stored = scene.state_dir().join("accounts/lena.json");
    let account: Value = serde_json::from_slice(&fs::read(&stored).unwrap()).unwrap();
    let token = account["refresh"].as_str().unwrap().to_owned();
    fs::remove_file(&stored).unwrap();
    let imported = paste(
        &mut command(&scene, ["accounts", "import", "studio"]),
        &token,
    );
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let listed = command(&scene, ["accounts", "--json"]).end().expect(0);
    assert!(listed.stdout.contains("studio"), "{listed:?}");
    command(&scene, ["accounts", "token", "studio"])
        .end()
        .expect(0);
    let again = paste(
        &mut command(&scene, ["accounts", "import", "other"]),
        &token,
    );
    assert_eq!(again.code, Some(4), "a spent token: {again:?}");
    log_in(&scene, "other");
    assert_no_secret(&scene, &[&imported, &listed, &again]);
}

#[test]
fn a_signal_in_the_middle_of_a_renewal_loses_no_account() {
    let scene = Scene::new(&["auth=issued"], &["token nth=2 delay=1s"]);
    log_in(&scene, "lena");
    let refresh = command(&scene, ["accounts", "refresh", "lena"]).start();
    scene.sees("the renewal", |log| log.requests.token == 2);
    refresh.signal("-INT");
    refresh.end().expect(130);
    let token = command(&scene, ["accounts", "token", "lena"])
        .end()
        .expect(0);
    assert!(token.stdout.starts_with("act.lena."), "{token:?}");
    assert_eq!(scene.log().requests.token, 2, "the answer was kept");
    command(&scene, ["accounts", "refresh", "lena"])
        .end()
        .expect(0);
}

#[test]
fn a_code_can_be_given_on_standard_input_where_no_process_list_shows_it() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let link = command(&scene, ["login", "lena", "--link"]).end().expect(0);
    let came = consented(&format!("{}&creator=lena", address(&link.stdout)));
    let done = paste(
        &mut command(&scene, ["login", "lena", "--finish", "-"]),
        &came,
    );
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn a_login_is_listed_with_its_creator_and_says_when_a_person_is_needed() {
    let scene = Scene::new(&["auth=issued"], &[]);
    log_in(&scene, "lena");
    log_in(&scene, "mia");
    // The refresh token of mia is spent.
    let path = scene.state_dir().join("accounts/mia.json");
    let mut mia: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    mia["refresh"] = "rft.mia.spent".into();
    fs::write(&path, mia.to_string()).unwrap();
    command(&scene, ["accounts", "refresh", "mia"])
        .end()
        .expect(4);
    let requests = scene.log().requests;
    let listed = command(&scene, ["accounts"])
        // The list needs no secret of the app.
        .env("CHUNKFERRY_CLIENT_SECRET_FILE", "none")
        .end()
        .expect(0);
    let rows: Vec<&str> = listed.stdout.lines().collect();
    assert!(rows[0].starts_with("lena  login           logged in until "));
    assert!(rows[1].starts_with("  open_id  ") && rows[1].len() > 11);
    assert_eq!(rows[2], "  scopes   user.info.basic, video.upload");
    assert_eq!(rows[3], "mia   login           needs a person");
    let why = "  its creator must log in again: the service no longer takes";
    assert!(rows[6].starts_with(why), "{listed:?}");
    assert_eq!(rows[7..], ["  Log in: chunkferry login mia"]);
    let rows = rows.iter().filter(|row| !row.starts_with(why));
    assert!(rows.map(|row| row.len()).all(|width| width <= 80));
    let json = command(&scene, ["accounts", "--json"]).end().expect(0);
    let lines = json.stdout.lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(line["source"], "login");
        assert_eq!(line["api_base"], scene.emulator.url());
        assert!(line["refresh_ends"].as_u64() > line["access_ends"].as_u64());
        assert_eq!(
            line["needs_login"].is_null(),
            line["account"] == "lena",
            "{line}"
        );
    }
    assert_eq!(scene.log().requests, requests);
    assert_no_secret(&scene, &[&listed, &json]);
}

#[test]
fn a_login_to_which_nobody_comes_ends_after_five_minutes_and_stores_nothing() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let mut login = command(&scene, ["login", "lena"]);
    login
        .env("BROWSER", "true")
        .env("CHUNKFERRY_CLOCK_SCALE", "150");
    let started = std::time::Instant::now();
    let ended = login.end().expect(75);
    let waited = started.elapsed().as_secs_f64();
    assert!((2.0..30.0).contains(&waited), "{waited} s");
    assert!(ended.stderr.contains("within 5 minutes"), "{ended:?}");
    assert!(!scene.state_dir().join("accounts").exists());
    assert_eq!(scene.log().requests.token, 0);
}

#[test]
fn an_address_that_is_registered_for_the_app_is_pasted() {
    const REGISTERED: &str = "https://app.example/tiktok";
    let scene = Scene::new(&["auth=issued"], &[]);
    let mut login = command(&scene, ["login", "lena", "--redirect-uri", REGISTERED]);
    let mut login = login
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(login.stderr.take().unwrap()).lines();
    let said = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains("/v2/auth/authorize/"));
    let came = consented(&format!("{}&creator=lena", said.unwrap()));
    assert!(came.starts_with(&format!("{REGISTERED}?")), "{came}");
    writeln!(login.stdin.take().unwrap(), "{came}").unwrap();
    // The service takes the code only with the address of its consent.
    assert!(login.wait().unwrap().success());
    command(&scene, ["accounts", "token", "lena"])
        .end()
        .expect(0);
}

#[test]
fn certificates_from_a_pipe_are_read_once_for_the_engine_and_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let settings = settings(&["auth=issued"]);
    let scene = Scene::of(Emulator::builder().settings(settings).tls(&ca));
    let file = scene.video("clip.mp4", 1_000_000);
    command(&scene, ["login", "lena"])
        .env("CHUNKFERRY_CA_FILE", &ca)
        .env("CURL_CA_BUNDLE", &ca)
        .env("BROWSER", browser(&scene, "lena", ""))
        .end()
        .expect(0);
    let commands: [&[&str]; 2] = [
        &["upload", "clip.mp4", "--account", "lena"],
        &["doctor", "--online", "--account", "lena"],
    ];
    for args in commands {
        let pipe = dir.path().join(args[0]);
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let run = command(&scene, args).arg("--ca-file").arg(&pipe).start();
        let pem = fs::read(&ca).unwrap();
        // Blocks until the command opens the pipe, which a broken one may never do.
        std::thread::spawn(move || fs::write(pipe, pem));
        let started = std::time::Instant::now();
        let ended = run.end().expect(0);
        // A second read would wait for a writer that never comes.
        assert!(started.elapsed() < Duration::from_secs(50), "{ended:?}");
    }
    scene.assert_one_draft_of(&file);
}

#[test]
fn accounts_that_nobody_uses_are_renewed_by_whoever_uploads() {
    let scene = Scene::new(&["auth=issued", "processing_time=1s"], &[]);
    log_in(&scene, "lena");
    log_in(&scene, "mia");
    scene.video("clip.mp4", 1_000_000);
    let stored = scene.state_dir().join("accounts/mia.json");
    let read = || serde_json::from_slice::<Value>(&fs::read(&stored).unwrap()).unwrap();
    let mut account = read();
    let asked = account["asked"].as_u64().unwrap();
    account["asked"] = (asked - 61 * 24 * 3600 * 1000).into();
    fs::write(&stored, account.to_string()).unwrap();
    command(&scene, ["upload", "clip.mp4", "--account", "lena"])
        .end()
        .expect(0);
    let after = read();
    assert_eq!(
        after["generation"],
        account["generation"].as_u64().unwrap() + 1
    );
}

#[test]
fn the_app_and_the_account_of_a_config_file_log_in_and_upload() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let config = scene.path("config.toml");
    let text = format!(
        "account = 'lena'\n[accounts.lena]\nlogin = true\n[app]\nclient_key = 'my-app'\nclient_secret = '{SECRET}'\n"
    );
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    // The scene has a token in the environment, which does not stand in for the login.
    let command = |args: &[&str]| {
        let mut command = scene.command(args);
        command
            .env("CHUNKFERRY_CONFIG", &config)
            .env_remove("CHUNKFERRY_ACCOUNT");
        command
    };
    let nobody = command(&["upload", "clip.mp4"]).end().expect(4);
    assert!(
        nobody.stderr.contains("chunkferry login lena"),
        "{nobody:?}"
    );
    let mut login = command(&["login", "lena"]);
    login.env("BROWSER", browser(&scene, "lena", ""));
    let login = login.end().expect(0);
    let upload = command(&["upload", "clip.mp4"]).end().expect(0);
    assert_eq!(scene.assert_one_draft_of(&file).creator, "lena");
    let after = command(&["doctor"]).end().expect(0);
    let found = "account lena: it is logged in until";
    assert!(after.stdout.contains(found), "{after:?}");
    assert_no_secret(&scene, &[&nobody, &login, &upload]);
    let said = format!("{}{}", after.stdout, after.stderr);
    for secret in [SECRET, "act.", "rft."] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_full_or_read_only_store_loses_no_login_and_spends_no_refresh_token() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let Some(disk) = Mount::new(scene.path("disk"), "64k") else {
        return;
    };
    let on_disk = |args: &[&str]| {
        let mut command = command(&scene, args);
        command.env("CHUNKFERRY_ACCOUNTS_DIR", disk.path().join("accounts"));
        command
    };
    on_disk(&["login", "lena"])
        .env("BROWSER", browser(&scene, "lena", ""))
        .end()
        .expect(0);
    let fill = disk.path().join("fill");
    let full = || drop(fs::write(&fill, vec![0; 1 << 20]));
    full();
    let ended = on_disk(&["accounts", "refresh", "lena"]).end().expect(75);
    assert_eq!(scene.log().requests.token, 1, "{ended:?}");
    on_disk(&["accounts", "token", "lena"]).end().expect(0);
    fs::remove_file(&fill).unwrap();
    disk.remount("ro");
    on_disk(&["accounts", "refresh", "lena"]).end().expect(75);
    on_disk(&["accounts", "token", "lena"]).end().expect(0);
    disk.remount("rw");
    assert_eq!(scene.log().requests.token, 1);

    // Full from right before the answer is written.
    let mut refresh = on_disk(&["accounts", "refresh", "lena"]);
    let mut refresh = refresh
        .env("CHUNKFERRY_FREEZE_POINT", "renew answered 1")
        .start();
    let stat = format!("/proc/{}/stat", refresh.pid());
    while !fs::read_to_string(&stat).unwrap().contains(") T ") {
        assert!(refresh.is_running(), "{}", refresh.told());
        std::thread::sleep(Duration::from_millis(5));
    }
    full();
    refresh.signal("-CONT");
    // The last free page may hold the answer; then the account's own file is what cannot be written, which loses nothing.
    while refresh.is_running() && !refresh.told().contains("not written yet") {
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::remove_file(&fill).unwrap();
    let ended = refresh.end();
    assert!(matches!(ended.code, Some(0 | 75)), "{ended:?}");
    let token = on_disk(&["accounts", "token", "lena"]).end().expect(0);
    assert!(token.stdout.starts_with("act.lena."), "{token:?}");
    on_disk(&["accounts", "refresh", "lena"]).end().expect(0);
}

#[test]
fn two_processes_that_log_in_at_once_leave_one_whole_account() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let ends: Vec<String> = (0..2)
        .map(|_| {
            let mut login = command(&scene, ["login", "lena", "--no-browser"]);
            let mut child = login
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stderr.take().unwrap()).lines();
            let said = lines
                .map_while(Result::ok)
                .find(|line| line.contains("/v2/auth/authorize/"));
            let came = consented(&format!("{}&creator=lena", said.unwrap()));
            (child, came)
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(mut child, came)| {
            writeln!(child.stdin.take().unwrap(), "{came}").unwrap();
            child
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|mut child| child.wait().unwrap().to_string())
        .collect();
    assert_eq!(ends, ["exit status: 0", "exit status: 0"]);
    command(&scene, ["accounts", "token", "lena"])
        .end()
        .expect(0);
    command(&scene, ["accounts", "refresh", "lena"])
        .end()
        .expect(0);
}

/// Logs this creator in under a name.
fn log_in_as(scene: &Scene, name: &str, creator: &str, more: &[&str]) -> Ended {
    let mut login = command(scene, ["login", name].iter().chain(more));
    login.env("BROWSER", browser(scene, creator, ""));
    login.end()
}

#[test]
fn a_creator_with_two_names_gets_one_draft_and_a_name_with_two_creators_withholds_none() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let file = scene.video("clip.mp4", 100_000);
    let upload = |name| command(&scene, ["upload", "clip.mp4", "--account", name]).end();
    log_in_as(&scene, "lena", "lena", &[]).expect(0);
    let second = log_in_as(&scene, "second", "lena", &[]).expect(0);
    assert!(second.stderr.contains("lena"), "{second:?}");
    upload("lena").expect(0);
    let repeat = upload("second").expect(0);
    assert!(
        repeat.stderr.contains("second is the same creator as lena"),
        "{repeat:?}"
    );
    assert!(repeat.stdout.contains("already_delivered"), "{repeat:?}");
    assert_eq!(scene.assert_one_draft_of(&file).creator, "lena");

    log_in_as(&scene, "lena", "mia", &[]).expect(4);
    log_in_as(&scene, "lena", "mia", &["--replace"]).expect(0);
    let ended = upload("lena").expect(0);
    assert!(ended.stdout.contains("\tdelivered\t"), "{ended:?}");
    let log = scene.log();
    let mut creators: Vec<&str> = log.sessions.iter().map(|of| &*of.creator).collect();
    creators.sort_unstable();
    assert_eq!((log.drafts, &*creators), (2, &["lena", "mia"][..]));
    // Her second name still knows what she has.
    assert!(
        upload("second")
            .expect(0)
            .stdout
            .contains("already_delivered")
    );
}
