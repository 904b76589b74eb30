//! The tarball of docs/package.sh. The program in it is a stand-in that runs the one of the tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::scene::{Scene, Start};

fn done(command: &mut Command) -> String {
    let ended = command.end().expect(0);
    ended.stdout
}

#[test]
fn a_tarball_is_the_same_twice_and_lacks_no_page_and_no_licence() {
    let scene = Scene::new(&[], &[]);
    let program = scene.path("program");
    let run = format!(
        "#!/bin/sh\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_chunkferry")
    );
    fs::write(&program, run).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let pack = |dir: &str, umask: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/package.sh");
        let mut command = Command::new("sh");
        command.args(["-c", r#"umask "$1"; exec "$2" tarball "$3""#, "sh", umask]);
        command
            .arg(script)
            .arg(scene.path(dir))
            .env("CHUNKFERRY_BUILT", &program);
        command.env("SOURCE_DATE_EPOCH", "1790000000");
        done(&mut command)
    };
    let sum = pack("one", "022");
    assert_eq!(
        sum,
        pack("two", "077"),
        "bytes that differ between two runs"
    );
    let name = sum.split_whitespace().nth(1).unwrap();
    done(
        Command::new("sha256sum")
            .args(["-c", &format!("{name}.sha256")])
            .current_dir(scene.path("one")),
    );
    done(
        Command::new("tar")
            .arg("xzf")
            .arg(scene.path("one").join(name))
            .current_dir(scene.path("")),
    );

    let tree = scene.path(name.trim_end_matches(".tar.gz"));
    let has = |path: &str| assert!(tree.join(path).is_file(), "{path} is not in the tarball");
    for path in [
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "docs/chunkferry.service",
        "completions/_chunkferry",
    ] {
        has(path);
    }
    scene.command(["man", "--dir", "man1"]).end().expect(0);
    for page in fs::read_dir(scene.path("man1")).unwrap() {
        has(&format!(
            "man/man1/{}",
            page.unwrap().file_name().to_str().unwrap()
        ));
    }
    let list = fs::read_to_string(tree.join("licenses/list")).unwrap();
    let mut without = Vec::new();
    for row in list.lines() {
        let words: Vec<&str> = row.splitn(3, ' ').collect();
        let texts = tree.join(format!(
            "licenses/{}-{}",
            words[0],
            words[1].trim_start_matches('v')
        ));
        if !texts.is_dir() {
            without.push(words[0]);
        }
    }
    assert!(list.lines().count() > 100, "{list}");
    // These come without a text; their licence is in the list.
    assert_eq!(without, ["fxhash"]);
    let program = done(Command::new(tree.join("chunkferry")).arg("--version"));
    assert!(program.starts_with("chunkferry "), "{program}");
}
