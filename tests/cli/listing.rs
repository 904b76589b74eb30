//! Looking at the journal, above all when something is wrong.

use std::fs;

use crate::mount::Mount;
use crate::scene::{Scene, Start};

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
