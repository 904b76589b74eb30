//! The PUT: what is taken, what is refused, and that a refusal arrives.

use std::time::Duration;

use chunkferry::emulator::{Emulator, Settings};

use crate::client::{Line, Upload, sample, sha256, started};

const CHUNK: u64 = 5_242_880;
const SIZE: u64 = 3 * CHUNK + 7;

#[test]
fn chunks_out_of_order_are_refused_with_the_progress_and_change_nothing() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 416);
    assert_eq!(upload.put(&emulator, 0, CHUNK).status, 206);
    let again = upload.put(&emulator, 0, CHUNK);
    assert_eq!(again.status, 416);
    let progress = format!("bytes 0-{CHUNK}/{SIZE}");
    assert_eq!(again.header("content-range"), Some(&*progress));
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 206);
    assert_eq!(upload.put(&emulator, 2 * CHUNK, SIZE).status, 201);
    let expected = sha256(&sample(0, SIZE));
    assert_eq!(emulator.log().sessions[0].sha256, Some(expected));
}

#[test]
fn a_chunk_that_is_not_the_declared_one_is_refused() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    for (first, end) in [(0, CHUNK - 1), (0, CHUNK + 1), (0, SIZE)] {
        assert_eq!(
            upload.put(&emulator, first, end).status,
            400,
            "{first}..{end}"
        );
    }
    assert_eq!(upload.received(&emulator), 0);
}

#[test]
fn a_refusal_after_the_body_does_not_come_before_its_last_byte() {
    let emulator = started(&["put_refusal=after_body"], &[]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    let mut line = Line::open(&emulator);
    upload.put_head(&mut line, CHUNK, 2 * CHUNK, &[]);
    line.send(&sample(CHUNK, 2 * CHUNK - 1)).unwrap();
    let put = || emulator.log().sessions[0].puts[0].clone();
    wait_until(|| put().bytes > CHUNK - (1 << 20));
    assert!(put().open && put().http_status.is_none(), "{:?}", put());
    line.send(&sample(2 * CHUNK - 1, 2 * CHUNK)).unwrap();
    let refused = line.answer().unwrap();
    let progress = format!("bytes 0-0/{SIZE}");
    assert_eq!(refused.status, 416);
    assert_eq!(refused.header("content-range"), Some(&*progress));
    assert_eq!(put().bytes, CHUNK);
    // Nothing of it is left on the connection.
    upload.put_head(&mut line, 0, CHUNK, &[]);
    line.send(&sample(0, CHUNK)).unwrap();
    assert_eq!(line.answer().unwrap().status, 206);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_body_that_will_be_refused_is_not_answered() {
    let emulator = started(&["put_refusal=after_body"], &[]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    let mut line = Line::open(&emulator);
    upload.put_head(&mut line, CHUNK, 2 * CHUNK, &[]);
    line.send(&sample(CHUNK, CHUNK + 10)).unwrap();
    drop(line);
    let put = || emulator.log().sessions[0].puts.first().cloned();
    wait_until(|| put().is_some_and(|put| !put.open));
    assert_eq!(put().unwrap().http_status, None);
    assert_eq!(upload.received(&emulator), 0);
}

#[test]
fn a_sink_that_refuses_after_the_body_takes_the_next_chunk_by_the_same_connection() {
    let mut settings = Settings::default();
    settings.set("put_refusal", "after_body").unwrap();
    let builder = Emulator::builder().settings(settings).sink();
    let emulator = builder.start_blocking().unwrap();
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    let mut line = Line::open(&emulator);
    for (first, status) in [(CHUNK, 416), (0, 206)] {
        upload.put_head(&mut line, first, first + CHUNK, &[]);
        line.send(&sample(first, first + CHUNK)).unwrap();
        assert_eq!(line.answer().unwrap().status, status);
    }
    let nowhere = Upload {
        url: format!("{}x", upload.url),
        ..upload.clone()
    };
    for (upload, status) in [(&nowhere, 404), (&upload, 206)] {
        upload.put_head(&mut line, CHUNK, 2 * CHUNK, &[]);
        line.send(&sample(CHUNK, 2 * CHUNK)).unwrap();
        assert_eq!(line.answer().unwrap().status, status);
    }
}

#[test]
fn headers_alone_decide_before_a_body_is_asked_for() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let range = upload.range(0, 1000);
    let rows: [(&[(&str, &str)], u16); 9] = [
        (
            &[("content-type", "video/mp4"), ("content-length", "1000")],
            416,
        ),
        (
            &[
                ("content-type", "video/mp4"),
                ("content-length", "1000"),
                ("content-range", "x"),
            ],
            400,
        ),
        (
            &[("content-length", "1000"), ("content-range", &range)],
            400,
        ),
        (
            &[
                ("content-type", "application/x-www-form-urlencoded"),
                ("content-length", "1000"),
                ("content-range", &range),
            ],
            400,
        ),
        (
            &[
                ("content-type", "video/mp4"),
                ("content-length", "999"),
                ("content-range", &range),
            ],
            400,
        ),
        (
            &[
                ("content-type", "video/mp4"),
                ("content-length", "1001"),
                ("content-range", &range),
            ],
            400,
        ),
        (
            &[
                ("content-type", "video/mp4"),
                ("transfer-encoding", "chunked"),
                ("content-range", &range),
            ],
            400,
        ),
        (
            &[("content-type", "video/mp4"), ("content-range", &range)],
            400,
        ),
        (
            &[
                ("content-type", "video/mp4"),
                ("content-length", "1000"),
                ("content-range", "bytes 0-999/1001"),
            ],
            400,
        ),
    ];
    for (headers, expected) in rows {
        let mut line = Line::open(&emulator);
        let mut headers = headers.to_vec();
        headers.push(("expect", "100-continue"));
        line.head("PUT", upload.target(), &headers);
        let answer = line.answer().unwrap();
        assert_eq!(answer.status, expected, "{headers:?}");
    }
    let mut line = Line::open(&emulator);
    upload.put_head(&mut line, 0, 1000, &[("expect", "100-continue")]);
    assert_eq!(line.answer().unwrap().status, 100);
    line.send(&sample(0, 1000)).unwrap();
    assert_eq!(line.answer().unwrap().status, 201);
}

#[test]
fn a_refusal_reaches_a_client_that_sends_everything_before_it_reads() {
    let emulator = started(&[], &[]);
    let size = 60_000_000;
    let upload = Upload::init(&emulator, size, size, 1);
    let mut line = Line::open(&emulator);
    let (length, range) = (size.to_string(), upload.range(0, size));
    let headers = [
        ("content-type", "video/x-matroska"),
        ("content-length", &*length),
        ("content-range", &*range),
    ];
    line.head("PUT", upload.target(), &headers);
    let piece = sample(0, 1_000_000);
    for _ in 0..60 {
        line.send(&piece).unwrap();
    }
    assert_eq!(line.answer().unwrap().status, 400);
}

#[test]
fn a_short_body_times_out_is_not_counted_and_the_right_one_still_passes() {
    let emulator = started(&["body_timeout=200ms"], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let mut line = Line::open(&emulator);
    upload.put_head(&mut line, 0, 1000, &[]);
    line.send(&sample(0, 990)).unwrap();
    assert_eq!(line.answer().unwrap().status, 400);
    assert_eq!(upload.received(&emulator), 0);
    assert_eq!(upload.put(&emulator, 0, 1000).status, 201);
    let expected = sha256(&sample(0, 1000));
    assert_eq!(emulator.log().sessions[0].sha256, Some(expected));
}

#[test]
fn a_client_that_dies_inside_a_chunk_leaves_the_offset_where_it_was() {
    for (set, kept) in [("cut_chunk=discard", 0), ("cut_chunk=keep_prefix", 700)] {
        let emulator = started(&[set, "mid_chunk_put=accept"], &[]);
        let upload = Upload::init(&emulator, 1000, 1000, 1);
        let mut line = Line::open(&emulator);
        upload.put_head(&mut line, 0, 1000, &[]);
        line.send(&sample(0, 700)).unwrap();
        drop(line);
        wait_until(|| {
            let session = &emulator.log().sessions[0];
            session.puts.iter().any(|put| put.bytes == 700) && session.received == kept
        });
        assert_eq!(emulator.log().sessions[0].puts[0].http_status, None);
        assert_eq!(upload.put(&emulator, kept, 1000).status, 201, "{set}");
        let expected = sha256(&sample(0, 1000));
        assert_eq!(emulator.log().sessions[0].sha256, Some(expected), "{set}");
    }
}

#[test]
fn an_expired_url_is_403_and_an_unknown_one_404() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    assert_eq!(upload.put(&emulator, 0, CHUNK).status, 206);
    let mut stranger = upload.clone();
    stranger.url = stranger.url.replace("upload_token=", "upload_token=x");
    assert_eq!(stranger.put(&emulator, CHUNK, 2 * CHUNK).status, 404);
    emulator.advance(Duration::from_secs(3600));
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 403);
    emulator.set("dead_url_status", "405").unwrap();
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 405);
}

#[test]
fn two_puts_of_one_chunk_at_once_never_count_twice() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let mut older = Line::open(&emulator);
    upload.put_head(&mut older, 0, 1000, &[]);
    older.send(&sample(0, 500)).unwrap();
    wait_until(|| emulator.log().sessions[0].puts.len() == 1);
    assert_eq!(upload.put(&emulator, 0, 1000).status, 201);
    older.send(&[0; 500]).unwrap();
    assert_eq!(older.answer().unwrap().status, 416);
    let expected = sha256(&sample(0, 1000));
    assert_eq!(emulator.log().sessions[0].sha256, Some(expected));
}

#[test]
fn one_connection_carries_a_whole_upload() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    let mut line = Line::open(&emulator);
    for (first, end, status) in [
        (0, CHUNK, 206),
        (CHUNK, 2 * CHUNK, 206),
        (2 * CHUNK, SIZE, 201),
    ] {
        upload.put_head(&mut line, first, end, &[]);
        line.send(&sample(first, end)).unwrap();
        assert_eq!(line.answer().unwrap().status, status);
    }
}

#[test]
fn what_is_kept_is_what_was_sent_even_after_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.set("cut_chunk", "discard").unwrap();
    let emulator = Emulator::builder()
        .settings(settings)
        .dir(dir.path())
        .fault("put chunk=1 nth=1 cut=3MB".parse().unwrap())
        .start_blocking()
        .unwrap();
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    upload.put(&emulator, 0, CHUNK);
    assert!(upload.try_put(&emulator, CHUNK, 2 * CHUNK).is_err());
    upload.put(&emulator, CHUNK, 2 * CHUNK);
    assert_eq!(upload.put(&emulator, 2 * CHUNK, SIZE).status, 201);
    let kept = std::fs::read(dir.path().join(format!("{}.mp4", upload.publish_id))).unwrap();
    assert!(kept == sample(0, SIZE), "{} bytes kept", kept.len());
}

#[test]
fn what_nobody_knows_about_framing_is_a_switch() {
    let set = ["chunked_encoding=accept", "body_timeout=300ms"];
    let emulator = started(&set, &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let range = upload.range(0, 1000);
    let chunked = |bytes: &[u8], end: &str| {
        let mut line = Line::open(&emulator);
        let headers = [
            ("content-type", "video/mp4"),
            ("transfer-encoding", "chunked"),
            ("content-range", &*range),
        ];
        line.head("PUT", upload.target(), &headers);
        let _ = line.send(format!("{:x}\r\n", bytes.len()).as_bytes());
        let _ = line.send(bytes);
        let _ = line.send(end.as_bytes());
        line.answer().unwrap().status
    };
    assert_eq!(chunked(&sample(0, 999), "\r\n0\r\n\r\n"), 400, "too short");
    assert_eq!(chunked(&sample(0, 1001), "\r\n0\r\n\r\n"), 400, "too long");
    assert_eq!(chunked(&sample(0, 1000), ""), 400, "never ended");
    assert_eq!(upload.received(&emulator), 0);
    assert_eq!(chunked(&sample(0, 1000), "\r\n0\r\n\r\n"), 201);

    let emulator = started(&["expect=417"], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let mut line = Line::open(&emulator);
    upload.put_head(&mut line, 0, 1000, &[("expect", "100-continue")]);
    assert_eq!(line.answer().unwrap().status, 417);
    assert_eq!(upload.put(&emulator, 0, 1000).status, 201);
}

/// Polls, because the server learns of a broken connection when it learns of it.
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    for _ in 0..25 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    panic!("it never came to be");
}
