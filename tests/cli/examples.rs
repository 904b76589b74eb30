//! The examples in docs/examples do what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::video;

/// `cargo test` builds the examples beside the tests; `cargo test --test cli` does not.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples").join(name);
    if !example.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        let built = cargo
            .args(["build", "--locked", "--examples"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success());
    }
    example
}

fn run(name: &str, args: &[&Path]) -> String {
    let mut command = Command::new(example(name));
    let ran = command
        .args(args)
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{name}: {text}\n{:?}", ran.stderr);
    text
}

#[test]
fn each_example_ends_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("clip.mp4");
    video::write(&clip, 24_000_000, 1);
    let text = run("upload", &[&clip]);
    assert!(text.contains("chunk 0: 10000000 of 24000000"), "{text}");
    assert!(text.contains("Delivered as v_inbox_file"), "{text}");

    let text = run("tokens", &[]);
    assert!(text.contains("another one"), "{text}");
    assert!(text.contains("Delivered as v_inbox_file"), "{text}");

    let text = run("night", &[]);
    for line in [
        "lena: v_inbox_file",
        "mia: v_inbox_file",
        "ole: a file to look at",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
