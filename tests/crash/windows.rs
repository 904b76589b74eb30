//! The journal keeps the window of inits, so that no crash resets it.

use std::time::Duration;

use crate::matrix::full;
use crate::scene::{End, Scene, at};
use crate::switches::{Row, WHOLE};
use crate::video;

#[test]
fn killed_after_each_init_the_seventh_still_waits_for_its_minute() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clip.mp4");
    video::write(&file, WHOLE, 1);
    // Answers that nobody records take no pending place here, or that cap would come first.
    // The first init travels slowly: the service counts it later than the journal does.
    let row = Row::with(&["orphan_counts=no", "fault=inbox_init nth=1 delay=500ms"]);
    let mut scene = Scene::new(&row, &file);
    let answered = at("init", "answered", 1);
    for _ in 0..6 {
        let run = scene.run(Some(&answered), Duration::MAX, || {});
        assert_eq!(run.end, End::AtPoint);
    }
    let run = scene.run(None, Duration::from_secs(5), || {});
    assert_eq!((run.end, run.events("waiting").count()), (End::Cut, 1));
    let log = scene.log();
    assert_eq!((log.requests.init, log.drafts), (6, 0), "{log:#?}");
    if full() {
        // The service's minute ends no earlier than the journal's.
        let run = scene.run(None, Duration::MAX, || {});
        let log = scene.log();
        assert_eq!((run.end, log.requests.init), (End::Exit(0), 7), "{log:#?}");
    }
}
