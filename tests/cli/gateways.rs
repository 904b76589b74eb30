//! Proxies, filters and gateways that add, refuse, swallow, or end connections in their own way.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::line::{Line, Trouble};
use crate::rogue::{Answer, Bad, Rogue, cut, http, text, upload_url};
use crate::scene::{CHUNK, Ended, Scene, Start};
use crate::swallower::Swallower;

const INIT: &str = "post /v2/post/publish/inbox/video/init/";

/// An upload of 12,000,000 bytes, as the rogue server expects.
fn play(bad: impl FnOnce(&str) -> Bad, more: &[&str]) -> (Ended, Rogue) {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let rogue = Rogue::start(bad);
    let mut upload = scene.upload(&file, &["--patience", "5", "--wait", "5"]);
    upload.args(more).env("CHUNKFERRY_API_BASE", &rogue.base);
    (upload.end(), rogue)
}

/// An answer for a service of this base.
type Make<'a> = Box<dyn Fn(&str) -> Answer + 'a>;

fn bytes(bytes: Vec<u8>) -> Answer {
    Box::new(move |stream| stream.write_all(&bytes))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_answer_that_has_what_is_needed_is_used_whatever_else_a_gateway_did_to_it() {
    let body = |base: &str, error: &str| {
        let url = upload_url(base);
        format!(r#"{{"data":{{"publish_id":"p.1","upload_url":"{url}"}},"error":{{{error}}}}}"#)
    };
    let plain = |base: &str| body(base, r#""code":"ok","message":"","log_id":"L""#);
    let whole = |base: &str, error: &str| text(http(200, "", &body(base, error)));
    let rows: [(&str, Make<'_>); 7] = [
        (
            "message null",
            Box::new(move |base| whole(base, r#""code":"ok","message":null"#)),
        ),
        (
            "log_id as a number",
            Box::new(move |base| whole(base, r#""code":"ok","message":"","log_id":2026"#)),
        ),
        (
            "message as an object",
            Box::new(move |base| whole(base, r#""code":"ok","message":{"en":""},"log_id":[]"#)),
        ),
        (
            "gzip",
            Box::new(move |base| {
                let packed = gzip(&plain(base));
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                    packed.len()
                );
                bytes([head.into_bytes(), packed].concat())
            }),
        ),
        (
            "called gzip and in the clear",
            Box::new(move |base| text(http(200, "content-encoding: gzip\r\n", &plain(base)))),
        ),
        (
            "120 headers",
            Box::new(move |base| {
                let more: String = (0..120)
                    .map(|n| format!("x-gateway-{n}: {n}\r\n"))
                    .collect();
                text(http(200, &more, &plain(base)))
            }),
        ),
        (
            "shorter than it says",
            Box::new(move |base| {
                let body = plain(base);
                let length = body.len() + 9;
                cut(format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
                ))
            }),
        ),
    ];
    for (what, answer) in rows {
        let (ended, rogue) = play(|base| Bad::Init(answer(base)), &[]);
        assert_eq!(
            (ended.code, rogue.count(INIT)),
            (Some(0), 1),
            "{what}: {ended:?}"
        );
    }
}

/// A service that ends each TLS connection without a word, as some gateways do.
const MUTE_END: &str = r#"
import json, re, socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
print(port, flush=True)
while True:
    raw, _ = listener.accept()
    try:
        stream = context.wrap_socket(raw, server_side=True)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += stream.recv(1)
        length = re.search(rb"content-length: (\d+)", head, re.I)
        left = int(length.group(1)) if length else 0
        while left:
            left -= len(stream.recv(min(left, 65536)))
        if head.startswith(b"PUT"):
            data = None
        elif b"/status/" in head:
            data = {"status": "SEND_TO_USER_INBOX"}
        else:
            data = {"publish_id": "p.1", "upload_url": f"https://127.0.0.1:{port}/upload/?upload_token=1"}
        body = b"" if data is None else json.dumps({"data": data, "error": {"code": "ok"}}).encode()
        stream.sendall(b"HTTP/1.1 201 OK\r\nconnection: close\r\n\r\n" + body)
        # Closes the socket below TLS: no close_notify.
        raw = socket.socket(fileno=stream.detach())
        raw.close()
    except OSError:
        pass
"#;

#[test]
fn a_tls_connection_that_ends_without_close_notify_still_brought_its_answer() {
    let scene = Scene::new(&[], &[]);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (pem, private) = (scene.path("cert.pem"), scene.path("key.pem"));
    std::fs::write(&pem, certificate.pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();
    let started = Command::new("python3")
        .args(["-c", MUTE_END])
        .args([&pem, &private])
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut server) = started else {
        eprintln!("skipped: there is no python3");
        return;
    };
    let mut port = String::new();
    let mut byte = [0];
    let stdout = server.stdout.as_mut().unwrap();
    while stdout.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        port.push(byte[0].into());
    }
    let file = scene.video("clip.mp4", 100_000);
    let mut upload = scene.upload(&file, &["--patience", "5", "--ca-file"]);
    upload
        .arg(&pem)
        .env("CHUNKFERRY_API_BASE", format!("https://127.0.0.1:{port}"));
    let ended = upload.end();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("\"retry\""), "{}", ended.stdout);
}

#[test]
fn a_filter_that_refuses_the_upload_host_is_named_and_costs_no_burst_of_inits() {
    let page = || {
        text(http(
            403,
            "content-type: text/html\r\n",
            "<html>Blocked</html>",
        ))
    };
    let (ended, rogue) = play(|_| Bad::Put(page()), &[]);
    assert_eq!((ended.code, rogue.count(INIT)), (Some(75), 1), "{ended:?}");
    let told = ended.message();
    assert!(told.contains("403") && told.contains("filter"), "{told}");
    assert!(!told.contains("expired"), "{told}");
}

#[test]
fn an_init_that_a_gateway_refuses_needs_a_person_and_is_not_taken_for_the_services_word() {
    let page = |status| {
        text(http(
            status,
            "content-type: text/html\r\n",
            "<html>Sign in</html>",
        ))
    };
    for (status, code, says) in [(401, 4, "token"), (407, 4, "proxy"), (403, 1, "filter")] {
        let (ended, rogue) = play(|_| Bad::Init(page(status)), &[]);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.message().contains(says), "{}", ended.message());
        assert_eq!(rogue.count(INIT), 1, "{ended:?}");
    }
}

#[test]
fn a_success_code_that_nobody_documents_is_settled_by_status() {
    for code in ["202", "204", "299"] {
        for chunk in [0, 1, 2] {
            let fault = format!("put chunk={chunk} nth=1 store={code} body=none");
            let scene = Scene::new(&["limits=off"], &[&fault]);
            let file = scene.video("clip.mp4", 3 * CHUNK);
            scene.upload(&file, &[]).end().expect(0);
            let session = scene.assert_one_draft_of(&file);
            assert_eq!(scene.log().inits, 1, "{fault}");
            assert_eq!(session.puts.len(), 3, "{fault}: it was sent again");
        }
    }
}

#[test]
fn a_chunk_that_a_proxy_acknowledged_and_swallowed_is_sent_again_in_the_same_session() {
    for (chunk, answer) in [(2, 201), (1, 206), (0, 206), (1, 201)] {
        for more in [&[][..], &["--no-ledger"]] {
            let scene = Scene::new(&["limits=off"], &[]);
            let proxy = Swallower::before(scene.emulator.address(), chunk * CHUNK, answer);
            let file = scene.video("clip.mp4", 3 * CHUNK);
            let mut upload = scene.upload(&file, more);
            // A minute of standing still, in three seconds.
            upload.env("CHUNKFERRY_CLOCK_SCALE", "20");
            let ended = upload
                .env("CHUNKFERRY_API_BASE", proxy.url())
                .end()
                .expect(0);
            scene.assert_one_draft_of(&file);
            assert_eq!(scene.log().inits, 1, "{chunk} {answer}: {ended:?}");
            // A wrong digest in the journal would let the same bytes go out as another video.
            let digest = more.is_empty().then(|| crate::video::sha256(&file));
            let known = ended.outcome()["sha256"].as_str().map(str::to_owned);
            assert_eq!(known, digest, "{chunk} {answer}");
            assert!(proxy.has_swallowed());
            assert!(
                ended.stdout.contains("acknowledged"),
                "nothing was said of it: {ended:?}"
            );
        }
    }
}

#[test]
fn a_video_that_waits_for_its_swallowed_end_is_finished_by_a_later_run() {
    let scene = Scene::new(&["limits=off"], &[]);
    let proxy = Swallower::before(scene.emulator.address(), 2 * CHUNK, 201);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let mut upload = scene.upload(&file, &["--no-wait"]);
    upload.env("CHUNKFERRY_API_BASE", proxy.url());
    assert_eq!(upload.end().expect(0).outcome()["outcome"], "sent");
    let mut later = scene.upload(&file, &[]);
    later.env("CHUNKFERRY_API_BASE", proxy.url());
    later.env("CHUNKFERRY_CLOCK_SCALE", "20").end().expect(0);
    scene.assert_one_draft_of(&file);
    assert_eq!(scene.log().inits, 1);
}

/// A line that is out from its third connection on, for so long.
fn outage(scene: &Scene, lasts: Duration) -> Line {
    let began = OnceLock::new();
    Line::before(scene.emulator.address(), move |number| match number {
        0 | 1 => Trouble::CloseAfter(Duration::ZERO),
        _ if began.get_or_init(Instant::now).elapsed() < lasts => Trouble::Cut(0),
        _ => Trouble::None,
    })
}

#[test]
fn an_outage_of_eighty_seconds_in_mid_upload_is_waited_out() {
    let scene = Scene::new(&["limits=off"], &[]);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let line = outage(&scene, Duration::from_secs(4));
    let mut upload = scene.upload(&file, &[]);
    upload
        .env("CHUNKFERRY_CLOCK_SCALE", "20")
        .env("CHUNKFERRY_API_BASE", line.url());
    upload.end().expect(0);
    scene.assert_one_draft_of(&file);
    assert_eq!(scene.log().inits, 1);
}

#[test]
fn whoever_has_less_patience_is_told_how_long_it_was_and_carries_on_later() {
    let scene = Scene::new(&["limits=off"], &[]);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let line = outage(&scene, Duration::from_secs(4));
    let mut upload = scene.upload(&file, &["--patience", "20"]);
    upload
        .env("CHUNKFERRY_CLOCK_SCALE", "20")
        .env("CHUNKFERRY_API_BASE", line.url());
    let ended = upload.end().expect(75);
    assert!(
        ended.message().contains("within 20 s"),
        "{}",
        ended.message()
    );
    thread::sleep(Duration::from_secs(4));
    upload.end().expect(0);
    scene.assert_one_draft_of(&file);
    assert_eq!(scene.log().inits, 1);
}

/// An upload to a host that is not this machine, so that a proxy of the environment counts.
fn away(scene: &Scene, proxy: (&str, &str)) -> Command {
    let file = scene.video("clip.mp4", 100_000);
    let mut upload = scene.upload(&file, &["--patience", "1"]);
    upload
        .env("CHUNKFERRY_API_BASE", "https://api.example")
        .env(proxy.0, proxy.1);
    upload
}

#[test]
fn a_proxy_that_cannot_be_used_is_not_passed_by() {
    let scene = Scene::new(&[], &[]);
    for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        for value in [
            "ftp://lena:s3cret@proxy:21",
            "http//proxy:3128",
            "socks://proxy",
            "http://pro xy:1",
        ] {
            let ended = away(&scene, (name, value)).end();
            assert_eq!(ended.code, Some(2), "{name}={value}: {ended:?}");
            let told = ended.stdout + &ended.stderr;
            assert!(told.contains(name) && !told.contains("s3cret"), "{told}");
        }
    }
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ended = away(&scene, ("https_proxy", &format!("http://{dead}")))
        .end()
        .expect(75);
    assert!(
        ended.message().contains("https_proxy"),
        "{}",
        ended.message()
    );
}

#[test]
fn a_proxy_that_asks_who_is_there_needs_a_person_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
            let _ = stream
                .read(&mut [0; 4096])
                .and_then(|_| stream.write_all(answer));
        }
    });
    let scene = Scene::new(&[], &[]);
    let ended = away(&scene, ("https_proxy", &format!("http://{address}")))
        .end()
        .expect(4);
    assert!(ended.message().contains("user name"), "{}", ended.message());
    assert!(!ended.stdout.contains("\"retry\""), "{}", ended.stdout);
}

#[test]
fn a_socks_proxy_is_used_and_finds_the_service_by_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut greeting = [0; 3];
            let mut request = [0; 5 + "api.example".len() + 2];
            let read = stream.read_exact(&mut greeting).is_ok()
                && stream.write_all(&[5, 0]).is_ok()
                && stream.read_exact(&mut request).is_ok();
            let name = &request[5..16];
            seen.fetch_or(
                read && greeting[0] == 5 && request[3] == 3 && name == b"api.example",
                Ordering::SeqCst,
            );
        }
    });
    let scene = Scene::new(&[], &[]);
    away(&scene, ("https_proxy", &format!("socks5h://{address}")))
        .end()
        .expect(75);
    assert!(asked.load(Ordering::SeqCst), "the proxy was not asked");
}

#[test]
fn a_last_chunk_of_which_nobody_tells_anything_is_unknown_once_its_hour_is_over() {
    let silent = ["limits=off", "status_bytes=absent", "progress_header=never"];
    let faults = [
        "put chunk=2 nth=1 cut=5200000",
        "put chunk=2 nth=2 drop_session",
    ];
    let scene = Scene::new(&silent, &faults);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    // An hour in twelve seconds.
    let hasty = |wait: &str| {
        let mut upload = scene.upload(&file, &["--wait", wait]);
        upload.env("CHUNKFERRY_CLOCK_SCALE", "300").end()
    };
    hasty("600").expect(75);
    let ended = hasty("7200").expect(5);
    assert!(
        ended.message().contains("does not say"),
        "{}",
        ended.message()
    );
    hasty("7200").expect(5);
    assert_eq!(scene.log().inits, 1);
}
