//! Thousands of files in one command.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use wait4::Wait4;

use crate::scene::{Scene, Start};
use crate::video;

/// All of them have as many bytes.
const SIZE: u64 = 20_000;

/// How the files are found again.
#[derive(Debug, Clone, Copy)]
enum Since {
    Untouched,
    Touched,
    Gone,
}

/// Files that this scene's journal knows to be delivered, with lines of the history like the one that a real upload leaves.
fn delivered(scene: &Scene, count: u64) -> Vec<PathBuf> {
    let sample = scene.video("sample.mp4", SIZE);
    scene.upload(&sample, &[]).end().expect(0);
    let history = scene.state_dir().join("history.jsonl");
    let line = fs::read_to_string(&history).unwrap();
    let sample: Value = serde_json::from_str(&line).unwrap();
    let names = (0..count).map(|number| format!("{number}.mp4"));
    let files: Vec<_> = names.map(|name| scene.video(&name, SIZE)).collect();
    let mut lines = line;
    for (number, file) in (1..).zip(&files) {
        let (mut row, seen) = (sample.clone(), fs::metadata(file).unwrap());
        let sha256 = video::sha256(file);
        row["id"] = format!("{number:016x}").into();
        row["sha256"] = sha256.clone().into();
        row["origin"]["fingerprint"] = sha256.into();
        row["origin"]["path"] = file.to_str().into();
        let identity = &mut row["origin"]["identity"];
        let time = |seconds: i64, ns: i64| seconds * 1_000_000_000 + ns;
        identity["inode"] = seen.ino().into();
        identity["mtime_ns"] = time(seen.mtime(), seen.mtime_nsec()).into();
        identity["ctime_ns"] = time(seen.ctime(), seen.ctime_nsec()).into();
        lines += &format!("{row}\n");
    }
    fs::write(&history, lines).unwrap();
    files
}

/// Processor time, of the process and the kernel for it, that one command with all these files takes.
fn processor_time(scene: &Scene, files: &[PathBuf]) -> Duration {
    let mut command = scene.command(["upload", "--json"]);
    let out = scene.path("out");
    command.args(files).stdin(Stdio::null());
    command.stdout(fs::File::create(&out).unwrap());
    command.stderr(Stdio::null());
    let ended = command.spawn().unwrap().wait4().unwrap();
    assert!(ended.status.success());
    let told = fs::read_to_string(&out).unwrap();
    let already = told.matches("\"outcome\":\"already_delivered\"").count();
    assert_eq!(already, files.len(), "{told}");
    ended.rusage.utime + ended.rusage.stime
}

fn touch(file: &Path) {
    let file = fs::File::options().append(true).open(file).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
}

#[test]
fn what_a_delivered_file_costs_does_not_grow_with_the_number_of_files() {
    let (few, many) = (150, 1200);
    for since in [Since::Untouched, Since::Touched, Since::Gone] {
        let cost = |count| {
            let scene = Scene::new(&[], &[]);
            let files = delivered(&scene, count);
            match since {
                Since::Untouched => {}
                Since::Touched => files.iter().for_each(|file| touch(file)),
                Since::Gone => files.iter().for_each(|file| fs::remove_file(file).unwrap()),
            }
            processor_time(&scene, &files)
        };
        let (of_few, of_many) = (cost(few), cost(many));
        println!("{since:?}: {few} files {of_few:?}, {many} files {of_many:?}");
        // Eight times as many files: by the square it was more than forty times as much.
        assert!(of_many < of_few * 20, "{since:?}: {of_few:?}, {of_many:?}");
    }
}
