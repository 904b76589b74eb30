//! Looking at the journal, above all when something is wrong.

use std::fs;

use crate::mount::Mount;
use crate::scene::{Scene, Start};
use crate::serve::{Service, wish};

#[test]
fn a_list_of_an_account_has_its_uploads_alone_and_says_if_there_is_no_such_account() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    for name in ["lena", "p3"] {
        let mut upload = scene.command(["upload", "clip.mp4", "--account", name]);
        upload
            .env("TIKTOK_ACCESS_TOKEN", format!("act.{name}.1"))
            .end()
            .expect(0);
    }
    let of = |name: &str| scene.command(["list", "--account", name]).end().expect(0);
    assert_eq!(
        scene
            .command(["list"])
            .end()
            .expect(0)
            .stdout
            .lines()
            .count(),
        2
    );
    let lena = of("lena");
    assert_eq!(lena.stdout.lines().count(), 1, "{lena:?}");
    assert!(
        lena.stdout.contains(", lena,") && !lena.stdout.contains(", p3,"),
        "{lena:?}"
    );
    let nobody = of("nobody");
    assert_eq!(nobody.stdout, "");
    for word in ["nobody", "lena", "p3"] {
        assert!(nobody.stderr.contains(word), "{}", nobody.stderr);
    }
}

#[test]
fn status_and_forget_of_a_path_are_about_the_account_that_is_named() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    for name in ["lena", "p3"] {
        let mut upload = scene.command(["upload", "clip.mp4", "--account", name]);
        upload
            .env("TIKTOK_ACCESS_TOKEN", format!("act.{name}.1"))
            .end()
            .expect(0);
    }
    let sessions = scene.log().sessions;
    let id = |name: &str| {
        let of = sessions.iter().find(|session| session.creator == name);
        of.unwrap().publish_id.clone()
    };
    for name in ["p3", "lena"] {
        let mut status = scene.command(["status", "clip.mp4", "--account", name]);
        let ended = status
            .env("TIKTOK_ACCESS_TOKEN", format!("act.{name}.1"))
            .end()
            .expect(0);
        assert!(
            ended.stdout.starts_with(&id(name)),
            "{name}: {}",
            ended.stdout
        );
    }
    // The account of the environment decides where several would do.
    let ended = scene.command(["status", "clip.mp4"]).end().expect(0);
    assert!(ended.stdout.starts_with(&id("lena")), "{}", ended.stdout);
    let ended = scene
        .command(["status", "clip.mp4", "--account", "nobody"])
        .end()
        .expect(2);
    assert!(ended.stderr.contains("nobody"), "{}", ended.stderr);
    // What only another account has is found without its name.
    let mut p3 = scene.command(["status", &id("p3")]);
    p3.env("TIKTOK_ACCESS_TOKEN", "act.p3.1").end().expect(0);
    scene
        .command(["forget", "clip.mp4", "--account", "p3"])
        .end()
        .expect(0);
    // "p3" alone may also be part of the random name of the folder.
    let list = scene.command(["list"]).end().expect(0).stdout;
    assert!(
        list.contains(", lena,") && !list.contains(", p3,"),
        "{list}"
    );
}

#[test]
fn an_upload_that_never_began_is_listed_with_its_way_out_and_can_be_forgotten() {
    let scene = Scene::new(&[], &["inbox_init code=scope_not_authorized"]);
    let file = scene.video("clip.mp4", 1_000_000);
    scene.command(["upload", "clip.mp4"]).end().expect(4);
    let list = scene.command(["list"]).end().expect(0).stdout;
    assert!(
        list.contains("queued") && !list.contains("forget"),
        "{list}"
    );
    fs::remove_file(&file).unwrap();
    let list = scene.command(["list"]).end().expect(0).stdout;
    assert!(
        list.contains("queued") && list.contains("is gone") && list.contains("forget"),
        "{list}"
    );
    scene.command(["forget", "clip.mp4"]).end().expect(0);
    assert_eq!(scene.command(["list"]).end().expect(0).stdout, "");
}

/// What a list names, by the names of the files, in the order of the alphabet.
fn listed(scene: &Scene, filter: &[&str]) -> Vec<String> {
    let list = |more: &[&str]| {
        let mut command = scene.command(["list"]);
        command.args(filter).args(more).end().expect(0)
    };
    let mut names: Vec<String> = Vec::new();
    let (table, json) = (list(&[]), list(&["--json"]));
    for line in json.stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = line["file"]
            .as_str()
            .or_else(|| line["job"]["source"].as_str());
        let name = path.unwrap().rsplit('/').next().unwrap();
        assert!(table.stdout.contains(name), "{filter:?} {name}: {table:?}");
        names.push(name.to_owned());
    }
    let rows = table.stdout.lines().filter(|line| !line.starts_with(' '));
    assert_eq!(rows.count(), names.len(), "{filter:?}: {table:?}");
    names.sort();
    names
}

/// Three uploads of two accounts: delivered, queued, and failed.
fn three(scene: &Scene) {
    for (name, account, code) in [("one", "lena", 0), ("two", "lena", 4), ("six", "mia", 1)] {
        if code == 1 {
            let reason = "file_format_check_failed";
            scene.emulator.set("fail_reason", reason).unwrap();
            scene.emulator.set("final_status", "FAILED").unwrap();
        }
        scene.video(&format!("{name}.mp4"), 1_000_000);
        let mut upload = scene.command(["upload", "--account", account]);
        upload
            .arg(format!("{name}.mp4"))
            .env("TIKTOK_ACCESS_TOKEN", format!("act.{account}.1"))
            .end()
            .expect(code);
    }
}

const THREE: [&str; 1] = ["inbox_init nth=2 code=scope_not_authorized"];

#[test]
fn a_list_of_a_state_or_since_a_time_has_what_fits_alone_and_a_state_that_is_none_is_refused() {
    let scene = Scene::new(&[], &THREE);
    three(&scene);
    let rows: [(&[&str], &[&str]); 11] = [
        (&[], &["one.mp4", "six.mp4", "two.mp4"]),
        (&["--state", "open"], &["two.mp4"]),
        (&["--state", "queued"], &["two.mp4"]),
        (&["--state", "delivered"], &["one.mp4"]),
        (&["--state", "failed"], &["six.mp4"]),
        (&["--state", "failed", "--account", "lena"], &[]),
        (&["--state", "unknown"], &[]),
        (
            &["--account", "lena", "--since", "2d"],
            &["one.mp4", "two.mp4"],
        ),
        (
            &["--since", "2020-01-01T00:00:00Z", "--state", "failed"],
            &["six.mp4"],
        ),
        (&["--since", "2999-01-01T00:00:00Z"], &[]),
        (&["--since", "0s"], &[]),
    ];
    for (filter, names) in rows {
        assert_eq!(listed(&scene, filter), names, "{filter:?}");
    }
    let ended = scene
        .command(["list", "--state", "unknown"])
        .end()
        .expect(0);
    assert!(
        ended.stderr.contains("None of 3 uploads"),
        "{}",
        ended.stderr
    );
    for (option, value, word) in [
        ("--state", "deliverd", "delivered"),
        ("--state", "opened", "open"),
        ("--state", "\u{1b}[2Jfailed", "failed"),
        ("--since", "yesterday", "12h"),
        ("--since", "", "12h"),
    ] {
        let ended = scene.command(["list", option, value]).end().expect(2);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains(option), "{}", ended.stderr);
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
        assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    }
}

#[test]
fn a_list_beside_a_service_has_the_uploads_and_the_jobs_that_fit_alone() {
    let scene = Scene::new(&[], &THREE);
    three(&scene);
    let service = Service::start(&scene, &[]);
    service.call("POST /v1/queue/pause").expect(200);
    let video = scene.video("ten.mp4", 1_000_000);
    service.post(None, &wish(&video, "noa")).expect(202);
    let rows: [(&[&str], &[&str]); 9] = [
        (&[], &["one.mp4", "six.mp4", "ten.mp4", "two.mp4"]),
        (&["--state", "open"], &["ten.mp4", "two.mp4"]),
        (&["--state", "queued"], &["ten.mp4", "two.mp4"]),
        (&["--state", "queued", "--account", "noa"], &["ten.mp4"]),
        (&["--state", "running"], &[]),
        (&["--state", "failed"], &["six.mp4"]),
        (&["--state", "failed", "--account", "noa"], &[]),
        (&["--since", "1h", "--account", "noa"], &["ten.mp4"]),
        (&["--since", "2999-01-01T00:00:00Z"], &[]),
    ];
    for (filter, names) in rows {
        assert_eq!(listed(&scene, filter), names, "{filter:?}");
    }
}

#[test]
fn the_history_is_json_line_by_line_after_forgetting_too() {
    let scene = Scene::new(&[], &[]);
    scene.video("one.mp4", 100_000);
    scene.video("two.mp4", 100_001);
    scene
        .command(["upload", "one.mp4", "two.mp4"])
        .end()
        .expect(0);
    scene.command(["forget", "one.mp4"]).end().expect(0);
    let history = fs::read_to_string(scene.state_dir().join("history.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 2);
    for line in history.lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|error| panic!("{error}: {line:?}"));
    }
}

#[test]
fn a_full_or_read_only_state_disk_can_be_looked_at() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 12_000_000);
    let Some(mount) = Mount::new(scene.path("small"), "8M") else {
        return;
    };
    let command = |args: &[&str]| {
        let mut command = scene.command(args);
        command.env("CHUNKFERRY_STATE_DIR", mount.path().join("state"));
        command
    };
    command(&["upload", "clip.mp4"]).end().expect(0);
    let publish_id = scene.log().sessions[0].publish_id.clone();
    let look = |how: &str| {
        for args in [&["list"][..], &["list", "--json"], &["status", "clip.mp4"]] {
            let ended = command(args).end().expect(0);
            assert!(
                ended.stdout.contains(&publish_id),
                "{how}: {args:?}: {ended:?}"
            );
            assert_eq!(ended.stderr, "", "{how}: {args:?}");
        }
    };
    mount.remount("ro");
    look("read only");
    mount.remount("rw");
    let mut filler = fs::File::create(mount.path().join("filler")).unwrap();
    let full = std::io::copy(&mut std::io::repeat(0), &mut filler);
    assert!(full.is_err());
    look("full");
    let ended = command(&["upload", "--again", "clip.mp4"]).end();
    assert_eq!(ended.code, Some(75), "{ended:?}");
}
