//! The emulator against the documents: every statement of `conformance.json`, over the wire.
//!
//! A statement has an id, the mark of its source, and cases; a case starts a server of its own with
//! some settings and faults and goes through steps. `{name}` stands for what an earlier answer said.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use chunkferry::emulator::{Emulator, SessionLog};
use serde_json::Value;

use crate::client::{Answer, Line, TOKEN, plan, sample, started};
use crate::webhooks::{self, Received};

const STATEMENTS: &str = include_str!("conformance.json");

const CALLS: [(&str, &str, &str); 15] = [
    ("inbox_init", "POST", "/v2/post/publish/inbox/video/init/"),
    ("direct_init", "POST", "/v2/post/publish/video/init/"),
    ("photo_init", "POST", "/v2/post/publish/content/init/"),
    ("status", "POST", "/v2/post/publish/status/fetch/"),
    ("cancel", "POST", "/v2/post/publish/cancel/"),
    (
        "creator_info",
        "POST",
        "/v2/post/publish/creator_info/query/",
    ),
    ("user_info", "GET", "/v2/user/info/"),
    ("video_list", "POST", "/v2/video/list/"),
    ("video_query", "POST", "/v2/video/query/"),
    ("authorize", "GET", "/v2/auth/authorize/"),
    ("token", "POST", "/v2/oauth/token/"),
    ("revoke", "POST", "/v2/oauth/revoke/"),
    ("post", "POST", "/_emulator/post"),
    ("unpublish", "POST", "/_emulator/unpublish"),
    ("nowhere", "POST", "/v2/no/such/call/"),
];

#[test]
fn no_statement_of_the_documents_is_broken_or_left_without_a_case() {
    let statements: Vec<Value> = serde_json::from_str(STATEMENTS).unwrap();
    let host = host();
    let (mut covered, mut cases, mut failures) = (0, 0, Vec::new());
    for statement in &statements {
        let id = statement["id"].as_str().unwrap();
        assert!(
            statement["mark"]
                .as_str()
                .unwrap()
                .starts_with(['D', 'F', 'O']),
            "{id}"
        );
        let list = statement["cases"].as_array().unwrap();
        covered += usize::from(!list.is_empty());
        for case in list {
            cases += 1;
            if let Err(why) = run(case, &host) {
                failures.push(format!("{id}: {why}\n    in {case}"));
            }
        }
    }
    let all = statements.len();
    println!(
        "{covered} of {all} statements covered ({} %), {cases} cases",
        covered * 100 / all
    );
    assert!(
        failures.is_empty(),
        "{} failed\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(covered, all);
}

#[test]
fn no_two_statements_share_an_id() {
    let statements: Vec<Value> = serde_json::from_str(STATEMENTS).unwrap();
    let mut ids: Vec<&str> = statements
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

fn run(case: &Value, host: &str) -> Result<(), String> {
    let texts = |key: &str| -> Vec<&str> {
        let list = case[key].as_array().into_iter().flatten();
        list.map(|text| text.as_str().unwrap()).collect()
    };
    let emulator = started(&texts("set"), &texts("faults"));
    let mut run = Run {
        emulator,
        known: HashMap::from([("host".to_owned(), host.to_owned())]),
        seen: Vec::new(),
        events: None,
    };
    for step in case["steps"].as_array().unwrap() {
        let times = step["times"].as_u64().unwrap_or(1);
        for _ in 0..times {
            let filled = run.fill(step);
            run.step(&filled)
                .map_err(|why| format!("{why}\n    at {step}"))?;
        }
    }
    Ok(())
}

struct Run {
    emulator: Emulator,
    known: HashMap<String, String>,
    seen: Vec<String>,
    events: Option<Receiver<Received>>,
}

impl Run {
    /// Puts what is known in the place of `{name}`.
    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let mut text = text.clone();
                for (name, known) in &self.known {
                    text = text.replace(&format!("{{{name}}}"), known);
                }
                Value::String(text)
            }
            Value::Array(list) => list.iter().map(|value| self.fill(value)).collect(),
            Value::Object(object) => {
                let pairs = object
                    .iter()
                    .map(|(key, value)| (key.clone(), self.fill(value)));
                Value::Object(pairs.collect())
            }
            other => other.clone(),
        }
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        if let Some(by) = step["advance"].as_str() {
            self.emulator.advance(duration(by));
            return Ok(());
        }
        if step["hook"] == true {
            let (url, received) = webhooks::receiver(&[]);
            webhooks::register(&self.emulator, &url, None);
            self.events = Some(received);
            return Ok(());
        }
        if let Some(event) = step["event"].as_str() {
            return self.event(event, step);
        }
        if let Some(status) = step["until"].as_str() {
            return self.until(|session| session.status == status);
        }
        if step["complete"] == true {
            return self.until(|session| session.completed_at.is_some());
        }
        if let Some(name) = step["differs"].as_str() {
            let value = self.known[name].clone();
            let new = !self.seen.contains(&value);
            self.seen.push(value);
            return if new {
                Ok(())
            } else {
                Err("the same again".to_owned())
            };
        }
        let answer = match (step["put"].as_array(), step["init"].as_array()) {
            (Some(range), _) => self.put(step, range),
            (None, Some(numbers)) => {
                let number = |index: usize| numbers[index].as_u64().unwrap();
                let body = plan(number(0), number(1), number(2));
                self.known.insert("size".to_owned(), number(0).to_string());
                self.call("inbox_init", step, Some(body.to_string()))
            }
            (None, None) => self.call(step["call"].as_str().unwrap(), step, None),
        };
        let want = &step["want"];
        match (answer, want["reset"] == true) {
            (Ok(answer), false) => {
                self.learn(&answer);
                check(&answer, want)
            }
            (Err(_), true) => Ok(()),
            (Ok(answer), true) => Err(format!("answered {} instead of a reset", answer.status)),
            (Err(error), false) => Err(format!("no answer: {error}")),
        }
    }

    fn put(&self, step: &Value, range: &[Value]) -> std::io::Result<Answer> {
        let (first, end) = (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
        let size = self.known.get("size").map_or("1000", String::as_str);
        let mut headers = Headers::default();
        headers.set("content-type", Some("video/mp4"));
        headers.set("content-length", Some(&(end - first).to_string()));
        headers.set(
            "content-range",
            Some(&format!("bytes {first}-{}/{size}", end - 1)),
        );
        headers.patch(&step["headers"]);
        let target = step["target"]
            .as_str()
            .unwrap_or(&self.known["upload_target"]);
        let mut line = Line::open(&self.emulator);
        let method = step["method"].as_str().unwrap_or("PUT");
        line.head(method, target, &headers.list());
        // A refusal may come before the body is through.
        let _ = line.send(&sample(
            first,
            step["bytes"].as_u64().map_or(end, |bytes| first + bytes),
        ));
        line.answer()
    }

    fn call(&self, name: &str, step: &Value, body: Option<String>) -> std::io::Result<Answer> {
        let (_, method, path) = CALLS.iter().find(|(known, _, _)| *known == name).unwrap();
        let method = step["method"].as_str().unwrap_or(method);
        let path = match step["slash"] == false {
            true => path.trim_end_matches('/'),
            false => path,
        };
        let mut headers = Headers::default();
        let token = step["token"].as_str().unwrap_or(TOKEN);
        headers.set("authorization", Some(&format!("Bearer {token}")));
        let json = step.get("json").map(Value::to_string);
        let form = step["form"].as_str().map(str::to_owned);
        match form {
            Some(_) => headers.set("content-type", Some("application/x-www-form-urlencoded")),
            None => headers.set("content-type", Some("application/json; charset=UTF-8")),
        }
        let body = body.or(json).or(form).unwrap_or_default();
        headers.set("content-length", Some(&body.len().to_string()));
        headers.patch(&step["headers"]);
        let target = match step["query"].as_str() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut line = Line::open(&self.emulator);
        line.head(method, &target, &headers.list());
        line.send(body.as_bytes())?;
        line.answer()
    }

    /// The next webhook is this one, signed, with these values in its body and in its content.
    fn event(&self, event: &str, step: &Value) -> Result<(), String> {
        let got = webhooks::next(self.events.as_ref().unwrap());
        let (name, content) = got.event();
        let body: Value = serde_json::from_str(&got.body).unwrap();
        let mut wrong = Vec::new();
        if name != event {
            wrong.push("another event".to_owned());
        }
        for (key, within) in [("body", &body), ("content", &content)] {
            for (pointer, wanted) in step[key].as_object().into_iter().flatten() {
                if !fits(within.pointer(pointer), wanted) {
                    wrong.push(format!("{pointer} is not {wanted}"));
                }
            }
        }
        let signed = got
            .signature
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(",s="));
        let good = signed.is_some_and(|(t, s)| {
            s == webhooks::hmac(webhooks::SECRET, &format!("{t}.{}", got.body))
        });
        if !good {
            wrong.push(format!("the signature is {}", got.signature));
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!("{}: {}", wrong.join(", "), got.body)),
        }
    }

    /// Waits until the newest upload is as wanted.
    fn until(&self, wanted: impl Fn(&SessionLog) -> bool) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..100 {
            let log = self.emulator.log();
            let session = log.sessions.last().unwrap();
            if wanted(session) {
                return Ok(());
            }
            last.clone_from(&session.status);
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("it stays {last}"))
    }

    /// Remembers ids, tokens and codes.
    fn learn(&mut self, answer: &Answer) {
        if let Some(location) = answer.header("location")
            && let Some((_, code)) = location.split_once("code=")
        {
            let code = code.split('&').next().unwrap();
            let twice = code.replace('%', "%25");
            self.known.insert("code".to_owned(), code.to_owned());
            self.known.insert("code_encoded_twice".to_owned(), twice);
        }
        let Ok(json) = serde_json::from_slice::<Value>(&answer.body) else {
            return;
        };
        let places = [
            "/data/publish_id",
            "/data/upload_url",
            "/access_token",
            "/refresh_token",
            "/open_id",
            "/data/videos/0/id",
        ];
        for place in places {
            let Some(value) = json.pointer(place).and_then(Value::as_str) else {
                continue;
            };
            let name = place.rsplit('/').next().unwrap();
            let before = self.known.insert(name.to_owned(), value.to_owned());
            self.known
                .insert(format!("{name}_before"), before.unwrap_or_default());
            if name == "upload_url" {
                let start = value.find("://").unwrap() + 3;
                let target = &value[start + value[start..].find('/').unwrap()..];
                let query = target.split_once('?').unwrap().1;
                self.known
                    .insert("upload_target".to_owned(), target.to_owned());
                self.known
                    .insert("upload_query".to_owned(), query.to_owned());
                self.known
                    .entry("size".to_owned())
                    .or_insert_with(|| "1000".to_owned());
            }
        }
    }
}

#[derive(Default)]
struct Headers(Vec<(String, String)>);

impl Headers {
    fn set(&mut self, name: &str, value: Option<&str>) {
        self.0.retain(|(known, _)| known != name);
        if let Some(value) = value {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// null takes a header away.
    fn patch(&mut self, patch: &Value) {
        for (name, value) in patch.as_object().into_iter().flatten() {
            self.set(name, value.as_str());
        }
    }

    fn list(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect()
    }
}

fn check(answer: &Answer, want: &Value) -> Result<(), String> {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let mut wrong = Vec::new();
    if want["http"] != answer.status {
        wrong.push(format!("HTTP {}", answer.status));
    }
    let json = serde_json::from_slice::<Value>(&answer.body).unwrap_or(Value::Null);
    for key in ["code", "message"] {
        if !want[key].is_null() && want[key] != json["error"][key] {
            wrong.push(format!("{key} {}", json["error"][key]));
        }
    }
    for (pointer, wanted) in want["json"].as_object().into_iter().flatten() {
        if !fits(json.pointer(pointer), wanted) {
            wrong.push(format!("{pointer} is not {wanted}"));
        }
    }
    for (name, wanted) in want["headers"].as_object().into_iter().flatten() {
        let header = answer
            .header(name)
            .map(|value| Value::String(value.to_owned()));
        if !fits(header.as_ref(), wanted) {
            wrong.push(format!("{name} is {header:?}"));
        }
    }
    if want["body"].as_str().is_some_and(|wanted| wanted != body) {
        wrong.push("the body differs".to_owned());
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{}: {body}", wrong.join(", "))),
    }
}

/// A value equals another, is absent (null), or has the property an object names.
fn fits(found: Option<&Value>, wanted: &Value) -> bool {
    let found = match (found, wanted) {
        (None, wanted) => return wanted.is_null(),
        (Some(found), _) => found,
    };
    let Some((property, of)) = wanted.as_object().and_then(|object| object.iter().next()) else {
        return found == wanted;
    };
    let text = found.as_str().unwrap_or_default();
    match &**property {
        "is" => match of.as_str().unwrap() {
            "string" => !text.is_empty(),
            "array" => found.is_array(),
            "object" => found.is_object(),
            "boolean" => found.is_boolean(),
            "integer" => found.is_i64() || found.is_u64(),
            other => panic!("no type {other}"),
        },
        "starts" => text.starts_with(of.as_str().unwrap()),
        "digits" => {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            digits && text.len() as u64 == of.as_u64().unwrap()
        }
        "prints" => of == &found.to_string(),
        "longest" => !text.is_empty() && text.len() as u64 <= of.as_u64().unwrap(),
        "above" => found.as_u64() > of.as_u64(),
        "has" => of
            .as_array()
            .unwrap()
            .iter()
            .all(|part| text.contains(part.as_str().unwrap())),
        other => panic!("no property {other}"),
    }
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => panic!("no unit {other}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * seconds)
}

/// A host to pull from; it lives as long as the test process.
fn host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let head = |status: &str, length: usize| {
                    format!(
                        "HTTP/1.1 {status}\r\nlocation: /video\r\ncontent-length: {length}\r\n\r\n"
                    )
                };
                let (head, body, hold) = match request.split(' ').nth(1).unwrap_or_default() {
                    "/video" => (head("200 OK", 1000), 1000, false),
                    "/moved" => (head("302 Found", 0), 0, false),
                    "/broken" => (head("200 OK", 1000), 500, false),
                    "/slow" => (head("200 OK", 1000), 500, true),
                    _ => (head("404 Not Found", 0), 0, false),
                };
                // The puller may have left.
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&sample(0, body));
                if hold {
                    let _ = stream.read(&mut [0]);
                }
            });
        }
    });
    format!("http://{address}")
}
