//! What a file's times prove, and what they do not: one version of it is posted, and a new video is never withheld.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::disk::Disk;
use crate::scene::{Scene, Start};
use crate::video;

const SIZE: u64 = 42_000_000;

/// Both lie behind the reader once more than half of the file is acknowledged.
const PLACES: [u64; 2] = [1_000_000, 16_000_000];

/// Writes in place and puts the time of modification back, as programs that "preserve dates" do.
fn edit_under_kept_time(file: &Path, places: &[u64]) {
    let file = File::options().write(true).open(file).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    for at in places {
        file.write_all_at(&[0xa5; 64], *at).unwrap();
    }
    file.set_modified(modified).unwrap();
}

#[test]
fn an_edit_whose_time_was_put_back_is_not_posted() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", SIZE);
        let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
        run.until_confirmed(20_000_000);
        edit_under_kept_time(&file, &PLACES);
        let ended = run.end().expect(3);
        assert_eq!(
            ended.outcome()["outcome"],
            "source_changed",
            "{}",
            disk.name
        );
        assert_eq!(scene.log().drafts, 0, "{}", disk.name);
    }
}

#[test]
fn an_edit_of_the_last_chunk_whose_time_was_put_back_is_not_posted() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", 6_000_000);
        let run = scene.upload(&file, &["--bwlimit", "2MB"]).start();
        let half = |put: &chunkferry::emulator::PutLog| put.bytes > 3_000_000;
        scene.sees("half of the file", |log| {
            log.sessions
                .iter()
                .any(|session| session.puts.iter().any(half))
        });
        edit_under_kept_time(&file, &PLACES[..1]);
        run.end().expect(3);
        assert_eq!(scene.log().drafts, 0, "{}", disk.name);
    }
}

#[test]
#[allow(unsafe_code)] // A mapping is what the test is about.
fn a_write_through_a_mapping_that_was_dirty_before_is_not_posted() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", SIZE);
        let open = File::options().read(true).write(true).open(&file).unwrap();
        // SAFETY: this test alone changes the file's length, and it does not.
        let mut map = unsafe { memmap2::MmapMut::map_mut(&open).unwrap() };
        for at in PLACES {
            map[at as usize] ^= 1;
        }
        let limited = ["--bwlimit", "20MB", "--allow-writer"];
        let mut run = scene.upload(&file, &limited).start();
        run.until_confirmed(20_000_000);
        for at in PLACES {
            map[at as usize] ^= 2;
        }
        let ended = run.end().expect(3);
        assert_eq!(
            ended.outcome()["outcome"],
            "source_changed",
            "{}",
            disk.name
        );
        assert_eq!(scene.log().drafts, 0, "{}", disk.name);
    }
}

#[test]
fn acts_that_change_no_byte_during_an_upload_cost_nothing() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", SIZE);
        let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
        run.until_confirmed(10_000_000);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        run.until_confirmed(20_000_000);
        let moved = disk.path().join("moved.mp4");
        fs::rename(&file, &moved).unwrap();
        run.until_confirmed(30_000_000);
        fs::hard_link(&moved, disk.path().join("link.mp4")).unwrap();
        let ended = run.end().expect(0);
        let (sent, again) = (
            &ended.outcome()["bytes_sent"],
            &ended.outcome()["bytes_resent"],
        );
        assert_eq!(
            (sent.as_u64(), again.as_u64()),
            (Some(SIZE), Some(0)),
            "{}",
            disk.name
        );
        assert_eq!(scene.log().inits, 1, "{}", disk.name);
        scene.assert_one_draft_of(&moved);
    }
}

#[test]
fn a_touch_during_the_last_chunk_is_no_change() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", 6_000_000);
        let run = scene.upload(&file, &["--bwlimit", "2MB"]).start();
        scene.sees("some of the file", |log| {
            log.sessions
                .iter()
                .any(|session| session.puts.iter().any(|put| put.bytes > 0))
        });
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let ended = run.end().expect(0);
        assert_eq!(ended.outcome()["bytes_sent"], 6_000_000, "{}", disk.name);
        scene.assert_one_draft_of(&file);
    }
}

/// Time runs so fast that no comparison ends while the service would wait for the last bytes.
#[test]
fn a_comparison_that_outlasts_the_patience_of_the_service_comes_before_the_last_chunk() {
    for disk in Disk::all() {
        let scene = Scene::new(&["limits=off"], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", 100_000_000);
        let mut command = scene.upload(&file, &["--bwlimit", "50MB"]);
        let run = command.env("CHUNKFERRY_CLOCK_SCALE", "200").start();
        scene.sees("some of the last chunk", |log| {
            let mut puts = log.sessions.iter().flat_map(|session| &session.puts);
            puts.any(|put| put.first > Some(94_000_000) && put.bytes > 0)
        });
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let ended = run.end().expect(0);
        let log = scene.log();
        assert_eq!(log.inits, 1, "{}", disk.name);
        let resent = ended.outcome()["bytes_resent"].as_u64().unwrap();
        assert!(resent > 0, "{}", disk.name);
        // At this pace of time the service also loses patience with a busy disk, so the last chunk may be sent more than twice.
        let puts = log.sessions.iter().flat_map(|session| &session.puts);
        let (before, last): (Vec<_>, Vec<_>) = puts
            .filter_map(|put| put.first)
            .partition(|first| *first <= 94_000_000);
        assert!(last.len() <= 6, "{}: {} times", disk.name, last.len());
        assert!(
            before.is_sorted_by(|one, next| one < next),
            "{}: chunks before the last were sent again: {before:?}",
            disk.name
        );
        scene.assert_one_draft_of(&file);
    }
}

#[test]
fn a_new_video_in_the_place_of_a_delivered_one_is_not_withheld() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", 12_000_000);
        scene.upload(&file, &[]).end().expect(0);
        edit_under_kept_time(&file, &PLACES[..1]);
        let ended = scene.upload(&file, &[]).end().expect(0);
        assert_eq!(ended.outcome()["outcome"], "delivered", "{}", disk.name);

        // Deleted and written anew: the file system may give the same inode at once.
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        fs::remove_file(&file).unwrap();
        video::write(&file, 12_000_000, 99);
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        let ended = scene.upload(&file, &[]).end().expect(0);
        assert_eq!(ended.outcome()["outcome"], "delivered", "{}", disk.name);
        assert_eq!(scene.log().drafts, 3, "{}", disk.name);
    }
}

#[test]
fn a_delivered_file_that_was_only_touched_is_recognised_by_its_bytes() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", 12_000_000);
        scene.upload(&file, &[]).end().expect(0);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let renamed = disk.path().join("renamed.mp4");
        fs::rename(&file, &renamed).unwrap();
        let ended = scene.upload(&renamed, &[]).end().expect(0);
        assert_eq!(
            ended.outcome()["outcome"],
            "already_delivered",
            "{}",
            disk.name
        );
        assert_eq!(scene.log().drafts, 1, "{}", disk.name);
    }
}

#[test]
fn without_a_ledger_only_a_person_can_tell_a_touched_file_from_a_new_one() {
    for disk in Disk::all() {
        let scene = Scene::new(&[], &[]);
        let file = scene.video_in(disk.path(), "clip.mp4", 6_000_000);
        scene.upload(&file, &["--no-ledger"]).end().expect(0);
        let again = scene.upload(&file, &["--no-ledger"]).end().expect(0);
        assert_eq!(
            again.outcome()["outcome"],
            "already_delivered",
            "{}",
            disk.name
        );
        // A change time of whole seconds must move.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let ended = scene.upload(&file, &["--no-ledger"]).end().expect(5);
        assert_eq!(ended.outcome()["outcome"], "unknown", "{}", disk.name);
        assert_eq!(scene.log().drafts, 1, "{}", disk.name);
    }
}

#[test]
fn without_a_ledger_an_upload_goes_on_after_a_harmless_act() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    let mut run = scene
        .upload(&file, &["--no-ledger", "--bwlimit", "20MB"])
        .start();
    run.until_confirmed(10_000_000);
    let mode = fs::Permissions::from_mode(0o640);
    fs::set_permissions(&file, mode.clone()).unwrap();
    run.until_confirmed(20_000_000);
    assert!(run.kill());
    let touched = Command::new("chmod")
        .arg("600")
        .arg(&file)
        .status()
        .unwrap();
    assert!(touched.success());
    scene.upload(&file, &["--no-ledger"]).end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

/// The service has the chunk as the killed run sent it, and only refuses it when it is sent once more.
#[cfg(debug_assertions)]
#[test]
fn a_chunk_that_an_earlier_run_sent_before_an_edit_is_not_counted_as_the_edited_one() {
    // After the body all of the edited chunk was sent, and its hash is known here.
    for refusal in ["put_refusal=early", "put_refusal=after_body"] {
        let scene = Scene::new(&["status_bytes=absent", refusal], &[]);
        let file = scene.video("clip.mp4", SIZE);
        let mut killed = scene.upload(&file, &[]);
        killed.env("CHUNKFERRY_KILL_POINT", "put answered 2");
        assert_eq!(killed.end().code, None, "killed");
        edit_under_kept_time(&file, &[7_000_000]);
        scene.upload(&file, &[]).end().expect(0);
        scene.assert_one_draft_of(&file);
    }
}
