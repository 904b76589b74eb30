//! The service over the network: who is let in, for what, and what a stranger can hold up.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scene::{Running, Scene, Start, full};
use crate::serve::{Answer, command, exchange, wish};

pub(crate) const ADMIN: &str = "key-of-the-admin-0123456789";
pub(crate) const LENA: &str = "key-for-lena-0123456789abc";
const TEAM: &str = "key-for-the-team-0123456789";
pub(crate) const READER: &str = "key-that-reads-0123456789ab";
pub(crate) const METRICS: &str = "key-of-the-metrics-01234567";

/// A `[[key]]` of the file.
pub(crate) fn entry(name: &str, role: &str, accounts: &str, key: &str) -> String {
    let sha256 = hex::encode(Sha256::digest(key));
    let accounts = match accounts {
        "" => String::new(),
        list => format!("accounts = {list}\n"),
    };
    format!("[[key]]\nname = \"{name}\"\nrole = \"{role}\"\n{accounts}sha256 = \"{sha256}\"\n")
}

pub(crate) fn all_keys() -> String {
    [
        entry("admin", "admin", "", ADMIN),
        entry("lena", "submit", r#"["lena"]"#, LENA),
        entry("team", "submit", r#"["l*", "*a"]"#, TEAM),
        entry("reader", "read", r#"["*"]"#, READER),
        entry("metrics", "metrics", "", METRICS),
    ]
    .concat()
}

pub(crate) fn key_file(scene: &Scene, text: &str) -> PathBuf {
    let path = scene.path("keys.toml");
    // As a whole or not at all, as whoever edits the file should do.
    let new = scene.path("keys.new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, &path).unwrap();
    path
}

pub(crate) struct Service {
    pub(crate) running: Running,
    socket: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Service {
    pub(crate) fn start(scene: &Scene, more: &[&str]) -> Self {
        Self::of(&mut started(scene, more))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut running = command.start();
        let line = running.until("it listens", |line| line["event"] == "listening");
        let url = line["url"].as_str().unwrap();
        let (_, address) = url.split_once("://").unwrap();
        Self {
            running,
            socket: line["socket"].as_str().unwrap().into(),
            address: address.parse().unwrap(),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    /// A request with these headers, and no others but its length.
    #[track_caller]
    pub(crate) fn bare(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| format!("\r\n{name}: {value}"));
        let head = format!("{line} HTTP/1.1{}", headers.collect::<String>());
        exchange(&mut self.connect(), &head, body).expect("an answer")
    }

    #[track_caller]
    fn call(&self, key: &str, line: &str) -> Answer {
        self.send(key, line, "application/json", b"")
    }

    #[track_caller]
    fn send(&self, key: &str, line: &str, kind: &str, body: &[u8]) -> Answer {
        let (host, key) = (self.address.to_string(), format!("Bearer {key}"));
        let headers = [
            ("host", &*host),
            ("authorization", &key),
            ("content-type", kind),
        ];
        self.bare(line, &headers, body)
    }

    #[track_caller]
    pub(crate) fn submit(&self, key: &str, wish: &[u8]) -> Answer {
        self.send(key, "POST /v1/jobs", "application/json", wish)
    }

    /// Over the socket.
    #[track_caller]
    pub(crate) fn by_socket(&self, line: &str, body: &[u8]) -> Answer {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json");
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        exchange(&mut stream, &head, body).expect("an answer")
    }
}

/// `serve --json --listen` on a free port, with all keys, and leave to send the files of the scene.
pub(crate) fn started(scene: &Scene, more: &[&str]) -> Command {
    let keys = key_file(scene, &all_keys());
    let mut command = command(scene, &["--listen", "127.0.0.1:0", "--api-keys-file"]);
    // Jobs over the network name only what the list allows.
    let config = scene.path("config.toml");
    let allowed = json!([scene.path("")]);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[sources]\nallow = {allowed}\n")).unwrap();
    command.arg(keys).args(more);
    command
}

#[test]
fn nobody_is_let_in_without_a_key_and_no_key_is_in_an_output() {
    let scene = Scene::new(&[], &[]);
    let mut started = started(&scene, &[]);
    started.env("CHUNKFERRY_LOG", "trace");
    let service = Service::of(&mut started);
    let file = scene.video("clip.mp4", 1_000_000);
    let host = service.address.to_string();
    let (admin, wrong) = (format!("Bearer {ADMIN}"), format!("Bearer {ADMIN}x"));
    let digest = format!("Bearer {}", hex::encode(Sha256::digest(ADMIN)));
    let mut texts = Vec::new();
    for authorization in [
        &[][..],
        &[("authorization", &*wrong)],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer")],
        &[("authorization", ADMIN)],
        &[("authorization", &*digest)],
        &[("authorization", "Basic a2V5Og==")],
        &[("authorization", &*admin), ("authorization", &*admin)],
    ] {
        for line in ["GET /v1/jobs", "POST /v1/jobs", "GET /metrics", "GET /"] {
            let mut headers = vec![("host", &*host), ("content-type", "application/json")];
            headers.extend(authorization);
            let answer = service
                .bare(line, &headers, &wish(&file, "lena"))
                .expect(401);
            let head = answer.head.to_lowercase();
            assert!(head.contains("www-authenticate: bearer\r\n"), "{head}");
            assert!(head.contains("application/problem+json"), "{head}");
            assert_eq!(answer.json()["code"], "unauthorized");
            texts.push(answer.text);
        }
    }
    texts.dedup();
    assert_eq!(
        texts.len(),
        1,
        "the answers tell a wrong key from none: {texts:?}"
    );
    // Whether it lives is no secret, and whoever asks may know the host by any name.
    for path in ["/healthz", "/readyz"] {
        service
            .bare(&format!("GET {path}"), &[("host", "x")], b"")
            .expect(200);
    }
    assert_eq!(
        service.by_socket("GET /v1/jobs", b"").json()["jobs"],
        json!([])
    );

    // With a key, a job is a draft.
    let job = service
        .submit(ADMIN, &wish(&file, "lena"))
        .expect(202)
        .json();
    let line = format!("GET /v1/jobs/{}?wait=60s", job["id"].as_str().unwrap());
    let ended = service.call(ADMIN, &line).expect(200).json();
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    scene.assert_one_draft_of(&file);
    service.running.signal("-TERM");
    let ended = service.running.end().expect(0);
    let said = ended.stdout + &ended.stderr;
    assert!(said.contains("http://127.0.0.1:"), "{said}");
    for key in [ADMIN, LENA] {
        assert!(!said.contains(key));
    }
}

/// Sends requests over one connection, as clients do that keep it.
fn kept(service: &Service) -> impl FnMut(&str, &[&str]) -> Option<u16> {
    let (mut writer, host) = (service.connect(), service.address);
    let mut reader = BufReader::new(writer.try_clone().unwrap());
    move |line, headers| {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("{line} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
        writer.write_all(head.as_bytes()).ok()?;
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let text = line.trim().to_lowercase();
            if let Some(of) = text.strip_prefix("http/1.1 ") {
                status = of[..3].parse().ok();
            } else if let Some(of) = text.strip_prefix("content-length: ") {
                length = of.parse().unwrap();
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        status
    }
}

/// Waits for the service to end a connection without an answer.
#[track_caller]
fn assert_ends(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // What was sent and not read makes it a reset.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        Ok(_) => assert!(!bytes.starts_with(b"HTTP/1.1 2"), "{bytes:?}"),
    }
}

#[test]
fn a_connection_without_a_key_is_not_kept() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let reader = format!("authorization: Bearer {READER}");
    for (line, headers, status) in [
        ("GET /healthz", &[][..], 200),
        ("GET /v1/jobs", &[], 401),
        ("GET /v1/jobs", &["authorization: Bearer wrong"], 401),
        ("DELETE /v1/jobs/0000000000000000", &[&*reader], 403),
    ] {
        let mut call = kept(&service);
        assert_eq!(call(line, headers), Some(status));
        assert_eq!(call(line, headers), None, "{line}");
    }
    let mut call = kept(&service);
    for _ in 0..3 {
        assert_eq!(call("GET /v1/jobs", &[&*reader]), Some(200));
    }
    assert_eq!(call("GET /v1/jobs", &[]), Some(401));
    assert_eq!(call("GET /v1/jobs", &[&*reader]), None);

    // Heads that come byte by byte, and none at all.
    let silent = service.connect();
    let mut slow = service.connect();
    let mut trickle = format!("GET /v1/jobs HTTP/1.1\r\nhost: {}\r\nx: ", service.address);
    trickle.extend(std::iter::repeat_n('x', 1000));
    for byte in trickle.bytes() {
        if slow.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_ends(silent);
    assert_ends(slow);
    service.call(READER, "GET /v1/jobs").expect(200);
}

#[test]
fn a_client_that_sends_all_before_it_reads_learns_why_it_is_refused() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let body = vec![b'x'; 8 << 20];
    for _ in 0..3 {
        let mut stream = service.connect();
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
            service.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    }
}

#[test]
fn a_key_does_what_its_role_allows_and_no_more() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let job = service
        .submit(LENA, &wish(&file, "lena"))
        .expect(202)
        .json();
    let id = job["id"].as_str().unwrap();
    service
        .call(LENA, &format!("GET /v1/jobs/{id}?wait=60s"))
        .expect(200);
    // What each role is answered: admin, submit, read, metrics.
    for (line, answers) in [
        ("GET /v1/jobs", [200, 200, 200, 403]),
        ("HEAD /v1/jobs", [200, 200, 200, 403]),
        ("GET /v1/events", [200, 200, 200, 403]),
        ("GET /v1/accounts", [200, 200, 200, 403]),
        ("GET /v1/queue", [200, 200, 200, 403]),
        ("GET /v1/service", [200, 200, 200, 403]),
        ("GET /v1/jobs/ID", [200, 200, 200, 403]),
        ("GET /v1/jobs/ID/follow", [200, 200, 200, 403]),
        // These are about all accounts.
        ("GET /v1/uploads", [200, 403, 403, 403]),
        ("POST /v1/jobs/pause?dry_run=true", [200, 403, 403, 403]),
        ("POST /v1/queue/resume", [200, 403, 403, 403]),
        ("POST /v1/jobs/ID/pause", [200, 200, 403, 403]),
        ("POST /v1/jobs/ID/retry", [200, 200, 403, 403]),
        ("POST /v1/jobs/ID/cancel", [200, 200, 403, 403]),
        ("POST /v1/jobs", [400, 400, 403, 403]),
        ("DELETE /v1/jobs/0000000000000000", [404, 403, 403, 403]),
        ("GET /v1/other", [404, 403, 403, 403]),
        ("PUT /v1/jobs", [405, 403, 403, 403]),
        ("GET /v1/jobs/", [404, 404, 404, 403]),
        ("GET //v1/jobs", [404, 403, 403, 403]),
        ("POST /healthz", [405, 403, 403, 403]),
        ("GET /metrics", [200, 403, 403, 200]),
        // At the end, as it takes the job away.
        ("DELETE /v1/jobs/ID", [204, 403, 403, 403]),
    ] {
        let line = line.replace("ID", id);
        let keys = [ADMIN, LENA, READER, METRICS].into_iter().zip(answers);
        // The admin comes last.
        for (key, status) in keys.rev() {
            let answer = service.call(key, &line);
            assert_eq!(answer.status, status, "{key}: {line}: {answer:?}");
            if answer.status == 403 && !line.starts_with("HEAD") {
                assert_eq!(answer.json()["code"], "forbidden");
            }
        }
    }
}

/// The numbers, or other fields, of a list.
fn all(list: &Value, field: &str) -> Vec<Value> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list}"));
    list.iter().map(|of| of[field].clone()).collect()
}

#[test]
fn a_job_of_another_account_is_as_one_that_does_not_exist() {
    let scene = Scene::new(&[], &[]);
    let mut starting = started(&scene, &[]);
    let asked = scene.path("asked");
    let mut config = fs::read_to_string(scene.path("config.toml")).unwrap();
    config += &format!(
        "[accounts.spy]\ntoken_command = \"touch {}; echo act.spy.1\"\n",
        asked.display()
    );
    fs::write(scene.path("config.toml"), config).unwrap();
    let service = Service::of(&mut starting);
    let mut ids = Vec::new();
    for (at, account) in ["mia", "lena", "noa", "lena"].into_iter().enumerate() {
        let file = scene.video(&format!("{at}.mp4"), 1_000_000 + at as u64);
        let job = service
            .submit(ADMIN, &wish(&file, account))
            .expect(202)
            .json();
        let id = job["id"].as_str().unwrap().to_owned();
        let line = format!("GET /v1/jobs/{id}?wait=60s");
        service.call(ADMIN, &line).expect(200);
        ids.push(id);
    }
    let before = service.call(ADMIN, "GET /v1/jobs").expect(200).text;

    // Lists.
    let jobs = service.call(LENA, "GET /v1/jobs").expect(200).json();
    assert_eq!(all(&jobs["jobs"], "id"), [json!(ids[1]), json!(ids[3])]);
    let jobs = service
        .call(LENA, "GET /v1/jobs?limit=1")
        .expect(200)
        .json();
    assert_eq!(all(&jobs["jobs"], "id"), [json!(ids[1])]);
    let jobs = service
        .call(LENA, "GET /v1/jobs?account=mia")
        .expect(200)
        .json();
    assert_eq!(jobs["jobs"], json!([]));
    let accounts = service.call(LENA, "GET /v1/accounts").expect(200).json();
    assert_eq!(all(&accounts["accounts"], "name"), ["lena"]);
    let accounts = service.call(TEAM, "GET /v1/accounts").expect(200).json();
    assert_eq!(all(&accounts["accounts"], "name"), ["lena", "mia", "noa"]);
    let events = service.call(LENA, "GET /v1/events").expect(200).json();
    assert_eq!(
        all(&events["events"], "job"),
        [json!(ids[1]), json!(ids[3])]
    );
    assert_eq!(events["next"], 4);
    let events = service
        .call(LENA, "GET /v1/events?limit=1")
        .expect(200)
        .json();
    assert_eq!(
        (all(&events["events"], "number"), &events["next"]),
        (vec![json!(2)], &json!(2))
    );
    let events = service
        .call(LENA, "GET /v1/events?after=4")
        .expect(200)
        .json();
    assert_eq!(events, json!({ "events": [], "next": 4 }));

    // One job, by its id and by other spellings of it.
    let missing = "0123456789abcdef";
    let (mias, escaped) = (&ids[0], format!("%30{}", &ids[0][1..]));
    for line in [
        "GET /v1/jobs/ID",
        "GET /v1/jobs/ID?wait=600s",
        "GET /v1/jobs/ID?wrong",
        "GET /v1/jobs/ID/follow",
        "HEAD /v1/jobs/ID",
        "POST /v1/jobs/ID/pause",
        "POST /v1/jobs/ID/retry",
        "POST /v1/jobs/ID/cancel",
    ] {
        let of = |id: &str| service.call(LENA, &line.replace("ID", id)).expect(404);
        let (known, unknown) = (of(mias), of(missing));
        assert_eq!(known.text, unknown.text, "{line}");
        assert_eq!(of(&escaped).text, unknown.text, "{line}");
    }
    service
        .call(LENA, &format!("GET /v1/jobs/{}", ids[1]))
        .expect(200);

    // A submit, alone and as a line.
    let file = scene.video("clip.mp4", 1_000_000);
    let mut calls = scene.log().requests.init;
    let inits = calls;
    for account in ["spy", "mia", "nobody", "lena2", "Lena", "*"] {
        let problem = service
            .submit(LENA, &wish(&file, account))
            .expect(403)
            .json();
        assert_eq!(problem["code"], "forbidden", "{problem}");
    }
    let lines = [wish(&file, "spy"), wish(&file, "lena"), wish(&file, "mia")].join(&b'\n');
    let answers = service.send(LENA, "POST /v1/jobs", "application/x-ndjson", &lines);
    let answers = answers.expect(200);
    let answers: Vec<Value> = answers
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let statuses: Vec<_> = answers
        .iter()
        .map(|of| of["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [403, 202, 403], "{answers:?}");
    assert_eq!(answers[0]["error"]["code"], "forbidden");
    assert!(!asked.exists(), "a token was asked for");
    let own = answers[1]["job"]["id"].as_str().unwrap();
    service
        .call(LENA, &format!("GET /v1/jobs/{own}?wait=60s"))
        .expect(200);
    let after = service.call(ADMIN, "GET /v1/jobs").expect(200).json();
    let before: Value = serde_json::from_str(&before).unwrap();
    let after = after["jobs"].as_array().unwrap();
    assert_eq!(after.len(), 5, "{after:?}");
    assert_eq!(after[..4], before["jobs"].as_array().unwrap()[..]);
    calls = scene.log().requests.init - calls;
    assert!(calls <= 1, "{inits}");
}

/// The lines of a stream of events.
fn stream(service: &Service, key: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = service.connect();
    let host = service.address;
    let head = format!(
        "GET /v1/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    BufReader::new(stream).lines().map_while(Result::ok)
}

#[test]
fn a_stream_has_the_events_of_its_accounts_and_ends_when_its_key_is_taken_away() {
    let scene = Scene::new(&[], &[]);
    let mut service = Service::start(&scene, &[]);
    let submit = |service: &Service, name: &str, account: &str| {
        let file = scene.video(name, 1_000_000);
        let job = service
            .submit(ADMIN, &wish(&file, account))
            .expect(202)
            .json();
        let line = format!("GET /v1/jobs/{}?wait=60s", job["id"].as_str().unwrap());
        service.call(ADMIN, &line).expect(200);
    };
    submit(&service, "a.mp4", "mia");
    submit(&service, "b.mp4", "lena");
    let mut lines = stream(&service, LENA);
    let mut id = || lines.find(|line| line.starts_with("id:"));
    assert_eq!(id().unwrap(), "id: 2");
    submit(&service, "c.mp4", "mia");
    submit(&service, "d.mp4", "lena");
    assert_eq!(id().unwrap(), "id: 4");

    // A file that is broken, or has gone, takes nothing away; that is said once.
    let broken = all_keys().replacen("[[key]]", "[[key]]\nrole = \"king\"", 1);
    let path = key_file(&scene, &broken);
    service.running.until_told("stay as they were");
    service.call(LENA, "GET /v1/jobs").expect(200);
    fs::remove_file(&path).unwrap();
    service.running.until_told("No such file");
    // It is looked at again meanwhile.
    std::thread::sleep(Duration::from_secs(3));
    service.call(LENA, "GET /v1/jobs").expect(200);
    key_file(&scene, "");
    service.running.until_told("there is no key in it");
    submit(&service, "e.mp4", "lena");
    assert_eq!(id().unwrap(), "id: 5");

    // Somebody waits for a job that does not run.
    service.call(ADMIN, "POST /v1/queue/pause").expect(200);
    let file = scene.video("f.mp4", 1_000_000);
    let job = service
        .submit(ADMIN, &wish(&file, "lena"))
        .expect(202)
        .json();
    let mut waiting = service.connect();
    let head = format!(
        "GET /v1/jobs/{}?wait=600s HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {LENA}\r\n\r\n",
        job["id"].as_str().unwrap(),
        service.address
    );
    waiting.write_all(head.as_bytes()).unwrap();

    // Without lena's key, and with a new one.
    let new = "another-key-0123456789abcdef";
    let changed = entry("admin", "admin", "", ADMIN) + &entry("new", "read", r#"["*"]"#, new);
    key_file(&scene, &changed);
    service.running.until_told("were read again; there are 2");
    // What is left of the last event, and then the end: a stream that goes on has a line each 15 s.
    assert!(lines.take(8).count() < 8, "the stream goes on");
    service.call(LENA, "GET /v1/jobs").expect(401);
    service.call(new, "GET /v1/jobs").expect(200);
    let mut text = String::new();
    waiting.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    let told = service.running.told();
    assert_eq!(told.matches("stay as they were").count(), 3, "{told}");
}

#[test]
fn a_page_of_another_site_is_refused_before_its_body_is_read() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let (host, key) = (service.address.to_string(), format!("Bearer {ADMIN}"));
    let own = format!("http://{host}");
    for foreign in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &*own)],
    ] {
        for line in [
            "POST /v1/jobs",
            "GET /v1/jobs",
            "OPTIONS /v1/jobs",
            "GET /healthz",
        ] {
            let mut stream = service.connect();
            let headers = foreign
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"));
            // The body that is announced never comes.
            let head = format!(
                "{line} HTTP/1.1\r\nhost: {host}\r\nauthorization: {key}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n{}\r\n",
                headers.collect::<String>()
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(
                text.starts_with("HTTP/1.1 403"),
                "{line} {foreign:?} {text}"
            );
            assert!(text.contains(r#""code":"cross_site""#), "{text}");
            assert!(!text.to_lowercase().contains("access-control"), "{text}");
        }
    }
    // A page of the service's own may ask, and a person may open an address.
    for own in [
        &[("sec-fetch-site", "same-origin"), ("origin", &*own)][..],
        &[("sec-fetch-site", "none")],
    ] {
        let mut headers = vec![("host", &*host), ("authorization", &*key)];
        headers.extend(own);
        let answer = service.bare("GET /v1/jobs", &headers, b"").expect(200);
        assert!(!answer.head.to_lowercase().contains("access-control"));
    }
}

#[test]
fn a_name_that_was_made_to_lead_here_is_not_answered() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &["--host", "clips.example", "--host", "192.0.2.7"]);
    let (key, port) = (format!("Bearer {ADMIN}"), service.address.port());
    let ask = |line: &str, hosts: &[&str]| {
        let mut headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        headers.push(("authorization", &*key));
        service.bare(line, &headers, b"")
    };
    let own = format!("127.0.0.1:{port}");
    for host in [
        &*own,
        "localhost",
        "clips.example:80",
        "192.0.2.7",
        "[::1]:1",
    ] {
        ask("GET /v1/jobs", &[host]).expect(200);
    }
    for hosts in [&["evil.example"][..], &["10.0.0.1"], &[], &[&*own, &*own]] {
        let problem = ask("GET /v1/jobs", hosts).expect(421).json();
        assert_eq!(problem["code"], "wrong_host", "{hosts:?}");
    }
    let line = "GET http://evil.example/v1/jobs";
    ask(line, &[&*own]).expect(421);
}

/// A certificate for this machine, and its key, in files.
fn certificate(scene: &Scene) -> (String, PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.unwrap();
    let (cert, key) = (scene.path("cert.pem"), scene.path("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    (made.cert.pem(), cert, key)
}

#[test]
fn over_tls_a_job_is_delivered_and_a_handshake_that_stalls_is_ended() {
    let scene = Scene::new(&[], &[]);
    let (pem, cert, key) = certificate(&scene);
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let service = Service::start(&scene, &["--tls-cert", cert, "--tls-key", key]);
    let told = service.running.told();
    assert!(
        told.contains(&format!("https://{}", service.address)),
        "{told}"
    );
    let mut stalled = service.connect();
    // The beginning of a handshake.
    stalled.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();

    let file = scene.video("clip.mp4", 1_000_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async {
        let authority = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()
            .unwrap();
        let url = format!("https://{}/v1/jobs", service.address);
        let refused = client.get(&url).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        let answer = client
            .post(&url)
            .bearer_auth(LENA)
            .header("content-type", "application/json");
        let answer = answer.body(wish(&file, "lena")).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let job: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let url = format!("{url}/{}?wait=60s", job["id"].as_str().unwrap());
        let answer = client.get(url).bearer_auth(LENA).send().await.unwrap();
        serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()
    });
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    scene.assert_one_draft_of(&file);

    // Who does not speak TLS is no client.
    let mut plain = service.connect();
    let head = format!(
        "GET /v1/jobs HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {ADMIN}\r\n\r\n",
        service.address
    );
    plain.write_all(head.as_bytes()).unwrap();
    assert_ends(plain);
    assert_ends(stalled);
}

#[test]
fn an_address_that_would_be_open_to_strangers_is_not_listened_on() {
    let scene = Scene::new(&[], &[]);
    let keys = key_file(&scene, &all_keys());
    let (_, cert, key) = certificate(&scene);
    let path = |name: &str| scene.path(name).to_str().unwrap().to_owned();
    let (keys, cert, key) = (
        keys.to_str().unwrap(),
        cert.to_str().unwrap(),
        key.to_str().unwrap(),
    );
    fs::write(path("text.pem"), "text").unwrap();
    fs::copy(key, path("open.pem")).unwrap();
    fs::set_permissions(path("open.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    fs::write(path("other.pem"), other).unwrap();
    fs::set_permissions(path("other.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let (text, open, other, none) = (
        path("text.pem"),
        path("open.pem"),
        path("other.pem"),
        path("none"),
    );
    let local = ["--listen", "127.0.0.1:0", "--api-keys-file", keys];
    let far = ["--listen", "0.0.0.0:0", "--api-keys-file", keys];
    for (args, word) in [
        (vec!["--listen", "127.0.0.1:0"], "--api-keys-file"),
        (vec!["--api-keys-file", keys], "--listen"),
        (
            vec!["--listen", "localhost:0", "--api-keys-file", keys],
            "IP address",
        ),
        (
            vec!["--listen", "127.0.0.1:0", "--api-keys-file", &none],
            "No such file",
        ),
        (far.to_vec(), "--behind-proxy"),
        (
            vec!["--listen", "[::]:0", "--api-keys-file", keys],
            "--behind-proxy",
        ),
        (
            vec!["--listen", "[::ffff:10.0.0.1]:0", "--api-keys-file", keys],
            "--behind-proxy",
        ),
        (
            vec![
                "--listen",
                "203.0.113.1:0",
                "--api-keys-file",
                keys,
                "--behind-proxy",
            ],
            "cannot be listened on",
        ),
        ([&local[..], &["--tls-cert", cert]].concat(), "--tls-key"),
        ([&local[..], &["--tls-key", key]].concat(), "--tls-cert"),
        (
            [&far[..], &["--tls-cert", &none, "--tls-key", key]].concat(),
            "No such file",
        ),
        (
            [&far[..], &["--tls-cert", cert, "--tls-key", &none]].concat(),
            "No such file",
        ),
        (
            [&far[..], &["--tls-cert", &text, "--tls-key", key]].concat(),
            "no certificate",
        ),
        (
            [&far[..], &["--tls-cert", cert, "--tls-key", &open]].concat(),
            "0640",
        ),
        (
            [&far[..], &["--tls-cert", cert, "--tls-key", cert]].concat(),
            "chmod 600",
        ),
        (
            [&far[..], &["--tls-cert", cert, "--tls-key", &other]].concat(),
            "no certificate and its key",
        ),
        (
            [&local[..], &["--host", "http://clips.example"]].concat(),
            "without scheme",
        ),
        (vec!["--host", "clips.example"], "--listen"),
    ] {
        let ended = command(&scene, &args).end().expect(2);
        assert!(ended.stderr.contains(word), "{args:?}: {}", ended.stderr);
        assert!(
            !scene.state_dir().exists(),
            "{args:?}: something was opened"
        );
    }
    // With TLS, or a proxy that speaks it, it is.
    for more in [
        &["--behind-proxy"][..],
        &["--tls-cert", cert, "--tls-key", key],
    ] {
        let args = [&far[..], more].concat();
        let running = command(&scene, &args).start();
        let mut running = running;
        running.until("it listens", |line| line["event"] == "listening");
        running.signal("-TERM");
        running.end().expect(0);
    }
    // One address has one listener.
    let service = Service::start(&scene, &[]);
    let address = service.address.to_string();
    let elsewhere = path("elsewhere");
    let args = [
        "--listen",
        &address,
        "--api-keys-file",
        keys,
        "--state-dir",
        &elsewhere,
    ];
    let ended = command(&scene, &args).end().expect(75);
    assert!(ended.stderr.contains("Another process"), "{}", ended.stderr);
}

#[test]
fn a_file_of_keys_that_is_wrong_is_refused_with_its_line_or_key() {
    let scene = Scene::new(&[], &[]);
    let good = entry("lena", "submit", r#"["lena"]"#, LENA);
    let sha256 = hex::encode(Sha256::digest(LENA));
    let second = entry("mia", "read", r#"["mia"]"#, READER);
    let cases = [
        (String::new(), "no key in it"),
        ("key = 1\n".to_owned(), "line 1"),
        ("# a\n[keys]\n".to_owned(), "line 2: unknown key \"keys\""),
        (
            format!("{good}expires = 1\n"),
            "line 6: unknown key \"expires\"",
        ),
        (
            good.replace("accounts", "acounts"),
            "line 4: unknown key \"acounts\"; the nearest key is \"accounts\"",
        ),
        (good.replace("submit", "king"), "\"lena\": role is one of"),
        (
            good.replace("accounts = [\"lena\"]\n", ""),
            "accounts is missing",
        ),
        (good.replace("[\"lena\"]", "[]"), "accounts has to be"),
        (good.replace("[\"lena\"]", "\"lena\""), "accounts has to be"),
        (good.replace("[\"lena\"]", "[\"\"]"), "accounts has to be"),
        (
            good.replace("submit", "admin"),
            "limits the roles read and submit only",
        ),
        (good.replace(&sha256, &sha256[1..]), "64 hexadecimal digits"),
        (good.replace(&sha256, LENA), "64 hexadecimal digits"),
        (
            good.replace(&sha256, &hex::encode(Sha256::digest(b""))),
            "empty text",
        ),
        (
            good.replace("name = \"lena\"\n", ""),
            "line 1: name is missing",
        ),
        (
            good.replace("name = \"lena\"", "name = \"\""),
            "at least one letter",
        ),
        (
            good.replace("name = \"lena\"", "name = \"a\\u001b\""),
            "control characters",
        ),
        (good.clone() + &good, "two keys have the name \"lena\""),
        (
            good.clone() + &second.replace(&hex::encode(Sha256::digest(READER)), &sha256),
            "sha256 of another key",
        ),
        (good[..good.len() - 10].to_owned(), "line 5"),
        (format!("{good}[[key]\n"), "line 6"),
    ];
    for (text, word) in cases {
        let keys = key_file(&scene, &text);
        let args = [
            "--listen",
            "127.0.0.1:0",
            "--api-keys-file",
            keys.to_str().unwrap(),
        ];
        let ended = command(&scene, &args).end().expect(2);
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        assert!(!ended.stderr.contains(LENA) && !ended.stderr.contains(&sha256));
    }
    // Whoever can write the file could let anybody in.
    let keys = key_file(&scene, &good);
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o666)).unwrap();
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--api-keys-file",
        keys.to_str().unwrap(),
    ];
    let ended = command(&scene, &args).end().expect(2);
    assert!(
        ended.stderr.contains("written by everybody"),
        "{}",
        ended.stderr
    );
    assert!(!scene.state_dir().exists());
}

/// Connections of a client of its own, which has its own descriptors: how many, and what is sent on each.
struct Crowd {
    client: Child,
    held: usize,
}

impl Crowd {
    /// `None` if there is no Python.
    fn new(address: SocketAddr, many: usize, head: &str) -> Option<Self> {
        const CLIENT: &str = r#"
import resource, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
wanted = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, wanted + 100), most))
held = []
for _ in range(min(most - 100, wanted)):
    one = socket.socket()
    held.append(one)
    if not sys.argv[3]:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", int(sys.argv[1])))
        continue
    one.settimeout(2)
    try:
        one.connect(("127.0.0.1", int(sys.argv[1])))
        one.sendall(sys.argv[3].encode())
    except OSError:
        # The service has no room, and the system lets no more wait for it.
        break
print(len(held), flush=True)
sys.stdin.read()
"#;
        let mut client = Command::new("python3");
        client.args(["-c", CLIENT, &address.port().to_string()]);
        client.args([&many.to_string(), head]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut client) = client.spawn() else {
            eprintln!("NOT TESTED: python3 is not installed");
            return None;
        };
        let mut line = String::new();
        let stdout = client.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let held = line.trim().parse().unwrap();
        if held < many && head.is_empty() {
            eprintln!("NOT TESTED with more than {held} connections: it may have no more");
        }
        Some(Self { client, held })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.client.kill().unwrap();
        self.client.wait().unwrap();
    }
}

fn assert_delivers_by_socket(scene: &Scene, service: &Service, size: u64) {
    let file = scene.video("clip.mp4", size);
    let job = service
        .by_socket("POST /v1/jobs", &wish(&file, "lena"))
        .expect(202)
        .json();
    let line = format!("GET /v1/jobs/{}?wait=60s", job["id"].as_str().unwrap());
    let ended = service.by_socket(&line, b"").expect(200).json();
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
}

#[test]
fn thousands_of_silent_connections_hold_up_neither_the_socket_nor_an_upload() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &["--bwlimit", "20MB"]);
    let many = if full() { 10_000 } else { 2_000 };
    let Some(crowd) = Crowd::new(service.address, many, "") else {
        return;
    };
    let begun = Instant::now();
    assert_delivers_by_socket(&scene, &service, 30_000_000);
    eprintln!(
        "{} connections, delivered within {:?}",
        crowd.held,
        begun.elapsed()
    );
    drop(crowd);
    service.call(READER, "GET /v1/jobs").expect(200);
}

#[test]
fn clients_with_keys_that_stay_for_ever_leave_the_socket_its_connections() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let head = format!(
        "GET /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {READER}\r\naccept: text/event-stream\r\n\r\n",
        service.address
    );
    let Some(crowd) = Crowd::new(service.address, 1_100, &head) else {
        return;
    };
    assert!(crowd.held > 100, "{}", crowd.held);
    assert_delivers_by_socket(&scene, &service, 1_000_000);
}
