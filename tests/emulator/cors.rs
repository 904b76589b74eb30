//! Chunks that the script of another site's page sends from a real browser.

use chunkferry::emulator::Emulator;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::{Line, Upload, sample, sha256, started};

const CHUNK: u64 = 5_242_880;

/// Puts ranges of the sample file one after the other, and keeps what the page may read of each answer.
const SEND: &str = "
window.told = null;
(async () => {
  const told = [];
  for (const [first, end] of RANGES) {
    const body = new Uint8Array(end - first).map((_, at) => {
      const byte = first + at;
      return byte ^ (byte >> 8) ^ (byte >> 16);
    });
    const headers = {'Content-Type': 'video/mp4', 'Content-Range': `bytes ${first}-${end - 1}/SIZE`};
    try {
      const answer = await fetch('URL', {method: 'PUT', headers, body});
      told.push([answer.status, answer.headers.get('Content-Range')]);
    } catch (error) {
      told.push(error.name);
    }
  }
  window.told = told;
})();";

/// Sends these ranges from the page that is open; what its script saw.
fn send(browser: &Browser, upload: &Upload, ranges: &[[u64; 2]]) -> Value {
    let script = SEND
        .replace("RANGES", &json!(ranges).to_string())
        .replace("SIZE", &upload.size.to_string())
        .replace("URL", &upload.url);
    browser.run(&script);
    browser.wait("window.told");
    browser.value("window.told")
}

#[test]
fn a_page_of_another_site_sends_a_video_where_it_may_and_nothing_where_it_may_not() {
    let Some(browser) = Browser::start() else {
        return;
    };
    // A document of another origin, with no policy of its own.
    let elsewhere = started(&[], &[]);
    browser.open(&format!("{}/_emulator/log", elsewhere.url()));
    let size = 2 * CHUNK;
    let ranges = [[CHUNK, size], [0, CHUNK], [CHUNK, size]];
    for sink in [false, true] {
        let mut builder = Emulator::builder();
        if sink {
            builder = builder.sink();
        }
        let emulator = builder.start_blocking().unwrap();

        let upload = Upload::init(&emulator, size, CHUNK, 2);
        let told = send(&browser, &upload, &[[0, CHUNK]]);
        assert_eq!(told, json!(["TypeError"]), "not without the switch");
        assert!(emulator.log().sessions[0].puts.is_empty());

        emulator.set("cors", "any").unwrap();
        let told = send(&browser, &upload, &ranges);
        let progress = |status: u16, bytes: u64| json!([status, format!("bytes 0-{bytes}/{size}")]);
        let wanted = [progress(416, 0), progress(206, CHUNK), progress(201, size)];
        assert_eq!(told, json!(wanted));
        let sent = (!sink).then(|| sha256(&sample(0, size)));
        assert_eq!(emulator.log().sessions[0].sha256, sent);
    }
}

#[test]
fn one_suite_that_tests_a_page_opens_the_upload_host_for_itself_alone() {
    let emulator = started(&[], &[]);
    let mut line = Line::open(&emulator);
    let body = "cors=any";
    let length = body.len().to_string();
    let mine = [
        ("authorization", "Bearer act.lena.1"),
        ("content-length", &length),
    ];
    line.head("PUT", "/_emulator/settings", &mine);
    line.send(body.as_bytes()).unwrap();
    assert_eq!(line.answer().unwrap().status, 200);
    for (token, status) in [("act.lena.1", 204), ("act.mia.1", 405)] {
        let upload = Upload::init_for(&emulator, token, 1000);
        let mut line = Line::open(&emulator);
        let asked = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "PUT"),
        ];
        line.head("OPTIONS", upload.target(), &asked);
        let answer = line.answer().unwrap();
        assert_eq!(answer.status, status);
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed.is_some(), status == 204);
    }
}
