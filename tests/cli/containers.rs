//! Containers: a complete file is sent with its type, and a broken one is refused before any request.

use std::fs;

use serde_json::Value;

use crate::scene::{Scene, Start};
use samples::{broken, taken, trailers};

#[allow(dead_code)] // The tests beside the code use all of it.
mod samples;

#[test]
fn what_is_broken_never_reaches_the_service() {
    let scene = Scene::new(&[], &[]);
    let (files, all) = (taken(), broken());
    let mut names = Vec::new();
    for (number, row) in all.iter().enumerate() {
        names.push(format!("{number}.mp4"));
        fs::write(scene.path(&names[number]), row.bytes(&files)).unwrap();
    }
    let mut command = scene.command(["upload", "--json"]);
    let outcomes = command.args(&names).end().expect(3).outcomes();
    assert_eq!(outcomes.len(), all.len());
    for (name, row) in names.iter().zip(&all) {
        let outcome = outcomes.iter().find(|line| line["file"] == **name).unwrap();
        let message = outcome["error"]["message"].as_str().unwrap();
        assert!(
            outcome["exit"] == 3 && message.contains(&row.reason),
            "{}: {outcome}",
            row.name
        );
    }
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn what_somebody_appended_is_sent_with_the_video() {
    let (files, trailers) = (taken(), trailers());
    for name in [
        "ffmpeg: MP4",
        "by hand: free before ftyp",
        "ffmpeg: MOV",
        "ffmpeg: WebM into a pipe",
    ] {
        let scene = Scene::new(&[], &[]);
        let row = files.iter().find(|row| row.name == name).unwrap();
        let tag = trailers
            .iter()
            .find(|row| row.name.starts_with("APEv2"))
            .unwrap();
        let path = scene.path("clip");
        fs::write(&path, [row.bytes(), tag.bytes()].concat()).unwrap();
        scene.upload(&path, &[]).end().expect(0);
        scene.assert_one_draft_of(&path);
        let history = fs::read_to_string(scene.state_dir().join("history.jsonl")).unwrap();
        let line: Value = serde_json::from_str(history.lines().last().unwrap()).unwrap();
        assert!(
            line.to_string()
                .contains(&format!("\"{}\"", row.content_type)),
            "{name}: {line}"
        );
    }
}

#[test]
fn the_attributes_that_macos_keeps_beside_a_file_are_called_so() {
    let scene = Scene::new(&[], &[]);
    let files = broken();
    let row = files.iter().find(|row| row.name.starts_with("._")).unwrap();
    fs::write(scene.path("._clip.mp4"), row.bytes(&taken())).unwrap();
    let ended = scene.command(["upload", "._clip.mp4"]).end().expect(3);
    assert!(
        ended.stderr.contains("AppleDouble") && ended.stderr.contains("without `._` in front"),
        "{}",
        ended.stderr
    );
}
