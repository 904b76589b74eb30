//! Reservations, leases, revisions, and steps whose caller has gone.

use super::*;
use crate::tiktok::limits::INITS_A_MINUTE;

suite! {
    of_many_that_reserve_a_video_at_once_one_is_alone
    a_reservation_ends_with_its_lease_unless_that_is_renewed
    a_row_is_inserted_only_under_a_reservation_that_holds
    only_the_last_claimant_writes_a_row
    another_process_waits_for_the_end_of_a_lease_and_fences_the_one_before
    a_lease_that_has_ended_writes_nothing_though_nobody_else_came
    a_save_that_comes_late_or_twice_changes_nothing
    a_step_whose_caller_has_gone_is_done_at_once_or_never
    who_carries_an_upload_hears_that_it_is_to_stop
}

async fn of_many_that_reserve_a_video_at_once_one_is_alone(rig: &Rig) {
    let row = upload("lena", 10);
    for _ in 0..20 {
        let mut asked = Vec::new();
        for number in 0..16 {
            let (row, mut store) = (row.clone(), Arc::clone(&rig.store));
            if let (Some((other, _)), 1) = (&rig.fleet, number % 2) {
                store = Arc::clone(other);
            }
            asked.push(tokio::spawn(async move {
                let reserved = alone(&*store, &row).await;
                reserved.map(|reservation| (store, reservation))
            }));
        }
        let mut got = Vec::new();
        for asked in asked {
            got.extend(asked.await.expect("asked"));
        }
        assert_eq!(got.len(), 1);
        for (store, reservation) in got {
            store.free(&reservation);
        }
    }
    let reservation = rig.reserve(&row).await;
    let mut other = row.clone();
    other.id = "0123456789abcdef".into();
    if let Origin::Media { fingerprint, .. } = &mut other.origin {
        *fingerprint = Some("f2".into());
    }
    rig.reserve(&other).await;
    assert!(alone(&*rig.store, &row).await.is_none());
    rig.store.free(&reservation);
    rig.reserve(&row).await;
    // What was given back already gives nothing back of the next one.
    rig.store.free(&reservation);
    assert!(alone(&*rig.store, &row).await.is_none());
}

async fn a_reservation_ends_with_its_lease_unless_that_is_renewed(rig: &Rig) {
    let row = upload("lena", 10);
    let Some((other, lease)) = &rig.fleet else {
        // It lasts as long as its owner.
        let _held = rig.reserve(&row).await;
        rig.clock.advance(Duration::from_secs(24 * 3600));
        let asked = rig.store.reserve(row.key.clone(), Some("f1".into())).await;
        assert!(matches!(asked, Ok(Reserved::HeldBy { ends_in: None })));
        return;
    };
    rig.clock.advance(Duration::ZERO);
    let old = rig.reserve(&row).await;
    rig.clock.advance(*lease / 2);
    rig.store.renew().await.expect("renewed");
    rig.clock.advance(*lease / 2);
    let asked = other.reserve(row.key.clone(), Some("f1".into())).await;
    let Ok(Reserved::HeldBy { ends_in }) = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(ends_in, Some(*lease / 2));
    rig.clock.advance(*lease / 2);
    let new = alone(&**other, &row).await.expect("it has ended");
    rig.store.free(&old);
    assert!(alone(&*rig.store, &row).await.is_none());
    let late = rig.store.submit(&old, row.clone()).await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
    other.submit(&new, row.clone()).await.expect("submitted");
}

async fn a_row_is_inserted_only_under_a_reservation_that_holds(rig: &Rig) {
    let row = upload("lena", 10);
    let reservation = rig.reserve(&row).await;
    rig.store.free(&reservation);
    let late = rig.store.submit(&reservation, row.clone()).await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
    assert!(rig.stored(&row).await.is_none());
    let reservation = rig.reserve(&row).await;
    let store = &rig.store;
    store.submit(&reservation, row.clone()).await.expect("new");
    // A row of that id that is there already stays as it is.
    let mut other = row.clone();
    other.sha256 = Some("7".repeat(64));
    store
        .submit(&reservation, other)
        .await
        .expect("passed over");
    assert_eq!(rig.stored(&row).await.expect("a row").sha256, None);
}

async fn only_the_last_claimant_writes_a_row(rig: &Rig) {
    let mut row = upload("lena", 10);
    let first = rig.submit(&row).await;
    let claim = || rig.store.claim(row.key.clone(), row.id.clone());
    let (_, second) = claim().await.expect("claimed");
    let (_, third) = claim().await.expect("claimed");
    assert!(first != second && second != third);
    row.state = State::InitIntent;
    for old in [first, second] {
        let saved = rig.save(old, &mut row).await;
        assert!(matches!(saved, Err(StoreError::Fenced(_))), "{saved:?}");
        let begun = rig.store.begin(old, row.saved_next()).await;
        assert!(matches!(begun, Err(StoreError::Fenced(_))), "{begun:?}");
    }
    let stored = rig.stored(&row).await.expect("a row");
    assert_eq!((stored.state.name(), stored.revision), ("queued", 0));
    // None of these has taken a slot of the window.
    for _ in 0..INITS_A_MINUTE {
        let begun = rig.store.begin(third, row.saved_next()).await;
        assert_eq!(begun.expect("begun"), Grant::Granted);
    }
    // One that has ended is taken up again, and its last owner is fenced off.
    row.state = delivered(&row);
    rig.save(third, &mut row).await.expect("saved");
    let (mut again, fourth) = rig
        .store
        .claim(row.key.clone(), row.id.clone())
        .await
        .expect("claimed");
    assert_eq!(again.revision, row.revision);
    assert!(rig.save(third, &mut again).await.is_err());
    rig.save(fourth, &mut again).await.expect("saved");
}

async fn another_process_waits_for_the_end_of_a_lease_and_fences_the_one_before(rig: &Rig) {
    let Some((other, lease)) = &rig.fleet else {
        return;
    };
    let mut row = upload("lena", 10);
    rig.clock.advance(Duration::ZERO);
    let mine = rig.submit(&row).await;
    let claim = || other.claim(row.key.clone(), row.id.clone());
    rig.clock.advance(*lease / 2);
    // Each save renews.
    rig.save(mine, &mut row.clone()).await.expect("saved");
    rig.clock.advance(*lease / 2);
    match claim().await {
        Err(StoreError::Held { ends_in, .. }) => assert_eq!(ends_in, *lease / 2),
        claimed => panic!("{claimed:?}"),
    }
    rig.clock.advance(*lease / 2);
    let (mut taken, theirs) = claim().await.expect("it has ended");
    row.revision = taken.revision;
    let late = rig.save(mine, &mut row).await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
    let renewed = rig.store.renew().await;
    assert!(renewed.expect("renewed").is_empty());
    other
        .save(theirs, taken.saved_next(), None)
        .await
        .expect("saved");
    // What is given back is free at once.
    other.release(&row.id, theirs);
    let claimed = rig.store.claim(row.key.clone(), row.id.clone()).await;
    let (_, back) = claimed.expect("free");
    other.release(&row.id, theirs);
    rig.save(back, &mut taken).await.expect("saved");
}

async fn a_lease_that_has_ended_writes_nothing_though_nobody_else_came(rig: &Rig) {
    let Some((_, lease)) = &rig.fleet else {
        return;
    };
    let mut row = upload("lena", 10);
    rig.clock.advance(Duration::ZERO);
    let mine = rig.submit(&row).await;
    rig.clock.advance(*lease);
    rig.store.renew().await.expect("too late for this one");
    let late = rig.save(mine, &mut row).await;
    assert!(matches!(late, Err(StoreError::Fenced(_))), "{late:?}");
    assert_eq!(rig.stored(&row).await.expect("a row").revision, 0);
}

async fn a_save_that_comes_late_or_twice_changes_nothing(rig: &Rig) {
    let mut row = upload("lena", 20_000_000);
    let lease = rig.submit(&row).await;
    let late = row.saved_next();
    row.sha256 = Some("7".repeat(64));
    let newer = row.saved_next();
    let entry = Some((0, [1; 32]));
    for row in [&newer, &newer, &late] {
        let saved = rig.store.save(lease, row.clone(), entry).await;
        saved.expect("passed over at the worst");
    }
    let stored = rig.stored(&row).await.expect("a row");
    assert_eq!((stored.revision, stored.sha256), (2, newer.sha256.clone()));
    let begun = rig.store.begin(lease, late).await;
    assert_eq!(begun.expect("passed over"), Grant::Granted);
    let entries = rig.store.ledger(row.id.clone(), 4).await;
    assert_eq!(entries.expect("entries"), [[1; 32]]);
}

async fn a_step_whose_caller_has_gone_is_done_at_once_or_never(rig: &Rig) {
    for round in 0..20_u64 {
        let row = upload("lena", 10 + round);
        let reservation = rig.reserve(&row).await;
        drop_half_way(rig.store.submit(&reservation, row.clone()));
        let inserted = rig.stored(&row).await.is_some();
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(rig.stored(&row).await.is_some(), inserted, "it came late");
        if !inserted {
            let submitted = rig.store.submit(&reservation, row.clone()).await;
            submitted.expect("submitted");
        }
        // Whoever claims next owns the row, whatever became of the claim before.
        drop_half_way(rig.store.claim(row.key.clone(), row.id.clone()));
        let claimed = rig.store.claim(row.key.clone(), row.id.clone()).await;
        let (mut row, lease) = claimed.expect("claimed");
        tokio::time::sleep(Duration::from_millis(2)).await;
        // A save may land late, and then it does no harm.
        drop_half_way(rig.store.save(lease, row.saved_next(), None));
        row.sha256 = Some("7".repeat(64));
        rig.save(lease, &mut row).await.expect("saved");
        tokio::time::sleep(Duration::from_millis(2)).await;
        let stored = rig.stored(&row).await.expect("a row");
        assert_eq!(stored.sha256, row.sha256);
        rig.store.free(&reservation);
        drop_half_way(rig.store.reserve(row.key.clone(), Some("f1".into())));
        if let Some((_, lease)) = &rig.fleet {
            rig.clock.advance(*lease);
            rig.reserve(&row).await;
        }
    }
}

async fn who_carries_an_upload_hears_that_it_is_to_stop(rig: &Rig) {
    let mut row = upload("lena", 10);
    let asker = rig.fleet.as_ref().map_or(&rig.store, |(other, _)| other);
    let ask = || asker.ask_to_stop(row.id.clone());
    assert!(!ask().await.expect("asked"), "there is no such upload");
    let lease = rig.submit(&row).await;
    assert!(rig.store.renew().await.expect("renewed").is_empty());
    assert!(ask().await.expect("asked"));
    assert_eq!(rig.store.renew().await.expect("renewed"), [row.id.clone()]);
    // The request counts once: the next claimant carries the upload on.
    rig.store.release(&row.id, lease);
    assert!(rig.store.renew().await.expect("renewed").is_empty());
    let claimed = rig.store.claim(row.key.clone(), row.id.clone()).await;
    let (_, lease) = claimed.expect("claimed");
    assert!(rig.store.renew().await.expect("renewed").is_empty());
    row.state = delivered(&row);
    rig.save(lease, &mut row).await.expect("saved");
    let ask = asker.ask_to_stop(row.id.clone()).await;
    assert!(!ask.expect("asked"), "it has ended");
}
