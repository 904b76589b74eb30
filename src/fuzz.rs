//! Entry points of the fuzzer: what reads text and bytes from outside. Only there with `cfg(fuzzing)`.

use std::time::{Duration, SystemTime};

use crate::journal::read_row;
use crate::secret::Redactor;
use crate::source::recognise_with;
use crate::tiktok::json::{self, Body};
use crate::upload::model;

/// An answer of the API: a value or an error, short and plain in what it would show.
pub fn answer(bytes: &[u8]) {
    let Some((&status, body)) = bytes.split_first() else {
        return;
    };
    let http_status = 100 + u16::from(status) * 2;
    let body = Body {
        http_status,
        retry_after: None,
        bytes: body,
        redactor: &Redactor::default(),
    };
    if let Ok(opened) = json::opened(&body) {
        assert!(http_status < 400 && !opened.publish_id.is_empty());
        assert!(!opened.publish_id.chars().any(char::is_control));
    }
    match json::report(&body) {
        Ok(report) => {
            let reason = report.fail_reason.unwrap_or_default();
            for text in [&report.word, &reason] {
                assert!(text.chars().count() <= 300 && !text.chars().any(char::is_control));
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

/// The headers of an answer: progress and the wait it asks for.
pub fn headers(text: &str, video_size: u64) {
    if let Some(bytes) = json::progress(text, video_size) {
        assert!(text.contains(&video_size.to_string()) && text.contains(&bytes.to_string()));
    }
    if let Some(wait) = json::retry_after(text, SystemTime::UNIX_EPOCH) {
        assert!(wait.as_secs() <= 3600);
    }
}

/// A row of the journal: if it can be read, the row that is written of it reads back as the same.
pub fn row(bytes: &[u8]) {
    let Some(row) = read_row(bytes) else {
        return;
    };
    let written = serde_json::to_vec(&row).expect("a row");
    let again = read_row(&written).expect("the same row");
    assert_eq!(serde_json::to_vec(&again).expect("a row"), written);
    drop(format!("{row:?}"));
}

/// The first bytes of a file of any size: a container, or why it is none; reads stay within the file.
pub fn container(bytes: &[u8], more: u64) {
    let size = (bytes.len() as u64).saturating_add(more);
    let read = |buffer: &mut [u8], at: u64| {
        assert!(
            at.saturating_add(buffer.len() as u64) <= size,
            "a read past the end"
        );
        buffer.fill(0);
        let there = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
        let there = there.unwrap_or_default();
        let some = there.len().min(buffer.len());
        buffer[..some].copy_from_slice(&there[..some]);
        Ok(())
    };
    if let Err(unfit) = recognise_with(&read, size, Duration::from_secs(5)) {
        drop((unfit.to_string(), unfit.advice("clip.mp4")));
    }
}

/// The state machine under a service that may answer anything.
pub fn machine(whims: &[u8]) {
    model::play(whims);
}
