//! The service over the network: who is let in, for what, and what a stranger can hold up.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scene::{Running, Scene, Start, full};
use crate::serve::{Answer, command, exchange, wish};

const ADMIN: &str = "key-of-the-admin-0123456789";
const LENA: &str = "key-for-lena-0123456789abc";
const TEAM: &str = "key-for-the-team-0123456789";
const READER: &str = "key-that-reads-0123456789ab";
const METRICS: &str = "key-of-the-metrics-01234567";

/// A `[[key]]` of the file.
fn entry(name: &str, role: &str, accounts: &str, key: &str) -> String {
    let sha256 = hex::encode(Sha256::digest(key));
    let accounts = match accounts {
        "" => String::new(),
        list => format!("accounts = {list}\n"),
    };
    format!("[[key]]\nname = \"{name}\"\nrole = \"{role}\"\n{accounts}sha256 = \"{sha256}\"\n")
}

fn all_keys() -> String {
    [
        entry("admin", "admin", "", ADMIN),
        entry("lena", "submit", r#"["lena"]"#, LENA),
        entry("team", "submit", r#"["l*", "*a"]"#, TEAM),
        entry("reader", "read", r#"["*"]"#, READER),
        entry("metrics", "metrics", "", METRICS),
    ]
    .concat()
}

fn key_file(scene: &Scene, text: &str) -> PathBuf {
    let path = scene.path("keys.toml");
    // As a whole or not at all, as whoever edits the file should do.
    let new = scene.path("keys.new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, &path).unwrap();
    path
}

struct Service {
    running: Running,
    socket: PathBuf,
    address: SocketAddr,
}

impl Service {
    fn start(scene: &Scene, more: &[&str]) -> Self {
        Self::of(&mut started(scene, more))
    }

    fn of(command: &mut Command) -> Self {
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
    fn bare(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
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
    fn submit(&self, key: &str, wish: &[u8]) -> Answer {
        self.send(key, "POST /v1/jobs", "application/json", wish)
    }

    /// Over the socket.
    #[track_caller]
    fn by_socket(&self, line: &str, body: &[u8]) -> Answer {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json");
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        exchange(&mut stream, &head, body).expect("an answer")
    }
}

/// `serve --json --listen` on a free port, with all keys.
fn started(scene: &Scene, more: &[&str]) -> Command {
    let keys = key_file(scene, &all_keys());
    let mut command = command(scene, &["--listen", "127.0.0.1:0", "--api-keys-file"]);
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
            assert!(head.contains("connection: close"), "{head}");
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
