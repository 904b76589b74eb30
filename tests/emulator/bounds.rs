//! Memory and descriptors stay bounded, whatever clients do; the numbers are those of the guide.

#![cfg(all(target_os = "linux", feature = "cli"))]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use chunkferry::emulator::{Log, Process};
use serde_json::Value;

use crate::client::{Answer, INBOX_INIT, Line, STATUS, Upload, plan};

/// What a server takes at most beyond its idle state, in KiB, whatever it was sent (the guide: 256 MiB).
const MOST: u64 = 256 << 10;

struct Server {
    process: Process,
    temp: tempfile::TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        Self::with_descriptors(0, args)
    }

    /// With so many descriptors, 0 for as many as this process may have.
    fn with_descriptors(descriptors: u64, args: &[&str]) -> Self {
        let limit = match descriptors {
            0 => String::new(),
            most => format!("ulimit -n {most}; "),
        };
        let temp = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_chunkferry"))
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(args)
            .env("TMPDIR", temp.path());
        let process = Process::spawn(&mut command).unwrap();
        Self { process, temp }
    }

    /// How many videos it keeps.
    fn kept(&self) -> usize {
        let dirs = std::fs::read_dir(self.temp.path()).unwrap();
        let files = dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count());
        files.sum()
    }

    fn memory(&self, key: &str) -> u64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let line = line.unwrap().trim_start_matches(':').trim();
        line.trim_end_matches(" kB").parse().unwrap()
    }

    /// The most memory it ever held, in KiB.
    fn peak(&self) -> u64 {
        self.memory("VmHWM")
    }

    fn address(&self) -> &str {
        self.process.client().address()
    }

    fn line(&self) -> Line {
        Line::to(self.address())
    }

    fn log(&self) -> Log {
        self.process.client().log().unwrap()
    }

    /// How long a new client waits for its first answer.
    fn readiness(&self) -> Duration {
        let started = Instant::now();
        let mut line = self.line();
        let answer = call(&mut line, STATUS, "act.new.1", b"{\"publish_id\":\"x\"}");
        assert_eq!(answer.code(), "invalid_publish_id");
        started.elapsed()
    }
}

fn call(line: &mut Line, path: &str, token: &str, body: &[u8]) -> Answer {
    let (bearer, length) = (format!("Bearer {token}"), body.len().to_string());
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
        ("content-length", &*length),
    ];
    line.head("POST", path, &headers);
    // A body that is too long may be refused before it was sent.
    let _ = line.send(body);
    line.answer().unwrap()
}

#[test]
fn a_flood_of_inits_leaves_the_last_ten_thousand_in_bounded_memory() {
    // With limits, each init looks through all uploads of its creator: slow without optimisation.
    let full = std::env::var_os("CHUNKFERRY_FULL").is_some_and(|value| !value.is_empty());
    let limits = if full {
        "limits=documented"
    } else {
        "limits=off"
    };
    let server = Server::start(&["--set", "processing_time=0s", "--set", limits]);
    let idle = server.peak();
    let plan = plan(10, 10, 1).to_string();
    let mut line = server.line();
    let mut first = None;
    for number in 0..12_500 {
        // The longest tokens that are taken, all different.
        let token = format!("{number:<1024}").replace(' ', "-");
        let answer = call(&mut line, INBOX_INIT, &token, plan.as_bytes());
        let upload = Upload::of(&answer, 10);
        if number == 0 {
            upload.put_head(&mut line, 0, 10, &[]);
            line.send(b"0123456789").unwrap();
            assert_eq!(line.answer().unwrap().status, 201);
            assert_eq!(server.kept(), 1);
        }
        first.get_or_insert(upload);
    }
    let ready = server.readiness();
    let peak = server.peak();
    println!(
        "12,500 inits: {idle} KiB idle, {peak} KiB at most, a new call is answered after {ready:.1?}"
    );
    let log = server.log();
    assert_eq!((log.inits, log.drafts), (12_500, 1), "counts go on");
    assert_eq!((log.sessions.len(), log.forgotten), (10_000, 2_500));
    assert_eq!(server.kept(), 0, "a forgotten upload takes its video along");
    let first = first.unwrap();
    first.put_head(&mut line, 0, 10, &[]);
    line.send(b"0123456789").unwrap();
    assert_eq!(
        line.answer().unwrap().status,
        404,
        "a forgotten one is unknown"
    );
    assert!(
        peak - idle < MOST / 2,
        "{peak} KiB, {idle} KiB of them idle"
    );
}

#[test]
fn refused_bodies_are_not_kept() {
    let server = Server::start(&[]);
    let idle = server.peak();
    for size in [1_000_000, 200_000] {
        for number in 0..1_000 {
            let filler = "x".repeat(size);
            let body = format!("{{\"source_info\": {{\"{number}\": \"{filler}\"}}}}");
            let mut line = server.line();
            let token = format!("act.u{number}.1");
            let answer = call(&mut line, INBOX_INIT, &token, body.as_bytes());
            assert_eq!(answer.status, 400);
        }
        let (peak, ready) = (server.peak(), server.readiness());
        println!(
            "1,000 refused bodies of {size} bytes: {idle} KiB idle, {peak} KiB at most, a new call is answered after {ready:.1?}"
        );
        assert!(
            peak - idle < 32 << 10,
            "{peak} KiB, {idle} KiB of them idle"
        );
    }
}

#[test]
fn an_endless_token_is_refused() {
    let server = Server::start(&[]);
    let mut line = server.line();
    let longest = "a".repeat(1024);
    let plan = plan(10, 10, 1).to_string();
    assert_eq!(
        call(&mut line, INBOX_INIT, &longest, plan.as_bytes()).status,
        200
    );
    let longer = format!("{longest}a");
    let refused = call(&mut line, INBOX_INIT, &longer, plan.as_bytes());
    assert_eq!(
        (refused.status, &*refused.code()),
        (401, "access_token_invalid")
    );
    // It must not count as no token at all, which would concern everyone.
    let mut line = server.line();
    let bearer = format!("Bearer {longer}");
    line.head("POST", "/_emulator/reset", &[("authorization", &bearer)]);
    assert_eq!(line.answer().unwrap().status, 401);
    assert_eq!(server.log().inits, 1);
}

#[test]
fn one_upload_that_is_tried_for_ever_is_kept_in_bounded_memory() {
    let server = Server::start(&["--fault", "put status=503"]);
    let mut line = server.line();
    let plan = plan(10, 10, 1).to_string();
    let upload = Upload::of(&call(&mut line, INBOX_INIT, "act.a.1", plan.as_bytes()), 10);
    for _ in 0..2_100 {
        let mut line = server.line();
        upload.put_head(&mut line, 0, 10, &[]);
        assert_eq!(line.answer().unwrap().status, 503);
    }
    let log = server.log();
    assert_eq!(log.requests.put, 2_100);
    assert_eq!(log.sessions[0].puts.len(), 2_000);
    assert_eq!(log.faults.len(), 2_100);
}

#[test]
fn what_is_armed_and_set_for_single_tokens_has_an_end() {
    let server = Server::start(&[]);
    let fill = |method: &str, page: &str, body: &str| {
        let mut line = server.line();
        for number in 0..1_100 {
            let (length, bearer) = (body.len().to_string(), format!("Bearer act.u{number}.1"));
            let headers = [("content-length", &*length), ("authorization", &*bearer)];
            line.head(method, &format!("/_emulator/{page}"), &headers);
            line.send(body.as_bytes()).unwrap();
            let answer = line.answer().unwrap();
            if answer.status == 400 {
                let why: Value = answer.json();
                assert!(why["error"].to_string().contains("1,000"), "{why}");
                return number;
            }
        }
        1_100
    };
    assert_eq!(fill("PUT", "settings", "replay=206"), 1_000);
    assert_eq!(fill("POST", "faults", "put nth=9 reset"), 1_000);
    let hook = "{\"url\": \"http://127.0.0.1:1/\", \"client_secret\": \"s\"}";
    assert_eq!(fill("PUT", "webhooks", hook), 1_000);
}

/// Opens so many connections that say nothing, then asks for something by a new one.
fn crowd(server: &Server, idle: usize) -> (Duration, Vec<TcpStream>) {
    let open = |_| TcpStream::connect(server.address()).unwrap();
    let crowd: Vec<TcpStream> = (0..idle).map(open).collect();
    (server.readiness(), crowd)
}

/// Lets this process have as many descriptors as it may.
fn raise_own_limit() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let enough = limit.maximum.is_none_or(|most| most >= 4_096);
    enough && setrlimit(Resource::Nofile, raised).is_ok()
}

#[test]
fn idle_connections_lock_nobody_out() {
    if !raised_or_said() {
        return;
    }
    // With 64 the process itself takes so many that the system refuses the next one before the server's bound is reached.
    for (descriptors, idle, args) in [
        (1_024, 1_137, &[][..]),
        (1_024, 1_137, &["--sink"][..]),
        (64, 150, &[][..]),
        (64, 150, &["--sink"][..]),
    ] {
        let server = Server::with_descriptors(descriptors, args);
        // It is in use while the others come: it stays.
        let mut busy = server.line();
        let plan = plan(10, 10, 1).to_string();
        let upload = Upload::of(&call(&mut busy, INBOX_INIT, "act.a.1", plan.as_bytes()), 10);
        upload.put_head(&mut busy, 0, 10, &[]);
        busy.send(b"01234").unwrap();
        let before = server.peak();
        let (ready, crowd) = crowd(&server, idle);
        let peak = server.peak();
        println!(
            "{idle} idle connections at {descriptors} descriptors {args:?}: {before} KiB before, {peak} KiB at most, a new call is answered after {ready:.1?}"
        );
        busy.send(b"56789").unwrap();
        assert_eq!(
            busy.answer().unwrap().status,
            201,
            "whoever is served stays"
        );
        // The oldest have gone, the newest are there.
        let mut oldest = &crowd[0];
        oldest
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        assert!(matches!(oldest.read(&mut [0]), Ok(0) | Err(_)));
        let mut newest = crowd.last().unwrap();
        newest
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        newest
            .write_all(b"GET /_emulator/usage HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        assert_eq!(newest.read(&mut [0]).unwrap(), 1);
        assert!(peak - before < 64 << 10, "{peak} KiB, {before} KiB before");
    }
}

#[test]
fn a_video_that_is_being_shown_is_not_cut_off_for_a_newcomer() {
    const SIZE: u64 = 40_000_000;
    if !raised_or_said() {
        return;
    }
    let server = Server::with_descriptors(256, &[]);
    let mut line = server.line();
    let plan = plan(SIZE, SIZE, 1).to_string();
    let upload = Upload::of(
        &call(&mut line, INBOX_INIT, "act.a.1", plan.as_bytes()),
        SIZE,
    );
    upload.put_head(&mut line, 0, SIZE, &[]);
    line.send(&vec![7; SIZE as usize]).unwrap();
    assert_eq!(line.answer().unwrap().status, 201);
    let mut shown = server.line();
    // More than the sockets hold: the rest is sent as it is read.
    let target = format!("/_emulator/media/{}/0", upload.publish_id);
    shown.head("GET", &target, &[("connection", "close")]);
    let mut first = [0; 12];
    shown.rest().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let (_, _crowd) = crowd(&server, 300);
    let mut rest = Vec::new();
    shown.rest().read_to_end(&mut rest).unwrap();
    assert!(
        rest.len() as u64 > SIZE && rest.ends_with(&[7; 100]),
        "{}",
        rest.len()
    );
}

fn raised_or_said() -> bool {
    let raised = raise_own_limit();
    if !raised {
        eprintln!("NOT TESTED: this process may not have 4,096 descriptors");
    }
    raised
}

#[test]
fn calls_on_one_connection_are_answered_while_it_is_old() {
    if !raised_or_said() {
        return;
    }
    let server = Server::with_descriptors(1_024, &[]);
    let mut line = server.line();
    for _ in 0..5 {
        let (_, _crowd) = crowd(&server, 300);
        // It was used between the crowds, so it is not the oldest idle one.
        let answer = call(&mut line, STATUS, "act.a.1", b"{\"publish_id\":\"x\"}");
        assert_eq!(answer.code(), "invalid_publish_id");
    }
}

#[test]
fn a_page_whose_body_never_comes_does_not_hold_its_connection() {
    let server = Server::start(&["--set", "body_timeout=200ms"]);
    for target in ["/_emulator/settings", INBOX_INIT] {
        let mut line = server.line();
        let method = if target == INBOX_INIT { "POST" } else { "PUT" };
        line.head(method, target, &[("content-length", "5")]);
        line.send(b"re").unwrap();
        let refused = line.answer().unwrap();
        assert_eq!(refused.status, 400, "{target}");
        let said = String::from_utf8(refused.body).unwrap();
        assert!(said.contains("shorter than declared"), "{said}");
    }
}

#[test]
fn no_field_of_a_consent_or_a_token_call_is_without_a_bound() {
    let server = Server::start(&[]);
    let long = "a".repeat(1_025);
    let form = |line: &mut Line, path: &str, body: &str| {
        let length = body.len().to_string();
        let kind = "application/x-www-form-urlencoded";
        let headers = [("content-type", kind), ("content-length", &*length)];
        line.head("POST", path, &headers);
        line.send(body.as_bytes()).unwrap();
        line.answer().unwrap()
    };
    let both = "client_key=k&client_secret=s";
    for (path, body) in [
        ("/v2/oauth/revoke/", format!("{both}&token={long}")),
        (
            "/v2/oauth/token/",
            format!("client_key={long}&client_secret=s&grant_type=refresh_token&refresh_token=r"),
        ),
        (
            "/v2/oauth/token/",
            format!(
                "{both}&grant_type=authorization_code&redirect_uri=https://a.test/&code={long}"
            ),
        ),
    ] {
        let refused = form(&mut server.line(), path, &body);
        assert_eq!(refused.status, 400, "{path}");
        let said = refused.json();
        assert_eq!(said["error"], "invalid_request");
        let why = said["error_description"].as_str().unwrap();
        assert!(
            why.contains("longer than 1024 bytes") && !why.contains(&long),
            "{why}"
        );
    }
    let wish = "response_type=code&scope=video.upload&redirect_uri=https://a.test/";
    for query in [
        format!("{wish}&client_key={long}"),
        format!("{wish}&client_key=k&code_challenge_method=S256&code_challenge={long}"),
    ] {
        let mut line = server.line();
        line.head("GET", &format!("/v2/auth/authorize/?{query}"), &[]);
        assert_eq!(line.answer().unwrap().status, 400);
    }
}

#[test]
fn pulls_from_a_host_that_never_answers_take_few_connections_and_have_an_end() {
    let server = Server::start(&["--set", "limits=off", "--set", "pull_allow_http=true"]);
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let url = format!("http://{}/clip.mp4", host.local_addr().unwrap());
    let body = serde_json::json!({"source_info": {"source": "PULL_FROM_URL", "video_url": url}});
    let body = body.to_string();
    let mut line = server.line();
    let mut held = Vec::new();
    for _ in 0..1_000 {
        assert_eq!(
            call(&mut line, INBOX_INIT, "act.a.1", body.as_bytes()).status,
            200
        );
        held.extend(host.accept());
    }
    let refused = call(&mut line, INBOX_INIT, "act.a.1", body.as_bytes());
    assert_eq!((refused.status, &*refused.code()), (500, "internal_error"));
    let until = Instant::now() + Duration::from_secs(30);
    while held.len() < 64 {
        assert!(Instant::now() < until, "only {} pulls run", held.len());
        held.extend(host.accept());
    }
    std::thread::sleep(Duration::from_millis(100));
    held.extend(host.accept());
    assert_eq!(held.len(), 64, "the others wait for their turn");
}
