//! The words people read: a change of them is a change of the product.

use std::fs;
use std::time::Duration;

use crate::alter;
use crate::scene::{Scene, Start};

/// Everything said on stderr, without what differs from run to run.
fn said(text: &str) -> String {
    let words = |line: &str| {
        let mut shown = Vec::new();
        for word in line.split(' ') {
            let plain = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let clock = plain.len() == 5 && plain.as_bytes()[2] == b':';
            shown.push(match () {
                () if plain.starts_with("v_inbox_file") => word.replace(plain, "PUBLISH_ID"),
                () if clock && plain.replace(':', "").parse::<u32>().is_ok() => {
                    word.replace(plain, "HH:MM")
                }
                () => word.to_owned(),
            });
        }
        shown.join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

/// The last thing said.
fn last(text: &str) -> String {
    said(text.trim_end().lines().last().unwrap_or_default())
}

#[test]
fn a_delivered_file_is_told_with_its_day_and_the_way_to_send_it_again() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 12_000_000);
    let ended = scene
        .command(["upload", "--chunk-size", "5MiB", "clip.mp4"])
        .end()
        .expect(0);
    let told = said(
        &ended
            .stderr
            .replace(scene.path("").to_str().unwrap(), "DIR/"),
    );
    insta::assert_snapshot!(told, @"
    The journal is kept in DIR/state. It is what lets uploads carry on and prevents double drafts.
    clip.mp4: 12.0 MB in 2 chunks
    clip.mp4: every byte is accepted; TikTok works on it
    clip.mp4 is in lena's inbox (PUBLISH_ID).
    ");
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(0);
    insta::assert_snapshot!(last(&ended.stderr), @"clip.mp4 is already in lena's inbox since HH:MM (PUBLISH_ID). Nothing sent. To send it again: --again");
}

#[test]
fn a_missing_token_is_told_with_two_ways_on() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    let ended = scene
        .command(["upload", "clip.mp4"])
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .end()
        .expect(4);
    insta::assert_snapshot!(last(&ended.stderr), @"No access token: TIKTOK_ACCESS_TOKEN is not set. Set TIKTOK_ACCESS_TOKEN or --token-file. To try without an account: chunkferry demo");
}

#[test]
fn a_changed_file_is_told_with_the_chunk_and_that_nothing_was_posted() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 30_000_000);
    let mut run = scene.upload(&file, &["--bwlimit", "20MB"]).start();
    run.until_confirmed(15_000_000);
    assert!(run.kill());
    alter::edit(&file, 12_000_000);
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(3);
    insta::assert_snapshot!(last(&ended.stderr), @"clip.mp4 changed while it was being sent (chunk 3 differs). Nothing was posted. Run the same command to send the file as it is now.");
}

#[test]
fn the_pending_cap_is_told_with_who_must_act_and_when_it_ends() {
    let scene = Scene::new(&[], &[]);
    // Five drafts fill the inbox; the sixth init is the last that fits into the minute.
    for number in 1..=5 {
        scene.video(&format!("{number}.mp4"), 100_000 + number);
    }
    scene
        .command(["upload", "1.mp4", "2.mp4", "3.mp4", "4.mp4", "5.mp4"])
        .end()
        .expect(0);
    scene.video("clip.mp4", 1_000_000);
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(4);
    let told = last(&ended.stderr);
    // A day on, so with its day.
    let day = told
        .split("after ")
        .nth(1)
        .and_then(|rest| rest.rsplit_once(' '))
        .unwrap()
        .0
        .to_owned();
    let log_id = told.split("[log_id ").nth(1).unwrap();
    let log_id = log_id.split(']').next().unwrap();
    insta::assert_snapshot!(told.replace(&day, "D MON").replace(log_id, "ID"), @"lena has 5 drafts waiting, TikTok's limit (spam_risk_too_many_pending_share) [log_id ID]. The creator posts or deletes one, or run this again after D MON HH:MM.");
    assert_eq!(scene.log().drafts, 5);
}

#[test]
fn what_cannot_be_sent_is_told_with_what_helps() {
    let scene = Scene::new(&[], &[]);
    let whole = fs::read(scene.video("whole.mp4", 100_000)).unwrap();
    fs::write(scene.path("clip.mp4"), &whole[..60_000]).unwrap();
    fs::write(scene.path("empty.mp4"), "").unwrap();
    let mkv = [
        b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska".as_slice(),
        &[0; 100],
    ]
    .concat();
    fs::write(scene.path("clip.mkv"), mkv).unwrap();
    let told: Vec<String> = ["clip.mp4", "empty.mp4", "clip.mkv", "missing.mp4"]
        .iter()
        .map(|name| last(&scene.command(["upload", name]).end().expect(3).stderr))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @"
    clip.mp4: this MP4 is unfinished: 40000 bytes of its `mdat` part are missing. Let the export or copy finish, then run this again. To keep the part that is there: ffmpeg -i clip.mp4 -c copy clip.new.mp4
    empty.mp4 cannot be sent: it is empty; a video has at least 1 byte
    clip.mkv: this is Matroska (MKV); the service takes MP4, MOV and WebM. Try: ffmpeg -i clip.mkv -c copy clip.mp4
    missing.mp4 cannot be read: No such file or directory (os error 2)
    ");
}

#[test]
fn a_foreign_token_is_told_with_the_remedy() {
    let scene = Scene::new(&[], &[]);
    scene.video("clip.mp4", 1_000_000);
    scene.command(["upload", "clip.mp4"]).end().expect(0);
    let mut foreign = scene.command(["upload", "clip.mp4"]);
    let ended = foreign
        .env("TIKTOK_ACCESS_TOKEN", "act.mia.1")
        .end()
        .expect(4);
    insta::assert_snapshot!(last(&ended.stderr), @r#"The token belongs to another creator than the one this file was sent for as account "lena". Nothing was sent. Give each creator a name of its own: --account NAME."#);
}

#[test]
fn a_video_that_failed_is_told_with_what_must_change() {
    let scene = Scene::new(&["fail_reason=picture_size_check_failed"], &[]);
    scene.video("clip.mp4", 1_000_000);
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(1);
    insta::assert_snapshot!(last(&ended.stderr), @"TikTok accepted clip.mp4 and then rejected it: picture_size_check_failed (PUBLISH_ID). Both sides must have 360 to 4096 pixels: resize it (ffmpeg -i IN -vf scale=1080:-2 OUT.mp4). The same video is not sent again unless asked for. --again sends it once more.");
}

#[test]
fn a_hand_over_does_not_claim_the_inbox() {
    let scene = Scene::new(&["processing_time=1h"], &[]);
    scene.video("clip.mp4", 1_000_000);
    let ended = scene
        .command(["upload", "--no-wait", "clip.mp4"])
        .end()
        .expect(0);
    insta::assert_snapshot!(last(&ended.stderr), @"clip.mp4 is with TikTok (PUBLISH_ID); the inbox is not confirmed. The same command follows it to the end.");
    let ended = scene
        .command(["upload", "--wait", "1", "clip.mp4"])
        .end()
        .expect(75);
    insta::assert_snapshot!(last(&ended.stderr), @"Every byte is at the service, but after 1 s it is still working on the video. 1000000 of 1000000 bytes of clip.mp4 are acknowledged. Run the same command again: it carries on.");
    scene.emulator.advance(Duration::from_secs(3600));
    let ended = scene.command(["upload", "clip.mp4"]).end().expect(0);
    insta::assert_snapshot!(last(&ended.stderr), @"clip.mp4 is in lena's inbox (PUBLISH_ID).");
}
