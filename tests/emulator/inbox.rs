//! Init, windows, caps and status.

use std::time::Duration;

use serde_json::json;

use crate::client::{
    INBOX_INIT, Line, STATUS, TOKEN, Upload, get, plan, post, sample, sha256, started,
};

const SMALL: (u64, u64, u64) = (1000, 1000, 1);

#[test]
fn a_draft_is_only_delivered_after_every_byte_and_the_processing() {
    let emulator = started(&["processing_time=1h"], &[]);
    let upload = Upload::init(&emulator, 10_485_761, 5_242_880, 2);
    assert!(upload.publish_id.starts_with("v_inbox_file~v2."));
    assert!(upload.publish_id.len() <= 64 && upload.url.len() <= 256);
    assert_eq!(upload.status(&emulator)["status"], "PROCESSING_UPLOAD");

    let middle = upload.put(&emulator, 0, 5_242_880);
    assert_eq!(middle.status, 206);
    assert_eq!(
        middle.header("content-range"),
        Some("bytes 0-5242880/10485761")
    );
    assert_eq!(upload.received(&emulator), 5_242_880);
    let last = upload.put(&emulator, 5_242_880, 10_485_761);
    assert_eq!(last.status, 201);
    assert_eq!(upload.status(&emulator)["status"], "PROCESSING_UPLOAD");
    assert_eq!(emulator.log().drafts, 0);

    emulator.advance(Duration::from_secs(3600));
    assert_eq!(upload.status(&emulator)["status"], "SEND_TO_USER_INBOX");
    let log = emulator.log();
    assert_eq!((log.inits, log.drafts), (1, 1));
    let expected = sha256(&sample(0, 10_485_761));
    assert_eq!(log.sessions[0].sha256.as_deref(), Some(&*expected));
}

#[test]
fn the_log_tells_everything_but_the_secret() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    upload.put(&emulator, 0, 1000);
    upload.status(&emulator);
    get(&emulator, "/nowhere");
    let answer = get(&emulator, "/_emulator/log");
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let secret = upload.url.split("upload_token=").nth(1).unwrap();
    assert!(!text.contains(secret) && !text.contains(TOKEN), "{text}");

    let log = answer.json();
    assert_eq!(
        log["requests"],
        json!({"init": 1, "put": 1, "status": 1, "token": 0, "other": 1})
    );
    assert_eq!((&log["inits"], &log["drafts"]), (&json!(1), &json!(1)));
    let session = &log["sessions"][0];
    assert_eq!(session["publish_id"], *upload.publish_id);
    assert_eq!(session["endpoint"], "inbox_init");
    assert_eq!(session["video_size"], 1000);
    assert_eq!(session["chunk_size"], 1000);
    assert_eq!(session["total_chunk_count"], 1);
    assert_eq!(session["received"], 1000);
    assert_eq!(session["status"], "SEND_TO_USER_INBOX");
    let put = &session["puts"][0];
    assert_eq!(
        (&put["first"], &put["last"], &put["http_status"]),
        (&json!(0), &json!(999), &json!(201))
    );
}

#[test]
fn an_illegal_plan_is_refused_with_the_words_of_the_service() {
    let emulator = started(&["limits=off"], &[]);
    let rows = [
        (
            plan(50_000_123, 10_000_000, 6),
            "The total chunk count is invalid",
        ),
        (plan(1_264_496, 10_000_000, 1), "The chunk size is invalid"),
        (plan(66_259_900, 66_259_900, 1), "The chunk size is invalid"),
        (
            plan(121_000_000, 67_108_864, 1),
            "The chunk size is invalid",
        ),
    ];
    for (body, message) in rows {
        let answer = post(&emulator, INBOX_INIT, TOKEN, &body);
        assert_eq!(answer.status, 400);
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("invalid_params"), &json!(message))
        );
        assert!(error["log_id"].as_str().is_some_and(|id| !id.is_empty()));
    }
    assert_eq!(emulator.log().inits, 0);
}

#[test]
fn a_body_that_is_no_init_is_refused_as_a_parameter() {
    let emulator = started(&["limits=off"], &[]);
    let bodies = [
        json!([]),
        json!({}),
        json!({"source_info": {}}),
        json!({"source_info": {"source": "FILE_UPLOAD"}}),
        json!({"source_info": {"source": "FTP"}}),
        json!({"source_info": {"source": "FILE_UPLOAD", "video_size": "1000",
            "chunk_size": 1000, "total_chunk_count": 1}}),
    ];
    for body in bodies {
        let answer = post(&emulator, INBOX_INIT, TOKEN, &body);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "invalid_params".to_owned()),
            "{body}"
        );
    }
}

#[test]
fn a_call_without_a_token_gets_no_session() {
    let emulator = started(&[], &[]);
    for authorization in ["", "Bearer ", "Basic abc", "Bearer"] {
        let body = plan(1000, 1000, 1).to_string();
        let length = body.len().to_string();
        let mut line = Line::open(&emulator);
        let headers = [
            ("authorization", authorization),
            ("content-type", "application/json"),
            ("content-length", &*length),
        ];
        line.head("POST", INBOX_INIT, &headers);
        line.send(body.as_bytes()).unwrap();
        let answer = line.answer().unwrap();
        assert_eq!(
            (answer.status, &*answer.code()),
            (401, "access_token_invalid")
        );
    }
    assert_eq!(emulator.log().inits, 0);
}

#[test]
fn nobody_reads_the_status_of_another_creators_draft() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let body = json!({"publish_id": upload.publish_id});
    let other = post(&emulator, STATUS, "act.olga.1", &body);
    assert_eq!(other.status, 400);
    assert_eq!(
        other.code(),
        "token_not_authorized_for_specified_publish_id"
    );
    assert_eq!(post(&emulator, STATUS, "act.lena.2", &body).status, 200);
    let unknown = post(
        &emulator,
        STATUS,
        TOKEN,
        &json!({"publish_id": "v_inbox_file~v2.1"}),
    );
    assert_eq!(
        (unknown.status, &*unknown.code()),
        (400, "invalid_publish_id")
    );
    let missing = post(&emulator, STATUS, TOKEN, &json!({}));
    assert_eq!((missing.status, &*missing.code()), (400, "invalid_params"));
}

#[test]
fn the_seventh_init_of_a_minute_waits_and_a_refused_one_takes_a_place() {
    let emulator = started(&["pending_cap=100"], &[]);
    let (size, chunk, count) = SMALL;
    for call in 0..6 {
        let count = if call == 0 { count + 1 } else { count };
        post(&emulator, INBOX_INIT, TOKEN, &plan(size, chunk, count));
    }
    let refused = post(&emulator, INBOX_INIT, TOKEN, &plan(size, chunk, count));
    assert_eq!(
        (refused.status, &*refused.code()),
        (429, "rate_limit_exceeded")
    );
    assert_eq!(refused.header("retry-after"), None);
    assert!(
        emulator.log().notes[0]
            .text
            .contains("use a fresh token or limits=off")
    );
    assert_eq!(
        post(
            &emulator,
            INBOX_INIT,
            "act.lena.2",
            &plan(size, chunk, count)
        )
        .status,
        200
    );
    emulator.advance(Duration::from_secs(60));
    assert_eq!(
        post(&emulator, INBOX_INIT, TOKEN, &plan(size, chunk, count)).status,
        200
    );
}

#[test]
fn the_thirty_first_status_of_a_minute_waits() {
    let emulator = started(&["retry_after=seconds"], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    for _ in 0..30 {
        upload.status(&emulator);
    }
    let body = json!({"publish_id": upload.publish_id});
    let refused = post(&emulator, STATUS, TOKEN, &body);
    assert_eq!(
        (refused.status, &*refused.code()),
        (429, "rate_limit_exceeded")
    );
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    emulator.advance(Duration::from_secs(wait));
    upload.status(&emulator);
}

#[test]
fn a_sixth_share_within_a_day_is_refused_whatever_the_token() {
    let emulator = started(&[], &[]);
    let body = plan(1000, 1000, 1);
    for _ in 0..5 {
        assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
    }
    let refused = post(&emulator, INBOX_INIT, "act.lena.2", &body);
    assert_eq!(refused.status, 403);
    assert_eq!(refused.code(), "spam_risk_too_many_pending_share");
    assert_eq!(post(&emulator, INBOX_INIT, "act.olga.1", &body).status, 200);
    emulator.advance(Duration::from_secs(24 * 3600));
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
}

#[test]
fn an_upload_that_failed_or_was_posted_frees_its_place() {
    let emulator = started(&["orphan_counts=no", "init_per_minute=100"], &[]);
    let body = plan(1000, 1000, 1);
    for _ in 0..9 {
        assert_eq!(
            post(&emulator, INBOX_INIT, TOKEN, &body).status,
            200,
            "an orphan counted"
        );
    }
    for _ in 0..5 {
        let upload = Upload::init(&emulator, 1000, 1000, 1);
        assert_eq!(upload.put(&emulator, 0, 1000).status, 201);
    }
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 403);
    emulator.set("final_status", "PUBLISH_COMPLETE").unwrap();
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
}

#[test]
fn a_failed_upload_says_why() {
    let emulator = started(&["fail_reason=frame_rate_check_failed"], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    upload.put(&emulator, 0, 1000);
    let status = upload.status(&emulator);
    assert_eq!(status["status"], "FAILED");
    assert_eq!(status["fail_reason"], "frame_rate_check_failed");
    assert_eq!(emulator.log().drafts, 0);
}

#[test]
fn a_draft_that_left_the_inbox_frees_its_place() {
    let emulator = started(&["draft_ttl=2h", "pending_cap=1"], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    upload.put(&emulator, 0, 1000);
    let body = plan(1000, 1000, 1);
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 403);
    emulator.advance(Duration::from_secs(2 * 3600));
    assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
}

#[test]
fn a_status_nobody_listed_is_told_only_while_it_is_processed() {
    let emulator = started(
        &["extra_status=QUEUED_FOR_LUNCH", "processing_time=1m"],
        &[],
    );
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    assert_eq!(upload.status(&emulator)["status"], "PROCESSING_UPLOAD");
    upload.put(&emulator, 0, 1000);
    assert_eq!(upload.status(&emulator)["status"], "QUEUED_FOR_LUNCH");
    emulator.advance(Duration::from_secs(60));
    assert_eq!(upload.status(&emulator)["status"], "SEND_TO_USER_INBOX");
}

#[test]
fn a_title_is_kept_with_an_inbox_draft_only_if_the_switch_says_so() {
    for (set, title) in [
        ("inbox_post_info=ignore", None),
        ("inbox_post_info=apply_title", Some("mine")),
    ] {
        let emulator = started(&[set], &[]);
        let mut body = plan(1000, 1000, 1);
        body["post_info"] = json!({"title": "mine"});
        assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
        assert_eq!(emulator.log().sessions[0].title.as_deref(), title);
    }
}

#[test]
fn a_shorter_life_of_urls_holds_for_uploads_that_begin_after_it_was_set() {
    let emulator = started(&[], &[]);
    let older = Upload::init(&emulator, 1000, 1000, 1);
    emulator.set("url_lifetime", "1m").unwrap();
    let newer = Upload::init(&emulator, 1000, 1000, 1);
    emulator.advance(Duration::from_secs(60));
    assert_eq!(newer.put(&emulator, 0, 1000).status, 403);
    assert_eq!(older.put(&emulator, 0, 1000).status, 201);
}

/// A host that answers with these bodies, whatever is asked, one a request.
fn photo_host(bodies: Vec<Vec<u8>>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for body in bodies {
            let mut stream = listener.accept().unwrap().0;
            let _ = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            // The puller may have had enough.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    format!("http://{address}/photo")
}

#[test]
fn each_photo_of_a_post_is_shown_and_one_of_more_than_20_mb_fails_it() {
    let mut settings = chunkferry::emulator::Settings::default();
    settings.set_pair("pull_allow_http=true").unwrap();
    settings.set_pair("processing_time=0s").unwrap();
    let builder = chunkferry::emulator::Emulator::builder().settings(settings);
    let emulator = builder.keep(100_000_000).start_blocking().unwrap();
    let share = |urls: &[&str]| {
        let body = json!({
            "media_type": "PHOTO", "post_mode": "MEDIA_UPLOAD",
            "post_info": {"title": "Three views", "description": "from the boat"},
            "source_info": {"source": "PULL_FROM_URL", "photo_images": urls, "photo_cover_index": 0},
        });
        let answer = post(&emulator, "/v2/post/publish/content/init/", TOKEN, &body);
        let publish_id = answer.json()["data"]["publish_id"].clone();
        let ended = |log: &chunkferry::emulator::Log| {
            let found = log
                .sessions
                .iter()
                .find(|one| publish_id == *one.publish_id)
                .cloned();
            found.filter(|one| !one.status.starts_with("PROCESSING"))
        };
        crate::transfer::wait_until(|| ended(&emulator.log()).is_some());
        ended(&emulator.log()).unwrap()
    };
    let jpeg = [&[0xff, 0xd8, 0xff, 0xe0][..], &sample(0, 500)].concat();
    let webp = [&b"RIFF\x10\0\0\0WEBP"[..], &sample(0, 300)].concat();
    let host = photo_host(vec![jpeg.clone(), webp.clone()]);
    let shared = share(&[&host, &host]);
    assert_eq!(
        (&*shared.status, shared.waiting),
        ("SEND_TO_USER_INBOX", true)
    );
    assert_eq!(shared.title.as_deref(), Some("Three views"));
    assert_eq!(shared.description.as_deref(), Some("from the boat"));
    for (path, photo, kind) in [
        (&shared.media[0], jpeg, "image/jpeg"),
        (&shared.media[1], webp, "image/webp"),
    ] {
        let shown = get(&emulator, path);
        assert_eq!(
            (shown.status, shown.header("content-type")),
            (200, Some(kind))
        );
        assert_eq!(shown.body, photo);
    }
    for (size, status) in [(20_000_000, "SEND_TO_USER_INBOX"), (20_000_001, "FAILED")] {
        let host = photo_host(vec![vec![0; size]]);
        let shared = share(&[&host]);
        assert_eq!(shared.status, status, "{size}");
        assert_eq!(shared.fail_reason.is_some(), status == "FAILED");
    }
}
