//! The page, in a real browser and over plain sockets.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use chunkferry::emulator::{Emulator, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::client::{Answer, INBOX_INIT, Line, TOKEN, Upload, get, plan, post, sample, started};
use crate::webhooks;

const CLIP: &[u8] = include_bytes!("../../src/cli/demo/clip.mp4");

static CLIPS: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// A playable video of this size: the clip, and a `free` box that takes no room on disk.
pub(crate) fn clip(size: u64) -> PathBuf {
    let path = CLIPS.path().join(format!("{size}.mp4"));
    let mut file = File::create(&path).unwrap();
    file.write_all(CLIP).unwrap();
    if let Ok(free @ 8..) = u32::try_from(size - CLIP.len() as u64) {
        file.write_all(&free.to_be_bytes()).unwrap();
        file.write_all(b"free").unwrap();
        file.seek(SeekFrom::Start(size - 1)).unwrap();
        file.write_all(&[0]).unwrap();
    }
    path
}

/// An emulator that keeps what it receives, and our command beside it.
pub(crate) struct Scene {
    pub(crate) emulator: Emulator,
    state: TempDir,
}

impl Scene {
    pub(crate) fn start(set: &[&str], faults: &[&str]) -> Self {
        let mut settings = Settings::default();
        settings.set("processing_time", "0s").unwrap();
        set.iter().for_each(|pair| settings.set_pair(pair).unwrap());
        let mut builder = Emulator::builder().settings(settings).keep(100_000_000);
        for fault in faults {
            builder = builder.fault(fault.parse().unwrap());
        }
        Self {
            emulator: builder.start_blocking().unwrap(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, args: &[&str], creator: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
        command
            .args(args)
            .args(["--account", creator, "--api-base", &self.emulator.url()])
            .arg("--state-dir")
            .arg(self.state.path().join(creator))
            .env("TIKTOK_ACCESS_TOKEN", format!("act.{creator}.secret"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn upload(&self, file: &Path, creator: &str) -> Child {
        self.command(&["upload", file.to_str().unwrap()], creator)
            .spawn()
            .unwrap()
    }
}

/// Sends a request with any headers, `body` last.
fn send(
    emulator: &Emulator,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let length = body.len().to_string();
    let mut all = vec![("content-length", &*length)];
    all.extend_from_slice(headers);
    let mut line = Line::open(emulator);
    line.head(method, target, &all);
    line.send(body.as_bytes()).unwrap();
    line.answer().unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// Reads the first message of the stream an open page listens to.
fn first_event(emulator: &Emulator) -> String {
    use std::io::{BufRead, BufReader};
    let mut stream = std::net::TcpStream::connect(emulator.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
        .write_all(b"GET /_emulator/events HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines
        .skip_while(|line| !line.starts_with("data:"))
        .take(1)
        .collect()
}

#[test]
fn a_person_sees_the_upload_arrive_looks_at_it_and_posts_it() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::start(&["receive_rate=8MB"], &["put chunk=1 nth=1 cut=3MB"]);
    let (url, received) = webhooks::receiver(&[]);
    webhooks::register(&scene.emulator, &url, None);
    browser.open(&scene.emulator.url());
    browser.wait("document.getElementById('live').dataset.live == 'on'");

    let mut upload = scene.upload(&clip(30_000_000), "lena");
    // The bar: what counts, and what is on its way.
    let shown = |part: &str| format!("document.querySelector('.bar .{part}')?.width.baseVal.value");
    browser.wait(&format!(
        "{} > 0 && {} < 1000",
        shown("flight"),
        shown("got")
    ));
    let seen = browser.value(&shown("got")).as_f64().unwrap();
    browser.wait(&format!("{} > {seen}", shown("got")));
    browser.wait("document.querySelector('.lines .fault')?.textContent.includes('cut=3000000')");
    assert!(upload.wait().unwrap().success());

    // The notification, said aloud too.
    browser.wait("document.querySelector('.note[data-state=waiting]')");
    let said = browser.value("document.querySelector('[aria-live]').textContent");
    assert_eq!(said, "New in the inbox of lena: a video, 30.0 MB");

    // The video, from the middle on: the server gives ranges.
    browser.run("const video = document.querySelector('video'); video.muted = true; video.play()");
    browser.wait("document.querySelector('video').currentTime > 0.2");
    browser.run("document.querySelector('video').currentTime = 2");
    browser.wait("document.querySelector('video').currentTime > 2.1");
    assert_eq!(
        browser.value("document.querySelector('video').videoHeight"),
        1024
    );

    // Another upload changes the page around it; the video plays on.
    browser.run("document.querySelector('video').mine = true");
    assert!(
        scene
            .upload(&clip(40_000), "lena")
            .wait()
            .unwrap()
            .success()
    );
    browser.wait("document.querySelectorAll('.note[data-state=waiting]').length == 2");
    browser.wait("[...document.querySelectorAll('video')].some((one) => one.mine && !one.paused)");

    let publish_id = scene.emulator.log().sessions[0].publish_id.clone();
    browser.click(&format!("[data-post=post][data-id='{publish_id}']"));
    browser.wait("document.querySelector('.note[data-state=posted]')");
    let status = scene
        .command(&["status", &publish_id], "lena")
        .output()
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("PUBLISH_COMPLETE"), "{status}");

    let events: Vec<_> = (0..4).map(|_| webhooks::next(&received)).collect();
    let posted = events
        .iter()
        .find(|got| got.event().0 == "post.publish.complete")
        .unwrap();
    let (t, s) = posted.signature.split_once(",s=").unwrap();
    let t = t.strip_prefix("t=").unwrap();
    assert_eq!(
        s,
        webhooks::hmac(webhooks::SECRET, &format!("{t}.{}", posted.body))
    );
    assert_eq!(posted.event().1["publish_id"], *publish_id);
    browser
        .wait("document.getElementById('webhooks').textContent.includes('post.publish.complete')");

    // By keyboard alone: the focus shows, and Enter presses.
    let other = "[data-post=discard]";
    browser.run(&format!("document.querySelector(\"{other}\").focus()"));
    browser.write(other, "\u{E007}");
    browser.wait("document.querySelector('.note[data-state=discarded]')");
    assert!(scene.emulator.log().sessions[1].discarded);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn what_clients_send_never_becomes_markup() {
    const EVIL: &str = "<img src=x onerror=window.evil=1>\"'><script>window.evil=2</script>";
    let scene = Scene::start(
        &[
            "inbox_post_info=apply_title",
            "verified_prefix=https://<i>&",
        ],
        &[],
    );
    let emulator = &scene.emulator;
    let token = "act.<script>window.evil=3</script>.1";
    let mut body = plan(1000, 1000, 1);
    body["post_info"] = json!({ "title": EVIL });
    let upload = Upload::of(&post(emulator, INBOX_INIT, token, &body), 1000);
    assert_eq!(upload.put(emulator, 0, 1000).status, 201);
    send(
        emulator,
        "GET",
        "/'-window.evil=4",
        &[("user-agent", EVIL)],
        "",
    );
    let fault = ("content-type", "text/plain");
    send(
        emulator,
        "POST",
        "/_emulator/faults",
        &[fault],
        &format!("put body={EVIL}"),
    );
    send(
        emulator,
        "POST",
        "/_emulator/faults",
        &[fault],
        &format!("status status=503 body={EVIL}"),
    );
    post(emulator, crate::client::STATUS, token, &json!({}));
    post(emulator, INBOX_INIT, token, &plan(1000, 1000, 2));
    post(emulator, INBOX_INIT, token, &plan(1000, 1000, 2));

    let page = text(&get(emulator, "/"));
    let ours = page.matches("<script").count();
    assert_eq!(ours, 1, "{page}");
    for trace in ["<img src=x", "<i>&", "<script>window"] {
        assert!(!page.contains(trace), "{trace}");
    }
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_key", EVIL), ("state", EVIL), ("creator", EVIL)])
        .extend_pairs([("scope", "video.upload"), ("response_type", "code")])
        .append_pair("redirect_uri", "https://app.example/cb")
        .finish();
    let consent = format!("/v2/auth/authorize/?{query}");
    let mut line = Line::open(emulator);
    line.head("GET", &consent, &[("accept", "text/html")]);
    let consent = text(&line.answer().unwrap());
    assert!(
        consent.contains("wants to") && !consent.contains("<img") && !consent.contains("<script"),
        "{consent}"
    );

    let Some(browser) = Browser::start() else {
        return;
    };
    browser.open(&emulator.url());
    browser.wait("document.getElementById('live').dataset.live == 'on'");
    browser.wait("document.querySelector('.caption').textContent.includes('onerror')");
    // Once more through the script: what changes comes as markup of ours, too.
    let before = emulator.log().recent.len();
    send(
        emulator,
        "GET",
        "/'-window.evil=5",
        &[("user-agent", EVIL)],
        "",
    );
    assert_eq!(emulator.log().recent.len(), before + 1);
    browser.wait("document.querySelector('.lines .what').textContent.includes('window.evil=5')");
    assert_eq!(browser.value("window.evil"), Value::Null);
    assert_eq!(
        browser.value("document.querySelectorAll('main script, main img:not(.avatar)').length"),
        0
    );
}

#[test]
fn no_token_and_no_upload_url_is_on_the_page() {
    let scene = Scene::start(&[], &["put token=act.lena.secret nth=9 reset"]);
    let emulator = &scene.emulator;
    let mut secrets = vec![
        "act.lena.secret".to_owned(),
        "a-token-of-its-own".to_owned(),
        webhooks::SECRET.to_owned(),
    ];
    webhooks::register(
        emulator,
        "http://user:password@127.0.0.1:9/hook?key=query-secret",
        None,
    );
    webhooks::register(
        emulator,
        "http://127.0.0.1:9/hook?key=query-secret",
        Some("act.lena.secret"),
    );
    secrets.extend(["password".to_owned(), "query-secret".to_owned()]);
    send(
        emulator,
        "PUT",
        "/_emulator/settings",
        &[("authorization", "Bearer a-token-of-its-own")],
        "replay=206",
    );
    for token in ["act.lena.secret", "a-token-of-its-own"] {
        let upload = Upload::init_for(emulator, token, 1000);
        assert_eq!(upload.put(emulator, 0, 1000).status, 201);
        secrets.push(upload.url.split("upload_token=").nth(1).unwrap().to_owned());
        secrets.push(upload.url.split("upload_id=").nth(1).unwrap().to_owned());
    }
    crate::transfer::wait_until(|| emulator.log().webhooks.len() >= 3);
    let log = text(&get(emulator, "/_emulator/log"));
    let page = text(&get(emulator, "/"));
    let event = first_event(emulator);
    let debug = format!("{emulator:?}");
    assert!(page.contains("lena") && event.contains("lena") && log.contains("lena"));
    for secret in secrets {
        for shown in [&log, &page, &event, &debug] {
            assert!(!shown.contains(&secret), "{secret}");
        }
    }
}

#[test]
fn a_page_of_another_site_presses_no_button() {
    let emulator = started(&[], &[]);
    let upload = Upload::init(&emulator, 1000, 1000, 1);
    upload.put(&emulator, 0, 1000);
    let deed = json!({"publish_id": upload.publish_id}).to_string();
    let here = emulator.url();
    let foreign = [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ];
    for header in foreign {
        for (method, page) in [
            ("POST", "post"),
            ("POST", "reset"),
            ("POST", "consent"),
            ("PUT", "settings"),
            ("DELETE", "faults"),
        ] {
            let answer = send(
                &emulator,
                method,
                &format!("/_emulator/{page}"),
                &[header],
                &deed,
            );
            assert_eq!(answer.status, 403, "{page} {header:?}");
        }
    }
    assert!(emulator.log().sessions[0].waiting);
    // A link or an image is a GET, and a GET changes nothing.
    assert_eq!(get(&emulator, "/_emulator/reset").status, 404);
    assert_eq!(
        send(
            &emulator,
            "POST",
            "/_emulator/post",
            &[("origin", &here)],
            &deed
        )
        .status,
        200
    );
    assert_eq!(emulator.log().sessions[0].status, "PUBLISH_COMPLETE");

    let Some(browser) = Browser::start() else {
        return;
    };
    browser.open("data:text/html,elsewhere");
    browser.run(&format!("fetch('{here}/_emulator/reset', {{ method: 'POST', mode: 'no-cors' }}).finally(() => {{ window.done = 1 }})"));
    browser.wait("window.done");
    assert_eq!(emulator.log().inits, 1, "another site reset the server");
}

#[test]
fn the_switches_of_the_page_are_those_of_the_server() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let emulator = started(&[], &[]);
    browser.open(&emulator.url());
    browser.wait("document.getElementById('live').dataset.live == 'on'");
    // processing_time is 0s here.
    assert_eq!(
        browser.value("[...document.querySelectorAll('.switch.differs')].map((one) => one.id)"),
        json!(["set-processing_time"])
    );
    browser.click("#all-settings > summary");
    browser.click("#in-limits");
    browser.write("#in-limits", "off\u{E007}");
    browser.wait("document.querySelector('#set-limits.differs')");
    assert_eq!(
        get(&emulator, "/_emulator/settings").json()["limits"],
        "off"
    );
    browser.click("#set-limits button");
    browser.wait("!document.querySelector('#set-limits.differs')");
    assert_eq!(
        get(&emulator, "/_emulator/settings").json()["limits"],
        "documented"
    );

    // A refusal is told, and changes nothing.
    browser.write("#script", "put nonsense\u{E007}");
    browser.wait("document.getElementById('refused').textContent.includes('nonsense')");
    browser.run("document.getElementById('script').value = ''");
    browser.write("#script", "put nth=1 reset\u{E007}");
    browser.wait("document.getElementById('faults').textContent.includes('put nth=1 cut=0') || document.getElementById('faults').textContent.includes('put nth=1 reset')");
    browser.click("[data-disarm]");
    browser.wait("document.getElementById('faults').textContent.includes('None armed')");
    // What changed elsewhere shows here.
    emulator.set("replay", "206").unwrap();
    browser.wait("document.querySelector('#set-replay.differs select')?.value == '206'");
    assert_eq!(emulator.log().requests, Default::default());
    assert_eq!(
        browser
            .complaints()
            .iter()
            .filter(|said| !said.contains("400"))
            .count(),
        0
    );
}

#[test]
fn videos_are_kept_up_to_a_bound_and_the_page_says_why_one_is_not() {
    let emulator = Emulator::builder()
        .settings({
            let mut settings = Settings::default();
            settings.set_pair("processing_time=0s").unwrap();
            settings.set_pair("limits=off").unwrap();
            settings
        })
        .keep(2_500)
        .start_blocking()
        .unwrap();
    let sent = |size: u64| {
        let upload = Upload::init_for(&emulator, TOKEN, size);
        assert_eq!(upload.put(&emulator, 0, size).status, 201);
        let path = format!("/_emulator/media/{}/0", upload.publish_id);
        (upload, path)
    };
    let (first, first_path) = sent(1000);
    let whole = get(&emulator, &first_path);
    assert_eq!(
        (whole.status, whole.header("content-type")),
        (200, Some("video/mp4"))
    );
    assert_eq!(whole.body, sample(0, 1000));
    let mut line = Line::open(&emulator);
    line.head("GET", &first_path, &[("range", "bytes=10-19")]);
    let part = line.answer().unwrap();
    assert_eq!(
        (part.status, part.header("content-range")),
        (206, Some("bytes 10-19/1000"))
    );
    assert_eq!(part.body, sample(10, 20));

    let (_, second_path) = sent(1000);
    let (large, large_path) = sent(2_501);
    let (_, third_path) = sent(1000);
    assert_eq!(
        get(&emulator, &first_path).status,
        404,
        "the oldest gives way"
    );
    assert_eq!(get(&emulator, &large_path).status, 404, "it does not fit");
    assert_eq!(get(&emulator, &second_path).status, 200);
    assert_eq!(get(&emulator, &third_path).status, 200);
    let log = emulator.log();
    let why = |upload: &Upload| {
        let found = log
            .sessions
            .iter()
            .find(|one| one.publish_id == upload.publish_id);
        found.unwrap().not_kept.clone().unwrap()
    };
    assert!(why(&first).contains("gave way"), "{}", why(&first));
    assert!(why(&large).contains("larger"), "{}", why(&large));
    let page = text(&get(&emulator, "/"));
    assert!(
        page.contains(&why(&first)) && page.contains(&why(&large)) && page.contains(&third_path)
    );
    emulator.reset();
    assert_eq!(get(&emulator, &third_path).status, 404);

    let nothing = started(&[], &[]);
    let upload = Upload::init(&nothing, 1000, 1000, 1);
    upload.put(&nothing, 0, 1000);
    assert!(text(&get(&nothing, "/")).contains("keeps nothing"));
}

/// Sends a video of 1,000 bytes to the emulator around this script.
const SEND: &str = r#"
    size=1000; head -c $size /dev/zero > body
    init=$(curl -sS "$CHUNKFERRY_EMULATOR_URL/v2/post/publish/inbox/video/init/" -H 'Authorization: Bearer act.lena.1' \
        -d '{"source_info":{"source":"FILE_UPLOAD","video_size":1000,"chunk_size":1000,"total_chunk_count":1}}' -H 'Content-Type: application/json')
    url=$(printf %s "$init" | sed 's/.*"upload_url":"\([^"]*\)".*/\1/')
    curl -sS -o /dev/null -X PUT "$url" -H 'Content-Type: video/mp4' -H 'Content-Range: bytes 0-999/1000' --data-binary @body
"#;

/// Counts the directories of emulators.
const COUNT: &str = r#"ls -d "$TMPDIR"/chunkferry-emulator-* | wc -l"#;

/// Sends a video to an emulator with a process of its own, then runs `more` beside it; what that says.
fn hosted(home: &Path, more: &str) -> String {
    let script = format!("{SEND}\n{more}");
    let output = Command::new(env!("CARGO_BIN_EXE_chunkferry"))
        .args(["emulator", "--", "sh", "-c", &script])
        .env("TMPDIR", home)
        .env("CHUNKFERRY", env!("CARGO_BIN_EXE_chunkferry"))
        .env("SEND", SEND)
        .env("COUNT", COUNT)
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(home)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn names(home: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(home).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn nothing_is_left_on_disk_when_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let count = r#"ls "$TMPDIR"/chunkferry-emulator-*/ | wc -l"#;
    assert_eq!(hosted(home.path(), count), "1");
    assert_eq!(names(home.path()), ["body"]);
}

#[test]
fn what_a_killed_one_has_kept_goes_with_the_next_and_what_a_living_one_keeps_does_not() {
    let home = tempfile::tempdir().unwrap();
    hosted(home.path(), "kill -9 $PPID");
    assert_eq!(names(home.path()).len(), 2, "the body, and what it kept");
    let beside = r#"eval "$COUNT"; "$CHUNKFERRY" emulator -- sh -c "$SEND $COUNT""#;
    let counts = hosted(home.path(), beside);
    assert_eq!(
        counts, "1\n2",
        "its own; then also that of another beside it"
    );
    assert_eq!(names(home.path()), ["body"]);
}
