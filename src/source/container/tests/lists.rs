//! Files as programs write them, what is appended to files, and broken files: the lists in `tests/cli/containers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use samples::{broken, sketch, taken, trailers};

#[path = "../../../../tests/cli/containers/samples/mod.rs"]
mod samples;

/// What a look at these bytes says: a content type, or why there is none.
fn verdict(bytes: &[u8]) -> String {
    match look(bytes) {
        Ok(container) => container.content_type().to_owned(),
        Err(unfit) => unfit.to_string(),
    }
}

/// The rows whose verdict is another one.
#[track_caller]
fn agree<'a>(rows: impl IntoIterator<Item = (String, String, &'a str)>, at_least: usize) {
    let mut seen = 0;
    let wrong: Vec<_> = rows
        .into_iter()
        .inspect(|_| seen += 1)
        .filter(|(_, found, wanted)| found != wanted)
        .map(|(name, found, wanted)| format!("{name}: {found:?}, not {wanted:?}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
    assert!(seen >= at_least, "{seen}");
}

#[test]
fn what_programs_write_is_taken() {
    let all = taken();
    agree(
        all.iter()
            .map(|row| (row.name.clone(), verdict(&row.bytes()), &*row.content_type)),
        50,
    );
}

#[test]
fn what_cameras_and_servers_append_spoils_no_video() {
    let (files, trailers) = (taken(), trailers());
    let mut rows = Vec::new();
    for trailer in &trailers {
        for file in &files {
            let bytes = [file.bytes(), trailer.bytes()].concat();
            let name = format!("{} behind {}", trailer.name, file.name);
            rows.push((name, verdict(&bytes), &*file.content_type));
        }
    }
    assert!(trailers.len() >= 20);
    agree(rows, 20 * 50);
}

#[test]
fn what_is_broken_is_refused_for_the_right_reason() {
    let (files, all) = (taken(), broken());
    agree(
        all.iter()
            .map(|row| (row.name.clone(), verdict(&row.bytes(&files)), &*row.reason)),
        25,
    );
}

#[test]
fn a_box_of_a_sketch_is_described_as_it_was_made() {
    for row in taken() {
        assert_eq!(sketch::of(&row.bytes()), row.structure, "{}", row.name);
    }
}

/// Makes the files again where their programs are installed. With `CHUNKFERRY_CAPTURE` the list takes over their structure.
#[test]
fn the_programs_of_the_list_still_write_such_files() {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let capture = is_set("CHUNKFERRY_CAPTURE");
    if !capture && !is_set("CHUNKFERRY_FULL") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.mp4");
    let made = run(
        "ffmpeg -v error -f lavfi -i testsrc=s=64x64:r=10:d=1 -f lavfi -i sine=d=1 -c:v libx264 -threads 1 -c:a aac \"$OUT\"",
        &input,
        &input,
    );
    if !made {
        println!("NOT TESTED: real files need ffmpeg with libx264");
        return;
    }
    let mut rows = taken();
    for (number, row) in rows.iter_mut().enumerate() {
        let Some(command) = &row.command else {
            continue;
        };
        let out = dir.path().join(format!("out-{number}"));
        if !run(command, &input, &out) {
            println!("NOT TESTED: {} ({})", row.name, row.source);
            continue;
        }
        let bytes = std::fs::read(&out).unwrap();
        assert_eq!(verdict(&bytes), row.content_type, "{}", row.name);
        let structure = sketch::of(&bytes);
        if capture {
            row.structure = structure;
        } else {
            assert_eq!(outline(&structure), outline(&row.structure), "{}", row.name);
        }
        for end in [bytes.len() - 1, bytes.len() / 2, bytes.len() / 3, 100, 30] {
            assert!(look(&bytes[..end]).is_err(), "{} cut at {end}", row.name);
        }
    }
    if capture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/containers/taken.json");
        std::fs::write(path, serde_json::to_string_pretty(&rows).unwrap() + "\n").unwrap();
    }
}

/// The kinds of boxes in their order, each run of the same ones once. Sizes depend on the encoder.
fn outline(structure: &[String]) -> Vec<&str> {
    let kind = |line: &'_ String| {
        let word = line.trim_start();
        let end = word.find(' ').unwrap_or(word.len());
        line.len() - word.len() + end
    };
    let mut kinds: Vec<_> = structure.iter().map(|line| &line[..kind(line)]).collect();
    kinds.dedup();
    kinds
}

fn run(command: &str, input: &Path, out: &PathBuf) -> bool {
    let mut shell = Command::new("sh");
    shell
        .args(["-e", "-c", command])
        .env("IN", input)
        .env("OUT", out);
    shell.current_dir(input.parent().unwrap());
    let output = shell.output().unwrap();
    if !output.status.success() {
        print!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success() && out.exists()
}
