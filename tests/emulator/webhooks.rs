//! Webhooks arrive signed, again until they are taken, and only where they belong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use chunkferry::emulator::Emulator;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Line, Upload, started};

pub(crate) const SECRET: &str = "client-secret";

/// What a receiver was sent.
pub(crate) struct Received {
    pub(crate) signature: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn event(&self) -> (String, Value) {
        let json: Value = serde_json::from_str(&self.body).unwrap();
        let content = json["content"]
            .as_str()
            .expect("content is JSON in a string");
        (
            json["event"].as_str().unwrap().to_owned(),
            serde_json::from_str(content).unwrap(),
        )
    }
}

/// A receiver that answers with these statuses in turn, then 200.
pub(crate) fn receiver(statuses: &'static [u16]) -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = channel();
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut signature) = (0, String::new());
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                match line.trim_end().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap();
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("tiktok-signature") => {
                        signature = value.to_owned();
                    }
                    Some(_) => {}
                    None if line.trim_end().is_empty() => break,
                    None => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = statuses.get(index).unwrap_or(&200);
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let body = String::from_utf8(body).unwrap();
            // The test may be over.
            let _ = sender.send(Received { signature, body });
        }
    });
    (url, received)
}

pub(crate) fn register(emulator: &Emulator, url: &str, token: Option<&str>) {
    let body = json!({"url": url, "client_secret": SECRET}).to_string();
    let length = body.len().to_string();
    let authorization = token
        .map(|token| format!("Bearer {token}"))
        .unwrap_or_default();
    let mut line = Line::open(emulator);
    let headers = [
        ("content-length", &*length),
        ("authorization", &*authorization),
    ];
    line.head("PUT", "/_emulator/webhooks", &headers);
    line.send(body.as_bytes()).unwrap();
    assert_eq!(line.answer().unwrap().status, 200);
}

pub(crate) fn next(received: &Receiver<Received>) -> Received {
    received
        .recv_timeout(Duration::from_secs(10))
        .expect("no webhook came")
}

fn deliver(emulator: &Emulator) -> Upload {
    let upload = Upload::init(emulator, 1000, 1000, 1);
    assert_eq!(upload.put(emulator, 0, 1000).status, 201);
    upload
}

/// HMAC by its definition, for a key shorter than a block.
pub(crate) fn hmac(key: &str, message: &str) -> String {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block
            .iter_mut()
            .zip(key.bytes())
            .for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    hex::encode(
        Sha256::new()
            .chain_update(pad(0x5c))
            .chain_update(inner)
            .finalize(),
    )
}

#[test]
fn a_receiver_can_check_the_signature_over_the_raw_body() {
    let emulator = started(&[], &[]);
    let (url, received) = receiver(&[]);
    register(&emulator, &url, None);
    let upload = deliver(&emulator);
    let got = next(&received);
    let (t, s) = got.signature.split_once(",s=").unwrap();
    let t = t.strip_prefix("t=").unwrap();
    assert_eq!(s, hmac(SECRET, &format!("{t}.{}", got.body)));
    let (event, content) = got.event();
    assert_eq!(event, "post.publish.inbox_delivered");
    assert_eq!(
        content,
        json!({"publish_id": upload.publish_id, "publish_type": "INBOX_SHARE"})
    );
    let json: Value = serde_json::from_str(&got.body).unwrap();
    assert!(json["client_key"].is_string() && json["user_openid"].is_string());
    assert!(json["create_time"].is_u64());
}

#[test]
fn every_end_of_an_upload_has_its_event() {
    let ends: [(&str, &[&str]); 3] = [
        (
            "fail_reason=duration_check_failed",
            &["post.publish.failed"],
        ),
        (
            "final_status=PUBLISH_COMPLETE",
            &["post.publish.complete", "post.publish.publicly_available"],
        ),
        (
            "final_status=SEND_TO_USER_INBOX",
            &["post.publish.inbox_delivered"],
        ),
    ];
    for (set, events) in ends {
        let emulator = started(&[set], &[]);
        let (url, received) = receiver(&[]);
        register(&emulator, &url, None);
        deliver(&emulator);
        for event in events {
            let (got, content) = next(&received).event();
            assert_eq!(got, *event);
            assert_eq!(content["reason"].is_string(), got == "post.publish.failed");
            assert_eq!(
                content["post_id"].is_string(),
                got.ends_with("publicly_available")
            );
        }
    }
}

#[test]
fn a_webhook_that_is_not_answered_200_comes_again() {
    let emulator = started(&[], &[]);
    let (url, received) = receiver(&[500, 503]);
    register(&emulator, &url, None);
    deliver(&emulator);
    let first = next(&received);
    for _ in 0..2 {
        crate::transfer::wait_until(|| {
            emulator.advance(Duration::from_secs(5));
            received
                .try_recv()
                .is_ok_and(|again| again.body == first.body)
        });
    }
    crate::transfer::wait_until(|| {
        let log = emulator.log();
        let statuses: Vec<_> = log.webhooks.iter().map(|one| one.http_status).collect();
        statuses == [Some(500), Some(503), Some(200)]
    });
}

#[test]
fn a_webhook_nobody_takes_for_three_days_is_dropped() {
    let emulator = started(&[], &[]);
    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    register(&emulator, &format!("http://{gone}/"), None);
    deliver(&emulator);
    crate::transfer::wait_until(|| emulator.log().webhooks.len() == 1);
    emulator.advance(Duration::from_secs(73 * 3600));
    crate::transfer::wait_until(|| emulator.log().webhooks.len() == 2);
    emulator.advance(Duration::from_secs(73 * 3600));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(emulator.log().webhooks.len(), 2);
}

#[test]
fn duplicates_delays_and_order_are_dials() {
    let emulator = started(&["webhook_repeat=2", "webhook_delay=1h"], &[]);
    let (url, received) = receiver(&[]);
    register(&emulator, &url, None);
    deliver(&emulator);
    assert!(received.recv_timeout(Duration::from_millis(200)).is_err());
    emulator.advance(Duration::from_secs(3600));
    assert_eq!(next(&received).body, next(&received).body);

    let set = [
        "webhook_order=reversed",
        "webhook_delay=1h",
        "final_status=PUBLISH_COMPLETE",
    ];
    let emulator = started(&set, &[]);
    let (url, received) = receiver(&[]);
    register(&emulator, &url, None);
    deliver(&emulator);
    thread::sleep(Duration::from_millis(150));
    emulator.advance(Duration::from_secs(3600));
    assert_eq!(next(&received).event().0, "post.publish.publicly_available");
    assert_eq!(next(&received).event().0, "post.publish.complete");
}

#[test]
fn one_suites_receiver_never_hears_of_anothers_uploads() {
    let emulator = started(&[], &[]);
    let (url, received) = receiver(&[]);
    register(&emulator, &url, Some("act.olga.1"));
    deliver(&emulator);
    let olgas = Upload::init_for(&emulator, "act.olga.1", 1000);
    olgas.put(&emulator, 0, 1000);
    assert_eq!(next(&received).event().1["publish_id"], *olgas.publish_id);
    assert!(received.recv_timeout(Duration::from_millis(150)).is_err());
}

#[test]
fn a_revoked_authorization_is_told() {
    let emulator = started(&[], &[]);
    let (url, received) = receiver(&[]);
    register(&emulator, &url, None);
    Upload::init(&emulator, 1000, 1000, 1);
    let body = "client_key=k&client_secret=s&token=act.lena.1";
    let length = body.len().to_string();
    let mut line = Line::open(&emulator);
    let form = ("content-type", "application/x-www-form-urlencoded");
    line.head(
        "POST",
        "/v2/oauth/revoke/",
        &[form, ("content-length", &length)],
    );
    line.send(body.as_bytes()).unwrap();
    assert_eq!(line.answer().unwrap().status, 200);
    let first = next(&received).event();
    assert_eq!(
        first,
        ("authorization.removed".to_owned(), json!({"reason": 5}))
    );
    let (event, content) = next(&received).event();
    assert_eq!(
        (&*event, &content["reason"]),
        ("post.publish.failed", &json!("auth_removed"))
    );
}

#[test]
fn what_happened_before_anyone_listened_is_not_told_later() {
    let emulator = started(&[], &[]);
    deliver(&emulator);
    let (url, received) = receiver(&[]);
    register(&emulator, &url, None);
    let second = deliver(&emulator);
    assert_eq!(next(&received).event().1["publish_id"], *second.publish_id);
    assert!(received.recv_timeout(Duration::from_millis(150)).is_err());
}

#[test]
fn an_attempt_says_where_it_went_and_which_it_was() {
    let emulator = started(&[], &[]);
    let (url, received) = receiver(&[500]);
    let host = url
        .strip_prefix("http://")
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    register(&emulator, &url, None);
    deliver(&emulator);
    next(&received);
    emulator.advance(Duration::from_secs(5));
    next(&received);
    crate::transfer::wait_until(|| emulator.log().webhooks.len() == 2);
    let log = emulator.log().webhooks;
    let told: Vec<_> = log
        .iter()
        .map(|one| (&*one.host, &*one.creator, one.attempt, one.http_status))
        .collect();
    assert_eq!(
        told,
        [(host, "lena", 1, Some(500)), (host, "lena", 2, Some(200))]
    );
}
