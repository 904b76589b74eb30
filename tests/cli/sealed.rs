//! Accounts whose files are sealed by a key of the config file or of the environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::login::{browser, command};
use crate::scene::{Ended, Scene, Start};

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// The first 16 digits of what `head -c 32 /dev/zero | tr '\0' '\021' | sha256sum` prints, and of the same with `\042`.
const ONE_ID: &str = "02d449a31fbb267c";
const TWO_ID: &str = "9f72ea0cf49536e3";

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A command with a config file that names `seal.key` next to it, and these lines in there.
fn sealed(scene: &Scene, keys: &[&str], args: &[&str]) -> Command {
    write_private(&scene.path("seal.key"), &keys.join("\n"));
    let config = scene.path("config.toml");
    fs::write(&config, "seal_key_file = 'seal.key'\n").unwrap();
    let mut command = command(scene, args);
    command.env("CHUNKFERRY_CONFIG", config);
    command
}

fn log_in(scene: &Scene, name: &str) -> Ended {
    sealed(scene, &[ONE], &["login", name])
        .env("BROWSER", browser(scene, name, ""))
        .end()
        .expect(0)
}

fn account(scene: &Scene, file: &str) -> PathBuf {
    scene.state_dir().join("accounts").join(file)
}

/// The ID of the key by which a file is sealed.
fn key_of(scene: &Scene, file: &str) -> String {
    let file: Value = serde_json::from_slice(&fs::read(account(scene, file)).unwrap()).unwrap();
    file["sealed"]["key"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// No file below the state directory holds a token.
fn assert_no_token(dir: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += assert_no_token(&path);
        } else {
            let text = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&text);
            for token in ["act.", "rft."] {
                assert!(!text.contains(token), "{path:?}");
            }
            files += 1;
        }
    }
    files
}

#[test]
fn a_sealed_account_uploads_with_its_key_and_without_it_says_which_one_is_missing() {
    let scene = Scene::new(&["auth=issued"], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    log_in(&scene, "lena");
    assert!(assert_no_token(&scene.state_dir()) > 0);
    assert_eq!(key_of(&scene, "lena.json"), ONE_ID);
    let before = fs::read(account(&scene, "lena.json")).unwrap();

    let requests = scene.log().requests.token;
    let upload = ["upload", "clip.mp4", "--account", "lena"];
    let without: [(&[&str], i32); 5] = [
        (&upload, 4),
        (&["accounts", "token", "lena"], 4),
        (&["accounts"], 4),
        (&["accounts", "refresh", "--all"], 4),
        (&["doctor"], 2),
    ];
    for (args, code) in without {
        let ended = command(&scene, args).end().expect(code);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        for part in [
            "The tokens of the account \"lena\" are sealed by the key 02d449a31fbb267c, and no seal key is given.",
            "seal_key_file in the configuration or by CHUNKFERRY_SEAL_KEY_FILE",
        ] {
            assert!(said.contains(part), "{args:?}: {said}");
        }
    }
    let mut login = command(&scene, ["login", "lena"]);
    login.env("BROWSER", browser(&scene, "lena", ""));
    login.end().expect(4);
    let other = sealed(&scene, &[TWO], &upload).end().expect(4);
    assert!(other.stderr.contains(ONE_ID), "{other:?}");
    assert!(other.stderr.contains(TWO_ID), "{other:?}");
    assert_eq!(fs::read(account(&scene, "lena.json")).unwrap(), before);
    let log = scene.log();
    assert_eq!((log.requests.token, log.requests.init), (requests, 0));
    let listed = command(&scene, ["accounts", "--json"]).end().expect(4);
    let line: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        (&line["event"], &line["account"]),
        (&"account".into(), &"lena".into())
    );
    assert!(
        line["needs_login"].as_str().unwrap().contains(ONE_ID),
        "{line}"
    );

    sealed(&scene, &[ONE], &upload).end().expect(0);
    assert_eq!(scene.assert_one_draft_of(&file).creator, "lena");
    assert_no_token(&scene.state_dir());
    let mut doctor = sealed(&scene, &[ONE], &["doctor", "--account", "lena"]);
    let doctor = doctor.end().expect(0).stdout;
    for part in [
        "seal: the key 02d449a31fbb267c seals accounts.",
        "account lena: it is logged in until",
    ] {
        assert!(doctor.contains(part), "{doctor}");
    }
    let row = doctor
        .lines()
        .find(|line| line.starts_with("seal_key_file "));
    let row = row.unwrap_or_else(|| panic!("{doctor}"));
    assert!(row.contains("/seal.key ") && row.ends_with("file"), "{row}");
}

#[test]
fn a_key_is_replaced_by_a_line_before_it_and_one_renewal_of_all() {
    let scene = Scene::new(&["auth=issued"], &[]);
    log_in(&scene, "lena");
    log_in(&scene, "mia");
    let refresh = ["accounts", "refresh", "--all"];
    sealed(&scene, &[TWO, ONE], &refresh).end().expect(0);
    for name in ["lena", "mia"] {
        assert_eq!(key_of(&scene, &format!("{name}.json")), TWO_ID);
        // The variable wins over the file, which has the other key.
        let new = scene.path("new.key");
        write_private(&new, TWO);
        let mut token = sealed(&scene, &[ONE], &["accounts", "token", name]);
        token.env("CHUNKFERRY_SEAL_KEY_FILE", new);
        assert!(token.end().expect(0).stdout.starts_with("act."));
    }
    sealed(&scene, &[ONE], &refresh).end().expect(4);
    assert_no_token(&scene.state_dir());
}

/// The answer that a kill has left holds the only copy of the new refresh token.
#[test]
fn a_kill_in_the_middle_of_a_sealed_renewal_loses_no_account() {
    for (point, leaves) in [("noted", false), ("kept", true), ("stored", true)] {
        let scene = Scene::new(
            &[
                "auth=issued",
                "refresh_rotation=always",
                "refresh_grace=none",
            ],
            &[],
        );
        log_in(&scene, "lena");
        let mut killed = sealed(&scene, &[ONE], &["accounts", "refresh", "lena"]);
        killed.env("CHUNKFERRY_KILL_POINT", format!("renew {point} 1"));
        let killed = killed.end();
        assert_eq!(killed.code, None, "not killed at {point}: {killed:?}");
        assert_eq!(account(&scene, "lena.answer").exists(), leaves, "{point}");
        if leaves {
            assert_eq!(key_of(&scene, "lena.answer"), ONE_ID);
            // Without the key nothing is asked, and the answer stays.
            command(&scene, ["accounts", "refresh", "lena"])
                .end()
                .expect(4);
            assert!(account(&scene, "lena.answer").exists());
        }
        assert_no_token(&scene.state_dir());
        for args in [
            ["accounts", "token", "lena"],
            ["accounts", "refresh", "lena"],
        ] {
            sealed(&scene, &[ONE], &args).end().expect(0);
        }
        assert!(!account(&scene, "lena.answer").exists(), "{point}");
        assert_no_token(&scene.state_dir());
    }
}

#[test]
fn a_key_that_cannot_be_used_is_said_and_not_repeated() {
    let scene = Scene::new(&["auth=issued"], &[]);
    log_in(&scene, "lena");
    let key = scene.path("seal.key");
    let token = ["accounts", "token", "lena"];
    let refused = |mut command: Command, why: &str| {
        let said = command.end().expect(2).stderr;
        assert!(said.contains(why), "{why}: {said}");
        assert!(!said.contains("1111"), "{said}");
    };
    for mode in [0o644, 0o640, 0o604] {
        let command = sealed(&scene, &[ONE], &token);
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        refused(command, "chmod 600");
    }
    refused(sealed(&scene, &[], &token), "Line 1 holds no seal key");
    refused(
        sealed(&scene, &[ONE, &ONE[1..]], &token),
        "Line 2 holds no seal key",
    );
    let command = sealed(&scene, &[ONE], &token);
    fs::remove_file(&key).unwrap();
    refused(command, "seal.key cannot be read");

    let by_command = |line: &str| {
        let command = sealed(&scene, &[TWO, ONE], &token);
        let config = format!("seal_key_command = '{line}'\n");
        fs::write(scene.path("config.toml"), config).unwrap();
        command
    };
    by_command(&format!("cat {}", key.display()))
        .end()
        .expect(0);
    refused(
        by_command(&format!("echo {ONE}; echo {ONE} >&2; false")),
        "seal_key_command failed",
    );
    refused(by_command("echo 1111"), "Line 1 holds no seal key");
}
