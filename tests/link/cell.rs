//! Two machines and the link between them: the command on one, the emulator on the other.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chunkferry::emulator::{Log, Process};
use serde_json::Value;
use tempfile::TempDir;

use crate::link::{Link, Shape};
use crate::namespace::Namespace;
use crate::video;

const HERE: &str = "10.0.0.1";
const THERE: &str = "10.0.0.2";

pub(crate) struct Cell {
    dir: TempDir,
    // Dropped before the namespaces whose devices it holds.
    _link: Link,
    here: Namespace,
    there: Namespace,
}

/// A web server at the other end; stopped when it is dropped.
pub(crate) struct Source {
    process: Child,
    pub(crate) origin: String,
    ca_file: PathBuf,
    config: PathBuf,
}

impl Drop for Source {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What one transfer came to, from the opened session to the last acknowledged byte.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) chunk_size: u64,
    /// Bytes handed to the socket more than once.
    pub(crate) sent_again: u64,
    pub(crate) connections: u64,
}

impl Cell {
    /// `None`, and said so, where namespaces or TUN devices cannot be had.
    pub(crate) fn new(shape: Shape) -> Option<Self> {
        let cell = Self::build(shape);
        if cell.is_none() {
            eprintln!("NOT TESTED: needs root and ip");
        }
        cell
    }

    fn build(shape: Shape) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("ferry{}-{number}{end}", std::process::id());
        let here = Namespace::new(name("a"))?;
        let there = Namespace::new(name("b"))?;
        let link = Link::between(here.device(HERE, THERE)?, there.device(THERE, HERE)?, shape);
        Some(Self {
            dir: tempfile::tempdir().unwrap(),
            _link: link,
            here,
            there,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn video(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        video::write(&path, size, size);
        path
    }

    /// The emulator at the other end. It takes files whole, so that an unbroken PUT can be held against chunks.
    pub(crate) fn emulator(&self, faults: &[String]) -> Process {
        let mut command = self.there.command(env!("CARGO_BIN_EXE_chunkferry"));
        command.args(["emulator", "--keep", "0", "--listen"]);
        command.arg(format!("{THERE}:0"));
        let settings = [
            "limits=off",
            "processing_time=0s",
            "max_chunk=4000000000",
            "max_last_chunk=4000000000",
        ];
        for pair in settings {
            command.args(["--set", pair]);
        }
        for fault in faults {
            command.args(["--fault", fault]);
        }
        Process::spawn(&mut command).unwrap()
    }

    /// A web server with TLS at the other end, for the files of this cell; `None` where nginx is not installed.
    pub(crate) fn source(&self) -> Option<Source> {
        let program = "/usr/sbin/nginx";
        if !Path::new(program).exists() {
            return None;
        }
        let dir = self.path("nginx");
        std::fs::create_dir(&dir).unwrap();
        let made = rcgen::generate_simple_self_signed([THERE.to_owned()]).unwrap();
        let ca_file = dir.join("cert.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let config = self.path("config.toml");
        std::fs::write(&config, "[sources]\nprivate = true\n").unwrap();
        let (at, root) = (dir.display(), self.dir.path().display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind}; "))
            .concat();
        let text = format!(
            "daemon off; master_process off; user root; pid {at}/pid; error_log {at}/error; events {{}} http {{ {temporary} access_log off;\n\
             server {{ listen {THERE}:8443 ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem; root {root}; }} }}"
        );
        std::fs::write(dir.join("nginx.conf"), text).unwrap();
        let mut command = self.there.command(program);
        command
            .arg("-e")
            .arg(dir.join("error"))
            .arg("-c")
            .arg(dir.join("nginx.conf"));
        let process = command.spawn().ok()?;
        let source = Source {
            process,
            origin: format!("https://{THERE}:8443"),
            ca_file,
            config,
        };
        let started = Instant::now();
        let connects = || {
            self.here
                .enter(|| TcpStream::connect((THERE, 8443)).is_ok())
        };
        while !connects() {
            assert!(started.elapsed() < Duration::from_secs(30), "nginx hangs");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(source)
    }

    /// What the emulator saw.
    pub(crate) fn log(&self, of: &Process) -> Log {
        self.here.enter(|| of.client().log()).unwrap()
    }

    /// The time that a connection takes to open, which is one round trip; the shortest of five.
    pub(crate) fn round_trip(&self, to: &Process) -> Duration {
        let once = || {
            let started = Instant::now();
            TcpStream::connect(to.client().address()).unwrap();
            started.elapsed()
        };
        self.here.enter(|| (0..5).map(|_| once()).min().unwrap())
    }

    /// One run of the command. Without a chunk size that is `auto`, by the rate that is known in this state directory.
    pub(crate) fn upload(
        &self,
        to: &Process,
        file: &Path,
        state: &str,
        chunk_size: Option<u64>,
    ) -> Run {
        self.upload_from(to, file, state, chunk_size, None)
    }

    /// The same of a file, or of a URL of this source.
    pub(crate) fn upload_from(
        &self,
        to: &Process,
        file: &Path,
        state: &str,
        chunk_size: Option<u64>,
        source: Option<&Source>,
    ) -> Run {
        let opened = self.here.tcp("ActiveOpens");
        let mut command = self.here.command(env!("CARGO_BIN_EXE_chunkferry"));
        command.args(["upload", "--json", "--again", "--allow-http"]);
        command.args(["--api-base", to.url(), "--account", "lena", "--state-dir"]);
        command.arg(self.path(state)).arg(file);
        if let Some(chunk_size) = chunk_size {
            command.args(["--chunk-size", &chunk_size.to_string()]);
        }
        command.env("TIKTOK_ACCESS_TOKEN", "act.lena.1");
        if let Some(source) = source {
            command.env("CHUNKFERRY_CA_FILE", &source.ca_file);
            command.env("CHUNKFERRY_CONFIG", &source.config);
        }
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        let (mut from, mut until) = (None, None);
        let (mut planned, mut outcome) = (Value::Null, Value::Null);
        for line in BufReader::new(stdout).lines() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            match line["event"].as_str() {
                Some("planned") => planned = line,
                Some("session") => from = Some(Instant::now()),
                Some("processing") => until = Some(Instant::now()),
                Some("outcome") => outcome = line,
                _ => {}
            }
        }
        process.wait().unwrap();
        assert_eq!(outcome["outcome"], "delivered", "{outcome}");
        Run {
            took: until.unwrap() - from.unwrap(),
            chunk_size: planned["chunk_size"].as_u64().unwrap(),
            sent_again: outcome["bytes_resent"].as_u64().unwrap(),
            connections: self.here.tcp("ActiveOpens") - opened,
        }
    }

    /// The whole file in one unbroken PUT, as curl sends it; the time from the open connection to the answer.
    pub(crate) fn curl(&self, to: &Process, file: &Path) -> Duration {
        let size = file.metadata().unwrap().len();
        let init = format!(
            r#"{{"source_info":{{"source":"FILE_UPLOAD","video_size":{size},"chunk_size":{size},"total_chunk_count":1}}}}"#
        );
        let mut command = self.here.command("curl");
        command.args(["-sS", "-H", "Authorization: Bearer act.curl.1"]);
        command.args([
            "-H",
            "Content-Type: application/json; charset=UTF-8",
            "-d",
            &init,
        ]);
        command.arg(format!("{}/v2/post/publish/inbox/video/init/", to.url()));
        let answer: Value = serde_json::from_str(&said(&mut command)).unwrap();
        let mut command = self.here.command("curl");
        command.args([
            "-sS",
            "-H",
            "Expect:",
            "-H",
            "Content-Type: video/mp4",
            "-H",
        ]);
        command.arg(format!("Content-Range: bytes 0-{}/{size}", size - 1));
        command.args(["-w", "%{http_code} %{time_pretransfer} %{time_total}", "-T"]);
        // Left to itself it would add the name of the file to a path that ends in a slash.
        let target = answer["data"]["upload_url"].as_str().unwrap();
        let target = target.strip_prefix(to.url()).unwrap();
        command
            .arg(file)
            .args(["--request-target", target, to.url()]);
        let figures = said(&mut command);
        let [code, from, until] = *figures.split(' ').collect::<Vec<_>>() else {
            panic!("{figures}");
        };
        assert_eq!(code, "201", "{figures}");
        let [from, until] = [from, until].map(|text| text.parse::<f64>().unwrap());
        Duration::from_secs_f64(until - from)
    }
}

/// What a program says on its standard output.
fn said(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
