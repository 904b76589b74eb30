//! Many jobs at once, and what jobs may name: what the service changes, opens, and takes in.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scene::{CHUNK, Scene, Start};
use crate::secrets::files;
use crate::serve::{Answer, Service, command, exchange, try_call, wish};

/// Submits jobs for a file, as many to an account as it is named with, in one body; each has its number as a label. Returns their ids.
fn submit_many(service: &Service, accounts: &[(&str, usize)]) -> Vec<String> {
    let lines = accounts.iter().flat_map(|(account, jobs)| {
        (0..*jobs).map(move |at| {
            let labels = json!({ "part": (at % 3).to_string(), "of": account });
            let file = format!("/no/{account}/{at}.mp4");
            json!({ "account": account, "file": file, "labels": labels }).to_string()
        })
    });
    let body = lines.collect::<Vec<_>>().join("\n");
    let head = "POST /v1/jobs HTTP/1.1\r\ncontent-type: application/x-ndjson";
    let answer = try_call(&service.socket, head, body.as_bytes()).expect("an answer");
    let jobs = answer.text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["job"]["id"].as_str().expect("a job").to_owned()
    });
    jobs.collect()
}

/// How many jobs a list has in all, by its pages.
fn listed(service: &Service, query: &str) -> usize {
    let (mut count, mut after) = (0, String::new());
    loop {
        let page = service.get(&format!("/v1/jobs?limit=700&{query}{after}"));
        count += page["jobs"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return count,
        }
    }
}

#[test]
fn a_change_of_many_jobs_is_about_those_that_are_named_and_about_no_other() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let paused = service.call("POST /v1/queue/pause").expect(200).json();
    assert_eq!(
        (&paused["paused"], &paused["running"]),
        (&json!(true), &json!(0))
    );
    let ids = submit_many(&service, &[("lena", 1_100), ("mia", 300), ("noa", 100)]);
    assert_eq!(ids.len(), 1_500);
    let act = |line: &str| {
        let answer = service
            .call(&format!("POST /v1/jobs/{line}"))
            .expect(200)
            .json();
        (
            answer["matched"].as_u64().unwrap(),
            answer["changed"].as_u64().unwrap(),
        )
    };
    assert_eq!(act("cancel?account=lena&dry_run=true"), (1_100, 0));
    assert_eq!(act("cancel?all=true&dry_run=true"), (1_500, 0));
    assert_eq!(listed(&service, "state=queued"), 1_500);

    assert_eq!(act("pause?account=lena&label=part=1"), (367, 367));
    assert_eq!(
        listed(&service, "state=paused&account=lena&label=part=1"),
        367
    );
    assert_eq!(listed(&service, "state=paused"), 367);
    assert_eq!(act("cancel?label=of=mia&label=part=0"), (100, 100));
    assert_eq!(listed(&service, "state=ended"), 100);
    assert_eq!(act("cancel?label=of=mia&label=part=0"), (100, 0));
    assert_eq!(act("retry"), (1_500, 367));
    assert_eq!(listed(&service, "state=queued"), 1_400);
    // Jobs that have not ended are not forgotten, whoever names them.
    assert_eq!(act("forget?account=mia"), (300, 100));
    assert_eq!(listed(&service, "account=mia"), 200);
    assert_eq!(
        act("cancel?account=lena&since=2999-01-01T00:00:00Z"),
        (0, 0)
    );
    assert_eq!(
        act("cancel?account=lena&since=2020-01-01T00:00:00Z"),
        (1_100, 1_100)
    );
    assert_eq!(act("forget?state=ended"), (1_100, 1_100));
    assert_eq!(act("pause"), (300, 300));
    let left = service.get("/v1/jobs?limit=1000")["jobs"].clone();
    assert_eq!(left.as_array().unwrap().len(), 300);
    // Each end has its notice.
    let ended = service.events();
    assert_eq!(ended.len(), 1_200);
    assert!(
        ended
            .iter()
            .all(|event| event["end"]["outcome"] == "cancelled")
    );
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn a_client_that_leaves_does_not_leave_a_change_of_many_jobs_half_done() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    service.call("POST /v1/queue/pause").expect(200);
    submit_many(&service, &[("lena", 1_200)]);
    let mut client = UnixStream::connect(&service.socket).unwrap();
    let head = "POST /v1/jobs/cancel?account=lena HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    while listed(&service, "state=ended") == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    drop(client);
    let begun = Instant::now();
    while listed(&service, "state=ended") < 1_200 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it broke off");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_change_of_many_jobs_that_names_none_is_refused() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    service.call("POST /v1/queue/pause").expect(200);
    submit_many(&service, &[("lena", 3)]);
    for (line, field) in [
        ("cancel", None),
        ("forget", None),
        ("cancel?dry_run=true", None),
        ("cancel?all=false", None),
        ("cancel?all=true&account=lena", Some("all")),
        ("cancel?all=yes", Some("all")),
        ("cancel?label=night", Some("label")),
        ("cancel?state=done", Some("state")),
        ("cancel?since=yesterday", Some("since")),
        ("cancel?account=lena&account=mia", Some("account")),
        ("cancel?acount=lena", None),
    ] {
        let answer = service.call(&format!("POST /v1/jobs/{line}"));
        let problem = answer.expect(400).json();
        assert_eq!(problem["field"].as_str(), field, "{line}: {problem}");
    }
    assert_eq!(listed(&service, "state=queued"), 3);
}

#[test]
fn a_queue_that_was_paused_stays_so_over_a_restart_and_takes_jobs() {
    let scene = Scene::new(&["receive_rate=4MB"], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 4 * CHUNK);
    let running = service.post(None, &wish(&file, "lena")).expect(202).json();
    scene.sees("a chunk", |log| log.requests.put > 0);
    let state = service.call("POST /v1/queue/pause").expect(200).json();
    assert_eq!(state["running"], 0, "{state}");
    assert!(state["paused_since"].is_string(), "{state}");
    let puts = scene.log().requests.put;
    assert!(service.running.kill());

    let service = Service::start(&scene, &[]);
    assert_eq!(service.get("/v1/queue"), state);
    let other = scene.video("other.mp4", 1_000_000);
    let waiting = service.post(None, &wish(&other, "mia")).expect(202).json();
    for job in [&running, &waiting] {
        let id = job["id"].as_str().unwrap();
        let job = service.get(&format!("/v1/jobs/{id}?wait=1s"));
        assert_eq!(job["state"], "queued", "{job}");
    }
    assert_eq!(scene.log().requests.put, puts);
    let state = service.call("POST /v1/queue/resume").expect(200).json();
    assert_eq!(state["paused"], false);
    for job in [&running, &waiting] {
        assert_eq!(service.ended(&job["id"])["end"]["outcome"], "delivered");
    }
    assert_eq!(scene.log().drafts, 2);
}

/// `serve` with a list of what jobs may name.
fn with_sources(scene: &Scene, allow: &[&str]) -> Service {
    let mut started = command(scene, &[]);
    let config = scene.path("config.toml");
    let mut text = fs::read_to_string(&config).unwrap();
    text += &format!("[sources]\nallow = {}\n", json!(allow));
    fs::write(&config, text).unwrap();
    Service::of(&mut started, scene.state_dir().join("socket"))
}

#[test]
fn what_the_list_does_not_allow_is_refused_before_it_is_recorded() {
    let scene = Scene::new(&[], &[]);
    let [videos, others] = ["videos", "others"].map(|name| scene.path(name));
    for dir in [&videos, &others] {
        fs::create_dir(dir).unwrap();
    }
    let clip = scene.video_in(&videos, "clip.mp4", 1_000_000);
    let secret = scene.video_in(&others, "secret.mp4", 1_000_001);
    symlink(&others, videos.join("up")).unwrap();
    symlink("../others/secret.mp4", videos.join("out.mp4")).unwrap();
    symlink("clip.mp4", videos.join("link.mp4")).unwrap();
    let root = videos.to_str().unwrap();
    let allow = [
        root,
        "https://media.example.com",
        "https://cdn.example.com/team/",
    ];
    let service = with_sources(&scene, &allow);

    let files = [
        secret.to_str().unwrap().to_owned(),
        format!("{root}/../others/secret.mp4"),
        format!("{root}/up/secret.mp4"),
        format!("{root}/out.mp4"),
        format!("{root}s/clip.mp4"),
        format!("{root}/up/../clip.mp4"),
        root.to_owned(),
    ];
    let urls = [
        "https://media.example.com.evil.org/clip.mp4",
        "https://media.example.com@evil.org/clip.mp4",
        "https://lena:s3cr3t@media.example.com/clip.mp4",
        "https://cdn.example.com/teammate/clip.mp4",
        "https://cdn.example.com/team/%2e%2e/clip.mp4",
        "https://cdn.example.com/team/..%2fclip.mp4",
    ];
    let files = files.iter().map(|file| ("file", file.as_str()));
    let urls = urls.iter().map(|url| ("url", *url));
    for (field, value) in files.chain(urls) {
        let job = json!({ "account": "lena", "id": "a", field: value });
        let answer = service.post(None, job.to_string().as_bytes());
        let problem = answer.expect(403).json();
        assert_eq!(
            (&problem["code"], &problem["field"]),
            (&json!("forbidden"), &json!(field)),
            "{value}"
        );
        assert!(!problem.to_string().contains("s3cr3t"), "{problem}");
    }
    assert_eq!(service.get("/v1/jobs")["jobs"], json!([]));

    // Nothing of the id was taken either.
    let job = service
        .post(Some("a"), &wish(&clip, "lena"))
        .expect(202)
        .json();
    assert_eq!(service.ended(&job["id"])["end"]["outcome"], "delivered");
    let link = service.post(None, &wish(&videos.join("link.mp4"), "mia"));
    assert_eq!(
        service.ended(&link.expect(202).json()["id"])["end"]["outcome"],
        "delivered"
    );
    let missing = service.post(None, &wish(&videos.join("missing.mp4"), "mia"));
    assert_eq!(
        service.ended(&missing.expect(202).json()["id"])["end"]["outcome"],
        "source"
    );
    let url =
        json!({ "account": "lena", "url": "https://media.example.com/a.mp4", "preflight": false });
    service.post(None, url.to_string().as_bytes()).expect(202);
}

#[test]
fn a_link_that_is_laid_after_the_submit_leads_nowhere() {
    let scene = Scene::new(&[], &[]);
    let [videos, others] = ["videos", "others"].map(|name| scene.path(name));
    for dir in [&videos, &videos.join("night"), &others] {
        fs::create_dir(dir).unwrap();
    }
    let clip = scene.video_in(&videos.join("night"), "clip.mp4", 1_000_000);
    let second = scene.video_in(&videos, "second.mp4", 1_000_002);
    let secret = scene.video_in(&others, "clip.mp4", 1_000_001);
    let service = with_sources(&scene, &[videos.to_str().unwrap()]);
    service.call("POST /v1/queue/pause").expect(200);
    let jobs = [&clip, &second].map(|file| {
        let answer = service.post(None, &wish(file, "lena"));
        answer.expect(202).json()["id"].clone()
    });
    fs::rename(videos.join("night"), videos.join("day")).unwrap();
    symlink(&others, videos.join("night")).unwrap();
    fs::remove_file(&second).unwrap();
    symlink(&secret, &second).unwrap();
    // The root is a part of the job, also after a restart with another list.
    assert!(service.running.kill());
    let service = Service::start(&scene, &[]);
    service.call("POST /v1/queue/resume").expect(200);
    for job in &jobs {
        let end = service.ended(job)["end"].clone();
        assert_eq!(end["outcome"], "source", "{end}");
        let why = end["why"].as_str().unwrap();
        assert!(why.contains("lies outside of the folder"), "{why}");
    }
    assert_eq!(scene.log().requests.init, 0);
}

#[test]
fn a_list_that_could_be_read_in_two_ways_ends_the_service_before_it_begins() {
    let scene = Scene::new(&[], &[]);
    for (sources, word) in [
        ("allow = [\"https://cdn.example.com/team\"]", "end with /"),
        ("allow = [\"http://cdn.example.com\"]", "https"),
        ("allow = [\"https://lena@cdn.example.com\"]", "user name"),
        ("allow = [\"https://192.0.2.1\"]", "name of a host"),
        ("allow = [\"https://cdn.example.com/?a=b\"]", "query"),
        ("allow = [\"https://cdn.example.com/%2e/\"]", "%"),
        ("allow = [\"/videos/../etc\"]", ".."),
        ("allow = \"/videos\"", "list"),
        ("allow = [1]", "text"),
        ("alow = []", "allow"),
        ("", "allow"),
    ] {
        let mut started = command(&scene, &[]);
        let text = format!("[sources]\n{sources}\n");
        fs::write(scene.path("config.toml"), text).unwrap();
        let ended = started.end().expect(2);
        let message = ended.message();
        assert!(message.contains(word), "{sources}: {message}");
        assert!(message.contains("sources"), "{sources}: {message}");
    }
    assert!(!scene.state_dir().exists());
}

#[test]
fn a_record_and_its_event_say_where_the_video_goes_and_nothing_is_posted() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let job = json!({ "account": "lena", "file": file, "post": { "title": "a" } });
    let answer = service.post(None, job.to_string().as_bytes());
    let problem = answer.expect(400).json();
    assert_eq!(
        (&problem["code"], &problem["field"]),
        (&json!("not_supported"), &json!("post"))
    );
    let job = service.post(None, &wish(&file, "lena")).expect(202).json();
    assert_eq!(job["destination"], "inbox");
    service.ended(&job["id"]);
    assert_eq!(service.events()[0]["destination"], "inbox");
}

/// Sends a video with its job.
fn try_send(socket: &Path, job: &Value, body: &[u8]) -> Option<Answer> {
    let head =
        format!("POST /v1/jobs HTTP/1.1\r\ncontent-type: video/mp4\r\nchunkferry-job: {job}");
    try_call(socket, &head, body)
}

#[track_caller]
fn send(service: &Service, job: &Value, body: &[u8]) -> Answer {
    try_send(&service.socket, job, body).expect("an answer")
}

/// The files of the spool.
fn spooled(scene: &Scene) -> Vec<PathBuf> {
    match scene.state_dir().join("spool") {
        dir if dir.exists() => files(&dir),
        _ => Vec::new(),
    }
}

fn until_spooled(scene: &Scene, count: usize) {
    let begun = Instant::now();
    while spooled(scene).len() != count {
        let found = spooled(scene);
        assert!(begun.elapsed() < Duration::from_secs(30), "{found:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_video_that_comes_with_its_job_is_one_draft_and_leaves_no_file() {
    let scene = Scene::new(&[], &[]);
    let mut service = Service::start(&scene, &[]);
    service.call("POST /v1/queue/pause").expect(200);
    let file = scene.video("clip.mp4", 2 * CHUNK + 7);
    let bytes = fs::read(&file).unwrap();
    let job = json!({ "account": "lena", "id": "a", "name": "night.mp4", "chunk_size": CHUNK });
    let taken = send(&service, &job, &bytes).expect(202).json();
    assert_eq!(taken["source"], "night.mp4");
    let other = json!({ "account": "mia", "labels": { "night": "7" } });
    let other_bytes = fs::read(scene.video("other.mp4", 1_000_001)).unwrap();
    let other = send(&service, &other, &other_bytes).expect(202).json();
    assert_eq!(other["source"], "body");
    let kept = spooled(&scene);
    assert_eq!(kept.len(), 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&kept[0]), mode(kept[0].parent().unwrap())),
        (0o600, 0o700)
    );

    // The video is there after a kill, and when the upload is carried on.
    assert!(service.running.kill());
    service = Service::start(&scene, &[]);
    service.call("POST /v1/queue/resume").expect(200);
    for job in [&taken, &other] {
        assert_eq!(service.ended(&job["id"])["end"]["outcome"], "delivered");
    }
    until_spooled(&scene, 0);
    let sessions = scene.log().sessions;
    assert_eq!(sessions.len(), 2);
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let sent: BTreeSet<_> = [&taken, &other]
        .map(|job| {
            service.ended(&job["id"])["end"]["sha256"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .into();
    assert_eq!(sent, [digest(&bytes), digest(&other_bytes)].into());

    // One that is no video ends as such, one that is cancelled is gone, too.
    let wrong = json!({ "account": "lena", "name": "notes.txt" });
    let wrong = send(&service, &wrong, b"no video").expect(202).json();
    assert_eq!(service.ended(&wrong["id"])["end"]["outcome"], "source");
    service.call("POST /v1/queue/pause").expect(200);
    let job = json!({ "account": "lena" });
    send(&service, &job, &bytes).expect(202);
    until_spooled(&scene, 1);
    service
        .call("POST /v1/jobs/cancel?account=lena")
        .expect(200);
    until_spooled(&scene, 0);
}

#[test]
fn a_video_that_comes_twice_is_one_job_and_other_bytes_under_its_id_are_refused() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let file = scene.video("clip.mp4", 3_000_000);
    let bytes = fs::read(&file).unwrap();
    let job = json!({ "account": "lena", "id": "a", "name": "clip.mp4" });
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (socket, job, bytes) = (service.socket.clone(), job.clone(), bytes.clone());
            thread::spawn(move || try_send(&socket, &job, &bytes).expect("an answer"))
        })
        .collect();
    let answers: Vec<Answer> = clients.into_iter().map(|of| of.join().unwrap()).collect();
    let of = |status| answers.iter().filter(|of| of.status == status).count();
    assert_eq!((of(202), of(200)), (1, 7), "{answers:?}");
    let id = answers[0].json()["id"].clone();
    assert!(answers.iter().all(|answer| answer.json()["id"] == id));

    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    let problem = send(&service, &job, &changed).expect(409).json();
    assert_eq!(
        (&problem["code"], &problem["field"], &problem["job"]),
        (&json!("id_taken"), &json!("body"), &id)
    );
    let problem = service
        .post(Some("a"), &wish(&file, "lena"))
        .expect(409)
        .json();
    assert_eq!(problem["job"], id);
    let renamed = json!({ "account": "lena", "id": "a", "name": "another.mp4" });
    assert_eq!(
        send(&service, &renamed, &bytes).expect(200).json()["id"],
        id
    );
    assert_eq!(service.ended(&id)["end"]["outcome"], "delivered");
    assert_eq!(send(&service, &job, &bytes).expect(200).json()["id"], id);
    until_spooled(&scene, 0);
    scene.assert_one_draft_of(&file);
}

#[test]
fn a_video_that_does_not_arrive_whole_is_no_job_and_leaves_no_file() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let bytes = fs::read(scene.video("clip.mp4", 3_000_000)).unwrap();
    let begin = || {
        let mut client = UnixStream::connect(&service.socket).unwrap();
        let head = "POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-type: video/mp4\r\n\
            chunkferry-job: {\"account\": \"lena\"}\r\ncontent-length: 3000000\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&bytes[..2_500_000]).unwrap();
        until_spooled(&scene, 1);
        client
    };
    drop(begin());
    until_spooled(&scene, 0);
    let _held = begin();
    assert!(service.running.kill());
    assert_eq!(spooled(&scene).len(), 1);
    let service = Service::start(&scene, &[]);
    until_spooled(&scene, 0);
    assert_eq!(service.get("/v1/jobs")["jobs"], json!([]));
}

#[cfg(debug_assertions)]
#[test]
fn a_kill_between_a_video_and_its_job_loses_neither_what_was_answered_nor_room() {
    for (point, recorded) in [("spool synced 1", 0), ("job accepted 1", 1)] {
        let scene = Scene::new(&[], &[]);
        let mut started = command(&scene, &[]);
        started.env("CHUNKFERRY_KILL_POINT", point);
        let service = Service::of(&mut started, scene.state_dir().join("socket"));
        let file = scene.video("clip.mp4", 3_000_000);
        let bytes = fs::read(&file).unwrap();
        let job = json!({ "account": "lena", "id": "a" });
        assert!(try_send(&service.socket, &job, &bytes).is_none(), "{point}");
        assert_eq!(spooled(&scene).len(), 1, "{point}");
        drop(service);

        let service = Service::start(&scene, &[]);
        assert_eq!(listed(&service, ""), recorded, "{point}");
        let again = send(&service, &job, &bytes);
        assert_eq!(again.status, [202, 200][recorded], "{point}: {again:?}");
        let ended = service.ended(&again.json()["id"]);
        assert_eq!(ended["end"]["outcome"], "delivered", "{point}: {ended}");
        until_spooled(&scene, 0);
        scene.assert_one_draft_of(&file);
    }
}

#[test]
fn a_video_for_which_there_is_no_room_is_not_asked_for() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &["--spool-limit", "4MB"]);
    service.call("POST /v1/queue/pause").expect(200);
    let bytes = fs::read(scene.video("clip.mp4", 3_000_000)).unwrap();
    let job = json!({ "account": "lena" });
    let first = send(&service, &job, &bytes).expect(202).json();
    let full = send(&service, &job, &bytes).expect(507).json();
    assert_eq!(full["code"], "spool_full", "{full}");
    let begin = |more: &str| {
        let mut client = UnixStream::connect(&service.socket).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-type: video/mp4\r\n\
            chunkferry-job: {job}\r\n{more}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).unwrap();
        client
    };
    let line = |client: &UnixStream| {
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line
    };
    let (expects, much) = ("expect: 100-continue\r\n", "content-length: 4294967297");
    assert!(line(&begin(much)).starts_with("HTTP/1.1 413 "));
    assert!(line(&begin(&format!("{expects}{much}"))).starts_with("HTTP/1.1 413 "));
    let some = "content-length: 3000000";
    assert!(line(&begin(&format!("{expects}{some}"))).starts_with("HTTP/1.1 507 "));
    // A body of unknown length is refused where it is too much.
    let mut client = begin("transfer-encoding: chunked");
    client
        .write_all(format!("{:x}\r\n", bytes.len()).as_bytes())
        .unwrap();
    client.write_all(&bytes).unwrap();
    client.write_all(b"\r\n0\r\n\r\n").unwrap();
    assert!(line(&client).starts_with("HTTP/1.1 507 "));
    until_spooled(&scene, 1);

    // An end makes room.
    let id = first["id"].as_str().unwrap();
    service
        .call(&format!("POST /v1/jobs/{id}/cancel"))
        .expect(200);
    until_spooled(&scene, 0);
    let mut client = begin(&format!("{expects}{some}"));
    let asked = line(&client);
    assert!(asked.starts_with("HTTP/1.1 100 "), "{asked}");
    client.write_all(&bytes).unwrap();
    let mut answer = BufReader::new(&client).lines().map_while(Result::ok);
    assert!(answer.any(|line| line.starts_with("HTTP/1.1 202 ")));
}

#[test]
fn a_video_whose_job_is_no_job_is_refused_before_it_is_kept() {
    let scene = Scene::new(&[], &[]);
    let service = Service::start(&scene, &[]);
    let bytes = fs::read(scene.video("clip.mp4", 1_000_000)).unwrap();
    for (job, status, word) in [
        (json!({}), 400, "account"),
        (json!({ "account": "nobody" }), 422, "nobody"),
        (
            json!({ "account": "lena", "file": "/clip.mp4" }),
            400,
            "file",
        ),
        (
            json!({ "account": "lena", "url": "https://a.b/c" }),
            400,
            "url",
        ),
        (
            json!({ "account": "lena", "allow_writer": true }),
            400,
            "allow_writer",
        ),
        (json!({ "account": "lena", "nam": "a" }), 400, "name"),
        (json!({ "account": "lena", "name": "a\nb" }), 400, "name"),
        (
            json!({ "account": "lena", "destination": "direct" }),
            400,
            "drafts",
        ),
        (
            json!({ "account": "lena", "name": "a".repeat(17_000) }),
            431,
            "longer",
        ),
        (json!([]), 400, "object"),
    ] {
        let problem = send(&service, &job, &bytes).expect(status).json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{word}: {detail}");
    }
    let head = "POST /v1/jobs HTTP/1.1\r\ncontent-type: video/mp4";
    let none = try_call(&service.socket, head, &bytes).unwrap().expect(400);
    assert!(none.text.contains("Chunkferry-Job"), "{}", none.text);
    let empty = send(&service, &json!({ "account": "lena" }), b"").expect(400);
    assert!(empty.text.contains("no bytes"), "{}", empty.text);
    let file = json!({ "account": "lena", "file": "/clip.mp4", "name": "a" });
    service.post(None, file.to_string().as_bytes()).expect(400);
    until_spooled(&scene, 0);
    assert_eq!(service.get("/v1/jobs")["jobs"], json!([]));
}

#[test]
fn over_the_network_a_key_names_only_what_the_list_allows_and_sends_videos_for_its_accounts_alone()
{
    const KEY: &str = "key-for-lena-0123456789abc";
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 1_000_000);
    let bytes = fs::read(&file).unwrap();
    let sha256 = hex::encode(Sha256::digest(KEY));
    let keys = scene.path("keys.toml");
    let text = "[[key]]\nname = \"lena\"\nrole = \"submit\"\naccounts = [\"lena\"]\n";
    fs::write(&keys, format!("{text}sha256 = \"{sha256}\"\n")).unwrap();
    let args = ["--listen", "127.0.0.1:0", "--api-keys-file"];
    let mut started = command(&scene, &args);
    let mut running = started.arg(keys).start();
    let line = running.until("it listens", |line| line["event"] == "listening");
    let address = line["url"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let call = |line: &str, headers: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\n{headers}"
        );
        exchange(&mut stream, &head, body).expect("an answer")
    };
    let json = "content-type: application/json";
    let named = call("POST /v1/jobs", json, &wish(&file, "lena")).expect(403);
    assert_eq!(named.json()["field"], "file");
    let video = |account: &str| {
        let job = json!({ "account": account });
        let headers = format!("content-type: video/mp4\r\nchunkferry-job: {job}");
        call("POST /v1/jobs", &headers, &bytes)
    };
    assert_eq!(video("mia").expect(403).json()["field"], "account");
    until_spooled(&scene, 0);
    let job = video("lena").expect(202).json();
    let id = job["id"].as_str().unwrap();
    let ended = call(&format!("GET /v1/jobs/{id}?wait=60s"), json, b"").expect(200);
    assert_eq!(ended.json()["end"]["outcome"], "delivered");
    // What is about the jobs of all accounts is for admins.
    for line in [
        "/v1/jobs/cancel?account=lena",
        "/v1/jobs/pause",
        "/v1/queue/pause",
    ] {
        call(&format!("POST {line}"), json, b"").expect(403);
    }
    scene.assert_one_draft_of(&file);
}
