//! The window of inits stands in the journal, so that no crash opens it.

use std::time::Duration;

use crate::scene::{End, Scene, at};
use crate::switches::{Row, WHOLE};
use crate::video;

#[test]
fn killed_after_each_init_the_seventh_still_waits_for_its_minute() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clip.mp4");
    video::write(&file, WHOLE, 1);
    // Answers that nobody records take no pending place here, or that cap would come first.
    let mut scene = Scene::new(&Row::with(&["orphan_counts=no"]), &file);
    let answered = at("init", "answered", 1);
    for _ in 0..6 {
        let run = scene.run(Some(&answered), Duration::MAX);
        assert_eq!(run.end, End::AtPoint);
    }
    let run = scene.run(Some(&answered), Duration::from_secs(3));
    assert_eq!((run.end, run.events("waiting").count()), (End::Cut, 1));
    let log = scene.log();
    assert_eq!((log.requests.init, log.drafts), (6, 0), "{log:#?}");
}
