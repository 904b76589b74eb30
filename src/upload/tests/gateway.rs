//! Answers that are not the service's, or are not to be believed.

use super::*;
use crate::upload::run::Run;

#[test]
fn a_filter_that_refuses_a_young_url_costs_no_further_init_and_is_called_by_its_name() {
    let mut upload = uploading(0);
    let (mut second, mut puts) = (5, 0);
    let text = loop {
        match upload.step(at(second)) {
            Step::Wait(wait) => second += wait.as_secs() + 1,
            Step::Put(_) => {
                puts += 1;
                upload.apply(put(403, None), at(second), u64::MAX);
            }
            Step::Stop(Stop::Spent(text)) => break text,
            step => panic!("{step:?}"),
        }
    };
    assert_eq!((puts, upload.state.name()), (3, "uploading"));
    assert!(text.contains("403") && text.contains("filter"), "{text}");
    // Once its hour may be over, the same answer means just that.
    upload.run = Run::default();
    upload.run.in_doubt = false;
    upload.apply(put(403, None), at(3400), 0);
    assert_eq!(upload.state.name(), "queued");
}

#[test]
fn a_session_that_worked_and_is_refused_while_it_is_young_is_replaced_after_three_attempts() {
    let mut upload = uploading(2);
    let puts = (0..9).take_while(|round| {
        upload.apply(put(403, None), at(10 + round * 5), 0);
        upload.state.name() == "uploading"
    });
    assert_eq!((puts.count(), next(&upload, 60)), (2, "init"));
}

#[test]
fn a_success_that_nobody_has_documented_is_decided_by_status() {
    for code in [202, 203, 204, 299] {
        let mut upload = uploading(2);
        upload.apply(put(code, None), at(5), 0);
        assert_eq!(next(&upload, 10), "ask", "{code}");
        for second in [10, 12] {
            upload.apply(working(Some(30_000_000)), at(second), 0);
        }
        assert_eq!(next(&upload, 20), "adopt", "{code}");

        let mut upload = sealed();
        upload.apply(put(code, None), at(5), 0);
        assert_eq!(next(&upload, 10), "ask", "{code}");
        upload.apply(status("SEND_TO_USER_INBOX", None), at(10), 0);
        assert_eq!(upload.state.name(), "delivered", "{code}");
    }
}

#[test]
fn bytes_that_somebody_else_acknowledged_are_sent_again_in_the_same_session() {
    let mut upload = budgets::refused(3, Some(20_000_000));
    assert_eq!(
        budgets::questions(&mut upload, &mut 6, |_| working(Some(20_000_000))),
        (1, "rewind")
    );
    assert!(matches!(upload.step(at(30)), Step::Rewind(2)));
    assert!(
        upload
            .apply(Reply::Rewound(Some(Running::default())), at(30), 0)
            .save
    );
    assert_eq!((upload.confirmed(), next(&upload, 30)), (2, "put"));
    // A service that forgets again and again costs the session in the end.
    for wanted in ["rewind", "init"] {
        upload.apply(put(206, None), at(31), 0);
        upload.apply(put(416, Some(20_000_000)), at(32), 0);
        upload.apply(working(Some(20_000_000)), at(33), 0);
        assert_eq!(next(&upload, 40), wanted);
        upload.apply(Reply::Rewound(Some(Running::default())), at(40), 0);
    }
}

#[test]
fn a_last_chunk_that_never_arrived_though_it_was_acknowledged_is_sent_again() {
    let mut upload = sealed();
    upload.apply(put(201, None), at(3), 0);
    let mut second = 10;
    while upload.state.name() == "processing" {
        upload.run.not_before = None;
        upload.apply(working(Some(40_000_000)), at(second), 0);
        second += 10;
    }
    assert_eq!(
        (second, upload.state.name()),
        (80, "sealed"),
        "a minute of standing still"
    );
    assert_eq!(next(&upload, second), "ask");
    upload.apply(working(Some(40_000_000)), at(second), 0);
    assert_eq!(next(&upload, second), "put");
    upload.apply(put(201, None), at(second), 0);
    upload.apply(status("SEND_TO_USER_INBOX", None), at(second + 5), 0);
    assert_eq!((upload.state.name(), upload.totals.inits), ("delivered", 1));
}

/// Acknowledged to its end, and status has counted less for a minute.
fn swallowed() -> Upload {
    let mut upload = sealed();
    upload.apply(put(201, None), at(3), 0);
    for second in [10, 71] {
        upload.apply(working(Some(40_000_000)), at(second), 0);
    }
    assert_eq!(upload.state.name(), "sealed");
    upload
}

/// What becomes of it, and when, if status names the last border and the URL answers each chunk so.
fn fate(mut upload: Upload, code: u16) -> (u64, &'static str) {
    upload.run.limits.processing = Duration::from_secs(10_000);
    let mut second = 72;
    while upload.state.name() == "sealed" {
        match upload.step(at(second)) {
            Step::Wait(wait) => second += wait.as_secs().max(1),
            Step::Put(_) => drop(upload.apply(put(code, None), at(second), 0)),
            Step::Ask => drop(upload.apply(working(Some(40_000_000)), at(second), 0)),
            Step::Stop(_) => return (second, "stops"),
            step => panic!("{step:?}"),
        }
        assert!(second < 9000, "it does not end");
    }
    (second, upload.state.name())
}

#[test]
fn a_status_that_lags_behind_an_acknowledged_video_never_costs_a_second_draft() {
    // The service has the whole video, so its URL takes nothing more and says nothing.
    for later in [false, true] {
        let upload = || match later {
            true => read_back(&swallowed()),
            false => swallowed(),
        };
        for code in [404, 403] {
            let (second, end) = fate(upload(), code);
            assert_eq!(end, "unknown", "{code}, another run: {later}");
            assert!(
                (3600..3700).contains(&second),
                "once its hour is over: {second}"
            );
        }
        assert_eq!(fate(upload(), 416).1, "stops", "another run: {later}");
    }
    // And a status that goes on counting is believed.
    let mut upload = sealed();
    upload.apply(put(201, None), at(3), 0);
    for second in 10..200 {
        upload.apply(working(Some(40_000_000 + second)), at(second), 0);
    }
    upload.apply(working(Some(SIZE - 1)), at(300), 0);
    upload.apply(working(Some(SIZE)), at(400), 0);
    assert_eq!(upload.state.name(), "processing");
}

#[test]
fn an_upload_host_that_has_less_than_was_acknowledged_gets_another_session_after_five_minutes() {
    let mut upload = swallowed();
    upload.apply(put(416, Some(44_000_000)), at(72), 0);
    let mut second = 73;
    while upload.state.name() == "sealed" {
        upload.run.not_before = None;
        match upload.step(at(second)) {
            Step::Put(_) => drop(upload.apply(put(416, Some(44_000_000)), at(second), 0)),
            _ => drop(upload.apply(working(Some(44_000_000)), at(second), 0)),
        }
        second += 1;
        assert!(second < 1000, "it does not end");
    }
    assert_eq!((upload.state.name(), second), ("queued", 374));
}

#[test]
fn a_sealed_upload_of_which_nothing_is_told_after_its_hour_is_unknown_and_not_asked_for_ever() {
    for (http_status, header) in [(404, None), (416, None)] {
        let mut upload = sealed();
        upload.apply(put(http_status, header), at(5), 0);
        for second in [10, 1000, 1700] {
            upload.run.not_before = None;
            upload.apply(working(None), at(second), 0);
        }
        assert_eq!(
            upload.state.name(),
            "sealed",
            "{http_status}: its hour is not over"
        );
        let mut later = read_back(&upload);
        later.apply(put(http_status, header), at(4000), 0);
        for second in [4001, 4060] {
            later.run.not_before = None;
            later.apply(working(None), at(second), 0);
            assert_eq!(later.state.name(), "sealed", "{http_status}");
        }
        later.apply(working(None), at(4061), 0);
        assert_eq!(later.state.name(), "unknown", "{http_status}");
    }
}

#[test]
fn a_reason_to_fail_that_stands_beside_a_video_in_work_is_told_once() {
    let remark = |reason| report("PROCESSING_UPLOAD", None, reason);
    let mut upload = sealed();
    upload.apply(put(201, None), at(3), 0);
    let mut told = Vec::new();
    for (second, reason) in [
        (4, None),
        (5, Some("")),
        (6, Some("odd\u{1b}[2J")),
        (7, Some("odd\u{1b}[2J")),
        (8, Some("else")),
    ] {
        if let Some(event::Event::Notice(notice)) =
            upload.apply(remark(reason), at(second), 0).event
        {
            told.push(notice.to_string());
        }
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("odd") && !told[0].contains('\u{1b}'),
        "{told:?}"
    );
}
