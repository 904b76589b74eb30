//! The creator of an account: who it is, and what messages claim about the inbox.

use std::time::Duration;

use crate::scene::{Scene, Start};

const MIA: &str = "act.mia.1";

#[test]
fn a_token_of_another_creator_under_a_known_name_stops_the_run_before_any_init() {
    let scene = Scene::new(&[], &[]);
    for name in ["one.mp4", "two.mp4", "three.mp4"] {
        scene.video(name, 100_000 + name.len() as u64);
    }
    let ended = scene.command(["upload", "one.mp4"]).end().expect(0);
    assert!(
        ended.stderr.contains("one.mp4 is in lena's inbox"),
        "{}",
        ended.stderr
    );

    let upload = |args: &[&str]| {
        let mut command = scene.command(["upload", "--json"]);
        command.args(args).env("TIKTOK_ACCESS_TOKEN", MIA).end()
    };
    let ended = upload(&["two.mp4", "three.mp4"]).expect(4);
    for outcome in ended.outcomes() {
        let told = outcome["error"]["message"].as_str().unwrap();
        for word in [
            "another creator",
            "lena",
            "--account",
            "forget --creator lena",
        ] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert_eq!(outcome["outcome"], "needs_person");
    }
    let requests = scene.log().requests;
    assert_eq!(
        (requests.init, requests.other),
        (1, 2),
        "asked once for each run and account"
    );
    upload(&["two.mp4", "--account", "mia"]).expect(0);

    let mut forget = scene.command(["forget", "--creator", "lena"]);
    forget.end().expect(0);
    scene
        .command(["forget", "--creator", "lena"])
        .end()
        .expect(2);
    let ended = upload(&["three.mp4"]).expect(0);
    assert_eq!(ended.outcome()["creator_known"], true);
    let drafts = scene
        .log()
        .sessions
        .into_iter()
        .map(|session| session.creator);
    assert_eq!(drafts.collect::<Vec<_>>(), ["lena", "mia", "mia"]);
}

#[test]
fn what_cannot_be_known_stops_nothing_and_is_not_claimed() {
    let faults = [
        "user_info code=scope_permission_missed",
        "user_info code=scope_not_authorized",
        "user_info status=500 body=<html>",
        "user_info status=200 body={}",
        "user_info status=200 body={\"data\":{\"user\":{\"open_id\":\"\"}},\"error\":{\"code\":\"ok\",\"message\":\"\",\"log_id\":\"1\"}}",
        "user_info lose",
        "user_info code=rate_limit_exceeded",
    ];
    for fault in faults {
        let scene = Scene::new(&[], &[fault]);
        let file = scene.video("clip.mp4", 100_000);
        let ended = scene.command(["upload", "clip.mp4"]).end().expect(0);
        let told = &ended.stderr;
        assert!(!told.contains("lena's inbox"), "{fault}: {told}");
        assert!(
            told.contains("whose token was used") && told.contains("lena"),
            "{fault}: {told}"
        );
        assert!(!told.contains("again in"), "no second try: {told}");
        assert_eq!(scene.log().requests.other, 1, "{fault}");
        let again = scene.command(["upload", "clip.mp4"]).end().expect(0);
        assert!(
            !again.stderr.contains("lena's inbox"),
            "{fault}: {}",
            again.stderr
        );
        assert_eq!(
            scene.log().requests.other,
            1,
            "nothing is asked where nothing is sent"
        );
        let json = scene.upload(&file, &[]).end().expect(0);
        assert_eq!(json.outcome()["creator_known"], false, "{fault}");
    }
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for_longer_than_a_moment() {
    let scene = Scene::new(&[], &["user_info delay=1h"]);
    scene.video("clip.mp4", 100_000);
    let mut command = scene.upload(&scene.path("clip.mp4"), &[]);
    let ended = command.end().expect(0);
    assert_eq!(ended.outcome()["creator_known"], false);
    assert_eq!(scene.log().drafts, 1);
    scene.emulator.advance(Duration::from_secs(1));
}

#[test]
fn a_token_that_is_refused_leaves_the_question_to_the_next_one() {
    let scene = Scene::new(
        &[],
        &[
            "user_info nth=1 code=access_token_invalid",
            "inbox_init nth=1 code=access_token_invalid",
        ],
    );
    scene.video("clip.mp4", 100_000);
    let counting = "echo x >>calls; echo act.lena.$(wc -l <calls)";
    let mut command = scene.command(["upload", "--json", "clip.mp4", "--token-command", counting]);
    let ended = command.end().expect(0);
    assert_eq!(ended.outcome()["creator_known"], true);
}
