//! Many uploads at once into one process.

#![cfg(all(target_os = "linux", feature = "cli"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chunkferry::emulator::Process;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::client::{INBOX_INIT, plan};
use crate::support;

/// No step takes as long.
const HANGS: Duration = Duration::from_secs(240);

struct Server {
    process: Process,
}

impl Server {
    /// The real command, and how long it took until it said where it listens.
    fn start() -> (Self, Duration) {
        let started = Instant::now();
        // Every body waits for all others half way.
        let args = ["--set", "body_timeout=5m", "--set", "processing_time=0s"];
        let process = support::emulator(args);
        (Self { process }, started.elapsed())
    }

    /// The most memory it ever held, in KiB.
    fn peak(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn address(&self) -> &str {
        self.process.client().address()
    }

    fn line(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.address()).unwrap();
        // A server that never answers must fail the test, not hang it.
        stream.set_read_timeout(Some(HANGS)).unwrap();
        BufReader::new(stream)
    }
}

/// Where all uploads wait for each other. Not a barrier of `std`: one that fails must not keep the others for ever.
struct Halfway {
    here: AtomicUsize,
    all: usize,
}

impl Halfway {
    fn wait(&self) {
        self.here.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        while self.here.load(Ordering::Relaxed) < self.all {
            assert!(started.elapsed() < HANGS, "not all uploads come as far");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Status and body of the next answer.
fn answer(line: &mut BufReader<TcpStream>) -> (u16, Vec<u8>) {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut head = String::new();
        assert_ne!(line.read_line(&mut head).unwrap(), 0, "no answer");
        match head.trim_end().split_once(' ') {
            None => break,
            Some((version, rest)) if version.starts_with("HTTP/") => {
                status = rest[..3].parse().unwrap();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => {
                length = value.parse().unwrap();
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    line.read_exact(&mut body).unwrap();
    (status, body)
}

fn json(status_and_body: (u16, Vec<u8>)) -> Value {
    assert_eq!(status_and_body.0, 200);
    serde_json::from_slice(&status_and_body.1).unwrap()
}

/// One upload in two chunks, on one connection. What its bytes hash to.
fn upload(server: &Server, number: usize, size: usize, halfway: &Halfway) -> String {
    let mut line = server.line();
    let chunk = size / 2;
    let init = plan(size as u64, chunk as u64, 2).to_string();
    let head = format!(
        "POST {INBOX_INIT} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer act.u{number}.1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{init}",
        server.address(),
        init.len()
    );
    line.get_mut().write_all(head.as_bytes()).unwrap();
    let init = json(answer(&mut line));
    let url = init["data"]["upload_url"].as_str().unwrap();
    let target = url.strip_prefix(server.process.url()).unwrap();

    let mut block = [0x5a; 50_000];
    block[..8].copy_from_slice(&number.to_le_bytes());
    let mut hash = Sha256::new();
    for index in 0..2 {
        let head = format!(
            "PUT {target} HTTP/1.1\r\nhost: {}\r\ncontent-type: video/mp4\r\ncontent-length: {chunk}\r\n\
             content-range: bytes {}-{}/{size}\r\n\r\n",
            server.address(),
            index * chunk,
            (index + 1) * chunk - 1,
        );
        line.get_mut().write_all(head.as_bytes()).unwrap();
        for sent in (0..chunk).step_by(block.len()) {
            if index == 0 && sent == chunk / 2 {
                halfway.wait();
            }
            line.get_mut().write_all(&block).unwrap();
            hash.update(block);
        }
        assert_eq!(answer(&mut line).0, [206, 201][index]);
    }
    hex::encode(hash.finalize())
}

/// Were bodies held until they are whole, memory would follow what is sent, and so many uploads would need gigabytes.
#[test]
fn many_uploads_at_once_are_all_kept_apart_and_none_is_held_in_memory() {
    let full = std::env::var_os("CHUNKFERRY_FULL").is_some_and(|value| !value.is_empty());
    let (uploads, size) = if full {
        (200, 20_000_000)
    } else {
        (40, 12_000_000)
    };
    let (server, ready) = Server::start();
    let idle = server.peak();
    let halfway = Halfway {
        here: AtomicUsize::new(0),
        all: uploads,
    };
    let started = Instant::now();
    let hashes: Vec<String> = std::thread::scope(|scope| {
        let (server, halfway) = (&server, &halfway);
        let all: Vec<_> = (0..uploads)
            .map(|number| scope.spawn(move || upload(server, number, size, halfway)))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let took = started.elapsed();
    let peak = server.peak();
    println!(
        "{uploads} uploads of {size} bytes: ready in {ready:.0?}, all whole after {took:.1?}, {idle} KiB idle, {peak} KiB at most"
    );

    let log = server.process.client().log().unwrap();
    assert_eq!(log.drafts, uploads as u64);
    let mut arrived: Vec<_> = log
        .sessions
        .into_iter()
        .filter_map(|one| one.sha256)
        .collect();
    let mut sent = hashes;
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
    let most = idle + 512 * uploads as u64;
    assert!(peak <= most, "{peak} KiB, {idle} KiB of them idle");
}
