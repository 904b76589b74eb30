//! One process at a time owns the journal; the others wait, or say that they do not.

use crate::scene::{Scene, Start};

#[test]
fn a_second_upload_waits_for_the_first_and_says_for_whom() {
    let scene = Scene::new(&["receive_rate=8MB"], &[]);
    let (one, two) = (
        scene.video("one.mp4", 48_000_000),
        scene.video("two.mp4", 1_000_000),
    );
    let mut first = scene.upload(&one, &[]).start();
    first.until_confirmed(1);
    let state = |scene: &Scene| {
        let list = scene.command(["list", "--json"]).end().expect(0);
        serde_json::from_str::<serde_json::Value>(list.stdout.trim()).unwrap()
    };
    assert_eq!(
        state(&scene)["state"],
        "uploading",
        "a new state is shown at once"
    );

    let ended = scene.upload(&two, &["--no-wait-lock"]).end().expect(75);
    let outcome = ended.outcome();
    assert_eq!(
        (&outcome["outcome"], &outcome["exit"]),
        (&"retry".into(), &75.into())
    );
    assert!(ended.message().contains("one.mp4"), "{outcome}");
    let ended = scene
        .command(["upload", "--no-wait-lock", "two.mp4"])
        .end()
        .expect(75);
    assert_eq!(ended.stdout, "-\tretry\ttwo.mp4\n");
    assert!(ended.stderr.contains("one.mp4"), "{}", ended.stderr);

    let mut second = scene.command(["upload", "two.mp4"]).start();
    second.until_told("Waiting for it to end");
    let told = second.told();
    assert!(told.contains(&format!("process {}", first.pid())), "{told}");
    assert!(told.contains("one.mp4"), "{told}");
    assert!(first.is_running() && second.is_running());

    // Another's progress can be seen meanwhile, without its database.
    first.until_confirmed(20_000_000);
    let record = state(&scene);
    let confirmed = record["confirmed"].as_u64().unwrap();
    assert!((1..48_000_000).contains(&confirmed), "{record}");
    assert_eq!(scene.log().inits, 1, "the second has not begun");
    assert!(first.is_running(), "the list was read while it ran");

    first.end().expect(0);
    second.end().expect(0);
    assert_eq!(scene.log().drafts, 2);
}

#[test]
fn a_killed_owner_leaves_no_lock_behind() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let mut run = scene.upload(&file, &["--bwlimit", "10MB"]).start();
    run.until_confirmed(5_000_000);
    assert!(run.kill());
    scene.upload(&file, &["--no-wait-lock"]).end().expect(0);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_list_without_its_file_says_so_and_the_next_run_brings_it_back() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let mut run = scene.upload(&file, &["--bwlimit", "10MB"]).start();
    run.until_confirmed(5_000_000);
    assert!(run.kill());
    let list = || scene.command(["list"]).end().expect(0);
    assert!(list().stdout.contains("uploading"), "{:?}", list());
    let status = scene.state_dir().join("status.json");
    std::fs::write(&status, "{\"v\":1,\"uploads\":[]}").unwrap();
    let told = list();
    assert!(told.stderr.contains("status.json"), "{told:?}");
    assert!(!told.stdout.contains("uploading"), "{told:?}");

    let mut run = scene.upload(&file, &["--bwlimit", "2MB"]).start();
    run.until("it goes on", |line| line["event"] == "planned");
    assert!(list().stdout.contains("uploading"), "{:?}", list());
    assert_eq!(list().stderr, "");
    run.end().expect(0);
    assert!(list().stdout.contains("delivered"), "{:?}", list());
}
