//! Several files in one command: their order, and what later uploads learn from earlier ones.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use chunkferry::emulator::Emulator;
use serde_json::Value;

use crate::scene::{CHUNK, Ended, Running, Scene, Start, settings};

/// Waits between attempts pass so many times faster.
const SCALE: (&str, &str) = ("CHUNKFERRY_CLOCK_SCALE", "50");

/// A line to the emulator that can be cut, so that nobody listens at its end, and mended.
struct Line {
    address: SocketAddr,
    to: SocketAddr,
    whole: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Line {
    /// Nobody listens yet.
    fn cut(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let whole = None;
        Self { address, to, whole }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let (to, open) = (self.to, Arc::new(AtomicBool::new(true)));
        let is_open = Arc::clone(&open);
        let accepting = thread::spawn(move || {
            let mut streams = Vec::new();
            for client in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Ordering::SeqCst) {
                    break;
                }
                let server = TcpStream::connect(to).unwrap();
                for (mut from, mut into) in [(&client, &server), (&server, &client)]
                    .map(|(from, into)| (from.try_clone().unwrap(), into.try_clone().unwrap()))
                {
                    thread::spawn(move || {
                        // Either side may go first.
                        let _ = std::io::copy(&mut from, &mut into);
                        let _ = into.shutdown(std::net::Shutdown::Write);
                    });
                }
                streams.extend([client, server]);
            }
            for stream in streams {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        });
        self.whole = Some((open, accepting));
    }

    /// Ends all connections, and takes no more.
    fn break_off(&mut self) {
        if let Some((open, accepting)) = self.whole.take() {
            open.store(false, Ordering::SeqCst);
            drop(TcpStream::connect(self.address));
            accepting.join().unwrap();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.break_off();
    }
}

fn events<'a>(ended: &'a Ended, event: &'a str) -> impl Iterator<Item = Value> + 'a {
    let lines = ended.stdout.lines();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(move |line| line["event"] == event)
}

/// The names of the files that such an event was about, each time it came.
fn files(ended: &Ended, event: &str) -> Vec<String> {
    let files = events(ended, event).map(|line| line["file"].as_str().unwrap().to_owned());
    files.collect()
}

fn until_retries(run: &mut Running, count: usize) {
    for number in 1..=count {
        run.until(&format!("retry {number}"), |line| line["event"] == "retry");
    }
}

#[test]
fn files_get_their_inits_in_the_order_in_which_they_are_named() {
    let names: Vec<String> = (0..8).map(|number| format!("{number}.mp4")).collect();
    for (run, jobs) in ["1", "4"].into_iter().cycle().take(12).enumerate() {
        let scene = Scene::new(&[], &[]);
        for (more, name) in names.iter().enumerate() {
            scene.video(name, 100_000 + more as u64);
        }
        let mut command = scene.command(["upload", "--json", "--jobs", jobs]);
        let ended = command.args(&names).end();
        let sizes = scene.log().sessions.into_iter();
        let sizes: Vec<u64> = sizes.filter_map(|session| session.video_size).collect();
        // Five drafts may wait; the order decides which files get through.
        let first_five: Vec<u64> = (100_000..100_005).collect();
        assert_eq!(sizes, first_five, "run {run}, {jobs} at once");
        assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    }
}

#[test]
fn a_file_that_is_named_twice_does_not_hold_up_the_others_and_goes_in_its_turn() {
    let scene = Scene::new(&[], &[]);
    for (more, name) in ["a.mp4", "b.mp4", "c.mp4"].into_iter().enumerate() {
        scene.video(name, 100_000 + more as u64);
    }
    let names = ["a.mp4", "a.mp4", "b.mp4", "a.mp4", "c.mp4"];
    let mut command = scene.command(["upload", "--json", "--jobs", "3"]);
    let ended = command.args(names).end().expect(0);
    let sizes = scene.log().sessions.into_iter();
    let sizes: Vec<_> = sizes.filter_map(|session| session.video_size).collect();
    assert_eq!(sizes, [100_000, 100_001, 100_002]);
    let again = ended.outcomes().into_iter();
    let again = again.filter(|outcome| outcome["outcome"] == "already_delivered");
    assert_eq!(again.count(), 2);
}

#[test]
fn inits_that_never_left_take_no_slot_of_the_window_in_this_run_or_the_next() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    for run_ends in [false, true] {
        let mut line = Line::cut(scene.emulator.address());
        let upload = || {
            let mut command = scene.upload(&file, &["--again"]);
            command
                .env("CHUNKFERRY_API_BASE", line.url())
                .env(SCALE.0, SCALE.1);
            command
        };
        let (mut first, mut second) = (upload(), upload());
        let mut run = first.start();
        until_retries(&mut run, 6);
        let ended = if run_ends {
            run.end().expect(75);
            line.mend();
            second.end()
        } else {
            line.mend();
            run.end()
        };
        let ended = ended.expect(0);
        assert_eq!(files(&ended, "waiting"), [""; 0], "{}", ended.stdout);
        assert_eq!(ended.outcome()["inits"], 1, "only one has left");
    }
    assert_eq!(scene.log().inits, 2);
}

#[test]
fn an_init_of_which_a_killed_run_knows_no_more_takes_a_slot() {
    let scene = Scene::new(&[], &[]);
    let file = scene.video("clip.mp4", 100_000);
    let line = Line::cut(scene.emulator.address());
    let upload = || {
        let mut command = scene.upload(&file, &[]);
        command
            .env("CHUNKFERRY_API_BASE", line.url())
            // Six starts must fit into the window on a busy machine, too.
            .env(SCALE.0, "5");
        command
    };
    for _ in 0..6 {
        // After the intent was recorded, before the request: the journal does not show that no request has left.
        let mut killed = upload();
        killed.env("CHUNKFERRY_KILL_POINT", "init before 1");
        assert_eq!(killed.end().code, None, "it is killed");
    }
    let mut run = upload().start();
    run.until("the window is full", |line| line["event"] == "waiting");
}

#[test]
fn after_one_file_has_found_the_network_out_the_others_do_not_wait_for_it() {
    let scene = Scene::new(&[], &[]);
    let names: Vec<String> = (0..6).map(|number| format!("{number}.mp4")).collect();
    for (more, name) in names.iter().enumerate() {
        scene.video(name, 100_000 + more as u64);
    }
    let line = Line::cut(scene.emulator.address());
    let mut command = scene.command(["upload", "--json"]);
    command.args(&names).env("CHUNKFERRY_API_BASE", line.url());
    let ended = command.env(SCALE.0, SCALE.1).end().expect(75);
    let mut tried = files(&ended, "retry");
    tried.dedup();
    assert_eq!(tried, ["0.mp4"], "only the first one has tried");
    let causes: BTreeSet<_> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "retry")
        .map(|line| line["cause"].to_string())
        .collect();
    assert_eq!(causes, BTreeSet::from(["\"no_connection\"".to_owned()]));
    let outcomes = ended.outcomes();
    assert_eq!(outcomes.len(), 6);
    for outcome in &outcomes {
        let message = outcome["error"]["message"].as_str().unwrap();
        let file = outcome["file"].as_str().unwrap();
        assert_eq!(outcome["outcome"], "retry", "{file}");
        for word in [file, "onnection refused", "again"] {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
    // What was not tried is not begun.
    let list = scene.command(["list"]).end().expect(0).stdout;
    assert_eq!(list.lines().count(), 1, "{list}");
}

#[test]
fn when_the_network_goes_out_in_mid_upload_all_files_end_with_the_first_one() {
    let scene = Scene::of(Emulator::builder().settings(settings(&["limits=off"])));
    let mut line = Line::cut(scene.emulator.address());
    line.mend();
    let names: Vec<String> = (0..6).map(|number| format!("{number}.mp4")).collect();
    for (more, name) in names.iter().enumerate() {
        scene.video(name, 2 * CHUNK + more as u64);
    }
    let args = [
        "upload",
        "--json",
        "--chunk-size",
        "5MiB",
        "--bwlimit",
        "10MB",
    ];
    let mut command = scene.command(args);
    command.args(&names).env("CHUNKFERRY_API_BASE", line.url());
    let mut run = command.env(SCALE.0, SCALE.1).start();
    run.until("a chunk is there", |line| line["event"] == "chunk");
    line.break_off();
    let ended = run.end().expect(75);
    let mut planned = files(&ended, "planned");
    planned.sort();
    assert_eq!(planned, ["0.mp4", "1.mp4"], "the others have not begun");
    assert_eq!(ended.outcomes().len(), 6);

    line.mend();
    let mut command = scene.command(args);
    command.args(&names).env("CHUNKFERRY_API_BASE", line.url());
    command.end().expect(0);
    assert_eq!(scene.log().drafts, 6);
}

#[test]
fn a_token_that_was_refused_once_is_not_tried_again_for_each_file() {
    let scene = Scene::new(&[], &["put chunk=0 nth=1 revoke_token"]);
    let begun = scene.video("begun.mp4", 3 * CHUNK);
    let mut names: Vec<String> = (0..9).map(|number| format!("{number}.mp4")).collect();
    for (more, name) in names.iter().enumerate() {
        scene.video(name, 100_000 + more as u64);
    }
    let stopped = scene.upload(&begun, &["--bwlimit", "10MB"]).end().expect(4);
    assert_eq!(stopped.outcome()["error"]["code"], "access_token_invalid");
    let before = scene.log().requests;

    names.insert(1, "begun.mp4".to_owned());
    let mut command = scene.command(["upload", "--json", "--chunk-size", "5MiB"]);
    let ended = command.args(&names).end().expect(4);
    let after = scene.log().requests;
    assert_eq!(
        (after.init - before.init, after.status - before.status),
        (1, 0)
    );
    let outcomes = ended.outcomes();
    assert_eq!(outcomes.len(), 10);
    for outcome in outcomes {
        assert_eq!(
            outcome["error"]["code"], "access_token_invalid",
            "{outcome}"
        );
    }
    assert_eq!(files(&ended, "waiting"), [""; 0]);

    // With another token all of them go.
    let mut command = scene.command(["upload", "--json", "--token-command", "echo act.lena.2"]);
    command.args(&names[..3]).end().expect(0);
}

#[test]
fn a_refused_token_stops_no_upload_whose_chunks_need_none() {
    let scene = Scene::new(&[], &["put chunk=1 nth=1 revoke_token"]);
    let begun = scene.video("begun.mp4", 4 * CHUNK);
    scene.video("new.mp4", 100_000);
    let mut run = scene.upload(&begun, &["--bwlimit", "10MB"]).start();
    run.until_confirmed(2 * CHUNK);
    run.kill();
    let args = ["upload", "--json", "--jobs", "1", "new.mp4", "begun.mp4"];
    let ended = scene.command(args).end().expect(4);
    let log = scene.log();
    assert_eq!(log.sessions[0].received, 4 * CHUNK, "{}", ended.stdout);
    let sealed = events(&ended, "chunk").count() + events(&ended, "processing").count();
    assert!(sealed >= 1, "{}", ended.stdout);
    let mut command = scene.command(args);
    command
        .env("TIKTOK_ACCESS_TOKEN", "act.lena.2")
        .end()
        .expect(0);
    assert_eq!(scene.log().drafts, 2);
}

#[test]
fn a_refusal_that_is_about_the_account_is_not_asked_for_again_for_each_file() {
    for code in [
        "scope_not_authorized",
        "spam_risk_too_many_posts",
        "reached_active_user_cap",
        "spam_risk_user_banned_from_posting",
    ] {
        let scene = Scene::new(&[], &[&format!("inbox_init status=403 code={code}")]);
        let names: Vec<String> = (0..3).map(|number| format!("{number}.mp4")).collect();
        for (more, name) in names.iter().enumerate() {
            scene.video(name, 100_000 + more as u64);
        }
        let ended = scene
            .command(["upload", "--json"])
            .args(&names)
            .end()
            .expect(4);
        assert_eq!(scene.log().requests.init, 1, "{code}");
        let outcomes = ended.outcomes().into_iter();
        let told = outcomes.filter(|outcome| outcome["error"]["code"] == code);
        assert_eq!(told.count(), 3, "{code}: {}", ended.stdout);
    }
}

#[test]
fn after_one_file_has_waited_for_a_token_in_vain_the_others_do_not() {
    let scene = Scene::new(&[], &[]);
    let names: Vec<String> = (0..4).map(|number| format!("{number}.mp4")).collect();
    for (more, name) in names.iter().enumerate() {
        scene.video(name, 100_000 + more as u64);
    }
    // The clock scale makes its minute a second.
    let args = ["upload", "--json", "--token-command", "sleep 60"];
    let mut command = scene.command(args);
    let ended = command.args(&names).env(SCALE.0, "100").end().expect(75);
    let mut tried = files(&ended, "retry");
    tried.dedup();
    assert_eq!(tried, ["0.mp4"], "only the first one has tried");
    assert_eq!(ended.outcomes().len(), 4);
    let told = ended.outcomes().into_iter().skip(1);
    for outcome in told {
        let message = outcome["error"]["message"].as_str().unwrap();
        assert!(message.contains("access token"), "{message}");
    }
    assert_eq!(scene.log().requests.init, 0);
}
