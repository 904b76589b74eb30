//! Real nginx: as a gateway that ends TLS in front of the emulator, and as the host of a video.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chunkferry::emulator::Emulator;

use crate::scene::{CHUNK, Scene, Start, settings};

/// Debian keeps it where only root's PATH leads.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

fn nginx() -> Option<&'static str> {
    let works = |program: &&str| {
        let mut version = Command::new(program);
        let tried = version.arg("-v").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let found = PROGRAMS.into_iter().find(works);
    if found.is_none() {
        eprintln!("skipped: nginx is not installed");
    }
    found
}

/// Real nginx with this in its `server` block; stopped when it is dropped.
pub(crate) struct Nginx {
    process: Child,
    pub(crate) port: u16,
    dir: PathBuf,
}

impl Nginx {
    /// Listens on a port of its own; `None` where nginx is not installed.
    pub(crate) fn serving(dir: &Path, server: &str) -> Option<Self> {
        let program = nginx()?;
        let started = (0..10).find_map(|_| {
            let port = port();
            Self::start(
                program,
                dir,
                port,
                &format!("listen 127.0.0.1:{port}; {server}"),
            )
        });
        Some(started.expect("a port stays free"))
    }

    /// `None` if somebody else took the port meanwhile.
    fn start(program: &str, dir: &Path, port: u16, server: &str) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let at = dir.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        // One process, so that its worker may write where this test may.
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error;\nevents {{}}\nhttp {{\n\
             {temporary}log_format brief '$request_method $status $request_length';\naccess_log {at}/access brief;\n\
             types {{ video/mp4 mp4; text/html html; }} default_type application/octet-stream;\n\
             server {{ {server} }} }}\n"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut process = Command::new(program)
            .arg("-e")
            .arg(dir.join("error"))
            .arg("-c")
            .arg(file)
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if process.try_wait().unwrap().is_some() {
                let said = fs::read_to_string(dir.join("error")).unwrap_or_default();
                assert!(said.contains("Address already in use"), "{said}");
                return None;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "nginx hangs");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self {
            process,
            port,
            dir: dir.to_owned(),
        })
    }

    /// Listens on a port of its own with TLS, as localhost; with the file of its certificate.
    pub(crate) fn with_tls(dir: &Path, server: &str) -> Option<(Self, PathBuf)> {
        let program = nginx()?;
        let (ca_file, tls) = certificate(dir);
        let started = (0..10).find_map(|_| {
            let port = port();
            let server =
                format!("listen 127.0.0.1:{port} ssl; server_name localhost; {tls} {server}");
            Self::start(program, dir, port, &server)
        });
        Some((started.expect("a port stays free"), ca_file))
    }

    /// Kills it, and runs it anew on the same port after this pause.
    pub(crate) fn restart(&mut self, pause: Duration) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::thread::sleep(pause);
        let program = nginx().unwrap();
        self.process = Command::new(program)
            .arg("-e")
            .arg(self.dir.join("error"))
            .arg("-c")
            .arg(self.dir.join("nginx.conf"))
            .spawn()
            .unwrap();
    }

    /// The status of every request of this method that it answered.
    pub(crate) fn answered(&self, method: &str) -> Vec<u16> {
        let log = fs::read_to_string(self.dir.join("access")).unwrap();
        let lines = log
            .lines()
            .filter_map(|line| line.strip_prefix(method)?.strip_prefix(' '));
        lines
            .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
            .collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate of localhost in this directory, and what nginx is told of it.
fn certificate(dir: &Path) -> (PathBuf, String) {
    fs::create_dir_all(dir).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca_file = dir.join("cert.pem");
    fs::write(&ca_file, made.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let at = dir.display();
    let tls = format!("ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem;");
    (ca_file, tls)
}

/// nginx that ends TLS in front of an emulator.
struct Gateway {
    nginx: Nginx,
    ca_file: PathBuf,
}

impl Gateway {
    /// Ends TLS on this port and passes everything on; `None` if somebody else took the port meanwhile.
    fn start(program: &str, dir: &Path, port: u16, to: &str, location: &str) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let (ca_file, tls) = certificate(dir);
        let server = format!(
            "listen 127.0.0.1:{port} ssl; server_name localhost; {tls}\n\
             client_max_body_size 0; location / {{ proxy_pass {to}; {location} }}"
        );
        let nginx = Nginx::start(program, dir, port, &server)?;
        Some(Self { nginx, ca_file })
    }

    /// The status of every PUT that it passed on.
    fn puts(&self) -> Vec<u16> {
        self.nginx.answered("PUT")
    }
}

/// A port that was free just now.
pub(crate) fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The emulator behind a gateway that is configured so; with `told`, the emulator is given its own outside address.
fn behind(program: &str, location: &str, told: bool, fault: Option<&str>) -> (Scene, Gateway, u16) {
    for _ in 0..10 {
        let port = port();
        let mut builder = Emulator::builder().settings(settings(&[]));
        if told {
            builder = builder.upload_origin(format!("https://localhost:{port}"));
        }
        if let Some(fault) = fault {
            builder = builder.fault(fault.parse().unwrap());
        }
        let scene = Scene::of(builder);
        let (dir, to) = (scene.path("nginx"), scene.emulator.url());
        if let Some(gateway) = Gateway::start(program, &dir, port, &to, location) {
            return (scene, gateway, port);
        }
    }
    panic!("no port stays free");
}

const FORWARDED: &str = "proxy_http_version 1.1; proxy_request_buffering off; \
    proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;";

#[test]
fn an_upload_passes_a_gateway_that_ends_tls() {
    let Some(program) = nginx() else { return };
    // As it comes, nginx speaks HTTP/1.0 to the other side, under a name of its own, and keeps each body back until it
    // has all of it; then only an origin that is set by hand leads through it.
    for (location, told) in [(FORWARDED, false), ("", true)] {
        let (scene, gateway, port) = behind(program, location, told, None);
        let file = scene.video("clip.mp4", 5 * CHUNK + 1);
        let ended = scene
            .upload(&file, &[])
            .env("CHUNKFERRY_API_BASE", format!("https://localhost:{port}"))
            .env("CHUNKFERRY_CA_FILE", &gateway.ca_file)
            .end()
            .expect(0);
        assert_eq!(ended.outcome()["bytes_resent"], 0);
        scene.assert_one_draft_of(&file);
        assert_eq!(gateway.puts(), [206, 206, 206, 206, 201], "{location}");
        assert_eq!(scene.log().inits, 1);
    }
}

#[test]
fn a_gateway_that_answers_for_a_broken_service_costs_one_chunk_and_no_draft() {
    let Some(program) = nginx() else { return };
    for (location, told) in [(FORWARDED, false), ("", true)] {
        let fault = Some("put chunk=2 nth=1 cut=1MB");
        let (scene, gateway, port) = behind(program, location, told, fault);
        let file = scene.video("clip.mp4", 5 * CHUNK);
        let mut upload = scene.upload(&file, &[]);
        upload
            .env("CHUNKFERRY_API_BASE", format!("https://localhost:{port}"))
            .env("CHUNKFERRY_CA_FILE", &gateway.ca_file)
            .end()
            .expect(0);
        scene.assert_one_draft_of(&file);
        let log = scene.log();
        assert_eq!((log.inits, log.faults.len()), (1, 1), "{log:#?}");
        assert_eq!(log.requests.put, 6);
        assert!(
            gateway.puts().contains(&502),
            "the client never saw the gateway's own answer: {:?}",
            gateway.puts()
        );
    }
}
