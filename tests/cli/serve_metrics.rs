//! What an operator sees of `serve`: metrics that fit what the emulator has received, and logs that programs can read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::login;
use crate::scene::{CHUNK, Scene, Start};
use crate::secrets::Watched;
use crate::serve::{Service, command, wish};

/// Metrics as a strict reader of the format takes them.
#[derive(Debug, Default)]
struct Metrics {
    types: BTreeMap<String, String>,
    /// By name, and then by labels.
    samples: BTreeMap<String, BTreeMap<BTreeMap<String, String>, f64>>,
}

impl Metrics {
    fn read(text: &str) -> Self {
        let (mut read, mut helps, mut family) = (Self::default(), BTreeSet::new(), String::new());
        assert!(text.ends_with('\n'), "the last line is cut: {text}");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect(line);
                assert!(!help.is_empty() && helps.insert(name.to_owned()), "{line}");
                family = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect(line);
                let kinds = ["counter", "gauge", "histogram", "summary"];
                assert!(name == family && kinds.contains(&kind), "{line}");
                let before = read.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{line}");
                assert!(!name.ends_with("_total") || kind == "counter", "{line}");
            } else {
                read.sample(line, &family);
            }
        }
        read.check_histograms();
        read
    }

    fn sample(&mut self, line: &str, family: &str) {
        let end = line.find(['{', ' ']).expect(line);
        let (name, mut rest) = line.split_at(end);
        let fits = |c: char| c == '_' || c.is_ascii_lowercase();
        assert!(name.chars().all(fits), "{line}");
        let suffix = name.strip_prefix(family).expect(line);
        let suffixes: &[&str] = match self.types[family].as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let mut labels = BTreeMap::new();
        if let Some(mut inner) = rest.strip_prefix('{') {
            loop {
                let (label, value) = inner.split_once("=\"").expect(line);
                assert!(label.chars().all(fits), "{line}");
                let (value, after) = unquoted(value);
                assert_eq!(labels.insert(label.to_owned(), value), None, "{line}");
                inner = match after.strip_prefix(',') {
                    Some(next) => next,
                    None => {
                        rest = after.strip_prefix('}').expect(line);
                        break;
                    }
                };
            }
        }
        let value: f64 = rest.strip_prefix(' ').expect(line).parse().expect(line);
        assert!(value.is_finite() && value >= 0.0, "{line}");
        let series = self.samples.entry(name.to_owned()).or_default();
        assert_eq!(series.insert(labels, value), None, "twice: {line}");
    }

    fn check_histograms(&self) {
        for (name, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
            for (labels, count) in &self.samples[&format!("{name}_bucket")] {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect(name);
                let bound = bound.parse().expect(name);
                series.entry(labels).or_default().push((bound, *count));
            }
            assert!(!series.is_empty());
            for (labels, mut buckets) in series {
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(
                    buckets.is_sorted_by(|one, other| one.1 <= other.1),
                    "{labels:?}"
                );
                let (bound, most) = *buckets.last().expect(name);
                assert_eq!(bound, f64::INFINITY, "{labels:?}");
                assert_eq!(self.samples[&format!("{name}_count")][&labels], most);
                assert!(self.samples[&format!("{name}_sum")].contains_key(&labels));
            }
        }
    }

    /// The sum of the samples of a name with these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |of: &BTreeMap<String, String>| {
            let mut labels = labels.iter();
            labels.all(|(label, value)| of.get(*label).is_some_and(|found| found == value))
        };
        let all = self.samples.get(name).into_iter().flatten();
        all.filter(|(of, _)| fits(of)).map(|(_, value)| value).sum()
    }
}

/// A quoted text up to its end, and what follows.
fn unquoted(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().expect("an escape").1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                c => panic!("\\{c} is no escape"),
            }),
            c => value.push(c),
        }
    }
    panic!("no end: {text}");
}

fn scrape(service: &Service) -> Metrics {
    let answer = service.call("GET /metrics").expect(200);
    let kind = "content-type: text/plain; version=0.0.4";
    assert!(answer.head.contains(kind), "{}", answer.head);
    Metrics::read(&answer.text)
}

#[test]
fn the_metrics_are_what_the_emulator_has_received_and_the_jobs_have_ended_in() {
    let faults = [
        "status nth=1 status=502 body=<html>",
        "init creator=mia code=scope_not_authorized status=403",
    ];
    let scene = Scene::new(&[], &faults);
    let service = Service::start(&scene, &[]);
    let before = scrape(&service);
    assert_eq!(before.sum("chunkferry_requests_total", &[]), 0.0);
    let submit = |file: &Path, account: &str| {
        let job = service.post(None, &wish(file, account)).expect(202).json();
        job["id"].clone()
    };
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let ends = [
        (file.as_path(), "lena", "delivered"),
        (file.as_path(), "lena", "already_delivered"),
        (&scene.path("missing.mp4"), "lena", "source"),
        (&scene.video("other.mp4", CHUNK), "noa", "delivered"),
    ];
    for (file, account, outcome) in ends {
        let ended = service.ended(&submit(file, account));
        assert_eq!(ended["end"]["outcome"], outcome, "{ended}");
    }
    let parked = submit(&file, "mia");
    let parked = service.get(&format!("/v1/jobs/{}?wait=60s", parked.as_str().unwrap()));
    assert_eq!(parked["state"], "parked", "{parked}");

    let (log, seen) = (scene.log(), scrape(&service));
    let sum = |name: &str, labels: &[(&str, &str)]| seen.sum(&format!("chunkferry_{name}"), labels);
    for (call, received) in [
        ("init", log.requests.init),
        ("put", log.requests.put),
        ("status", log.requests.status),
    ] {
        assert_eq!(
            sum("requests_total", &[("call", call)]),
            received as f64,
            "{call}"
        );
        let timed = sum("request_seconds_count", &[("call", call)]);
        assert_eq!(timed, received as f64, "{call}");
    }
    assert_eq!(sum("inits_total", &[]), log.requests.init as f64);
    let refused = [("call", "init"), ("code", "scope_not_authorized")];
    assert_eq!(sum("requests_total", &refused), 1.0);
    assert_eq!(
        sum("requests_total", &[("call", "status"), ("code", "502")]),
        1.0
    );
    assert_eq!(sum("retries_total", &[("cause", "fault")]), 1.0);
    assert_eq!(sum("retries_total", &[]), 1.0);
    let puts = log.sessions.iter().flat_map(|session| &session.puts);
    let bytes = puts.map(|put| put.bytes).sum::<u64>() as f64;
    assert_eq!(bytes, 4.0 * CHUNK as f64);
    assert_eq!(sum("sent_bytes_total", &[]), bytes);
    assert_eq!(sum("confirmed_bytes_total", &[]), bytes);
    for (outcome, count) in [
        ("delivered", 2.0),
        ("already_delivered", 1.0),
        ("source", 1.0),
        ("needs_person", 1.0),
        ("temporary", 0.0),
    ] {
        assert_eq!(
            sum("uploads_total", &[("outcome", outcome)]),
            count,
            "{outcome}"
        );
    }
    assert_eq!(sum("uploads", &[]), 0.0, "none is under way");
    assert_eq!(sum("jobs", &[("state", "parked")]), 1.0);
    assert_eq!(
        sum("jobs", &[]),
        1.0,
        "those that have ended are not counted"
    );
    assert_eq!(sum("jobs_parked", &[("cause", "needs_person")]), 1.0);
    assert_eq!(sum("store_seconds_count", &[("op", "accept")]), 5.0);
    assert!(sum("store_seconds_count", &[("op", "save")]) >= 4.0);
    // Each job has ended, or was parked.
    assert_eq!(sum("store_seconds_count", &[("op", "change")]), 5.0);
    assert_eq!(
        sum("build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
        1.0
    );
    let page = service.call("GET /metrics").expect(200).text;
    for word in [
        "lena",
        "mia",
        "clip",
        "other.mp4",
        scene.state_dir().to_str().unwrap(),
    ] {
        assert!(!page.contains(word), "{word}: {page}");
    }
}

#[test]
fn an_upload_is_seen_while_it_is_under_way_and_its_url_while_there_is_one() {
    let set = ["receive_rate=4MB", "processing_time=2s"];
    let scene = Scene::new(&set, &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    scene.sees("a chunk", |log| {
        log.sessions.iter().any(|of| of.received >= CHUNK)
    });
    let seen = scrape(&service);
    let uploads = |seen: &Metrics, state| seen.sum("chunkferry_uploads", &[("state", state)]);
    assert_eq!(
        (uploads(&seen, "running"), uploads(&seen, "queued")),
        (1.0, 0.0)
    );
    assert_eq!(seen.sum("chunkferry_jobs", &[("state", "running")]), 1.0);
    let left = seen.sum("chunkferry_url_seconds_left", &[]);
    assert!((3_000.0..=3_600.0).contains(&left), "{left}");
    scene.sees("all", |log| {
        log.sessions.iter().any(|of| of.received == 3 * CHUNK)
    });
    while uploads(&scrape(&service), "processing") != 1.0 {
        assert_ne!(service.get("/v1/jobs")["jobs"][0]["state"], "ended");
    }
    service.ended(&job["id"]);
    let seen = scrape(&service);
    assert_eq!(seen.samples.get("chunkferry_url_seconds_left"), None);
    assert_eq!(seen.sum("chunkferry_uploads", &[]), 0.0);
}

#[test]
fn a_name_that_could_break_the_format_stays_text_and_is_there_only_if_asked_for() {
    let scene = Scene::new(&[], &["init status=403 code=scope_not_authorized"]);
    let names = [r#"a"} 1"#, r"b\", r"c\n", "\u{e9}\u{1f600} = {x=\"1\"}"];
    let file = scene.video("clip.mp4", CHUNK);
    for with in [true, false] {
        let more: &[&str] = if with { &["--metrics-accounts"] } else { &[] };
        let mut started = command(&scene, more);
        let tables = names.map(|name| {
            let name = Value::from(name);
            format!("[accounts.{name}]\ntoken_command = \"echo act.lena.1\"\n")
        });
        fs::write(scene.path("config.toml"), tables.concat()).unwrap();
        let service = Service::of(&mut started, scene.state_dir().join("socket"));
        for name in names {
            let job = service.post(Some("a"), &wish(&file, name));
            assert!([200, 202].contains(&job.status), "{job:?}");
            let id = job.json()["id"].as_str().unwrap().to_owned();
            let job = service.get(&format!("/v1/jobs/{id}?wait=60s"));
            assert_eq!(job["state"], "parked", "{job}");
        }
        let seen = scrape(&service);
        let parked = seen.sum("chunkferry_jobs_parked", &[("cause", "needs_person")]);
        assert_eq!(parked, 4.0);
        for name in names {
            let labels = [("account", name), ("state", "parked")];
            let count = if with { 1.0 } else { 0.0 };
            assert_eq!(seen.sum("chunkferry_jobs", &labels), count, "{name}");
        }
        service.running.signal("-TERM");
        service.running.end().expect(0);
    }
}

#[test]
fn paused_and_waiting_jobs_are_counted_after_a_restart_too() {
    let scene = Scene::new(&["init_per_minute=1"], &["init nth=1 status=503"]);
    let mut service = Service::start(&scene, &[]);
    let mut ids = Vec::new();
    for at in 0..3 {
        let file = scene.video(&format!("{at}.mp4"), CHUNK + at);
        let job = service.post(None, &wish(&file, "lena")).expect(202);
        ids.push(job.json()["id"].as_str().unwrap().to_owned());
        if at < 2 {
            let id = &ids[at as usize];
            service
                .call(&format!("POST /v1/jobs/{id}/pause"))
                .expect(200);
        }
    }
    for restarted in [false, true] {
        let seen = scrape(&service);
        let sum = |state| seen.sum("chunkferry_jobs", &[("state", state)]);
        assert_eq!(sum("paused"), 2.0, "{restarted}: {seen:?}");
        assert_eq!(seen.sum("chunkferry_jobs", &[]) - sum("paused"), 1.0);
        if !restarted {
            assert!(service.running.kill());
            service = Service::start(&scene, &[]);
            // The queue is read after the socket is there.
            service.get(&format!("/v1/jobs/{}?wait=60s", ids[2]));
            let file = scene.video("3.mp4", CHUNK + 3);
            service.post(None, &wish(&file, "lena")).expect(202);
        }
    }
    service
        .call(&format!("POST /v1/jobs/{}/cancel", ids[0]))
        .expect(200);
    assert_eq!(
        scrape(&service).sum("chunkferry_jobs", &[("state", "paused")]),
        1.0
    );
}

/// The metrics in a file that another user can read.
fn written(path: &Path) -> Metrics {
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    Metrics::read(&fs::read_to_string(path).unwrap())
}

#[test]
fn a_file_of_metrics_is_whole_after_a_failed_upload_and_at_the_end_of_the_service() {
    let scene = Scene::new(&[], &["init nth=1 code=invalid_params"]);
    let file = scene.video("clip.mp4", 2 * CHUNK);
    let dir = scene.path("collector");
    fs::create_dir(&dir).unwrap();
    let prom = dir.join("chunkferry.prom");
    let textfile = ["--metrics-textfile", prom.to_str().unwrap()];
    // Nothing is opened for a file that nobody could read.
    let nowhere = ["--metrics-textfile", "nowhere/chunkferry.prom"];
    let refused = scene.upload(&file, &nowhere).end().expect(2);
    assert!(
        refused.stderr.contains("nowhere/chunkferry.prom"),
        "{refused:?}"
    );
    assert!(!scene.state_dir().exists());

    scene.upload(&file, &textfile).end().expect(1);
    let seen = written(&prom);
    let refused = [("call", "init"), ("code", "invalid_params")];
    assert_eq!(seen.sum("chunkferry_requests_total", &refused), 1.0);
    let outcome = |seen: &Metrics, word| seen.sum("chunkferry_uploads_total", &[("outcome", word)]);
    assert_eq!(
        (outcome(&seen, "refused"), outcome(&seen, "delivered")),
        (1.0, 0.0)
    );
    // Not even the journal could be opened.
    let mut broken = scene.upload(&file, &textfile);
    broken.env("CHUNKFERRY_STATE_DIR", "/dev/null/state").end();
    assert_eq!(written(&prom).sum("chunkferry_uploads_total", &[]), 0.0);

    let service = Service::start(&scene, &textfile);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    assert_eq!(service.ended(&job["id"])["end"]["outcome"], "delivered");
    service.running.signal("-TERM");
    service.running.end().expect(0);
    let seen = written(&prom);
    assert_eq!(outcome(&seen, "delivered"), 1.0);
    assert_eq!(
        seen.sum("chunkferry_sent_bytes_total", &[]),
        2.0 * CHUNK as f64
    );
    let left = fs::read_dir(&dir).unwrap().count();
    assert_eq!(left, 1, "no temporary file is left");
}

#[test]
fn a_request_that_was_cut_and_a_wait_for_an_init_are_counted() {
    let scene = Scene::new(&["receive_rate=4MB"], &[]);
    let prom = scene.path("chunkferry.prom");
    let textfile = ["--metrics-textfile", prom.to_str().unwrap()];
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let mut run = scene.upload(&file, &textfile).start();
    run.until_confirmed(CHUNK);
    scene.sees("the next chunk", |log| {
        log.sessions.iter().any(|of| of.puts.len() > 1)
    });
    run.signal("-INT");
    run.end().expect(130);
    let seen = written(&prom);
    let cut = [("call", "put"), ("code", "cut")];
    assert_eq!(seen.sum("chunkferry_requests_total", &cut), 1.0);
    let cancelled = [("outcome", "cancelled")];
    assert_eq!(seen.sum("chunkferry_uploads_total", &cancelled), 1.0);
    assert!(seen.sum("chunkferry_confirmed_bytes_total", &[]) >= CHUNK as f64);

    // An account gets six inits a minute.
    let scene = Scene::new(&["limits=off"], &[]);
    let mut upload = scene.command(["upload", "--metrics-textfile"]);
    let prom = scene.path("chunkferry.prom");
    upload.arg(&prom);
    upload.args((0..7).map(|at| scene.video(&format!("{at}.mp4"), 1_000 + at)));
    upload.env("CHUNKFERRY_CLOCK_SCALE", "60").end().expect(0);
    let seen = written(&prom);
    assert_eq!(seen.sum("chunkferry_inits_total", &[]), 7.0);
    assert!(seen.sum("chunkferry_init_wait_seconds_total", &[]) > 0.0);
}

#[test]
fn a_paused_queue_and_notices_that_nobody_takes_are_seen() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &["--on-end", "exit 1"]);
    assert_eq!(
        scrape(&service).sum("chunkferry_undelivered_notices", &[]),
        0.0
    );
    let file = scene.video("clip.mp4", CHUNK);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    service.ended(&job["id"]);
    let seen = scrape(&service);
    assert_eq!(seen.sum("chunkferry_undelivered_notices", &[]), 1.0);
    assert_eq!(seen.sum("chunkferry_queue_paused", &[]), 0.0);
    service.call("POST /v1/queue/pause").expect(200);
    assert_eq!(scrape(&service).sum("chunkferry_queue_paused", &[]), 1.0);
}

#[test]
fn a_login_that_must_be_renewed_by_its_creator_and_the_days_of_the_others_are_seen() {
    let scene = Scene::new(&[], &["token nth=3 status=400 code=invalid_grant"]);
    for name in ["lena", "mia"] {
        login::command(&scene, ["login", name])
            .env("BROWSER", login::browser(&scene, name, ""))
            .end()
            .expect(0);
    }
    login::command(&scene, ["accounts", "refresh", "mia"])
        .end()
        .expect(4);
    let mut started = login::command(&scene, ["serve", "--json"]);
    started.env_remove("CHUNKFERRY_ACCOUNT");
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let seen = scrape(&service);
    assert_eq!(seen.sum("chunkferry_accounts_needing_login", &[]), 1.0);
    let days = seen.sum("chunkferry_refresh_token_days_left", &[]);
    assert!((179.0..=180.0).contains(&days), "{days}");
}

#[test]
fn a_token_that_was_renewed_on_the_way_is_counted() {
    let scene = Scene::new(&[], &["init nth=1 status=401 code=access_token_invalid"]);
    login::command(&scene, ["login", "lena"])
        .env("BROWSER", login::browser(&scene, "lena", ""))
        .end()
        .expect(0);
    let mut started = login::command(&scene, ["serve", "--json"]);
    started.env_remove("CHUNKFERRY_ACCOUNT");
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let file = scene.video("clip.mp4", CHUNK);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    assert_eq!(service.ended(&job["id"])["end"]["outcome"], "delivered");
    let seen = scrape(&service);
    let renewed = [("outcome", "renewed")];
    assert_eq!(seen.sum("chunkferry_token_refreshes_total", &renewed), 1.0);
    assert_eq!(seen.sum("chunkferry_token_refreshes_total", &[]), 1.0);
    let asked = [("call", "token"), ("code", "200")];
    assert_eq!(seen.sum("chunkferry_requests_total", &asked), 1.0);
}

/// The lines of a log that are JSON objects: all but those for people.
fn logged(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for key in ["time", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
        let time = line["time"].as_str().unwrap_or_default();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        line
    });
    lines.collect()
}

#[test]
fn log_lines_in_json_say_whose_upload_and_which_chunk_they_are_about() {
    let scene = Scene::new(&[], &["put chunk=2 nth=1 status=503"]);
    let mut started = command(&scene, &["--log-format", "json"]);
    started.env("CHUNKFERRY_LOG", "chunkferry=debug");
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let file = scene.video("clip.mp4", 3 * CHUNK);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    let ended = service.ended(&job["id"]);
    assert_eq!(ended["end"]["outcome"], "delivered", "{ended}");
    service.running.signal("-TERM");
    let told = service.running.end().expect(0).stderr;
    let lines = logged(&told);
    let about = |call: &str| {
        let lines = lines.iter().filter(|line| line["call"] == call);
        let lines: Vec<_> = lines.collect();
        for line in &lines {
            assert_eq!(line["account"], "lena", "{line}");
            assert_eq!(line["job"], job["id"], "{line}");
            assert_eq!(line["upload"], ended["upload"], "{line}");
        }
        lines
    };
    let puts: Vec<_> = about("chunk PUT")
        .iter()
        .map(|line| json!([line["chunk"], line["status"], line["attempt"]]))
        .collect();
    let expected = [
        json!([0, 206, 1]),
        json!([1, 206, 1]),
        json!([2, 503, 1]),
        json!([2, 201, 2]),
    ];
    assert_eq!(puts, expected);
    for line in about("init").iter().chain(&about("status")) {
        let log_id = line["log_id"].as_str().unwrap_or_default();
        assert!(!log_id.is_empty(), "{line}");
    }
    assert_eq!(about("init").len(), 1);
}

#[test]
fn the_log_in_json_has_no_secret_even_where_everything_is_logged() {
    let faults = ["put chunk=1 nth=1 cut=1MB", "status nth=1 status=500"];
    let mut watched = Watched::new(&[], &faults);
    watched.scene.video("clip.mp4", 12_000_000);
    let args = ["upload", "--chunk-size", "5MiB", "clip.mp4"];
    let mut run = watched.command(&args);
    let ended = run.env("CHUNKFERRY_LOG_FORMAT", "json").end().expect(0);
    let lines = logged(&ended.stderr);
    let of_lena = |line: &&Value| line["account"] == "lena" && line["upload"].is_string();
    assert!(lines.iter().filter(of_lena).count() > 20, "{}", lines.len());
    watched.printed.push(ended.stderr);
    watched.assert_nothing_leaked(1);
    // The config file can say so, too.
    let config = watched.scene.path("config.toml");
    fs::write(&config, "log_format = \"json\"\n").unwrap();
    let mut again = watched.command(&args);
    let ended = again.env("CHUNKFERRY_CONFIG", &config).end().expect(0);
    assert!(!logged(&ended.stderr).is_empty(), "{}", ended.stderr);
    fs::write(&config, "log_format = \"xml\"\n").unwrap();
    let mut again = watched.command(&args);
    let ended = again.env("CHUNKFERRY_CONFIG", &config).end().expect(2);
    assert!(
        ended.stderr.contains("one of text, json"),
        "{}",
        ended.stderr
    );
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The words of a text that begin with `chunkferry_` and can be names of metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c == '_' || c.is_ascii_alphanumeric()));
    let words = words.filter(|word| word.starts_with("chunkferry_"));
    words.map(str::to_owned).collect()
}

#[test]
fn no_alert_or_page_speaks_of_a_metric_or_a_section_that_is_not_there() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", CHUNK);
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    service.ended(&job["id"]);
    let known: BTreeSet<String> = scrape(&service).types.into_keys().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let (alerts, runbook, page) = (read("alerts.yml"), read("runbook.md"), read("service.md"));
    for text in [&alerts, &runbook, &page] {
        for name in named(text) {
            assert!(known.contains(&name), "{name}");
        }
    }
    let listed = named(&page);
    assert!(
        known.is_subset(&listed),
        "docs/service.md lists all: {known:?}"
    );

    let headings = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    let entries = |key: &str| {
        let lines = alerts.lines().map(str::trim_start);
        let lines: Vec<_> = lines.filter_map(|line| line.strip_prefix(key)).collect();
        lines
    };
    let runbooks: Vec<_> = entries("runbook: docs/runbook.md#");
    let linked: BTreeSet<String> = runbooks.iter().map(|of| (*of).to_owned()).collect();
    assert_eq!(
        linked, anchors,
        "each alert has a section, and each section an alert"
    );
    let rules = entries("- alert: ").len();
    for key in [
        "runbook: docs/runbook.md#",
        "expr: ",
        "summary: ",
        "severity: ",
    ] {
        assert_eq!(entries(key).len(), rules, "{key}");
    }
    check_by_promtool(&root.join("alerts.yml"), &service.call("GET /metrics").text);
}

/// Prometheus' own opinion of the rules and of the page, where it is installed.
fn check_by_promtool(rules: &Path, page: &str) {
    let check = |args: &[&str], input: &str| {
        let mut command = Command::new("promtool");
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut running = command.stderr(Stdio::piped()).spawn().ok()?;
        let mut stdin = running.stdin.take()?;
        stdin.write_all(input.as_bytes()).ok()?;
        drop(stdin);
        running.wait_with_output().ok()
    };
    let Some(checked) = check(&["check", "rules", rules.to_str().unwrap()], "") else {
        eprintln!("NOT TESTED: promtool is not installed");
        return;
    };
    assert!(checked.status.success(), "{checked:?}");
    let checked = check(&["check", "metrics"], page).unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
