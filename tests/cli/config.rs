//! The config file: what wins over what, what it may not set, and where its tokens come from.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::scene::{CHUNK, Ended, MIB, Scene, Start, TOKEN, accepted};

const SECRET: &str = "s3cr3t-of-the-app";

/// Writes a file that only its owner can read.
fn write(scene: &Scene, name: &str, text: &str) -> PathBuf {
    let path = scene.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// A command with this config file, and nothing else of the scene but its emulator.
fn configured(scene: &Scene, config: &str, args: &[&str]) -> Command {
    let path = write(scene, "config.toml", config);
    let mut command = scene.command(args);
    command
        .env_remove("CHUNKFERRY_STATE_DIR")
        .env_remove("CHUNKFERRY_ACCOUNT")
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .env("CHUNKFERRY_CONFIG", path);
    command
}

/// A run that the file ends before anything is sent.
#[track_caller]
fn refused(scene: &Scene, config: &str) -> String {
    let ended = configured(scene, config, &["list"]).end().expect(2);
    let path = scene.path("config.toml");
    let path = path.to_str().unwrap();
    assert!(ended.stderr.contains(path), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    ended.stderr
}

/// Whose token the only session was made with.
fn creator(scene: &Scene) -> String {
    let log = scene.log();
    assert_eq!(log.sessions.len(), 1, "{log:#?}");
    log.sessions[0].creator.clone()
}

#[test]
fn a_value_comes_from_the_flag_then_the_environment_then_the_file_then_the_default() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    // The account's name is shown by each line.
    let account = |config: &str, env: Option<&str>, flag: Option<&str>| {
        let mut command = configured(&scene, config, &["upload", "--json", "clip.mp4"]);
        command.env("TIKTOK_ACCESS_TOKEN", TOKEN);
        command.envs(env.map(|name| ("CHUNKFERRY_ACCOUNT", name)));
        command.args(flag.map(|name| format!("--account={name}")));
        let outcome = command.end().expect(0).outcome();
        outcome["account"].as_str().unwrap().to_owned()
    };
    let file = "account = 'filed'";
    assert_eq!(account("", None, None), "default");
    assert_eq!(account(file, None, None), "filed");
    assert_eq!(account(file, Some("known"), None), "known");
    assert_eq!(account(file, Some("known"), Some("given")), "given");
    assert_eq!(account(file, None, Some("given")), "given");
}

#[test]
fn a_switch_comes_from_the_flag_then_the_environment_then_the_file() {
    let scene = Scene::new(&[], &[]);
    let json = |config: &str, env: Option<&str>, flag: &[&str]| {
        let mut command = configured(&scene, config, &["plan", "--size", "5MB"]);
        command
            .envs(env.map(|on| ("CHUNKFERRY_JSON", on)))
            .args(flag);
        command.end().expect(0).stdout.starts_with('{')
    };
    assert!(!json("", None, &[]));
    assert!(json("json = true", None, &[]));
    assert!(!json("json = false", None, &[]));
    assert!(!json("json = true", Some("false"), &[]));
    assert!(json("json = false", Some("true"), &[]));
    assert!(json("json = false", Some("false"), &["--json"]));
}

#[test]
fn a_path_comes_from_the_flag_then_the_environment_then_the_file_then_the_default() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let places = [".local/state/chunkferry", "filed", "known", "given"];
    for (place, used) in places.iter().enumerate() {
        let config = if place >= 1 {
            "state_dir = 'filed'"
        } else {
            ""
        };
        let mut command = configured(&scene, config, &["upload", "--again", "clip.mp4"]);
        command.env("TIKTOK_ACCESS_TOKEN", TOKEN);
        if place >= 2 {
            command.env("CHUNKFERRY_STATE_DIR", "known");
        }
        if place >= 3 {
            command.args(["--state-dir", "given"]);
        }
        command.end().expect(0);
        for other in places {
            let journal = scene.path(other).join("history.jsonl");
            assert_eq!(journal.exists(), other == *used, "{used}: {other}");
        }
        fs::remove_dir_all(scene.path(used)).unwrap();
    }
}

#[test]
fn options_of_upload_come_from_their_table_unless_the_command_line_says_otherwise() {
    let scene = Scene::new(&["processing_time=1h"], &[]);
    for name in ["one.mp4", "two.mp4"] {
        scene.video(name, 2 * CHUNK);
    }
    let config = "
        [upload]
        chunk_size = '5MiB'
        no_wait = true
        wire_log = 'wire.jsonl'
        [pull]
        wait = 1
    ";
    let run = |args: &[&str]| {
        let mut command = configured(&scene, config, &["upload", "--json"]);
        command.env("TIKTOK_ACCESS_TOKEN", TOKEN).args(args);
        // Without no_wait, the run ends in 75.
        command.args(["--wait", "3"]);
        command.end().expect(0).outcome()
    };
    assert_eq!(run(&["one.mp4"])["outcome"], "sent");
    assert!(fs::metadata(scene.path("wire.jsonl")).unwrap().len() > 0);
    run(&["two.mp4", "--chunk-size", "10MiB"]);
    let chunks = |index: usize| accepted(&scene.log().sessions[index].puts);
    assert_eq!(chunks(0), [0, 5 * MIB]);
    assert_eq!(chunks(1), [0]);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let scene = Scene::new(&[], &[]);
    let rows = [
        ("acount = 'lena'", "\"account\""),
        ("state-dir = 'x'", "\"state_dir\""),
        ("jobs = 3", "[upload] or in [pull]"),
        ("[upload]\njson = true", "at the top of the file"),
        ("[upload]\nbw_limit = '30MB'", "\"bwlimit\""),
        ("[pull]\nchunk_size = '5MiB'", "in [upload]"),
        ("[uplaod]\njobs = 3", "\"upload\""),
        ("[accounts.lena]\ntokenfile = 'x'", "\"token_file\""),
        ("[app]\nclient_id = 'x'", "\"client_key\""),
    ];
    for (config, nearest) in rows {
        let told = refused(&scene, config);
        assert!(told.contains(nearest), "{config}: {told}");
        let line = config
            .lines()
            .position(|line| !line.starts_with('[') || line == "[uplaod]");
        let line = format!("line {}, column ", line.unwrap() + 1);
        assert!(told.contains(&line), "{config}: {told}");
    }
}

#[test]
fn what_a_person_has_to_say_each_time_is_refused_in_a_file() {
    let scene = Scene::new(&[], &[]);
    let rows = [
        ("again = true", "every video once more"),
        ("[upload]\nagain = false", "every video once more"),
        ("[pull]\nagain = true", "every video once more"),
        ("[upload]\nemulator = true", "post nothing"),
        ("[upload]\nallow_writer = true", "unfinished"),
        ("[pull]\nkey = 'clip'", "as one"),
        ("[pull]\nurl_file = 'urls'", "--url-file"),
        ("config = 'other.toml'", "no other"),
    ];
    for (config, why) in rows {
        let told = refused(&scene, config);
        assert!(told.contains("cannot be set in a file"), "{config}: {told}");
        assert!(told.contains(why), "{config}: {told}");
    }
}

#[test]
fn a_value_that_its_option_would_refuse_is_an_error_of_the_file_and_names_the_key() {
    let scene = Scene::new(&[], &[]);
    let rows = [
        ("json = 'yes'", "json has to be true or false"),
        ("account = 5", "account has to be text"),
        ("account = ''", "account is empty"),
        ("account = \"le\\nna\"", "account cannot be used"),
        ("state_dir = true", "state_dir has to be text"),
        ("state_dir = '~mira/x'", "state_dir has to be a whole path"),
        (
            "[upload]\njobs = 0",
            "upload.jobs cannot be used: 0 is not in 1..=64",
        ),
        (
            "[pull]\njobs = 'two'",
            "pull.jobs cannot be used: it has to be a whole number",
        ),
        ("[upload]\nbwlimit = '1B'", "upload.bwlimit cannot be used"),
        ("[upload]\nbwlimit = '10M'", "write 10MB"),
        ("[upload]\ncontent_type = 'video/avi'", "one of video/mp4"),
        (
            "[upload]\npatience = [1]",
            "upload.patience has to be a whole number",
        ),
        ("upload = 3", "upload has to be a table"),
        ("accounts.lena = 'x'", "accounts.lena has to be a table"),
        ("[accounts.lena]", "exactly one of"),
        (
            "[accounts.lena]\nlogin = true\ntoken_file = 'x'",
            "exactly one of",
        ),
        (
            "[accounts.lena]\nlogin = false",
            "login is true, or left out",
        ),
        ("[accounts.\"\"]\nlogin = true", "at least one letter"),
        (
            "[app]\nclient_secret_file = 'x'\nclient_secret_command = 'y'",
            "one too many",
        ),
        (
            "seal_key_file = 'x'\nseal_key_command = 'y'",
            "one too many",
        ),
        ("seal_key = 'x'", "the nearest key is \"seal_key_file\""),
    ];
    for (config, why) in rows {
        let told = refused(&scene, config);
        assert!(told.contains(why), "{config}: {told}");
    }
    // Also for programs that read JSON lines.
    let mut command = configured(&scene, "nothing = 1", &["list", "--json"]);
    let ended = command.end().expect(2);
    let line: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(line["event"], "error");
    assert_eq!(line["exit"], 2);
}

#[test]
fn a_broken_file_is_told_by_line_and_column_and_no_secret_of_it_is_repeated() {
    let scene = Scene::new(&[], &[]);
    let rows = [
        format!("[app]\nclient_secret = {SECRET}\n"),
        format!("[app]\nclient_secret = '{SECRET}\n"),
        format!("[app]\nclient_secret = ['{SECRET}']\n"),
        format!("[app]\nclient_secret.text = '{SECRET}'\n"),
        format!("[accounts.lena]\ntoken_env = 'act.{SECRET}'\n"),
        format!("[accounts.lena]\nlogin = '{SECRET}'\n"),
        format!("account = 'lena'\naccount = '{SECRET}'\n"),
    ];
    for config in rows {
        let told = refused(&scene, &config);
        assert!(told.contains("line 2, column "), "{told}");
        assert!(!told.contains(SECRET), "{told}");
    }
    let path = scene.path("config.toml");
    fs::write(&path, b"account = 'lena'\njson = \"\xff\"\n").unwrap();
    let ended = scene.command(["list", "--config", "config.toml"]).end();
    let told = ended.expect(2).stderr;
    assert!(told.contains("not UTF-8, line 2, column 9"), "{told}");
}

#[test]
fn a_secret_in_a_file_that_others_can_read_is_refused_with_the_remedy() {
    let scene = Scene::new(&[], &[]);
    let config = format!("[app]\nclient_key = 'aw1'\nclient_secret = '{SECRET}'\n");
    let list = |config: &str, mode: u32| {
        let mut command = configured(&scene, config, &["list"]);
        let path = scene.path("config.toml");
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        command.end()
    };
    list(&config, 0o600).expect(0);
    list(&config, 0o400).expect(0);
    for mode in [0o644, 0o640, 0o660, 0o604] {
        let told = list(&config, mode).expect(2).stderr;
        assert!(told.contains("chmod 600"), "{told}");
        assert!(!told.contains(SECRET), "{told}");
    }
    // Without a secret others may read it, and must not write it.
    list("[app]\nclient_secret_file = 'x'\n", 0o644).expect(0);
    let told = list("account = 'lena'", 0o666).expect(2).stderr;
    assert!(told.contains("chmod 600"), "{told}");
}

#[test]
fn a_file_of_another_user_decides_nothing() {
    let scene = Scene::new(&[], &[]);
    let mut command = configured(&scene, "account = 'lena'", &["list"]);
    if chown(scene.path("config.toml"), Some(12_345), None).is_err() {
        eprintln!("not tested: only root can give a file away");
        return;
    }
    let told = command.end().expect(2).stderr;
    assert!(told.contains("another user (12345)"), "{told}");
}

#[test]
fn paths_count_from_the_folder_of_the_file_wherever_the_command_runs() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    write(&scene, "conf/tokens/lena", "act.lena.1\n");
    write(
        &scene,
        "conf/my.toml",
        "state_dir = 'state'\n[accounts.lena]\ntoken_file = 'tokens/lena'\n[upload]\nwire_log = '~/wire.jsonl'\n",
    );
    fs::create_dir(scene.path("elsewhere")).unwrap();
    let mut command = scene.command(["upload", "--config", "../conf/my.toml"]);
    command
        .arg(&file)
        .env_remove("CHUNKFERRY_STATE_DIR")
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .current_dir(scene.path("elsewhere"));
    command.end().expect(0);
    scene.assert_one_draft_of(&file);
    assert!(scene.path("conf/state/history.jsonl").exists());
    assert!(scene.path("wire.jsonl").exists());
    assert_eq!(fs::read_dir(scene.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn each_source_of_an_accounts_tokens_delivers_an_upload() {
    let sources = [
        "token_file = 'token'",
        "token_command = 'cat token'",
        "token_env = 'TOKEN_OF_LENA'",
    ];
    for source in sources {
        let scene = Scene::new(&[], &[]);
        let file = scene.video("clip.mp4", 100_000);
        write(&scene, "token", "act.lena.7\n");
        let config = format!("account = 'lena'\n[accounts.lena]\n{source}\n");
        let mut command = configured(&scene, &config, &["upload", "clip.mp4"]);
        command.env("TOKEN_OF_LENA", "act.lena.7");
        command.end().expect(0);
        scene.assert_one_draft_of(&file);
        assert_eq!(creator(&scene), "lena", "{source}");
    }
}

#[test]
fn every_account_is_listed_with_its_source_and_nobody_is_asked() {
    const CONFIG: &str = "
        [accounts.zoe]
        login = true
        [accounts.lena]
        token_command = 'touch asked; echo act.lena.1'
        [accounts.mira]
        token_file = 'none'
        [accounts.kai]
        token_env = 'TOKEN_OF_KAI'
        [token_provider]
        command = 'touch asked'
        [app]
        client_key = 'aw1'
        client_secret_command = 'touch asked'
    ";
    let scene = Scene::new(&[], &[]);
    let listed = configured(&scene, CONFIG, &["accounts"]).end().expect(0);
    let rows = [
        "kai               token_env",
        "lena              token_command",
        "mira              token_file",
        "zoe               login           needs a person",
        "  nobody is logged in under this name",
        "  Log in: chunkferry login zoe",
        "every other name  token_provider",
    ];
    assert_eq!(listed.stdout.lines().collect::<Vec<_>>(), rows);
    let mut command = configured(&scene, CONFIG, &["accounts", "--json"]);
    let ended = command.end().expect(0);
    let lines = ended.stdout.lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let unknown = [
        "open_id",
        "api_base",
        "scopes",
        "access_ends",
        "refresh_ends",
    ];
    for line in &lines {
        let fields = line.as_object().unwrap();
        assert!(unknown.iter().all(|key| fields[*key].is_null()), "{line}");
        assert_eq!(
            line["needs_login"].is_null(),
            line["account"] != "zoe",
            "{line}"
        );
    }
    assert_eq!(lines.len(), 5);
    let last = lines.last().unwrap();
    assert_eq!(last["source"], "token_provider");
    assert_eq!(last["account"], Value::Null);
    // What the environment sets for all accounts wins, also over the provider.
    command.env("CHUNKFERRY_TOKEN_FILE", "token");
    let ended = command.end().expect(0);
    let files = ended.stdout.matches("\"source\":\"token_file\"").count();
    assert_eq!((files, ended.stdout.lines().count()), (4, 4), "{ended:?}");
    assert!(!scene.path("asked").exists());
    assert_eq!(scene.log().requests, Default::default());
}

#[test]
fn an_account_without_a_token_says_which_key_should_have_given_one() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let rows = [
        ("token_file = 'none'", 4, "/none"),
        (
            "token_command = 'true'",
            4,
            "accounts.lena.token_command printed none",
        ),
        (
            "token_command = 'exit 3'",
            4,
            "accounts.lena.token_command failed",
        ),
        ("token_env = 'TOKEN_OF_LENA'", 4, "TOKEN_OF_LENA is not set"),
        ("login = true", 4, "chunkferry login lena"),
    ];
    for (source, code, why) in rows {
        let config = format!("account = 'lena'\n[accounts.lena]\n{source}\n");
        let mut command = configured(&scene, &config, &["upload", "clip.mp4"]);
        let ended = command.end().expect(code);
        assert!(ended.stderr.contains(why), "{source}: {}", ended.stderr);
    }
    assert_eq!(scene.log().requests.init, 0);
}

/// The name of an account keeps its uploads apart, so a token of somebody else under that name is a draft in a wrong inbox.
#[test]
fn a_token_that_names_no_account_is_not_used_for_an_account_that_the_file_lists() {
    const LISTED: &str =
        "[accounts.lena]\ntoken_file = 'lena'\n[accounts.default]\ntoken_file = 'nobody'\n";
    const TOP: &str = "token_command = 'echo act.top.1'\n[accounts.lena]\ntoken_file = 'lena'\n";
    let variable = ("TIKTOK_ACCESS_TOKEN", "act.variable.1");
    let command_variable = ("CHUNKFERRY_TOKEN_COMMAND", "echo act.command.1");
    let flag: &[&str] = &["--token-file", "flag"];
    let lena: &[&str] = &["--account", "lena"];
    let mira: &[&str] = &["--account", "mira"];
    let lena_flag = &[lena, flag].concat()[..];
    type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a [&'a str], &'a str);
    let rows: [Row<'_>; 10] = [
        (LISTED, vec![variable], lena, "lena"),
        (LISTED, vec![variable], mira, "variable"),
        (LISTED, vec![variable], &[], "variable"),
        (LISTED, vec![], &[], "nobody"),
        (LISTED, vec![variable, command_variable], lena, "command"),
        (LISTED, vec![variable], lena_flag, "flag"),
        // A flag wins over the other option's variable.
        (LISTED, vec![command_variable], lena_flag, "flag"),
        (TOP, vec![], lena, "lena"),
        (TOP, vec![], mira, "top"),
        (TOP, vec![variable], mira, "variable"),
    ];
    for (config, env, args, whose) in rows {
        let scene = Scene::new(&[], &[]);
        scene.video("clip.mp4", 100_000);
        for name in ["lena", "nobody", "flag"] {
            write(&scene, name, &format!("act.{name}.1\n"));
        }
        let mut command = configured(&scene, config, &["upload", "clip.mp4"]);
        command.envs(env.clone()).args(args).end().expect(0);
        assert_eq!(creator(&scene), whose, "{env:?} {args:?}");
    }
}

#[test]
fn a_file_that_is_named_and_missing_is_an_error_and_one_in_the_usual_place_may_be_missing() {
    let scene = Scene::new(&[], &[]);
    let named = |ended: Ended| {
        let told = ended.expect(2).stderr;
        assert!(told.contains("none.toml cannot be read"), "{told}");
    };
    named(scene.command(["list", "--config", "none.toml"]).end());
    let mut list = scene.command(["list"]);
    named(list.env("CHUNKFERRY_CONFIG", "none.toml").end());
    for args in [&["list"][..], &["list", "--config", "/dev/null"]] {
        scene.command(args).end().expect(0);
    }
    // Whatever the path leads to is not waited for.
    let pipe = scene.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let told = scene.command(["list", "--config", "pipe"]).end().expect(2);
    assert!(told.stderr.contains("regular file"), "{}", told.stderr);
}

#[test]
fn the_file_in_the_usual_place_is_read_but_not_where_a_file_is_named() {
    let scene = Scene::new(&[], &[]);
    let json = |xdg: Option<&str>, args: &[&str]| {
        let mut plan = scene.command(["plan", "--size", "5MB"]);
        plan.args(args);
        plan.envs(xdg.map(|dir| ("XDG_CONFIG_HOME", scene.path(dir))));
        plan.end().expect(0).stdout.starts_with('{')
    };
    assert!(!json(None, &[]));
    write(&scene, ".config/chunkferry/config.toml", "json = true");
    assert!(json(None, &[]));
    assert!(!json(Some("xdg"), &[]));
    write(&scene, "xdg/chunkferry/config.toml", "json = true");
    assert!(json(Some("xdg"), &[]));
    assert!(!json(None, &["--config", "/dev/null"]));
}

#[test]
fn a_broken_file_is_in_the_way_of_no_help_and_of_no_command_that_has_no_use_for_it() {
    let scene = Scene::new(&[], &[]);
    let commands: [&[&str]; 6] = [
        &["--help"],
        &["upload", "--help"],
        &["--version"],
        &["completions", "bash"],
        &["man"],
        &["emulator", "--list-settings"],
    ];
    for args in commands {
        configured(&scene, "nothing = 1", args).end().expect(0);
    }
    // What the file sets and a subcommand has no use for is no error there, as it is on the command line.
    let config =
        "api_base = 'http://127.0.0.1:1'\nupload_host = 'x'\n[accounts.lena]\nlogin = true\n";
    configured(&scene, config, &["list"]).end().expect(0);
    scene
        .command(["list", "--api-base", "http://127.0.0.1:1"])
        .end()
        .expect(2);
}

#[test]
fn an_emulator_within_the_command_leaves_the_file_aside_and_that_is_said() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 100_000);
    let config = "state_dir = 'filed'\nca_file = 'none.pem'\n";
    let mut command = configured(&scene, config, &["upload", "clip.mp4", "--emulator"]);
    let ended = command.env_remove("CHUNKFERRY_API_BASE").end().expect(0);
    let path = scene.path("config.toml");
    let told = ended
        .stderr
        .lines()
        .filter(|line| line.contains(path.to_str().unwrap()));
    assert_eq!(told.count(), 1, "{}", ended.stderr);
    assert!(!scene.path("filed").exists());
    assert_eq!(scene.log().requests.init, 0);
}
