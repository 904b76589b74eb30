//! What an account may ask for within a time, by the store's own clock.

use super::*;
use crate::tiktok::limits::{INITS_A_MINUTE, STATUS_A_MINUTE};
use crate::upload::retry::WINDOW;

suite! {
    six_inits_a_minute_are_granted_however_many_ask_at_once
    an_init_counts_from_its_answer_unless_it_never_left
    no_minute_sees_more_than_thirty_questions_and_those_that_never_left_are_none
    a_cap_ends_after_some_minutes_or_when_the_oldest_draft_no_longer_counts
}

async fn six_inits_a_minute_are_granted_however_many_ask_at_once(rig: &Rig) {
    rig.clock.advance(Duration::ZERO);
    let mut asked = Vec::new();
    for number in 0..24 {
        let mut row = upload("lena", 10 + number);
        let lease = rig.submit(&row).await;
        row.state = State::InitIntent;
        let store = Arc::clone(&rig.store);
        asked.push(tokio::spawn(async move {
            let begun = store.begin(lease, row.saved_next()).await;
            (row, begun.expect("asked"))
        }));
    }
    let mut granted = 0;
    for asked in asked {
        let (row, grant) = asked.await.expect("asked");
        let stored = rig.stored(&row).await.expect("a row");
        match grant {
            Grant::Granted => {
                granted += 1;
                assert_eq!(stored.state.name(), "init_intent");
            }
            Grant::Wait(wait) => {
                assert!(wait <= WINDOW && wait > WINDOW / 2, "{wait:?}");
                assert_eq!((stored.state.name(), stored.revision), ("queued", 0));
            }
        }
    }
    assert_eq!(granted, INITS_A_MINUTE);
    let mut mia = upload("mia", 10);
    let lease = rig.submit(&mia).await;
    let begun = rig.store.begin(lease, mia.saved_next()).await;
    assert_eq!(begun.expect("asked"), Grant::Granted, "another account");
    rig.clock.advance(WINDOW);
    let mut row = upload("lena", 99);
    let lease = rig.submit(&row).await;
    let begun = rig.store.begin(lease, row.saved_next()).await;
    assert_eq!(begun.expect("asked"), Grant::Granted, "a window later");
}

async fn an_init_counts_from_its_answer_unless_it_never_left(rig: &Rig) {
    let second = Duration::from_secs(1);
    rig.clock.advance(Duration::ZERO);
    let mut row = upload("lena", 10);
    let lease = rig.submit(&row).await;
    let intend = |row: &mut Upload, clock: &StoreClock| {
        row.apply(Reply::Intended(None), clock.now(), 0);
        row.clone()
    };
    // None of these takes a slot for long.
    for _ in 0..2 * INITS_A_MINUTE {
        let begun = rig.store.begin(lease, intend(&mut row, &rig.clock)).await;
        assert_eq!(begun.expect("asked"), Grant::Granted);
        let unsent = Reply::Init(Err(Failure::NotSent("refused".into())));
        row.apply(unsent, rig.clock.now(), 0);
        let saved = rig.store.save(lease, row.clone(), None).await;
        saved.expect("saved");
    }
    // The first of six is answered ten seconds after it left. The lying clock of its caller counts for nothing.
    for number in 0..INITS_A_MINUTE {
        let begun = rig.store.begin(lease, intend(&mut row, &rig.clock)).await;
        assert_eq!(begun.expect("asked"), Grant::Granted, "{number}");
        rig.clock.advance(second * 10);
        let lost = Reply::Init(Err(Failure::Lost("reset".into())));
        let lying = Now {
            wall: Timestamp(1),
            ..rig.clock.now()
        };
        row.apply(lost, lying, 0);
        let saved = rig.store.save(lease, row.clone(), None).await;
        saved.expect("saved");
        if let Some((_, lease)) = &rig.fleet {
            assert!(*lease > second * 10, "or it would end in between");
        }
    }
    // They were answered 50, 40 ... 0 seconds ago.
    let begun = rig
        .store
        .begin(lease, intend(&mut row.clone(), &rig.clock))
        .await;
    let wait = WINDOW - second * 50;
    assert_eq!(begun.expect("asked"), Grant::Wait(wait));
    rig.clock.advance(wait - Duration::from_millis(1));
    let begun = rig
        .store
        .begin(lease, intend(&mut row.clone(), &rig.clock))
        .await;
    assert!(matches!(begun, Ok(Grant::Wait(_))), "{begun:?}");
    rig.clock.advance(Duration::from_millis(1));
    let begun = rig.store.begin(lease, intend(&mut row, &rig.clock)).await;
    assert_eq!(begun.expect("asked"), Grant::Granted);
}

fn account(name: &str) -> ApiAccount {
    ApiAccount {
        account: name.into(),
        api_base: "https://api.example".into(),
    }
}

async fn no_minute_sees_more_than_thirty_questions_and_those_that_never_left_are_none(rig: &Rig) {
    rig.clock.advance(Duration::ZERO);
    let (lena, begun) = (account("lena"), rig.clock.now().boot);
    let mut times = Vec::new();
    while times.len() < 95 {
        match rig.store.ask(lena.clone()).await.expect("asked") {
            Ask::Granted(_) => times.push(rig.clock.now().boot),
            Ask::Wait(wait) => {
                assert!(wait <= WINDOW, "{wait:?}");
                rig.clock.advance(wait);
                continue;
            }
        }
        if let Ask::Granted(never_left) = rig.store.ask(lena.clone()).await.expect("asked") {
            let given_back = rig.store.unask(lena.clone(), never_left).await;
            given_back.expect("given back");
        }
        rig.clock.advance(Duration::from_millis(100));
    }
    for window in times.windows(STATUS_A_MINUTE + 1) {
        assert!(window[STATUS_A_MINUTE] - window[0] >= WINDOW);
    }
    let took = times[94] - begun;
    assert!(took < WINDOW * 4, "the others took no room: {took:?}");
    let mut elsewhere = account("lena");
    elsewhere.api_base = "http://127.0.0.1:1".into();
    rig.clock.advance(WINDOW);
    let mut asked = Vec::new();
    for _ in 0..STATUS_A_MINUTE + 1 {
        asked.push(rig.store.ask(lena.clone()).await.expect("asked"));
    }
    assert!(matches!(asked.pop(), Some(Ask::Wait(_))));
    for other in [account("mia"), elsewhere] {
        let asked = rig.store.ask(other).await.expect("asked");
        assert!(matches!(asked, Ask::Granted(_)));
    }
}

async fn a_cap_ends_after_some_minutes_or_when_the_oldest_draft_no_longer_counts(rig: &Rig) {
    rig.clock.advance(Duration::ZERO);
    for (draft_counts_for, ends_after) in [(0, 0), (60, 60), (24 * 3600, 300)] {
        let retry_at = rig
            .clock
            .now()
            .wall
            .plus(Duration::from_secs(draft_counts_for));
        let cap = PendingCap {
            error: Refusal {
                meaning: Meaning::PendingCap,
                http_status: 403,
                code: "spam_risk_too_many_pending_share".into(),
                message: String::new(),
                log_id: None,
                retry_after: None,
            },
            retry_at: retry_at.into(),
        };
        let lena = account("lena");
        let set = rig.store.set_pending_cap(lena.clone(), cap.clone()).await;
        set.expect("set");
        let known = |of| rig.store.pending_cap(of);
        if ends_after > 0 {
            rig.clock.advance(Duration::from_secs(ends_after - 1));
            assert_eq!(known(lena.clone()).await.expect("asked"), Some(cap));
            assert_eq!(known(account("mia")).await.expect("asked"), None);
        }
        rig.clock.advance(Duration::from_secs(1));
        assert_eq!(known(lena).await.expect("asked"), None, "{ends_after}");
    }
}
