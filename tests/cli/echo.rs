//! A server that repeats secrets: no field of an answer carries a secret into output, logs or files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::thread;

use crate::rogue::{Bad, Rogue, UPLOAD_TOKEN, http, ok, text, upload_url};
use crate::scene::{Scene, Start};
use crate::secrets::files;

const TOKEN: &str = "act.lena.sEcReTtOkEn0123456789";
const SIGNATURE: &str = "sIgNaTuRe0123456789";
const PULLED: &str = "https://media.example/clip.mp4?X-Expires=1&X-Signature=sIgNaTuRe0123456789";

/// Every byte percent-encoded, except those that must be raw.
fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
    }
    encoded
}

/// The token and the secret URL of a run in every form a server may give them, as many in a text as are not cut off.
fn forms(url: &str, of_url: &str) -> Vec<String> {
    let bare = url.split_once("://").unwrap().1;
    let query = url.split_once('?').unwrap().1;
    let json = |text: &str| text.replace('/', "\\/").replace('&', "\\u0026");
    let every = |text: &str, form: fn(u8) -> String| text.bytes().map(form).collect::<String>();
    let percents = |text: &str| every(text, |byte| format!("%{byte:02x}"));
    let escapes = |text: &str| every(text, |byte| format!("\\u{byte:04X}"));
    vec![
        format!("Bearer {TOKEN} {url} {of_url}"),
        format!("{bare} {query}"),
        format!("{} {}", percent(TOKEN), percent(url)),
        format!("{} {}", percent(bare), percent(query)),
        format!("{} {}", json(TOKEN), json(url)),
        format!("{} {}", percent(&percent(query)), url.replace('&', "&amp;")),
        format!("{} {}", percents(TOKEN), percents(of_url)),
        escapes(of_url),
        format!("https://{TOKEN}.example/"),
        format!("{TOKEN}:{of_url}"),
    ]
}

/// The secret that a text holds, raw or encoded byte by byte.
fn leak(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase().replace("\\\\", "\\");
    [TOKEN, UPLOAD_TOKEN, SIGNATURE].into_iter().find(|secret| {
        let percents: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let escapes: String = secret
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect();
        let forms = [secret.to_lowercase(), percents, escapes];
        forms.iter().any(|form| lower.contains(form))
    })
}

/// An answer with `echo` in a field, for each field there is.
fn answers(base: &str, echo: &str) -> Vec<(&'static str, Bad)> {
    let echo = serde_json::to_string(echo).unwrap();
    let url = serde_json::to_string(&upload_url(base)).unwrap();
    let refused = |code: &str, message: &str, log_id: &str| {
        let error = format!(r#"{{"code":{code},"message":{message},"log_id":{log_id}}}"#);
        text(http(
            400,
            "",
            &format!(r#"{{"data":{{"upload_url":{url}}},"error":{error}}}"#),
        ))
    };
    let init = |data: &str| Bad::Init(text(ok(data)));
    let body = |body: String| text(http(200, "", &body));
    vec![
        ("init code", Bad::Init(refused(&echo, "\"\"", "\"\""))),
        (
            "init message",
            Bad::Init(refused("\"spam\"", &echo, "\"\"")),
        ),
        ("init log_id", Bad::Init(refused("\"spam\"", "\"\"", &echo))),
        (
            "init code as an object",
            Bad::Init(refused(&format!("{{{echo}:1}}"), "\"\"", "\"\"")),
        ),
        (
            "init error as a string",
            Bad::Init(body(format!(r#"{{"error":{echo}}}"#))),
        ),
        ("init data as a string", init(&echo)),
        ("init body as a string", Bad::Init(body(echo.clone()))),
        (
            "init publish_id",
            init(&format!(r#"{{"publish_id":{echo},"upload_url":{url}}}"#)),
        ),
        (
            "init upload_url",
            init(&format!(r#"{{"publish_id":"p.1","upload_url":{echo}}}"#)),
        ),
        (
            "init upload_url as an object",
            init(&format!(
                r#"{{"publish_id":"p.1","upload_url":{{{echo}:{echo}}}}}"#
            )),
        ),
        (
            "status word",
            Bad::Status(text(ok(&format!(r#"{{"status":{echo}}}"#)))),
        ),
        (
            "fail_reason",
            Bad::Status(text(ok(&format!(
                r#"{{"status":"FAILED","fail_reason":{echo}}}"#
            )))),
        ),
        ("status data as a string", Bad::Status(text(ok(&echo)))),
        ("status code", Bad::Status(refused(&echo, "\"\"", "\"\""))),
        (
            "status message",
            Bad::Status(refused("\"spam\"", &echo, "\"\"")),
        ),
        (
            "status log_id",
            Bad::Status(refused("\"spam\"", "\"\"", &echo)),
        ),
    ]
}

/// Headers can hold no line break, and are not JSON.
fn headers(base: &str, echo: &str) -> Vec<(&'static str, Bad)> {
    let headers = format!(
        "server: {echo}\r\nx-tt-logid: {echo}\r\ncontent-type: {echo}\r\ndate: {echo}\r\n\
        retry-after: {echo}\r\ncontent-range: {echo}\r\n"
    );
    let given = format!(
        r#"{{"data":{{"upload_url":"{}"}},"error":{{"code":"x"}}}}"#,
        upload_url(base)
    );
    vec![
        ("init headers", Bad::Init(text(http(400, &headers, &given)))),
        ("chunk headers", Bad::Put(text(http(400, &headers, "{}")))),
        (
            "status headers",
            Bad::Status(text(http(400, &headers, "{}"))),
        ),
    ]
}

#[test]
fn a_secret_that_is_repeated_in_any_field_and_form_reaches_nobody() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    let wrong = Mutex::new(String::new());
    let fields = answers("", "").len() + headers("", "").len();
    let mut cases = Vec::new();
    for form in 0..forms(PULLED, SIGNATURE).len() {
        cases.extend((0..fields).flat_map(|field| [(form, field, false), (form, field, true)]));
    }
    let cases = Mutex::new(cases);
    let next = || cases.lock().unwrap().pop();
    thread::scope(|threads| {
        for _ in 0..32 {
            threads.spawn(|| {
                while let Some((form, field, is_pull)) = next() {
                    let mut name = "";
                    let rogue = Rogue::start(|base| {
                        let (url, of_url) = match is_pull {
                            true => (PULLED.to_owned(), SIGNATURE),
                            false => (upload_url(base), UPLOAD_TOKEN),
                        };
                        let echo = forms(&url, of_url).swap_remove(form);
                        let mut all = answers(base, &echo);
                        all.extend(headers(base, &echo));
                        let (of, bad) = all.swap_remove(field);
                        name = of;
                        bad
                    });
                    let what: [&OsStr; 3] = match is_pull {
                        true => ["pull".as_ref(), "--no-preflight".as_ref(), PULLED.as_ref()],
                        false => ["upload".as_ref(), "--again".as_ref(), file.as_ref()],
                    };
                    let id = format!("{form} {field} {is_pull}");
                    let as_json = (form + field).is_multiple_of(2);
                    for (place, text) in run(&scene, &rogue, &what, &id, as_json) {
                        if let Some(secret) = leak(&text) {
                            let leak =
                                format!("{name}, form {form}: {secret} in {place}: {text:.900}\n");
                            wrong.lock().unwrap().push_str(&leak);
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} leaks:\n{wrong:.6000}",
        wrong.lines().count()
    );
}

/// Everything that anybody could read after a run: in words, or as JSON.
fn run(
    scene: &Scene,
    rogue: &Rogue,
    what: &[&OsStr],
    id: &str,
    as_json: bool,
) -> Vec<(String, String)> {
    let (dir, wire) = (
        scene.path(&format!("state {id}")),
        scene.path(&format!("wire {id}")),
    );
    let mut command = scene.command(what);
    command
        .args(["--wait", "60", "--wire-log"])
        .arg(&wire)
        .args(as_json.then_some("--json"))
        .env("CHUNKFERRY_API_BASE", &rogue.base)
        .env("CHUNKFERRY_STATE_DIR", &dir)
        .env("CHUNKFERRY_LOG", "debug")
        // An hour of waiting for a pull passes in seconds.
        .env("CHUNKFERRY_CLOCK_SCALE", "500")
        .env("TIKTOK_ACCESS_TOKEN", TOKEN);
    let ended = command.end();
    let mut list = scene.command(["list"]);
    let list = list.env("CHUNKFERRY_STATE_DIR", &dir).end();
    let mut told = vec![
        ("stdout".to_owned(), ended.stdout),
        ("stderr".to_owned(), ended.stderr),
        ("list".to_owned(), list.stdout),
    ];
    let kept = files(&dir)
        .into_iter()
        .filter(|path| !path.starts_with(dir.join("journal")));
    for path in kept.chain([wire]) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
        told.push((path.display().to_string(), text));
    }
    told
}

#[test]
fn the_upload_url_of_an_earlier_run_is_not_repeated_either() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 12_000_000);
    let rogue = Rogue::start(|base| {
        let error = format!(
            r#"{{"code":"{0}","message":"{0}","log_id":"{0}"}}"#,
            upload_url(base)
        );
        Bad::Status(text(http(400, "", &format!(r#"{{"error":{error}}}"#))))
    });
    let wire = scene.path("wire.jsonl");
    let upload = || {
        let mut command = scene.upload(&file, &["--bwlimit", "10MB", "--wire-log"]);
        command.arg(&wire).env("CHUNKFERRY_API_BASE", &rogue.base);
        command
    };
    let mut run = upload().start();
    run.until("a chunk", |line| line["event"] == "chunk");
    assert!(run.kill());
    let ended = upload().end();
    let wire = fs::read_to_string(&wire).unwrap();
    let asked = wire
        .lines()
        .find(|line| line.contains("\"call\":\"status\""));
    assert!(
        asked.is_some_and(|line| line.contains("REDACTED")),
        "{wire}"
    );
    for text in [ended.stdout, ended.stderr, wire] {
        assert_eq!(leak(&text), None, "{text}");
    }
}
