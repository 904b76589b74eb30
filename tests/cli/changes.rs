//! Never a mixed video: a completed upload holds one version of the file.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::scene::{Scene, Start};
use crate::{alter, video};

const SIZE: u64 = 42_000_000;

/// Sends more than half of a file and dies.
fn half_sent(scene: &Scene, file: &Path, more: &[&str]) {
    let mut run = scene
        .upload(file, &[&["--bwlimit", "30MB"], more].concat())
        .start();
    run.until_confirmed(SIZE / 2);
    assert!(run.kill());
    assert_eq!(scene.log().drafts, 0);
}

fn touch(file: &Path) {
    let later = SystemTime::now() + Duration::from_secs(5);
    OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_modified(later)
        .unwrap();
}

#[test]
fn an_edit_of_what_was_sent_is_told_and_the_next_run_sends_the_file_as_it_is() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    half_sent(&scene, &file, &[]);
    alter::edit(&file, 7_000_000);

    let ended = scene.upload(&file, &[]).end().expect(3);
    assert_eq!(ended.outcome()["outcome"], "source_changed");
    let message = ended.message();
    assert!(
        message.contains("chunk 2 differs") && message.contains("Nothing was posted"),
        "{message}"
    );
    assert_eq!(scene.log().drafts, 0);

    scene.upload(&file, &[]).end().expect(0);
    scene.assert_one_draft_of(&file);
}

#[test]
fn an_edit_that_hides_its_time_is_still_found_before_the_last_bytes_leave() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    half_sent(&scene, &file, &[]);
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    alter::edit(&file, 100);
    File::open(&file).unwrap().set_modified(modified).unwrap();

    let ended = scene.upload(&file, &[]).end().expect(3);
    assert!(
        ended.message().contains("chunk 1 differs"),
        "{}",
        ended.message()
    );
    assert_eq!(scene.log().drafts, 0);
}

#[test]
fn without_a_ledger_any_touch_counts_as_a_change() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    half_sent(&scene, &file, &["--no-ledger"]);
    touch(&file);
    let ended = scene.upload(&file, &["--no-ledger"]).end().expect(3);
    assert_eq!(ended.outcome()["outcome"], "source_changed");
    assert_eq!(scene.log().drafts, 0);
}

#[test]
fn a_touched_file_carries_on() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    half_sent(&scene, &file, &[]);
    touch(&file);
    scene.upload(&file, &[]).end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_copy_of_a_half_sent_file_carries_on() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    half_sent(&scene, &file, &[]);
    let copy = scene.path("copy.mp4");
    fs::copy(&file, &copy).unwrap();
    fs::remove_file(&file).unwrap();
    let ended = scene.upload(&copy, &[]).end().expect(0);
    assert!(ended.outcome()["bytes_sent"].as_u64().unwrap() < SIZE / 2 + 1);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&copy);
}

#[test]
fn a_file_that_is_cut_short_while_it_is_sent_ends_in_words_and_no_draft() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(10_000_000);
    OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(20_000_000)
        .unwrap();
    let ended = run.end().expect(3);
    assert_eq!(ended.outcome()["outcome"], "source_changed");
    assert!(ended.message().contains("shorter"), "{}", ended.message());
    assert_eq!(scene.log().drafts, 0);
}

#[test]
fn a_file_that_is_edited_behind_the_reader_is_not_posted() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(15_000_000);
    alter::edit(&file, 1_000_000);
    let ended = run.end().expect(3);
    assert!(
        ended.message().contains("chunk 1 differs"),
        "{}",
        ended.message()
    );
    assert_eq!(scene.log().drafts, 0);
}

#[test]
fn an_edit_during_the_last_chunk_of_a_whole_file_upload_is_not_posted() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let mut command = scene.command([
        "upload",
        "--json",
        "--chunk-size",
        "32MB",
        "--bwlimit",
        "15MB",
        "clip.mp4",
    ]);
    let run = command.start();
    let half = |put: &chunkferry::emulator::PutLog| put.bytes > 10_000_000;
    scene.sees("half of the file", |log| {
        log.sessions
            .iter()
            .any(|session| session.puts.iter().any(half))
    });
    alter::edit(&file, 1_000_000);
    let ended = run.end().expect(3);
    assert_eq!(ended.outcome()["outcome"], "source_changed");
    let log = scene.log();
    assert_eq!((log.inits, log.drafts), (1, 0));
    assert_eq!(log.sessions[0].total_chunk_count, Some(1));
}

#[test]
fn another_file_put_in_its_place_while_it_is_sent_does_not_mix_in() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    let wanted = video::sha256(&file);
    let other = scene.video("other.mp4", SIZE);
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(15_000_000);
    fs::rename(&other, &file).unwrap();
    let ended = run.end().expect(0);
    assert_eq!(ended.outcome()["sha256"], *wanted);
    assert_eq!(scene.log().sessions[0].sha256, Some(wanted));
}
