//! A URL that the service fetches: the init is the post.

use super::*;

fn queued() -> Upload {
    let key = Key {
        account: "lena".into(),
        api_base: "http://127.0.0.1:1".into(),
        destination: Destination::Inbox,
        video: Video::Key("https://media.example/clip.mp4".into()),
    };
    let origin = Origin::Url {
        url: "https://media.example/clip.mp4".into(),
        size: Some(SIZE),
    };
    Upload::new(key, origin, false, at(0))
}

fn intended() -> Upload {
    let mut upload = queued();
    upload.apply(Reply::Intended(None), at(0), 0);
    upload
}

fn taken() -> Reply {
    Reply::Init(Ok(Opened {
        publish_id: "v_inbox_url~v2.1".into(),
        upload_url: None,
    }))
}

fn fetched(bytes: u64) -> Reply {
    Reply::Status(Ok(Report {
        stage: json::stage("PROCESSING_DOWNLOAD"),
        word: "PROCESSING_DOWNLOAD".into(),
        fail_reason: None,
        uploaded_bytes: None,
        downloaded_bytes: Some(bytes),
    }))
}

fn failed(reason: &str) -> Reply {
    report("FAILED", None, Some(reason))
}

#[test]
fn a_pull_that_may_have_been_taken_is_never_asked_for_again() {
    for lost in [
        Failure::Lost("reset".into()),
        refusal(500, "internal_error"),
        refusal(502, "http_502"),
        refusal(408, "http_408"),
    ] {
        let mut upload = intended();
        let applied = upload.apply(Reply::Init(Err(lost)), at(1), 0);
        assert!(applied.save, "it is parked for good");
        assert_eq!((upload.state.name(), next(&upload, 1)), ("unknown", "done"));
        assert_eq!(next(&read_back(&upload), 9), "done");
        assert!(upload.final_error().is_some());
    }
}

#[test]
fn a_refusal_or_a_connection_never_made_leaves_a_pull_free_to_try() {
    for (error, wants) in [
        (Failure::NotSent("refused".into()), "wait"),
        (refusal(429, "rate_limit_exceeded"), "wait"),
        (refusal(403, "url_ownership_unverified"), "stop"),
        (refusal(400, "invalid_params"), "stop"),
        (refusal(401, "access_token_invalid"), "stop"),
    ] {
        let mut upload = intended();
        let shown = error.to_string();
        assert!(upload.apply(Reply::Init(Err(error)), at(1), u64::MAX).save);
        assert_eq!(
            (upload.state.name(), next(&upload, 1)),
            ("queued", wants),
            "{shown}"
        );
        assert_eq!(next(&read_back(&upload), 90), "init");
    }
}

#[test]
fn a_kill_between_the_init_of_a_pull_and_its_record_is_an_unknown_outcome() {
    let upload = intended();
    assert_eq!(next(&upload, 0), "init");
    let found = read_back(&upload);
    assert_eq!(next(&found, 5), "done");
    assert_eq!(found.state_name(), "unknown");
    assert!(found.has_ended() && found.final_error().is_some());
    assert_eq!(found.reason(), Some(STRANDED));
    assert!(!read_back(&queued()).has_ended());
}

#[test]
fn a_pull_is_followed_by_status_alone_and_shows_what_was_fetched() {
    let mut upload = intended();
    assert!(upload.may_be_posted() && !queued().may_be_posted());
    assert!(upload.apply(taken(), at(1), 0).save);
    let mut upload = read_back(&upload);
    assert!(upload.may_be_posted() && !upload.has_ended());
    for (bytes, shown) in [(10, 10), (30, 30), (20, 30)] {
        upload.apply(fetched(bytes), at(2), 0);
        assert_eq!(upload.confirmed_bytes(), shown);
        upload.run.not_before = None;
        assert_eq!(next(&upload, 2), "ask");
    }
    upload.apply(status("SEND_TO_USER_INBOX", None), at(9), 0);
    assert_eq!(
        (upload.state.name(), upload.confirmed_bytes()),
        ("delivered", SIZE)
    );
}

#[test]
fn a_pull_is_given_its_hour_and_the_wait_for_the_video_and_no_more() {
    let mut upload = intended();
    upload.apply(taken(), at(0), 0);
    upload.apply(fetched(1), at(600), 0);
    let (hour, work) = (3600, 1800);
    upload.apply(fetched(2), at(hour + work - 1), 0);
    assert_eq!(next(&upload, hour + work), "ask");
    upload.apply(fetched(3), at(hour + work), 0);
    assert_eq!(
        (next(&upload, hour + work), upload.state.name()),
        ("stop", "pulling")
    );
    let mut later = read_back(&upload);
    later.apply(fetched(4), at(9000), 0);
    later.apply(fetched(4), at(9000 + work), 0);
    assert_eq!(
        next(&later, 9000 + work),
        "stop",
        "its hour is long over by then"
    );
}

#[test]
fn a_pull_that_is_handed_over_is_not_followed_and_one_in_vain_is_told_as_a_pull() {
    let mut upload = intended();
    upload.apply(taken(), at(0), 0);
    upload.run.limits.hand_over = true;
    assert_eq!(next(&upload, 0), "done");
    upload.run.limits.hand_over = false;
    for second in [0, 5400] {
        upload.apply(fetched(1), at(second), 0);
    }
    let Step::Stop(Stop::Spent(text)) = upload.step(at(5400)) else {
        panic!("it goes on");
    };
    assert!(
        text.contains("After 5400 s the service is still fetching"),
        "{text}"
    );
}

#[test]
fn how_a_pull_failed_decides_whether_it_may_be_asked_for_again() {
    for (reason, state, wants) in [
        ("video_pull_failed", "queued", "stop"),
        ("publish_cancelled", "failed", "done"),
        ("internal", "queued", "init"),
        ("file_format_check_failed", "failed", "done"),
    ] {
        let mut upload = intended();
        upload.apply(taken(), at(1), 0);
        upload.apply(failed(reason), at(2), 0);
        assert_eq!(
            (upload.state.name(), next(&upload, 2)),
            (state, wants),
            "{reason}"
        );
    }
}

#[test]
fn a_pull_the_service_no_longer_knows_is_an_unknown_outcome() {
    let mut upload = intended();
    upload.apply(taken(), at(1), 0);
    let error = refusal(400, "invalid_publish_id");
    upload.apply(Reply::Status(Err(error)), at(2), 0);
    assert_eq!(upload.state.name(), "unknown");
    assert_eq!(upload.state.publish_id(), Some("v_inbox_url~v2.1"));
}

#[test]
fn the_query_of_a_url_is_in_no_row() {
    let row = serde_json::to_string(&queued()).expect("a row");
    assert!(row.contains("https://media.example/clip.mp4"), "{row}");
    let again: Upload = serde_json::from_str(&row).expect("the same row");
    let url = "https://media.example/clip.mp4";
    assert_eq!((&*again.name(), again.url()), (url, Some(url)));
    assert_eq!(again.key, queued().key);
}
