//! What is read of a file, and for how long.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::*;

/// What a look at a file of `size` bytes reads of it: how often, and how many bytes.
fn cost(
    size: u64,
    patience: Duration,
    read: impl Fn(&mut [u8], u64),
) -> (Result<Recognised, Unfit>, u64, u64) {
    let (reads, bytes) = (Cell::new(0), Cell::new(0));
    let counted = |buf: &mut [u8], at: u64| {
        reads.set(reads.get() + 1);
        bytes.set(bytes.get() + buf.len() as u64);
        read(buf, at);
        Ok(())
    };
    let found = recognise_with(&counted, size, patience);
    (found, reads.get(), bytes.get())
}

#[test]
fn a_file_of_empty_boxes_cannot_keep_us_reading() {
    let empty = |buf: &mut [u8], at: u64| {
        for (at, byte) in (at..).zip(buf) {
            *byte = b"\0\0\0\x08free"[(at % 8) as usize];
        }
    };
    let (found, reads, _) = cost(1 << 40, Duration::ZERO, empty);
    let unfit = found.unwrap_err();
    assert_eq!((reads, unfit.to_string()), (1, "it has more parts than could be checked in 0 s: 4088 of its 1099511627776 bytes were reached".to_owned()));
    let advice = unfit.advice("clip.mp4").unwrap();
    assert!(
        advice.contains("ffmpeg -i clip.mp4 -c copy clip.new.mp4"),
        "{advice}"
    );
}

#[test]
fn small_boxes_are_read_many_at_a_time() {
    let boxes = [
        ftyp(&[b"isom"]),
        boxed(b"free", b"").repeat(100_000),
        moov(),
        mdat(),
    ]
    .concat();
    let size = boxes.len() as u64;
    let read = |buf: &mut [u8], at| sparse(&boxes, size, buf, at).unwrap();
    let (found, reads, _) = cost(size, PATIENCE, read);
    found.unwrap();
    assert!(reads <= size / (64 * 1024) + 8, "{reads}");
}

#[test]
fn media_is_not_read() {
    let size = 6 << 30;
    let start = [ftyp(&[b"mp42"]), moov(), long_box(b"mdat", 5 << 30)].concat();
    let (found, _, bytes) = cost(size, PATIENCE, |buf, at| {
        sparse(&start, size, buf, at).unwrap()
    });
    found.unwrap();
    assert!(bytes <= 3 * 4096, "{bytes}");

    // 12,000 frames of 6 KB cost the page of each header.
    let frame = boxed(b"mdat", &vec![9; 6_000]);
    let film = [ftyp(&[b"isom"]), frame.repeat(12_000), moov()].concat();
    let size = film.len() as u64;
    let (found, reads, bytes) = cost(size, PATIENCE, |buf, at| {
        sparse(&film, size, buf, at).unwrap()
    });
    found.unwrap();
    assert!(
        reads <= 12_010 && bytes <= reads * (4096 + 16),
        "{reads} {bytes}"
    );
}

#[test]
fn a_file_that_shrinks_meanwhile_is_an_error_of_reading() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&mp4()).unwrap();
    let size = mp4().len() as u64;
    let read = |buffer: &mut [u8], at| file.read_exact_at(buffer, at);
    assert_eq!(recognise(&read, size).unwrap().container, Container::Mp4);
    file.set_len(300).unwrap();
    assert!(matches!(recognise(&read, size), Err(Unfit::Io(_))));
}
