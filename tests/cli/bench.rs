//! `bench` measures a path to an emulator, sends to nothing else, and leaves nothing behind.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::browser::Browser;
use crate::scene::{Ended, Scene, Start};
use crate::secrets::files;
use crate::support;

const ROWS: [&str; 4] = [
    "chunk 5.2 MB",
    "chunk 10.0 MB",
    "chunk 20.0 MB",
    "chunk 32.0 MB",
];

/// A short one, on this machine.
fn bench(scene: &Scene, args: &[&str]) -> Command {
    let mut command = scene.command(["bench", "--quick"]);
    command.args(args).env_remove("CHUNKFERRY_API_BASE");
    command
}

/// All files of a scene, with their bytes and times of change.
fn kept(scene: &Scene) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut files = files(&scene.path(""));
    files.sort();
    let told = files.into_iter().map(|path| {
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        (path.clone(), fs::read(&path).unwrap(), modified)
    });
    told.collect()
}

fn assert_no_secret(ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        for secret in ["upload_token", "upload_url", "act."] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[test]
fn each_setup_is_measured_and_nothing_is_left_behind() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 6_000_000);
    scene.upload(&file, &[]).end().expect(0);
    let before = kept(&scene);
    let ended = bench(&scene, &["--rounds", "1", "--size", "64MB", "--json"])
        .end()
        .expect(0);
    assert_no_secret(&ended);
    assert!(kept(&scene) == before, "what was there is as it was");
    let dirs = fs::read_dir(scene.state_dir()).unwrap();
    for entry in dirs.map(|entry| entry.unwrap().file_name()) {
        assert!(!entry.to_string_lossy().contains("bench"), "{entry:?}");
    }
    assert_eq!(scene.log().inits, 1, "it went to a server of its own");

    let told: Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    let rows = told["results"]["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter().map(|row| &row["name"]).collect::<Vec<_>>(),
        ROWS
    );
    for row in rows {
        assert_eq!(
            (&row["connections"], &row["again"]),
            (&1.0.into(), &0.into())
        );
        for figure in ["rate", "cpu_per_gib", "peak_rss", "gap", "sink_cores"] {
            assert!(row[figure].as_f64() > Some(0.0), "{figure}: {row}");
        }
    }
    let sizes = [5_242_880, 10_000_000, 20_000_000, 32_000_000];
    let advised = told["advice"]["chunk_size"].as_u64().unwrap();
    assert!(sizes.contains(&advised), "{told}");
}

#[test]
fn the_table_names_each_setup_and_ends_in_advice() {
    let scene = Scene::new(&[], &[]);
    let ended = bench(&scene, &["--rounds", "1", "--size", "64MB"])
        .end()
        .expect(0);
    assert_no_secret(&ended);
    for text in ROWS
        .into_iter()
        .chain(["this path: ", "a 4 GB video takes"])
    {
        assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
    }
}

#[test]
fn a_person_sees_a_bar_for_each_setup_and_the_advice() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::new(&[], &[]);
    let page = scene.path("report.html");
    let ended = bench(
        &scene,
        &["--rounds", "1", "--size", "64MB", "--report", "report.html"],
    )
    .end()
    .expect(0);
    browser.open(&format!("file://{}", page.display()));
    let count =
        |selector: &str| browser.value(&format!("document.querySelectorAll('{selector}').length"));
    let plots = count("svg").as_u64().unwrap();
    assert_eq!(plots, 4);
    assert_eq!(count("rect.bar"), plots * ROWS.len() as u64);
    let widths = "[...document.querySelectorAll('rect.bar')].every(bar => bar.getBoundingClientRect().width > 0)";
    assert_eq!(browser.value(widths), true, "every bar can be seen");
    let inside = "[...document.querySelectorAll('svg *')].every(part => {
        const [a, b] = [part.getBoundingClientRect(), part.closest('svg').getBoundingClientRect()];
        return a.left >= b.left - 1 && a.right <= b.right + 1 && a.bottom <= b.bottom + 1; })";
    assert_eq!(browser.value(inside), true, "nothing is cut off");
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    let advice = ended
        .stdout
        .lines()
        .find(|line| line.starts_with("this path"));
    assert!(text.contains(advice.unwrap()), "{text}");
    for name in ROWS {
        assert!(text.contains(name), "{name}: {text}");
    }
    let loads = "performance.getEntriesByType('resource').length + document.scripts.length";
    assert_eq!(browser.value(loads), 0, "it needs nothing but itself");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// A server that is no emulator, and everything it was asked.
fn stranger(answer: &'static str) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            while !head.ends_with(b"\r\n\r\n")
                && let Ok(read @ 1..) = stream.read(&mut buffer)
            {
                head.extend_from_slice(&buffer[..read]);
            }
            seen.lock().unwrap().extend(head);
            // Whoever asks may have gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, asked)
}

#[test]
fn nothing_is_sent_to_what_is_no_emulator() {
    let scene = Scene::new(&[], &[]);
    let answers = [
        "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\nconnection: close\r\n\r\nnot found",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnull",
        "HTTP/1.1 500 Oh\r\ncontent-length: 32\r\nconnection: close\r\n\r\n{\"cpu_us\": 1, \"connections\": 0}  ",
        "SSH-2.0-\x1b[31mOpenSSH_9.2\r\n",
        "",
    ];
    for answer in answers {
        let (port, asked) = stranger(answer);
        let base = format!("http://127.0.0.1:{port}");
        let ended = bench(&scene, &["--api-base", &base]).end().expect(75);
        assert!(
            ended.stderr.contains("Nothing was sent")
                && !ended.stderr.contains('\x1b')
                && ended.stdout.is_empty(),
            "{ended:?}"
        );
        let asked = String::from_utf8(asked.lock().unwrap().clone()).unwrap();
        let heads = asked.matches(" HTTP/1.1\r\n").count();
        assert_eq!(heads, 1, "{asked}");
        assert!(asked.starts_with("GET /_emulator/usage "), "{asked}");
        assert!(
            !asked.to_ascii_lowercase().contains("authorization"),
            "{asked}"
        );
    }
    let (port, asked) = stranger("");
    let base = format!("https://127.0.0.1:{port}");
    let ended = bench(&scene, &["--api-base", &base]).end().expect(2);
    assert!(
        ended.stderr.contains("chunkferry emulator --sink"),
        "{ended:?}"
    );
    assert!(asked.lock().unwrap().is_empty(), "it was not even asked");
    assert!(!scene.state_dir().exists());
}

#[test]
fn a_sink_elsewhere_is_measured_over_one_path_and_in_the_clear() {
    let scene = Scene::new(&[], &[]);
    let sink = support::emulator(["--sink", "--set", "limits=off"]);
    let ended = bench(
        &scene,
        &[
            "--rounds",
            "1",
            "--size",
            "64MB",
            "--json",
            "--api-base",
            sink.url(),
        ],
    )
    .end()
    .expect(0);
    assert_no_secret(&ended);
    let told: Value = serde_json::from_str(ended.stdout.trim()).unwrap();
    assert_eq!(told["results"]["local"], false);
    assert_eq!(sink.client().log().unwrap().sessions.len(), ROWS.len());
}

/// Processes that live in this scene.
#[cfg(target_os = "linux")]
fn processes(scene: &Scene) -> usize {
    let home = format!("HOME={}\0", scene.path("").display());
    let home = home.replace("/\0", "\0");
    let all = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    all.filter(|entry| {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        environ
            .windows(home.len())
            .any(|part| part == home.as_bytes())
    })
    .count()
}

#[test]
#[cfg(target_os = "linux")]
fn a_measurement_that_is_stopped_leaves_no_process_and_no_file() {
    let scene = Scene::new(&[], &[]);
    fs::create_dir(scene.state_dir()).unwrap();
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let run = bench(&scene, &["--size", "1GB"]).start();
        // The bench, two sinks, and a run.
        let started = std::time::Instant::now();
        while processes(&scene) < 4 {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "it measures nothing"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        run.signal(signal);
        run.end().expect(code);
        assert_eq!(processes(&scene), 0, "{signal}");
        assert_eq!(files(&scene.path("")), Vec::<PathBuf>::new(), "{signal}");
        assert_eq!(fs::read_dir(scene.state_dir()).unwrap().count(), 0);
    }
}
