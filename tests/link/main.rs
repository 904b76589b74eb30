//! Links as they are: the kernel's own TCP over a rate, a distance, and a queue that overflows.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod cell;
mod link;
mod matrix;
mod namespace;
mod page;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use cell::Cell;
use chunkferry::Limits;
use link::Shape;
use support::video;

/// Whether every link is measured, and not just tried.
fn full() -> bool {
    std::env::var_os("CHUNKFERRY_FULL").is_some_and(|value| !value.is_empty())
}

#[test]
fn a_long_link_costs_no_second_connection_and_no_byte_twice() {
    if full() {
        return;
    }
    let shape = Shape {
        rate: 100_000_000,
        rtt: Duration::from_millis(50),
    };
    let Some(cell) = Cell::new(shape) else { return };
    let emulator = cell.emulator(&[]);
    let first = cell.video("first.mp4", 21_000_000);
    let run = cell.upload(&emulator, &first, "state", None);
    assert_eq!(run.chunk_size, Limits::DEFAULT_CHUNK);
    assert_eq!((run.connections, run.sent_again), (1, 0));
    // Even on a busy machine the rate is high enough for the largest chunk.
    let second = cell.video("second.mp4", 65_000_000);
    let run = cell.upload(&emulator, &second, "state", None);
    assert_eq!(run.chunk_size, Limits::DOCUMENTED.max_chunk());
    assert_eq!((run.connections, run.sent_again), (1, 0));
    let log = cell.log(&emulator);
    let received = log
        .sessions
        .into_iter()
        .filter_map(|session| session.sha256);
    let sent = [first, second].map(|file| video::sha256(&file));
    assert_eq!((log.drafts, received.collect::<Vec<_>>()), (2, sent.into()));
}

#[test]
fn a_video_from_the_other_side_of_a_long_link_goes_back_over_it_as_one_draft() {
    let shape = Shape {
        rate: 100_000_000,
        rtt: Duration::from_millis(50),
    };
    let Some(cell) = Cell::new(shape) else { return };
    let Some(source) = cell.source() else {
        eprintln!("NOT TESTED: needs nginx");
        return;
    };
    let emulator = cell.emulator(&[]);
    let size = if full() { 300_000_000 } else { 21_000_000 };
    let file = cell.video("clip.mp4", size);
    let url = format!("{}/clip.mp4", source.origin);
    let chunk_size = Some(10_000_000);
    let local = cell.upload(&emulator, &file, "local", chunk_size);
    let remote = cell.upload_from(&emulator, url.as_ref(), "remote", chunk_size, Some(&source));
    assert_eq!((remote.sent_again, local.sent_again), (0, 0));
    let received = cell.log(&emulator).sessions.into_iter();
    let received: Vec<_> = received.filter_map(|session| session.sha256).collect();
    assert_eq!(received, [video::sha256(&file), video::sha256(&file)]);
    eprintln!(
        "{size} bytes from the other side: {:.2} of the rate of a local file",
        local.took.as_secs_f64() / remote.took.as_secs_f64()
    );
}

#[test]
fn auto_is_nowhere_much_slower_than_the_best_chunk_size() {
    if !full() {
        return;
    }
    let Some(cells) = matrix::measure() else {
        return;
    };
    eprintln!("{}", page::section(&cells));
    if matrix::chosen().is_none() {
        page::write(&cells);
    }
    for cell in &cells {
        let row = page::row(cell);
        let stretched = cell.round_trip.as_secs_f64() / cell.shape.rtt.as_secs_f64();
        assert!((1.0..1.1).contains(&stretched), "not this distance: {row}");
        if cell.shape.rtt <= Duration::from_millis(5) {
            let used = cell.shape.busy(cell.file).as_secs_f64() / cell.curl_seconds();
            assert!((0.9..1.0).contains(&used), "not this rate: {row}");
        }
        assert!(cell.against_best() <= 1.05, "{row}");
    }
}
