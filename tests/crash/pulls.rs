//! A URL that the service fetches: killed at every point it comes to, it is never asked for twice.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use chunkferry::emulator::{Emulator, Settings};

use crate::points::OF_A_PULL;

/// Points that a pull has in common with an upload.
const SHARED: &[(&str, &str)] = &[
    ("submit", "after"),
    ("begin", "before"),
    ("begin", "after"),
    ("init", "before"),
    ("init", "answered"),
    ("ask", "before"),
    ("ask", "answered"),
    ("saving", "delivered"),
    ("history", "appended"),
    ("applied", "delivered"),
    ("saved", "delivered"),
];

const VIDEO: &[u8] = b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x08moov\0\0\0\x09mdat.";

/// A host with one video.
fn host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            lines.map_while(Result::ok).find(String::is_empty);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                VIDEO.len()
            );
            let body = if first.starts_with("GET") { VIDEO } else { b"" };
            // Who hangs up early has seen enough.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body));
        }
    });
    format!("http://{address}/clip.mp4?signature=1")
}

fn pull(emulator: &Emulator, state: &Path, url: &str, kill: Option<(&str, &str)>) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
    command
        .args(["pull", "--json", url])
        .env("CHUNKFERRY_STATE_DIR", state)
        .env("CHUNKFERRY_API_BASE", emulator.url())
        .env("TIKTOK_ACCESS_TOKEN", "act.lena.1")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some((step, what)) = kill {
        command.env("CHUNKFERRY_KILL_POINT", format!("{step} {what} 1"));
    }
    command.status().unwrap().code()
}

#[test]
fn a_pull_killed_at_any_point_is_asked_for_once_and_ends_or_is_parked() {
    let url = host();
    let mut parked = Vec::new();
    for point in OF_A_PULL.iter().chain(SHARED) {
        let mut settings = Settings::default();
        for pair in ["pull_allow_http=true", "processing_time=0s"] {
            settings.set_pair(pair).unwrap();
        }
        let emulator = Emulator::builder()
            .settings(settings)
            .start_blocking()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let killed = pull(&emulator, &state, &url, Some(*point));
        assert_eq!(killed, None, "it never came to {point:?}");
        let ends: Vec<_> = (0..3)
            .map(|_| pull(&emulator, &state, &url, None))
            .collect();
        let log = emulator.log();
        assert!(
            log.requests.init <= 1 && log.drafts <= 1,
            "{point:?}: {log:#?}"
        );
        match ends[..] {
            [Some(0), Some(0), Some(0)] => assert_eq!(log.drafts, 1, "{point:?}"),
            [Some(5), Some(5), Some(5)] => parked.push(*point),
            _ => panic!("{point:?}: {ends:?}"),
        }
    }
    // Between the intent and the record of the answer the outcome is unknown.
    let between = [
        ("saving", "pulling"),
        ("begin", "after"),
        ("init", "before"),
        ("init", "answered"),
    ];
    assert!(
        parked
            .iter()
            .all(|point| between.contains(point) || *point == ("applied", "pulling")),
        "{parked:?}"
    );
    assert!(
        between.iter().all(|point| parked.contains(point)),
        "{parked:?}"
    );
}
