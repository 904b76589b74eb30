//! The row: its names for people, its text for another process, and its comparison with a note.

use super::*;

#[test]
fn a_row_with_unknown_fields_is_read_and_shows_no_secret_once_it_has_ended() {
    let mut row = serde_json::to_value(uploading(1)).expect("a row");
    row["from_the_future"] = 1.into();
    let mut upload: Upload = serde_json::from_value(row).expect("read");
    assert!(format!("{upload:?}").contains("REDACTED"));
    assert!(!format!("{upload:?}").contains("t=1"));
    upload.apply(status("SEND_TO_USER_INBOX", None), at(4), 0);
    assert!(
        !serde_json::to_string(&upload)
            .expect("a row")
            .contains("upload_url")
    );
}

#[test]
fn a_name_that_is_not_utf8_survives_the_journal() {
    use std::os::unix::ffi::OsStringExt;
    let mut upload = queued();
    let path = std::path::PathBuf::from(std::ffi::OsString::from_vec(b"/v/\xff\xfe.mp4".to_vec()));
    upload.origin = file(&path);
    assert_eq!(read_back(&upload).path(), Some(path.as_path()));
}

/// Each state an upload of a file can be in, by name.
fn in_each_state() -> Vec<Upload> {
    let mut intent = queued();
    intent.apply(Reply::Intended(Some(identity())), at(0), 0);
    let mut processing = sealed();
    processing.apply(put(201, None), at(3), 0);
    let ended = |word, reason: Option<&str>| {
        let mut upload = processing.clone();
        upload.apply(report(word, None, reason), at(4), 0);
        upload
    };
    let delivered = ended("SEND_TO_USER_INBOX", None);
    let published = ended("PUBLISH_COMPLETE", None);
    let failed = ended("FAILED", Some("file_format_check_failed"));
    let mut given_up = uploading(2);
    given_up.apply(Reply::Changed("it was edited".into()), at(5), 0);
    let mut parked = sealed();
    parked.park("the journal was lost", at(6).wall);
    vec![
        queued(),
        intent,
        uploading(2),
        sealed(),
        processing,
        delivered,
        published,
        failed,
        given_up,
        parked,
    ]
}

#[test]
fn what_each_state_claims_of_an_upload() {
    let mut text = String::new();
    for upload in in_each_state() {
        use std::fmt::Write;
        let (name, reason) = (upload.state_name(), upload.reason().unwrap_or("-"));
        let yes = |claim: bool, word| if claim { word } else { "-" };
        writeln!(
            text,
            "{name:<12}{:<10}{:<7}{:<7}{} chunks, {:>8} bytes, due {:<5}{:<18}{reason}",
            yes(upload.may_be_posted(), "posted?"),
            yes(upload.has_ended(), "ended"),
            yes(upload.final_error().is_some(), "error"),
            upload.confirmed(),
            upload.confirmed_bytes(),
            upload
                .due()
                .map_or_else(|| "-".into(), |chunk| chunk.index().to_string()),
            upload.state.publish_id().unwrap_or("-"),
        )
        .expect("a string");
    }
    insta::assert_snapshot!(text, @r"
    queued      -         -      -      0 chunks,        0 bytes, due 0    -                 -
    init_intent -         -      -      0 chunks,        0 bytes, due 0    -                 -
    uploading   -         -      -      2 chunks, 20000000 bytes, due 2    v_inbox_file~v2.1 -
    sealed      posted?   -      -      4 chunks, 40000000 bytes, due 4    v_inbox_file~v2.1 -
    processing  posted?   -      -      5 chunks, 50000123 bytes, due -    v_inbox_file~v2.1 -
    delivered   -         ended  -      5 chunks, 50000123 bytes, due -    v_inbox_file~v2.1 -
    published   -         ended  -      5 chunks, 50000123 bytes, due -    v_inbox_file~v2.1 -
    failed      -         ended  error  5 chunks, 50000123 bytes, due -    v_inbox_file~v2.1 file_format_check_failed
    given_up    -         ended  error  0 chunks,        0 bytes, due -    -                 it was edited
    unknown     -         ended  error  4 chunks, 40000000 bytes, due -    v_inbox_file~v2.1 the journal was lost
    ");
}

#[test]
fn an_upload_that_ends_without_success_claims_no_more_chunks_than_were_acknowledged() {
    let mut forgotten = sealed();
    let refused = || Reply::Status(Err(refusal(400, "invalid_publish_id")));
    forgotten.apply(refused(), at(3), 0);
    let mut acknowledged = sealed();
    acknowledged.apply(put(201, None), at(3), 0);
    acknowledged.apply(refused(), at(4), 0);
    let mut failed_early = uploading(2);
    let failed = || report("FAILED", None, Some("file_format_check_failed"));
    failed_early.apply(failed(), at(3), 0);
    let mut failed_late = sealed();
    failed_late.apply(put(201, None), at(3), 0);
    failed_late.apply(failed(), at(4), 0);
    for (ended, state, confirmed) in [
        (forgotten, "unknown", 4),
        (acknowledged, "unknown", 5),
        (failed_early, "failed", 2),
        (failed_late, "failed", 5),
    ] {
        let ended = read_back(&ended);
        assert_eq!((ended.state.name(), ended.confirmed()), (state, confirmed));
    }
}

#[test]
fn a_note_of_a_seal_says_less_than_the_row_that_went_on_and_more_than_one_that_was_set_back() {
    let revised = |mut upload: Upload, revision| {
        upload.revision = revision;
        upload
    };
    let mut note = sealed();
    note.park("the journal was lost before its end", at(6).wall);
    let note = revised(note, 5);
    let mut other_session = note.clone();
    if let State::Unknown { publish_id, .. } = &mut other_session.state {
        *publish_id = Some("v_inbox_file~v2.2".into());
    }
    let mut given_up = uploading(2);
    given_up.apply(Reply::Changed("it was edited".into()), at(5), 0);
    let mut pull = queued();
    pull.origin = Origin::Url {
        url: "https://media.example/clip.mp4".into(),
        size: None,
    };
    let mut asked_for = pull.clone();
    asked_for.park("the journal was lost before its end", at(6).wall);
    let asked_for = revised(asked_for, 5);
    let rows = [
        (
            "set back before the init that is the post",
            revised(pull, 4),
            &asked_for,
            false,
        ),
        ("as new", revised(uploading(4), 5), &note, true),
        ("newer", revised(queued(), 6), &note, true),
        (
            "set back before the session",
            revised(queued(), 4),
            &note,
            false,
        ),
        (
            "set back within the session",
            revised(uploading(4), 4),
            &note,
            true,
        ),
        (
            "in another session",
            revised(uploading(4), 4),
            &other_session,
            false,
        ),
        ("ended too", revised(given_up, 1), &note, true),
        (
            "set back from an end",
            revised(uploading(4), 4),
            &revised(sealed(), 5),
            false,
        ),
    ];
    for (what, row, told, knows) in rows {
        assert_eq!(row.knows(told), knows, "{what}");
    }
}

#[test]
fn a_row_read_back_is_still_about_its_own_file() {
    let mut first = uploading(0);
    let mut running = Running::default();
    running.update(b"the first chunk");
    let told = Reply::Put(answers::put(206, None, None, false), Some(running));
    first.apply(told, at(1), 0);
    let upload = read_back(&first);
    assert_eq!((&*upload.name(), upload.url()), ("clip.mp4", None));
    assert_eq!(upload.content_type(), Some("video/mp4"));
    assert_eq!(
        (upload.identity(), upload.size()),
        (Some(identity()), Some(SIZE))
    );
    let mut hashed = Running::default();
    hashed.update(b"the first chunk");
    let carried_on = upload.running().expect("a running hash");
    assert_eq!(carried_on.entry(), hashed.entry());
}

#[test]
fn a_destination_has_one_name_in_rows_and_in_keys_of_the_journal() {
    let row = serde_json::to_value(Destination::Inbox).expect("a word");
    assert_eq!(
        (row.as_str(), Destination::Inbox.as_str()),
        (Some("inbox"), "inbox")
    );
    assert_eq!(Destination::named("inbox"), Some(Destination::Inbox));
    assert_eq!(Destination::named("draft"), None);
}

#[test]
fn a_row_whose_plan_breaks_a_rule_is_damage_and_no_upload() {
    // The last one is what a flipped bit makes of 5 chunks.
    for (field, value) in [
        ("chunk_count", 0),
        ("chunk_size", 0),
        ("video_size", 0),
        ("video_size", 9),
        ("chunk_count", 4),
    ] {
        let mut row = serde_json::to_value(uploading(1)).expect("a row");
        row["origin"]["plan"][field] = value.into();
        if (field, value) == ("video_size", 9) {
            row["origin"]["plan"]["chunk_count"] = 0.into();
        }
        assert!(
            serde_json::from_value::<Upload>(row).is_err(),
            "{field} {value}"
        );
    }
}

/// A row as the first version of this layout wrote it, in this state.
fn first_version(state: &str) -> Upload {
    let row = format!(
        r#"{{"version":1,"id":"608ec205c4849ac9","account":"lena","api_base":"http://127.0.0.1:8799",
            "destination":"inbox","size":50000123,"origin":{{"kind":"file","path":"/videos/a.mp4",
            "identity":{{"device":65024,"inode":7,"size":50000123,"mtime_ns":1795389230719836912}},
            "content_type":"video/mp4",
            "plan":{{"video_size":50000123,"chunk_size":10000000,"chunk_count":5}}}},
            "running":null,"sha256":null,"state":{state},
            "epoch":1,"revision":9,"created":1,"updated":2,"totals":{{"inits":1}}}}"#
    );
    serde_json::from_str(&row).expect("a row of the first version")
}

#[test]
fn rows_of_the_first_version_are_carried_on() {
    const SESSION: &str = r#"{"publish_id":"v~1","upload_url":"https://u/?t=1","issued":1}"#;
    let open = first_version(&format!(
        r#"{{"state":"uploading","session":{SESSION},"confirmed":2}}"#
    ));
    assert_eq!((open.confirmed(), next(&open, 5)), (2, "ask"));
    let sealed = first_version(&format!(r#"{{"state":"sealed","session":{SESSION}}}"#));
    assert_eq!((sealed.state.name(), next(&sealed, 5)), ("sealed", "ask"));
    let mut processing = first_version(r#"{"state":"processing","publish_id":"v~1"}"#);
    // Such a row has no URL to send anything to, however little status counts.
    for second in [5, 70, 200] {
        processing.apply(working(Some(40_000_000)), at(second), 0);
        assert_eq!(processing.state.name(), "processing");
    }
    processing.apply(status("SEND_TO_USER_INBOX", None), at(300), 0);
    assert_eq!(processing.state.name(), "delivered");
    // Such a row does not say how many chunks were acknowledged when it ended.
    for (ended, confirmed) in [
        (
            r#"{"state":"unknown","publish_id":"v~1","why":"-","at":1}"#,
            4,
        ),
        (
            r#"{"state":"failed","publish_id":"v~1","reason":"-","at":1}"#,
            5,
        ),
    ] {
        assert_eq!(first_version(ended).confirmed(), confirmed, "{ended}");
    }
}

/// A row of version 2 in each state, as databases and histories hold it for ever.
#[test]
fn rows_of_the_second_version_are_read_in_each_state() {
    if std::env::var_os("CHUNKFERRY_GOLDEN").is_some() {
        golden();
    }
    let mut states = Vec::new();
    for line in include_str!("second_version.jsonl").lines() {
        let row: Upload = serde_json::from_str(line).expect("a row of the second version");
        let now = serde_json::to_value(&row).expect("a row");
        let then: serde_json::Value = serde_json::from_str(line).expect("a row");
        for (field, value) in then.as_object().expect("fields") {
            assert!(field == "version" || now[field] == *value, "{field}: {now}");
        }
        assert_eq!((row.log_ids.len(), row.chunk_times.len()), (1, 2), "{line}");
        assert_eq!((row.totals.retries, row.labels.len()), (3, 1), "{line}");
        states.push(row.state.name());
    }
    let all = in_each_state();
    let mut names: Vec<&str> = all.iter().map(|row| row.state.name()).collect();
    names.push("pulling");
    assert_eq!(states, names);
}

/// Writes that file, for a new version.
fn golden() {
    let mut pull = queued();
    pull.key.video = Video::Key("https://media.example/clip.mp4".into());
    pull.origin = Origin::Url {
        url: "https://media.example/clip.mp4".into(),
        size: Some(SIZE),
    };
    pull.hash_state = None;
    pull.state = State::Pulling {
        publish_id: "v_pub_url~v2.1".into(),
        since: at(0).wall,
    };
    let mut text = String::new();
    for (number, mut row) in in_each_state().into_iter().chain([pull]).enumerate() {
        row.id = format!("{number:016x}");
        row.log_ids = vec!["20261126163710AB12CD34EF56AB78CD90".into()];
        row.chunk_times = vec![812, 790];
        row.totals.retries = 3;
        row.labels = [("series".to_owned(), "clips".to_owned())].into();
        text.push_str(&serde_json::to_string(&row).expect("a row"));
        text.push('\n');
    }
    std::fs::write("src/upload/tests/second_version.jsonl", text).expect("written");
}

fn refused() -> Refusal {
    Refusal {
        meaning: Code::of("internal_error", 500).meaning,
        http_status: 500,
        code: "internal_error".into(),
        message: String::new(),
        log_id: None,
        retry_after: None,
    }
}

#[test]
fn a_row_keeps_the_last_log_ids_and_chunk_times_and_counts_what_was_tried_again() {
    let mut upload = uploading(0);
    for number in 0..9 {
        let refusal = Refusal {
            log_id: (number % 2 == 0).then(|| format!("log {number}")),
            ..refused()
        };
        upload.apply(Reply::Status(Err(Failure::Faulty(refusal))), at(number), 0);
    }
    assert_eq!(upload.log_ids, ["log 2", "log 4", "log 6", "log 8"]);
    for second in 10..13 {
        let unsent = Reply::Put(Err(Failure::NotSent("refused".into())), None);
        upload.apply(unsent, at(second), 0);
    }
    assert_eq!(upload.totals.retries, 3);
    for chunk in 0..40 {
        upload.apply(Reply::Paced(1, Duration::from_millis(chunk)), at(9), 0);
    }
    let times: Vec<u32> = (8..40).collect();
    assert_eq!(upload.chunk_times, times);
    let upload = read_back(&upload);
    assert_eq!((upload.log_ids.len(), upload.totals.retries), (4, 3));
    assert_eq!(upload.chunk_times, times);
    assert!(upload.labels.is_empty());
    // The longest `log_id` does not make a row long.
    let mut upload = upload;
    let refusal = Refusal {
        log_id: Some("ü".repeat(5000)),
        ..refused()
    };
    upload.apply(Reply::Status(Err(Failure::Faulty(refusal))), at(10), 0);
    assert_eq!(upload.log_ids[3].chars().count(), 100);
}
