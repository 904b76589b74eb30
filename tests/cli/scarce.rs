//! Machines that are short of something, and file systems that cannot do all that a disk can: the kernel refuses one call.

use std::process::Command;

use crate::scene::{CHUNK, Ended, Scene, Start};

/// Runs an upload in which the kernel refuses `calls` with `error`, for this file alone or for all. `None` where strace does
/// not work.
fn refused(scene: &Scene, calls: &str, error: &str, only: Option<&str>) -> Option<Ended> {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    if !works.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace does not work here");
        return None;
    }
    let file = scene.video("clip.mp4", 2 * CHUNK);
    let plain = scene.upload(&file, &["--patience", "2"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-o", "/dev/null", "-e"]);
    traced.arg(format!("trace={calls}"));
    traced.args(["-e", &format!("inject={calls}:error={error}")]);
    if let Some(only) = only {
        traced.arg("-P").arg(scene.path(only));
    }
    traced
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear();
    traced.envs(
        plain
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    traced.current_dir(scene.path(""));
    Some(traced.end())
}

#[test]
fn a_file_that_cannot_be_read_for_now_is_tried_again_by_another_run() {
    for (error, code) in [
        ("EMFILE", 75),
        ("ENFILE", 75),
        ("ENOMEM", 75),
        ("ESTALE", 75),
        ("ETIMEDOUT", 75),
        ("EACCES", 3),
    ] {
        for call in ["openat", "pread64"] {
            let scene = Scene::new(&[], &[]);
            let Some(ended) = refused(&scene, call, error, Some("clip.mp4")) else {
                return;
            };
            assert_eq!(ended.code, Some(code), "{call} {error}: {ended:?}");
            assert!(
                ended.message().contains("clip.mp4 cannot be read"),
                "{}",
                ended.message()
            );
        }
    }
}

#[test]
fn a_file_system_that_cannot_sync_is_named_and_not_called_damaged() {
    for calls in [
        "fsync",
        "fdatasync",
        "sync_file_range",
        "fsync,fdatasync,sync_file_range",
    ] {
        for error in ["EINVAL", "ENOSYS", "EOPNOTSUPP"] {
            let scene = Scene::new(&[], &[]);
            let Some(ended) = refused(&scene, calls, error, None) else {
                return;
            };
            // What sync_file_range does, the database may do in another way.
            let may_do = calls == "sync_file_range";
            let as_it_should = ended.code == Some(75) || may_do && ended.code == Some(0);
            assert!(as_it_should, "{calls} {error}: {ended:?}");
            let told = ended.stdout + &ended.stderr;
            assert!(
                !told.contains("panicked") && !told.contains("damaged"),
                "{told}"
            );
            assert!(may_do || told.contains("cannot sync"), "{told}");
        }
    }
}

#[test]
fn a_process_that_may_open_few_files_ends_as_temporary_and_never_as_damage() {
    for most in 8..20 {
        let scene = Scene::new(&[], &[]);
        let file = scene.video("clip.mp4", 2 * CHUNK);
        let plain = scene.upload(&file, &["--patience", "1"]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {most}; exec \"$@\""), "sh"]);
        limited
            .arg(plain.get_program())
            .args(plain.get_args())
            .env_clear();
        limited.envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let ended = limited.end();
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(matches!(ended.code, Some(0 | 75)), "{most}: {ended:?}");
        assert!(
            !told.contains("panicked") && !told.contains("damaged"),
            "{most}: {told}"
        );
        // What it left is a journal that another run carries on with.
        scene.upload(&file, &[]).end().expect(0);
        assert_eq!(scene.log().drafts, 1, "{most}");
    }
}
