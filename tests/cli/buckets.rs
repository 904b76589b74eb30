//! Videos in buckets by the command, with the credentials of its environment.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::scene::{CHUNK, Ended, Scene, Start};
use crate::support::liar::{Liar, Lie};

const KEY_ID: &str = "AKIACHUNKFERRYTEST00";
const SECRET: &str = "hunter2SecretKeyOfTheTests00";
const SESSION: &str = "hunter2SessionTokenOfTheTests";

const SIZE: u64 = 30_000_000;

/// An object in a bucket of a server of our own, and an emulator.
struct Stage {
    scene: Scene,
    liar: Liar,
}

impl Stage {
    fn new() -> Self {
        let scene = Scene::new(&[], &[]);
        let file = scene.video("clip.mp4", SIZE);
        Self {
            liar: Liar::start(fs::read(file).unwrap()),
            scene,
        }
    }

    fn command(&self, mut command: Command) -> Command {
        command
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_SESSION_TOKEN", SESSION)
            .env("AWS_ENDPOINT_URL", self.liar.url())
            .env("CHUNKFERRY_LOG", "trace");
        command
    }

    fn upload(&self, url: &str, more: &[&str]) -> Command {
        self.command(self.scene.upload(Path::new(url), more))
    }
}

/// No credential is in any output, log or file.
fn assert_secret(stage: &Stage, ended: &Ended) {
    let mut texts = vec![ended.stdout.clone(), ended.stderr.clone()];
    let mut dirs = vec![stage.scene.state_dir()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => {
                    let bytes = fs::read(entry.path()).unwrap();
                    texts.push(String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
    }
    for secret in [KEY_ID, SECRET, SESSION] {
        assert!(texts.iter().all(|text| !text.contains(secret)));
    }
}

#[test]
fn a_key_with_characters_that_urls_encode_is_the_object_that_it_names() {
    let stage = Stage::new();
    let url = "s3://renders/a b/#1 %20ä.mp4";
    let ended = stage.upload(url, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    stage
        .scene
        .assert_one_draft_of(&stage.scene.path("clip.mp4"));
    assert_secret(&stage, &ended);
    assert!(ended.stderr.contains("TRACE"), "the log was on");
    let heads = stage.liar.heads();
    let (first, _) = heads[0].split_once(" HTTP/1.1").unwrap();
    assert_eq!(first, "HEAD /renders/a%20b/%231%20%2520%C3%A4.mp4");
    let again = stage.upload(url, &[]).end().expect(0);
    assert_eq!(again.outcome()["outcome"], "already_delivered");
    let mut command = stage.scene.command(["status", "--json"]);
    command.arg(url);
    let status = stage.command(command).end().expect(0);
    assert!(status.stdout.contains("#1 %20"), "{}", status.stdout);
}

/// Cut off there, the key would be another one.
#[test]
fn a_url_with_a_question_mark_is_refused_and_what_follows_is_not_shown() {
    let stage = Stage::new();
    let url = format!("s3://renders/clip.mp4?X-Amz-Signature={SECRET}");
    let ended = stage.upload(&url, &[]).end().expect(2);
    assert_secret(&stage, &ended);
    assert!(stage.liar.heads().is_empty());
}

#[test]
fn a_kill_half_way_costs_a_chunk_at_most_and_a_refusal_keeps_the_place() {
    let stage = Stage::new();
    let url = "s3://renders/clip.mp4";
    let mut run = stage.upload(url, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(2 * CHUNK);
    assert!(run.kill());
    // Whoever runs the store repeats the request in the answer, and with it the credentials.
    stage.liar.lie(Lie::Denied);
    let ended = stage.upload(url, &[]).end().expect(4);
    assert!(
        ended.message().contains("AccessDenied"),
        "{}",
        ended.message()
    );
    assert_secret(&stage, &ended);
    stage.liar.lie(Lie::None);
    let ended = stage.upload(url, &[]).end().expect(0);
    assert_secret(&stage, &ended);
    let session = stage
        .scene
        .assert_one_draft_of(&stage.scene.path("clip.mp4"));
    assert_eq!(stage.scene.log().inits, 1);
    let sent: u64 = session.puts.iter().map(|put| put.bytes).sum();
    assert!(sent <= SIZE + 2 * CHUNK, "{sent}");
}

#[test]
fn an_object_without_a_strong_version_is_copied_and_sent_from_the_copy() {
    for lie in [Lie::NoTag, Lie::WeakTag] {
        let stage = Stage::new();
        stage.liar.lie(lie);
        let ended = stage.upload("s3://renders/clip.mp4", &[]).end().expect(0);
        assert!(ended.stdout.contains("copied to a file first"), "{lie:?}");
        stage
            .scene
            .assert_one_draft_of(&stage.scene.path("clip.mp4"));
        let left = fs::read_dir(stage.scene.state_dir().join("spool")).unwrap();
        assert_eq!(left.count(), 0, "{lie:?}");
        assert_secret(&stage, &ended);
    }
}
