//! What the README and the tutorial say is done word for word, and what they say is seen is seen.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::examples::example;
use crate::host::Host;
use crate::login::browser;
use crate::scene::{Running, Scene, Start};
use crate::serve_notify::until;

pub(crate) fn page(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap()
}

/// The blocks of code of a page, each with its language.
pub(crate) fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced
        .map(|block| block.split_once('\n').unwrap())
        .collect()
}

/// The first block of a language.
pub(crate) fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let mut blocks = blocks(page).into_iter();
    blocks.find(|block| block.0 == language).unwrap().1
}

/// Writes a program into the scene's folder of programs, which comes first in the path of [`shell`].
pub(crate) fn program(scene: &Scene, name: &str, text: &str) -> PathBuf {
    let dir = scene.path("bin");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A shell of a user whose home is the scene and who has installed chunkferry.
pub(crate) fn shell(scene: &Scene, script: &str) -> Command {
    let installed = scene.path("bin").join("chunkferry");
    if !installed.exists() {
        fs::create_dir_all(scene.path("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_chunkferry"), installed).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", scene.path("bin").display());
    let mut shell = Command::new("bash");
    shell
        .args(["-ec", script])
        .env_clear()
        .env("PATH", path)
        .env("HOME", scene.path(""))
        .env("CHUNKFERRY_API_BASE", scene.emulator.url())
        .current_dir(scene.path(""));
    shell
}

/// The config file of a user whose lena has a token.
pub(crate) fn configure(scene: &Scene) {
    let config = scene.path(".config/chunkferry");
    fs::create_dir_all(&config).unwrap();
    fs::write(scene.path("lena.token"), "act.lena.1\n").unwrap();
    let text = "[accounts.lena]\ntoken_file = \"~/lena.token\"\n";
    fs::write(config.join("config.toml"), text).unwrap();
}

/// Runs `serve` or `watch` by [`shell`] until it listens.
pub(crate) fn serve(scene: &Scene, command: &str) -> Running {
    let mut running = shell(scene, &format!("exec {command}")).start();
    let socket = scene.path(".local/state/chunkferry/socket");
    until("it listens", || {
        assert!(running.is_running(), "{command}: {}", running.told());
        socket.exists().then_some(())
    });
    running
}

/// The commands of the README's first table.
fn rows(readme: &str) -> Vec<&str> {
    let (_, table) = readme.split_once("\n| you have |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with("| "));
    let commands = rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, command, link] = cells[..] else {
            panic!("{row}");
        };
        assert!(link.contains("](docs/"), "{row}");
        command.trim_matches('`')
    });
    commands.collect()
}

#[test]
fn each_row_of_the_readme_does_what_it_says() {
    let readme = page("README.md");
    let rows = rows(&readme);
    assert!(rows.len() >= 10, "{rows:?}");
    for row in rows {
        let scene = Scene::new(&[], &[]);
        let clip = scene.video("clip.mp4", 1_000_000);
        let ends = |command: &str| {
            let mut shell = shell(&scene, command);
            shell.env("CHUNKFERRY_CLIENT_KEY", "my-app");
            shell.env("CHUNKFERRY_CLIENT_SECRET_FILE", "lena.token");
            shell.env("BROWSER", browser(&scene, "lena", ""));
            shell.end().expect(0)
        };
        let words: Vec<&str> = row.split(' ').collect();
        let drafts = match words[..] {
            ["chunkferry", "login", ..] => {
                fs::write(scene.path("lena.token"), "secret\n").unwrap();
                ends(row);
                0
            }
            ["chunkferry", "upload", _, "--emulator"] => {
                ends(row);
                0
            }
            ["chunkferry", "upload", url, ..] if url.starts_with("https://") => {
                configure(&scene);
                let host = Host::of(fs::read(&clip).unwrap());
                // The server that the row names is on this machine, and without a certificate.
                ends(&row.replace(url, &host.url()));
                1
            }
            ["chunkferry", "upload", .., "--id", _, "--wait", _] => {
                configure(&scene);
                let service = serve(&scene, "chunkferry serve");
                ends(row);
                drop(service);
                1
            }
            ["chunkferry", "upload", ..] => {
                configure(&scene);
                let line = "{\"file\": \"clip.mp4\", \"account\": \"lena\"}\n";
                fs::write(scene.path("night.jsonl"), line).unwrap();
                ends(row);
                1
            }
            ["chunkferry", "serve" | "watch", ..] => {
                configure(&scene);
                fs::create_dir(scene.path("render")).unwrap();
                let running = serve(&scene, row);
                let drafts = u64::from(words[1] == "watch");
                if drafts == 1 {
                    fs::rename(&clip, scene.path("render/clip.mp4")).unwrap();
                    scene.sees("the draft", |log| log.drafts == 1);
                }
                running.signal("-TERM");
                running.end().expect(0);
                drafts
            }
            ["chunkferry", "emulator", ..] => {
                let test = "#!/bin/sh\nexport CHUNKFERRY_API_BASE=$CHUNKFERRY_EMULATOR_URL\n\
                    exec chunkferry upload clip.mp4 --account lena\n";
                let path = program(&scene, "test.sh", test);
                fs::rename(path, scene.path("test.sh")).unwrap();
                configure(&scene);
                ends(row);
                0
            }
            ["chunkferry", "status", ..] => {
                configure(&scene);
                ends("chunkferry upload clip.mp4 --account lena --no-wait");
                ends(row);
                1
            }
            ["chunkferry", "doctor", ..] => {
                configure(&scene);
                ends(row);
                0
            }
            ["cargo", "run", "--example", name, "--", ..] => {
                let script = format!(
                    "#!/bin/sh\nshift 4\nexec '{}' \"$@\"\n",
                    example(name).display()
                );
                program(&scene, "cargo", &script);
                ends(row);
                0
            }
            _ => panic!("no test runs `{row}`"),
        };
        assert_eq!(scene.log().drafts, drafts, "{row}");
    }
}

/// Whether a line is as the page shows it: `…` stands for any text.
fn fits(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn the_tutorial_is_done_word_for_word_and_shows_what_it_says() {
    const MARK: &str = "--- the end of a block";
    let scene = Scene::new(&[], &[]);
    // Port 0 would be another one than the page says, so a free port takes the place of its port.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let page = page("docs/tutorial.md")
        .replace(
            "chunkferry emulator ",
            "chunkferry emulator --listen 127.0.0.1:8787 ",
        )
        .replace("8787", &port);
    let blocks = blocks(&page);
    let mut script = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n".to_owned();
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("NOT TESTED: the videos of the tutorial need ffmpeg");
        script.push_str("ffmpeg() { :; }\n");
        for (name, size) in [("clip", 54), ("one", 1), ("two", 2), ("three", 3)] {
            scene.video(&format!("{name}.mp4"), size * 1_000_000);
        }
    }
    for (language, text) in &blocks {
        if *language == "sh" {
            script.push_str(text);
            script.push_str(&format!("echo; echo '{MARK}'\n"));
        }
    }
    let ended = shell(&scene, &format!("exec >&2\n{script}"))
        .env_remove("CHUNKFERRY_API_BASE")
        .end();
    let mut seen = ended.stderr.split(MARK);
    let mut block = "";
    for (language, text) in blocks {
        match language {
            "sh" => block = seen.next().unwrap_or_default(),
            "text" => {
                let mut lines = block.lines();
                for shown in text.lines() {
                    let found = lines.any(|line| fits(line, shown));
                    assert!(found, "`{shown}` is not in\n{block}\n\n{}", ended.stderr);
                }
            }
            _ => panic!("{language}"),
        }
    }
    ended.expect(0);
    // The emulator of the page has seen it all, and that of the scene nothing.
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn a_line_fits_what_a_page_shows_of_it_and_no_other_line_does() {
    for (line, shown, expected) in [
        ("1 delivered", "1 delivered", true),
        ("1 delivered, 1 failed", "1 delivered", false),
        ("since 11:37 (v~2)", "since … (v…)", true),
        ("since 11:37", "since … (v…)", false),
        ("anything", "…", true),
    ] {
        assert_eq!(fits(line, shown), expected, "{line} as {shown}");
    }
}
