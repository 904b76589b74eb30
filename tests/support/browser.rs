//! A real browser, headless, driven by the WebDriver protocol over a plain socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Quiet, alone, and with nothing left over from another run.
const ARGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--autoplay-policy=no-user-gesture-required",
];

pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one; `None`, and a word about it, where none is installed.
    pub(crate) fn start() -> Option<Self> {
        // It takes the same port of IPv4 and IPv6, and ends where somebody else has one of them.
        let mut started = None;
        for _ in 0..10 {
            let driver = Command::new("chromedriver")
                .arg("--port=0")
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut driver) = driver else {
                eprintln!("NOT TESTED: chromedriver is not installed");
                return None;
            };
            let said = BufReader::new(driver.stdout.take().unwrap()).lines();
            let port = said.map_while(Result::ok).find_map(|line| {
                let port = line.split("successfully on port ").nth(1)?;
                Some(port.trim_end_matches('.').to_owned())
            });
            if let Some(port) = port {
                started = Some((driver, port));
                break;
            }
            driver.wait().unwrap();
        }
        let (driver, port) = started.expect("chromedriver finds no port");
        let profile = tempfile::tempdir().unwrap();
        let mut args = ARGS.map(str::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({"args": args});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options,
            // What a page logs, refusals of its policy included.
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser = Self {
            driver,
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _profile: profile,
        };
        let started = browser.ask("POST", "/session", &wanted);
        browser.session = started["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let body = match method {
            "POST" => body.to_string(),
            _ => String::new(),
        };
        let (host, length) = (&self.address, body.len());
        let head = "content-type: application/json\r\n";
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n{head}\r\n{body}"
        )
        .unwrap();
        // The driver does not close the connection, whatever it is asked.
        let mut stream = BufReader::new(stream);
        let (mut status, mut length) = (String::new(), 0);
        stream.read_line(&mut status).unwrap();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            match line.to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.starts_with("HTTP/1.1 200"), "{path}: {value}");
        value["value"].clone()
    }

    fn tell(&self, command: &str, body: Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        self.ask("POST", &path, &body)
    }

    pub(crate) fn open(&self, url: &str) {
        self.tell("url", json!({ "url": url }));
    }

    /// Waits until the browser has gone to an address that starts like this; a click may return before.
    pub(crate) fn arrive(&self, start: &str) -> String {
        let path = format!("/session/{}/url", self.session);
        let begun = Instant::now();
        loop {
            let url = self.ask("GET", &path, &Value::Null);
            let url = url.as_str().unwrap();
            if url.starts_with(start) {
                return url.to_owned();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "still at {url}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression})");
        self.tell("execute/sync", json!({"script": script, "args": []}))
    }

    pub(crate) fn run(&self, script: &str) {
        self.tell("execute/sync", json!({"script": script, "args": []}));
    }

    /// Waits until an expression is true in the page.
    pub(crate) fn wait(&self, expression: &str) {
        let start = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "never true: {expression}\n{}",
                self.value("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks as a person does: it must be there, visible, and not covered.
    pub(crate) fn click(&self, selector: &str) {
        let id = self.find(selector);
        self.tell(&format!("element/{id}/click"), json!({}));
    }

    pub(crate) fn write(&self, selector: &str, text: &str) {
        let id = self.find(selector);
        self.tell(&format!("element/{id}/value"), json!({ "text": text }));
    }

    fn find(&self, selector: &str) -> String {
        let found = self.tell(
            "element",
            json!({"using": "css selector", "value": selector}),
        );
        let id = found.as_object().unwrap().values().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    /// A command of the browser's own protocol.
    pub(crate) fn devtools(&self, command: &str, params: Value) -> Value {
        self.tell(
            "goog/cdp/execute",
            json!({"cmd": command, "params": params}),
        )
    }

    /// Takes a picture of the page as a screen of this size shows it.
    pub(crate) fn picture(&self, width: u64, height: u64, dark: bool, file: &Path) {
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media);
        self.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true}));
        let screen =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", screen);
        std::thread::sleep(Duration::from_millis(300));
        let taken = self.devtools("Page.captureScreenshot", json!({"format": "png"}));
        std::fs::write(file, from_base64(&taken["data"])).unwrap();
    }

    /// What the page complained about so far: errors of scripts, things its policy refused.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.tell("se/log", json!({"type": "browser"}));
        let severe = log
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            let path = format!("/session/{}", self.session);
            self.ask("DELETE", &path, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn from_base64(text: &Value) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.as_str().unwrap().bytes().filter(|byte| *byte != b'=');
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in digits {
        let digit = ALPHABET.iter().position(|known| *known == digit).unwrap();
        bits = bits << 6 | digit as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
