//! A URL that the service fetches itself: the init is the post, and its answer may be lost.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::nginx::Nginx;
use crate::rogue::{Bad, Rogue, ok, text};
use crate::scene::{Ended, MIB, Scene, Start};
use crate::secrets::files;
use crate::video;

const SECRET: &str = "X-Signature=s3cret";

/// An emulator that fetches from this machine, and a directory that nginx serves.
struct Stage {
    scene: Scene,
    nginx: Nginx,
}

impl Stage {
    /// `None` where nginx is not installed.
    fn new(set: &[&str], faults: &[&str], server: &str) -> Option<Self> {
        let set = [&["pull_allow_http=true"], set].concat();
        let scene = Scene::new(&set, faults);
        let www = scene.path("www");
        std::fs::create_dir(&www).unwrap();
        let server = format!("root {}; {server}", www.display());
        let nginx = Nginx::serving(&scene.path("nginx"), &server)?;
        Some(Self { scene, nginx })
    }

    fn video(&self, name: &str, size: u64) -> String {
        video::write(&self.scene.path("www").join(name), size, size);
        self.url(name)
    }

    /// As a storage service would sign it.
    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}?{SECRET}", self.nginx.port)
    }

    fn sha256(&self, name: &str) -> String {
        video::sha256(&self.scene.path("www").join(name))
    }

    fn pull(&self, url: &str, more: &[&str]) -> Command {
        let mut command = self.scene.command(["pull", "--json", url]);
        command.args(more);
        command
    }

    fn inits(&self) -> u64 {
        self.scene.log().inits
    }

    fn forget(&self, what: &str) {
        self.scene.command(["forget", what]).end().expect(0);
    }
}

/// The numbers of the progress lines.
fn fetched(ended: &Ended) -> Vec<u64> {
    let lines = ended.stdout.lines();
    let values = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    values
        .filter(|line| line["event"] == "progress")
        .filter_map(|line| line["confirmed"].as_u64())
        .collect()
}

#[test]
fn a_video_behind_a_url_arrives_byte_for_byte_and_shows_how_far_it_is() {
    let Some(stage) = Stage::new(&["receive_rate=20MB"], &[], "") else {
        return;
    };
    let url = stage.video("clip.mp4", 100_000_000);
    let ended = stage.pull(&url, &[]).end().expect(0);
    let outcome = ended.outcome();
    assert_eq!(outcome["outcome"], "delivered");
    assert_eq!(
        outcome["url"],
        url.split('?').next().unwrap(),
        "without its query"
    );
    let log = stage.scene.log();
    assert_eq!((log.inits, log.drafts, log.requests.put), (1, 1, 0));
    assert_eq!(log.sessions[0].sha256, Some(stage.sha256("clip.mp4")));
    let mut seen = fetched(&ended);
    assert!(seen.is_sorted());
    seen.retain(|bytes| 0 < *bytes && *bytes < 100_000_000);
    seen.dedup();
    assert!(
        seen.len() >= 2,
        "downloaded_bytes was not seen rising: {seen:?}"
    );
    // One look by us, one fetch by the service.
    assert_eq!(
        (stage.nginx.answered("HEAD"), stage.nginx.answered("GET")),
        (vec![200], vec![200])
    );

    let ended = stage.pull(&url, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    let resigned = url.replace("s3cret", "another");
    let ended = stage.pull(&resigned, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    assert_eq!(stage.inits(), 1);
}

#[test]
fn an_init_whose_answer_was_lost_is_parked_until_a_person_decides() {
    let Some(stage) = Stage::new(
        &[],
        &["inbox_init nth=1 lose", "inbox_init nth=3 store=502"],
        "",
    ) else {
        return;
    };
    let url = stage.video("clip.mp4", MIB);
    let parked = |more: &[&str]| {
        let ended = stage.pull(&url, more).end().expect(5);
        assert_eq!(ended.outcome()["outcome"], "unknown");
        assert!(
            ended.message().contains("Look into the creator's inbox"),
            "{}",
            ended.message()
        );
    };
    parked(&[]);
    assert_eq!(stage.inits(), 1);
    parked(&[]);
    parked(&["--no-preflight"]);
    assert_eq!(
        stage.inits(),
        1,
        "no second init before a person has decided"
    );
    let list = stage.scene.command(["list"]).end().expect(0).stdout;
    assert!(
        list.contains("unknown") && list.contains("look into lena's inbox"),
        "{list}"
    );
    assert!(!list.contains("s3cret"), "{list}");

    stage.forget(url.split('?').next().unwrap());
    stage.pull(&url, &[]).end().expect(0);
    assert_eq!(stage.inits(), 2);

    // A gateway's 502 after the service took it is no better than silence.
    parked(&["--again"]);
    assert_eq!(stage.inits(), 3);
    parked(&[]);
    stage.pull(&url, &["--again"]).end().expect(0);
    assert_eq!(stage.inits(), 4);
}

#[test]
fn a_kill_while_the_service_fetches_costs_nothing() {
    let Some(stage) = Stage::new(&["receive_rate=10MB"], &[], "") else {
        return;
    };
    let url = stage.video("clip.mp4", 20 * MIB);
    let mut run = stage.pull(&url, &[]).start();
    run.until("the service has it", |line| line["event"] == "pulling");
    assert!(run.kill());
    let ended = stage.pull(&url, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "delivered");
    assert_eq!((stage.inits(), stage.scene.log().drafts), (1, 1));
    let ended = stage.pull(&url, &[]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    assert_eq!(stage.inits(), 1);
}

#[test]
fn a_kill_before_the_answer_of_an_init_is_an_unknown_outcome_and_not_a_second_post() {
    let Some(stage) = Stage::new(&[], &["inbox_init nth=1 delay=20s"], "") else {
        return;
    };
    let url = stage.video("clip.mp4", MIB);
    let run = stage.pull(&url, &[]).start();
    stage.scene.sees("the init", |log| log.requests.init > 0);
    assert!(run.kill());
    stage.pull(&url, &[]).end().expect(5);
    let list = stage
        .scene
        .command(["list", "--json"])
        .end()
        .expect(0)
        .stdout;
    assert!(list.contains(r#""state":"unknown""#), "{list}");
    assert_eq!(stage.scene.log().requests.init, 1);
    stage.pull(&url, &["--again"]).end().expect(0);
    assert_eq!(stage.scene.log().requests.init, 2);
}

#[test]
fn a_pull_that_only_a_lost_history_told_of_is_not_asked_for_again_without_a_person() {
    let Some(stage) = Stage::new(&[], &[], "") else {
        return;
    };
    let url = stage.video("clip.mp4", 6_000_000);
    stage.pull(&url, &[]).end().expect(0);
    std::fs::remove_file(stage.scene.state_dir().join("history.jsonl")).unwrap();
    let ended = stage.pull(&url, &[]).end().expect(5);
    let told = ended.message();
    assert!(told.contains("have changed or are missing"), "{told}");
    assert_eq!(stage.inits(), 1);
    stage.pull(&url, &["--again"]).end().expect(0);
    let outcome = stage.pull(&url, &[]).end().expect(0).outcome();
    assert_eq!(outcome["outcome"], "already_delivered");
    assert_eq!(stage.inits(), 2);
}

#[test]
fn a_connection_never_made_and_a_refusal_leave_nothing_unknown() {
    let Some(stage) = Stage::new(&["verified_prefix=https://media.example/"], &[], "") else {
        return;
    };
    let url = stage.video("clip.mp4", MIB);
    let ended = stage.pull(&url, &[]).end().expect(4);
    let message = ended.message();
    assert!(
        message.contains("url_ownership_unverified") && message.contains("developer portal"),
        "{message}"
    );
    let list = stage.scene.command(["list"]).end().expect(0).stdout;
    assert!(list.contains("queued"), "{list}");

    let gone = Scene::new(&[], &[]);
    let base = gone.emulator.url();
    drop(gone);
    let mut command = stage.pull(&url, &[]);
    let mut run = command.env("CHUNKFERRY_API_BASE", base).start();
    run.until("it tries again", |line| line["event"] == "retry");
    assert!(run.kill());
    let list = stage.scene.command(["list"]).end().expect(0).stdout;
    assert!(!list.contains("unknown"), "{list}");
}

#[test]
fn what_the_service_would_refuse_an_hour_later_is_told_at_once() {
    let server = "location = /moved.mp4 { return 301 https://cdn.example/clip.mp4?s3cret=1; }\n\
        location = /broken.mp4 { return 503; }\n\
        location /signed/ { if ($request_method = HEAD) { return 403; } }\n\
        location /made/ { if ($request_method = HEAD) { return 200 \"\"; } }";
    let Some(stage) = Stage::new(&[], &[], server) else {
        return;
    };
    let www = stage.scene.path("www");
    std::fs::write(
        www.join("page.html"),
        "<!DOCTYPE html><html><body>Not found",
    )
    .unwrap();
    std::fs::write(www.join("empty.mp4"), "").unwrap();
    std::fs::write(www.join("page.mov"), "<!DOCTYPE html><html><body>Not found").unwrap();
    let huge = File::create(www.join("huge.mp4")).unwrap();
    huge.set_len(4_294_967_297).unwrap();
    let rows = [
        (
            stage.url("moved.mp4"),
            3,
            "redirects (301 to https://cdn.example/clip.mp4)",
        ),
        (stage.url("missing.mp4"), 3, "its host answers 404"),
        (stage.url("empty.mp4"), 3, "is empty"),
        (stage.url("page.html"), 3, "a web page"),
        (stage.url("page.mov"), 3, "a web page"),
        (stage.url("huge.mp4"), 3, "4294967297 bytes"),
        (stage.url("broken.mp4"), 75, "its host answers 503"),
        (
            "http://127.0.0.1:1/clip.mp4?s3cret".into(),
            75,
            "cannot be checked: no connection",
        ),
        (
            "http://media.example/clip.mp4?s3cret".into(),
            2,
            "https only",
        ),
        ("https://192.0.2.1/clip.mp4?s3cret".into(), 2, "IP address"),
        (
            "https://u:s3cret@media.example/clip.mp4".into(),
            2,
            "user name",
        ),
        ("clip.mp4".into(), 2, "no URL"),
    ];
    for (url, code, words) in rows {
        let ended = stage.pull(&url, &[]).end().expect(code);
        assert!(ended.message().contains(words), "{}", ended.message());
        assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    assert_eq!(stage.scene.log().requests.init, 0);
    let list = stage.scene.command(["list"]).end().expect(0);
    assert!(list.stdout.is_empty(), "{}", list.stdout);

    // A storage service signs for one method; a host may know no types, or call what it makes as it is asked for empty: the
    // first bytes decide.
    for dir in ["signed", "made"] {
        std::fs::create_dir(www.join(dir)).unwrap();
    }
    for name in ["signed/a.mp4", "b.bin", "made/c.mp4"] {
        let url = stage.video(name, MIB);
        stage.pull(&url, &[]).end().expect(0);
    }
    assert_eq!(stage.scene.log().drafts, 3);
}

#[test]
fn a_source_that_dies_and_a_pull_that_is_cancelled_say_who_must_act() {
    let set = ["receive_rate=1MB"];
    let Some(mut stage) = Stage::new(&set, &[], "") else {
        return;
    };
    let dying = stage.video("dying.mp4", 50 * MIB);
    let cancelled = stage.video("cancelled.mp4", 51 * MIB);
    let pulling = |url: &str| {
        let mut run = stage.pull(url, &[]).start();
        let line = run.until("the service has it", |line| line["event"] == "pulling");
        (run, line["publish_id"].as_str().unwrap().to_owned())
    };
    let (run, publish_id) = pulling(&cancelled);
    let cancel = |id: &str| stage.scene.command(["cancel", id]).end();
    cancel(&publish_id[..publish_id.len()]).expect(0);
    let ended = run.end().expect(1);
    assert!(
        ended.message().contains("publish_cancelled"),
        "{}",
        ended.message()
    );
    assert_eq!(ended.outcome()["error"]["who"], "developer");
    let again = cancel(&publish_id).expect(1);
    assert!(
        again.stderr.contains("publish_not_cancellable"),
        "{}",
        again.stderr
    );
    let unknown = cancel("v_inbox_url~v2.999").expect(1);
    assert!(
        unknown.stderr.contains("invalid_publish_id"),
        "{}",
        unknown.stderr
    );
    let inits = stage.inits();
    stage.pull(&cancelled, &[]).end().expect(1);
    assert_eq!(stage.inits(), inits, "it is remembered, without a request");

    let (run, _) = pulling(&dying);
    stage.scene.sees("some of it", |log| {
        log.sessions
            .iter()
            .any(|session| session.status == "PROCESSING_DOWNLOAD" && session.received > 0)
    });
    stage.nginx = {
        let www = stage.scene.path("nginx-again");
        Nginx::serving(&www, "return 404;").unwrap()
    };
    let ended = run.end().expect(4);
    assert!(
        ended.message().contains("video_pull_failed"),
        "{}",
        ended.message()
    );
    assert_eq!(ended.outcome()["error"]["who"], "developer");
    assert_eq!(stage.scene.log().drafts, 0);
}

#[test]
fn a_key_of_ones_own_tells_videos_apart_that_share_a_url_and_joins_those_that_do_not() {
    let Some(stage) = Stage::new(&[], &[], "") else {
        return;
    };
    let (latest, other) = (
        stage.video("latest.mp4", MIB),
        stage.video("other.mp4", MIB),
    );
    stage.pull(&latest, &["--key", "monday"]).end().expect(0);
    stage.pull(&latest, &["--key", "tuesday"]).end().expect(0);
    assert_eq!(stage.inits(), 2);
    let ended = stage.pull(&other, &["--key", "monday"]).end().expect(0);
    assert_eq!(ended.outcome()["outcome"], "already_delivered");
    assert_eq!(stage.inits(), 2);
    let account = ["--account", "mia"];
    let mut mia = stage.pull(&latest, &account);
    mia.args(["--key", "monday"])
        .env("TIKTOK_ACCESS_TOKEN", "act.mia.1");
    mia.end().expect(0);
    assert_eq!(stage.inits(), 3);
}

#[test]
fn the_query_of_a_url_is_written_down_nowhere() {
    let Some(stage) = Stage::new(&["verified_prefix=https://media.example/"], &[], "") else {
        return;
    };
    let url = stage.video("clip.mp4", MIB);
    let wire = stage.scene.path("wire.jsonl");
    let wire_log = ["--wire-log", wire.to_str().unwrap()];
    let refused = stage
        .pull(&url, &wire_log)
        .env("CHUNKFERRY_LOG", "trace")
        .end()
        .expect(4);
    stage
        .scene
        .emulator
        .set("verified_prefix", "http://127.0.0.1:")
        .unwrap();
    let taken = stage
        .pull(&url, &wire_log)
        .env("CHUNKFERRY_LOG", "trace")
        .end()
        .expect(0);
    // A URL also names an upload on the command line, and is said again where it names none.
    for known in [&url, &url.replace("clip", "other")] {
        for command in ["status", "cancel", "forget"] {
            let said = stage.scene.command([command, known]).end();
            assert!(!said.stderr.contains("s3cret"), "{}", said.stderr);
        }
    }
    for text in [
        &refused.stdout,
        &refused.stderr,
        &taken.stdout,
        &taken.stderr,
    ] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    let log = std::fs::read_to_string(&wire).unwrap();
    assert!(log.contains("clip.mp4") && !log.contains("s3cret"), "{log}");
    for file in files(&stage.scene.state_dir()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(6).any(|window| window == b"s3cret");
        assert!(!found, "{}", file.display());
    }
}

#[test]
fn a_signed_url_comes_from_a_file_or_from_standard_input_and_is_no_argument() {
    let scene = Scene::new(&[], &[]);
    let signed = |name: &str| format!("https://media.example/{name}?{SECRET}");
    let rogue = Rogue::start(|_| Bad::Init(text(ok(r#"{"publish_id":"p.1"}"#))));
    let at_rogue = |args: &[&str]| {
        let mut command = scene.command(["pull", "--no-preflight"]);
        command.args(args).env("CHUNKFERRY_API_BASE", &rogue.base);
        command
    };
    let urls = scene.path("urls");
    std::fs::write(
        &urls,
        format!("\u{feff}{}\r\n\n  {}\n", signed("a"), signed("b")),
    )
    .unwrap();
    let both = ["--url-file", "urls", &signed("c")];
    let ended = at_rogue(&both).end().expect(0);
    let mut names: Vec<&str> = ended
        .stdout
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);

    let mut child = at_rogue(&["--url-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(signed("d").as_bytes())
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("media.example/d\n"));

    std::fs::write(&urls, "\n\n").unwrap();
    for file in ["urls", "missing", "."] {
        let ended = at_rogue(&["--url-file", file]).end().expect(2);
        assert!(ended.stderr.contains("--url-file"), "{}", ended.stderr);
    }
    std::fs::write(&urls, format!("media.example/e?{SECRET}")).unwrap();
    let ended = at_rogue(&["--url-file", "urls"]).end().expect(2);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
}

#[test]
fn a_signed_url_in_the_wrong_place_is_not_repeated() {
    let scene = Scene::new(&[], &[]);
    let signed = format!("https://media.example/a.mp4?{SECRET}");
    for args in [
        &["upload"][..],
        &["upload", "--json"],
        &["plan"],
        &[],
        &["list"],
    ] {
        let ended = scene.command(args).arg(&signed).end();
        assert_ne!(ended.code, Some(0));
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains("s3cret"), "{args:?}: {said}");
    }
}
