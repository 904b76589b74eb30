//! The library as an embedder uses it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chunkferry::{
    Engine, ErrorKind, Event, Job, Notice, Outcome, Secret, TokenError, TokenSource, Who,
};
use futures::future::BoxFuture;

use crate::stage::{CHUNK, Stage, TOKEN, cause, job, run, text_of, until_confirmed};
use crate::video;

const SIZE: u64 = 4 * CHUNK + 123;

#[tokio::test]
async fn a_file_goes_in_and_a_draft_comes_out() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", SIZE);
    let (draft, events) = run(&stage.engine(), job(&file)).await;
    let draft = draft.unwrap();
    let session = stage.assert_one_draft_of(&file);
    assert_eq!(draft.publish_id, session.publish_id);
    assert_eq!(draft.outcome, Outcome::Delivered);
    assert_eq!(draft.sha256, session.sha256);
    assert!(draft.delivered_at.is_some());

    let words: Vec<&str> = events
        .iter()
        .map(|event| match event {
            Event::Planned { .. } => "planned",
            Event::SessionOpened { .. } => "session",
            Event::ChunkAccepted { .. } => "chunk",
            Event::Processing { .. } => "processing",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        words,
        [
            "planned",
            "session",
            "chunk",
            "chunk",
            "chunk",
            "processing"
        ]
    );
}

#[tokio::test]
async fn a_dropped_future_and_a_cancelled_handle_carry_on() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", SIZE);
    let slow = stage.options().bandwidth(20_000_000);
    let engine = slow.open().unwrap();

    // Dropped at an arbitrary await, again and again.
    for _ in 0..5 {
        let upload = engine.upload(job(&file));
        drop(tokio::time::timeout(Duration::from_millis(150), upload).await);
    }
    let mut handle = engine.upload(job(&file));
    until_confirmed(&mut handle, CHUNK).await;
    handle.cancel();
    let error = handle.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(error.is_retryable());

    let mut handle = engine.upload(job(&file));
    while let Some(event) = handle.event().await {
        if let Event::Planned { confirmed, .. } = event {
            assert!(confirmed >= CHUNK, "{confirmed}");
        }
    }
    let progress = handle.progress();
    handle.await.unwrap();
    assert_eq!(progress.confirmed, SIZE);
    assert!(progress.bytes_sent < SIZE, "{progress:?}");
    let session = stage.assert_one_draft_of(&file);
    let accepted = session
        .puts
        .iter()
        .filter(|put| put.http_status.is_some_and(|status| status < 300));
    assert_eq!(accepted.count(), 4);
}

#[tokio::test]
async fn an_engine_that_is_gone_lets_the_next_one_carry_on() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", SIZE);
    let engine = stage.options().bandwidth(20_000_000).open().unwrap();
    let mut handle = engine.upload(job(&file));
    until_confirmed(&mut handle, 2 * CHUNK).await;
    let locked = stage.options().open().unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked);
    assert!(locked.is_retryable());
    drop(handle);
    drop(engine);
    let engine = loop {
        match stage.options().open() {
            Err(error) if error.kind() == ErrorKind::Locked => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            opened => break opened.unwrap(),
        }
    };
    engine.upload(job(&file)).await.unwrap();
    assert_eq!(stage.log().inits, 1);
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn many_at_once_of_one_file_make_one_draft() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", SIZE);
    let engine = stage.options().jobs(4).open().unwrap();
    let uploads = (0..4).map(|_| engine.upload(job(&file)));
    let drafts: Vec<_> = futures::future::join_all(uploads)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let delivered = drafts
        .iter()
        .filter(|draft| draft.outcome == Outcome::Delivered)
        .count();
    assert_eq!(delivered, 1);
    assert!(
        drafts
            .iter()
            .all(|draft| draft.publish_id == drafts[0].publish_id)
    );
    assert_eq!(stage.log().inits, 1);
}

#[tokio::test]
async fn many_files_at_once_all_arrive() {
    let stage = Stage::new(&["pending_cap=9"], &[]);
    let engine = stage.options().jobs(3).open().unwrap();
    let files: Vec<_> = (0..5)
        .map(|number| stage.video(&format!("{number}.mp4"), 8_000_000 + number))
        .collect();
    let uploads = files.iter().map(|file| engine.upload(job(file)));
    for (draft, file) in futures::future::join_all(uploads)
        .await
        .into_iter()
        .zip(&files)
    {
        assert_eq!(draft.unwrap().sha256, Some(video::sha256(file)));
    }
    assert_eq!(stage.log().drafts, 5);
}

/// Each call gets the next token.
#[derive(Default)]
struct Rotating(AtomicUsize);

impl TokenSource for Rotating {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, TokenError>> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { Ok(Secret::new(&format!("act.lena.{number}"))) })
    }
}

#[tokio::test]
async fn a_refused_token_is_asked_for_once_more() {
    let stage = Stage::new(&[], &["inbox_init nth=1 code=access_token_invalid"]);
    let file = stage.video("clip.mp4", 1_000_000);
    let tokens = Arc::new(Rotating::default());
    let job = Job::file(&file).account("lena", Arc::clone(&tokens));
    stage.engine().upload(job).await.unwrap();
    assert_eq!(stage.log().inits, 1);
    assert!(
        tokens.0.load(Ordering::Relaxed) >= 3,
        "init twice, status once"
    );
}

struct NoToken;

impl TokenSource for NoToken {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async { Err("the vault is sealed: ask Otto".into()) })
    }
}

#[tokio::test]
async fn a_source_without_a_token_says_why_in_its_own_words() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let engine = stage.engine();
    let error = engine
        .upload(Job::file(&file).account("lena", NoToken))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson);
    assert!(cause(&error).contains("ask Otto"), "{error}");
    let error = engine.upload(Job::file(&file)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson);
    assert_eq!(stage.log().requests.init, 0);
    engine.upload(job(&file)).await.unwrap();
}

#[tokio::test]
async fn an_error_says_what_it_means_who_acts_and_when() {
    let rows = [
        (
            "inbox_init code=spam_risk_user_banned_from_posting",
            ErrorKind::NeedsPerson,
            Who::Creator,
        ),
        (
            "inbox_init code=scope_not_authorized",
            ErrorKind::NeedsPerson,
            Who::Creator,
        ),
        (
            "inbox_init code=access_token_invalid",
            ErrorKind::NeedsPerson,
            Who::You,
        ),
        (
            "inbox_init code=invalid_params",
            ErrorKind::Refused,
            Who::Developer,
        ),
        (
            "inbox_init code=spam_risk_too_many_pending_share",
            ErrorKind::NeedsPerson,
            Who::Creator,
        ),
    ];
    for (fault, kind, who) in rows {
        let stage = Stage::new(&[], &[fault]);
        let file = stage.video("clip.mp4", 1_000_000);
        let error = stage.engine().upload(job(&file)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.who_must_act()),
            (kind, who),
            "{fault}: {error}"
        );
        assert!(!error.is_retryable(), "{fault}");
        assert!(error.log_id().is_some(), "{fault}");
        assert_eq!(error.code(), fault.split("code=").nth(1));
        let capped = error.code() == Some("spam_risk_too_many_pending_share");
        assert_eq!(error.retry_at().is_some(), capped, "{fault}");
        assert_eq!(stage.log().requests.init, 1, "{fault}: never repeated");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_out_as_the_service_asks() {
    let stage = Stage::new(
        &[],
        &[
            "inbox_init nth=1 code=rate_limit_exceeded retry_after=1",
            "put chunk=1 nth=1 status=429 retry_after=1",
        ],
    );
    let file = stage.video("clip.mp4", SIZE);
    let (draft, events) = run(&stage.engine(), job(&file)).await;
    draft.unwrap();
    let waits: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Retry { wait, .. } => Some(*wait),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [Duration::from_secs(1); 2]);
    assert_eq!(stage.log().inits, 1);
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn another_chunk_size_on_resume_is_ignored_and_said() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", SIZE);
    let engine = stage.options().bandwidth(20_000_000).open().unwrap();
    let mut handle = engine.upload(job(&file));
    until_confirmed(&mut handle, CHUNK).await;
    handle.cancel();
    handle.await.unwrap_err();
    let (draft, events) = run(&engine, job(&file).chunk_size(8_000_000)).await;
    draft.unwrap();
    assert!(
        events.iter().any(|event| matches!(
            event,
            Event::Notice(Notice::ChunkSizeKept {
                chunk_size: 5_242_880
            })
        )),
        "{events:?}"
    );
    assert_eq!(stage.assert_one_draft_of(&file).chunk_size, Some(CHUNK));
}

#[tokio::test]
async fn an_upload_url_on_a_foreign_host_gets_no_byte() {
    let stage = Stage::new(&[], &[]);
    let mut settings = chunkferry::emulator::Settings::default();
    settings.set("processing_time", "0s").unwrap();
    let builder = chunkferry::emulator::Emulator::builder().settings(settings);
    let elsewhere = builder
        .upload_origin("https://upload.example")
        .start()
        .await
        .unwrap();
    let file = stage.video("clip.mp4", 1_000_000);
    let engine = chunkferry::Options::new(stage.path("state"))
        .api_base(&elsewhere.url())
        .open()
        .unwrap();
    let error = engine.upload(job(&file)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("upload.example"), "{error}");
    assert!(!error.to_string().contains("upload_token"), "{error}");
    assert_eq!(elsewhere.log().requests.put, 0);
}

#[tokio::test]
async fn the_history_is_a_receipt_of_every_end() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let engine = stage.engine();
    let draft = engine.upload(job(&file)).await.unwrap();
    let text = text_of(&stage.path("state/history.jsonl"));
    assert_eq!(text.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    let receipt = line.to_string();
    for part in [
        &*draft.publish_id,
        draft.sha256.as_deref().unwrap(),
        "lena",
        "delivered",
        &stage.emulator.url(),
    ] {
        assert!(receipt.contains(part), "{part}: {receipt}");
    }
    let records = chunkferry::StateDir::new(stage.path("state"))
        .records()
        .unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].state, "delivered");
}

/// How often of 150 times an engine, used in this way, keeps the next one from opening.
async fn locked_by_oneself(mut used: impl AsyncFnMut(Engine, &Path, usize)) -> usize {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let mut locked = 0;
    for round in 0..150 {
        match stage.options().open() {
            Ok(engine) => used(engine, &file, round).await,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                locked += 1;
            }
        }
    }
    locked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_is_free_once_every_handle_was_awaited() {
    let locked = locked_by_oneself(async |engine, file, _| {
        let handles = [engine.upload(job(file)), engine.upload(job(file))];
        for handle in handles {
            handle.await.unwrap();
        }
    });
    assert_eq!(locked.await, 0, "of 150");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_is_free_once_every_handle_was_cancelled_and_awaited() {
    let locked = locked_by_oneself(async |engine, file, round| {
        let handles = [engine.upload(job(file)), engine.upload(job(file))];
        tokio::time::sleep(Duration::from_millis(round as u64 % 20)).await;
        for handle in handles {
            handle.cancel();
            let _ = handle.await;
        }
    });
    assert_eq!(locked.await, 0, "of 150");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_is_free_after_close_whatever_was_dropped_before() {
    let locked = locked_by_oneself(async |engine, file, round| {
        let handles = [engine.upload(job(file)), engine.upload(job(file))];
        let within = Duration::from_millis(round as u64 % 20);
        drop(tokio::time::timeout(within, engine.upload(job(file))).await);
        drop(handles);
        engine.close().await;
    });
    assert_eq!(locked.await, 0, "of 150");
}

#[tokio::test]
async fn forget_says_what_became_of_each_kind_of_upload() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", SIZE);
    let engine = stage.options().bandwidth(5_000_000).open().unwrap();
    let list = || {
        chunkferry::StateDir::new(stage.path("state"))
            .records()
            .unwrap()
    };

    let mut handle = engine.upload(job(&file));
    until_confirmed(&mut handle, CHUNK).await;
    let id = list()[0].id.clone();
    let error = engine.forget(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("is running"), "{error}");
    assert_eq!(list()[0].state, "uploading");

    handle.cancel();
    assert_eq!(handle.await.unwrap_err().kind(), ErrorKind::Cancelled);
    engine.forget(&id).await.unwrap();
    assert!(list().is_empty(), "it is gone at once");

    for id in [&*id, "0123456789abcdef", "", "clip.mp4"] {
        let error = engine.forget(id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains("no upload"), "{error}");
    }
    engine.upload(job(&file)).await.unwrap();
    let id = list()[0].id.clone();
    engine.forget(&id).await.unwrap();
    assert!(list().is_empty());
    let history = text_of(&stage.path("state/history.jsonl"));
    for line in history.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["forgotten"], true);
    }
}

#[test]
fn an_engine_and_its_parts_can_go_anywhere() {
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<Engine>();
    sendable::<Job>();
    sendable::<chunkferry::Error>();
    sendable::<chunkferry::Uploading>();
    fn future(engine: &Engine) -> impl Send {
        engine.upload(Job::file("clip.mp4"))
    }
    let _ = future;
}

/// Waits until every byte of the job is at the service.
async fn until_processing(handle: &mut chunkferry::Uploading) {
    while let Some(event) = handle.event().await {
        if matches!(event, Event::Processing { .. }) {
            return;
        }
    }
    panic!("it ended before");
}

#[tokio::test]
async fn an_upload_that_the_service_works_on_takes_no_place_from_the_next() {
    let stage = Stage::new(&["processing_time=1h"], &[]);
    let engine = stage.options().jobs(1).open().unwrap();
    let files = [
        stage.video("one.mp4", CHUNK),
        stage.video("two.mp4", CHUNK + 1),
    ];
    let mut handles = files.map(|file| engine.upload(job(&file)));
    for handle in &mut handles {
        until_processing(handle).await;
    }
    assert_eq!(stage.log().inits, 2);
}

#[tokio::test]
async fn different_files_of_one_size_do_not_wait_for_each_other() {
    let stage = Stage::new(&["processing_time=1h"], &[]);
    let engine = stage.options().jobs(3).open().unwrap();
    // The same beginning; only the last bytes differ.
    let files: Vec<_> = (0..3_u8)
        .map(|last| {
            let file = stage.path(&format!("{last}.mp4"));
            video::write(&file, 3 * CHUNK, 1);
            let open = std::fs::File::options().write(true).open(&file).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&open, &[last; 9], 3 * CHUNK - 9).unwrap();
            file
        })
        .collect();
    let mut handles: Vec<_> = files.iter().map(|file| engine.upload(job(file))).collect();
    for handle in &mut handles {
        until_processing(handle).await;
    }
    let log = stage.log();
    let mut sent: Vec<_> = log
        .sessions
        .iter()
        .filter_map(|session| session.sha256.clone())
        .collect();
    let mut wanted: Vec<_> = files.iter().map(|file| video::sha256(file)).collect();
    sent.sort_unstable();
    wanted.sort_unstable();
    assert_eq!((log.inits, sent), (3, wanted));
}

/// A lease makes every open of the file block until its holder gives way, as a dead file server would.
const HOLDER: &str = "
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()
";

#[tokio::test]
async fn a_file_whose_opening_blocks_keeps_nobody_else_waiting() {
    use std::io::BufRead;
    let stage = Stage::new(&[], &[]);
    let (blocked, free) = (stage.video("a.mp4", CHUNK), stage.video("b.mp4", CHUNK + 1));
    let holder = std::process::Command::new("python3")
        .args(["-c", HOLDER])
        .arg(&blocked)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut holder) = holder else {
        println!("NOT TESTED: a file whose opening blocks needs python3");
        return;
    };
    let mut line = String::new();
    let stdout = holder.stdout.take().unwrap();
    std::io::BufReader::new(stdout)
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "held\n");
    let engine = stage.options().jobs(1).open().unwrap();
    let waiting = engine.upload(job(&blocked));
    let mia = Job::file(&free)
        .account("mia", "act.mia.1")
        .chunk_size(CHUNK);
    let draft = engine.upload(mia).await.unwrap();
    assert_eq!(draft.outcome, Outcome::Delivered);
    assert_eq!(stage.log().inits, 1, "the other one still waits");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(waiting.await.unwrap().outcome, Outcome::Delivered);
}

#[tokio::test]
async fn a_file_is_not_needed_once_every_byte_is_at_the_service() {
    let stage = Stage::new(&["processing_time=1s"], &[]);
    let (one, two) = (
        stage.video("one.mp4", CHUNK),
        stage.video("two.mp4", CHUNK + 1),
    );
    let engine = stage.engine();
    for file in [&one, &two] {
        let draft = engine.upload(job(file).hand_over(true)).await.unwrap();
        assert_eq!(draft.outcome, Outcome::Sent);
        std::fs::remove_file(file).unwrap();
    }
    let records = chunkferry::StateDir::new(stage.path("state"))
        .records()
        .unwrap();
    let of = |file: &Path| {
        let mut records = records.iter();
        let record = records.find(|record| record.file.as_deref() == Some(file));
        record.unwrap().id.clone()
    };
    // By its path, and by its id.
    let draft = engine.upload(job(&one)).await.unwrap();
    assert_eq!(draft.outcome, Outcome::Delivered);
    let lena = || chunkferry::Account::new("lena", TOKEN);
    let draft = engine.resume(&of(&two), lena()).await.unwrap();
    assert_eq!(draft.outcome, Outcome::Delivered);
    // Delivered, and the file is gone: the same job says so.
    let draft = engine.upload(job(&one)).await.unwrap();
    assert_eq!(draft.outcome, Outcome::AlreadyDelivered);
    let draft = engine.resume(&of(&two), lena()).await.unwrap();
    assert_eq!(draft.outcome, Outcome::AlreadyDelivered);
    assert_eq!((stage.log().inits, stage.log().drafts), (2, 2));

    let error = engine.upload(job(&one).again(true)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    let mia = chunkferry::Account::new("mia", "act.mia.1");
    let error = engine.resume(&of(&two), mia).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let error = engine
        .upload(job(&stage.path("never.mp4")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
}

#[tokio::test]
async fn an_upload_is_resumed_by_its_id_from_the_file_that_it_was_of() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", SIZE);
    let engine = stage.options().bandwidth(20_000_000).open().unwrap();
    let mut handle = engine.upload(job(&file));
    until_confirmed(&mut handle, CHUNK).await;
    handle.cancel();
    handle.await.unwrap_err();
    let id = chunkferry::StateDir::new(stage.path("state"))
        .records()
        .unwrap()
        .remove(0)
        .id;
    let lena = chunkferry::Account::new("lena", TOKEN);
    let draft = engine.resume(&id, lena).await.unwrap();
    assert_eq!(draft.outcome, Outcome::Delivered);
    assert_eq!(stage.log().inits, 1);
    stage.assert_one_draft_of(&file);
}
