//! A server that means harm, or is broken: a clear end, little memory, nothing sent to where it must not go.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::scene::{Ended, Scene, Start, full};

const SIZE: u64 = 12_000_000;

/// Writes an answer; the request was read to its end.
pub(crate) type Answer = Box<dyn Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync>;

/// What is answered instead of a good answer.
pub(crate) enum Bad {
    Init(Answer),
    Put(Answer),
    /// Before the body was read.
    PutAtOnce(Answer),
    Status(Answer),
}

pub(crate) struct Rogue {
    pub(crate) base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Rogue {
    /// Behaves well, but for the bad part.
    pub(crate) fn start(bad: impl FnOnce(&str) -> Bad) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let rogue = Self {
            base: base.clone(),
            requests: Arc::default(),
        };
        let (bad, requests) = (Arc::new(bad(&base)), Arc::clone(&rogue.requests));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (bad, requests, base) = (Arc::clone(&bad), Arc::clone(&requests), base.clone());
                // A client that hangs up has seen enough.
                thread::spawn(move || drop(serve(stream, &base, &bad, &requests)));
            }
        });
        rogue
    }

    pub(crate) fn count(&self, method_and_path: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .filter(|line| line.starts_with(method_and_path))
            .count()
    }
}

fn serve(
    mut stream: TcpStream,
    base: &str,
    bad: &Bad,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let line = head.lines().next().unwrap_or_default().to_owned();
        requests.lock().unwrap().push(line.clone());
        if let (Bad::PutAtOnce(answer), true) = (bad, line.starts_with("put")) {
            return answer(&mut stream);
        }
        let header = |name: &str| {
            let mut lines = head.lines();
            lines
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let mut left: u64 = header("content-length:").parse().unwrap_or(0);
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let some = left.min(1 << 16) as usize;
            stream.read_exact(&mut buffer[..some])?;
            left -= some as u64;
        }
        let range = header("content-range:");
        let is_last = range.contains(&format!("-{}/", SIZE - 1));
        match (bad, line.starts_with("put"), line.contains("/status/")) {
            (Bad::Put(answer), true, _)
            | (Bad::Status(answer), false, true)
            | (Bad::Init(answer), false, false) => {
                answer(&mut stream)?;
            }
            (_, true, _) => {
                stream.write_all(http(if is_last { 201 } else { 206 }, "", "").as_bytes())?
            }
            (_, false, true) => {
                stream.write_all(status(r#""SEND_TO_USER_INBOX""#, "").as_bytes())?
            }
            (_, false, false) => stream.write_all(init("p.1", &upload_url(base)).as_bytes())?,
        }
    }
}

pub(crate) fn http(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn ok(data: &str) -> String {
    http(
        200,
        "",
        &format!(r#"{{"data":{data},"error":{{"code":"ok","message":"","log_id":"L"}}}}"#),
    )
}

fn init(publish_id: &str, upload_url: &str) -> String {
    ok(&format!(
        r#"{{"publish_id":"{publish_id}","upload_url":"{upload_url}"}}"#
    ))
}

/// Where its chunks go.
pub(crate) fn upload_url(base: &str) -> String {
    format!("{base}/upload/?upload_id=7301234&upload_token={UPLOAD_TOKEN}")
}

pub(crate) const UPLOAD_TOKEN: &str = "uPlOaDtOkEn0123456789";

fn status(word: &str, more: &str) -> String {
    ok(&format!(r#"{{"status":{word}{more}}}"#))
}

/// Always this text.
pub(crate) fn text(text: impl Into<String>) -> Answer {
    let text = text.into();
    Box::new(move |stream| stream.write_all(text.as_bytes()))
}

/// This text, and then the end.
pub(crate) fn cut(text: impl Into<String>) -> Answer {
    let text = text.into();
    Box::new(move |stream| {
        stream.write_all(text.as_bytes())?;
        stream.shutdown(std::net::Shutdown::Both)
    })
}

/// The first text, and then the second one for as long as anybody listens, up to this many bytes.
fn flood(first: &'static str, then: &'static str, bytes: usize) -> Answer {
    let piece = then.repeat(65_536 / then.len());
    Box::new(move |stream| {
        stream.write_all(first.as_bytes())?;
        for _ in 0..bytes / piece.len() {
            stream.write_all(piece.as_bytes())?;
        }
        stream.shutdown(std::net::Shutdown::Both)
    })
}

/// This text, and then a byte a second.
fn trickle(first: &'static str) -> Answer {
    Box::new(move |stream| {
        stream.write_all(first.as_bytes())?;
        loop {
            thread::sleep(Duration::from_secs(1));
            stream.write_all(b"x")?;
        }
    })
}

/// What a run came to, with its peak of memory in KiB.
fn run(scene: &Scene, rogue: &Rogue, name: &str, file: &Path) -> (Ended, u64) {
    let mut command = scene.upload(file, &["--wait", "2", "--patience", "20"]);
    command
        .env("CHUNKFERRY_API_BASE", &rogue.base)
        .env("CHUNKFERRY_STATE_DIR", scene.path(&format!("state {name}")));
    let mut run = command.start();
    let of_process = format!("/proc/{}/status", run.pid());
    let mut peak = 0;
    while run.is_running() {
        let text = std::fs::read_to_string(&of_process).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        // The last one counts: before its exec a process shows the memory of this one.
        peak = now.unwrap_or(peak);
        thread::sleep(Duration::from_millis(10));
    }
    (run.end(), peak)
}

/// Plays all cases at once, as most of their time is waiting between attempts.
fn play(cases: Vec<(&'static str, Bad, &[i32])>) {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    let wrong = Mutex::new(String::new());
    let highest = Mutex::new((0, ""));
    thread::scope(|threads| {
        for (name, bad, codes) in cases {
            let (scene, file, wrong, highest) = (&scene, &file, &wrong, &highest);
            threads.spawn(move || {
                let rogue = Rogue::start(|_| bad);
                let (ended, peak) = run(scene, &rogue, name, file);
                let (inits, puts) = (
                    rogue.count("post /v2/post/publish/inbox"),
                    rogue.count("put"),
                );
                let said = format!("{}{}", ended.stdout, ended.stderr);
                let complain = |what: &str| {
                    writeln!(
                        wrong.lock().unwrap(),
                        "{name}: {what} (inits {inits}, puts {puts}, {peak} KiB): {said:.800}"
                    )
                    .unwrap();
                };
                let code = ended.code.unwrap_or(-1);
                if !codes.contains(&code) {
                    complain(&format!("ended in {code}"));
                }
                if inits > 3 || puts > 60 {
                    complain("too many requests");
                }
                if code != 0 && ended.message().len() < 20 {
                    complain("not told");
                }
                if said.contains('\x1b') || said.contains("panicked") || said.len() > 20_000 {
                    complain("foreign text");
                }
                let mut highest = highest.lock().unwrap();
                *highest = (peak, name).max(*highest);
            });
        }
    });
    let (wrong, highest) = (wrong.into_inner().unwrap(), highest.into_inner().unwrap());
    let (highest, by) = highest;
    println!("peak memory under rogue answers: {highest} KiB ({by})");
    assert!(wrong.is_empty(), "{wrong}");
    let most = if cfg!(debug_assertions) { 56 } else { 32 };
    assert!(highest <= most * 1024, "{highest} KiB: {by}");
}

const MIB: usize = 1 << 20;
const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[test]
fn an_init_answer_that_is_none_ends_in_words_and_three_requests() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = "9".repeat(5_000);
    let huge = "9".repeat(10 * MIB);
    let temporary: &[i32] = &[75];
    let refused: &[i32] = &[1];
    let mut cases = vec![
        (
            "huge body",
            Bad::Init(flood(
                "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n",
                "x",
                200 * MIB,
            )),
            temporary,
        ),
        (
            "endless body",
            Bad::Init(flood(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                "4\r\nxxxx\r\n",
                200 * MIB,
            )),
            temporary,
        ),
        (
            "endless headers",
            Bad::Init(flood("HTTP/1.1 200 OK\r\n", "a: bbbbbb\r\n", 100 * MIB)),
            temporary,
        ),
        (
            "endless header",
            Bad::Init(flood("HTTP/1.1 200 OK\r\na: ", "b", 100 * MIB)),
            temporary,
        ),
        (
            "flood of 1xx",
            Bad::Init(flood("", "HTTP/1.1 100 Continue\r\n\r\n", 50 * MIB)),
            temporary,
        ),
        (
            "cut in its head",
            Bad::Init(cut("HTTP/1.1 200 OK\r\ncontent-le")),
            temporary,
        ),
        (
            "cut in its body",
            Bad::Init(cut(
                "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"data\"",
            )),
            temporary,
        ),
        ("no http", Bad::Init(cut("220 mail ready\r\n")), temporary),
        (
            "impossible length",
            Bad::Init(cut(
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
            )),
            temporary,
        ),
        (
            "negative length",
            Bad::Init(cut("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}")),
            temporary,
        ),
        (
            "impossible chunk",
            Bad::Init(cut(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}",
            )),
            temporary,
        ),
        ("null", Bad::Init(text(http(200, "", "null"))), temporary),
        (
            "a page",
            Bad::Init(text(http(
                200,
                "content-type: text/html\r\n",
                "<html>Welcome</html>",
            ))),
            temporary,
        ),
        (
            "deep json",
            Bad::Init(text(http(200, "", &deep))),
            temporary,
        ),
        (
            "wrong types",
            Bad::Init(text(ok(r#"{"publish_id":7,"upload_url":{}}"#))),
            temporary,
        ),
        (
            "a code that is none",
            Bad::Init(text(http(200, "", r#"{"data":{},"error":{"code":7}}"#))),
            temporary,
        ),
        (
            "control characters",
            Bad::Init(text(init(r"a\u001b[2J\n\tb", "http://127.0.0.1:1/"))),
            temporary,
        ),
        (
            "long id",
            Bad::Init(text(init(&long, "http://127.0.0.1:1/"))),
            temporary,
        ),
        (
            "huge id",
            Bad::Init(text(init(&huge, "http://127.0.0.1:1/"))),
            temporary,
        ),
        (
            "no id",
            Bad::Init(text(init("", "http://127.0.0.1:1/"))),
            temporary,
        ),
        (
            "redirect",
            Bad::Init(text(http(307, "location: http://127.0.0.1:1/\r\n", ""))),
            temporary,
        ),
        (
            "long url",
            Bad::Init(text(init("p", &format!("http://127.0.0.1:1/{long}")))),
            refused,
        ),
        (
            "coloured refusal",
            Bad::Init(text(http(
                403,
                "",
                r#"{"error":{"code":"x\u001b[31m","message":"\u001b]0;t\u0007"}}"#,
            ))),
            &[1],
        ),
    ];
    if full() {
        cases.push(("slow answer", Bad::Init(trickle(JSON)), temporary));
        cases.push((
            "slow body",
            Bad::Init(trickle("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")),
            temporary,
        ));
    }
    play(cases);
}

#[test]
fn a_lying_answer_to_a_chunk_loses_nothing_and_sends_no_endless_chunks() {
    let lies = |header: &str| text(http(206, &format!("content-range: {header}\r\n"), ""));
    let done: &[i32] = &[0];
    let range = |header: &str| text(http(416, &format!("content-range: {header}\r\n"), "null"));
    let mut cases = vec![
        (
            "more than there is",
            Bad::Put(lies("bytes 0-18446744073709551615/12000000")),
            done,
        ),
        (
            "more than a number",
            Bad::Put(lies("bytes 0-99999999999999999999/12000000")),
            done,
        ),
        ("negative", Bad::Put(lies("bytes 0--5/12000000")), done),
        ("of another file", Bad::Put(lies("bytes 0-5/7")), done),
        ("inside", Bad::Put(lies("bytes 0-1000/12000000")), done),
        ("no text", Bad::Put(lies("\u{e9}\u{ff}")), done),
        (
            "huge body",
            Bad::Put(flood(
                "HTTP/1.1 206 X\r\ncontent-length: 999999999\r\n\r\n",
                "x",
                200 * MIB,
            )),
            done,
        ),
        (
            "refused with a lie",
            Bad::Put(range("bytes 0-18446744073709551615/12000000")),
            done,
        ),
        (
            "endless headers",
            Bad::Put(flood("HTTP/1.1 206 X\r\n", "a: bbbbbb\r\n", 100 * MIB)),
            done,
        ),
        (
            "flood of 1xx",
            Bad::Put(flood("", "HTTP/1.1 100 Continue\r\n\r\n", 50 * MIB)),
            done,
        ),
        ("cut in its head", Bad::Put(cut("HTTP/1.1 201 Cre")), done),
        (
            "done before it began",
            Bad::PutAtOnce(text(http(201, "", ""))),
            done,
        ),
        (
            "refused before it began",
            Bad::PutAtOnce(text(http(413, "connection: close\r\n", ""))),
            &[0, 1],
        ),
        (
            "redirect",
            Bad::Put(text(http(307, "location: http://127.0.0.1:1/\r\n", ""))),
            &[1],
        ),
        (
            "a code nobody knows",
            Bad::Put(text(http(299, "", ""))),
            &[0, 1],
        ),
    ];
    if full() {
        cases.push((
            "slow body",
            Bad::Put(trickle("HTTP/1.1 206 X\r\ncontent-length: 9999\r\n\r\n")),
            done,
        ));
        cases.push((
            "slow head",
            Bad::Put(trickle("HTTP/1.1 206 X\r\na: ")),
            done,
        ));
    }
    play(cases);
}

#[test]
fn a_lying_status_delivers_nothing_and_ends() {
    let word = |word: &str, more: &str| text(status(word, more));
    let temporary: &[i32] = &[75];
    let long = "y".repeat(40_000);
    play(vec![
        (
            "bytes below zero",
            Bad::Status(word("\"PROCESSING_UPLOAD\"", ",\"uploaded_bytes\":-1")),
            temporary,
        ),
        (
            "bytes beyond",
            Bad::Status(word(
                "\"PROCESSING_UPLOAD\"",
                ",\"uploaded_bytes\":18446744073709551615",
            )),
            temporary,
        ),
        (
            "bytes as a fraction",
            Bad::Status(word("\"PROCESSING_UPLOAD\"", ",\"uploaded_bytes\":1e300")),
            temporary,
        ),
        (
            "a long word",
            Bad::Status(word(&format!("\"{long}\""), "")),
            temporary,
        ),
        (
            "a coloured word",
            Bad::Status(word("\"\\u001b[2J\"", "")),
            temporary,
        ),
        (
            "failed in colours",
            Bad::Status(word("\"FAILED\"", ",\"fail_reason\":\"\\u001b[31mno\\n\"")),
            &[1],
        ),
        (
            "failed at length",
            Bad::Status(word("\"FAILED\"", &format!(",\"fail_reason\":\"{long}\""))),
            &[1],
        ),
        (
            "failed for a number",
            Bad::Status(word("\"FAILED\"", ",\"fail_reason\":7")),
            &[1],
        ),
        ("no word", Bad::Status(word("null", "")), temporary),
        (
            "huge",
            Bad::Status(flood(
                "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n",
                "x",
                100 * MIB,
            )),
            temporary,
        ),
        (
            "redirect",
            Bad::Status(text(http(302, "location: http://127.0.0.1:1/\r\n", ""))),
            temporary,
        ),
    ]);
}

#[test]
fn bytes_and_tokens_go_to_no_other_place_whatever_the_service_names() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", SIZE);
    let trap = TcpListener::bind("127.0.0.2:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let at = trap.local_addr().unwrap();
    let urls = [
        format!("http://{at}/upload"),
        format!("https://{at}/upload"),
        format!("http://127.0.0.1@{at}/upload"),
        format!("ftp://{at}/"),
        format!("//{at}/upload"),
        "http://10.0.0.1/upload".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::1]:9/upload".to_owned(),
        "http://localhost.example/upload".to_owned(),
        "http://127.0.0.1.example/upload".to_owned(),
        "http://0x7f000002/upload".to_owned(),
        "https://open-upload.tiktokapis.com.example/upload".to_owned(),
        "file:///etc/passwd".to_owned(),
        "data:,x".to_owned(),
        String::new(),
        "\\u0000".to_owned(),
    ];
    for (number, url) in urls.iter().enumerate() {
        let rogue = Rogue::start(|_| Bad::Init(text(init("p", url))));
        let (ended, _) = run(&scene, &rogue, &number.to_string(), &file);
        assert_eq!(ended.code, Some(1), "{url}: {}", ended.message());
        assert!(
            ended.message().contains("Nothing was sent"),
            "{url}: {}",
            ended.message()
        );
        assert_eq!((rogue.count("post"), rogue.count("put")), (1, 0), "{url}");
    }
    for bad in [
        Bad::Init(text(http(308, &format!("location: http://{at}/\r\n"), ""))),
        Bad::Put(text(http(307, &format!("location: http://{at}/\r\n"), ""))),
        Bad::Put(text(http(303, &format!("location: http://{at}/\r\n"), ""))),
    ] {
        let rogue = Rogue::start(|_| bad);
        let (ended, _) = run(&scene, &rogue, "redirect", &file);
        assert_ne!(ended.code, Some(0));
        std::fs::remove_dir_all(scene.path("state redirect")).unwrap();
    }
    assert!(trap.accept().is_err(), "somebody was there");
}
