//! Watched folders: each file is one draft, byte for byte, once its writer is done; whatever the writer does, and whatever is killed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scene::{Scene, Start};
use crate::serve::{Service, command};
use crate::video;

/// A service with these tables in its config file.
fn serve(scene: &Scene, tables: &str) -> Service {
    let mut command = command(scene, &[]);
    let path = scene.path("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config + tables).unwrap();
    Service::of(&mut command, scene.state_dir().join("socket"))
}

/// A folder that is watched for lena.
fn folder(scene: &Scene, more: &str) -> (PathBuf, String) {
    let dir = scene.path("in");
    fs::create_dir_all(&dir).unwrap();
    let table = format!("[[watch]]\npath = \"in\"\naccount = \"lena\"\nscan = 1\n{more}\n");
    (dir, table)
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(120), "never {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The only watched folder, as the service shows it.
fn shown(service: &Service) -> Value {
    service.get("/v1/watches")["watches"][0].clone()
}

/// The digests of the drafts, in the order of their inits.
fn drafts(scene: &Scene) -> Vec<String> {
    let sessions = scene.log().sessions.into_iter();
    sessions.filter_map(|session| session.sha256).collect()
}

#[test]
fn a_file_that_comes_into_the_folder_is_one_draft_and_is_put_away() {
    let scene = Scene::new(&[], &[]);
    let (dir, table) = folder(&scene, "done_dir = \"done\"\nlabels = { from = \"night\" }");
    let service = serve(&scene, &table);
    let made = scene.video("made.mp4", 1_000_000);
    let wanted = video::sha256(&made);
    fs::rename(&made, dir.join("clip.mp4")).unwrap();
    let done = scene.path("done/clip.mp4");
    until("put away", || done.exists());
    assert_eq!(drafts(&scene), [&*wanted]);
    assert_eq!(video::sha256(&done), wanted);
    assert!(fs::read_dir(&dir).unwrap().next().is_none());
    let jobs = service.get("/v1/jobs");
    let jobs = jobs["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["labels"], json!({ "from": "night" }));

    // Another one of that name does not take the place of the first.
    let made = scene.video("other.mp4", 1_000_001);
    fs::rename(&made, dir.join("clip.mp4")).unwrap();
    until("put away", || scene.path("done/clip (2).mp4").exists());
    assert_eq!(scene.log().drafts, 2);
    assert_eq!(video::sha256(&done), wanted);
}

#[test]
fn what_was_delivered_is_not_found_again_whatever_leads_to_its_folder() {
    let scene = Scene::new(&[], &[]);
    // The folder of delivered files lies in the watched one, and is named by a link.
    fs::create_dir_all(scene.path("in/sent")).unwrap();
    symlink(scene.path("in/sent"), scene.path("link")).unwrap();
    let (dir, table) = folder(&scene, "done_dir = \"link\"\nrecursive = true");
    let service = serve(&scene, &table);
    fs::create_dir(dir.join("a")).unwrap();
    fs::rename(scene.video("one", 1_000_000), dir.join("a/one.mp4")).unwrap();
    until("put away", || dir.join("sent/a/one.mp4").exists());
    thread::sleep(Duration::from_millis(2_500));
    assert_eq!(service.get("/v1/jobs")["jobs"].as_array().unwrap().len(), 1);
    assert!(dir.join("sent/a/one.mp4").exists());
}

/// Whether ffmpeg is there; a test that needs it says so if not, and proves nothing then.
fn has_ffmpeg() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !found {
        eprintln!("NOT TESTED: ffmpeg is missing");
    }
    found
}

/// Begins to write a video of three seconds in real time.
fn ffmpeg(to: &Path, options: &[&str]) -> std::process::Child {
    let source = "testsrc=size=320x240:rate=25:duration=3";
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-re", "-f", "lavfi", "-i", source])
        .args(["-threads", "1", "-flush_packets", "1"])
        .args(options)
        .arg(to)
        .stdin(Stdio::null());
    command.spawn().unwrap()
}

/// The ways in which programs write files; each gives the path that the file has in the end, and returns when it is whole.
type Writer = fn(&Path, &Path) -> PathBuf;

const X264: [&str; 4] = ["-c:v", "libx264", "-preset", "ultrafast"];

fn encode(to: &Path, options: &[&str]) {
    let options = [&X264[..], &["-g", "10"], options].concat();
    assert!(ffmpeg(to, &options).wait().unwrap().success());
}

const ENCODERS: [(&str, Writer); 5] = [
    ("plain MP4", |dir, _| {
        let path = dir.join("plain.mp4");
        encode(&path, &[]);
        path
    }),
    ("MP4 with the index in front", |dir, _| {
        let path = dir.join("faststart.mp4");
        encode(&path, &["-movflags", "+faststart"]);
        path
    }),
    ("MP4 in fragments", |dir, _| {
        let path = dir.join("fragments.mp4");
        encode(&path, &["-movflags", "+frag_keyframe+empty_moov"]);
        path
    }),
    ("WebM", |dir, _| {
        let path = dir.join("live.webm");
        let options = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"];
        assert!(ffmpeg(&path, &options).wait().unwrap().success());
        path
    }),
    ("a rename from a temporary name", |dir, _| {
        let part = dir.join("renamed.mp4.part");
        encode(&part, &["-f", "mp4", "-metadata", "title=another"]);
        let path = dir.join("renamed.mp4");
        fs::rename(part, &path).unwrap();
        path
    }),
];

/// Writes the bytes in steps, each of which may be looked at.
fn slowly(bytes: &[u8], steps: usize, mut write: impl FnMut(usize, &[u8])) {
    let size = bytes.len().div_ceil(steps);
    for (at, piece) in bytes.chunks(size).enumerate() {
        write(at * size, piece);
        thread::sleep(Duration::from_millis(400));
    }
}

const COPIERS: [(&str, Writer); 5] = [
    ("a slow copy", |dir, whole| {
        let path = dir.join("copy.mp4");
        let mut file = File::create(&path).unwrap();
        slowly(&fs::read(whole).unwrap(), 6, |_, piece| {
            file.write_all(piece).unwrap();
        });
        path
    }),
    ("appends, each by an open of its own", |dir, whole| {
        let path = dir.join("appended.mp4");
        slowly(&fs::read(whole).unwrap(), 6, |_, piece| {
            let file = File::options().create(true).append(true).open(&path);
            file.unwrap().write_all(piece).unwrap();
        });
        path
    }),
    ("a file of its full size that fills", |dir, whole| {
        use std::os::unix::fs::FileExt;
        let path = dir.join("reserved.mp4");
        let bytes = fs::read(whole).unwrap();
        let file = File::create(&path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        // A lease shows the writer; the box of the media is whole from the first piece on.
        slowly(&bytes, 6, |at, piece| {
            file.write_all_at(piece, at as u64).unwrap()
        });
        path
    }),
    (
        "a copy that becomes whole by its last bytes",
        |dir, whole| {
            let path = dir.join("late.mp4");
            let bytes = fs::read(whole).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            thread::sleep(Duration::from_millis(2_500));
            let mut file = File::options().append(true).open(&path).unwrap();
            file.write_all(&bytes[bytes.len() - 1..]).unwrap();
            path
        },
    ),
    ("a temporary name beside its end", |dir, whole| {
        let part = dir.join(".hidden.mp4.Xk2a");
        fs::copy(whole, &part).unwrap();
        thread::sleep(Duration::from_millis(1_500));
        let path = dir.join("hidden.mp4");
        fs::rename(part, &path).unwrap();
        path
    }),
];

/// Runs all writers at once, and expects exactly one draft of each file.
fn each_is_one_draft(writers: &[(&'static str, Writer)], more: &str) {
    let scene = Scene::new(&["init_per_minute=100", "pending_cap=100"], &[]);
    let (dir, table) = folder(&scene, more);
    let service = serve(&scene, &table);
    let files: Vec<(&str, PathBuf)> = thread::scope(|scope| {
        let begun = writers.iter().enumerate().map(|(at, (name, write))| {
            let whole = scene.video(&format!("{at}.whole"), 2_000_000 + at as u64);
            let dir = &dir;
            scope.spawn(move || (*name, write(dir, &whole)))
        });
        let begun: Vec<_> = begun.collect();
        let ended = begun.into_iter().map(|writer| writer.join().unwrap());
        ended.collect()
    });
    scene.sees("a draft of each", |log| log.drafts >= files.len() as u64);
    // Time for a second one.
    thread::sleep(Duration::from_millis(2_500));
    let log = scene.log();
    for (name, path) in &files {
        let digest = Some(video::sha256(path));
        let of = log.sessions.iter().filter(|of| of.sha256 == digest);
        assert_eq!(of.count(), 1, "{name}: {log:#?}");
    }
    assert_eq!(log.drafts, files.len() as u64);
    assert_eq!(log.requests.init, files.len() as u64);
    // Nor was one taken too early, and refused.
    let jobs = service.get("/v1/jobs");
    assert_eq!(
        jobs["jobs"].as_array().unwrap().len(),
        files.len(),
        "{jobs}"
    );
}

#[test]
fn what_ffmpeg_writes_is_one_draft_once_it_is_done() {
    if has_ffmpeg() {
        each_is_one_draft(&ENCODERS, "");
    }
}

#[test]
fn what_ffmpeg_writes_is_one_draft_without_inotify_too() {
    if has_ffmpeg() {
        each_is_one_draft(&ENCODERS, "inotify = false");
    }
}

#[test]
fn what_is_copied_is_one_draft_once_it_is_whole() {
    each_is_one_draft(&COPIERS, "");
}

#[test]
fn what_is_copied_is_one_draft_without_inotify_too() {
    each_is_one_draft(&COPIERS, "inotify = false");
}

#[test]
fn inotify_alone_wakes_a_look() {
    let scene = Scene::new(&[], &[]);
    let (dir, table) = folder(&scene, "recursive = true");
    let table = table.replace("scan = 1", "scan = 3600");
    let _service = serve(&scene, &table);
    fs::copy(scene.video("one.whole", 1_000_000), dir.join("one.mp4")).unwrap();
    scene.sees("a copy", |log| log.drafts == 1);
    fs::rename(scene.video("two.whole", 1_000_001), dir.join("two.mp4")).unwrap();
    scene.sees("a rename", |log| log.drafts == 2);
    // A folder that was not there yet.
    fs::create_dir_all(dir.join("a/b")).unwrap();
    thread::sleep(Duration::from_millis(500));
    fs::copy(scene.video("three.whole", 1_000_002), dir.join("a/b/3.mp4")).unwrap();
    scene.sees("a file in a new folder", |log| log.drafts == 3);
}

#[test]
fn a_file_is_one_draft_wherever_the_service_is_killed() {
    let set = [
        "processing_time=1s",
        "receive_rate=4MB",
        "pending_cap=100",
        "init_per_minute=100",
    ];
    let scene = Scene::new(&set, &[]);
    let (dir, table) = folder(&scene, "done_dir = \"done\"");
    let wanted: Vec<String> = (0..3)
        .map(|at| {
            let made = scene.video(&format!("{at}.mp4"), 1_000_000 + at);
            let digest = video::sha256(&made);
            fs::rename(made, dir.join(format!("{at}.mp4"))).unwrap();
            digest
        })
        .collect();
    // Taken and not sent, being sent, delivered and not put away.
    let moments = [(1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (3, 3)];
    for (inits, delivered) in moments {
        let service = serve(&scene, &table);
        scene.sees("so much", |log| {
            log.requests.init >= inits && log.drafts >= delivered
        });
        assert!(service.running.kill());
    }
    let service = serve(&scene, &table);
    let done = scene.path("done");
    until("put away", || {
        (0..3).all(|at| done.join(format!("{at}.mp4")).exists())
    });
    assert_eq!(scene.log().drafts, 3);
    let mut sent = drafts(&scene);
    sent.sort();
    let mut wanted = wanted;
    wanted.sort();
    assert_eq!(sent, wanted);
    let jobs = service.get("/v1/jobs");
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 3, "{jobs}");
    // And a start with nothing to do makes none.
    drop(service);
    let service = serve(&scene, &table);
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(service.get("/v1/jobs"), jobs);
}

#[test]
fn a_file_that_stays_is_not_sent_again_at_any_start_and_is_when_it_is_rewritten() {
    let scene = Scene::new(&[], &[]);
    let (dir, table) = folder(&scene, "");
    let path = dir.join("clip.mp4");
    fs::rename(scene.video("one", 1_000_000), &path).unwrap();
    let service = serve(&scene, &table);
    until("an end", || {
        service.get("/v1/jobs")["jobs"][0]["state"] == "ended"
    });
    let jobs = service.get("/v1/jobs");
    drop(service);
    // Other labels make it no other file.
    let service = serve(&scene, &format!("{table}labels = {{ take = \"2\" }}\n"));
    until("looked at", || shown(&service)["waiting"] == 0);
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(service.get("/v1/jobs"), jobs);
    assert_eq!(scene.log().drafts, 1);

    // In place, of the same size, and with the times that it had.
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    let other = fs::read(scene.video("two", 1_000_000)).unwrap();
    fs::write(&path, &other).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(times).unwrap();
    drop(file);
    scene.sees("the new version", |log| log.drafts == 2);
    assert_eq!(drafts(&scene).last(), Some(&video::sha256(&path)));
    // A copy of it under another name is known by its bytes.
    fs::copy(&path, dir.join("copy.mp4")).unwrap();
    until("known", || {
        let jobs = service.get("/v1/jobs?state=ended");
        let mut jobs = jobs["jobs"].as_array().unwrap().iter();
        jobs.any(|job| job["end"]["outcome"] == "already_delivered")
    });
    assert_eq!(scene.log().drafts, 2);
}

#[test]
fn folders_named_after_accounts_have_their_videos_and_a_stranger_holds_nobody_up() {
    let scene = Scene::new(&[], &[]);
    let root = scene.path("render");
    for name in ["lena", "mia", "stranger", "done"] {
        fs::create_dir_all(root.join(name).join("final")).unwrap();
    }
    let table =
        "[[watch]]\npath = \"render/{account}/final\"\ndone_dir = \"render/done\"\nscan = 1\n";
    let place = |name: &str, size| {
        let made = scene.video(name, size);
        fs::rename(made, root.join(name).join("final/clip.mp4")).unwrap();
    };
    place("stranger", 999_999);
    place("lena", 1_000_000);
    let service = serve(&scene, table);
    place("mia", 1_000_001);
    until("put away", || {
        ["lena", "mia"]
            .iter()
            .all(|name| root.join("done").join(name).join("final/clip.mp4").exists())
    });
    let jobs = service.get("/v1/jobs");
    let jobs: Vec<&str> = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["account"].as_str().unwrap())
        .collect();
    assert_eq!(jobs, ["lena", "mia"]);
    assert_eq!(scene.log().drafts, 2);
    let shown = shown(&service);
    assert_eq!(shown["waiting"], 1, "{shown}");
    let file = &shown["files"][0];
    assert_eq!(file["account"], "stranger");
    let why = file["why"].as_str().unwrap();
    assert!(why.contains("stranger"), "{why}");
    let told = service.running.told();
    assert_eq!(told.matches("Files for stranger wait").count(), 1, "{told}");
}

#[test]
fn a_refused_file_has_its_reason_beside_it_and_is_sent_again_only_when_it_changes() {
    let scene = Scene::new(&[], &[]);
    let (dir, table) = folder(&scene, "done_dir = \"done\"");
    let path = dir.join("clip.mp4");
    // No video, and somebody says that it is complete.
    fs::write(&path, "no video").unwrap();
    fs::write(dir.join("clip.mp4.done"), "").unwrap();
    let service = serve(&scene, &table);
    let reason = dir.join("clip.mp4.failed.txt");
    until("a reason", || reason.exists());
    let text = fs::read_to_string(&reason).unwrap();
    let jobs = service.get("/v1/jobs");
    let job = jobs["jobs"][0]["id"].as_str().unwrap();
    for part in [
        "clip.mp4 was not sent by chunkferry.",
        "Why: ",
        job,
        "Account: lena",
        "touch",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    drop(service);
    let service = serve(&scene, &table);
    until("known", || shown(&service)["failed"] == 1);
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(service.get("/v1/jobs"), jobs);
    assert_eq!(fs::read_to_string(&reason).unwrap(), text);
    assert_eq!(scene.log().requests.init, 0);

    // The marker is older than what comes now, so the half of it is not taken.
    let whole = fs::read(scene.video("whole", 1_000_000)).unwrap();
    let mut file = File::create(&path).unwrap();
    file.write_all(&whole[..500_000]).unwrap();
    thread::sleep(Duration::from_millis(2_500));
    assert_eq!(service.get("/v1/jobs"), jobs);
    file.write_all(&whole[500_000..]).unwrap();
    drop(file);
    until("put away", || scene.path("done/clip.mp4").exists());
    until("an empty folder", || {
        fs::read_dir(&dir).unwrap().next().is_none()
    });
    assert_eq!(scene.log().drafts, 1);
}

#[test]
fn an_unfinished_file_waits_with_its_reason_and_links_are_not_followed() {
    let scene = Scene::new(&[], &[]);
    let (dir, table) = folder(&scene, "");
    let whole = scene.video("secret.mp4", 1_000_000);
    symlink(&whole, dir.join("link.mp4")).unwrap();
    fs::write(dir.join("half.mp4"), &fs::read(&whole).unwrap()[..500_000]).unwrap();
    fs::copy(&whole, dir.join("clip.mp4.part")).unwrap();
    fs::copy(&whole, dir.join("notes.txt")).unwrap();
    let mut open = File::create(dir.join("open.mp4")).unwrap();
    open.write_all(&fs::read(&whole).unwrap()).unwrap();
    let service = serve(&scene, &table);
    until("both wait", || shown(&service)["waiting"] == 2);
    thread::sleep(Duration::from_millis(2_500));
    let shown = shown(&service);
    assert_eq!(
        (&shown["waiting"], &shown["submitted"]),
        (&json!(2), &json!(0)),
        "{shown}"
    );
    let why = |name: &str| {
        let mut files = shown["files"].as_array().unwrap().iter();
        let file = files.find(|file| file["file"].as_str().unwrap().ends_with(name));
        file.unwrap()["why"].as_str().unwrap().to_owned()
    };
    assert!(why("half.mp4").contains("missing"), "{shown}");
    let me = format!("(process {}) has it open for writing", std::process::id());
    assert!(why("open.mp4").contains(&me), "{shown}");
    let told = service.running.told();
    assert_eq!(told.matches("link.mp4: it is a link").count(), 1, "{told}");
    let metrics = service.call("GET /metrics").expect(200).text;
    assert!(
        metrics.contains("chunkferry_watched_files{state=\"waiting\"} 2"),
        "{metrics}"
    );
    assert_eq!(scene.log().requests.init, 0);
    drop(open);
    scene.sees("the file that was open", |log| log.drafts == 1);
}

#[test]
fn files_of_an_account_are_taken_in_the_order_of_their_times() {
    let scene = Scene::new(&[], &[]);
    let (dir, table) = folder(&scene, "");
    let now = std::time::SystemTime::now();
    for (at, name) in ["c.mp4", "a.mp4", "b.mp4", "d.mp4"].iter().enumerate() {
        let made = scene.video(&format!("made-{name}"), 1_000_000 + at as u64);
        let file = File::options().write(true).open(&made).unwrap();
        // The last two have the same time.
        file.set_modified(now - Duration::from_secs(100 - at.min(2) as u64))
            .unwrap();
        fs::rename(made, dir.join(name)).unwrap();
    }
    let service = serve(&scene, &table);
    scene.sees("all", |log| log.drafts == 4);
    let jobs = service.get("/v1/jobs");
    let names = jobs["jobs"].as_array().unwrap().iter().map(|job| {
        let source = job["source"].as_str().unwrap();
        source.rsplit('/').next().unwrap().to_owned()
    });
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["c.mp4", "a.mp4", "b.mp4", "d.mp4"]
    );
}

#[test]
fn a_folder_that_is_gone_is_said_once_and_holds_nobody_up() {
    let scene = Scene::new(&[], &[]);
    let (dir, table) = folder(&scene, "");
    let other = "[[watch]]\npath = \"gone\"\naccount = \"mia\"\nscan = 1\n";
    let service = serve(&scene, &format!("{table}{other}"));
    fs::rename(scene.video("one", 1_000_000), dir.join("one.mp4")).unwrap();
    scene.sees("the folder that is there", |log| log.drafts == 1);
    thread::sleep(Duration::from_millis(2_500));
    let told = service.running.told();
    assert_eq!(told.matches("gone: It cannot be read").count(), 1, "{told}");
    let all = service.get("/v1/watches");
    assert_eq!(all["watches"][0]["problem"], Value::Null);
    assert!(all["watches"][1]["problem"].is_string(), "{all}");
    fs::create_dir(scene.path("gone")).unwrap();
    fs::rename(scene.video("two", 1_000_001), scene.path("gone/two.mp4")).unwrap();
    scene.sees("the folder that is back", |log| log.drafts == 2);
    let told = service.running.told();
    assert!(told.contains("is there again"), "{told}");
}

#[test]
fn what_cannot_be_watched_ends_the_start_with_2() {
    let scene = Scene::new(&[], &[]);
    fs::create_dir(scene.path("in")).unwrap();
    let other_disk = tempfile::tempdir_in("/dev/shm").unwrap();
    let other_disk = other_disk.path().to_str().unwrap();
    let away = format!("path = \"in\"\naccount = \"lena\"\ndone_dir = \"{other_disk}/done\"");
    for (entry, word) in [
        ("path = \"in\"", "needs an account"),
        (
            "path = \"in/{account}\"\naccount = \"lena\"",
            "leave one out",
        ),
        ("account = \"lena\"", "needs a path"),
        (
            "path = \"in\"\naccount = \"lena\"\ndonedir = \"x\"",
            "done_dir",
        ),
        ("path = \"in\"\naccount = \"lena\"\nscan = 0", "scan"),
        (
            "path = \"in\"\naccount = \"lena\"\nscan = \"2\"",
            "whole number",
        ),
        (
            "path = \"in\"\naccount = \"lena\"\nnotify = \"nobody\"",
            "nobody",
        ),
        (
            "path = \"in\"\naccount = \"lena\"\ndone_dir = \"in\"",
            "sent again",
        ),
        (&away, "another file system"),
    ] {
        let mut command = command(&scene, &[]);
        let path = scene.path("config.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{config}[[watch]]\n{entry}\n")).unwrap();
        let ended = command.end().expect(2);
        assert!(ended.stderr.contains(word), "{entry}: {}", ended.stderr);
        assert!(!scene.state_dir().join("journal").exists(), "{entry}");
    }
}

#[test]
fn the_command_watches_a_folder_and_beside_a_service_says_what_to_add() {
    let scene = Scene::new(&[], &[]);
    fs::create_dir(scene.path("in")).unwrap();
    let watch = |more: &[&str]| {
        let serve = command(&scene, &[]);
        let config = serve
            .get_envs()
            .find(|(name, _)| *name == "CHUNKFERRY_CONFIG");
        let config = config.unwrap().1.unwrap().to_owned();
        let mut command = scene.command(["watch", "--json"]);
        command
            .args(more)
            .env("CHUNKFERRY_CONFIG", config)
            .env_remove("CHUNKFERRY_ACCOUNT")
            .env_remove("TIKTOK_ACCESS_TOKEN");
        command
    };
    let ended = watch(&["in"]).end().expect(2);
    assert!(ended.stderr.contains("--account"), "{}", ended.stderr);
    let socket = scene.path("other-socket");
    let socket_option = format!("--socket={}", socket.display());
    let options = [
        "in",
        "--account",
        "lena",
        "--done-dir",
        "a \"b\"",
        "--label",
        "x=y",
        "--no-inotify",
        "--exclude",
        "*.tmp.mp4",
        "--scan",
        "1",
        &socket_option,
    ];
    let service = Service::of(&mut watch(&options), socket);
    fs::rename(scene.video("one", 1_000_000), scene.path("in/one.mp4")).unwrap();
    until("put away", || scene.path("a \"b\"/one.mp4").exists());

    let ended = watch(&options).end().expect(2);
    assert!(
        ended.stderr.contains("Nothing was changed"),
        "{}",
        ended.stderr
    );
    drop(service);
    // What it printed is an entry of the config file that does the same.
    let lines: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| !line.starts_with('{'))
        .collect();
    let service = serve(&scene, &(lines.join("\n") + "\n"));
    fs::rename(scene.video("two", 1_000_001), scene.path("in/two.mp4")).unwrap();
    until("put away", || scene.path("a \"b\"/two.mp4").exists());
    let jobs = service.get("/v1/jobs?label=x=y");
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 2);
}
