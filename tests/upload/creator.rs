//! Whether a token belongs to its account's creator, and how slowly a file may be sent.

use chunkferry::{
    Account, ErrorKind, Event, Job, Notice, Outcome, Remedy, Secret, TokenError, TokenSource,
};
use futures::future::BoxFuture;

use crate::stage::{CHUNK, Stage, TOKEN, job, run};

const MIA: &str = "act.mia.1";

#[tokio::test]
async fn nobody_is_asked_for_the_creator_unless_the_program_wants_it() {
    let stage = Stage::new(&[], &[]);
    let draft = stage
        .engine()
        .upload(job(&stage.video("clip.mp4", CHUNK)))
        .await
        .unwrap();
    assert!(!draft.creator_known);
    assert_eq!(stage.log().requests.other, 0);
}

#[tokio::test]
async fn an_account_stands_for_the_creator_of_its_first_token_until_that_is_forgotten() {
    let stage = Stage::new(&[], &[]);
    let open = || stage.options().check_creator(true).open().unwrap();
    let files = [1, 2, 3, 4].map(|more| stage.video(&format!("{more}.mp4"), CHUNK + more));
    let of_mia = |file: &std::path::Path| Job::file(file).account("lena", MIA);
    let engine = open();
    for file in &files[..2] {
        let draft = engine.upload(job(file)).await.unwrap();
        assert!(draft.creator_known);
    }
    assert_eq!(
        stage.log().requests.other,
        1,
        "asked once for all jobs of an account"
    );
    engine.close().await;

    let forget = Remedy::ForgetCreator {
        account: "lena".into(),
    };
    let other_creator = [Remedy::NameAccount, forget];
    let engine = open();
    for file in &files[2..] {
        let error = engine.upload(of_mia(file)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
        assert_eq!(error.remedies(), other_creator, "{error}");
    }
    assert_eq!((stage.log().requests.other, stage.log().inits), (2, 2));
    // The name alone decides: another one is free.
    let draft = engine
        .upload(Job::file(&files[2]).account("mia", MIA))
        .await
        .unwrap();
    assert!(draft.creator_known);
    assert!(engine.forget_creator("lena").await.unwrap());
    assert!(!engine.forget_creator("nobody").await.unwrap());
    let draft = engine.upload(of_mia(&files[3])).await.unwrap();
    assert!(draft.creator_known);
    // Another token of the same engine is asked for anew.
    let fresh = stage.video("fresh.mp4", CHUNK + 5);
    let error = engine.upload(job(&fresh)).await.unwrap_err();
    assert_eq!(error.remedies(), other_creator, "{error}");
    // What was delivered for lena is not mia's.
    let file = stage.video("of lena.mp4", CHUNK);
    std::fs::copy(&files[0], &file).unwrap();
    let draft = engine.upload(of_mia(&file)).await.unwrap();
    assert_eq!(
        (draft.outcome, draft.creator_known),
        (Outcome::Delivered, true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_names_of_one_creator_share_drafts_and_windows_and_a_repeat_is_no_second_draft() {
    let stage = Stage::new(&["pending_cap=100"], &[]);
    let engine = stage.options().check_creator(true).open().unwrap();
    let file = stage.video("clip.mp4", CHUNK);
    let as_second = |file: &std::path::Path| Job::file(file).account("second", TOKEN);
    engine.upload(job(&file)).await.unwrap();
    let (draft, events) = run(&engine, as_second(&file)).await;
    assert_eq!(draft.unwrap().outcome, Outcome::AlreadyDelivered);
    let alias = Notice::Alias {
        account: "second".into(),
        name: "lena".into(),
    };
    assert!(events.contains(&Event::Notice(alias)), "{events:?}");
    // Six inits a minute for both together.
    let more: Vec<_> = (0..6)
        .map(|more| stage.video(&format!("{more}.mp4"), 1_000 + more))
        .collect();
    for (at, file) in more.iter().take(5).enumerate() {
        let job = if at % 2 == 0 {
            job(file)
        } else {
            as_second(file)
        };
        engine.upload(job).await.unwrap();
    }
    let mut handle = engine.upload(as_second(&more[5]));
    while let Some(event) = handle.event().await {
        if matches!(event, Event::Waiting { .. }) {
            break;
        }
    }
    assert_eq!(stage.log().inits, 6, "the seventh waits for the window");
    drop(handle);
    let records = engine.records().await.unwrap();
    assert!(
        records.iter().all(|record| record.account == "lena"),
        "{records:?}"
    );
}

#[tokio::test]
async fn what_was_delivered_under_a_name_before_its_creator_was_known_is_not_sent_again() {
    let stage = Stage::new(&[], &[]);
    let (file, other) = (
        stage.video("clip.mp4", CHUNK),
        stage.video("other.mp4", CHUNK + 1),
    );
    let as_second = |file: &std::path::Path| Job::file(file).account("second", TOKEN);
    let engine = stage.engine();
    engine.upload(as_second(&file)).await.unwrap();
    engine.close().await;
    let engine = stage.options().check_creator(true).open().unwrap();
    engine.upload(job(&other)).await.unwrap();
    for (job, outcome) in [
        (as_second(&other), Outcome::AlreadyDelivered),
        (job(&file), Outcome::AlreadyDelivered),
        (as_second(&file), Outcome::AlreadyDelivered),
    ] {
        assert_eq!(engine.upload(job).await.unwrap().outcome, outcome);
    }
    assert_eq!(stage.log().drafts, 2);
}

/// A source that knows whose its tokens are.
struct Known(&'static str);

impl TokenSource for Known {
    fn token<'a>(&'a self, _: Option<&'a Secret>) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async { Ok(Secret::new(TOKEN)) })
    }

    fn open_id(&self) -> BoxFuture<'_, Option<String>> {
        Box::pin(async { Some(self.0.to_owned()) })
    }
}

#[tokio::test]
async fn a_source_that_names_another_creator_ends_the_job_before_any_request() {
    let stage = Stage::new(&[], &[]);
    let (file, other) = (
        stage.video("clip.mp4", CHUNK),
        stage.video("other.mp4", CHUNK + 1),
    );
    let engine = stage.engine();
    let of = |file: &std::path::Path, name, open_id| {
        Job::file(file).for_account(Account::new(name, Known(open_id)))
    };
    engine.upload(of(&file, "lena", "L")).await.unwrap();
    let before = stage.log().requests;
    let error = engine.upload(of(&other, "lena", "M")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    let asked = engine.upload(of(&file, "second", "L")).await.unwrap();
    assert_eq!(asked.outcome, Outcome::AlreadyDelivered);
    assert_eq!(stage.log().requests.init, before.init);
    assert_eq!(stage.log().requests.other, 0, "no question for the creator");
}

#[tokio::test]
async fn a_file_that_the_bandwidth_cannot_carry_in_time_is_refused_with_a_rate_that_would_do() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 9 * CHUNK);
    let engine = stage.options().bandwidth(10_000).open().unwrap();
    let error = engine.upload(job(&file)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let [
        Remedy::RaiseBandwidth {
            bytes_per_second: needed,
        },
        Remedy::IgnoreForecast,
    ] = *error.remedies()
    else {
        panic!("{:?}", error.remedies());
    };
    assert!(needed * 3600 > 9 * CHUNK && needed < 20_000, "{needed}");
    assert_eq!(stage.log().requests.init, 0);
    assert!(
        chunkferry::StateDir::new(stage.path("state"))
            .records()
            .unwrap()
            .is_empty()
    );
    // A file that fits is carried, however slow.
    let small = stage.video("small.mp4", 2_000);
    engine.upload(job(&small)).await.unwrap();
}
