//! What an operator sees of `serve`: metrics that fit what the emulator has received, and logs that programs can read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::scene::{CHUNK, Scene};
use crate::serve::{Service, wish};

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
