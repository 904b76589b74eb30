//! Whether a token belongs to its account's creator, and how slowly a file may be sent.

use chunkferry::{ErrorKind, Job, Outcome, Remedy};

use crate::stage::{CHUNK, Stage, TOKEN, job};

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
    let error = engine
        .upload(Job::file(&files[2]).account("lena", TOKEN))
        .await
        .unwrap_err();
    assert_eq!(error.remedies(), other_creator, "{error}");
    // The fact known at that init still holds for the delivered draft.
    let known = engine.upload(job(&files[0])).await.unwrap();
    assert_eq!(
        (known.outcome, known.creator_known),
        (Outcome::AlreadyDelivered, true)
    );
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
