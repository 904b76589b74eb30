//! `--bwlimit`: as much as was said leaves in any stretch of time, and no more.

use crate::scene::{CHUNK, Scene, Start};

const RATE: u64 = 16_000_000;

/// What a pause leaves to be made up for, in seconds.
const CREDIT: f64 = 0.2;

/// A chunk whose every byte left between two moments: the answer to the one before it, and its own.
struct Passage {
    after: u64,
    until: u64,
    bytes: u64,
}

#[test]
fn two_uploads_together_never_exceed_the_rate_by_more_than_its_credit() {
    let scene = Scene::new(&[], &[]);
    let files = [
        scene.video("one.mp4", 6 * CHUNK),
        scene.video("two.mp4", 6 * CHUNK + 1),
    ];
    let ended = scene
        .upload(&files[0], &["--bwlimit", "16MB"])
        .arg(&files[1])
        .end();
    let log = scene.log();
    assert_eq!(ended.code, Some(0), "{ended:?}\n{log:#?}");
    assert_eq!(log.drafts, 2);
    let passages = log.sessions.iter().flat_map(|session| {
        session.puts.windows(2).map(|puts| Passage {
            after: puts[0].answered_us.unwrap(),
            until: puts[1].answered_us.unwrap(),
            bytes: puts[1].bytes,
        })
    });
    let passages: Vec<_> = passages.collect();
    assert_eq!(passages.len(), 10);
    // However late the server looks, a stretch only gets longer by that.
    for start in passages.iter().map(|passage| passage.after) {
        for end in passages.iter().map(|passage| passage.until) {
            let within = passages
                .iter()
                .filter(|passage| passage.after >= start && passage.until <= end);
            let bytes: u64 = within.map(|passage| passage.bytes).sum();
            let seconds = end.saturating_sub(start) as f64 / 1e6;
            let most = RATE as f64 * (seconds + CREDIT);
            assert!(
                bytes as f64 <= most,
                "{bytes} bytes in {seconds} s: {:#?}",
                log.sessions
            );
        }
    }
}
