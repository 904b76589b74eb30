//! Files that are none, or do not stay what they are: a clear end before any request, or the video that it was.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::mount::{Mount, is_root};
use crate::scene::{Scene, Start};
use crate::video;

#[test]
fn what_a_name_leads_to_decides() {
    let scene = Scene::new(&[], &[]);
    symlink("loop.mp4", scene.path("loop.mp4")).unwrap();
    symlink("nowhere.mp4", scene.path("dangling.mp4")).unwrap();
    symlink("/dev/zero", scene.path("zero.mp4")).unwrap();
    let _socket = UnixListener::bind(scene.path("socket.mp4")).unwrap();
    let long = "x".repeat(300) + ".mp4";
    for (name, text) in [
        ("loop.mp4", "symbolic links"),
        ("dangling.mp4", "No such file"),
        ("zero.mp4", "not a regular file"),
        ("socket.mp4", "not a regular file"),
        (&long, "too long"),
        ("", "required"),
    ] {
        let ended = scene.command(["upload", "--json", name]).end();
        assert!(matches!(ended.code, Some(2 | 3)), "{name}: {ended:?}");
        assert!(
            ended.message().contains(text),
            "{name}: {}",
            ended.message()
        );
    }
    assert_eq!(scene.log().requests.init, 0);

    let file = scene.video("clip.mp4", 1_000_000);
    symlink("clip.mp4", scene.path("link.mp4")).unwrap();
    let ended = scene.upload(&scene.path("link.mp4"), &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    let ended = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
}

#[test]
fn a_file_that_may_not_be_read_is_told() {
    if !is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let scene = Scene::new(&[], &[]);
    let file = scene.video("secret.mp4", 100_000);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let ended = scene.as_nobody(&scene.upload(&file, &[])).end().expect(3);
    assert!(
        ended.message().contains("Permission denied"),
        "{}",
        ended.message()
    );
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn a_file_that_grows_while_it_is_sent_is_not_posted_as_what_it_was() {
    for kill in [false, true] {
        let scene = Scene::new(&[], &[]);
        let file = scene.video("clip.mp4", 30_000_000);
        let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
        run.until_confirmed(10_000_000);
        if kill {
            assert!(run.kill());
            grow(&file);
            run = scene.upload(&file, &[]).start();
        } else {
            grow(&file);
        }
        let ended = run.end().expect(3);
        assert_eq!(ended.outcome()["outcome"], "source_changed");
        assert!(ended.message().contains("its size"), "{}", ended.message());
        assert_eq!(scene.log().drafts, 0);
        scene
            .upload(&file, &["--content-type", "video/mp4"])
            .end()
            .expect(0);
        scene.assert_one_draft_of(&file);
    }
}

fn grow(file: &Path) {
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(&[0; 5_000]).unwrap();
}

#[test]
fn a_file_system_that_goes_away_costs_nothing_that_was_sent() {
    let scene = Scene::new(&[], &[]);
    let Some(mount) = Mount::new(scene.path("videos"), "64m") else {
        return;
    };
    let file = mount.path().join("clip.mp4");
    video::write(&file, 30_000_000, 7);
    let spare = scene.path("spare.mp4");
    fs::copy(&file, &spare).unwrap();
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(10_000_000);
    assert!(run.kill());
    drop(mount);

    let ended = scene.upload(&file, &[]).end().expect(3);
    assert!(
        ended.message().contains("cannot be read"),
        "{}",
        ended.message()
    );
    // It comes back as another device, with the same bytes; goes away while they are sent; and is read to its end.
    fs::remove_dir(scene.path("videos")).unwrap();
    let Some(mount) = Mount::new(scene.path("videos"), "64m") else {
        return;
    };
    fs::copy(&spare, &file).unwrap();
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(20_000_000);
    let gone = Command::new("umount").arg("-l").arg(mount.path()).status();
    assert!(gone.unwrap().success());
    run.end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&spare);
}
