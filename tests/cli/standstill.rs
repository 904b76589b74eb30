//! Paused runs: Ctrl-Z, a frozen container. The service gives the body up meanwhile, and no error may follow from that.

use std::time::Duration;

use crate::scene::{CHUNK, Scene, Start};

/// Longer than the emulator of these tests waits for the next byte of a body.
const STOPPED: Duration = Duration::from_secs(7);

#[test]
fn a_run_that_was_stopped_in_mid_chunk_carries_on_as_soon_as_it_may() {
    for more in [
        &["--bwlimit", "4MB"][..],
        &["--bwlimit", "4MB", "--no-ledger"],
    ] {
        let scene = Scene::new(&["body_timeout=4s"], &[]);
        let file = scene.video("clip.mp4", 3 * CHUNK);
        let mut running = scene.upload(&file, more).start();
        running.until_confirmed(CHUNK);
        std::thread::sleep(Duration::from_millis(400));
        running.signal("-STOP");
        std::thread::sleep(STOPPED);
        running.signal("-CONT");
        running.end().expect(0);
        scene.assert_one_draft_of(&file);
        let log = scene.log();
        let puts = &log.sessions[0].puts;
        assert_eq!(log.inits, 1, "{log:#?}");
        assert!(
            puts.iter()
                .any(|put| put.http_status != Some(206) && put.http_status != Some(201)),
            "no body was given up: {puts:#?}"
        );
    }
}
