//! A file that a program still writes is unfinished, whatever its bytes look like.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::disk::Disk;
use crate::scene::{Scene, Start};

/// A live WebM: what a recorder has written so far looks complete to everybody.
fn live_webm(scene: &Scene, name: &str) -> PathBuf {
    let path = scene.path(name);
    let mut file = File::create(&path).unwrap();
    file.write_all(b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm")
        .unwrap();
    let unknown_size = b"\x01\xff\xff\xff\xff\xff\xff\xff";
    file.write_all(b"\x18\x53\x80\x67").unwrap();
    file.write_all(unknown_size).unwrap();
    // A video track, and a cluster of blocks.
    file.write_all(b"\x16\x54\xae\x6b\x85\xae\x83\x83\x81\x01\x1f\x43\xb6\x75")
        .unwrap();
    file.write_all(unknown_size).unwrap();
    for _ in 0..1000 {
        file.write_all(b"\xa3\xe4").unwrap();
        file.write_all(&[9; 100]).unwrap();
    }
    path
}

#[test]
fn a_file_that_somebody_has_open_for_writing_is_not_posted() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", 1_000_000);
        let writer = File::options().append(true).open(&file).unwrap();
        let ended = scene.upload(&file, &[]).end().expect(75);
        let message = ended.message();
        let me = format!("(process {})", std::process::id());
        assert!(message.contains("still being written"), "{message}");
        assert!(
            message.contains(&me) && message.contains("--allow-writer"),
            "{message}"
        );
        assert_eq!(scene.log().inits, 0, "{}", disk.name);
        scene.upload(&file, &["--allow-writer"]).end().expect(0);
        drop(writer);
        assert_eq!(scene.log().drafts, 1, "{}", disk.name);
    }
}

#[test]
fn a_writer_that_comes_in_mid_upload_keeps_the_last_bytes_here() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 42_000_000);
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(20_000_000);
    let writer = File::options().append(true).open(&file).unwrap();
    run.end().expect(75);
    assert_eq!(scene.log().drafts, 0);
    drop(writer);
    scene.upload(&file, &[]).end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn an_unfinished_container_is_being_written_while_somebody_has_it_open_and_broken_afterwards() {
    let scene = Scene::new(&[], &[]);
    let file = scene.path("clip.mp4");
    let mut writer = File::create(&file).unwrap();
    writer
        .write_all(b"\0\0\0\x18ftypisom\0\0\x02\0isommp42\0\0\0\x10moov12345678\0\0\xff\0mdat.")
        .unwrap();
    scene.upload(&file, &[]).end().expect(75);
    drop(writer);
    scene.upload(&file, &[]).end().expect(3);
    assert_eq!(scene.log().inits, 0);
}

/// Leases are for a file's owner, so for another user only the file's end and age can show a writer.
#[test]
fn where_leases_do_not_tell_an_open_end_must_have_been_still_for_a_while() {
    let scene = Scene::new(&[], &[]);
    let nobody = 65534;
    let mut version = scene.command(["--version"]);
    version.current_dir("/").uid(nobody).gid(nobody);
    if !version.output().is_ok_and(|output| output.status.success()) {
        println!("NOT TESTED: another user needs root, and a build that all users can reach");
        return;
    }
    fs::create_dir(scene.state_dir()).unwrap();
    chown(scene.state_dir(), Some(nobody), Some(nobody)).unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(scene.path("."), open).unwrap();
    let upload = |name: &str, more: &[&str]| -> Command {
        let mut command = scene.upload(&scene.path(name), more);
        command.uid(nobody).gid(nobody);
        command
    };
    live_webm(&scene, "live.webm");
    let ended = upload("live.webm", &["--settle", "600"]).end().expect(75);
    assert!(ended.message().contains("600 s"), "{}", ended.message());
    assert_eq!(scene.log().inits, 0);
    // A closed container needs no rest, and an old enough open one neither.
    scene.video("closed.mp4", 1_000_000);
    upload("closed.mp4", &["--settle", "600"]).end().expect(0);
    upload("live.webm", &["--settle", "0"]).end().expect(0);
    assert_eq!(scene.log().drafts, 2);
}
