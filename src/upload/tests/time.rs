//! Clocks, and links too slow for the hour of an upload URL.

use super::*;
use crate::tiktok::limits::URL_LIFETIME;

/// `wall` and `boot` seconds after the session was opened.
fn clocks(wall: i64, boot: u64) -> Now {
    Now {
        wall: Timestamp(at(0).wall.0.saturating_add_signed(wall * 1000)),
        boot: at(boot).boot,
        ..at(0)
    }
}

fn wants(upload: &Upload, now: Now) -> &'static str {
    match upload.step(now) {
        Step::Put(_) => "put",
        Step::Release => "release",
        Step::Ask => "ask",
        Step::Expire(_) => "expire",
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_session_ends_with_its_hour_by_the_clock_that_nobody_sets() {
    let rows = [
        ("within its hour", 3599, 3599, "put"),
        ("its hour is over", 3600, 3600, "expire"),
        ("suspended for a day", 86_400, 86_400, "expire"),
        ("the clock was set forward", 40_000, 10, "put"),
        ("the clock was set back", -40_000, 10, "put"),
        ("set back to within the hour, after it", 100, 4000, "expire"),
    ];
    for (what, wall, boot, wanted) in rows {
        assert_eq!(wants(&uploading(2), clocks(wall, boot)), wanted, "{what}");
        let later = read_back(&uploading(2));
        let wanted = if wanted == "put" { "ask" } else { wanted };
        assert_eq!(
            wants(&later, clocks(wall, boot)),
            wanted,
            "{what}, in another run"
        );
    }
}

#[test]
fn after_a_restart_of_the_machine_the_url_is_tried_whatever_the_wall_clock_says() {
    let restarted = |wall: i64| Now {
        boot_id: BootId(8),
        ..clocks(wall, 5)
    };
    for wall in [-40_000, 10, 3599, 3600, 86_400] {
        let mut upload = read_back(&uploading(2));
        assert_eq!(wants(&upload, restarted(wall)), "ask", "{wall}");
        upload.apply(working(None), restarted(wall), 0);
        assert_eq!(wants(&upload, restarted(wall)), "put", "{wall}");
        upload.apply(put(403, None), restarted(wall), 0);
        assert_eq!(
            upload.state.name(),
            "queued",
            "{wall}: the service says it is over"
        );
    }
    // A container may start with a clock of its own in the same boot.
    let set_back = Now {
        boot: Duration::from_secs(3),
        ..at(0)
    };
    assert_eq!(wants(&read_back(&uploading(2)), set_back), "ask");
}

#[test]
fn a_url_lives_from_the_moment_it_is_issued() {
    let upload = uploading(0);
    let left = |now| upload.session().and_then(|session| session.left(now));
    assert_eq!(left(at(0)), Some(URL_LIFETIME));
    assert_eq!(left(at(1000)), Some(Duration::from_secs(2600)));
    assert_eq!(left(clocks(-1, 0)), Some(URL_LIFETIME));
}

#[test]
fn a_rate_follows_the_link_as_it_is_now() {
    let mut upload = uploading(0);
    assert_eq!(upload.rate(), None);
    upload.apply(
        Reply::Paced(10_000_000, Duration::from_millis(50)),
        at(0),
        0,
    );
    assert_eq!(upload.rate(), None, "too short to measure anything");

    let mut upload = uploading(0);
    upload.apply(
        Reply::Paced(1_000_000, Duration::from_millis(100)),
        at(0),
        0,
    );
    assert_eq!(upload.rate(), Some(10_000_000));

    let mut upload = uploading(0);
    upload.apply(Reply::Paced(10_000_000, Duration::from_secs(10)), at(0), 0);
    upload.apply(Reply::Paced(10_000_000, Duration::from_secs(1)), at(0), 0);
    assert_eq!(upload.rate(), Some(2_058_823), "17.5 MB in 8.5 s");
}

#[test]
fn a_link_too_slow_for_its_hour_is_told_with_the_first_chunk_and_once_a_session() {
    let mut upload = uploading(0);
    upload.apply(
        Reply::Paced(10_000_000, Duration::from_secs(1000)),
        at(0),
        0,
    );
    upload.apply(put(206, None), at(1000), 0);
    let told = upload
        .foresee(at(1000))
        .expect("40 MB at 10 kB/s take 4000 s");
    assert_eq!(
        told.to_string(),
        "Its URL lives 44 min more: the rest of the file needs 0.1 Mbit/s, and has 0.1."
    );
    assert_eq!(upload.foresee(at(1001)), None, "once is enough");

    upload.apply(Reply::SessionOver(LossCause::HourOver), at(3600), 0);
    upload.apply(Reply::Intended(Some(identity())), at(3600), 0);
    upload.apply(Reply::Init(Ok(session())), at(3600), 0);
    assert!(upload.foresee(at(3600)).is_some(), "another session");

    let mut fast = uploading(0);
    fast.apply(Reply::Paced(10_000_000, Duration::from_secs(1)), at(0), 0);
    fast.apply(put(206, None), at(1), 0);
    assert_eq!(fast.foresee(at(1)), None);
}

#[test]
fn no_chunk_is_started_that_cannot_be_there_before_its_url_dies() {
    let mut upload = uploading(3);
    // 10 MB in 100 s.
    upload.apply(Reply::Paced(10_000_000, Duration::from_secs(100)), at(0), 0);
    assert_eq!(next(&upload, 3499), "put");
    assert_eq!(next(&upload, 3501), "expire");
    upload.apply(Reply::SessionOver(LossCause::HourTooShort), at(3501), 0);
    assert_eq!(
        next(&upload, 3501),
        "init",
        "from byte 0, in a session of its own"
    );
    assert_eq!(upload.confirmed(), 0);

    let mut unknown = uploading(3);
    assert_eq!(next(&unknown, 3599), "put", "nothing is measured yet");
    unknown.apply(Reply::Paced(10_000_000, Duration::from_millis(1)), at(0), 0);
    assert_eq!(next(&unknown, 3599), "put", "nothing that counts");
}

#[test]
fn a_link_that_never_makes_it_costs_three_sessions_and_then_says_so() {
    let mut upload = queued();
    let (mut second, mut inits) = (0, 0);
    loop {
        match upload.step(at(second)) {
            Step::Init => {
                inits += 1;
                upload.apply(Reply::Intended(Some(identity())), at(second), 0);
                upload.apply(Reply::Init(Ok(session())), at(second), 0);
            }
            Step::Put(chunk) => {
                second += 1000;
                upload.apply(
                    Reply::Paced(chunk.size(), Duration::from_secs(1000)),
                    at(0),
                    0,
                );
                upload.apply(put(206, None), at(second), 0);
            }
            Step::Expire(why) => {
                upload.apply(Reply::SessionOver(why), at(second), 0);
            }
            Step::Stop(Stop::Spent(text)) => {
                assert!(text.contains("3 sessions were lost"), "{text}");
                break;
            }
            step => panic!("{step:?}"),
        }
        assert!(second < 20_000, "it loops");
    }
    assert_eq!(inits, 3);
}
