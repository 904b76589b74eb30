//! Several files in one command: the exit code that wins, and the summary.

use std::fs;

use crate::scene::{Scene, Start};

#[test]
fn what_another_run_can_cure_wins_over_what_it_cannot() {
    let scene = Scene::new(&[], &[]);
    scene.video("good.mp4", 1_000_000);
    fs::write(scene.path("text.mp4"), "no video").unwrap();
    // A token that comes later: another run can cure that.
    let later = scene.video("later.mp4", 100_000_000);
    let args = ["upload", "good.mp4", "text.mp4"];
    let ended = scene.command(args).end().expect(3);
    assert_eq!(
        ended.stderr.trim_end().lines().last(),
        Some("1 delivered, 1 failed"),
        "{}",
        ended.stderr
    );

    let open = fs::OpenOptions::new().write(true).open(&later).unwrap();
    let ended = scene.command(args).arg("later.mp4").end().expect(75);
    assert_eq!(
        ended.stderr.trim_end().lines().last(),
        Some("1 already delivered, 1 failed, 1 to run again"),
        "{}",
        ended.stderr
    );
    drop(open);
    let ended = scene
        .command(args)
        .args(["--json", "later.mp4"])
        .end()
        .expect(3);
    let last: serde_json::Value =
        serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "summary", "{last}");
    assert_eq!(
        (&last["v"], &last["exit"]),
        (&1.into(), &3.into()),
        "{last}"
    );
    let outcomes = &last["outcomes"];
    assert_eq!(
        *outcomes,
        serde_json::json!({ "already_delivered": 2 - 1, "delivered": 1, "failed": 1 }),
        "{last}"
    );
}

#[test]
fn one_file_needs_no_sum() {
    let scene = Scene::new(&[], &[]);
    scene.video("good.mp4", 1_000_000);
    let ended = scene.command(["upload", "good.mp4"]).end().expect(0);
    assert!(!ended.stderr.contains("1 delivered"), "{}", ended.stderr);
    let ended = scene
        .command(["upload", "--json", "good.mp4"])
        .end()
        .expect(0);
    assert!(!ended.stdout.contains("summary"), "{}", ended.stdout);
}
