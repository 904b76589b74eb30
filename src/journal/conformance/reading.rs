//! What a store knows of uploads, and what it no longer knows.

use std::collections::BTreeSet;

use super::*;
use crate::journal::ApiAccount;
use crate::secret::Secret;
use crate::upload::Session;
use crate::upload::ledger::Entry;

suite! {
    the_url_of_a_session_is_kept_apart_from_its_row_and_gone_with_it
    the_ledger_is_kept_until_the_end_and_ends_at_its_first_gap
    what_is_removed_is_gone_from_everywhere
    pages_of_ended_uploads_hold_each_of_them_once
    uploads_are_found_by_what_they_have_in_common
    an_upload_is_recalled_by_its_path_and_by_its_id
    records_are_those_of_all_uploads
    the_first_creator_of_an_account_stays_until_it_is_forgotten
}

async fn the_url_of_a_session_is_kept_apart_from_its_row_and_gone_with_it(rig: &Rig) {
    let session = |url: &str| Session {
        publish_id: "v~1".into(),
        upload_url: Secret::new(url),
        issued: Timestamp(1),
        booted: None,
    };
    let (first, second) = ("https://u/?token=first", "https://u/?token=second");
    for forgotten in [false, true] {
        let mut row = upload("lena", 20_000_000 + u64::from(forgotten));
        let mut lease = rig.submit(&row).await;
        let uploading = |url, confirmed| State::Uploading {
            session: session(url),
            confirmed,
        };
        let states = [
            (uploading(first, 0), Some(first)),
            (uploading(first, 1), Some(first)),
            (State::Queued, None),
            (uploading(second, 0), Some(second)),
            (
                State::Sealed {
                    session: session(second),
                    acknowledged: false,
                },
                Some(second),
            ),
            (
                State::Processing {
                    publish_id: "v~1".into(),
                    session: Some(session(second)),
                },
                Some(second),
            ),
        ];
        for (state, url) in states {
            row.state = state;
            rig.save(lease, &mut row).await.expect("saved");
            let claimed = rig.store.claim(row.key.clone(), row.id.clone()).await;
            let (claimed, next) = claimed.expect("claimed");
            lease = next;
            let stored = rig.stored(&row).await.expect("a row");
            for row in [claimed, stored] {
                assert_eq!(row.secret().map(Secret::expose), url, "{:?}", row.state);
            }
            assert_eq!((rig.secrets)(), usize::from(url.is_some()));
            assert!(!(rig.readable)().contains("token="), "{:?}", row.state);
        }
        if forgotten {
            rig.store.remove(row.id.clone()).await.expect("removed");
        } else {
            row.state = delivered(&row);
            rig.save(lease, &mut row).await.expect("saved");
        }
        assert_eq!((rig.secrets)(), 0);
        assert!(!(rig.readable)().contains("token="));
    }
    assert!(
        (rig.readable)().contains("delivered"),
        "or nothing was looked at"
    );
}

async fn the_ledger_is_kept_until_the_end_and_ends_at_its_first_gap(rig: &Rig) {
    let mut row = upload("lena", 50_000_000);
    let lease = rig.submit(&row).await;
    let entry = |index: u32| [index as u8 + 1; 32];
    for index in [0, 1, 2, 4] {
        let entry = Some((index, entry(index)));
        let saved = rig.store.save(lease, row.saved_next(), entry).await;
        saved.expect("saved");
    }
    let ledger = |chunks| rig.store.ledger(row.id.clone(), chunks);
    let all: Vec<Entry> = (0..3).map(entry).collect();
    assert_eq!(ledger(9).await.expect("entries"), all);
    assert_eq!(ledger(2).await.expect("entries"), all[..2]);
    assert!(ledger(0).await.expect("entries").is_empty());
    // A chunk that is sent again has another entry.
    let again = rig.store.save(lease, row.saved_next(), Some((1, [9; 32])));
    again.await.expect("saved");
    let ledger = |chunks| rig.store.ledger(row.id.clone(), chunks);
    assert_eq!(ledger(2).await.expect("entries"), [entry(0), [9; 32]]);
    row.state = delivered(&row);
    rig.save(lease, &mut row).await.expect("saved");
    let ledger = rig.store.ledger(row.id.clone(), 9).await;
    assert!(ledger.expect("entries").is_empty());
}

async fn what_is_removed_is_gone_from_everywhere(rig: &Rig) {
    let mut open = upload("lena", 20_000_000);
    let lease = rig.submit(&open).await;
    let entry = Some((0, [1; 32]));
    let saved = rig.store.save(lease, open.saved_next(), entry).await;
    saved.expect("saved");
    let ended = rig.deliver(upload("lena", 10)).await;
    for row in [&open, &ended] {
        let remove = || rig.store.remove(row.id.clone());
        assert!(remove().await.expect("removed"));
        assert!(!remove().await.expect("nothing there"));
        assert!(rig.stored(row).await.is_none());
        let recalled = rig.store.recall(Recall::Id(row.id.clone())).await;
        assert!(recalled.expect("asked").is_none());
        let ledger = rig.store.ledger(row.id.clone(), 9).await;
        assert!(ledger.expect("entries").is_empty());
        let claimed = rig.store.claim(row.key.clone(), row.id.clone()).await;
        assert!(matches!(claimed, Err(StoreError::Gone(_))), "{claimed:?}");
    }
    let late = rig.save(lease, &mut open).await;
    assert!(matches!(late, Err(StoreError::Gone(_))), "{late:?}");
    assert!(rig.store.unfinished().await.expect("rows").is_empty());
    let page = rig.store.ended(None, 9).await.expect("a page");
    assert!(page.records.is_empty() && page.next.is_none());
}

async fn pages_of_ended_uploads_hold_each_of_them_once(rig: &Rig) {
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(rig.deliver(upload("lena", 10 + number)).await);
    }
    // One ends a second time, one is forgotten, one is under way.
    let twice = ids.remove(3);
    let claimed = rig.store.claim(twice.key.clone(), twice.id.clone()).await;
    let (mut twice, lease) = claimed.expect("claimed");
    twice.state = delivered(&twice);
    rig.save(lease, &mut twice).await.expect("saved");
    ids.push(twice);
    let forgotten = ids.remove(0);
    rig.store.remove(forgotten.id).await.expect("removed");
    rig.submit(&upload("lena", 99)).await;
    for limit in [1, 3, 7, 100] {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = rig.store.ended(after, limit).await.expect("a page");
            assert!(page.records.len() <= limit && page.lost.is_empty());
            found.extend(page.records.into_iter().map(|record| record.id));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let all: Vec<&String> = ids.iter().map(|row| &row.id).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), all, "{limit}");
        assert!(pages >= 7 / limit, "{limit}");
    }
}

async fn uploads_are_found_by_what_they_have_in_common(rig: &Rig) {
    let mut rows = Vec::new();
    for number in 0..40_u64 {
        let mut row = upload("lena", 10);
        if let Origin::Media {
            address,
            identity,
            fingerprint,
            ..
        } = &mut row.origin
        {
            *address = Address::File(format!("/videos/{}.mp4", number % 5).into());
            identity.inode = number % 7;
            *fingerprint = (number % 3 > 0).then(|| format!("f{}", number % 3));
        }
        row.created = Timestamp(number);
        let lease = rig.submit(&row).await;
        if number % 2 == 0 {
            row.sha256 = Some(format!("{:064}", number % 4));
            row.state = match number % 8 {
                0 => State::GivenUp {
                    why: "it was edited".into(),
                    at: row.created,
                },
                _ => delivered(&row),
            };
            rig.save(lease, &mut row).await.expect("saved");
        }
        rows.push(row);
    }
    for account in ["len", "lenaa", "mia"] {
        rig.submit(&upload(account, 10)).await;
    }
    rig.submit(&upload("lena", 11)).await;
    let key = rows[0].key.clone();
    let found = rig.store.find(key.clone()).await.expect("found");
    let ids = |rows: &[Upload]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&found.rows), ids(&rows));
    let wanted = vec![
        Trait::Path("/videos/1.mp4".into()),
        Trait::Fingerprint(None),
        Trait::Sha256(format!("{:064}", 2)),
        Trait::File {
            device: 1,
            inode: 6,
            mtime_ns: 3,
        },
    ];
    for wanted in [vec![wanted[0].clone()], vec![wanted[1].clone()], wanted] {
        let alike = rig.store.alike(key.clone(), wanted.clone()).await;
        let alike = alike.expect("found");
        let mut all = rows.clone();
        all.retain(|row| Trait::all_of(row).iter().any(|of| wanted.contains(of)));
        assert!(!all.is_empty() && all.len() < rows.len());
        assert_eq!(ids(&alike.rows), ids(&all));
        let known = alike.has_sha256;
        assert!(known.ended && !known.under_way, "what was given up is none");
    }
}

async fn an_upload_is_recalled_by_its_path_and_by_its_id(rig: &Rig) {
    let mut moved = upload("lena", 10);
    let lease = rig.submit(&moved).await;
    let other_size = upload("lena", 11);
    rig.submit(&other_size).await;
    let clip = || std::path::PathBuf::from("/videos/clip.mp4");
    let at_path = |path| rig.store.at_path(moved.key.clone(), path);
    assert_eq!(at_path(clip()).await.expect("rows").len(), 2);
    if let Origin::Media { address, .. } = &mut moved.origin {
        *address = Address::File("/videos/moved.mp4".into());
    }
    rig.save(lease, &mut moved).await.expect("saved");
    let rows = rig.store.at_path(moved.key.clone(), clip()).await;
    let rows = rows.expect("rows");
    assert_eq!((rows.len(), &rows[0].id), (1, &other_size.id));
    moved.state = delivered(&moved);
    rig.save(lease, &mut moved).await.expect("saved");
    let recall = |what| rig.store.recall(what);
    let by_path = Recall::Path(moved.key.clone(), "/videos/moved.mp4".into());
    for what in [by_path, Recall::Id(moved.id.clone())] {
        let found = recall(what).await.expect("asked").expect("an upload");
        assert_eq!(
            (found.id, found.state.name()),
            (moved.id.clone(), "delivered")
        );
    }
    let of_mia = Recall::Path(upload("mia", 10).key, "/videos/moved.mp4".into());
    assert!(recall(of_mia).await.expect("asked").is_none());
    let nobody = Recall::Id("0123456789abcdef".into());
    assert!(recall(nobody).await.expect("asked").is_none());
}

async fn records_are_those_of_all_uploads(rig: &Rig) {
    let mut all = BTreeSet::new();
    for number in 0..3 {
        all.insert(rig.deliver(upload("lena", 10 + number)).await.id);
    }
    let mut pull = upload("mia", 10);
    pull.origin = Origin::Url {
        url: "https://media.example/clip.mp4".into(),
        size: None,
    };
    let lease = rig.submit(&pull).await;
    pull.state = State::InitIntent;
    rig.save(lease, &mut pull).await.expect("saved");
    all.insert(pull.id.clone());
    for (running, state) in [(true, "init_intent"), (false, "unknown")] {
        let records = rig.store.records(|_| running).await.expect("records");
        let last = records.last().expect("one");
        assert_eq!((&last.id, &*last.state), (&pull.id, state));
        let ids = records.into_iter().map(|record| record.id);
        assert_eq!(ids.collect::<BTreeSet<_>>(), all);
    }
}

async fn the_first_creator_of_an_account_stays_until_it_is_forgotten(rig: &Rig) {
    let key = upload("lena", 10).key;
    let identify = async |account: &str, open_id: Option<&str>| {
        let of = ApiAccount {
            account: account.to_owned(),
            api_base: key.api_base.clone(),
        };
        let creator = rig
            .store
            .identify(of, open_id.map(str::to_owned), false)
            .await;
        let creator = creator.expect("identified");
        let names: Vec<&str> = creator.names().map(String::as_str).collect();
        (creator.open_id.clone(), names.join(" + "))
    };
    let is = |open_id: &str, names: &str| (Some(open_id.to_owned()), names.to_owned());
    assert_eq!(identify("lena", None).await, (None, "lena".to_owned()));
    for asked in [Some("a"), Some("b"), None] {
        assert_eq!(identify("lena", asked).await, is("a", "lena"));
    }
    assert_eq!(
        identify("second", Some("a")).await,
        is("a", "lena + second")
    );
    assert_eq!(identify("lena", None).await, is("a", "lena + second"));
    let forget = |account: &str| rig.store.forget_creator(account.into());
    assert!(!forget("len").await.expect("none"));
    let replaced = ApiAccount {
        account: "second".to_owned(),
        api_base: key.api_base.clone(),
    };
    let replaced = rig.store.identify(replaced, Some("c".to_owned()), true);
    assert_eq!(replaced.await.expect("replaced").name, "second");
    assert_eq!(identify("lena", None).await, is("a", "lena"));
    assert!(forget("lena").await.expect("forgotten"));
    assert_eq!(identify("lena", Some("b")).await, is("b", "lena (b)"));
    assert_eq!(identify("second", None).await, is("c", "second"));
    let base = || "https://api.example".to_owned();
    assert_eq!(rig.store.rate(base()).await.expect("asked"), None);
    let rate = Rate {
        bytes_per_second: 7,
        at: Timestamp(1),
    };
    rig.store.set_rate(base(), rate).await.expect("kept");
    assert_eq!(rig.store.rate(base()).await.expect("asked"), Some(rate));
    let elsewhere = rig.store.rate("http://127.0.0.1:1".into()).await;
    assert_eq!(elsewhere.expect("asked"), None);
}
