//! What one suite may see of another, and what other users of the machine may see of the videos.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use chunkferry::emulator::Emulator;

use crate::client::{Answer, Line, Upload};

fn kept() -> (Emulator, [Upload; 2]) {
    let mut settings = chunkferry::emulator::Settings::default();
    settings.set("processing_time", "0s").unwrap();
    let builder = Emulator::builder().settings(settings).keep(1_000_000);
    let emulator = builder.start_blocking().unwrap();
    let uploads = ["lena", "olga"].map(|name| {
        let upload = Upload::init_for(&emulator, &format!("act.{name}.1"), 100);
        assert_eq!(upload.put(&emulator, 0, 100).status, 201);
        upload
    });
    (emulator, uploads)
}

fn get_as(emulator: &Emulator, target: &str, token: &str) -> Answer {
    let mut line = Line::open(emulator);
    let bearer = format!("Bearer {token}");
    line.head("GET", target, &[("authorization", &bearer)]);
    line.answer().unwrap()
}

/// The first message of the stream that an open page listens to.
fn first_event(emulator: &Emulator, target: &str, token: &str) -> String {
    let mut line = Line::open(emulator);
    let bearer = format!("Bearer {token}");
    line.head("GET", target, &[("authorization", &bearer)]);
    let lines = BufReader::new(line.rest()).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.starts_with("data:"));
    lines.next().unwrap()
}

#[test]
fn with_a_bearer_nothing_shows_another_creators_uploads() {
    let (emulator, [lena, olga]) = kept();
    let media = |of: &Upload| format!("/_emulator/media/{}/0", of.publish_id);
    assert_eq!(get_as(&emulator, &media(&lena), "act.lena.1").status, 200);
    assert_eq!(
        get_as(&emulator, &media(&lena), "act.lena.2").status,
        200,
        "same creator"
    );
    assert_eq!(get_as(&emulator, &media(&lena), "act.olga.1").status, 404);
    assert_eq!(
        crate::client::get(&emulator, &media(&olga)).status,
        200,
        "no bearer: everyone's"
    );

    for target in [
        "/",
        "/?creator=olga",
        "/_emulator/log?creator=olga",
        "/_emulator/log",
    ] {
        let page = get_as(&emulator, target, "act.lena.1");
        let page = String::from_utf8(page.body).unwrap();
        assert!(page.contains(&lena.publish_id), "{target}");
        assert!(!page.contains(&olga.publish_id), "{target}");
    }
    for target in ["/_emulator/events", "/_emulator/events?creator=olga"] {
        let event = first_event(&emulator, target, "act.lena.1");
        assert!(event.contains(&lena.publish_id), "{target}");
        assert!(!event.contains(&olga.publish_id), "{target}");
    }
}

#[test]
fn with_a_bearer_the_page_shows_its_own_settings_and_faults_alone() {
    let (emulator, _) = kept();
    for (name, value, fault) in [
        ("lena", "1201", "put nth=91 reset"),
        ("olga", "1202", "put nth=92 reset"),
    ] {
        for (method, page, body) in [
            ("PUT", "settings", format!("daily_posts={value}")),
            ("POST", "faults", fault.to_owned()),
        ] {
            let mut line = Line::open(&emulator);
            let (length, bearer) = (body.len().to_string(), format!("Bearer act.{name}.1"));
            let headers = [("content-length", &*length), ("authorization", &*bearer)];
            line.head(method, &format!("/_emulator/{page}"), &headers);
            line.send(body.as_bytes()).unwrap();
            assert_eq!(line.answer().unwrap().status, 200);
        }
    }
    for target in ["/", "/_emulator/events"] {
        let event = first_event(&emulator, "/_emulator/events", "act.lena.1");
        let page = get_page(&emulator, target, &event);
        assert!(page.contains("1201") && page.contains("nth=91"), "{target}");
        assert!(
            !page.contains("1202") && !page.contains("nth=92"),
            "{target}"
        );
    }
}

fn get_page(emulator: &Emulator, target: &str, event: &str) -> String {
    match target {
        "/" => String::from_utf8(get_as(emulator, "/", "act.lena.1").body).unwrap(),
        _ => event.to_owned(),
    }
}

#[test]
fn the_clock_ends_with_the_year_9999_instead_of_breaking_the_server() {
    let emulator = crate::client::started(&["retry_after=date", "init_per_minute=1"], &[]);
    let advance = |by: &str| {
        let mut line = Line::open(&emulator);
        let body = format!("{{\"advance\": \"{by}\"}}");
        let length = body.len().to_string();
        line.head("POST", "/_emulator/clock", &[("content-length", &*length)]);
        line.send(body.as_bytes()).unwrap();
        line.answer().unwrap()
    };
    let far = advance("3000000d");
    assert_eq!(far.status, 400);
    assert!(
        far.json()["error"].to_string().contains("9999"),
        "{}",
        far.json()
    );
    assert_eq!(advance("2900000d").status, 200);
    for _ in 0..100 {
        if advance("3650d").status == 400 {
            break;
        }
    }
    // In the library nobody can be refused: the clock stops at its end.
    emulator.advance(Duration::from_secs(u64::MAX));
    emulator.advance(Duration::MAX);
    assert_eq!(advance("1s").status, 400);
    let init = crate::client::plan(10, 10, 1);
    let ask = || crate::client::post(&emulator, crate::client::INBOX_INIT, "act.lena.1", &init);
    assert_eq!(ask().status, 200);
    let refused = ask();
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.header("retry-after"),
        Some("Fri, 31 Dec 9999 23:59:59 GMT")
    );
}

#[cfg(all(unix, feature = "cli"))]
mod files {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use chunkferry::emulator::Process;

    use super::*;
    use crate::client::sample;

    /// The command with a temporary directory of its own.
    fn serve(temp: &Path, args: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chunkferry"));
        command
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(args)
            .env("TMPDIR", temp);
        Process::spawn(&mut command).unwrap()
    }

    /// Sends one upload; half of it, if it is to stay unfinished.
    fn upload(address: &str, whole: bool) {
        let mut line = Line::to(address);
        let plan = crate::client::plan(10_485_760, 5_242_880, 2).to_string();
        let length = plan.len().to_string();
        let headers = [
            ("authorization", "Bearer act.lena.1"),
            ("content-type", "application/json"),
            ("content-length", &*length),
        ];
        line.head("POST", crate::client::INBOX_INIT, &headers);
        line.send(plan.as_bytes()).unwrap();
        let upload = Upload::of(&line.answer().unwrap(), 10_485_760);
        for first in [0, 5_242_880].into_iter().take(1 + usize::from(whole)) {
            let end = first + 5_242_880;
            upload.put_head(&mut line, first, end, &[]);
            line.send(&sample(first, end)).unwrap();
            assert!(line.answer().unwrap().status < 300);
        }
    }

    /// Every path below, with its mode.
    fn modes(dir: &Path) -> Vec<(PathBuf, u32)> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                found.extend(modes(&path));
            }
            found.push((path, meta.permissions().mode() & 0o777));
        }
        found
    }

    #[test]
    fn no_other_user_of_the_machine_reads_a_video() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("videos/kept");
        let dir = dir.to_str().unwrap();
        for args in [&[][..], &["--dir", dir][..]] {
            let server = serve(temp.path(), args);
            let address = server.client().address();
            upload(address, false);
            upload(address, true);
            let modes = modes(temp.path());
            assert!(modes.len() >= 3, "{modes:?}");
            for (path, mode) in modes {
                let wanted = if path.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode, wanted, "{}: {mode:o}", path.display());
            }
        }
    }
}
