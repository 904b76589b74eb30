//! What can only be seen from outside the process: connections, syncs, memory, and other programs' uploads.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chunkferry::emulator::Process;

use crate::proxy::Proxy;
use crate::scene::{CHUNK, Scene, Start, full};
use crate::{alter, video};

/// Whether a program this test drives is here; where it is not, the test says so and proves nothing.
fn has(program: &str) -> bool {
    let tried = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let here = tried.is_ok_and(|status| status.success());
    if !here {
        eprintln!("skipped: {program} is not installed");
    }
    here
}

#[test]
fn a_clean_upload_uses_one_connection() {
    let scene = Scene::new(&[], &[]);
    let proxy = Proxy::before(scene.emulator.address());
    let file = scene.video("clip.mp4", 60_000_000);
    let mut command = scene.upload(&file, &[]);
    let ended = command
        .env("CHUNKFERRY_API_BASE", proxy.url())
        .end()
        .expect(0);
    assert_eq!(ended.outcome()["bytes_resent"], 0);
    scene.assert_one_draft_of(&file);
    assert_eq!(scene.log().requests.put, 11);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn no_chunk_is_complete_before_the_one_before_it_is_on_disk() {
    if !has("strace") {
        return;
    }
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 8 * CHUNK);
    let upload = scene.upload(&file, &[]);
    let trace = scene.path("trace");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-s",
        "24",
        "-e",
        "trace=fsync,fdatasync,write,writev,sendto,sendmsg,read,recvfrom",
    ]);
    command
        .arg("-o")
        .arg(&trace)
        .arg(upload.get_program())
        .args(upload.get_args());
    command.env_clear().envs(
        upload
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    let ended = command.current_dir(scene.path("")).end();
    if ended.code != Some(0) && ended.stderr.contains("PTRACE") {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    ended.expect(0);
    scene.assert_one_draft_of(&file);

    // In the order of the calls' returns: a sync of the journal's own file between each answer and the next one. The next
    // chunk may begin before that sync, and its last piece, without which there is no answer, waits for it.
    let trace = fs::read_to_string(trace).unwrap();
    let (mut puts, mut answers, mut unsynced) = (0, 0, false);
    let mut syncing = Vec::new();
    for line in trace.lines() {
        let thread = line.split_whitespace().next();
        let journal = line.contains("/journal/db>");
        if line.contains("HTTP/1.1 206") {
            assert!(
                !unsynced,
                "a chunk was complete before chunk {answers} was durable:\n{trace}"
            );
            answers += 1;
            unsynced = true;
        } else if line.contains("sync(") && line.contains("unfinished") && journal {
            syncing.push(thread);
        } else if line.contains("sync(") && journal {
            unsynced = false;
        } else if line.contains("sync resumed") && syncing.contains(&thread) {
            syncing.retain(|other| *other != thread);
            unsynced = false;
        } else if line.contains("\"PUT /") {
            puts += 1;
        }
    }
    assert_eq!(
        (puts, answers),
        (8, 7),
        "or this test looks for the wrong calls"
    );
}

/// The peak of an upload's memory in KiB.
#[cfg(target_os = "linux")]
fn peak(size: u64) -> u64 {
    let scene = Scene::new(&[], &[]);
    let file = scene.path("big.mp4");
    alter::write_sparse(&file, size);
    let mut run = scene
        .command(["upload", "--json", "--chunk-size", "10MB", "big.mp4"])
        .start();
    let status = format!("/proc/{}/status", run.pid());
    let mut peak = 0;
    while run.is_running() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    run.end().expect(0);
    scene.assert_one_draft_of(&file);
    println!("peak memory of {size} bytes: {peak} KiB");
    assert!(peak > 1024, "nothing was measured");
    peak
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_file() {
    let small = peak(30_000_000);
    let big = peak(if full() { 4_000_000_000 } else { 1_000_000_000 });
    assert!(
        big <= small + 4 * 1024,
        "{small} KiB for a small file, {big} KiB for a big one"
    );
    // An unoptimised build starts with some 24 MiB more, whatever the file.
    let most = if cfg!(debug_assertions) { 56 } else { 32 };
    assert!(big <= most * 1024, "{big} KiB");
}

/// As the documents show them.
struct Curl<'a> {
    scene: &'a Scene,
}

impl Curl<'_> {
    fn run(&self, args: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["--silent", "--show-error"])
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn post(&self, path: &str, json: &str) -> serde_json::Value {
        let url = format!("{}{path}", self.scene.emulator.url());
        let answer = self.run(&[
            "--location",
            &url,
            "--header",
            "Authorization: Bearer act.example12345Example12345Example",
            "--header",
            "Content-Type: application/json; charset=UTF-8",
            "--data-raw",
            json,
        ]);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["code"], "ok", "{answer}");
        answer["data"].clone()
    }

    fn init(&self, size: u64, chunk: u64, count: u64) -> (String, String) {
        let json = format!(
            r#"{{"source_info": {{"source": "FILE_UPLOAD", "video_size": {size}, "chunk_size": {chunk}, "total_chunk_count": {count}}}}}"#
        );
        let data = self.post("/v2/post/publish/inbox/video/init/", &json);
        let text = |key: &str| data[key].as_str().unwrap().to_owned();
        (text("publish_id"), text("upload_url"))
    }

    /// The HTTP status of a PUT of `file`.
    fn put(&self, url: &str, range: &str, file: &Path) -> String {
        let body = format!("@{}", file.display());
        let range = format!("Content-Range: {range}");
        self.run(&[
            "--location",
            "--request",
            "PUT",
            url,
            "--header",
            &range,
            "--header",
            "Content-Type: video/mp4",
            "--data-binary",
            &body,
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ])
    }

    fn status(&self, publish_id: &str) -> serde_json::Value {
        let json = format!(r#"{{"publish_id": "{publish_id}"}}"#);
        self.post("/v2/post/publish/status/fetch/", &json)
    }
}

#[test]
fn the_official_curl_commands_upload_a_whole_file() {
    if !has("curl") {
        return;
    }
    let scene = Scene::new(&[], &[]);
    let curl = Curl { scene: &scene };
    let file = scene.video("clip.mp4", 30_567_100);
    let (publish_id, url) = curl.init(30_567_100, 30_567_100, 1);
    assert_eq!(curl.status(&publish_id)["uploaded_bytes"], 0);
    assert_eq!(curl.put(&url, "bytes 0-30567099/30567100", &file), "201");
    assert_eq!(curl.status(&publish_id)["status"], "SEND_TO_USER_INBOX");
    scene.assert_one_draft_of(&file);
}

#[test]
fn the_official_curl_commands_upload_the_documents_five_chunks() {
    if !has("curl") {
        return;
    }
    let scene = Scene::new(&[], &[]);
    let curl = Curl { scene: &scene };
    let file = scene.video("clip.mp4", 50_000_123);
    let bytes = fs::read(&file).unwrap();
    let (publish_id, url) = curl.init(50_000_123, 10_000_000, 5);
    let ranges = [
        (0, 9_999_999, "206"),
        (10_000_000, 19_999_999, "206"),
        (20_000_000, 29_999_999, "206"),
        (30_000_000, 39_999_999, "206"),
        (40_000_000, 50_000_122, "201"),
    ];
    for (first, last, expected) in ranges {
        let chunk = scene.path("chunk");
        fs::File::create(&chunk)
            .unwrap()
            .write_all(&bytes[first..=last])
            .unwrap();
        let range = format!("bytes {first}-{last}/50000123");
        assert_eq!(curl.put(&url, &range, &chunk), expected, "{range}");
        let status = curl.status(&publish_id);
        assert_eq!(status["uploaded_bytes"], last + 1, "{status}");
    }
    assert_eq!(curl.status(&publish_id)["status"], "SEND_TO_USER_INBOX");
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_separately_started_emulator_receives_and_keeps_the_file_byte_for_byte() {
    // The scene's own emulator stays out of it.
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 40_000_000);
    let mut server = scene.command(["emulator", "--listen", "127.0.0.1:0", "--dir", "kept"]);
    let server = Process::spawn(&mut server).unwrap();

    let mut upload = scene.upload(&file, &["--api-base", server.url()]);
    let ended = upload.end().expect(0);
    assert_eq!(ended.outcome()["sha256"], *video::sha256(&file));
    let log = server.client().log().unwrap();
    assert_eq!((log.inits, log.drafts, log.requests.put), (1, 1, 7));
    assert_eq!(log.sessions[0].sha256, Some(video::sha256(&file)));
    let kept: Vec<_> = fs::read_dir(scene.path("kept"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].extension().unwrap(), "mp4");
    assert!(fs::read(&kept[0]).unwrap() == fs::read(&file).unwrap());

    let status = server.stop().unwrap();
    assert!(status.success(), "SIGTERM is its normal end: {status}");
}
