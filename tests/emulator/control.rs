//! The server's own pages: settings, faults, clock and reset while it runs.

use serde_json::{Value, json};

use crate::client::{Answer, INBOX_INIT, Line, TOKEN, Upload, get, plan, post, started};
use chunkferry::emulator::Emulator;

fn control(
    emulator: &Emulator,
    method: &str,
    page: &str,
    token: Option<&str>,
    body: &str,
) -> Answer {
    let mut line = Line::open(emulator);
    let length = body.len().to_string();
    let authorization = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-length", &*length)];
    if let Some(authorization) = &authorization {
        headers.push(("authorization", authorization));
    }
    line.head(method, &format!("/_emulator/{page}"), &headers);
    line.send(body.as_bytes()).unwrap();
    line.answer().unwrap()
}

#[test]
fn what_one_suite_chooses_does_not_reach_another() {
    let emulator = started(&["limits=off"], &[]);
    let lena = Some("act.lena.1");
    let set = control(
        &emulator,
        "PUT",
        "settings",
        lena,
        r#"{"param_code": "invalid_param", "max_chunk": 2000}"#,
    );
    assert_eq!(
        (set.status, &set.json()["max_chunk"]),
        (200, &json!("2000"))
    );
    control(&emulator, "POST", "faults", lena, "put nth=1 status=503");

    let wrong = plan(3000, 3000, 1);
    assert_eq!(
        post(&emulator, INBOX_INIT, "act.lena.1", &wrong).code(),
        "invalid_param"
    );
    assert_eq!(
        post(&emulator, INBOX_INIT, "act.olga.1", &wrong).status,
        200
    );
    let lenas = Upload::init_for(&emulator, "act.lena.1", 1000);
    let olgas = Upload::init_for(&emulator, "act.olga.1", 1000);
    assert_eq!(olgas.put(&emulator, 0, 1000).status, 201);
    assert_eq!(lenas.put(&emulator, 0, 1000).status, 503);
    assert_eq!(lenas.put(&emulator, 0, 1000).status, 201);

    control(&emulator, "POST", "reset", lena, "");
    let creators: Vec<String> = emulator
        .log()
        .sessions
        .into_iter()
        .map(|session| session.creator)
        .collect();
    assert_eq!(creators, ["olga", "olga"]);
    assert_eq!(
        post(&emulator, INBOX_INIT, "act.lena.1", &wrong).status,
        200
    );
}

#[test]
fn a_setting_with_one_bad_value_changes_nothing() {
    let emulator = started(&[], &[]);
    let before = get(&emulator, "/_emulator/settings").json();
    for body in [
        r#"{"replay": "206", "replay_last": "999"}"#,
        "replay=206\nnonsense=1",
        "replay",
    ] {
        let refused = control(&emulator, "PUT", "settings", None, body);
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.json()["error"].is_string());
    }
    let scoped = control(&emulator, "PUT", "settings", Some(TOKEN), "clock=60x");
    assert_eq!(scoped.status, 400);
    assert_eq!(get(&emulator, "/_emulator/settings").json(), before);
}

#[test]
fn the_clock_can_be_pushed_past_the_hour_of_a_url() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    let pushed = control(&emulator, "POST", "clock", None, r#"{"advance": "1h"}"#);
    assert!(pushed.json()["now"].is_u64());
    assert_eq!(upload.put(&emulator, 0, 1000).status, 403);
    assert_eq!(
        control(&emulator, "POST", "clock", None, r#"{"back": "1h"}"#).status,
        400
    );
}

#[test]
fn a_scaled_clock_lets_a_url_die_within_the_test() {
    let emulator = started(&["clock=1000000x"], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    crate::transfer::wait_until(|| upload.put(&emulator, 0, 500).status == 403);
}

#[test]
fn a_reset_forgets_everything_but_the_start() {
    let emulator = started(&["replay=206"], &["put status=503"]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    assert_eq!(upload.put(&emulator, 0, 1000).status, 503);
    control(&emulator, "PUT", "settings", None, "replay=416");
    control(&emulator, "POST", "reset", None, "");
    assert_eq!(emulator.log(), Default::default());
    assert_eq!(
        get(&emulator, "/_emulator/settings").json()["replay"],
        "206"
    );
    assert_eq!(upload.put(&emulator, 0, 1000).status, 404);
}

#[test]
fn faults_posted_together_are_armed_together_or_not_at_all() {
    let emulator = started(&[], &[]);
    let refused = control(&emulator, "POST", "faults", None, "put reset\nput nonsense");
    assert_eq!(refused.status, 400);
    assert_eq!(
        get(&emulator, "/_emulator/faults").json(),
        json!({"faults": []})
    );
    let armed = control(
        &emulator,
        "POST",
        "faults",
        None,
        r#"["put nth=9 reset", "any delay=1ms"]"#,
    );
    assert_eq!(armed.json()["faults"].as_array().map(Vec::len), Some(2));
    control(&emulator, "DELETE", "faults", None, "");
    assert_eq!(
        get(&emulator, "/_emulator/faults").json(),
        json!({"faults": []})
    );
}

#[test]
fn a_page_that_does_not_exist_says_so_and_is_not_counted() {
    let emulator = started(&[], &[]);
    assert_eq!(get(&emulator, "/_emulator/nothing").status, 404);
    assert_eq!(control(&emulator, "DELETE", "log", None, "").status, 404);
    assert_eq!(emulator.log().requests.other, 0);
}

#[test]
fn a_retry_after_date_is_a_date_the_client_can_wait_for() {
    let emulator = started(&["retry_after=date", "init_per_minute=1"], &[]);
    Upload::init(&emulator, 1000, 1000, 1);
    let refused = post(&emulator, INBOX_INIT, TOKEN, &plan(1000, 1000, 1));
    let date = refused.header("retry-after").unwrap();
    assert!(date.ends_with(" GMT") && date.contains(", "), "{date}");
}

#[test]
fn a_refused_init_takes_a_place_only_if_the_switch_says_so() {
    for (set, status) in [("refused_init=no_task", 200), ("refused_init=task", 403)] {
        let emulator = started(&[set, "pending_cap=1"], &[]);
        assert_eq!(
            post(&emulator, INBOX_INIT, TOKEN, &plan(1000, 1000, 2)).status,
            400
        );
        assert_eq!(
            post(&emulator, INBOX_INIT, TOKEN, &plan(1000, 1000, 1)).status,
            status,
            "{set}"
        );
        let orphans = emulator
            .log()
            .sessions
            .iter()
            .filter(|session| session.orphan)
            .count();
        assert_eq!(orphans, usize::from(status == 403));
    }
}

#[test]
fn upload_urls_lead_back_the_way_the_client_came() {
    let proxied = Emulator::builder().allow_host("proxy.example");
    let emulator = proxied.start_blocking().unwrap();
    let origin = |host: &str, proto: Option<&str>| {
        let body = plan(1000, 1000, 1).to_string();
        let mut line = Line::open(&emulator);
        let forwarded = proto
            .map(|proto| format!("x-forwarded-proto: {proto}\r\n"))
            .unwrap_or_default();
        let head = format!(
            "POST {INBOX_INIT} HTTP/1.1\r\nhost: {host}\r\n{forwarded}authorization: Bearer act.o.{host}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        line.send(head.as_bytes()).unwrap();
        let json: Value = line.answer().unwrap().json();
        let url = json["data"]["upload_url"].as_str().unwrap().to_owned();
        url.split("/video/").next().unwrap().to_owned()
    };
    assert_eq!(
        origin("proxy.example:8443", Some("https")),
        "https://proxy.example:8443"
    );
    assert_eq!(origin("127.0.0.1:9", None), "http://127.0.0.1:9");
    assert_eq!(
        origin("open.tiktokapis.com", Some("https")),
        "https://open-upload.tiktokapis.com"
    );
}
