//! The OpenAPI document of the service, held against its routes and its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::scene::Scene;
use crate::serve::{Service, command, wish};

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .collect()
}

/// The routes in the source: methods by path.
fn routes() -> BTreeMap<String, BTreeSet<String>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/serve");
    let mut routes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust_files(&dir) {
        // The pages are for people.
        if file.ends_with("page.rs") {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        for route in text.split(".route(\"").skip(1) {
            let (path, rest) = route.split_once('"').unwrap();
            let methods = rest.lines().next().unwrap();
            for method in ["get", "post", "delete", "put"] {
                let (first, chained) = (format!(", {method}("), format!(".{method}("));
                if methods.contains(&first) || methods.contains(&chained) {
                    let of = routes.entry(path.to_owned()).or_default();
                    of.insert(method.to_owned());
                }
            }
        }
    }
    routes
}

fn document(service: &Service) -> Value {
    service.get("/v1/openapi.json")
}

#[test]
fn no_route_is_missing_in_the_document_and_the_document_names_no_other() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let document = document(&service);
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeMap<String, BTreeSet<String>> = paths
        .iter()
        .map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys().cloned();
            (path.clone(), methods.collect())
        })
        .collect();
    let routes = routes();
    assert!(routes.len() > 20, "{routes:?}");
    assert_eq!(routes, documented);
    for (path, methods) in &documented {
        for method in methods {
            let line = format!("{} {}", method.to_uppercase(), path.replace(['{', '}'], ""));
            let answer = service.call(&line);
            let code = match answer.status {
                404 | 405 => answer.json()["detail"].clone(),
                _ => Value::Null,
            };
            assert_ne!(code, "There is no such address.", "{line}");
            assert_ne!(answer.status, 405, "{line}");
        }
    }
}

#[test]
fn the_document_names_each_field_of_a_job_and_no_other() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let document = document(&service);
    let fields = document["components"]["schemas"]["Job"]["properties"].clone();
    let documented: BTreeSet<String> = fields.as_object().unwrap().keys().cloned().collect();
    let text = source("src/cli/wish.rs");
    let mut known = BTreeSet::new();
    for list in [
        "const COMMON",
        "const OF_FILES",
        "const OF_REMOTES",
        "const OF_URLS",
    ] {
        let (_, list) = text.split_once(list).unwrap();
        let list = list
            .split_once("= [")
            .unwrap()
            .1
            .split_once("];")
            .unwrap()
            .0;
        known.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    // What is refused is no field that a client could want.
    known.remove("post");
    assert_eq!(documented, known);
}

/// Whether a value is as the schema says; only what this document uses of JSON Schema.
fn check(value: &Value, schema: &Value, document: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return check(value, document.pointer(pointer).unwrap(), document, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return match value.is_null() {
            true => assert!(any.contains(&json!({ "type": "null" })), "{at}"),
            false => check(value, &any[0], document, at),
        };
    }
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        kinds => kinds
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(
        kinds.contains(&kind),
        "{at} is {kind}, not {kinds:?}: {value}"
    );
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value}");
    }
    if schema["format"] == "date-time" && kind == "string" {
        let text = value.as_str().unwrap();
        assert!(text.ends_with('Z') && text.contains('T'), "{at}: {text}");
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            check(item, &schema["items"], document, &format!("{at}[{index}]"));
        }
    }
    let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    else {
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(
            fields.contains_key(name.as_str().unwrap()),
            "{at} lacks {name}: {value}"
        );
    }
    for (name, field) in fields {
        match properties.get(name) {
            Some(schema) => check(field, schema, document, &format!("{at}.{name}")),
            None => assert_eq!(
                schema["additionalProperties"], true,
                "{at} has {name}: {value}"
            ),
        }
    }
}

#[test]
fn every_answer_is_as_the_document_says() {
    let scene = Scene::new(&[], &[]);
    let config = "[[notify]]\nname = \"desk\"\ncommand = \"cat\"\n";
    let mut started = command(&scene, &[]);
    let path = scene.path("config.toml");
    let text = fs::read_to_string(&path).unwrap() + config;
    fs::write(&path, text).unwrap();
    let service = Service::of(&mut started, scene.state_dir().join("socket"));
    let document = document(&service);
    let holds = |answer: &Value, operation: &str| {
        let (method, path) = operation.split_once(' ').unwrap();
        let responses = &document["paths"][path][method]["responses"];
        let good = ["202", "200"]
            .into_iter()
            .find(|status| !responses[status].is_null());
        let content = &responses[good.unwrap()]["content"];
        check(
            answer,
            &content["application/json"]["schema"],
            &document,
            operation,
        );
    };
    let file = scene.video("clip.mp4", 1_000_000);
    let first = service
        .post(Some("a"), &wish(&file, "lena"))
        .expect(202)
        .json();
    holds(&first, "post /v1/jobs");
    service.ended(&first["id"]);
    let again = service
        .post(Some("b"), &wish(&file, "lena"))
        .expect(202)
        .json();
    service.ended(&again["id"]);
    let missing = wish(&scene.path("gone.mp4"), "lena");
    let gone = service.post(None, &missing).expect(202).json();
    service.ended(&gone["id"]);
    for job in [&first, &again, &gone] {
        let id = job["id"].as_str().unwrap();
        holds(&service.get(&format!("/v1/jobs/{id}")), "get /v1/jobs/{id}");
    }
    holds(&service.get("/v1/jobs?limit=2"), "get /v1/jobs");
    for path in ["events", "accounts", "queue", "service", "notify"] {
        let path = format!("/v1/{path}");
        holds(&service.get(&path), &format!("get {path}"));
    }
    for path in ["/v1/queue/pause", "/v1/queue/resume", "/v1/jobs/retry"] {
        let answer = service.call(&format!("POST {path}")).expect(200).json();
        holds(&answer, &format!("post {path}"));
    }
    let redelivered = service
        .call("POST /v1/notify/desk/redeliver?after=0")
        .expect(200);
    holds(&redelivered.json(), "post /v1/notify/{name}/redeliver");
    for path in ["/healthz", "/readyz"] {
        holds(&service.get(path), &format!("get {path}"));
    }
    let problem = &document["components"]["schemas"]["Problem"];
    for (line, status) in [("GET /v1/jobs/none", 404), ("GET /v1/jobs?state=x", 400)] {
        check(
            &service.call(line).expect(status).json(),
            problem,
            &document,
            line,
        );
    }
    let taken = service.post(Some("a"), &missing).expect(409).json();
    check(&taken, problem, &document, "taken");
}
