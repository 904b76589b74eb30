//! Networks as they are: lines that break, gateways that close, packets that are lost.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chunkferry::emulator::Process;

use crate::line::{Line, Trouble};
use crate::nginx::{Nginx, port};
use crate::scene::{CHUNK, MIB, Scene, Start, full};

#[test]
fn whatever_connections_break_it_is_one_draft() {
    let seeds = if full() { 0..200 } else { 0..6 };
    let mut connections = 0;
    for seed in seeds.clone() {
        let scene = Scene::new(&[], &[]);
        let line = Line::before(scene.emulator.address(), move |number| {
            let mut rng = fastrand::Rng::with_seed(seed << 16 | number as u64);
            match rng.u8(0..10) {
                0..3 => Trouble::Cut(rng.u64(0..2 * CHUNK)),
                3..5 => Trouble::LoseAnswer,
                5..7 => Trouble::CloseAfter(Duration::from_millis(rng.u64(0..50))),
                7 => Trouble::Slow(20_000_000),
                _ => Trouble::None,
            }
        });
        let file = scene.video("clip.mp4", 4 * CHUNK + 7);
        for run in 1.. {
            let mut upload = scene.upload(&file, &[]);
            let ended = upload.env("CHUNKFERRY_API_BASE", line.url()).end();
            match ended.code {
                Some(0) => break,
                Some(75) if run < 20 => {}
                _ => panic!("seed {seed}, run {run}: {}", ended.stderr),
            }
        }
        scene.assert_one_draft_of(&file);
        connections += line.connections();
        let log = scene.log();
        let whole = log
            .sessions
            .iter()
            .filter(|session| session.sha256.is_some());
        assert_eq!(whole.count(), 1, "seed {seed}: {log:#?}");
    }
    assert!(connections > 2 * seeds.count(), "nothing broke");
}

#[test]
fn a_connection_that_the_gateway_closes_just_when_it_is_used_again_costs_no_second_draft() {
    // Each chunk is put off by one second, and a second is what the gateway keeps idle connections.
    let faults = [
        "put nth=1 status=429 retry_after=1",
        "put nth=3 status=429 retry_after=1",
    ];
    let scene = Scene::new(
        &[],
        &[faults[0], faults[1], "put nth=5 status=503 retry_after=1"],
    );
    let server = format!(
        "keepalive_timeout 1s; client_max_body_size 0; location / {{ proxy_pass {}; \
         proxy_http_version 1.1; proxy_request_buffering off; proxy_set_header Host $http_host; }}",
        scene.emulator.url()
    );
    let Some(nginx) = Nginx::serving(&scene.path("nginx"), &server) else {
        return;
    };
    let file = scene.video("clip.mp4", 4 * CHUNK);
    let mut upload = scene.upload(&file, &[]);
    let base = format!("http://127.0.0.1:{}", nginx.port);
    upload.env("CHUNKFERRY_API_BASE", base).end().expect(0);
    scene.assert_one_draft_of(&file);
    assert_eq!((scene.log().inits, scene.log().faults.len()), (1, 3));
}

/// Stopped when it is dropped.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn works(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    let tried = command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let works = tried.is_ok_and(|status| status.success());
    if !works {
        eprintln!("skipped: {program} {args:?} does not work here");
    }
    works
}

/// Real HAProxy that passes everything on; `None` where it is not installed.
fn haproxy(dir: &Path, mode: &str, more: &str, to: &str) -> Option<(Stopped, u16)> {
    if !works("haproxy", &["-v"]) {
        return None;
    }
    for _ in 0..10 {
        let port = port();
        let config = format!(
            "defaults\n mode {mode}\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n {more}\n\
             listen line\n bind 127.0.0.1:{port}\n server emulator {to}\n"
        );
        let file = dir.join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let mut process = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .spawn()
            .unwrap();
        let started = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some((Stopped(process), port));
            }
            assert!(started.elapsed() < Duration::from_secs(60), "haproxy hangs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    panic!("no port stays free");
}

#[test]
fn an_upload_passes_haproxy_whatever_it_does_with_connections() {
    let rows = [
        ("tcp", ""),
        ("http", "option http-server-close"),
        ("http", "timeout http-keep-alive 1s"),
        ("http", "option httpclose"),
        // It gives the service up while that still thinks, and answers 504 itself.
        ("http", "timeout server 1s"),
    ];
    for (mode, more) in rows {
        let slow = more.starts_with("timeout server");
        let faults: &[&str] = if slow {
            &["put chunk=1 nth=1 delay=3s"]
        } else {
            &[]
        };
        let scene = Scene::new(&[], faults);
        let to = scene.emulator.address().to_string();
        let Some((_haproxy, port)) = haproxy(&scene.path(""), mode, more, &to) else {
            return;
        };
        let file = scene.video("clip.mp4", 3 * CHUNK);
        let mut upload = scene.upload(&file, &[]);
        let base = format!("http://127.0.0.1:{port}");
        let ended = upload.env("CHUNKFERRY_API_BASE", base).end().expect(0);
        scene.assert_one_draft_of(&file);
        assert_eq!(scene.log().inits, 1, "{mode} {more}");
        if !slow {
            assert_eq!(ended.outcome()["bytes_resent"], 0, "{mode} {more}");
        }
    }
}

/// A network namespace with the emulator in it, at the other end of a cable; taken down when it is dropped.
struct Namespace {
    name: String,
    address: String,
}

impl Namespace {
    /// `None` where that is not permitted.
    fn new() -> Option<Self> {
        let number = std::process::id() % 60_000;
        let (name, cable) = (format!("ferry{number}"), format!("cf{number}"));
        let net = format!("10.{}.{}", 128 + number / 250 % 120, number % 250);
        if !works("nft", &["--version"]) || !works("ip", &["netns", "add", &name]) {
            return None;
        }
        let namespace = Self {
            name: name.clone(),
            address: format!("{net}.2"),
        };
        let (inner, here, there) = (
            format!("{cable}n"),
            format!("{net}.1/24"),
            format!("{net}.2/24"),
        );
        let rows: [&[&str]; 6] = [
            &[
                "link", "add", &cable, "type", "veth", "peer", "name", &inner, "netns", &name,
            ],
            &["addr", "add", &here, "dev", &cable],
            &["link", "set", &cable, "up"],
            &["-n", &name, "addr", "add", &there, "dev", &inner],
            &["-n", &name, "link", "set", &inner, "up"],
            &["-n", &name, "link", "set", "lo", "up"],
        ];
        rows.iter().all(|row| works("ip", row)).then_some(namespace)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Of a hundred packets that come in, and of a hundred that go out, so many are lost.
    fn lose(&self, percent: u32) {
        let some = match percent {
            100 => String::new(),
            percent => format!("numgen random mod 100 < {percent}"),
        };
        let rules = format!(
            "flush ruleset\ntable inet lossy {{\n\
             chain in {{ type filter hook input priority 0; {some} drop; }}\n\
             chain out {{ type filter hook output priority 0; {some} drop; }}\n}}\n"
        );
        let file = std::env::temp_dir().join(format!("{}.nft", self.name));
        fs::write(&file, rules).unwrap();
        let set = self.command("nft").arg("-f").arg(&file).status().unwrap();
        fs::remove_file(&file).unwrap();
        assert!(set.success(), "nft");
    }

    fn emulator(&self, keep: &Path) -> Process {
        let mut command = self.command(env!("CARGO_BIN_EXE_chunkferry"));
        command
            .args(["emulator", "--listen", &format!("{}:0", self.address)])
            .args(["--set", "processing_time=0s", "--dir"])
            .arg(keep);
        Process::spawn(&mut command).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

#[test]
fn lost_packets_and_a_line_that_is_dead_for_seconds_cost_no_byte_and_no_draft() {
    let scene = Scene::new(&[], &[]);
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let keep = scene.path("kept");
    fs::create_dir(&keep).unwrap();
    let emulator = namespace.emulator(&keep);
    let file = scene.video("clip.mp4", 6 * CHUNK);
    let mut upload = scene.upload(&file, &["--allow-http", "--bwlimit", "10MB"]);
    let mut run = upload.env("CHUNKFERRY_API_BASE", emulator.url()).start();
    run.until_confirmed(CHUNK);
    namespace.lose(3);
    run.until_confirmed(2 * CHUNK);
    namespace.lose(100);
    std::thread::sleep(Duration::from_secs(3));
    namespace.lose(1);
    let outcome = run.end().expect(0).outcome();
    assert_eq!(
        (&outcome["bytes_resent"], &outcome["inits"]),
        (&0.into(), &1.into()),
        "the connection outlives it"
    );
    let kept: Vec<_> = fs::read_dir(&keep)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read(&kept[0]).unwrap(), fs::read(&file).unwrap());
    assert!(fs::metadata(&file).unwrap().len() > MIB);
}
