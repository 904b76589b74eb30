//! Never two drafts of the same bytes for one account, unless the user says so.

use std::fs;

use crate::scene::{Scene, Start};

/// What the emulator counted: inits asked for, PUTs, drafts.
fn counts(scene: &Scene) -> (u64, u64, u64) {
    let log = scene.log();
    (log.requests.init, log.requests.put, log.drafts)
}

#[test]
fn a_delivered_file_is_never_sent_again_by_whatever_name() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let first = scene.upload(&file, &[]).end().expect(0).outcome();
    assert_eq!(first["outcome"], "delivered");
    let before = counts(&scene);
    assert_eq!((before.0, before.2), (1, 1));

    let renamed = scene.path("renamed.mp4");
    let copy = scene.path("elsewhere").join("copy.mp4");
    let again = |file: &std::path::Path| {
        let ended = scene.upload(file, &[]).end().expect(0);
        let outcome = ended.outcome();
        assert_eq!(outcome["outcome"], "already_delivered", "{file:?}");
        assert_eq!(outcome["publish_id"], first["publish_id"], "{file:?}");
        assert_eq!(outcome["sha256"], first["sha256"], "{file:?}");
        assert_eq!(outcome["bytes_sent"], 0, "{file:?}");
        assert_eq!(counts(&scene), before, "{file:?}");
    };
    again(&file);
    fs::rename(&file, &renamed).unwrap();
    again(&renamed);
    fs::create_dir(scene.path("elsewhere")).unwrap();
    fs::copy(&renamed, &copy).unwrap();
    again(&copy);
    fs::remove_file(&renamed).unwrap();
    again(&copy);

    // A file of the same size with other bytes is another video.
    let other = scene.video("other.mp4", 12_000_000);
    let ended = scene.upload(&other, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    assert_eq!(scene.log().drafts, 2);
}

#[test]
fn again_and_another_account_each_make_a_draft_of_their_own() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    scene.upload(&file, &[]).end().expect(0);
    scene.upload(&file, &["--again"]).end().expect(0);
    assert_eq!(scene.log().drafts, 2);
    scene
        .upload(&file, &["--account", "mia"])
        .env("TIKTOK_ACCESS_TOKEN", "act.mia.1")
        .end()
        .expect(0);
    let log = scene.log();
    assert_eq!((log.drafts, log.inits), (3, 3));
    let creators: Vec<_> = log
        .sessions
        .iter()
        .map(|session| &*session.creator)
        .collect();
    assert_eq!(creators, ["lena", "lena", "mia"]);
}

#[test]
fn again_carries_an_unfinished_upload_on_instead_of_starting_another() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let mut run = scene
        .upload(&file, &["--again", "--bwlimit", "20MB"])
        .start();
    run.until_confirmed(10_000_000);
    assert!(run.kill());
    scene.upload(&file, &["--again"]).end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_token_that_is_replaced_half_way_changes_nothing() {
    // The first token stops working in the middle of the upload.
    let scene = Scene::new(&[], &["put chunk=3 revoke_token"]);
    let file = scene.video("clip.mp4", 30_000_000);
    let token = scene.path("token");
    fs::write(&token, "act.lena.1\n").unwrap();
    let with_token = ["--bwlimit", "20MB", "--token-file", token.to_str().unwrap()];
    let mut run = scene.upload(&file, &with_token).start();
    run.until_confirmed(10_000_000);
    fs::write(&token, "act.lena.2\n").unwrap();
    run.end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_token_that_dies_half_way_stops_at_the_end_and_a_fresh_one_finishes() {
    let scene = Scene::new(&[], &["put chunk=3 revoke_token"]);
    let file = scene.video("clip.mp4", 30_000_000);
    let stopped = scene.upload(&file, &[]).end().expect(4);
    assert_eq!(stopped.outcome()["error"]["code"], "access_token_invalid");
    let mut fresh = scene.upload(&file, &[]);
    fresh
        .env("TIKTOK_ACCESS_TOKEN", "act.lena.2")
        .end()
        .expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_token_of_another_creator_never_takes_over_a_half_sent_upload() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(10_000_000);
    assert!(run.kill());
    let before = counts(&scene);

    let mut foreign = scene.upload(&file, &[]);
    let ended = foreign
        .env("TIKTOK_ACCESS_TOKEN", "act.mia.1")
        .end()
        .expect(4);
    let message = ended.message();
    assert!(message.contains("--account"), "{message}");
    assert_eq!(ended.outcome()["outcome"], "needs_person");
    assert_eq!(counts(&scene), before, "no init, no PUT, no draft");

    scene.upload(&file, &[]).end().expect(0);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn nobody_is_told_already_delivered_of_a_draft_in_somebody_elses_inbox() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    scene.upload(&file, &[]).end().expect(0);
    let before = counts(&scene);

    let mut foreign = scene.upload(&file, &[]);
    let ended = foreign
        .env("TIKTOK_ACCESS_TOKEN", "act.mia.1")
        .end()
        .expect(4);
    let message = ended.message();
    assert!(message.contains("--account"), "{message}");
    assert!(
        !ended.stdout.contains("already_delivered"),
        "{}",
        ended.stdout
    );
    assert_eq!(counts(&scene), before);
}

#[test]
fn two_names_of_one_file_in_one_command_make_one_draft() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let copy = scene.path("copy.mp4");
    fs::copy(&file, &copy).unwrap();
    let ended = scene
        .upload(&file, &[copy.to_str().unwrap()])
        .end()
        .expect(0);
    let outcomes = ended.outcomes();
    let mut words: Vec<_> = outcomes
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    words.sort_unstable();
    assert_eq!(words, ["already_delivered", "delivered"]);
    assert_eq!(scene.log().inits, 1);
    scene.assert_one_draft_of(&file);
}

#[test]
fn every_spelling_of_an_api_base_is_one_api() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let url = scene.emulator.url();
    let port = url.rsplit(':').next().unwrap();
    for base in [
        format!("http://127.1:{port}"),
        format!("HTTP://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://0x7f.1:{port}"),
        url.clone(),
    ] {
        let mut command = scene.upload(&file, &[]);
        command.env("CHUNKFERRY_API_BASE", &base).end().expect(0);
        assert_eq!(scene.log().drafts, 1, "{base}");
    }
}
