//! Jobs over HTTP on the socket of `serve`: what was answered with 202 is one draft, whatever is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scene::{CHUNK, Running, Scene, Start};
use crate::secrets::files;

pub(crate) const ACCOUNTS: [&str; 4] = ["lena", "mia", "noa", "ole"];

/// What the service has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}{}", self.head, self.text);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Sends a request on a connection of its own; `None` if the connection ends without an answer.
pub(crate) fn try_call(socket: &Path, head: &str, body: &[u8]) -> Option<Answer> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    exchange(&mut stream, &format!("{head}\r\nhost: x"), body)
}

/// Sends a request and reads until the service closes the connection.
pub(crate) fn exchange(
    stream: &mut (impl Read + Write),
    head: &str,
    body: &[u8],
) -> Option<Answer> {
    let length = body.len();
    let head = format!("{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    // The service may refuse before it has read all.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).unwrap();
    let (head, text) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().unwrap();
    let text = match head.to_lowercase().contains("transfer-encoding: chunked") {
        true => unchunked(text),
        false => text.to_owned(),
    };
    let head = head.to_owned();
    Some(Answer { status, head, text })
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        text = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}

pub(crate) struct Service {
    pub(crate) running: Running,
    pub(crate) socket: PathBuf,
}

impl Service {
    pub(crate) fn start(scene: &Scene, more: &[&str]) -> Self {
        Self::of(&mut command(scene, more), scene.state_dir().join("socket"))
    }

    pub(crate) fn of(command: &mut Command, socket: PathBuf) -> Self {
        let mut running = command.start();
        let line = running.until("it listens", |line| line["event"] == "listening");
        assert_eq!(line["socket"], socket.to_str().unwrap());
        Self { running, socket }
    }

    #[track_caller]
    pub(crate) fn call(&self, line: &str) -> Answer {
        try_call(&self.socket, &format!("{line} HTTP/1.1"), b"").expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.call(&format!("GET {path}")).expect(200).json()
    }

    #[track_caller]
    pub(crate) fn post(&self, id: Option<&str>, body: &[u8]) -> Answer {
        post(&self.socket, id, body).expect("an answer")
    }

    /// The end of a job.
    pub(crate) fn ended(&self, id: &Value) -> Value {
        let job = self.get(&format!("/v1/jobs/{}?wait=60s", id.as_str().unwrap()));
        assert_eq!(job["state"], "ended", "{job}");
        job
    }

    /// All events, in pages.
    pub(crate) fn events(&self) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.get(&format!("/v1/events?after={after}&limit=7"));
            let events = page["events"].as_array().unwrap().clone();
            after = page["next"].as_u64().unwrap();
            if events.is_empty() {
                return all;
            }
            all.extend(events);
        }
    }
}

pub(crate) fn post(socket: &Path, id: Option<&str>, body: &[u8]) -> Option<Answer> {
    let id = id.map(|id| format!("\r\nidempotency-key: {id}"));
    let id = id.unwrap_or_default();
    let head = format!("POST /v1/jobs HTTP/1.1\r\ncontent-type: application/json{id}");
    try_call(socket, &head, body)
}

/// `serve --json` with a config file that lists the accounts.
pub(crate) fn command(scene: &Scene, more: &[&str]) -> Command {
    let config = scene.path("config.toml");
    let tables =
        ACCOUNTS.map(|name| format!("[accounts.{name}]\ntoken_command = \"echo act.{name}.1\"\n"));
    fs::write(&config, tables.concat()).unwrap();
    let mut command = scene.command(["serve", "--json"]);
    command
        .args(more)
        .env("CHUNKFERRY_CONFIG", config)
        .env_remove("CHUNKFERRY_ACCOUNT")
        .env_remove("TIKTOK_ACCESS_TOKEN");
    command
}

pub(crate) fn wish(file: &Path, account: &str) -> Vec<u8> {
    let file = file.to_str().unwrap();
    let job = json!({ "account": account, "file": file, "chunk_size": CHUNK });
    job.to_string().into_bytes()
}

#[test]
fn a_file_goes_in_over_the_socket_and_a_draft_comes_out() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let manager = UnixDatagram::bind(scene.path("manager")).unwrap();
    let mut started = command(&scene, &[]);
    started
        .env("NOTIFY_SOCKET", scene.path("manager"))
        .env("WATCHDOG_USEC", "200000");
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let heard = || {
        let mut text = [0; 64];
        let read = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..read]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    let mode = fs::metadata(&service.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = service.running.told();
    assert!(told.starts_with("Listening on "), "{told}");
    assert_eq!(service.get("/healthz")["status"], "ok");
    assert_eq!(service.get("/readyz")["status"], "ok");
    let accounts = service.get("/v1/accounts");
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 4);
    assert_eq!(
        accounts["accounts"][0],
        json!({ "name": "lena", "source": "token_command" })
    );

    let answer = service.post(Some("a"), &wish(&file, "lena")).expect(202);
    let job = answer.json();
    let id = job["id"].as_str().unwrap();
    let location = format!("location: /v1/jobs/{id}");
    assert!(answer.head.contains(&location), "{}", answer.head);
    assert_eq!(job["caller_id"], "a");
    let ended = service.ended(&job["id"]);
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    let session = scene.assert_one_draft_of(&file);
    assert_eq!(ended["end"]["publish_id"], *session.publish_id);
    let events = service.events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["number"], &events[0]["job"]),
        (&json!(1), &job["id"])
    );

    // It is listed, and goes when it has ended.
    assert_eq!(service.get("/v1/jobs?state=ended")["jobs"][0]["id"], *id);
    assert_eq!(service.get("/v1/jobs?account=mia")["jobs"], json!([]));
    service.call(&format!("DELETE /v1/jobs/{id}")).expect(204);
    service.call(&format!("GET /v1/jobs/{id}")).expect(404);
    let answer = service.post(Some("a"), &wish(&file, "lena")).expect(409);
    assert_eq!(answer.json()["code"], "id_forgotten");

    let socket = service.socket.clone();
    service.running.signal("-TERM");
    // The manager hears all the time that the service lives.
    let mut alive = 0;
    loop {
        match &*heard() {
            "WATCHDOG=1" => alive += 1,
            "STOPPING=1" => break,
            other => panic!("{other}"),
        }
    }
    assert!(alive > 0);
    service.running.end().expect(0);
    assert!(!socket.exists());
}

#[test]
fn a_job_whose_video_was_delivered_already_names_the_job_that_delivered_it() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let submitted = |id| service.post(Some(id), &wish(&file, "lena")).expect(202);
    let first = service.ended(&submitted("a").json()["id"]);
    let second = service.ended(&submitted("b").json()["id"]);
    assert_eq!(first["end"]["first_job"], Value::Null);
    assert_eq!(second["end"]["outcome"], "already_delivered");
    assert_eq!(second["end"]["first_job"], first["id"]);
    for field in ["publish_id", "delivered_at", "sha256"] {
        assert!(first["end"][field].is_string(), "{field}: {first}");
        assert_eq!(second["end"][field], first["end"][field], "{field}");
    }
    assert_eq!(scene.log().drafts, 1);
}

#[test]
fn every_202_is_one_draft_and_one_event_however_often_the_service_is_killed() {
    let scene = Scene::new(
        &["pending_cap=100", "init_per_minute=100", "receive_rate=6MB"],
        &[],
    );
    let mut service = Service::start(&scene, &[]);
    let mut ids = BTreeMap::new();
    for at in 0..20 {
        let file = scene.video(&format!("{at}.mp4"), 1_000_000 + at);
        let account = ACCOUNTS[at as usize % 4];
        let answer = service.post(Some(&format!("clip-{at}")), &wish(&file, account));
        let id = answer.expect(202).json()["id"].as_str().unwrap().to_owned();
        ids.insert(id, (file, account));
        if at % 7 == 6 {
            assert!(service.running.kill());
            service = Service::start(&scene, &[]);
        }
    }
    for drafts in [3, 8, 13] {
        scene.sees("some drafts", |log| log.drafts >= drafts);
        assert!(service.running.kill());
        service = Service::start(&scene, &[]);
    }
    for id in ids.keys() {
        let ended = service.ended(&json!(id));
        let outcome = ended["end"]["outcome"].as_str().unwrap();
        assert!(outcome.ends_with("delivered"), "{ended}");
    }
    let log = scene.log();
    assert_eq!(log.drafts, 20);
    let events = service.events();
    let numbers: Vec<u64> = events
        .iter()
        .filter_map(|of| of["number"].as_u64())
        .collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let told: BTreeSet<&str> = events.iter().filter_map(|of| of["job"].as_str()).collect();
    assert_eq!(told, ids.keys().map(String::as_str).collect());
    assert!(events.iter().all(|event| event["kind"] == "ended"));
    // The same jobs once more are the same jobs.
    for (id, (file, account)) in &ids {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let key = format!("clip-{name}");
        let answer = service.post(Some(&key), &wish(file, account)).expect(200);
        assert_eq!(answer.json()["id"], **id);
    }
    assert_eq!(scene.log().drafts, 20);
}

#[test]
fn one_id_is_one_job_for_clients_at_once_and_another_job_under_it_is_refused() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let other = scene.video("other.mp4", 1_000_001);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (socket, wish) = (service.socket.clone(), wish(&file, "lena"));
            thread::spawn(move || post(&socket, Some("a"), &wish).expect("an answer"))
        })
        .collect();
    let answers: Vec<Answer> = clients.into_iter().map(|of| of.join().unwrap()).collect();
    let of = |status| answers.iter().filter(|of| of.status == status).count();
    assert_eq!((of(202), of(200)), (1, 7), "{answers:?}");
    let ids: BTreeSet<String> = answers
        .iter()
        .map(|of| of.json()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    let problem = service.post(Some("a"), &wish(&other, "lena")).expect(409);
    assert!(
        problem.head.contains("application/problem+json"),
        "{problem:?}"
    );
    let problem = problem.json();
    assert_eq!(
        (&problem["code"], &problem["field"], &problem["status"]),
        (&json!("id_taken"), &json!("source"), &json!(409))
    );
    assert_eq!(json!(format!("{}", problem["job"])), json!(ids.first()));
    service.ended(&problem["job"]);
    assert_eq!(scene.log().drafts, 1);
}

#[test]
fn a_submit_that_is_sent_again_after_a_lost_answer_is_the_same_job_also_with_a_fresh_signature() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let job = |signature: &str| {
        let url = format!("https://media.example/clip.mp4?signature={signature}");
        json!({ "account": "lena", "url": url, "preflight": false }).to_string()
    };
    // The client is gone before its answer, in the middle of its body, or while another one sends the same.
    let first = job("one");
    let head =
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nidempotency-key: a";
    for cut in [first.len() / 2, first.len(), first.len()] {
        let mut stream = UnixStream::connect(&service.socket).unwrap();
        let head = format!("{head}\r\ncontent-length: {}\r\n\r\n", first.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&first.as_bytes()[..cut]).unwrap();
        drop(stream);
    }
    let mut ids = BTreeSet::new();
    for signature in ["one", "two", "one"] {
        let answer = service.post(Some("a"), job(signature).as_bytes());
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        ids.insert(answer.json()["id"].to_string());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(service.get("/v1/jobs")["jobs"].as_array().unwrap().len(), 1);
    let id: String = serde_json::from_str(ids.first().unwrap()).unwrap();
    // The host does not exist, so the job waits for a person in the end.
    let job = service.get(&format!("/v1/jobs/{id}?wait=60s"));
    assert_eq!(job["state"], "parked", "{job}");
    assert_eq!(scene.log().sessions.len(), 1);
}

#[test]
fn what_cannot_be_a_job_is_refused_with_a_reason_and_leaves_nothing() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let path = scene.video("clip.mp4", 1_000_000);
    let path = path.to_str().unwrap();
    let long = format!(
        r#"{{"account": "lena", "file": "/{}"}}"#,
        "a".repeat(1 << 20)
    );
    for (body, status, code, word) in [
        (
            r#"{"account": "nobody", "file": "PATH"}"#,
            422,
            "unknown_account",
            "nobody",
        ),
        (
            r#"{"account": "\u0007", "file": "PATH"}"#,
            400,
            "usage",
            "name",
        ),
        (r#"{"file": "PATH"}"#, 400, "usage", "account"),
        (r#"{"account": "lena"}"#, 400, "usage", "file or url"),
        (
            r#"{"account": "lena", "file": "clip.mp4"}"#,
            400,
            "usage",
            "absolute",
        ),
        (
            r#"{"account": "lena", "file": "PATH", "chunksize": 1}"#,
            400,
            "usage",
            "chunk_size",
        ),
        (
            r#"{"account": "lena", "file": "PATH", "chunk_size": 1}"#,
            400,
            "usage",
            "5242880",
        ),
        (
            r#"{"account": "lena", "file": "PATH", "wait": "1h"}"#,
            400,
            "usage",
            "seconds",
        ),
        (
            r#"{"account": "lena", "file": "PATH", "key": "a"}"#,
            400,
            "usage",
            "key",
        ),
        (
            r#"{"account": "lena", "file": "PATH", "again": true}"#,
            400,
            "usage",
            "id",
        ),
        (
            r#"{"account": "lena", "file": "PATH", "destination": "direct"}"#,
            400,
            "not_supported",
            "drafts",
        ),
        (
            r#"{"account": "lena", "file": "PATH""#,
            400,
            "usage",
            "JSON",
        ),
        ("[]", 400, "usage", "object"),
        (&long, 413, "too_large", "1048576"),
    ] {
        let body = body.replace("PATH", path);
        let answer = service.post(None, body.as_bytes());
        let problem = answer.expect(status).json();
        assert_eq!(problem["code"], code, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        let shown = detail.replace(',', "");
        assert!(shown.contains(word), "{word}: {detail}");
    }
    for (line, status) in [
        ("GET /v1/nothing", 404),
        ("PUT /v1/jobs", 405),
        ("POST /v1/jobs", 415),
        ("GET /v1/jobs/0000000000000000", 404),
        ("POST /v1/jobs/0000000000000000/cancel", 404),
        ("DELETE /v1/jobs/0000000000000000", 404),
        ("GET /v1/jobs?limit=0", 400),
        ("GET /v1/jobs?stat=ended", 400),
        ("GET /v1/jobs?state=done", 400),
        ("GET /v1/events?after=x", 400),
    ] {
        let problem = service.call(line).expect(status).json();
        assert_eq!(problem["status"], status, "{line}: {problem}");
    }
    assert_eq!(service.get("/v1/jobs")["jobs"], json!([]));

    // Whether a path is a video shows when it is opened.
    let missing = scene.path("missing.mp4");
    let job = service
        .post(None, &wish(&missing, "lena"))
        .expect(202)
        .json();
    assert_eq!(service.ended(&job["id"])["end"]["outcome"], "source");
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn the_query_of_a_url_is_in_no_answer_and_no_log_and_no_file_but_the_journal() {
    let scene = Scene::new(&[], &[]);
    let mut started = command(&scene, &[]);
    started.env("CHUNKFERRY_LOG", "trace");
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let mut said = String::new();
    let pull = |more: &str| {
        let url = "https://media.example/clip.mp4?signature=s3cr3t";
        format!(r#"{{"account": "lena", "url": "{url}", "preflight": false{more}}}"#)
    };
    let taken = service.post(Some("a"), pull("").as_bytes()).expect(202);
    let id = taken.json()["id"].clone();
    assert_eq!(taken.json()["source"], "https://media.example/clip.mp4");
    for body in [
        pull(r#", "nothing": 1"#),
        pull(r#", "chunk_size": 5242880"#),
        pull(r#", "wait": 1"#),
        pull("").replace("https://", ""),
        pull("").replace("\"url\"", "\"file\""),
        pull("").replace("\"preflight\"", ""),
    ] {
        let answer = service.post(Some("a"), body.as_bytes());
        assert!((400..500).contains(&answer.status), "{answer:?}");
        said += &answer.text;
    }
    let path = format!("/v1/jobs/{}?wait=60s", id.as_str().unwrap());
    let parked = service.get(&path);
    assert_eq!(parked["state"], "parked", "the service could not fetch it");
    said += &parked.to_string();
    said += &service.get("/v1/jobs").to_string();
    said += &service.get("/v1/events").to_string();
    said += &taken.text;
    service.running.signal("-TERM");
    let ended = service.running.end().expect(0);
    said += &ended.stdout;
    said += &ended.stderr;
    assert!(!said.contains("s3cr3t"), "{said}");
    assert!(!said.contains("act.lena.1"), "{said}");
    let journal = scene.state_dir().join("journal");
    for file in files(&scene.state_dir()) {
        if !file.starts_with(&journal) {
            let bytes = fs::read(&file).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("s3cr3t"), "{}", file.display());
        }
    }
}

#[test]
fn a_drain_under_load_ends_in_time_and_the_next_start_sends_nothing_twice() {
    let scene = Scene::new(&["pending_cap=100", "init_per_minute=100"], &[]);
    let service = Service::start(&scene, &["--bwlimit", "16MB", "--drain", "20"]);
    let videos: Vec<PathBuf> = (0..4)
        .map(|at| scene.video(&format!("{at}.mp4"), 4 * CHUNK + at))
        .collect();
    let jobs: Vec<Value> = videos
        .iter()
        .zip(ACCOUNTS)
        .map(|(file, account)| {
            let answer = service.post(None, &wish(file, account)).expect(202);
            answer.json()["id"].clone()
        })
        .collect();
    let (socket, id) = (service.socket.clone(), jobs[0].as_str().unwrap().to_owned());
    let waiting = thread::spawn(move || {
        let head = format!("GET /v1/jobs/{id}?wait=600s HTTP/1.1");
        try_call(&socket, &head, b"")
            .expect("an answer")
            .expect(200)
            .json()
    });
    scene.sees("each file's first chunk", |log| {
        let begun = |of: &&chunkferry::emulator::SessionLog| !of.puts.is_empty();
        log.sessions.iter().filter(begun).count() == 4
    });
    let begun = Instant::now();
    service.running.signal("-TERM");
    let drained = loop {
        match post(&service.socket, None, &wish(&videos[0], "lena")) {
            Some(answer) if answer.status == 503 => break answer,
            Some(answer) if answer.status == 202 => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(drained.json()["code"], "draining");
    service.call("GET /readyz").expect(503);
    service.call("GET /healthz").expect(200);
    assert_eq!(waiting.join().unwrap()["state"], "queued");
    service.running.end().expect(0);
    assert!(begun.elapsed() < Duration::from_secs(25));
    let sent = scene.log().sessions.iter().all(|of| of.puts.len() < 5);
    assert!(sent, "they ended while the drain was to stop them");

    let service = Service::start(&scene, &[]);
    for id in &jobs {
        assert_eq!(service.ended(id)["end"]["outcome"], "delivered");
    }
    for session in scene.log().sessions {
        let mut firsts = crate::scene::accepted(&session.puts);
        let all = firsts.len();
        firsts.dedup();
        assert_eq!(firsts.len(), all, "{:?}", session.puts);
    }
}

#[test]
fn the_directory_and_the_socket_have_one_owner() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let pid = service.running.pid();
    let ended = command(&scene, &[]).end().expect(75);
    assert!(
        ended.stderr.contains(&format!("process {pid}")),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("serve"), "{}", ended.stderr);
    service.call("GET /healthz").expect(200);

    // Of a service with another directory, and of a file that is no socket.
    let elsewhere = scene.path("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    let taken = service.socket.to_str().unwrap().to_owned();
    let args = ["--state-dir", elsewhere, "--socket", &taken];
    let ended = command(&scene, &args).end().expect(75);
    assert!(ended.stderr.contains("Another process"), "{}", ended.stderr);
    let file = scene.path("file");
    fs::write(&file, "").unwrap();
    let args = ["--state-dir", elsewhere, "--socket", file.to_str().unwrap()];
    let ended = command(&scene, &args).end().expect(2);
    assert!(ended.stderr.contains("no socket"), "{}", ended.stderr);
    assert!(file.exists());

    // A socket that nobody listens on any more is replaced, and gets its mode.
    let left = scene.path("left");
    drop(UnixListener::bind(&left).unwrap());
    let path = left.to_str().unwrap();
    let args = [
        "--state-dir",
        elsewhere,
        "--socket",
        path,
        "--socket-mode",
        "0660",
    ];
    let other = Service::of(&mut command(&scene, &args), left.clone());
    other.call("GET /healthz").expect(200);
    assert_eq!(
        fs::metadata(&left).unwrap().permissions().mode() & 0o777,
        0o660
    );
    command(&scene, &["--socket-mode", "0444"]).end().expect(2);
    command(&scene, &["--account", "lena"]).end().expect(2);
}

#[test]
fn a_token_that_is_no_accounts_serves_no_job() {
    let scene = Scene::new(&[], &[]);
    let token = scene.path("token");
    fs::write(&token, "act.mallory.1").unwrap();
    let mut started = command(&scene, &[]);
    started
        .env("TIKTOK_ACCESS_TOKEN", "act.mallory.1")
        .env("CHUNKFERRY_TOKEN_FILE", &token)
        .env("CHUNKFERRY_ACCOUNT", "mallory");
    let mut service = Service::of(&mut started, scene.state_dir().join("socket"));
    service
        .running
        .until_told("left aside: token_file, TIKTOK_ACCESS_TOKEN");
    assert!(service.running.told().starts_with("Listening on "));
    let file = scene.video("clip.mp4", 1_000_000);
    for name in ["mallory", "default"] {
        service.post(None, &wish(&file, name)).expect(422);
    }
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    assert_eq!(service.ended(&job["id"])["end"]["outcome"], "delivered");
    assert_eq!(scene.log().sessions.len(), 1);
}

#[test]
fn a_job_is_paused_and_carried_on_and_another_one_cancelled() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &["--bwlimit", "10MB"]);
    let (file, other) = (
        scene.video("clip.mp4", 4 * CHUNK),
        scene.video("other.mp4", 4 * CHUNK + 1),
    );
    let id = |answer: Answer| answer.expect(202).json()["id"].as_str().unwrap().to_owned();
    let paused = id(service.post(None, &wish(&file, "lena")));
    let cancelled = id(service.post(None, &wish(&other, "mia")));
    service
        .call(&format!("DELETE /v1/jobs/{paused}"))
        .expect(409);
    let act = |id: &str, what: &str| {
        let line = format!("POST /v1/jobs/{id}/{what}");
        service.call(&line).expect(200).json()
    };
    assert_eq!(act(&paused, "pause")["state"], "paused");
    assert_eq!(act(&cancelled, "cancel")["end"]["outcome"], "cancelled");
    let begun = Instant::now();
    assert_eq!(
        service.get(&format!("/v1/jobs/{paused}?wait=1s"))["state"],
        "paused"
    );
    assert!(begun.elapsed() >= Duration::from_secs(1));
    act(&paused, "retry");
    assert_eq!(service.ended(&json!(paused))["end"]["outcome"], "delivered");
    scene.assert_one_draft_of(&file);
}

#[test]
fn events_are_streamed_from_where_the_client_left_off() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let submit = |name: &str, size: u64| {
        let file = scene.video(name, size);
        let job = service.post(None, &wish(&file, "lena")).expect(202).json();
        service.ended(&job["id"]);
    };
    submit("a.mp4", 1_000_000);
    submit("b.mp4", 1_000_001);
    let mut stream = UnixStream::connect(&service.socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let head = "GET /v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nlast-event-id: 1\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut next = |id: &str| {
        let line = lines
            .find(|line| line.starts_with("id:"))
            .expect("an event");
        assert_eq!(line.trim_start_matches("id:").trim(), id);
    };
    next("2");
    submit("c.mp4", 1_000_002);
    next("3");
    service.running.signal("-TERM");
    assert_eq!(lines.find(|line| line.starts_with("id:")), None);
    service.running.end().expect(0);
}

#[test]
fn many_jobs_in_one_body_have_an_answer_each_from_a_client_in_python() {
    const CLIENT: &str = r#"
import http.client, json, socket, sys
class Client(http.client.HTTPConnection):
    def __init__(self, path): super().__init__("localhost"); self.path = path
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)
client = Client(sys.argv[1])
lines = [{"account": "lena", "file": file, "id": file} for file in sys.argv[2:]]
lines = [json.dumps(line) for line in lines]
lines += ["", "{", json.dumps({"account": "nobody", "file": "/a"}), '"' + 70000 * "a" + '"']
client.request("POST", "/v1/jobs", "\n".join(lines), {"content-type": "application/x-ndjson"})
answers = [json.loads(line) for line in client.getresponse().read().splitlines()]
for answer in answers:
    if "job" in answer:
        client.request("GET", "/v1/jobs/" + answer["job"]["id"] + "?wait=60s")
        answer["end"] = json.load(client.getresponse())["end"]["outcome"]
print(json.dumps(answers))
"#;
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let files = [1, 2, 3].map(|at| scene.video(&format!("{at}.mp4"), 1_000_000 + at));
    let mut client = Command::new("python3");
    client
        .args(["-c", CLIENT])
        .arg(&service.socket)
        .args(&files);
    let Ok(output) = client.output() else {
        eprintln!("NOT TESTED: python3 is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<_> = answers
        .iter()
        .map(|of| {
            let code = of["error"]["code"].as_str().or_else(|| of["end"].as_str());
            (
                of["line"].as_u64().unwrap(),
                of["status"].as_u64().unwrap(),
                code.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (1, 202, "delivered"),
            (2, 202, "delivered"),
            (3, 202, "delivered"),
            (5, 400, "usage"),
            (6, 422, "unknown_account"),
            (7, 413, "too_large"),
        ]
    );
    assert_eq!(scene.log().drafts, 3);
}

#[test]
fn the_commands_of_the_page_do_as_it_says() {
    let page = include_str!("../../docs/service.md").replace("\\\n", "");
    let commands: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(commands.len(), 4);
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let run = |command: &str| {
        let command = command.replace("/videos/clip.mp4", file.to_str().unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("socket", &service.socket);
        let output = shell.output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).ok()
    };
    let Some(job) = run(commands[0]) else {
        eprintln!("NOT TESTED: curl is not installed");
        return;
    };
    assert_eq!(job["caller_id"], "night-7", "{job}");
    let ended = run(&commands[1].replace("ID", job["id"].as_str().unwrap())).unwrap();
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    let body = run(commands[2]).unwrap();
    assert_eq!(body["source"], "clip.mp4", "{body}");
    assert_eq!(
        service.ended(&body["id"])["end"]["outcome"],
        "already_delivered"
    );
    let events = run(commands[3]).unwrap();
    assert_eq!(events["events"][0]["labels"]["night"], "7", "{events}");
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let scene = Scene::new(&["receive_rate=1MB"], &[]);
    let mut service = Service::start(&scene, &["--drain", "600"]);
    let file = scene.video("clip.mp4", CHUNK + 1);
    service.post(None, &wish(&file, "lena")).expect(202);
    scene.sees("a chunk", |log| log.requests.put > 0);
    service.running.signal("-TERM");
    service.running.until_told("a second signal");
    service.call("GET /readyz").expect(503);
    assert!(service.running.is_running());
    service.running.signal("-TERM");
    service.running.end().expect(143);
    let service = Service::start(&scene, &[]);
    let job = service.get("/v1/jobs")["jobs"][0]["id"].clone();
    assert_eq!(service.ended(&job)["end"]["outcome"], "delivered");
    scene.assert_one_draft_of(&file);
}

#[test]
fn clients_that_only_connect_keep_nobody_out_for_long() {
    const CLIENT: &str = r#"
import resource, socket, sys, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
held = []
for _ in range(1100):
    one = socket.socket(socket.AF_UNIX)
    one.connect(sys.argv[1])
    held.append(one)
print("held", flush=True)
sys.stdin.read()
"#;
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let mut client = Command::new("python3");
    client.args(["-c", CLIENT]).arg(&service.socket);
    client.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut client) = client.spawn() else {
        eprintln!("NOT TESTED: python3 is not installed");
        return;
    };
    let mut line = String::new();
    let stdout = client.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let begun = Instant::now();
    let file = scene.video("clip.mp4", 1_000_000);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    assert_eq!(service.ended(&job["id"])["end"]["outcome"], "delivered");
    assert!(begun.elapsed() < Duration::from_secs(40));
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn an_idle_connection_is_closed() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    let mut idle = UnixStream::connect(&service.socket).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET ")
        .unwrap();
    idle.read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 200"));
    assert!(begun.elapsed() > Duration::from_secs(5));
}
