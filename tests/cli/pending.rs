//! `status --pending`: each upload whose end is not known is asked about, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::scene::{CHUNK, Ended, Scene, Start};
use crate::serve::{ACCOUNTS, Service, wish};

/// Uploads a small video without waiting for the inbox; its publish_id.
fn handed_over(scene: &Scene, name: &str, account: &str) -> String {
    let file = scene.video(name, 100_000 + name.len() as u64);
    let mut upload = scene.upload(&file, &["--no-wait", "--account", account]);
    let ended = upload
        .env("TIKTOK_ACCESS_TOKEN", format!("act.{account}.1"))
        .end()
        .expect(0);
    ended.outcome()["publish_id"].as_str().unwrap().to_owned()
}

/// A config file with tokens of these accounts.
fn config(scene: &Scene, accounts: &[&str]) -> PathBuf {
    let table = |name| format!("[accounts.{name}]\ntoken_command = \"echo act.{name}.1\"\n");
    let path = scene.path("tokens.toml");
    let tables: String = accounts.iter().map(table).collect();
    fs::write(&path, tables).unwrap();
    path
}

fn pending(scene: &Scene, more: &[&str]) -> Command {
    let mut command = scene.command(["status", "--pending"]);
    command.args(more);
    command
}

/// What is answered, by publish_id, and the sum. The table and the JSON lines have the same.
fn told(ended: &Ended) -> (BTreeMap<String, String>, Value) {
    let mut answers = BTreeMap::new();
    let mut sum = Value::Null;
    for line in ended.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["event"].as_str().unwrap() {
            "status" => {
                let text = |field: &str| line[field].as_str().unwrap().to_owned();
                let before = answers.insert(text("publish_id"), text("status"));
                assert_eq!(before, None, "once each: {line}");
                assert!(text("file").ends_with(".mp4"), "{line}");
            }
            "summary" => sum = line,
            "error" => {}
            other => panic!("{other}: {line}"),
        }
    }
    (answers, sum)
}

#[test]
fn each_upload_that_tiktok_has_is_asked_about_with_its_accounts_own_token_and_no_other() {
    let scene = Scene::new(&[], &[]);
    scene.video("done.mp4", 1_000_000);
    scene.command(["upload", "done.mp4"]).end().expect(0);
    let ended = pending(&scene, &[]).end().expect(0);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("No upload waits"), "{}", ended.stderr);
    let before = scene.log().requests.status;
    scene.emulator.set("processing_time", "1h").unwrap();
    let one = handed_over(&scene, "one.mp4", "lena");
    let two = handed_over(&scene, "two.mp4", "mia");
    let six = handed_over(&scene, "six.mp4", "noa");
    // The variable has lena's token, and the config file mia's: nobody has noa's.
    let run = |more: &[&str], accounts: &[&str], code| {
        let mut command = pending(&scene, more);
        let config = config(&scene, accounts);
        command.env("CHUNKFERRY_CONFIG", config).end().expect(code)
    };
    let word = "PROCESSING_UPLOAD".to_owned();
    let of = |ids: &[&String]| {
        let pairs = ids.iter().map(|id| ((*id).clone(), word.clone()));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let ended = run(&["--json"], &["mia"], 4);
    let (answers, sum) = told(&ended);
    assert_eq!(answers, of(&[&one, &two]));
    assert_eq!(sum["statuses"], json!({ "PROCESSING_UPLOAD": 2 }));
    assert_eq!((&sum["unanswered"], &sum["exit"]), (&json!(1), &json!(4)));
    assert!(ended.stderr.contains("noa"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("act."), "{}", ended.stderr);
    // People read the same.
    let ended = run(&[], &["mia"], 4);
    let rows: Vec<Vec<&str>> = ended
        .stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 2, "{ended:?}");
    for row in rows {
        assert!(row[0] == one || row[0] == two, "{row:?}");
        assert_eq!(row[1], word);
        assert!(row[2].ends_with("/one.mp4") || row[2].ends_with("/two.mp4"));
    }
    let sum = "2 PROCESSING_UPLOAD, 1 without an answer";
    assert!(ended.stderr.ends_with(&format!("{sum}\n")), "{ended:?}");
    // Of one account, and of all.
    let ended = run(&["--json", "--account", "mia"], &["mia"], 0);
    assert_eq!(told(&ended).0, of(&[&two]));
    let ended = run(&["--json"], &["mia", "noa"], 0);
    assert_eq!(told(&ended).0, of(&[&one, &two, &six]));
    // Nothing was asked but this.
    assert_eq!(scene.log().requests.status - before, 2 + 2 + 1 + 3);
    // A video that failed meanwhile is an answer.
    scene.emulator.set("processing_time", "0s").unwrap();
    let reason = "file_format_check_failed";
    scene.emulator.set("fail_reason", reason).unwrap();
    scene.emulator.set("final_status", "FAILED").unwrap();
    handed_over(&scene, "bad.mp4", "lena");
    let ended = run(&["--account", "lena"], &[], 0);
    let row = format!("\tFAILED ({reason})\t");
    assert!(ended.stdout.contains(&row), "{ended:?}");
    // What went to another API is not asked about at this one.
    let mut elsewhere = pending(&scene, &["--account", "lena"]);
    elsewhere.env("CHUNKFERRY_API_BASE", "http://127.0.0.1:9");
    let ended = elsewhere.end().expect(0);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("another API"), "{}", ended.stderr);
    // An upload and all of them are two questions.
    let ended = pending(&scene, &[&one]).end().expect(2);
    assert!(ended.stderr.contains("--pending"), "{}", ended.stderr);
}

#[test]
fn more_uploads_than_questions_of_a_minute_are_all_answered() {
    const SCALE: &str = "100";
    let scene = Scene::new(&["clock=100x", "pending_cap=1000"], &[]);
    let files: Vec<String> = (0..33).map(|at| format!("clip-{at:02}.mp4")).collect();
    for (at, name) in files.iter().enumerate() {
        scene.video(name, 100_000 + at as u64);
    }
    let mut upload = scene.command(["upload", "--no-wait", "--json"]);
    let upload = upload.args(&files).env("CHUNKFERRY_CLOCK_SCALE", SCALE);
    upload.end().expect(0);
    let mut command = pending(&scene, &["--json"]);
    let ended = command.env("CHUNKFERRY_CLOCK_SCALE", SCALE).end();
    let ended = ended.expect(0);
    let (answers, sum) = told(&ended);
    assert_eq!(answers.len(), files.len(), "{ended:?}");
    assert_eq!(sum["unanswered"], 0);
    assert_eq!(
        sum["statuses"],
        json!({ "SEND_TO_USER_INBOX": files.len() })
    );
}

#[test]
fn an_account_that_gets_no_answer_stops_no_other_alone_and_beside_a_service() {
    // Creators: noa's token lacks a scope, ole's questions are not answered.
    let faults = [
        "status creator=noa code=scope_not_authorized",
        "status creator=ole status=503",
    ];
    for served in [false, true] {
        let scene = Scene::new(&["processing_time=1h"], &faults);
        let mut handed = Vec::new();
        let service = served.then(|| Service::start(&scene, &[]));
        for name in ACCOUNTS {
            for at in 0..4 {
                let size = format!("{name}{}.mp4", "-".repeat(at));
                let id = match &service {
                    None => handed_over(&scene, &size, name),
                    Some(service) => {
                        let file = scene.video(&size, 100_000 + size.len() as u64);
                        let mut wish: Value = serde_json::from_slice(&wish(&file, name)).unwrap();
                        wish["no_wait"] = true.into();
                        let answer = service.post(None, wish.to_string().as_bytes());
                        let ended = service.ended(&answer.expect(202).json()["id"]);
                        assert_eq!(ended["end"]["outcome"], "sent", "{ended}");
                        ended["end"]["publish_id"].as_str().unwrap().to_owned()
                    }
                };
                handed.push((name, id));
            }
        }
        let before = scene.log().requests.status;
        let mut command = pending(&scene, &["--json"]);
        command.env_remove("TIKTOK_ACCESS_TOKEN");
        command.env("CHUNKFERRY_CONFIG", config(&scene, &ACCOUNTS));
        // Both helped ends are there: another run cures one of them.
        let ended = command.end().expect(75);
        let (answers, sum) = told(&ended);
        let answered = handed.iter().filter(|(of, _)| ["lena", "mia"].contains(of));
        let answered: Vec<&String> = answered.map(|(_, id)| id).collect();
        assert_eq!(answers.len(), answered.len(), "{ended:?}");
        assert!(answered.iter().all(|id| answers.contains_key(*id)));
        assert_eq!(sum["unanswered"], 8, "{ended:?}");
        assert!(
            ended.stderr.contains("noa (4 without an answer)"),
            "{ended:?}"
        );
        assert!(ended.stderr.contains("ole"), "{ended:?}");
        // 8 that are answered; of noa one, and of ole two in vain.
        assert_eq!(scene.log().requests.status - before, 8 + 1 + 2, "{ended:?}");
        if served {
            let only = pending(&scene, &["--json", "--account", "mia"])
                .env_remove("TIKTOK_ACCESS_TOKEN")
                .end()
                .expect(0);
            assert_eq!(told(&only).0.len(), 4, "{only:?}");
        }
    }
}

#[test]
fn beside_an_upload_that_counts_the_questions_it_says_who_has_the_journal() {
    let scene = Scene::new(&["processing_time=1h"], &[]);
    handed_over(&scene, "one.mp4", "lena");
    let file = scene.video("clip.mp4", 4 * CHUNK);
    let mut run = scene.upload(&file, &["--bwlimit", "1MB"]).start();
    run.until("it began", |line| line["event"] == "session");
    let ended = pending(&scene, &[]).end().expect(75);
    let owner = format!("process {}", run.pid());
    assert!(ended.stderr.contains(&owner), "{}", ended.stderr);
    assert!(ended.stderr.contains("clip.mp4"), "{}", ended.stderr);
    run.kill();
    pending(&scene, &[]).end().expect(0);
}
