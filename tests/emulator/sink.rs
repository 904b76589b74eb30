//! Discard mode: nobody looks at the bytes, and everything else is as ever.

use std::io::Read;

use chunkferry::emulator::{Client, Emulator, EmulatorBuilder, Settings, Usage};
use serde_json::Value;

use crate::client::{INBOX_INIT, Line, STATUS, TOKEN, Upload, get, plan, post, sample, try_post};

const CHUNK: u64 = 5_242_880;
const SIZE: u64 = 3 * CHUNK + 7;

fn builder() -> EmulatorBuilder {
    let mut settings = Settings::default();
    settings.set("processing_time", "0s").unwrap();
    Emulator::builder().settings(settings).sink()
}

fn started() -> Emulator {
    builder().start_blocking().unwrap()
}

fn usage(emulator: &Emulator) -> Usage {
    Client::new(&emulator.url()).usage().unwrap()
}

/// Whether the server ends this connection, whatever it says before.
fn ends(line: &mut Line) -> bool {
    let mut rest = Vec::new();
    match line.rest().read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn ranges_are_judged_though_nobody_looks_at_the_bytes() {
    let emulator = started();
    let illegal = plan(SIZE, CHUNK - 1, 4);
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &illegal).status, 400);
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 416);
    assert_eq!(upload.put(&emulator, 0, CHUNK - 1).status, 400);
    assert_eq!(upload.put(&emulator, 0, CHUNK).status, 206);
    let again = upload.put(&emulator, 0, CHUNK);
    let progress = format!("bytes 0-{CHUNK}/{SIZE}");
    assert_eq!(again.status, 416);
    assert_eq!(again.header("content-range"), Some(&*progress));
    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 206);
    assert_eq!(upload.received(&emulator), 2 * CHUNK);
    assert_eq!(upload.put(&emulator, 2 * CHUNK, SIZE).status, 201);
    assert_eq!(upload.status(&emulator)["status"], "SEND_TO_USER_INBOX");

    let nobody = Upload {
        url: upload.url.replace("upload_token=", "upload_token=no"),
        ..upload
    };
    assert_eq!(nobody.put(&emulator, 0, CHUNK).status, 404);
    let log = emulator.log();
    assert_eq!((log.inits, log.drafts), (1, 1));
    assert_eq!((log.requests.put, log.sessions[0].puts.len()), (7, 6));
}

#[test]
fn no_digest_is_claimed_of_bytes_that_nobody_looked_at() {
    let emulator = started();
    for size in [CHUNK, SIZE] {
        let upload = Upload::init(&emulator, size, CHUNK, size / CHUNK);
        let chunks = size / CHUNK;
        for chunk in 0..chunks {
            let end = if chunk + 1 == chunks {
                size
            } else {
                (chunk + 1) * CHUNK
            };
            assert!(upload.put(&emulator, chunk * CHUNK, end).status < 300);
        }
    }
    let log = emulator.log();
    assert_eq!(log.drafts, 2);
    for session in &log.sessions {
        assert_eq!(session.sha256, None);
        assert!(session.media.is_empty() && session.not_kept.is_some());
    }
}

#[test]
fn one_connection_carries_calls_and_chunks_and_is_counted_once() {
    let emulator = started();
    let mut line = Line::open(&emulator);
    let call = |line: &mut Line, path: &str, body: &Value| {
        let (body, bearer) = (body.to_string(), format!("Bearer {TOKEN}"));
        let length = body.len().to_string();
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
            ("content-length", &*length),
        ];
        line.head("POST", path, &headers);
        line.send(body.as_bytes()).unwrap();
        line.answer().unwrap()
    };
    let upload = Upload::of(&call(&mut line, INBOX_INIT, &plan(SIZE, CHUNK, 3)), SIZE);
    for (first, end) in [(0, CHUNK), (CHUNK, 2 * CHUNK), (2 * CHUNK, SIZE)] {
        upload.put_head(&mut line, first, end, &[]);
        line.send(&sample(first, end)).unwrap();
        assert!(line.answer().unwrap().status < 300);
    }
    let asked = serde_json::json!({"publish_id": upload.publish_id});
    let status = call(&mut line, STATUS, &asked);
    assert_eq!(status.json()["data"]["status"], "SEND_TO_USER_INBOX");

    // Questions of whoever measures are not part of what is measured.
    usage(&emulator);
    assert_eq!(get(&emulator, "/_emulator/log").json()["connections"], 1);
    assert_eq!(usage(&emulator).connections, 1);

    // Each head follows the answer before it.
    let log = emulator.log();
    let times = log.sessions[0]
        .puts
        .iter()
        .flat_map(|put| [put.began_us, put.answered_us.unwrap()]);
    assert!(times.is_sorted(), "{:?}", log.sessions[0].puts);
    assert!(log.sessions[0].puts.iter().all(|put| !put.open));

    line.head("GET", "/_emulator/usage", &[("connection", "close")]);
    let last = line.answer().unwrap();
    assert_eq!(last.header("connection"), Some("close"));
    assert!(ends(&mut line), "whoever says close is closed");
}

#[test]
fn a_client_that_breaks_off_leaves_the_upload_where_it_was() {
    let emulator = started();
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    upload.put(&emulator, 0, CHUNK);
    let mut line = Line::open(&emulator);
    upload.put_head(&mut line, CHUNK, 2 * CHUNK, &[]);
    line.send(&sample(CHUNK, CHUNK + CHUNK / 2)).unwrap();
    crate::transfer::wait_until(|| emulator.log().sessions[0].puts.len() == 2);
    drop(line);
    crate::transfer::wait_until(|| !emulator.log().sessions[0].puts[1].open);
    assert_eq!(upload.received(&emulator), CHUNK);
    let broken = &emulator.log().sessions[0].puts[1];
    assert_eq!((broken.http_status, broken.answered_us), (None, None));

    assert_eq!(upload.put(&emulator, CHUNK, 2 * CHUNK).status, 206);
    assert_eq!(upload.put(&emulator, 2 * CHUNK, SIZE).status, 201);
    assert_eq!(emulator.log().drafts, 1);
}

#[test]
fn of_two_that_send_the_same_chunk_at_once_one_counts() {
    let emulator = started();
    let upload = Upload::init(&emulator, SIZE, CHUNK, 3);
    let mut lines = [Line::open(&emulator), Line::open(&emulator)];
    for (index, line) in lines.iter_mut().enumerate() {
        upload.put_head(line, 0, CHUNK, &[]);
        crate::transfer::wait_until(|| emulator.log().sessions[0].puts.len() == index + 1);
    }
    let statuses = lines.each_mut().map(|line| {
        line.send(&sample(0, CHUNK)).unwrap();
        line.answer().unwrap().status
    });
    assert_eq!(statuses, [416, 206], "the later one has taken the turn");
    assert_eq!(upload.received(&emulator), CHUNK);
}

#[test]
fn a_head_that_is_endless_or_no_head_ends_its_connection_and_not_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = builder()
        .tls(dir.path().join("ca.pem"))
        .start_blocking()
        .unwrap();
    let mut many = b"GET / HTTP/1.1\r\n".to_vec();
    many.extend(b"a: b\r\n".repeat(1000));
    many.extend(b"\r\n");
    let garbage: [&[u8]; 8] = [
        &[b'a'; 1 << 20],
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PUT /video/ HTTP/1.1\r\n: \r\n\r\n",
        &many,
        // The first byte of a handshake, and of nothing after it.
        &[22; 1 << 16],
        &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0],
    ];
    for bytes in garbage {
        let mut line = Line::to(emulator.address());
        // It may be over before all of it is sent.
        let _ = line.send(bytes);
        assert!(ends(&mut line), "{:?}", &bytes[..bytes.len().min(40)]);
    }
    // A length that nobody means, and a body that never comes.
    for length in ["18446744073709551615", "-1", "x"] {
        let mut line = Line::to(emulator.address());
        let headers = [("content-length", length)];
        line.head("PUT", "/_emulator/sink", &headers);
        line.no_more();
        assert!(ends(&mut line), "{length}");
    }
    assert!(usage(&emulator).cpu_us > 0);
}

#[test]
fn a_body_whose_length_can_be_read_in_two_ways_is_refused() {
    let emulator = started();
    let upload = Upload::init(&emulator, 10, 10, 1);
    let lengths = [
        "transfer-encoding: chunked",
        "transfer-encoding: identity\r\ncontent-length: 10",
        "content-length: 10\r\ncontent-length: 10",
        "content-length: 10\r\ncontent-length: 0",
        "content-length: 10, 10",
        "content-length: +10",
        "content-length: -1",
        "content-length: ten",
        "content-length: ",
        "content-length: 99999999999999999999",
    ];
    for length in lengths {
        for target in [upload.target(), "/_emulator/sink", "/_emulator/settings"] {
            let mut line = Line::open(&emulator);
            let head = format!(
                "PUT {target} HTTP/1.1\r\nhost: localhost\r\ncontent-range: bytes 0-9/10\r\n\
                 content-type: video/mp4\r\n{length}\r\n\r\n0123456789"
            );
            line.send(head.as_bytes()).unwrap();
            let refused = line.answer().unwrap();
            assert_eq!(refused.status, 400, "{length}");
            assert!(!refused.body.is_empty(), "it says why");
            assert!(ends(&mut line), "what follows is no request: {length}");
        }
    }
    assert_eq!(upload.received(&emulator), 0);
    assert_eq!(upload.put(&emulator, 0, 10).status, 201);
}

#[test]
fn a_client_of_http_1_0_is_answered_and_closed() {
    let emulator = started();
    let mut line = Line::open(&emulator);
    line.send(b"GET /_emulator/usage HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(line.answer().unwrap().status, 200);
    assert!(ends(&mut line));
}

#[test]
fn a_stopped_sink_frees_its_port_and_its_clients() {
    let emulator = started();
    let address = emulator.address();
    let mut held = Line::open(&emulator);
    held.head("GET", "/_emulator/usage", &[]);
    assert_eq!(held.answer().unwrap().status, 200);
    drop(emulator);
    let again = Emulator::builder().listen(address).start_blocking();
    assert!(again.is_ok(), "{again:?}");
    assert!(ends(&mut held), "it still talks to a server that is gone");
}

#[test]
fn whoever_has_no_token_or_no_upload_gets_the_usual_answers() {
    let emulator = started();
    let refused = try_post(&emulator, INBOX_INIT, "", &plan(SIZE, CHUNK, 3));
    assert_eq!(refused.unwrap().status, 401);
    assert_eq!(get(&emulator, "/nowhere").status, 404);
    assert_eq!(get(&emulator, "/").status, 200, "its page is there");
}

#[cfg(all(unix, feature = "cli"))]
mod command {
    use std::process::Command;

    use super::*;
    use crate::support;

    /// The HTTP status and what else was said; `None` where curl is missing.
    fn curl(args: &[&str]) -> Option<String> {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "60", "--noproxy", "*"])
            .args(["-w", "\n%{http_code}", "-o", "/dev/null"])
            .args(args)
            .output();
        let Ok(output) = output else {
            eprintln!("skipped: curl is not installed");
            return None;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    #[test]
    fn one_port_speaks_tls_and_in_the_clear_and_swallows_whole_files() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, file) = (dir.path().join("ca.pem"), dir.path().join("file"));
        std::fs::write(&file, sample(0, 20_000_000)).unwrap();
        let (ca, file) = (ca.to_str().unwrap(), file.to_str().unwrap());
        let sink = support::emulator(["--sink", "--tls", ca]);
        assert!(sink.url().starts_with("https://"), "{}", sink.url());
        let address = sink.client().address();
        let target = |scheme: &str| format!("{scheme}://{address}/_emulator/sink");
        for args in [
            ["-T", file, &*target("https")],
            ["-T", file, &*target("http")],
        ] {
            let args = [&["--cacert", ca][..], &args].concat();
            if let Some(status) = curl(&args) {
                assert_eq!(status, "200");
            }
        }
        let usage = sink.client().usage().unwrap();
        assert!(usage.now_us > 0 && usage.cores > 0, "{usage:?}");
        assert_eq!(usage.connections, 0, "nothing of the API was called");
        let log = sink.client().log().unwrap();
        assert_eq!((log.inits, log.connections), (0, 0));
    }

    #[test]
    fn what_it_cannot_do_without_looking_is_refused_and_not_forgotten() {
        let refused: [&[&str]; 4] = [
            &["--fault", "put nth=1 reset"],
            &["--faults", "/dev/null"],
            &["--dir", "kept"],
            &["--chaos", "1,0.5"],
        ];
        for args in refused {
            let output = Command::new(env!("CARGO_BIN_EXE_chunkferry"))
                .args(["emulator", "--listen", "127.0.0.1:0", "--sink"])
                .args(args)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("--sink") && said.contains(args[0]), "{said}");
        }
    }
}
