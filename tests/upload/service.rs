//! The engine as a part of a service that lives for months: futures are dropped, tokens are late, and limits end.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chunkferry::{
    Account, Behind, ErrorKind, Event, Job, Outcome, Secret, TokenError, TokenSource, Watcher,
};
use futures::future::BoxFuture;

use crate::stage::{CHUNK, Stage, TOKEN, cause, eventually, job, run, with_scaled_clocks};

type Token = Result<Secret, TokenError>;

/// A source of tokens that does what its closure does.
struct Source<F>(F);

impl<F, R> TokenSource for Source<F>
where
    F: Fn(Option<Secret>) -> R + Send + Sync + 'static,
    R: Future<Output = Token> + Send + 'static,
{
    fn token<'a>(&'a self, refused: Option<&'a Secret>) -> BoxFuture<'a, Token> {
        Box::pin(self.0(refused.cloned()))
    }
}

#[tokio::test]
async fn an_upload_dropped_while_its_init_is_on_its_way_leaves_no_session_behind() {
    let stage = Stage::new(&[], &["inbox_init delay=300ms"]);
    let file = stage.video("clip.mp4", CHUNK);
    let engine = stage.engine();
    let first = engine.upload(job(&file));
    eventually("an init", || stage.log().requests.init == 1).await;
    drop(first);
    for _ in 0..4 {
        let upload = engine.upload(job(&file));
        drop(tokio::time::timeout(Duration::from_millis(100), upload).await);
    }
    engine.upload(job(&file)).await.unwrap();
    assert_eq!(stage.log().inits, 1);
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn an_engine_dropped_while_an_init_is_on_its_way_leaves_no_session_behind() {
    let stage = Stage::new(&[], &["inbox_init delay=300ms"]);
    let file = stage.video("clip.mp4", CHUNK);
    let engine = stage.engine();
    let handle = engine.upload(job(&file));
    eventually("an init", || stage.log().requests.init == 1).await;
    drop(handle);
    drop(engine);
    let mut next = None;
    eventually("the state directory", || {
        next = stage.options().open().ok();
        next.is_some()
    })
    .await;
    next.unwrap().upload(job(&file)).await.unwrap();
    assert_eq!(stage.log().inits, 1);
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn a_pull_dropped_while_its_init_is_on_its_way_is_not_unknown() {
    let stage = Stage::new(&["pull_allow_http=true"], &["inbox_init delay=300ms"]);
    let engine = stage.engine();
    let url = format!("{}/nothing.mp4", stage.emulator.url());
    let job = Job::url(&url).preflight(false).account("lena", TOKEN);
    let handle = engine.upload(job.clone());
    eventually("an init", || stage.log().requests.init == 1).await;
    handle.cancel();
    handle.await.unwrap_err();
    let error = engine.upload(job).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(stage.log().requests.init, 1, "{error}");
}

#[tokio::test]
async fn a_call_for_a_token_goes_on_when_its_upload_is_dropped() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let source = {
        let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
        Source(move |_| {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(Secret::new(TOKEN))
            }
        })
    };
    let engine = stage.engine();
    let handle = engine.upload(Job::file(&file).account("lena", source));
    eventually("a call", || begun.load(Ordering::SeqCst) == 1).await;
    drop(handle);
    eventually("its end", || ended.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn uploads_that_wait_for_a_token_take_no_room_from_others() {
    // The first token of each, or the one after a refusal, never comes.
    for first_comes in [false, true] {
        let refused = ["inbox_init nth=1-2 code=access_token_invalid"];
        let stage = Stage::new(&[], &refused[..usize::from(first_comes)]);
        let file = stage.video("clip.mp4", 1_000_000);
        let engine = stage.options().jobs(2).open().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let _stuck = ["mona", "nina"].map(|name| {
            let asked = Arc::clone(&asked);
            let source = Source(move |refused: Option<Secret>| {
                let comes = first_comes && refused.is_none();
                asked.fetch_add(usize::from(!comes), Ordering::SeqCst);
                async move {
                    if comes {
                        Ok(Secret::new("act.stale.1"))
                    } else {
                        pending().await
                    }
                }
            });
            engine.upload(Job::file(&file).account(name, source))
        });
        eventually("two calls", || asked.load(Ordering::SeqCst) == 2).await;
        let third = tokio::time::timeout(Duration::from_secs(40), engine.upload(job(&file)));
        third.await.expect("it never began").unwrap();
    }
}

#[tokio::test]
async fn a_source_that_panics_is_an_error() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let source = Source(|_| async { panic!("the vault is on fire") });
    let engine = stage.engine();
    let upload = engine.upload(Job::file(&file).account("lena", source));
    let error = upload.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    assert!(cause(&error).contains("panicked"), "{error}");
}

#[test]
fn the_cap_of_pending_drafts_ends_when_the_creator_posts_one() {
    with_scaled_clocks("service::the_cap_ends", 60);
}

#[ignore = "run by the test above, in a process of its own whose time passes faster"]
#[tokio::test]
async fn the_cap_ends() {
    let stage = Stage::new(&["pending_cap=1", "clock=60x"], &[]);
    let files: Vec<_> = (0..3)
        .map(|number| stage.video(&format!("{number}.mp4"), 1_000_000 + number))
        .collect();
    let engine = stage.engine();
    let first = engine.upload(job(&files[0])).await.unwrap();
    for file in [&files[1], &files[2], &files[1]] {
        let error = engine.upload(job(file)).await.unwrap_err();
        assert_eq!(error.code(), Some("spam_risk_too_many_pending_share"));
        assert!(error.retry_at().is_some());
    }
    let asked = stage.log().requests.init;
    assert_eq!(asked, 2, "one init found out for all");
    stage.post(&first.publish_id);
    // The engine asks again by itself, at most once in five minutes.
    let start = std::time::Instant::now();
    let draft = loop {
        match engine.upload(job(&files[1])).await {
            Ok(draft) => break draft,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}"),
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "never asked again"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(stage.log().requests.init, 3);
    assert_ne!(draft.publish_id, first.publish_id);
}

#[test]
fn forty_questions_for_a_status_keep_within_the_window() {
    with_scaled_clocks("service::forty_questions", 20);
}

#[ignore = "run by the test above, in a process of its own whose time passes faster"]
#[tokio::test]
async fn forty_questions() {
    let stage = Stage::new(&["clock=20x"], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let engine = stage.engine();
    let draft = engine.upload(job(&file)).await.unwrap();
    let account = Account::new("lena", TOKEN);
    for _ in 0..40 {
        let status = engine.status(&draft.publish_id, &account).await;
        assert!(status.unwrap().is_final);
    }
    let other = stage.video("other.mp4", 1_000_001);
    engine.upload(job(&other)).await.unwrap();
    assert!(stage.log().requests.status >= 42);
}

/// A source that fails so many times, for now.
fn failing(times: usize) -> impl TokenSource {
    let asked = AtomicUsize::new(0);
    Source(move |_| {
        let failed = asked.fetch_add(1, Ordering::SeqCst) < times;
        async move {
            if failed {
                Err(TokenError::temporary("the token endpoint answered 503"))
            } else {
                Ok(Secret::new(TOKEN))
            }
        }
    })
}

#[test]
fn a_token_that_is_late_is_waited_for_and_one_that_never_comes_is_temporary() {
    with_scaled_clocks("service::late_tokens", 60);
}

#[ignore = "run by the test above, in a process of its own whose time passes faster"]
#[tokio::test]
async fn late_tokens() {
    let stage = Stage::new(&["clock=60x"], &[]);
    let file = stage.video("clip.mp4", 1_000_000);
    let engine = stage.engine();
    let upload = |tokens| engine.upload(Job::file(&file).account("lena", tokens));
    let error = upload(failing(usize::MAX)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
    assert!(error.to_string().contains("answered 503"), "{error}");

    let hanging = Job::file(&file).account("lena", Source(|_| pending()));
    let error = engine.upload(hanging).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error}");
    assert!(error.to_string().contains("within 60 s"), "{error}");
    assert_eq!(stage.log().requests.init, 0);

    let draft = upload(failing(2)).await.unwrap();
    assert_eq!(draft.outcome, Outcome::Delivered);

    // A source that takes longer than the look at a delivered draft may take goes on.
    let ended = Arc::new(AtomicUsize::new(0));
    let slow = {
        let ended = Arc::clone(&ended);
        Source(move |_| {
            let ended = Arc::clone(&ended);
            async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(Secret::new(TOKEN))
            }
        })
    };
    let again = engine.upload(Job::file(&file).account("lena", slow)).await;
    assert_eq!(again.unwrap().outcome, Outcome::AlreadyDelivered);
    eventually("its end", || ended.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_source_that_caches_is_told_which_token_was_refused() {
    for fault in [
        "inbox_init nth=1 code=access_token_invalid",
        "status nth=1 code=access_token_invalid",
    ] {
        let stage = Stage::new(&[], &[fault]);
        let file = stage.video("clip.mp4", 1_000_000);
        let caching = Source(|refused: Option<Secret>| async move {
            Ok(match refused {
                None => Secret::new("act.lena.old"),
                Some(refused) => {
                    assert_eq!(refused.expose(), "act.lena.old");
                    Secret::new("act.lena.new")
                }
            })
        });
        let upload = Job::file(&file).account("lena", caching);
        stage.engine().upload(upload).await.unwrap();
        stage.assert_one_draft_of(&file);
    }
}

/// Looks at the progress of an upload again and again until all bytes are confirmed.
fn watched(watcher: Watcher, size: u64) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let start = std::time::Instant::now();
        let mut now = watcher.progress();
        while now.confirmed < size {
            assert!(start.elapsed() < Duration::from_secs(120), "{now:?}");
            std::thread::sleep(Duration::from_micros(200));
            now = watcher.progress();
            let in_order = now.confirmed <= now.sent && now.sent <= now.total;
            assert!(in_order && now.bytes_resent <= now.bytes_sent, "{now:?}");
        }
    })
}

#[tokio::test]
async fn progress_never_tells_more_confirmed_than_sent_or_sent_than_there_is() {
    let stage = Stage::new(
        &["progress_header=never"],
        &[
            "put chunk=1 nth=1 lose",
            "put chunk=2 nth=1 drop_session",
            "put chunk=0 nth=2 cut=1MB",
        ],
    );
    let size = 3 * CHUNK + 123;
    let file = stage.video("clip.mp4", size);
    let engine = stage.engine();
    // The next run adopts a chunk whose answer this one has lost.
    let mut first = engine.upload(job(&file));
    while !matches!(first.event().await, Some(Event::Retry { .. })) {}
    drop(first);
    for outcome in [Outcome::Delivered, Outcome::AlreadyDelivered] {
        let (upload, watcher) = engine.upload(job(&file)).split();
        let watched = watched(watcher, size);
        assert_eq!(upload.await.unwrap().outcome, outcome);
        watched.join().unwrap();
    }
    stage.assert_one_draft_of(&file);
}

#[tokio::test]
async fn a_handle_is_awaited_while_its_events_are_read() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 2 * CHUNK);
    let (upload, mut watcher) = stage.engine().upload(job(&file)).split();
    let read = async {
        let mut events = 0;
        while watcher.event().await.is_some() {
            events += 1;
        }
        (events, watcher.progress().confirmed)
    };
    let (draft, (events, confirmed)) = tokio::join!(upload, read);
    draft.unwrap();
    assert!(events > 3, "{events}");
    assert_eq!(confirmed, 2 * CHUNK);
}

#[tokio::test]
async fn a_job_that_waits_for_its_turn_says_for_what() {
    let stage = Stage::new(&[], &["status delay=300ms"]);
    let engine = stage.options().jobs(1).open().unwrap();
    let file = stage.video("clip.mp4", 1_000_000);
    let other = stage.video("other.mp4", 1_000_001);
    let for_nina = Job::file(&other).account("nina", "act.nina.1");
    let (first, ..) = tokio::join!(
        run(&engine, job(&file)),
        async {
            let (draft, events) = run(&engine, for_nina).await;
            draft.unwrap();
            let queued = Event::Queued {
                behind: Behind::Jobs,
            };
            assert_eq!(events[0], queued, "{events:?}");
        },
        async {
            let (draft, events) = run(&engine, job(&other)).await;
            draft.unwrap();
            let queued = Event::Queued {
                behind: Behind::Account,
            };
            assert!(events.contains(&queued), "{events:?}");
        },
        async {
            let (draft, events) = run(&engine, job(&file)).await;
            draft.unwrap();
            assert!(matches!(events[0], Event::Queued { .. }), "{events:?}");
        },
    );
    first.0.unwrap();
    assert_eq!(stage.log().drafts, 3);
}

#[test]
fn what_an_upload_logs_carries_the_callers_span_its_id_account_chunk_and_attempt() {
    // What is logged at all is decided for a whole process.
    with_scaled_clocks("service::spans", 1);
}

#[ignore = "run by the test above, in a process of its own"]
#[tokio::test]
async fn spans() {
    let stage = Stage::new(&[], &["put chunk=1 nth=1 status=503"]);
    let file = stage.video("clip.mp4", 3 * CHUNK);
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("chunkferry=debug,service=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let span = tracing::info_span!(target: "service", "request", number = 7);
    let mut handle = span.in_scope(|| stage.engine().upload(job(&file)));
    let mut id = None;
    while let Some(event) = handle.event().await {
        if let Event::Planned { id: planned, .. } = event {
            id = Some(planned);
        }
    }
    handle.await.unwrap();
    let text = logged.text();
    let id = id.unwrap();
    let prefix = format!("request{{number=7}}:upload{{account=\"lena\" upload=\"{id}\"}}:");
    for call in [
        "init{attempt=1}:",
        "put{chunk=0 attempt=1}:",
        "put{chunk=1 attempt=1}:",
        "put{chunk=1 attempt=2}:",
        "status:",
    ] {
        assert!(text.contains(&format!("{prefix}{call}")), "{call}: {text}");
    }
    assert!(!text.contains(TOKEN), "{text}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<std::sync::Mutex<Vec<u8>>>);

impl Logged {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
