//! Files of another machine (NFS, SMB, FUSE): handles go stale, inode numbers change, times are coarse, and bytes decide.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fuse::{Fuse, Manner, with_file};
use crate::scene::{CHUNK, Ended, Scene, Start, accepted};

const SIZE: u64 = 30_000_000;

/// Two videos of one size, and a mounted directory that has the first one as clip.mp4.
struct Share {
    scene: Scene,
    fuse: Fuse,
    first: PathBuf,
    second: PathBuf,
}

impl Share {
    fn new(manner: Manner) -> Option<Self> {
        let scene = Scene::new(&[], &[]);
        let first = scene.video("first.mp4", SIZE);
        // The same to the end of its first chunk but one, and at its end: only the bytes between show which one it is.
        let mut bytes = fs::read(&first).unwrap();
        bytes[2_000_000] ^= 1;
        bytes[20_000_000] ^= 1;
        let second = scene.path("second.mp4");
        fs::write(&second, bytes).unwrap();
        let fuse = with_file(scene.path("share"), "clip.mp4", &first, manner)?;
        Some(Self {
            scene,
            fuse,
            first,
            second,
        })
    }

    fn upload(&self, more: &[&str]) -> std::process::Command {
        self.scene.upload(&self.fuse.path("clip.mp4"), more)
    }

    /// Puts the second video in the place of the first, with the same times.
    fn replace(&self) {
        let bytes = fs::read(&self.second).unwrap();
        let mut manner = self.fuse.manner();
        manner.files.insert("clip.mp4".to_owned(), bytes);
    }

    #[track_caller]
    fn assert_each_chunk_counted_once(&self, file: &Path) {
        let session = self.scene.assert_one_draft_of(file);
        let mut firsts = accepted(&session.puts);
        let all = firsts.len();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), all, "{firsts:?}");
        assert_eq!(self.scene.log().inits, 1);
    }
}

/// What file systems of other machines say of a file that nobody changes.
fn manners() -> Vec<Manner> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let coarse = |modified| Manner {
        moves_inodes: true,
        modified,
        changed: Some(modified),
        ..Manner::default()
    };
    vec![
        coarse(1_700_000_000),
        // Two seconds young, and in the future, as the clock of the other machine may have it.
        coarse(now & !1),
        coarse(now + 3600),
        // No time of change at all.
        Manner {
            moves_inodes: true,
            is_cached: true,
            ..Manner::default()
        },
    ]
}

#[test]
fn other_inode_numbers_and_coarse_times_over_a_kill_cost_no_acknowledged_byte_and_no_second_draft()
{
    for manner in manners() {
        let Some(share) = Share::new(manner) else {
            return;
        };
        let mut run = share.upload(&["--bwlimit", "20MB"]).start();
        run.until_confirmed(2 * CHUNK);
        assert!(run.kill());
        share.upload(&[]).end().expect(0);
        share.assert_each_chunk_counted_once(&share.first);
        let ended = share.upload(&[]).end().expect(0);
        assert_eq!(ended.outcome()["outcome"], "already_delivered");
        assert_eq!(share.scene.log().inits, 1);
    }
}

#[test]
fn a_handle_that_goes_stale_in_mid_upload_is_temporary_and_the_same_command_carries_on() {
    for error in [
        libc::ESTALE,
        libc::EIO,
        libc::ETIMEDOUT,
        libc::ENOTCONN,
        libc::EHOSTDOWN,
    ] {
        let Some(share) = Share::new(Manner::default()) else {
            return;
        };
        let mut run = share.upload(&["--bwlimit", "20MB"]).start();
        run.until_confirmed(CHUNK);
        share.fuse.manner().error = Some((0, error));
        let ended = run.end();
        assert_eq!(ended.code, Some(75), "{error}: {ended:?}");
        let told = ended.message();
        assert!(
            told.contains("clip.mp4 cannot be read now"),
            "{error}: {told}"
        );
        // While it lasts, the same command ends in the same way.
        share.upload(&[]).end().expect(75);
        assert_eq!(share.scene.log().drafts, 0);
        share.fuse.manner().error = None;
        share.upload(&[]).end().expect(0);
        share.assert_each_chunk_counted_once(&share.first);
    }
}

#[test]
fn another_file_of_the_same_size_and_times_is_found_by_its_bytes_and_nothing_is_posted() {
    for (is_cached, kill, mode) in [
        (false, false, "read"),
        (true, false, "read"),
        (false, true, "read"),
        (true, true, "read"),
        (true, false, "map"),
    ] {
        let manner = Manner {
            is_cached,
            ..Manner::default()
        };
        let Some(share) = Share::new(manner) else {
            return;
        };
        let slow = ["--bwlimit", "10MB", "--read", mode];
        let mut run = share.upload(&slow).start();
        run.until_confirmed(CHUNK);
        let ended: Ended = if kill {
            assert!(run.kill());
            share.replace();
            share.upload(&[]).end()
        } else {
            share.replace();
            run.end()
        };
        let case = format!("cached {is_cached}, killed {kill}, {mode}");
        assert_eq!(ended.code, Some(3), "{case}: {ended:?}");
        assert_eq!(ended.outcome()["outcome"], "source_changed", "{case}");
        assert_eq!(share.scene.log().drafts, 0, "{case}");
        // What is there now is one version, and goes as a whole.
        share.upload(&[]).end().expect(0);
        share.scene.assert_one_draft_of(&share.second);
    }
}

#[test]
fn a_read_that_hangs_holds_up_no_other_file_and_a_signal_ends_it() {
    // In the middle, and where the file is opened.
    for (is_cached, hangs) in [
        (false, 12_000_000..13_000_000),
        (true, 12_000_000..13_000_000),
        (false, 0..100),
    ] {
        let manner = Manner {
            is_cached,
            ..Manner::default()
        };
        let Some(share) = Share::new(manner) else {
            return;
        };
        let scene = &share.scene;
        share.fuse.manner().hangs = Some(hangs);
        let other = scene.video("other.mp4", 12_000_000);
        let mut command = share.upload(&[]);
        let mut run = command.arg(&other).start();
        let done = run.until("the other file", |line| line["event"] == "outcome");
        assert!(
            done["file"].as_str().unwrap().ends_with("other.mp4"),
            "{done}"
        );
        assert_eq!(done["outcome"], "delivered", "{done}");
        let begun = Instant::now();
        while !share.fuse.is_hanging() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing hangs");
            std::thread::sleep(Duration::from_millis(5));
        }
        run.signal("-INT");
        let ended = run.end().expect(130);
        assert_eq!(ended.outcomes().len(), 2, "{}", ended.stdout);
        share.fuse.release();
        share.upload(&[]).end().expect(0);
        assert_eq!(scene.log().drafts, 2);
    }
}

#[test]
fn a_read_that_is_never_answered_ends_when_the_patience_is_over() {
    let Some(share) = Share::new(Manner::default()) else {
        return;
    };
    share.fuse.manner().hangs = Some(12_000_000..13_000_000);
    let ended = share.upload(&["--patience", "3"]).end().expect(75);
    assert_eq!(ended.outcome()["outcome"], "retry");
    // Whose fault it is, is said.
    let told = ended.message();
    assert!(told.contains("the video could not be read on"), "{told}");
    share.fuse.release();
    share.upload(&[]).end().expect(0);
    share.assert_each_chunk_counted_once(&share.first);
}
