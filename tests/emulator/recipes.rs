//! The recipes of `docs/emulator.md`, run as they are printed.

use std::path::Path;
use std::process::{Command, Output};

use chunkferry::emulator::Emulator;

use crate::client::{sample, sha256, started};

const DOCS: &str = include_str!("../../docs/emulator.md");
const SIZE: u64 = 6_000_000;

/// The code block that follows a heading.
fn recipe(heading: &str) -> &'static str {
    let (_, section) = DOCS.split_once(&format!("\n### {heading}\n")).unwrap();
    let (_, block) = section.split_once("\n```").unwrap();
    let (_, code) = block.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0
}

/// Runs a recipe beside its clip; `None` where the language is not installed.
fn run(emulator: &Emulator, dir: &Path, program: &str, script: &str, code: &str) -> Option<Output> {
    std::fs::write(dir.join("clip.mp4"), sample(0, SIZE)).unwrap();
    std::fs::write(dir.join(script), code).unwrap();
    let output = Command::new(program)
        .arg(script)
        .current_dir(dir)
        .env("CHUNKFERRY_EMULATOR_URL", emulator.url())
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .output();
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

fn delivers(heading: &str, program: &str, script: &str) {
    let emulator = started(&[], &[]);
    let dir = tempfile::tempdir().unwrap();
    let Some(output) = run(&emulator, dir.path(), program, script, recipe(heading)) else {
        eprintln!("{program} is not installed; its recipe was not run");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.starts_with("201\n") && said.contains("SEND_TO_USER_INBOX"),
        "{said}"
    );
    let log = emulator.log();
    assert_eq!((log.inits, log.drafts, log.requests.put), (1, 1, 1));
    assert_eq!(log.sessions[0].sha256, Some(sha256(&sample(0, SIZE))));
    assert_eq!(emulator.review(), []);
}

#[test]
fn the_curl_recipe_delivers_byte_for_byte() {
    delivers("curl", "sh", "recipe.sh");
}

#[test]
fn the_python_recipe_delivers_byte_for_byte() {
    delivers("Python", "python3", "recipe.py");
}

#[test]
fn the_node_recipe_delivers_byte_for_byte() {
    delivers("Node", "node", "recipe.mjs");
}

/// As a test suite of that language runs them: found by the environment, judged by the review.
#[test]
#[cfg(feature = "cli")]
fn recipes_are_short_and_the_review_has_nothing_to_say_of_them() {
    for (heading, program, script) in [
        ("Python", "python3", "recipe.py"),
        ("Node", "node", "recipe.mjs"),
    ] {
        let code = recipe(heading);
        assert!(code.lines().count() < 40, "{heading}");
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("clip.mp4"), sample(0, SIZE)).unwrap();
        std::fs::write(dir.path().join(script), code).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_chunkferry"))
            .args(["emulator", "--strict", "--", program, script])
            .current_dir(dir.path())
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        let (said, review) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        if review.contains("No such file or directory") {
            eprintln!("NOT TESTED: {program} is not installed");
            continue;
        }
        assert!(output.status.success(), "{said}{review}");
        assert!(
            said.contains("SEND_TO_USER_INBOX") && review.contains("review: 0 findings"),
            "{said}{review}"
        );
    }
}

/// The documents print `--data @file`, which drops bytes. With the length that `Content-Range` promises
/// declared, the body never ends; curl counts what is left, and then the lengths disagree at once.
#[test]
fn the_curl_command_that_drops_bytes_is_refused_and_the_right_one_still_passes() {
    let data = recipe("curl").replace("--data-binary @clip.mp4", "--data @clip.mp4");
    for declared in [false, true] {
        let emulator = started(&["body_timeout=300ms"], &[]);
        let dir = tempfile::tempdir().unwrap();
        let (start, rest) = data.split_once("until curl").unwrap();
        let length = if declared {
            "-H \"Content-Length: $size\" -H"
        } else {
            "-H"
        };
        let wrong = start.replace(
            "-H 'Content-Type: video/mp4' -H",
            &format!("-H 'Content-Type: video/mp4' {length}"),
        );
        let (put, right) = (wrong.rfind("curl -sS -o").unwrap(), recipe("curl"));
        let again = &right[right.rfind("curl -sS -o").unwrap()..];
        assert!(wrong[put..].contains("--data @clip.mp4") && !rest.is_empty());
        let script = format!("{wrong}\n{again}");
        let Some(output) = run(&emulator, dir.path(), "sh", "recipe.sh", &script) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.starts_with("400\n201\n"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = emulator.log();
        assert_eq!(log.sessions[0].puts[0].http_status, Some(400));
        assert_eq!(log.sessions[0].sha256, Some(sha256(&sample(0, SIZE))));
    }
}
