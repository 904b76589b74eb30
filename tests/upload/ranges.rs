//! Values that nobody can mean: an error before any request, and no panic after the post.

use std::time::Duration;

use chunkferry::{Error, ErrorKind, Job, Limits, Plan};

use crate::stage::{Stage, TOKEN, cause, job};

#[tokio::test]
async fn settings_out_of_range_open_no_engine() {
    let stage = Stage::new(&[], &[]);
    for options in [
        stage.options().jobs(10_001),
        stage.options().jobs(usize::MAX),
        stage.options().bandwidth(0),
        stage.options().bandwidth(999),
    ] {
        let error = options.open().expect_err("out of range");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    let widest = stage.options().jobs(10_000).bandwidth(u64::MAX);
    let engine = widest.open().expect("in range");
    let file = stage.video("clip.mp4", 100_000);
    engine.upload(job(&file)).await.expect("a draft");
}

#[tokio::test]
async fn a_job_out_of_range_is_refused_before_any_request() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 100_000);
    let engine = stage.engine();
    let url = Job::url("https://media.example/clip.mp4")
        .account("lena", TOKEN)
        .preflight(false);
    let jobs = [
        url.clone().wait(Duration::MAX),
        job(&file).wait(Duration::MAX),
        job(&file).wait(Duration::from_secs(u64::MAX / 2)),
        job(&file).chunk_size(0),
        job(&file).chunk_size(u64::MAX),
        job(&file).content_type("video/x-matroska"),
        job(&file).account("", TOKEN),
        job(&file).account(" \t", TOKEN),
        job(&file).account("le\nna", TOKEN),
        job(&file).account("\u{200b}", TOKEN),
        job(&file).content_type(""),
        job(&file).content_type("video/mp4\r\nx: y"),
    ];
    for wrong in jobs {
        let error: Error = engine
            .upload(wrong.clone())
            .await
            .expect_err("out of range");
        assert_eq!(error.kind(), ErrorKind::Usage, "{wrong:?}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert_eq!(stage.log().requests.init, 0);
    let longest = job(&file).wait(Duration::from_secs(30 * 24 * 3600));
    engine.upload(longest).await.expect("a draft");
}

#[test]
fn a_plan_from_elsewhere_is_legal_or_none() {
    let plan = Plan::new(50_000_123, &Limits::DOCUMENTED, 10_000_000).expect("legal");
    let text = serde_json::to_string(&plan).expect("text");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("legal"), plan);
    for (from, to) in [
        ("\"chunk_count\":5", "\"chunk_count\":0"),
        ("\"chunk_count\":5", "\"chunk_count\":4294967295"),
        ("\"chunk_size\":10000000", "\"chunk_size\":0"),
        (
            "\"chunk_size\":10000000",
            "\"chunk_size\":18446744073709551615",
        ),
        (
            "\"video_size\":50000123",
            "\"video_size\":18446744073709551615",
        ),
    ] {
        assert!(text.contains(from), "{text}");
        let illegal = text.replace(from, to);
        serde_json::from_str::<Plan>(&illegal).expect_err(&illegal);
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_needs_a_person_and_asks_nothing() {
    let stage = Stage::new(&[], &[]);
    let file = stage.video("clip.mp4", 100_000);
    let engine = stage.engine();
    let upload = engine.upload(job(&file).account("lena", "act.lena\n.1"));
    let error = upload.await.expect_err("no header");
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    assert!(
        !error.is_retryable() && cause(&error).contains("line break"),
        "{error}"
    );
    assert_eq!(stage.log().requests.init, 0);
}
