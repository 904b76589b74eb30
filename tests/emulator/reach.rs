//! What the emulator fetches, reads and calls, and who may choose that.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use chunkferry::emulator::{Emulator, Settings};
use serde_json::{Value, json};

use crate::client::{Answer, INBOX_INIT, Line, TOKEN, Upload, post, started};

/// This machine's own address towards others; `None` where it has no network.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: connecting a datagram socket only chooses the route.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// An emulator that listens everywhere, and the address by which another machine would reach it.
fn exposed(set: &[&str]) -> Option<(Emulator, IpAddr)> {
    let Some(address) = own_address() else {
        eprintln!("NOT TESTED: this machine has no address but loopback");
        return None;
    };
    let mut settings = Settings::default();
    for pair in set {
        settings.set_pair(pair).unwrap();
    }
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let builder = Emulator::builder().settings(settings).listen(everywhere);
    Some((builder.start_blocking().unwrap(), address))
}

fn tell(line: &mut Line, method: &str, page: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let length = body.len().to_string();
    let mut all = vec![("content-length", &*length)];
    all.extend_from_slice(headers);
    line.head(method, &format!("/_emulator/{page}"), &all);
    line.send(body.as_bytes()).unwrap();
    line.answer().unwrap()
}

const STEERING: [&str; 3] = [
    "pull_ca_file=/dev/zero",
    "pull_allow_http=true",
    "verified_prefix=none",
];

fn refuses_to_be_steered(emulator: &Emulator, line: &mut Line, headers: &[(&str, &str)]) {
    for pair in STEERING {
        let refused = tell(line, "PUT", "settings", headers, pair);
        assert_eq!(refused.status, 400, "{pair}");
        let why = refused.json()["error"].to_string();
        assert!(
            why.contains("at the start") && why.contains("loopback"),
            "{why}"
        );
    }
    let taken = tell(line, "PUT", "settings", headers, "replay=206");
    assert_eq!(taken.status, 200, "other settings are anyone's");
    let settings = crate::client::get(emulator, "/_emulator/settings").json();
    assert_eq!(settings["pull_ca_file"], "none");
}

#[test]
fn another_machine_cannot_choose_what_is_read_and_fetched() {
    let Some((emulator, address)) = exposed(&[]) else {
        return;
    };
    let mut line = Line::to((address, emulator.address().port()));
    refuses_to_be_steered(&emulator, &mut line, &[]);
    refuses_to_be_steered(
        &emulator,
        &mut line,
        &[("authorization", "Bearer act.lena.1")],
    );
}

#[test]
fn what_comes_through_a_proxy_on_this_machine_does_not_count_as_from_this_machine() {
    for header in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-real-ip",
        "forwarded",
        "via",
    ] {
        let emulator = started(&[], &[]);
        let mut line = Line::open(&emulator);
        refuses_to_be_steered(&emulator, &mut line, &[(header, "x")]);
        let hook = json!({"url": "http://127.0.0.1:1/", "client_secret": "s"}).to_string();
        let refused = tell(&mut line, "PUT", "webhooks", &[(header, "x")], &hook);
        assert_eq!(refused.status, 400);
    }
}

#[test]
fn on_this_machine_everything_can_be_set_while_it_runs() {
    let emulator = started(&[], &[]);
    for pair in STEERING {
        let mut line = Line::open(&emulator);
        assert_eq!(tell(&mut line, "PUT", "settings", &[], pair).status, 200);
    }
}

#[test]
fn a_receiver_that_another_machine_names_must_be_that_machine() {
    let Some((emulator, address)) = exposed(&["processing_time=0s"]) else {
        return;
    };
    let port = emulator.address().port();
    let own = TcpListener::bind((address, 0)).unwrap();
    let inner = TcpListener::bind("127.0.0.1:0").unwrap();
    for listener in [&own, &inner] {
        listener.set_nonblocking(true).unwrap();
    }
    for (listener, called) in [(&inner, false), (&own, true)] {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let hook = json!({"url": url, "client_secret": "s"}).to_string();
        let mut line = Line::to((address, port));
        assert_eq!(tell(&mut line, "PUT", "webhooks", &[], &hook).status, 200);
        let upload = Upload::init_for(&emulator, &format!("act.u{called}.1"), 10);
        assert_eq!(upload.put(&emulator, 0, 10).status, 201);
        let until = Instant::now() + Duration::from_secs(30);
        let tried = || !emulator.log().webhooks.is_empty();
        let mut came = listener.accept().is_ok();
        while !came && (called || !tried()) {
            assert!(Instant::now() < until, "no attempt at {url}");
            std::thread::sleep(Duration::from_millis(20));
            came = listener.accept().is_ok();
        }
        assert_eq!(came, called, "{url}");
        if !called {
            let why = emulator.log().webhooks[0].why.clone().unwrap();
            assert!(why.contains("not the machine"), "{why}");
        }
    }
}

fn pulled(set: &[&str], url: &str) -> (String, String) {
    let emulator = started(set, &[]);
    let body = json!({"source_info": {"source": "PULL_FROM_URL", "video_url": url}});
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
    let until = Instant::now() + Duration::from_secs(20);
    while emulator.log().notes.is_empty() {
        assert!(Instant::now() < until, "the pull of {url} does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = emulator.log();
    (log.sessions[0].status.clone(), log.notes[0].text.clone())
}

#[test]
fn a_pull_never_goes_to_a_link_local_address() {
    for host in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"] {
        let url = format!("http://{host}/latest/meta-data/");
        let (status, note) = pulled(&["pull_allow_http=true"], &url);
        assert_eq!(status, "FAILED");
        assert!(note.contains("link-local"), "{host}: {note}");
    }
}

#[test]
fn a_webhook_never_goes_to_a_link_local_address() {
    let emulator = started(&[], &[]);
    let hook = json!({"url": "http://169.254.169.254/hook", "client_secret": "s"}).to_string();
    let mut line = Line::open(&emulator);
    assert_eq!(tell(&mut line, "PUT", "webhooks", &[], &hook).status, 200);
    let upload = Upload::init(&emulator, 10, 10, 1);
    assert_eq!(upload.put(&emulator, 0, 10).status, 201);
    let until = Instant::now() + Duration::from_secs(20);
    while emulator.log().webhooks.is_empty() {
        assert!(Instant::now() < until, "no attempt");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = emulator.log();
    assert_eq!(log.webhooks[0].http_status, None);
    let why = log.webhooks[0].why.clone().unwrap();
    assert!(why.contains("link-local"), "{why}");
}

/// What a pull over TLS says that trusts this file.
fn trusting(file: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let host = Emulator::builder().tls(&ca).start_blocking().unwrap();
    let url = format!("https://localhost:{}/_emulator/log", host.address().port());
    pulled(&[&format!("pull_ca_file={}", file.display())], &url).1
}

#[test]
fn a_file_of_certificates_that_is_none_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let note = trusting(&fifo);
    assert!(note.contains("is no regular file"), "{note}");
    let large = dir.path().join("large");
    let file = std::fs::File::create(&large).unwrap();
    file.set_len(3 << 30).unwrap();
    let note = trusting(&large);
    assert!(note.contains("1 MiB"), "{note}");
    let note = trusting(Path::new("/dev/zero"));
    assert!(note.contains("is no regular file"), "{note}");
}

#[test]
fn no_setting_with_a_number_is_without_a_bound() {
    let emulator = started(&[], &[]);
    let numbers = Settings::list().into_iter().filter(|setting| {
        let shown = setting.values.as_str();
        ["a number", "a size", "a duration", "a factor"]
            .iter()
            .any(|kind| shown.contains(kind))
    });
    let mut tried = 0;
    for setting in numbers {
        assert!(
            setting.values.contains(" to "),
            "{}: {}",
            setting.key,
            setting.values
        );
        for value in ["99999999999999", "99999999999d", "999999GiB", "1e300x"] {
            let mut line = Line::open(&emulator);
            let pair = format!("{}={value}", setting.key);
            let refused = tell(&mut line, "PUT", "settings", &[], &pair);
            assert_eq!(refused.status, 400, "{pair}");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    let mut line = Line::open(&emulator);
    let refused = tell(
        &mut line,
        "PUT",
        "settings",
        &[],
        "webhook_repeat=1000000000",
    );
    assert_eq!(refused.status, 400);
    let why: Value = refused.json();
    assert!(why["error"].to_string().contains("100"), "{why}");
}

#[cfg(all(unix, feature = "cli"))]
#[test]
fn whoever_listens_beyond_this_machine_is_told_in_one_line() {
    use std::process::{Command, Stdio};
    for (listen, lines) in [("0.0.0.0:0", 1), ("127.0.0.1:0", 0), ("[::1]:0", 0)] {
        let output = Command::new(env!("CARGO_BIN_EXE_chunkferry"))
            .args(["emulator", "--listen", listen, "--", "true"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if said.contains("cannot run on [::1]") {
            eprintln!("NOT TESTED: this machine has no IPv6");
            continue;
        }
        let warnings: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("warning"))
            .collect();
        assert_eq!(warnings.len(), lines, "{listen}: {said}");
        assert!(
            warnings.iter().all(|line| line.contains("sign-in")),
            "{said}"
        );
    }
}
