//! docs/security.md lists what is stored: each file that appears while creators log in and videos are sent, killed and carried on is
//! there, with its mode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::login::{browser, command};
use crate::scene::{CHUNK, Scene, Start};
use crate::serve::{Service, try_call};

/// What lies below a directory: each path and its modes.
type Seen = BTreeMap<PathBuf, BTreeSet<u32>>;

fn look(root: &Path, dir: &Path, seen: &mut Seen) {
    // Between two looks a file may go.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        let name = path.strip_prefix(root).unwrap().to_owned();
        seen.entry(name)
            .or_default()
            .insert(metadata.mode() & 0o7777);
        if metadata.is_dir() {
            look(root, &path, seen);
        }
    }
}

/// Looks at a directory again and again.
struct Watcher {
    ended: Arc<AtomicBool>,
    looking: thread::JoinHandle<Seen>,
}

impl Watcher {
    fn start(dir: PathBuf) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let looking = thread::spawn(move || {
            let mut seen = Seen::new();
            while !end.load(Ordering::Relaxed) {
                look(&dir, &dir, &mut seen);
                thread::sleep(Duration::from_micros(500));
            }
            look(&dir, &dir, &mut seen);
            seen
        });
        Self { ended, looking }
    }

    fn end(self) -> Seen {
        self.ended.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

/// The tables of "What is stored": the modes of each file, and whether the mode follows the umask.
fn page() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(page).unwrap();
    let stored = page.split("\n## What is stored\n").nth(1).unwrap();
    let stored = stored.split("\n## ").next().unwrap();
    let rows = stored.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let (file, rest) = row.split_once("` | ").unwrap();
        let (mode, _) = rest.split_once(' ').unwrap();
        (file.trim_end_matches('/').to_owned(), mode.to_owned())
    });
    rows.collect()
}

/// Whether a row is about this path. Words in capitals stand for any.
fn is_about(row: &str, path: &str) -> bool {
    let (mut row, mut path) = (row.split('/'), path.split('/'));
    let same = |row: &str, path: &str| {
        let word = |text: &str| text.chars().all(|c| c.is_ascii_uppercase());
        let mark = row
            .split(['-', '.'])
            .find(|part| part.len() > 1 && word(part));
        match mark.and_then(|mark| row.split_once(mark)) {
            Some((before, after)) => path
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|rest| !rest.is_empty() && !rest.contains('.')),
            None => row == path,
        }
    };
    loop {
        match (row.next(), path.next()) {
            (None, None) => return true,
            (Some(row), Some(path)) if same(row, path) => {}
            _ => return false,
        }
    }
}

/// The same command under the umask of somebody who does not care.
fn careless(of: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"umask 0; exec "$0" "$@""#]);
    command
        .arg(of.get_program())
        .args(of.get_args())
        .env_clear();
    command.envs(of.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.current_dir(of.get_current_dir().unwrap());
    command
}

#[test]
fn every_file_that_appears_is_on_the_page_whatever_the_umask() {
    let scene = Scene::new(&[], &[]);
    let watcher = Watcher::start(scene.path(""));
    let file = scene.video("clip.mp4", 4 * CHUNK);
    let run = |args: &[&str]| careless(&command(&scene, args));

    // A login that ends at once, and one that another process ends.
    let mut login = command(&scene, ["login", "lena"]);
    login.env("BROWSER", browser(&scene, "lena", ""));
    careless(&login).end().expect(0);
    run(&["login", "mia", "--link"]).end().expect(0);
    run(&["accounts", "refresh", "lena"]).end().expect(0);

    // An upload that is killed and carried on, with the files that a user can ask for.
    let words = "upload --json --chunk-size 5MiB --bwlimit 20MB --wire-log wire.jsonl --log-file log.txt --metrics-textfile metrics.prom clip.mp4";
    let upload: Vec<&str> = words.split(' ').collect();
    let mut killed = run(&upload).start();
    killed.until_confirmed(CHUNK);
    killed.kill();
    run(&upload).end().expect(0);
    scene.assert_one_draft_of(&file);

    // A service with a job of a file, a job whose video is the body, and somebody who is called.
    let mut serve = run(&["serve", "--json", "--on-end", "cat > /dev/null"]);
    let service = Service::of(&mut serve, scene.state_dir().join("socket"));
    let second = scene.video("second.mp4", 3_000_000);
    let job = serde_json::json!({ "account": "lena", "file": second });
    let job = service.post(None, job.to_string().as_bytes());
    service.ended(&job.expect(202).json()["id"]);
    let body = fs::read(scene.video("third.mp4", 2_000_000)).unwrap();
    let head = "POST /v1/jobs HTTP/1.1\r\ncontent-type: video/mp4\r\n\
        chunkferry-job: {\"account\": \"lena\", \"id\": \"3\"}";
    let job = try_call(&service.socket, head, &body).unwrap();
    service.ended(&job.expect(202).json()["id"]);
    service.running.signal("-TERM");
    service.running.end().expect(0);

    let (mut faults, mut met) = (Vec::new(), BTreeSet::new());
    let page = page();
    for (path, modes) in watcher.end() {
        let path = path.to_str().unwrap();
        let name = match path.strip_prefix("state/") {
            Some(name) => name,
            None if path == "state" => ".",
            None if path == "wire.jsonl" => "--wire-log FILE",
            None if path == "log.txt" => "--log-file FILE",
            None if path == "metrics.prom" => "--metrics-textfile FILE",
            // The test's own.
            None => continue,
        };
        let modes: BTreeSet<String> = modes.iter().map(|mode| format!("{mode:o}")).collect();
        let new = name.ends_with(".new") || name.starts_with(".tmp");
        let mode = match page.iter().find(|(row, _)| is_about(row, name)) {
            Some((row, mode)) => {
                met.insert(row.as_str());
                mode.as_str()
            }
            None if new => "600",
            None => {
                faults.push(format!("{path}, {modes:?}, is not on the page"));
                continue;
            }
        };
        if mode != "umask" && modes != BTreeSet::from([mode.to_owned()]) {
            faults.push(format!("{path}: {modes:?}, and {mode} on the page"));
        }
    }
    // These come with damage and large rows alone, or may be gone before they are seen.
    let seldom = [
        "accounts/NAME.answer",
        "journal.damaged-TIME",
        "journal/blobs/ID",
        "journal/snap.ID.generating",
        "journal/suspect",
        "sealed/ID",
        "spool/body-ID",
        "spool/copy-ID",
    ];
    let rows = page.keys().map(String::as_str);
    faults.extend(
        rows.filter(|row| !met.contains(row) && !seldom.contains(row))
            .map(|row| format!("{row} did not appear")),
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
