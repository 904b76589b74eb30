//! The state directory is damaged, full, foreign or read-only: a clear end, and never a second draft.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::alter;
use crate::mount::{Mount, is_root};
use crate::scene::{CHUNK, Scene, Start};

/// Ends a run of `file` when its last bytes are on their way and TikTok works on it.
fn killed_while_processing(scene: &Scene, file: &Path) {
    let mut run = scene.upload(file, &[]).start();
    run.until("everything was accepted", |line| {
        line["event"] == "processing"
    });
    assert!(run.kill());
}

/// The states that `list` shows.
fn states(scene: &Scene) -> Vec<String> {
    let list = scene.command(["list", "--json"]).end().expect(0);
    let lines = list
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines
        .map(|line: serde_json::Value| line["state"].as_str().unwrap().to_owned())
        .collect()
}

/// Spoils the database so that it cannot be read any more.
fn spoil(scene: &Scene) {
    fs::write(scene.state_dir().join("journal/db"), b"not a database").unwrap();
}

fn aside(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.state_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.to_string_lossy().contains("journal.damaged-"))
        .collect()
}

#[test]
fn a_history_that_was_thrown_away_makes_no_second_draft_unless_a_person_says_so() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    scene.upload(&file, &[]).end().expect(0);
    let before = scene.log().requests;
    fs::remove_file(scene.state_dir().join("history.jsonl")).unwrap();

    let ended = scene.upload(&file, &[]).end().expect(5);
    let told = ended.message();
    assert!(
        told.contains("have changed or are missing") && told.contains("forget"),
        "{told}"
    );
    assert!(
        ended.stderr.contains("no longer tells how these ended"),
        "{}",
        ended.stderr
    );
    assert_eq!(scene.log().requests, before);
    let other = scene.video("other.mp4", 12_000_001);
    scene.upload(&other, &[]).end().expect(0);
    assert_eq!(states(&scene), ["unknown", "delivered"]);
    let list = scene.command(["list"]).end().expect(0).stdout;
    let hint = list.lines().nth(1).unwrap();
    assert!(
        hint.contains("look into") && !hint.contains("1970"),
        "{list}"
    );

    scene.upload(&file, &["--again"]).end().expect(0);
    let outcome = scene.upload(&file, &[]).end().expect(0).outcome();
    assert_eq!(outcome["outcome"], "already_delivered");
    let id = list.split_whitespace().next().unwrap();
    scene.command(["forget", id]).end().expect(0);
    assert_eq!(states(&scene), ["delivered", "delivered"]);
    assert_eq!(scene.log().sessions.len(), 3);
}

#[test]
fn a_damaged_journal_makes_no_second_draft_of_what_may_be_complete() {
    let scene = Scene::new(&["processing_time=1h"], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let other = scene.video("begun.mp4", 30_000_000);
    killed_while_processing(&scene, &file);
    let mut run = scene.upload(&other, &["--bwlimit", "10MB"]).start();
    run.until_confirmed(10_000_000);
    assert!(run.kill());
    let before = scene.log().requests;
    spoil(&scene);

    let ended = scene.upload(&file, &[]).end().expect(5);
    let outcome = ended.outcome();
    let publish_id = scene.log().sessions[0].publish_id.clone();
    assert_eq!(outcome["outcome"], "unknown");
    assert!(ended.message().contains(&publish_id), "{outcome}");
    assert_eq!(
        (scene.log().requests.init, scene.log().requests.put),
        (before.init, before.put)
    );
    // What was found and done is said, with the files it concerns.
    let told = &ended.stderr;
    let (anew, complete) = told.split_once("may be complete").expect("told");
    assert!(
        anew.contains("begun.mp4") && complete.contains("clip.mp4"),
        "{told}"
    );
    assert_eq!(aside(&scene).len(), 1, "nothing is thrown away");
    assert_eq!(states(&scene), ["unknown"]);

    // Parked for every later run and every copy, until the user decides.
    let copy = scene.path("copy.mp4");
    fs::copy(&file, &copy).unwrap();
    scene.upload(&copy, &[]).end().expect(5);
    assert_eq!(scene.log().requests.init, before.init);
    scene.emulator.set("processing_time", "0s").unwrap();
    scene.upload(&copy, &["--again"]).end().expect(0);
    assert_eq!(scene.log().requests.init, before.init + 1);
    // What was only begun starts anew.
    scene.upload(&other, &[]).end().expect(0);
}

#[test]
fn an_outcome_that_was_unknown_is_asked_for_and_told_when_the_service_knows() {
    let scene = Scene::new(&["processing_time=1h"], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    killed_while_processing(&scene, &file);
    spoil(&scene);
    scene.upload(&file, &[]).end().expect(5);
    scene.emulator.advance(Duration::from_secs(3600));
    let ended = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    assert_eq!(states(&scene), ["delivered"]);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_forgotten_unknown_is_new() {
    let scene = Scene::new(&["processing_time=1h"], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    killed_while_processing(&scene, &file);
    spoil(&scene);
    scene.upload(&file, &[]).end().expect(5);
    scene.command(["forget", "clip.mp4"]).end().expect(0);
    scene.emulator.set("processing_time", "0s").unwrap();
    let ended = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
}

#[test]
fn a_lost_database_forgets_nothing_that_was_delivered() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    scene.upload(&file, &[]).end().expect(0);
    let journal = scene.state_dir().join("journal");
    for lose in [
        &(|| fs::remove_dir_all(&journal).unwrap()) as &dyn Fn(),
        &|| spoil(&scene),
        &|| fs::remove_file(journal.join("conf")).unwrap(),
        &|| fs::write(journal.join("conf"), b"segment_size: 7").unwrap(),
        &|| {
            for entry in fs::read_dir(&journal).unwrap() {
                let path = entry.unwrap().path();
                if path.to_string_lossy().contains("snap.") {
                    fs::remove_file(path).unwrap();
                }
            }
        },
    ] {
        lose();
        let ended = scene.upload(&file, &[]).end().expect(0);
        assert_eq!(ended.outcome()["outcome"], "already_delivered");
        assert_eq!(scene.log().requests.init, 1);
    }
}

#[test]
fn a_sealed_upload_whose_file_changed_is_an_unknown_outcome_in_the_list() {
    let scene = Scene::new(&["receive_rate=1MB"], &[]);
    // The new file has another size, or other bytes.
    for (name, cut) in [("one.mp4", true), ("two.mp4", false)] {
        let file = scene.video(name, 6_000_000);
        let run = scene.upload(&file, &[]).start();
        scene.sees("a seal", |_| states(&scene).contains(&"sealed".to_owned()));
        assert!(run.kill());
        if cut {
            scene.video(name, 5_999_000);
        } else {
            alter::edit(&file, 1_000_000);
        }
        scene.emulator.set("receive_rate", "off").unwrap();
        let ended = scene.upload(&file, &[]).end().expect(0);
        assert_eq!(
            ended.outcome()["outcome"],
            "delivered",
            "other bytes, another video"
        );
        let mut states = states(&scene);
        states.sort();
        assert_eq!(states, ["delivered", "unknown"], "{name}");
        fs::remove_dir_all(scene.state_dir()).unwrap();
        scene.emulator.set("receive_rate", "1MB").unwrap();
    }
}

#[test]
fn a_full_disk_stops_it_and_room_again_lets_it_carry_on() {
    let scene = Scene::new(&[], &[]);
    let Some(mount) = Mount::new(scene.path("small"), "2m") else {
        return;
    };
    let file = scene.video("clip.mp4", 40_000_000);
    let in_mount = |more: &[&str]| {
        let mut command = scene.upload(&file, more);
        command.env("CHUNKFERRY_STATE_DIR", mount.path().join("state"));
        command
    };
    let ballast = mount.path().join("ballast");
    let fill = |keep: usize| {
        fs::write(&ballast, []).unwrap();
        let mut room = 4 << 20;
        while room > 4096 {
            let len = fs::metadata(&ballast).unwrap().len() as usize;
            if fs::write(&ballast, vec![0; len + room]).is_err() {
                fs::write(&ballast, vec![0; len]).unwrap();
                room /= 2;
            }
        }
        let len = fs::metadata(&ballast).unwrap().len() as usize;
        fs::write(&ballast, vec![0; len.saturating_sub(keep)]).unwrap();
    };
    // Full before it begins, where nothing is asked for; and with a little room.
    for keep in [0, 20_000] {
        fill(keep);
        let ended = in_mount(&[]).end().expect(75);
        let message = ended.message();
        assert!(
            message.contains("No space left") && message.contains("nothing is sent"),
            "{message}"
        );
        assert!(keep > 0 || scene.log().requests.init == 0);
        assert_eq!(scene.log().drafts, 0);
        fs::remove_file(&ballast).unwrap();
    }
    // In the middle: what counts is on disk, and nothing that depends on more leaves.
    let mut run = in_mount(&["--bwlimit", "20MB"]).start();
    run.until_confirmed(10_000_000);
    fill(0);
    let ended = run.end().expect(75);
    assert!(
        ended.message().contains("No space left"),
        "{}",
        ended.message()
    );
    let log = scene.log();
    let sent = log.sessions.last().unwrap().received;
    assert_eq!(log.drafts, 0);
    in_mount(&[]).end().expect(75);
    fs::remove_file(&ballast).unwrap();
    let ended = in_mount(&[]).end().expect(0);
    assert!(ended.outcome()["bytes_sent"].as_u64().unwrap() <= 40_000_000 - sent + 2 * CHUNK);
    assert_eq!(scene.log().inits, log.inits, "the session is carried on");
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_told_and_nothing_is_sent() {
    let scene = Scene::new(&[], &[]);
    let Some(mount) = Mount::new(scene.path("ro"), "8m") else {
        return;
    };
    let file = scene.video("clip.mp4", 1_000_000);
    let in_mount = |below: &str| {
        let mut command = scene.upload(&file, &[]);
        command.env("CHUNKFERRY_STATE_DIR", mount.path().join(below));
        command
    };
    in_mount("used").end().expect(0);
    mount.remount("ro");
    for below in ["used", "new"] {
        let ended = in_mount(below).end().expect(75);
        assert!(ended.message().contains("Read-only"), "{}", ended.message());
    }
    assert_eq!(scene.log().inits, 1);
    mount.remount("rw");
    let ended = in_mount("used").end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    // A file where the directory should be.
    fs::write(mount.path().join("file"), "").unwrap();
    in_mount("file").end().expect(2);
}

#[test]
fn a_state_directory_of_somebody_else_is_told_and_nothing_is_sent() {
    if !is_root() {
        eprintln!("skipped: only root can give files to somebody else");
        return;
    }
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    scene.upload(&file, &[]).end().expect(0);
    let before = scene.log().requests;
    fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |readable: bool| {
        for path in [
            "",
            "lock",
            "history.jsonl",
            "status.json",
            "journal",
            "journal/db",
            "journal/conf",
        ] {
            let path = scene.state_dir().join(path);
            let open = if path.is_dir() { 0o755 } else { 0o666 };
            let shut = if path.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(
                &path,
                fs::Permissions::from_mode(if readable { open } else { shut }),
            )
            .unwrap();
        }
        scene.as_nobody(&scene.upload(&file, &[])).end()
    };
    for readable in [false, true] {
        let ended = as_nobody(readable).expect(75);
        let message = ended.message();
        assert!(
            message.contains("journal cannot be used") && message.contains("ermi"),
            "{message}"
        );
        assert_eq!(scene.log().requests, before);
    }
    assert!(aside(&scene).is_empty(), "what is not ours is left alone");
    chown(scene.state_dir(), Some(0), Some(0)).unwrap();
    let ended = scene.upload(&file, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
}

#[test]
fn a_state_directory_that_everybody_can_write_to_is_refused_and_a_shared_one_is_told() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    fs::create_dir(scene.state_dir()).unwrap();
    let mode = |mode| fs::set_permissions(scene.state_dir(), fs::Permissions::from_mode(mode));
    mode(0o777).unwrap();
    let ended = scene.upload(&file, &[]).end().expect(2);
    assert!(ended.message().contains("everybody"), "{}", ended.message());
    assert_eq!(scene.log().requests.init, 0);
    assert_eq!(fs::read_dir(scene.state_dir()).unwrap().count(), 0);
    mode(0o770).unwrap();
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(0);
    assert!(ended.stderr.contains("group"), "{}", ended.stderr);
    scene.assert_one_draft_of(&file);
}
