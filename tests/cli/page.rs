//! The page of `serve` in a real browser, and over the wire: who sees it, who is obeyed, and what it shows.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::login;
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
        let is_given = |name: &str| headers.iter().any(|(of, _)| *of == name);
        let own = own.iter().filter(|(name, _)| !is_given(name));
        let all = own.chain(headers);
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
    let scene = Scene::new(&["receive_rate=2MB"], &[]);
    let service = start(&scene);
    let file = scene.video("clip.mp4", 200_000_000);
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
    browser.wait(&format!("{width} > {first}"));
    browser.wait("document.querySelector('#running .facts')?.textContent.includes('left')");
    // What the keyboard is at stays there while the page is renewed.
    browser.run("document.querySelector('#running button').focus()");
    let second = browser.value(width).as_f64().unwrap();
    browser.wait(&format!("{width} > {second}"));
    let focused = "document.activeElement === document.querySelector('#running button')";
    assert_eq!(browser.value(focused), true);
    scene.emulator.set("receive_rate", "off").unwrap();

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
    // A page whose service is gone does not look as if all was well.
    service.running.kill();
    browser.wait("!document.getElementById('live').hidden");
}

#[test]
fn a_creator_who_must_log_in_again_is_named_with_the_command_and_the_job_goes_on_after_it() {
    let faults = [
        "init nth=1 status=401 code=access_token_invalid",
        "token nth=2 status=400 code=invalid_grant",
    ];
    let scene = Scene::new(&[], &faults);
    let log_in = || {
        login::command(&scene, ["login", "lena"])
            .env("BROWSER", login::browser(&scene, "lena", ""))
            .end()
            .expect(0)
    };
    log_in();
    let mut started = login::command(&scene, ["serve", "--json"]);
    started.env_remove("CHUNKFERRY_ACCOUNT");
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let file = scene.video("clip.mp4", 1_000_000);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    let id = job["id"].as_str().unwrap();
    let path = format!("/v1/jobs/{id}?wait=60s");
    assert_eq!(service.get(&path)["state"], "parked");
    let visitor = Visitor::by(&link(&scene));
    let page = visitor.get("/").expect(200).text;
    // With the job, and with the account.
    let command = "<code>chunkferry login lena</code>";
    assert_eq!(page.matches(command).count(), 2, "{page}");
    assert!(page.contains("must log in again"), "{page}");
    log_in();
    let fields = [("csrf", &*visitor.csrf())];
    visitor
        .post(&format!("/jobs/{id}/retry"), &fields)
        .expect(303);
    let ended = service.ended(&job["id"]);
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    let story = visitor.get(&format!("/jobs/{id}")).expect(200).text;
    let publish_id = ended["end"]["publish_id"].as_str().unwrap();
    for text in ["It needs a person", "Ended: in the inbox", publish_id] {
        assert!(story.contains(text), "{text}: {story}");
    }
}

#[test]
fn a_form_that_is_sent_twice_is_one_job_and_one_that_is_refused_keeps_what_was_written() {
    let scene = Scene::new(&[], &[]);
    let service = start(&scene);
    let visitor = Visitor::by(&link(&scene));
    let file = scene.video("clip.mp4", 1_000_000);
    let page = visitor.get("/new").expect(200).text;
    let field = |name: &str| {
        let start = format!("name=\"{name}\" value=\"");
        let (_, value) = page.split_once(&start).unwrap();
        value.split('"').next().unwrap().to_owned()
    };
    let (csrf, id) = (field("csrf"), field("id"));
    let send = |video: &str, label: &str| {
        let fields = [
            ("csrf", &*csrf),
            ("id", &id),
            ("account", "lena"),
            ("video", video),
            ("label", label),
        ];
        visitor.post("/new", &fields)
    };
    for (video, label) in [("clip.mp4", ""), ("/x/<i>.mp4", "night")] {
        let refused = send(video, label).expect(400).text;
        let kept = format!(
            "value=\"{}\"",
            video.replace('<', "&lt;").replace('>', "&gt;")
        );
        assert!(refused.contains(&kept), "{refused}");
        assert!(refused.contains("role=\"alert\""), "{refused}");
    }
    let video = file.to_str().unwrap();
    let jobs: Vec<String> = (0..2)
        .map(|_| {
            let answer = send(video, "night=7").expect(303);
            header(&answer, "location").to_owned()
        })
        .collect();
    assert_eq!(jobs[0], jobs[1]);
    let job = service.get("/v1/jobs")["jobs"].clone();
    assert_eq!(job.as_array().unwrap().len(), 1, "{job}");
    assert_eq!(job[0]["labels"], json!({ "night": "7" }));
    service.ended(&job[0]["id"]);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_cookie_of_a_page_behind_tls_is_never_sent_in_the_clear() {
    let scene = Scene::new(&[], &[]);
    let more = ["--behind-proxy", "--host", "clips.example"];
    let service = serve_door::Service::start(&scene, &more);
    let headers = [
        ("host", "clips.example"),
        ("origin", "https://clips.example"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = form(&[("key", ADMIN)]);
    let answer = service
        .bare("POST /login", &headers, body.as_bytes())
        .expect(303);
    let cookie = header(&answer, "set-cookie");
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let headers = [("host", "clips.example"), ("cookie", cookie)];
    service.bare("GET /", &headers, b"").expect(200);
}

/// Keeps the page as it is, with its videos in a folder of a better name than that of a test.
fn stand_still(browser: &Browser, scene: &Scene) {
    let dir = json!(scene.path("").to_str().unwrap().trim_end_matches('/'));
    browser.run(&format!(
        "window.fetch = () => new Promise(() => {{}}); \
         const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); \
         while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replaceAll({dir}, '/videos');"
    ));
    std::thread::sleep(Duration::from_millis(1_200));
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
    stand_still(&browser, &scene);
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
    stand_still(&browser, &scene);
    browser.picture(1180, 720, false, &dir.join("service-job-light.png"));
    browser.picture(1180, 720, true, &dir.join("service-job-dark.png"));
}

#[test]
fn a_link_begins_one_session_and_neither_the_session_nor_the_link_is_a_key() {
    let scene = Scene::new(&[], &[]);
    let service = start(&scene);
    let first = link(&scene);
    let (address, path) = first.split_once("://").unwrap().1.split_once('/').unwrap();
    let stranger = Visitor::at(address);
    let refused = stranger.get("/").expect(401);
    assert!(refused.text.contains("chunkferry page"), "{refused:?}");
    for path in ["/login", "/login?once=", "/login?once=0123456789abcdef"] {
        stranger.get(path).expect(401);
    }
    // A browser that looks ahead, and a program that only looks at the head, do not spend the link.
    let ahead = [("sec-purpose", "prefetch;prerender")];
    stranger
        .send(&format!("GET /{path}"), &ahead, "")
        .expect(401);
    stranger.send(&format!("HEAD /{path}"), &[], "");
    let visitor = Visitor::by(&first);
    assert!(visitor.cookie.len() > 64, "{}", visitor.cookie);
    let used = stranger.get(&format!("/{path}")).expect(401);
    assert!(used.text.contains("was used"), "{used:?}");
    let page = visitor.get("/").expect(200);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(header(&page, name), value);
    }
    let policy = header(&page, "content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(page.text.contains("http-equiv=\"refresh\""), "{page:?}");
    // Another link is another session; the cookie and the tokens of links are no keys of the API.
    assert_ne!(Visitor::by(&link(&scene)).cookie, visitor.cookie);
    let token = visitor.cookie.split('=').nth(1).unwrap();
    for bearer in ["", token, path.split('=').nth(1).unwrap()] {
        let bearer = format!("Bearer {bearer}");
        let key = [("authorization", &*bearer)];
        for line in [
            "GET /v1/jobs",
            "POST /v1/page-links",
            "GET /metrics",
            "GET /v1/queue",
        ] {
            visitor.send(line, &key, "").expect(401);
        }
    }
    visitor.get("/healthz").expect(200);
    visitor
        .send("GET /", &[("host", "evil.example")], "")
        .expect(421);
    // Who signs out is out.
    let csrf = visitor.csrf();
    visitor.post("/logout", &[("csrf", &csrf)]).expect(303);
    visitor.get("/").expect(401);
    // Over the socket, the page needs no session.
    let page = service.call("GET /").expect(200);
    assert!(page.text.contains("All quiet"), "{page:?}");
}

#[test]
fn a_form_that_was_not_made_for_the_session_changes_nothing() {
    let scene = Scene::new(&["receive_rate=1MB"], &[]);
    let service = start(&scene);
    let file = scene.video("clip.mp4", 60_000_000);
    let job = service.post(Some("a"), &wish(&file, "lena")).expect(202);
    let id = job.json()["id"].as_str().unwrap().to_owned();
    let (visitor, other) = (Visitor::by(&link(&scene)), Visitor::by(&link(&scene)));
    let (csrf, foreign) = (visitor.csrf(), other.csrf());
    let own = form(&[("csrf", &csrf)]);
    let origin = format!("http://{}", visitor.address);
    let pages = [
        format!("/jobs/{id}/pause"),
        format!("/jobs/{id}/cancel"),
        "/queue/pause".to_owned(),
        "/new".to_owned(),
        "/logout".to_owned(),
    ];
    for path in &pages {
        for fields in [&[][..], &[("csrf", "")], &[("csrf", &*foreign)]] {
            visitor.post(path, fields).expect(403);
        }
        let line = format!("POST {path}");
        for headers in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", &*origin)],
        ] {
            visitor.send(&line, headers, &own).expect(403);
        }
        // Without a cookie, the right form is of nobody.
        Visitor::at(&visitor.address)
            .post(path, &[("csrf", &csrf)])
            .expect(401);
    }
    visitor
        .send("GET /", &[("sec-fetch-site", "cross-site")], "")
        .expect(403);
    assert_eq!(service.get(&format!("/v1/jobs/{id}"))["state"], "running");
    assert_eq!(service.get("/v1/queue")["paused"], false);

    let state = |state: &str| service.get(&format!("/v1/jobs/{id}"))["state"] == state;
    visitor.post(&pages[2], &[("csrf", &csrf)]).expect(303);
    assert_eq!(service.get("/v1/queue")["paused"], true);
    visitor
        .post("/queue/resume", &[("csrf", &csrf)])
        .expect(303);
    visitor.post(&pages[0], &[("csrf", &csrf)]).expect(303);
    assert!(state("paused"));
    visitor.post(&pages[1], &[("csrf", &csrf)]).expect(303);
    assert!(state("ended"));
    assert_eq!(scene.log().drafts, 0);
}

#[test]
fn a_key_opens_the_page_as_far_as_its_role_and_accounts_go_and_for_as_long_as_it_is_one() {
    let scene = Scene::new(&["receive_rate=1MB"], &[]);
    let service = serve_door::Service::start(&scene, &[]);
    let address = service.address.to_string();
    let host = ("host", &*address);
    let mut jobs = Vec::new();
    for account in ["lena", "mia"] {
        let file = scene.video(&format!("{account}-clip.mp4"), 60_000_000);
        let job = service.submit(ADMIN, &wish(&file, account)).expect(202);
        jobs.push(job.json()["id"].as_str().unwrap().to_owned());
    }
    let (of_lena, of_mia) = (&jobs[0], &jobs[1]);
    let stranger = Visitor::at(&address);
    let sign_in = stranger.get("/").expect(401);
    assert!(sign_in.text.contains("action=\"/login\""), "{sign_in:?}");
    for key in ["", "a-key-of-nobody-0123456789", METRICS] {
        let answer = stranger.post("/login", &[("key", key)]);
        assert_ne!(answer.status, 303, "{key}");
        assert!(
            !answer.head.to_lowercase().contains("set-cookie"),
            "{answer:?}"
        );
        assert!(
            answer.head.to_lowercase().contains("connection: close"),
            "{answer:?}"
        );
    }
    let body = form(&[("key", ADMIN)]);
    let foreign = [("origin", "http://evil.example")];
    stranger.send("POST /login", &foreign, &body).expect(403);
    // A link leads to the listener for browsers of this machine, and works nowhere else.
    let link = link(&scene);
    let (_, path) = link.split_once("://").unwrap().1.split_once('/').unwrap();
    stranger.get(&format!("/{path}")).expect(401);
    let bearer = format!("Bearer {ADMIN}");
    let headers = [host, ("authorization", &*bearer)];
    service
        .bare("POST /v1/page-links", &headers, b"")
        .expect(403);
    service.bare("GET /", &headers, b"").expect(401);

    let (reader, lena, admin) = (
        Visitor::with_key(&address, READER),
        Visitor::with_key(&address, LENA),
        Visitor::with_key(&address, ADMIN),
    );
    let page = reader.get("/").expect(200);
    assert!(page.text.contains("lena-clip.mp4") && page.text.contains("mia-clip.mp4"));
    assert!(
        !page.text.contains("Pause") && !page.text.contains("/new"),
        "{page:?}"
    );
    reader.get("/new").expect(403);
    let csrf = reader.csrf();
    for path in [&format!("/jobs/{of_lena}/pause"), "/queue/pause", "/new"] {
        reader.post(path, &[("csrf", &csrf)]).expect(403);
    }
    let page = lena.get("/").expect(200);
    assert!(
        page.text.contains("lena-clip.mp4") && !page.text.contains("mia"),
        "{page:?}"
    );
    assert!(!page.text.contains("/queue/pause"), "{page:?}");
    let csrf = lena.csrf();
    for path in ["", "/live"] {
        lena.get(&format!("/jobs/{of_lena}{path}")).expect(200);
        lena.get(&format!("/jobs/{of_mia}{path}")).expect(404);
    }
    lena.post(&format!("/jobs/{of_mia}/cancel"), &[("csrf", &csrf)])
        .expect(404);
    lena.post("/queue/pause", &[("csrf", &csrf)]).expect(403);
    lena.post(&format!("/jobs/{of_lena}/cancel"), &[("csrf", &csrf)])
        .expect(303);
    // What the form submits is under [sources] and the accounts of the key.
    let submit = |account: &str, video: &str| {
        lena.post(
            "/new",
            &[("csrf", &csrf), ("account", account), ("video", video)],
        )
    };
    submit("lena", "/etc/passwd").expect(403);
    submit("mia", scene.path("mia-clip.mp4").to_str().unwrap()).expect(403);
    let video = scene.path("lena-clip.mp4");
    let answer = submit("lena", video.to_str().unwrap()).expect(303);
    assert!(
        header(&answer, "location").starts_with("/jobs/"),
        "{answer:?}"
    );
    admin
        .post("/queue/pause", &[("csrf", &admin.csrf())])
        .expect(303);

    // A cookie is no key of the API, and ends with its key.
    admin.send("GET /v1/jobs", &[], "").expect(401);
    key_file(&scene, &entry("admin", "admin", "", ADMIN));
    for visitor in [&reader, &lena] {
        let started = std::time::Instant::now();
        while visitor.get("/").status != 401 {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "the session goes on"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    admin.get("/").expect(200);
    let all = serve_door::all_keys();
    key_file(&scene, &all);
    let told = "The API keys of";
    let started = std::time::Instant::now();
    while service.running.told().matches(told).count() < 2 {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the keys were not read"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    reader.get("/").expect(401);
}

#[test]
fn text_from_outside_stays_text_and_the_query_of_a_url_is_on_no_page() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::new(&["receive_rate=1MB"], &[]);
    let mut started = command(&scene);
    let account = "le\"'<b>na";
    let config = fs::read_to_string(scene.path("config.toml")).unwrap();
    let more = "[accounts.\"le\\\"'<b>na\"]\ntoken_command = \"echo act.evil.1\"\n";
    fs::write(scene.path("config.toml"), format!("{config}{more}")).unwrap();
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let dir = scene.path("<img src=x onerror=alert(1)>");
    fs::create_dir(&dir).unwrap();
    let name = "<script>alert(1)<";
    let file = scene.video_in(&dir, &format!("{name}\u{202e}.mp4"), 60_000_000);
    let evil = "\"><script>alert(1)</script>'";
    let job = json!({
        "account": account, "file": file, "chunk_size": CHUNK, "id": evil,
        "labels": { evil: "</dd><script>alert(1)</script>" },
    });
    let job = service.post(None, job.to_string().as_bytes()).expect(202);
    let id = job.json()["id"].as_str().unwrap().to_owned();
    let url = "https://nowhere.invalid/a.mp4?signature=s3cr3t";
    let pull = json!({ "account": "lena", "url": url }).to_string();
    let pull = service.post(None, pull.as_bytes()).expect(202).json();
    browser.open(&link(&scene));
    browser.wait("document.querySelector('#running .name')");
    let here = browser
        .value("location.origin")
        .as_str()
        .unwrap()
        .to_owned();
    let pages = [
        "/".to_owned(),
        format!("/jobs/{id}"),
        format!("/jobs/{}", pull["id"].as_str().unwrap()),
        "/new".to_owned(),
    ];
    for path in pages {
        browser.open(&format!("{here}{path}"));
        browser.wait("document.querySelector('main').children.length");
        let foreign = "document.querySelectorAll('main script, main img, main b:not(:only-of-type), main [onerror]').length";
        assert_eq!(browser.value(foreign), 0, "{path}");
        let text = browser.value("document.documentElement.outerHTML");
        assert!(!text.as_str().unwrap().contains("s3cr3t"), "{path}");
    }
    browser.open(&format!("{here}/jobs/{id}"));
    let heading = browser.value("document.querySelector('h1').textContent");
    assert_eq!(heading, format!("{name}\\u{{202e}}.mp4"));
    let facts = browser.value("[...document.querySelectorAll('dd')].map((dd) => dd.textContent)");
    let facts: Vec<&str> = facts
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for text in [account, evil, "</dd><script>alert(1)</script>"] {
        assert!(facts.contains(&text), "{text}: {facts:?}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn without_a_script_the_buttons_work_and_the_page_renews_itself() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::new(&["receive_rate=1MB"], &[]);
    let service = start(&scene);
    let file = scene.video("clip.mp4", 60_000_000);
    let job = service.post(Some("a"), &wish(&file, "lena")).expect(202);
    let id = job.json()["id"].as_str().unwrap().to_owned();
    browser.open(&link(&scene));
    browser.devtools(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": true}),
    );
    let here = browser.arrive("http://127.0.0.1:");
    browser.open(&format!("{here}jobs/{id}"));
    browser.click("form[action$='/pause'] button");
    // The page that a button leads to has the URL of the one that it is on, so the service says when it was pressed.
    let comes_to = |paused: bool| {
        let started = std::time::Instant::now();
        while (service.get(&format!("/v1/jobs/{id}"))["state"] == "paused") != paused {
            assert!(started.elapsed() < Duration::from_secs(60), "{paused}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    comes_to(true);
    browser.arrive(&format!("{here}jobs/{id}"));
    browser.click("form[action$='/retry'] button");
    comes_to(false);
    browser.arrive(&format!("{here}jobs/{id}"));
}

#[test]
fn a_page_without_a_service_says_what_to_start() {
    let scene = Scene::new(&[], &[]);
    let ended = scene.command(["page"]).end().expect(75);
    assert!(ended.stderr.contains("chunkferry serve"), "{ended:?}");
    assert_eq!(ended.stdout, "");
    start(&scene).running.kill();
    let ended = scene.command(["page"]).end().expect(75);
    assert!(ended.stderr.contains("does not answer"), "{ended:?}");
}
