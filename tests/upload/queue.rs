//! The durable queue: what was accepted is carried to its end, once, whatever is restarted.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chunkferry::{
    Account, AccountProvider, Engine, ErrorKind, Event, Job, JobEvent, JobFilter, JobNotice,
    JobRecord, Options, Provided, Secret, TokenError, TokenSource,
};
use futures::future::BoxFuture;

use crate::stage::{CHUNK, Stage, with_scaled_clocks};

/// Knows every creator but nobody. Without `open` nobody has a token.
#[derive(Clone)]
struct Table {
    open: Arc<AtomicBool>,
}

impl AccountProvider for Table {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Provided, TokenError>> {
        Box::pin(async move {
            match account {
                "nobody" => Err(TokenError::unknown_account("the table has no such row")),
                _ if !self.open.load(Ordering::SeqCst) => Err("she must log in again".into()),
                _ => Ok(Provided::new(format!("act.{account}.1"))),
            }
        })
    }
}

fn options(stage: &Stage) -> Options {
    let open = Arc::new(AtomicBool::new(true));
    stage.options().accounts(Table { open })
}

fn job(file: &Path, account: &str) -> Job {
    Job::file(file).account_name(account).chunk_size(CHUNK)
}

async fn ended(engine: &Engine, id: &str) -> JobRecord {
    let handle = engine.handle(id).await.expect("a job");
    let ended = tokio::time::timeout(Duration::from_secs(60), handle.ended());
    ended.await.expect("in time").expect("readable")
}

fn outcome(record: &JobRecord) -> &str {
    &record.end.as_ref().expect("an end").outcome
}

/// All notices, each once and in order.
async fn notices(engine: &Engine) -> Vec<JobNotice> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = engine.notices(after, 3).await.expect("readable");
        let Some(last) = page.last() else {
            return all;
        };
        after = last.number;
        all.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_delivered_by_the_next_engine_and_each_end_is_in_the_outbox() {
    let stage = Stage::new(&["pending_cap=100", "init_per_minute=100"], &[]);
    let engine = options(&stage).paused().open().unwrap();
    let mut ids = Vec::new();
    for at in 0..6 {
        let file = stage.video(&format!("{at}.mp4"), CHUNK + at);
        let account = ["lena", "mia"][at as usize % 2];
        let labelled = job(&file, account)
            .label("night", "7")
            .id(&format!("clip {at}"));
        ids.push(engine.submit(labelled).await.unwrap().id().to_owned());
    }
    assert!(ids.is_sorted(), "{ids:?}");
    let waiting = engine
        .jobs(&JobFilter::new(), Some(&ids[1]), 3)
        .await
        .unwrap();
    let found: Vec<_> = waiting.iter().map(|job| (&*job.id, &*job.state)).collect();
    assert_eq!(found, [2, 3, 4].map(|at| (&*ids[at], "queued")));
    engine.close().await;
    assert_eq!(stage.log().inits, 0);

    let engine = options(&stage).open().unwrap();
    for id in &ids {
        let record = ended(&engine, id).await;
        assert_eq!((&*record.state, outcome(&record)), ("ended", "delivered"));
        assert!(record.upload.is_some());
    }
    assert_eq!(stage.log().drafts, 6);
    let notices = notices(&engine).await;
    let numbers: Vec<u64> = notices.iter().map(|notice| notice.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let mut told: Vec<&str> = notices.iter().filter_map(|of| of.job.as_deref()).collect();
    told.sort_unstable();
    assert_eq!(told, ids);
    assert_eq!(notices[0].labels["night"], "7");
    assert!(notices.iter().all(|notice| notice.kind == "ended"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_id_is_one_job_whatever_became_of_it_and_another_wish_is_refused() {
    let stage = Stage::new(&[], &[]);
    let engine = options(&stage).open().unwrap();
    let (file, other) = (
        stage.video("clip.mp4", CHUNK),
        stage.video("other.mp4", CHUNK + 1),
    );
    let first = engine.submit(job(&file, "lena").id("a")).await.unwrap();
    assert!(!first.is_repeat());
    let at_once = (0..8).map(|_| engine.submit(job(&file, "lena").id("a")));
    for again in futures::future::join_all(at_once).await {
        let again = again.unwrap();
        assert_eq!((again.id(), again.is_repeat()), (first.id(), true));
    }
    assert_eq!(outcome(&ended(&engine, first.id()).await), "delivered");
    let after = engine.submit(job(&file, "lena").id("a")).await.unwrap();
    assert_eq!((after.id(), after.is_repeat()), (first.id(), true));
    for (wish, field) in [
        (job(&other, "lena").id("a"), "source"),
        (job(&file, "lena").id("a").again(true), "options"),
        (job(&file, "lena").id("a").label("x", "y"), "labels"),
    ] {
        let error = engine.submit(wish).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(
            error.to_string().contains(field) && error.to_string().contains(first.id()),
            "{error}"
        );
    }
    // Another account has ids of its own.
    let of_mia = engine.submit(job(&file, "mia").id("a")).await.unwrap();
    assert_ne!(of_mia.id(), first.id());
    ended(&engine, of_mia.id()).await;
    assert!(engine.forget_job(first.id()).await.unwrap());
    assert!(!engine.forget_job(first.id()).await.unwrap());
    let error = engine.submit(job(&file, "lena").id("a")).await.unwrap_err();
    assert!(error.to_string().contains("forgotten"), "{error}");
    assert_eq!(stage.log().drafts, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_url_counts_without_its_query_and_the_newest_one_is_used_and_shown_nowhere() {
    let stage = Stage::new(&[], &[]);
    let engine = options(&stage).paused().open().unwrap();
    let pull = |signature: &str| {
        let url = format!("https://media.example/clip.mp4?signature={signature}");
        Job::url(&url).account_name("lena").preflight(false).id("a")
    };
    let first = engine.submit(pull("first")).await.unwrap();
    let second = engine.submit(pull("second")).await.unwrap();
    assert_eq!((second.id(), second.is_repeat()), (first.id(), true));
    let record = engine.job(first.id()).await.unwrap().unwrap();
    assert_eq!(record.source, "https://media.example/clip.mp4");
    assert!(!format!("{record:?} {first:?} {engine:?}").contains("signature"));
    // The same wish in another order of its parts, and a file whose name is no text.
    let odd = std::ffi::OsStr::from_bytes(b"/videos/caf\xe9.mp4");
    for repeat in [false, true] {
        let labelled = job(Path::new(odd), "lena").id("b");
        let labelled = match repeat {
            true => labelled.label("x", "1").label("y", "2"),
            false => labelled.label("y", "2").label("x", "1"),
        };
        assert_eq!(engine.submit(labelled).await.unwrap().is_repeat(), repeat);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_for_one_api_is_never_carried_to_another_one() {
    let (stage, elsewhere) = (Stage::new(&[], &[]), Stage::new(&[], &[]));
    let file = stage.video("clip.mp4", CHUNK);
    let engine = options(&stage).paused().open().unwrap();
    let id = engine
        .submit(job(&file, "lena"))
        .await
        .unwrap()
        .id()
        .to_owned();
    engine.close().await;
    let other = options(&stage).api_base(&elsewhere.emulator.url());
    let engine = other.open().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(engine.job(&id).await.unwrap().unwrap().state, "queued");
    engine.retry_job(&id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    engine.close().await;
    assert_eq!(elsewhere.log().inits, 0);
    let engine = options(&stage).open().unwrap();
    assert_eq!(outcome(&ended(&engine, &id).await), "delivered");
}

#[tokio::test]
async fn what_cannot_be_carried_later_is_refused_before_it_is_recorded() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", CHUNK);
    let engine = options(&stage).paused().open().unwrap();
    for wrong in [
        job(&file, "nobody"),
        job(&file, ""),
        job(&file, "lena").again(true),
        job(&file, "lena").id(""),
        job(&file, "lena").id("a\nb"),
        job(&file, "lena").label("a", &"b".repeat(256)),
        job(&file, "lena").give_up_after(Duration::from_secs(31 * 24 * 3600)),
        Job::file(&file),
    ] {
        let error = engine.submit(wrong.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{wrong:?}: {error}");
    }
    assert!(
        engine
            .jobs(&JobFilter::new(), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    drop(engine);
    let without = stage.engine().submit(job(&file, "lena")).await.unwrap_err();
    assert_eq!(without.kind(), ErrorKind::Usage, "{without}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_needs_a_person_is_parked_and_goes_on_when_somebody_says_so() {
    let stage = Stage::new(&[], &[]);
    let open = Arc::new(AtomicBool::new(false));
    let table = Table {
        open: Arc::clone(&open),
    };
    let engine = stage.options().accounts(table).open().unwrap();
    let file = stage.video("clip.mp4", CHUNK);
    let handle = engine.submit(job(&file, "lena")).await.unwrap();
    let record = handle.ended().await.unwrap();
    assert_eq!(
        (&*record.state, outcome(&record)),
        ("parked", "needs_person")
    );
    assert!(
        record
            .end
            .unwrap()
            .why
            .unwrap()
            .contains("she must log in again")
    );
    assert!(record.next.is_some());
    // A job of the same account is no news of the account.
    let second = stage.video("second.mp4", CHUNK + 1);
    let second = engine.submit(job(&second, "lena")).await.unwrap();
    assert_eq!(second.ended().await.unwrap().state, "parked");
    open.store(true, Ordering::SeqCst);
    engine.retry_job(handle.id()).await.unwrap();
    let record = handle.ended().await.unwrap();
    assert_eq!(outcome(&record), "delivered");
    let notices = notices(&engine).await;
    let said = notices.iter().map(|of| {
        let of_first = of.job.as_deref().map(|job| job == handle.id());
        (&*of.kind, of_first)
    });
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            ("parked", Some(true)),
            ("account_needs_token", None),
            ("parked", Some(false)),
            ("unparked", Some(true)),
            ("ended", Some(true)),
            ("account_has_token", None),
        ]
    );
    let why = notices[1].end.as_ref().unwrap().why.as_ref().unwrap();
    assert!(why.contains("she must log in again"), "{why}");
    assert_eq!(engine.retry_job(handle.id()).await.unwrap().state, "ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_job_waits_over_a_restart_and_a_cancelled_one_ends_once() {
    let stage = Stage::new(&[], &[]);
    let slow = options(&stage).bandwidth(CHUNK).open().unwrap();
    let (file, other) = (
        stage.video("clip.mp4", 4 * CHUNK),
        stage.video("other.mp4", 4 * CHUNK + 1),
    );
    let paused = slow.submit(job(&file, "lena")).await.unwrap();
    let cancelled = slow.submit(job(&other, "mia")).await.unwrap();
    while stage
        .log()
        .sessions
        .iter()
        .filter(|of| !of.puts.is_empty())
        .count()
        < 2
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        slow.job(paused.id()).await.unwrap().unwrap().state,
        "running"
    );
    assert_eq!(slow.pause_job(paused.id()).await.unwrap().state, "paused");
    assert_eq!(
        outcome(&slow.cancel_job(cancelled.id()).await.unwrap()),
        "cancelled"
    );
    assert_eq!(
        outcome(&slow.cancel_job(cancelled.id()).await.unwrap()),
        "cancelled"
    );
    drop((paused.clone(), cancelled));
    let id = paused.id().to_owned();
    drop(paused);
    slow.close().await;
    let engine = options(&stage).open().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(engine.job(&id).await.unwrap().unwrap().state, "paused");
    engine.retry_job(&id).await.unwrap();
    assert_eq!(outcome(&ended(&engine, &id).await), "delivered");
    let session = stage.assert_one_draft_of(&file);
    let sent: u64 = session.puts.iter().map(|put| put.bytes).sum();
    assert!(sent < 6 * CHUNK, "{:?}", session.puts);
    assert_eq!(notices(&engine).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn again_is_one_draft_for_each_id_however_often_it_is_said_and_whatever_is_restarted() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", CHUNK);
    let mut engine = options(&stage).open().unwrap();
    for id in ["a", "b"] {
        for _ in 0..2 {
            let handle = engine
                .submit(job(&file, "lena").again(true).id(id))
                .await
                .unwrap();
            assert_eq!(outcome(&handle.ended().await.unwrap()), "delivered");
            drop(handle);
            engine.close().await;
            engine = options(&stage).open().unwrap();
        }
    }
    assert_eq!(stage.log().drafts, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_sends_again_does_not_take_over_what_another_one_has_half_sent() {
    let stage = Stage::new(&[], &[]);
    let engine = options(&stage).bandwidth(3 * CHUNK).open().unwrap();
    let file = stage.video("clip.mp4", 4 * CHUNK);
    let again = |id: &str| job(&file, "lena").again(true).id(id);
    let first = engine.submit(again("a")).await.unwrap();
    while stage.puts().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    engine.pause_job(first.id()).await.unwrap();
    let second = engine.submit(again("b")).await.unwrap();
    let second = second.ended().await.unwrap();
    engine.retry_job(first.id()).await.unwrap();
    let first = first.ended().await.unwrap();
    let [first, second] = [first, second].map(|job| job.end.unwrap().publish_id.unwrap());
    assert_ne!(first, second);
    assert_eq!((stage.log().drafts, stage.log().sessions.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_at_a_chunk_border_and_nothing_is_sent_twice() {
    let stage = Stage::new(&[], &[]);
    let engine = options(&stage).bandwidth(2 * CHUNK).open().unwrap();
    let file = stage.video("clip.mp4", 5 * CHUNK);
    let handle = engine.submit(job(&file, "lena")).await.unwrap();
    let id = handle.id().to_owned();
    drop(handle);
    while stage.puts().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    engine.shut_down(Duration::from_secs(20)).await;
    assert_eq!(engine.job(&id).await.unwrap().unwrap().state, "queued");
    engine.close().await;
    let engine = options(&stage).open().unwrap();
    assert_eq!(outcome(&ended(&engine, &id).await), "delivered");
    let session = stage.assert_one_draft_of(&file);
    let sent: u64 = session.puts.iter().map(|put| put.bytes).sum();
    assert_eq!(sent, 5 * CHUNK, "{:?}", session.puts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_events_is_told_how_many_it_missed_and_a_quick_one_sees_all() {
    let stage = Stage::new(&[], &[]);
    let engine = options(&stage).open().unwrap();
    let (mut quick, mut slow) = (engine.events().unwrap(), engine.events().unwrap());
    let file = stage.video("clip.mp4", 3 * CHUNK);
    let handle = engine.submit(job(&file, "lena")).await.unwrap();
    let mut confirmed = Vec::new();
    while confirmed.len() < 2 {
        if let Some(JobEvent::Upload { job, event }) = quick.next().await {
            assert_eq!(job, handle.id());
            if let Event::ChunkAccepted { confirmed: now, .. } = event {
                confirmed.push(now);
            }
        }
    }
    assert_eq!(confirmed, [CHUNK, 2 * CHUNK]);
    handle.ended().await.unwrap();
    assert_eq!(handle.progress(), None);
    for _ in 0..1_100 {
        engine.retry_job(handle.id()).await.unwrap();
    }
    assert!(matches!(
        slow.next().await,
        Some(JobEvent::Missed { events: 70.. })
    ));
    let id = handle.id().to_owned();
    let last = slow.next().await;
    assert!(
        matches!(&last, Some(JobEvent::Changed { job }) if *job == id),
        "{last:?}"
    );
}

#[test]
fn a_job_without_a_token_and_one_above_the_cap_go_on_by_themselves_when_the_cause_is_gone() {
    with_scaled_clocks("queue::the_cause_is_gone", 60);
}

#[ignore = "run by the test above, in a process of its own whose time passes faster"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cause_is_gone() {
    let stage = Stage::new(&["pending_cap=1", "clock=60x"], &[]);
    let open = Arc::new(AtomicBool::new(false));
    let table = Table {
        open: Arc::clone(&open),
    };
    let engine = stage.options().accounts(table).open().unwrap();
    let files = [1, 2].map(|more| stage.video(&format!("{more}.mp4"), 1_000_000 + more));
    let handle = engine.submit(job(&files[0], "lena")).await.unwrap();
    assert_eq!(handle.ended().await.unwrap().state, "parked");
    open.store(true, Ordering::SeqCst);
    let first = until_ended(&engine, handle.id()).await;
    assert_eq!(outcome(&first), "delivered");

    let second = engine.submit(job(&files[1], "lena")).await.unwrap();
    let capped = loop {
        let record = engine.job(second.id()).await.unwrap().unwrap();
        if record.why.is_some() {
            break record;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(capped.state, "queued", "{capped:?}");
    stage.post(&first.end.unwrap().publish_id.unwrap());
    assert_eq!(
        outcome(&until_ended(&engine, second.id()).await),
        "delivered"
    );
    assert_eq!(
        kinds(&engine).await,
        [
            "parked",
            "account_needs_token",
            "account_has_token",
            "unparked",
            "ended",
            "ended"
        ]
    );

    // What a program learns of an account without a job is said once, too, and the account is looked after over a restart.
    open.store(false, Ordering::SeqCst);
    let alone = Job::file(&files[0]).for_account(Account::new("mia", Nobody));
    let missing = engine.upload(alone).await.unwrap_err();
    for _ in 0..2 {
        engine.note_token("mia", Some(&missing)).await.unwrap();
    }
    let absent = engine.handle("0123456789abcdef").await.unwrap_err();
    engine.note_token("noa", Some(&absent)).await.unwrap();
    assert_eq!(kinds(&engine).await[6..], ["account_needs_token"]);
    drop((handle, second));
    engine.close().await;
    let engine = stage
        .options()
        .accounts(Table {
            open: Arc::clone(&open),
        })
        .open()
        .unwrap();
    open.store(true, Ordering::SeqCst);
    while kinds(&engine).await.len() < 8 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = notices(&engine).await.pop().unwrap();
    assert_eq!((&*last.kind, &*last.account), ("account_has_token", "mia"));
}

async fn kinds(engine: &Engine) -> Vec<String> {
    let notices = notices(engine).await.into_iter();
    notices.map(|notice| notice.kind).collect()
}

/// Never has a token.
struct Nobody;

impl TokenSource for Nobody {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async { Err("she must log in again".into()) })
    }
}

/// Waits longer than [`ended`]: over what the job is parked for.
async fn until_ended(engine: &Engine, id: &str) -> JobRecord {
    for _ in 0..3_000 {
        let record = engine.job(id).await.unwrap().unwrap();
        if record.state == "ended" {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}", engine.job(id).await);
}
