//! A table of tokens of the user's own: a server in Python, and a command.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::scene::{CHUNK, Ended, Scene, Start};

/// Who has which token: of 200 accounts, some in trouble. `/calls` counts the questions for each account.
const SERVER: &str = r#"
import hashlib, json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
calls, age = {}, {}
class Table(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self): self.answer(200, calls)
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = asked["account"]
        calls[name] = calls.get(name, 0) + 1
        if name == "nobody": return self.answer(404, {})
        if name == "gone": return self.answer(410, {})
        if name == "later" and calls[name] == 1: return self.answer(503, {})
        if name == "slow" and calls[name] == 1: time.sleep(12)
        token = f"act.{name}.{age.get(name, 1)}"
        if name == "short":
            ends = {"expires_at": int(time.time()) + 2}
            return self.answer(200, {"access_token": f"act.short.{calls[name]}", **ends})
        if name == "swap":
            whose = {"open_id": f"creator-{calls[name]}"}
            return self.answer(200, {"access_token": f"act.swap.{calls[name]}", **whose})
        if asked.get("refused_sha256") == hashlib.sha256(token.encode()).hexdigest():
            age[name] = age.get(name, 1) + 1
            token = f"act.{name}.{age[name]}"
        self.answer(200, {"access_token": token, "expires_at": int(time.time()) + 3600})
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
server = ThreadingHTTPServer(("127.0.0.1", 0), Table)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// `None`, and a word about it, where Python is missing.
    fn start() -> Option<Self> {
        let python = Command::new("python3")
            .args(["-c", SERVER])
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = python else {
            eprintln!("NOT TESTED: python3 is not installed");
            return None;
        };
        let mut port = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut port).unwrap();
        Some(Self {
            child,
            url: format!("http://127.0.0.1:{}/tokens?key=s3cr3t", port.trim()),
        })
    }

    fn calls(&self) -> serde_json::Value {
        let output = Command::new("curl")
            .args(["-s", &self.url])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn upload(scene: &Scene, config: &str, account: &str) -> Command {
    let path = scene.path("config.toml");
    fs::write(&path, config).unwrap();
    let name = format!("{account}.mp4");
    scene.video(&name, 100_000);
    let mut command = scene.command(["upload", &name, "--account", account]);
    command
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .env("CHUNKFERRY_CONFIG", path);
    command
}

/// No token and no query is in what was said, nor in any file.
fn assert_nothing_is_kept(scene: &Scene, said: &[&Ended]) {
    for ended in said {
        let text = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!text.contains("act.") && !text.contains("s3cr3t"), "{text}");
    }
    fn search(dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                search(&path);
            } else {
                let bytes = fs::read(&path).unwrap();
                let found = bytes.windows(4).any(|window| window == b"act.");
                assert!(!found, "{}", path.display());
            }
        }
    }
    search(&scene.state_dir());
}

#[test]
fn a_table_of_200_accounts_gives_tokens_and_says_who_must_act() {
    let Some(server) = Server::start() else {
        return;
    };
    let scene = Scene::new(&[], &["init nth=3 code=access_token_invalid"]);
    let config = format!("[token_provider]\nurl = '{}'\n", server.url);
    let mut said = Vec::new();
    for account in ["a1", "a200", "a77", "later"] {
        said.push(upload(&scene, &config, account).end().expect(0));
    }
    let calls = server.calls();
    assert_eq!(calls["a1"], 1, "{calls}");
    // Its first token was refused, and the next one was asked for with the digest of that one.
    assert_eq!(calls["a77"], 2, "{calls}");
    assert_eq!(calls["later"], 2, "{calls}");
    for (account, why) in [("nobody", "no account \"nobody\""), ("gone", "HTTP 410")] {
        let ended = upload(&scene, &config, account).end().expect(4);
        assert!(ended.stderr.contains(why), "{ended:?}");
        said.push(ended);
    }
    assert_nothing_is_kept(&scene, &said.iter().collect::<Vec<_>>());
    assert_eq!(scene.log().drafts, 4);
}

#[test]
fn a_table_that_hangs_is_asked_again() {
    let Some(server) = Server::start() else {
        return;
    };
    let scene = Scene::new(&[], &[]);
    let config = format!("[token_provider]\nurl = '{}'\n", server.url);
    let started = Instant::now();
    upload(&scene, &config, "slow").end().expect(0);
    assert!(started.elapsed() >= Duration::from_secs(10));
    assert_eq!(server.calls()["slow"], 2);
}

#[test]
fn a_token_that_ends_in_the_middle_of_an_upload_is_asked_for_again() {
    let Some(server) = Server::start() else {
        return;
    };
    // The answer to the second of three chunks is lost after 2 s, so status is asked while a third of the file is missing.
    let scene = Scene::new(&["receive_rate=5MB"], &["put nth=2 lose"]);
    let config = format!("[token_provider]\nurl = '{}'\n", server.url);
    let mut command = upload(&scene, &config, "short");
    let file = scene.video("short.mp4", 3 * CHUNK);
    command.args(["--chunk-size", "5MiB"]);
    let ended = command.end().expect(0);
    scene.assert_one_draft_of(&file);
    // Its tokens live for 1 to 2 s, and chunks need none: one for the init, one in the middle, and perhaps one at the end.
    let calls = server.calls()["short"].as_u64().unwrap();
    assert!((2..=3).contains(&calls), "{calls}: {ended:?}");
    assert_nothing_is_kept(&scene, &[&ended]);
}

#[test]
fn a_token_of_another_creator_under_the_same_name_makes_no_request() {
    let Some(server) = Server::start() else {
        return;
    };
    let scene = Scene::new(
        &[],
        &[
            "init nth=1 code=access_token_invalid",
            "user_info code=scope_not_authorized",
        ],
    );
    let config = format!("[token_provider]\nurl = '{}'\n", server.url);
    let ended = upload(&scene, &config, "swap").end().expect(4);
    for words in ["\"swap\"", "creator-1", "creator-2", "--account NAME"] {
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
    assert_eq!(server.calls()["swap"], 2);
    let log = scene.log();
    assert_eq!((log.requests.init, log.drafts), (1, 0), "{log:#?}");
    assert_nothing_is_kept(&scene, &[&ended]);
}

#[test]
fn a_command_is_given_the_account_on_its_standard_input_and_never_in_its_text() {
    let scene = Scene::new(&[], &[]);
    let script = r#"read -r asked; case $asked in *nobody*) exit 3;; *gone*) echo "blocked" >&2; exit 4;; esac; echo '{\"access_token\":\"act.lena.1\"}'"#;
    let config = format!("[token_provider]\ncommand = \"\"\"{script}\"\"\"\n");
    let odd = "le$(touch here)na";
    let good = upload(&scene, &config, odd).end().expect(0);
    assert!(!scene.path("here").exists());
    let nobody = upload(&scene, &config, "nobody").end().expect(4);
    assert!(nobody.stderr.contains("no account"), "{nobody:?}");
    let gone = upload(&scene, &config, "gone").end().expect(4);
    assert!(gone.stderr.contains("a person must act"), "{gone:?}");
    assert_nothing_is_kept(&scene, &[&good, &nobody, &gone]);
}

#[test]
fn a_provider_in_the_clear_on_another_machine_is_refused() {
    let scene = Scene::new(&[], &[]);
    for (value, why) in [
        ("url = 'http://tokens.example/'", "https"),
        (
            "url = 'https://tokens.example/'\ncommand = 'x'",
            "exactly one",
        ),
        ("uri = 'https://tokens.example/'", "\"url\""),
    ] {
        let config = format!("[token_provider]\n{value}\n");
        let ended = upload(&scene, &config, "lena").end().expect(2);
        assert!(ended.stderr.contains(why), "{ended:?}");
    }
}

#[test]
fn a_table_on_this_machine_is_asked_without_the_proxy_that_would_see_the_tokens() {
    let Some(server) = Server::start() else {
        return;
    };
    let scene = Scene::new(&[], &[]);
    let config = format!("[token_provider]\nurl = '{}'\n", server.url);
    let mut upload = upload(&scene, &config, "lena");
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        // Nobody listens there.
        upload.env(variable, "http://127.0.0.1:1");
    }
    upload.args(["--patience", "2"]).end().expect(0);
    assert_eq!(server.calls()["lena"], 1);
}
