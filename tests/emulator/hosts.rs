//! Which host names the emulator answers for: a page of another site whose name was rebound to this machine gets nothing.

use std::process::Command;

use chunkferry::emulator::{Emulator, Settings};

use crate::client::{Answer, INBOX_INIT, Line, TOKEN, Upload, get, plan, started};

/// Sends a request line with these headers and nothing else.
fn ask(emulator: &Emulator, request: &str, headers: &[&str], body: &str) -> Answer {
    let mut line = Line::open(emulator);
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{request}\r\n{headers}authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    line.send(head.as_bytes()).unwrap();
    line.answer().unwrap()
}

fn log_from(emulator: &Emulator, host: &str) -> u16 {
    let host = format!("host: {host}");
    ask(emulator, "GET /_emulator/log HTTP/1.1", &[&host], "").status
}

fn sink() -> Emulator {
    Emulator::builder().sink().start_blocking().unwrap()
}

#[test]
fn a_page_whose_name_was_rebound_reads_nothing_and_changes_nothing() {
    for emulator in [started(&[], &[]), sink()] {
        let upload = Upload::init(&emulator, 10, 10, 1);
        let (log, settings) = (emulator.log(), get(&emulator, "/_emulator/settings").body);
        let init = plan(10, 10, 1).to_string();
        let put = format!("PUT {} HTTP/1.1", upload.target());
        let requests = [
            ("GET / HTTP/1.1", ""),
            ("GET /_emulator/log HTTP/1.1", ""),
            ("GET /_emulator/events HTTP/1.1", ""),
            ("GET /_emulator/media/x/0 HTTP/1.1", ""),
            ("GET /_emulator/usage HTTP/1.1", ""),
            ("PUT /_emulator/settings HTTP/1.1", "replay=206"),
            ("PUT /_emulator/sink HTTP/1.1", "x"),
            ("GET /v2/auth/authorize/?client_key=a HTTP/1.1", ""),
            ("POST /v2/oauth/revoke/ HTTP/1.1", "token=act.lena.1"),
            (&format!("POST {INBOX_INIT} HTTP/1.1"), &init),
            (&put, "0123456789"),
            ("GET /nowhere HTTP/1.1", ""),
            ("DELETE /v2/oauth/token/ HTTP/1.1", ""),
        ];
        for (request, body) in requests {
            let refused = ask(&emulator, request, &["host: rebound.example:8787"], body);
            assert_eq!(refused.status, 421, "{request}");
            let said = String::from_utf8_lossy(&refused.body).into_owned();
            let option = "--allow-host rebound.example";
            assert!(said.contains(option), "{request}: {said}");
            let error = &refused.json()["error"];
            assert!(error["log_id"].is_string(), "{request}: {said}");
            assert!(refused.json()["data"].is_object(), "{request}: {said}");
        }
        assert_eq!(emulator.log(), log);
        assert_eq!(get(&emulator, "/_emulator/settings").body, settings);
    }
}

#[test]
fn every_name_that_can_only_lead_here_is_answered() {
    let emulator = started(&[], &[]);
    for host in [
        "127.0.0.1:8787",
        "127.1",
        "192.168.0.7",
        "[::1]:8787",
        "emulator",
        "emulator:8787",
        "LocalHost:1",
        "localhost.",
        "app.localhost:3000",
        "open.tiktokapis.com",
        "open-upload.tiktokapis.com:443",
        "www.tiktok.com",
    ] {
        assert_eq!(log_from(&emulator, host), 200, "{host}");
    }
    for host in [
        "tiktokapis.com",
        "localhost.example",
        "127.0.0.1.example",
        "notlocalhost.x",
        "evil.example.",
    ] {
        assert_eq!(log_from(&emulator, host), 421, "{host}");
    }
}

#[test]
fn a_request_that_names_no_host_or_two_is_refused() {
    for emulator in [started(&[], &[]), sink()] {
        let log = |version: &str, headers: &[&str]| {
            let request = format!("GET /_emulator/log HTTP/{version}");
            ask(&emulator, &request, headers, "").status
        };
        assert_eq!(log("1.1", &[]), 400);
        assert_eq!(log("1.1", &["host: "]), 400);
        assert_eq!(log("1.1", &["host: localhost", "host: localhost"]), 400);
        assert_eq!(log("1.0", &[]), 200, "HTTP/1.0 knows no Host");
        assert_eq!(log("1.0", &["host: evil.example"]), 421);
        let both = "GET http://evil.example/_emulator/log HTTP/1.1";
        assert_eq!(ask(&emulator, both, &["host: localhost"], "").status, 421);
    }
}

#[test]
fn over_http2_the_name_is_checked_too() {
    let mut settings = Settings::default();
    settings.set("http2", "on").unwrap();
    let emulator = Emulator::builder().settings(settings);
    let emulator = emulator.start_blocking().unwrap();
    let port = emulator.address().port();
    for (host, status) in [("rebound.example", "421"), ("localhost", "200")] {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--noproxy", "*"])
            .args(["--http2-prior-knowledge", "-o", "/dev/null"])
            .args(["-w", "%{http_code}"])
            .arg("--resolve")
            .arg(format!("{host}:{port}:127.0.0.1"))
            .arg(format!("http://{host}:{port}/_emulator/log"))
            .output();
        match output {
            Ok(output) => assert_eq!(String::from_utf8(output.stdout).unwrap(), status),
            Err(error) => eprintln!("NOT TESTED: curl does not start: {error}"),
        }
    }
}

#[test]
fn a_name_that_the_user_allows_is_answered_and_no_other() {
    for sink in [false, true] {
        let mut builder = Emulator::builder()
            .allow_host("Emulator.Test")
            .allow_host("other.test")
            .upload_origin("https://upload.test:8443");
        if sink {
            builder = builder.sink();
        }
        let emulator = builder.start_blocking().unwrap();
        for host in ["emulator.test:1", "OTHER.test", "upload.test"] {
            assert_eq!(log_from(&emulator, host), 200, "{host}");
        }
        for host in ["a.emulator.test", "test.example", "upload.test.example"] {
            assert_eq!(log_from(&emulator, host), 421, "{host}");
        }
    }
    let wrong = Emulator::builder().allow_host("http://emulator.test");
    let refused = wrong.start_blocking().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}
