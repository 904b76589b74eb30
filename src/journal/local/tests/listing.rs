//! What can be listed without the database: beside an engine, after a kill, and in a directory that is not ours.

use std::fs;
use std::sync::atomic::Ordering;

use super::damage::listed;
use super::power::uploading;
use super::*;

#[test]
fn a_listing_beside_engines_that_open_fails_neither_of_them() {
    let dir = report::scratch();
    drop(open(dir.path()));
    let (opens, ended) = (
        std::sync::atomic::AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                if let Err(error) = SledStore::open(dir.path(), "test") {
                    ended.store(true, Ordering::SeqCst);
                    panic!("{error}");
                }
                opens.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut listings = 0;
        while !ended.load(Ordering::SeqCst) {
            crate::journal::StateDir::new(dir.path())
                .records()
                .expect("listed");
            listings += 1;
            std::thread::yield_now();
            if listings >= 100 && opens.load(Ordering::SeqCst) >= 100 {
                ended.store(true, Ordering::SeqCst);
            }
        }
    });
    assert!(opens.into_inner() >= 100);
}

#[test]
fn a_listing_leaves_nothing_in_a_directory_that_is_not_ours() {
    let dir = report::scratch();
    fs::write(dir.path().join("notes.txt"), "a person's").expect("written");
    assert!(listed(dir.path()).is_empty());
    let names: Vec<_> = fs::read_dir(dir.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["notes.txt"]);
}

#[tokio::test]
async fn each_new_state_is_listed_at_once_and_after_a_kill_at_any_moment() {
    let dir = report::scratch();
    let mut row = upload("lena", 10_000_000);
    let store = open(dir.path());
    let status = dir.path().join("status.json");
    let mut before = Vec::new();
    let mut check = |state: &str| {
        assert_eq!(listed(dir.path()), [(row_id(dir.path()), state.to_owned())]);
        before.push(fs::read(&status).expect("shown"));
    };
    store.add(row.clone()).await.expect("submitted");
    check("queued");
    row.apply(Reply::Intended(None), Now::read(), 0);
    store
        .init(next(&mut row), Timestamp(1))
        .await
        .expect("begun");
    check("init_intent");
    row.state = uploading(&row, 0);
    store.write(next(&mut row), None).await.expect("saved");
    check("uploading");
    // Progress that came too fast to be shown is shown at the latest when the journal is closed.
    row.state = uploading(&row, 1);
    let entry = Some((0, [1; 32]));
    store.write(next(&mut row), entry).await.expect("saved");
    drop(store);
    let records = crate::journal::StateDir::new(dir.path())
        .records()
        .expect("records");
    assert_eq!(records[0].confirmed, row.confirmed_bytes());
    assert!(records[0].confirmed > 0);
    // Killed between the database and the file: the next open makes it right, whatever was there.
    before.push(b"{\"v\":1,\"uploads\":[]}".to_vec());
    for older in before {
        fs::write(&status, older).expect("set back");
        drop(open(dir.path()));
        assert_eq!(listed(dir.path()), [(row.id.clone(), "uploading".into())]);
    }
    fs::remove_file(&status).expect("gone");
    assert!(listed(dir.path()).is_empty());
    drop(open(dir.path()));
    assert_eq!(listed(dir.path()), [(row.id.clone(), "uploading".into())]);
    // What the history says later is believed over what was shown before.
    let shown = fs::read(&status).expect("shown");
    let store = open(dir.path());
    row.updated = Timestamp(row.updated.0 + 1);
    store
        .write(delivered(row.clone(), 5), None)
        .await
        .expect("saved");
    fs::write(&status, shown).expect("set back");
    assert_eq!(listed(dir.path()), [(row.id, "delivered".into())]);
}

fn row_id(dir: &Path) -> String {
    crate::journal::StateDir::new(dir)
        .records()
        .expect("records")[0]
        .id
        .clone()
}

#[tokio::test]
async fn what_is_forgotten_is_gone_from_every_list_at_once() {
    let dir = report::scratch();
    let store = open(dir.path());
    let row = upload("lena", 10);
    store.add(row.clone()).await.expect("submitted");
    assert_eq!(listed(dir.path()).len(), 1);
    store.remove(row.id.clone()).await.expect("removed");
    assert!(listed(dir.path()).is_empty());
}

#[tokio::test]
async fn a_listing_shows_a_name_that_is_no_text_as_it_is() {
    use std::os::unix::ffi::OsStrExt;
    let dir = report::scratch();
    let store = open(dir.path());
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/videos/caf\xe9.mp4"));
    let mut row = upload("lena", 10);
    if let Origin::Media { address, .. } = &mut row.origin {
        *address = Address::File(odd.clone());
    }
    store.add(row.clone()).await.expect("submitted");
    let records = crate::journal::StateDir::new(dir.path())
        .records()
        .expect("records");
    assert_eq!(records[0].file, Some(odd));
}

#[tokio::test]
async fn uploads_under_another_spelling_of_the_api_base_are_found() {
    let dir = report::scratch();
    let spelled = |size, api_base: &str| {
        let mut row = upload("lena", size);
        row.key.api_base = api_base.into();
        row
    };
    let live = "HTTPS://API.Example:443/";
    let rows = [
        spelled(10, "HTTP://127.1:80/"),
        spelled(11, live),
        delivered(spelled(12, live), 5),
        delivered(spelled(13, "https://api.example"), 5),
    ];
    {
        let store = open(dir.path());
        for row in &rows {
            match row.state.is_final() {
                true => finish(&store, row).await,
                false => store.add(row.clone()).await.expect("submitted"),
            }
        }
    }
    let store = open(dir.path());
    for (row, base) in rows.iter().zip([
        "http://127.0.0.1",
        "https://api.example",
        "https://api.example",
        "https://api.example",
    ]) {
        let key = Key {
            api_base: base.into(),
            ..row.key.clone()
        };
        let found = known(&store, &key).await;
        assert_eq!(found.len(), 1, "{base}");
        assert_eq!(found[0].id, row.id);
        let claimed = store.take(key, row.id.clone()).await.expect("claimed");
        assert_eq!(claimed.key.api_base, base);
    }
}

#[tokio::test]
async fn an_unfinished_upload_is_found_by_its_path_alone() {
    let dir = report::scratch();
    let store = open(dir.path());
    let at = |size, path: &str| {
        let mut row = upload("lena", size);
        if let Origin::Media { address, .. } = &mut row.origin {
            *address = Address::File(path.into());
        }
        row
    };
    let (mut moved, other, ended) = (at(10, "/a.mp4"), at(11, "/b.mp4"), at(12, "/a.mp4"));
    for row in [&moved, &other] {
        store.add(row.clone()).await.expect("submitted");
    }
    finish(&store, &delivered(ended, 5)).await;
    let found = async |store: &SledStore, path: &str| -> Vec<String> {
        let rows = store.at_path(upload("lena", 99).key, path.into());
        let rows = rows.await.expect("rows").into_iter();
        rows.map(|row| row.id).collect()
    };
    assert_eq!(found(&store, "/a.mp4").await, [&*moved.id]);
    assert_eq!(found(&store, "/b.mp4").await, [&*other.id]);
    let elsewhere = store.at_path(upload("mia", 10).key, "/a.mp4".into());
    assert!(elsewhere.await.expect("rows").is_empty());
    if let Origin::Media { address, .. } = &mut moved.origin {
        *address = Address::File("/c.mp4".into());
    }
    store.write(next(&mut moved), None).await.expect("saved");
    assert!(found(&store, "/a.mp4").await.is_empty());
    assert_eq!(found(&store, "/c.mp4").await, [&*moved.id]);

    // As an earlier version left it, which knew no such keys, and did not remove them either.
    let keys = |store: &SledStore| store.0.db.scan_prefix(b"f").keys().count();
    assert_eq!(keys(&store), 2);
    for key in store.0.db.scan_prefix(b"f").keys() {
        store.0.db.remove(key.expect("a key")).expect("removed");
    }
    let gone = keys::one_at_path(&moved.key, Path::new("/c.mp4"), "0123456789abcdef");
    store.0.db.insert(gone, &[]).expect("left");
    drop(store);
    let store = open(dir.path());
    assert_eq!(found(&store, "/c.mp4").await, [&*moved.id]);
    store.remove(moved.id.clone()).await.expect("removed");
    store.write(delivered(other, 5), None).await.expect("saved");
    assert_eq!(keys(&store), 1, "but for the one that was left");
}
