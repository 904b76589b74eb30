//! What a person sees on a terminal, at any width and while that changes; and what nobody may see elsewhere.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::scene::{Scene, Start};

/// A terminal that a command runs in.
struct Terminal {
    master: OwnedFd,
    slave: File,
}

impl Terminal {
    fn new(columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let mut options = File::options();
        let slave = options.read(true).write(true);
        let terminal = Self {
            slave: slave.open(name.to_str().unwrap()).unwrap(),
            master,
        };
        terminal.resize(columns);
        terminal
    }

    fn resize(&self, columns: u16) {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// Runs it to its end; everything it wrote. From time to time it is given the next of `widths`.
    fn watch(self, command: &mut Command, widths: &[u16]) -> Vec<Shot> {
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        let spawned = command.stdin(Stdio::null()).stdout(end()).stderr(end());
        let mut child = spawned.spawn().unwrap();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let Self { master, slave } = self;
        drop(slave);
        let mut shots = vec![Shot::default()];
        let mut widths = widths.iter();
        let (mut buffer, mut output) = ([0; 4096], File::from(master.try_clone().unwrap()));
        let sizing = Self {
            slave: output.try_clone().unwrap(),
            master,
        };
        // A terminal whose other end is gone answers with an error.
        while let Ok(read @ 1..) = output.read(&mut buffer) {
            let last = shots.last_mut().unwrap();
            last.text
                .push_str(&String::from_utf8_lossy(&buffer[..read]));
            if last.text.matches('%').count() >= 6
                && let Some(width) = widths.next()
            {
                sizing.resize(*width);
                shots.push(Shot {
                    columns: *width,
                    text: String::new(),
                });
            }
        }
        shots[0].columns = u16::MAX;
        assert!(child.wait().unwrap().success());
        assert_eq!(
            widths.next(),
            None,
            "it ended before all widths had their turn"
        );
        shots
    }
}

/// What was written while the terminal was so wide.
#[derive(Debug, Default)]
struct Shot {
    columns: u16,
    text: String,
}

impl Shot {
    /// The lines that are drawn again and again, without colours; those that were on their way before it got this width are
    /// left out.
    fn drawn(&self) -> Vec<String> {
        let plain = without_codes(&self.text);
        let lines = plain.split(['\r', '\n']).map(str::to_owned);
        let drawn = lines.filter(|line| line.contains('%') || line.contains("processing "));
        drawn.skip(2).collect()
    }
}

/// Text without ANSI sequences; each move of the cursor, and each erasing, ends a line.
fn without_codes(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        assert_eq!(chars.next(), Some('['), "{text:?}");
        let end = chars.find(|c| c.is_ascii_alphabetic()).unwrap();
        if end != 'm' {
            plain.push('\n');
        }
    }
    plain
}

/// Columns that a text takes: characters of East Asia take two.
fn columns(text: &str) -> usize {
    let wide =
        |c: char| ('\u{1100}'..='\u{115f}').contains(&c) || ('\u{2e80}'..='\u{ffdc}').contains(&c);
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

fn watch(scene: &Scene, args: &[&str], creator: &str, columns: u16, widths: &[u16]) -> Vec<Shot> {
    let mut command = scene.command(["upload", "--chunk-size", "5MiB"]);
    command.args(args).env("TERM", "xterm-256color");
    // Each account is a creator of its own.
    command.env("TIKTOK_ACCESS_TOKEN", format!("act.{creator}.1"));
    let mut shots = Terminal::new(columns).watch(&mut command, widths);
    shots[0].columns = columns;
    shots
}

#[test]
fn no_line_that_is_drawn_again_is_wider_than_the_terminal_at_any_time() {
    let scene = Scene::new(
        &[
            "processing_time=3s",
            "pending_cap=100",
            "init_per_minute=100",
        ],
        &[],
    );
    scene.video(
        "a video with quite a long name, as cameras and editors make them.mp4",
        30_000_000,
    );
    scene.video("\u{6771}\u{4eac}\u{306e}\u{590f}\u{306e}\u{5915}\u{66ae}\u{308c}\u{3001}\u{4e8c}\u{56de}\u{76ee}.mp4", 30_000_100);
    scene.video("clip.mp4", 6_000_000);
    let names = [
        "a video with quite a long name, as cameras and editors make them.mp4",
        "\u{6771}\u{4eac}\u{306e}\u{590f}\u{306e}\u{5915}\u{66ae}\u{308c}\u{3001}\u{4e8c}\u{56de}\u{76ee}.mp4",
        "clip.mp4",
    ];
    for width in [120, 80, 40, 20] {
        // The inits of an account have a window.
        let account = format!("of-{width}");
        let options = ["--bwlimit", "30MB", "--account", &account];
        let args: Vec<&str> = options.into_iter().chain(names).collect();
        let widths = if width == 120 {
            &[80, 40, 100, 30][..]
        } else {
            &[]
        };
        let shots = watch(&scene, &args, &account, width, widths);
        for shot in &shots {
            let drawn = shot.drawn();
            assert!(!drawn.is_empty(), "{shot:?}");
            for line in drawn {
                assert!(
                    columns(&line) < shot.columns.into(),
                    "{} columns: {line:?}",
                    shot.columns
                );
            }
        }
    }
}

#[test]
fn several_files_have_one_total_a_clock_while_tiktok_works_and_a_closing_sum() {
    let scene = Scene::new(&["processing_time=3s"], &[]);
    scene.video("one.mp4", 12_000_000);
    scene.video("two.mp4", 12_000_100);
    let shots = watch(
        &scene,
        &["one.mp4", "two.mp4", "--bwlimit", "8MB"],
        "lena",
        100,
        &[],
    );
    let text = without_codes(&shots[0].text);
    assert!(text.contains("0 of 2 files"), "{text}");
    assert!(text.contains(" of 24.0 MB"), "{text}");
    assert!(text.contains("/s") && text.contains(" left"), "{text}");
    assert!(text.contains("processing 0:01"), "{text}");
    assert_eq!(
        text.trim_end().lines().last(),
        Some("2 delivered"),
        "{text}"
    );
    // One file needs no total.
    let shots = watch(&scene, &["one.mp4", "--again"], "lena", 100, &[]);
    assert!(!shots[0].text.contains("files"), "{:?}", shots[0]);
}

#[test]
fn elsewhere_than_on_a_terminal_nothing_is_drawn_and_nothing_is_coloured() {
    let scene = Scene::new(&[], &["put chunk=0 nth=1 status=503"]);
    let file = scene.video("clip.mp4", 12_000_000);
    let mut plain = scene.command(["upload", "--chunk-size", "5MiB", "clip.mp4"]);
    let ended = plain
        .env("CHUNKFERRY_LOG", "debug")
        .env("TERM", "xterm-256color")
        .end()
        .expect(0);
    for text in [&ended.stderr, &ended.stdout] {
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    }
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_terminal_that_is_dumb_gets_plain_lines_and_one_without_colours_gets_none() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 12_000_000);
    let upload = || {
        scene.command([
            "upload",
            "--again",
            "--chunk-size",
            "5MiB",
            "--bwlimit",
            "10MB",
            "clip.mp4",
        ])
    };
    let dumb = |(name, value)| {
        let shots = Terminal::new(80).watch(
            upload()
                .env("TERM", "xterm")
                .env("CHUNKFERRY_LOG", "info")
                .env(name, value),
            &[],
        );
        shots[0].text.clone()
    };
    let told = dumb(("TERM", "dumb"));
    assert!(
        !told.contains('\u{1b}') && !told.replace("\r\n", "").contains('\r'),
        "{told:?}"
    );
    assert!(told.contains("12.0 MB in 2 chunks"), "{told:?}");
    let told = dumb(("NO_COLOR", "1"));
    assert!(
        told.contains('%') && told.contains("\u{1b}["),
        "it is drawn: {told:?}"
    );
    let coloured = told.split("\u{1b}[").any(|code| {
        code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
            .starts_with('m')
    });
    assert!(!coloured, "{told:?}");
    // An empty one is none.
    assert!(dumb(("NO_COLOR", "")).contains("\u{1b}[1m"));
}

#[test]
fn lines_of_the_log_do_not_run_into_what_is_drawn() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 12_000_000);
    let mut command = scene.command([
        "upload",
        "--chunk-size",
        "5MiB",
        "--bwlimit",
        "10MB",
        "clip.mp4",
    ]);
    command
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .env("CHUNKFERRY_LOG", "debug");
    let shots = Terminal::new(200).watch(&mut command, &[]);
    let text = without_codes(&shots[0].text);
    for line in text.split(['\r', '\n']) {
        assert!(!(line.contains("DEBUG") && line.contains('%')), "{line:?}");
    }
    assert!(text.contains("DEBUG") && text.contains('%'), "{text}");
}
