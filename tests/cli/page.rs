//! The page of `serve` in a real browser, and over the wire: who sees it, who is obeyed, and what it shows.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::scene::{CHUNK, Scene, Start};
use crate::serve::{self, Answer, Service, exchange, wish};
use crate::serve_door::{self, ADMIN, LENA, METRICS, READER, entry, key_file};

/// The link that `chunkferry page` prints.
fn link(scene: &Scene) -> String {
    let ended = scene
        .command(["page"])
        .env_remove("TIKTOK_ACCESS_TOKEN")
        .end()
        .expect(0);
    let link = ended.stdout.trim().to_owned();
    assert!(link.starts_with("http://127.0.0.1:"), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
    link
}

/// A browser without a window: it keeps a cookie, and says where its requests come from.
struct Visitor {
    address: String,
    cookie: String,
}

impl Visitor {
    fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            cookie: String::new(),
        }
    }

    /// A visitor who has followed a link.
    fn by(link: &str) -> Self {
        let (address, path) = link.split_once("://").unwrap().1.split_once('/').unwrap();
        let mut visitor = Self::at(address);
        let answer = visitor.get(&format!("/{path}")).expect(303);
        visitor.keep(&answer);
        visitor
    }

    /// A visitor who has given a key.
    fn with_key(address: &str, key: &str) -> Self {
        let mut visitor = Self::at(address);
        let answer = visitor.post("/login", &[("key", key)]).expect(303);
        visitor.keep(&answer);
        visitor
    }

    fn keep(&mut self, answer: &Answer) {
        let cookie = header(answer, "set-cookie");
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        self.cookie = cookie.split(';').next().unwrap().to_owned();
    }

    fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).unwrap();
        let own = [
            ("host", &*self.address),
            ("accept", "text/html"),
            ("cookie", &*self.cookie),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let all = own.iter().chain(headers);
        let all: String = all
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("\r\n{name}: {value}"))
            .collect();
        exchange(
            &mut stream,
            &format!("{line} HTTP/1.1{all}"),
            body.as_bytes(),
        )
        .expect("an answer")
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[("sec-fetch-site", "none")], "")
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.address);
        let headers = [("origin", &*origin), ("sec-fetch-site", "same-origin")];
        self.send(&format!("POST {path}"), &headers, &form(fields))
    }

    /// What the forms of this visitor bring along.
    fn csrf(&self) -> String {
        let page = self.get("/").expect(200);
        let (_, csrf) = page.text.split_once("name=\"csrf\" value=\"").unwrap();
        csrf.split('"').next().unwrap().to_owned()
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    form.finish()
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let mut lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(of, _)| of.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no {name}: {answer:?}")).1
}

/// A service whose account mia has a token in a file.
fn command(scene: &Scene) -> Command {
    let mut command = serve::command(scene, &[]);
    let config = "[accounts.lena]\ntoken_command = \"echo act.lena.1\"\n\
        [accounts.mia]\ntoken_file = \"mia.token\"\n\
        [accounts.ole]\ntoken_command = \"echo act.ole.1\"\n";
    fs::write(scene.path("config.toml"), config).unwrap();
    command.current_dir(scene.path(""));
    command
}

fn start(scene: &Scene) -> Service {
    Service::of(&mut command(scene), scene.state_dir().join("socket"))
}

fn give_a_token(path: &Path) {
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.create(true).write(true).open(path).unwrap();
    file.write_all(b"act.mia.1\n").unwrap();
}

#[test]
fn a_person_submits_a_job_sees_the_bar_move_and_gives_the_token_that_another_job_waits_for() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::new(&["receive_rate=4MB", "auth=any"], &[]);
    let service = start(&scene);
    let file = scene.video("clip.mp4", 30_000_000);
    browser.open(&link(&scene));
    browser.wait("document.querySelector('h1')?.textContent === 'All quiet'");
    browser.click("a[href='/new']");
    browser.wait("document.getElementById('video')");
    browser.write("#account", "lena");
    browser.write("#video", file.to_str().unwrap());
    browser.write("#label", "night=7");
    browser.click("main button");
    browser.wait("location.pathname.startsWith('/jobs/')");
    browser.click(".brand");
    browser.wait("document.querySelector('#running .got')?.width.baseVal.value > 0");
    let width = "document.querySelector('#running .got').width.baseVal.value";
    let first = browser.value(width).as_f64().unwrap();
    browser.wait(&format!(
        "!document.querySelector('#running .got') || {width} > {first}"
    ));
    browser.wait("document.querySelector('#running .facts')?.textContent.includes('left')");

    // A job without a token waits for a person, and goes on once there is one.
    let other = scene.video("other.mp4", 1_000_000);
    service.post(Some("b"), &wish(&other, "mia")).expect(202);
    browser.wait("document.querySelector('.parked .advice')");
    let card = browser.value("document.querySelector('.parked').innerText");
    let card = card.as_str().unwrap();
    assert!(card.contains("other.mp4") && card.contains("mia"), "{card}");
    assert!(card.contains("token"), "{card}");
    give_a_token(&scene.path("mia.token"));
    browser.click(".parked button.primary");
    browser.wait("!document.querySelector('.parked')");
    browser.wait("document.querySelectorAll('#ended .dot.good').length === 2");
    assert_eq!(scene.log().drafts, 2);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// The pictures of `docs/page.md`, made anew by `cargo test --release --test cli page::pictures -- --ignored`.
#[test]
#[ignore = "writes into docs/img"]
fn pictures() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/img");
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::new(&["receive_rate=6MB", "init_per_minute=100"], &[]);
    let mut started = command(&scene);
    started.args(["--jobs", "3"]);
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let submit = |name: &str, size, account| {
        let file = scene.video(name, size);
        let job = service.post(Some(name), &wish(&file, account));
        job.expect(202).json()["id"].as_str().unwrap().to_owned()
    };
    let ends = ["morning-run.mp4", "tea-house.mov.mp4"].map(|name| submit(name, 2_000_000, "lena"));
    for id in ends {
        service.ended(&json!(id));
    }
    submit("harbour-at-dusk.mp4", 1_000_000, "mia");
    let job = submit("rehearsal-take-3.mp4", 340_000_000, "lena");
    submit("interview-noa.mp4", 120_000_000, "lena");
    submit("market-walk.mp4", 210_000_000, "ole");
    for name in ["kitchen-1.mp4", "kitchen-2.mp4", "night-bus.mp4"] {
        submit(name, 100_000_000, "lena");
    }
    browser.open(&link(&scene));
    browser.wait("document.querySelectorAll('#running .got').length >= 2");
    browser.wait("document.querySelector('#running .got').width.baseVal.value > 120");
    for (width, height, dark, name) in [
        (1180, 860, false, "service-light"),
        (1180, 860, true, "service-dark"),
        (390, 844, false, "service-phone-light"),
        (390, 844, true, "service-phone-dark"),
    ] {
        browser.picture(width, height, dark, &dir.join(format!("{name}.png")));
    }
    let address = browser.value("location.origin");
    browser.open(&format!("{}/jobs/{job}", address.as_str().unwrap()));
    browser.wait("document.querySelector('.card .got')?.width.baseVal.value > 150");
    browser.picture(1180, 720, false, &dir.join("service-job-light.png"));
    browser.picture(1180, 720, true, &dir.join("service-job-dark.png"));
}
