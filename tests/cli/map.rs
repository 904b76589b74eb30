//! `--read map`: the same drafts, and no signal when somebody shortens the file.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

use chunkferry::emulator::Emulator;

use crate::scene::{Scene, Start, settings};

const SIZE: u64 = 64_000_123;
const CHUNK: u64 = 20_000_000;

/// Slow enough for mapped windows to wait for the socket.
const SLOW: &str = "receive_rate=30MB";

struct Mapping {
    scene: Scene,
    /// What to trust, if it speaks TLS.
    ca: Option<PathBuf>,
    _dir: tempfile::TempDir,
}

impl Mapping {
    fn new(tls: bool, set: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = tls.then(|| dir.path().join("ca.pem"));
        let mut builder = Emulator::builder().settings(settings(set));
        if let Some(ca) = &ca {
            builder = builder.tls(ca);
        }
        Self {
            scene: Scene::of(builder),
            ca,
            _dir: dir,
        }
    }

    fn upload(&self, file: &Path, more: &[&str]) -> Command {
        let mut command = self.scene.command(["upload", "--json", "--read", "map"]);
        command.args(["--chunk-size", "20MB"]).arg(file).args(more);
        if let Some(ca) = &self.ca {
            command.env("CHUNKFERRY_CA_FILE", ca);
        }
        command
    }

    /// Cuts the file off when so many bytes have come.
    fn cut_off_at(&self, file: &Path, came: u64, left: u64, more: &[&str]) {
        let run = self.upload(file, more).start();
        self.scene.sees("enough of it", |log| {
            let puts = log.sessions.iter().flat_map(|session| &session.puts);
            puts.map(|put| put.bytes).sum::<u64>() >= came
        });
        let file = OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(left).unwrap();
        // A signal would have no code.
        let ended = run.end().expect(3);
        assert_eq!(ended.outcome()["outcome"], "source_changed");
        let message = ended.message();
        assert!(
            message.contains("changed") && message.contains("Nothing was posted"),
            "{message}"
        );
        assert_eq!(self.scene.log().drafts, 0);
    }

    /// The run after it sends the file as it is then.
    fn assert_the_next_run_sends(&self, file: &Path, more: &[&str]) {
        self.upload(file, more).end().expect(0);
        self.scene.assert_one_draft_of(file);
    }
}

/// Over plain HTTP the kernel meets what is missing under a mapping, under TLS this process does; the ledger looks at
/// each byte before either.
fn each_way(mut test: impl FnMut(Mapping, &[&str])) {
    for tls in [false, true] {
        for more in [&[][..], &["--no-ledger"]] {
            test(Mapping::new(tls, &[SLOW]), more);
        }
    }
}

#[test]
fn mapped_files_arrive_as_they_are() {
    each_way(|mapping, more| {
        mapping.scene.emulator.set("receive_rate", "off").unwrap();
        let file = mapping.scene.video("clip.mp4", SIZE);
        let ended = mapping.upload(&file, more).end().expect(0);
        assert_eq!(ended.outcome()["bytes_resent"], 0);
        mapping.scene.assert_one_draft_of(&file);
    });
}

#[test]
fn a_mapped_file_that_is_cut_off_ends_in_words_and_in_no_signal() {
    each_way(|mapping, more| {
        let file = mapping.scene.video("clip.mp4", SIZE);
        mapping.cut_off_at(&file, CHUNK + CHUNK / 4, CHUNK, more);
        let file = mapping.scene.video("clip.mp4", CHUNK);
        mapping.assert_the_next_run_sends(&file, more);
    });
}

#[test]
fn a_mapped_file_that_is_cut_off_at_the_very_end_ends_in_words_and_in_no_signal() {
    each_way(|mapping, more| {
        for left in [SIZE - 1, SIZE - 1_000_000, 1] {
            let file = mapping.scene.video("clip.mp4", SIZE);
            mapping.cut_off_at(&file, SIZE - CHUNK, left, more);
            mapping.scene.emulator.reset();
        }
        let file = mapping.scene.video("clip.mp4", CHUNK);
        mapping.assert_the_next_run_sends(&file, more);
    });
}

#[test]
fn killed_under_a_mapping_the_next_run_carries_on() {
    for more in [&[][..], &["--no-ledger"]] {
        let mapping = Mapping::new(true, &[SLOW]);
        let file = mapping.scene.video("clip.mp4", SIZE);
        let mut run = mapping.upload(&file, more).start();
        run.until_confirmed(CHUNK);
        assert!(run.kill());
        let ended = mapping.upload(&file, more).end().expect(0);
        let sent = ended.outcome()["bytes_sent"].as_u64().unwrap();
        assert!(sent <= SIZE - CHUNK, "{sent} bytes were sent again");
        mapping.scene.assert_one_draft_of(&file);
        assert_eq!(mapping.scene.log().inits, 1);
    }
}
