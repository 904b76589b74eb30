mod damage;
mod disk;
mod history;
mod listing;
mod many;
mod planted;
mod power;
mod report;
mod same;

use std::os::unix::fs::PermissionsExt;
use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::answer::Failure;
use crate::clock::Now;
use crate::journal::queue::{Accepted, JobStore, Wish};
use crate::upload::ledger::Running;
use crate::upload::plan::{Limits, Plan};
use crate::upload::{Address, Destination, Identity, Origin, ROW_VERSION, Reply, Video};

fn upload(account: &str, size: u64) -> Upload {
    let key = Key {
        account: account.into(),
        api_base: "https://api.example".into(),
        destination: Destination::Inbox,
        video: Video::Size(size),
    };
    let identity = Identity {
        device: 1,
        inode: 2,
        size,
        mtime_ns: 3,
        ctime_ns: Some(4),
        proves: true,
    };
    let origin = Origin::Media {
        address: Address::File("/videos/clip.mp4".into()),
        identity,
        fingerprint: None,
        content_type: "video/mp4".into(),
        plan: Plan::new(size, &Limits::DOCUMENTED, 5_242_880).expect("legal"),
    };
    Upload::new(key, origin, true, Now::read())
}

/// Why an error came about.
fn cause(error: &Error) -> String {
    let source = std::error::Error::source(error).expect("a source");
    source.to_string()
}

fn pull(account: &str) -> Upload {
    let url = "https://media.example/clip.mp4".to_owned();
    let key = Key {
        video: Video::Key(url.clone()),
        ..upload(account, 10).key
    };
    Upload::new(key, Origin::Url { url, size: None }, false, Now::read())
}

fn delivered(mut upload: Upload, at: u64) -> Upload {
    upload = upload.saved_next();
    upload.state = State::Delivered {
        publish_id: format!("v~{}", upload.id),
        at: Timestamp(at),
    };
    upload
}

/// Submits a row, and saves its end.
async fn finish(store: &SledStore, row: &Upload) {
    store.add(row.clone()).await.expect("submitted");
    let end = next(&mut row.clone());
    store.write(end, None).await.expect("saved");
}

/// What is known of one key.
async fn known(store: &SledStore, of: &Key) -> Vec<Upload> {
    store.find(of.clone()).await.expect("rows").rows
}

/// The row as its owner saves it next.
fn next(row: &mut Upload) -> Upload {
    row.saved_next()
}

impl SledStore {
    /// The texts of all rows, and of all files beside the database.
    pub(in crate::journal) fn readable(&self) -> String {
        let mut text = String::new();
        for found in self.0.db.scan_prefix(keys::ROWS).values() {
            text.push_str(&String::from_utf8_lossy(&found.expect("a row")));
        }
        let dir = self.0.path.parent().expect("a state directory");
        for dir in [dir.to_owned(), dir.join("sealed")] {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                text.push_str(&std::fs::read_to_string(path).unwrap_or_default());
            }
        }
        text
    }

    /// How many secrets there are.
    pub(in crate::journal) fn secrets(&self) -> usize {
        self.0.db.scan_prefix(b"s").count()
    }
}

/// The store's steps for tests that are about something else than leases.
impl SledStore {
    /// Inserts a row of a video that is reserved for that moment.
    fn add(&self, row: Upload) -> Answer<'_, ()> {
        Box::pin(async move {
            let video = (row.key.clone(), Some(row.id.clone()));
            let Reserved::Alone(reservation) = self.reserve(video.0, video.1).await? else {
                return Err(StoreError::Fenced(row.id));
            };
            let submitted = self.submit(&reservation, row).await;
            self.free(&reservation);
            submitted.map(drop)
        })
    }

    /// The lease of a row as it was read or written last.
    fn lease_of(&self, row: &Upload) -> Lease {
        Lease {
            owner: self.0.owner,
            epoch: row.epoch,
        }
    }

    fn write(&self, row: Upload, entry: Option<(u32, Entry)>) -> Answer<'_, ()> {
        self.save(self.lease_of(&row), row, entry)
    }

    /// Begins an init at this time.
    fn init(&self, row: Upload, now: Timestamp) -> Answer<'_, Grant> {
        self.0.clock.set(now);
        self.begin(self.lease_of(&row), row)
    }

    fn take(&self, key: Key, id: String) -> Answer<'_, Upload> {
        Box::pin(async move { Ok(self.claim(key, id).await?.0) })
    }

    /// All uploads that have not ended, oldest first.
    fn rows(&self) -> Result<Vec<Upload>, StoreError> {
        self.0.unfinished()
    }
}

fn open(dir: &Path) -> SledStore {
    reopen(dir).expect("opened")
}

/// A process that another test starts inherits the lock for the moment before its exec.
fn reopen(dir: &Path) -> Result<SledStore, Error> {
    for _ in 0..1000 {
        match SledStore::open(dir, "test") {
            Err(error) if error.kind() == crate::ErrorKind::Locked => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
    SledStore::open(dir, "test")
}

#[tokio::test]
async fn what_was_saved_is_there_after_a_reopen_and_its_ledger_until_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = upload("lena", 4_294_967_296);
    {
        let store = open(dir.path());
        store.add(row.clone()).await.expect("submitted");
        for index in 0..819_u32 {
            let mut running = Running::default();
            running.update(&index.to_be_bytes());
            store
                .write(next(&mut row), Some((index, running.entry())))
                .await
                .expect("saved");
        }
    }
    let blobs = std::fs::read_dir(dir.path().join("journal/blobs"))
        .expect("a directory")
        .count();
    assert_eq!(blobs, 0, "a value in a file of its own is never synced");
    let store = open(dir.path());
    let rows = store.rows().expect("rows");
    assert_eq!((rows.len(), rows[0].id.as_str()), (1, row.id.as_str()));
    assert_eq!(
        store
            .ledger(row.id.clone(), 1000)
            .await
            .expect("entries")
            .len(),
        819
    );
    store
        .write(delivered(row.clone(), 1), None)
        .await
        .expect("saved");
    assert!(store.rows().expect("rows").is_empty());
    assert!(
        store
            .ledger(row.id.clone(), 1000)
            .await
            .expect("entries")
            .is_empty()
    );
    assert_eq!(known(&store, &row.key).await.len(), 1);
}

/// sled writes a page, some 16 rows, in one piece; a piece above a quarter of a segment goes into a file of its own.
#[tokio::test]
async fn many_uploads_under_way_with_long_names_are_not_put_into_files_that_are_never_synced() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    for number in 0..60 {
        let mut row = upload("lena", 20_000_000 + number);
        if let Origin::Media { address, .. } = &mut row.origin {
            *address =
                Address::File(format!("/{}", "a name of the longest kind/".repeat(150)).into());
        }
        store.add(row.clone()).await.expect("submitted");
        for confirmed in 0..2 {
            row.state = power::uploading(&row, confirmed);
            store.write(next(&mut row), None).await.expect("saved");
        }
    }
    let blobs = std::fs::read_dir(dir.path().join("journal/blobs")).expect("a directory");
    assert_eq!(blobs.count(), 0);
}

#[tokio::test]
async fn a_second_process_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(dir.path(), "upload a.mp4").expect("opened");
    let error = SledStore::open(dir.path(), "list").expect_err("locked");
    assert_eq!(error.kind(), crate::ErrorKind::Locked);
    let text = error.to_string();
    assert!(
        text.contains(&std::process::id().to_string()) && text.contains("upload a.mp4"),
        "{text}"
    );
    drop(store);
    open(dir.path());
}

#[tokio::test]
async fn an_owner_that_was_taken_over_writes_nothing_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let mut old = upload("lena", 10);
    store.add(old.clone()).await.expect("submitted");
    let mut new = store
        .take(old.key.clone(), old.id.clone())
        .await
        .expect("claimed");
    assert!(store.write(next(&mut old), None).await.is_err());
    assert!(store.init(next(&mut old), Timestamp(1)).await.is_err());
    store.write(next(&mut new), None).await.expect("saved");
}

#[tokio::test]
async fn a_row_whose_job_was_dropped_does_not_come_late_beside_the_next_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let row = upload("lena", 10);
    let writing = lock(&store.0.writing);
    let mut submitted = store.add(row.clone());
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(submitted.as_mut().poll(&mut nobody).is_pending());
    drop(submitted);
    drop(writing);
    // Whatever of it was still to be done is done once this is.
    assert!(known(&store, &row.key).await.is_empty());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(known(&store, &row.key).await.is_empty());
}

#[tokio::test]
async fn a_claim_whose_job_was_dropped_does_not_take_the_row_from_the_next_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let row = upload("lena", 10);
    store.add(row.clone()).await.expect("submitted");
    let writing = lock(&store.0.writing);
    let mut claimed = store.take(row.key.clone(), row.id.clone());
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(claimed.as_mut().poll(&mut nobody).is_pending());
    drop(claimed);
    let next = store.take(row.key.clone(), row.id.clone());
    drop(writing);
    assert_eq!(next.await.expect("claimed").epoch, 1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let rows = store.rows().expect("rows");
    assert_eq!(rows[0].epoch, 1, "the one that was dropped came late");
}

#[tokio::test]
async fn a_save_that_comes_late_does_not_turn_an_upload_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let mut row = upload("lena", 10);
    store.add(row.clone()).await.expect("submitted");
    let late = next(&mut row);
    row.state = State::InitIntent;
    assert_eq!(
        store
            .init(next(&mut row), Timestamp(1))
            .await
            .expect("asked"),
        Grant::Granted
    );
    store.write(late, None).await.expect("passed over");
    assert_eq!(store.rows().expect("rows")[0].state.name(), "init_intent");
}

#[tokio::test]
async fn the_window_of_six_inits_a_minute_holds_across_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = upload("lena", 10);
    for second in 0..6 {
        let store = open(dir.path());
        store.add(row.clone()).await.expect("submitted");
        let granted = store
            .init(next(&mut row), Timestamp(1_000_000 + second * 1000))
            .await;
        assert_eq!(granted.expect("asked"), Grant::Granted);
    }
    let store = open(dir.path());
    let mut ask = |ms| store.init(next(&mut row), Timestamp(ms));
    assert_eq!(
        ask(1_010_000).await.expect("asked"),
        Grant::Wait(Duration::from_secs(55))
    );
    // The first one may have travelled longer than the next one will.
    assert!(matches!(
        ask(1_060_000).await.expect("asked"),
        Grant::Wait(_)
    ));
    assert_eq!(ask(1_065_000).await.expect("asked"), Grant::Granted);
    assert!(matches!(
        ask(1_065_500).await.expect("asked"),
        Grant::Wait(_)
    ));
    // A clock that was set back must not shut the window for longer than it is.
    assert!(matches!(ask(1_000).await.expect("asked"), Grant::Granted));
    let mut other = upload("mia", 10);
    store.add(other.clone()).await.expect("submitted");
    assert_eq!(
        store
            .init(next(&mut other), Timestamp(1_065_500))
            .await
            .expect("asked"),
        Grant::Granted
    );
}

#[tokio::test]
async fn only_an_init_that_is_known_never_to_have_left_gives_its_slot_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open(dir.path());
    let mut row = upload("lena", 10);
    store.add(row.clone()).await.expect("submitted");
    let wall = |second: u64| Timestamp(1_000_000 + second * 1000);
    let unsent = || Failure::NotSent("refused".into());
    let no_token = || Failure::Token("log in again".into());
    let untrusted = || Failure::Untrusted("unknown issuer".into());
    let lost = || Failure::Lost("reset".into());
    // Each with the slots that are taken after it.
    let rows: [(bool, Option<Failure>, usize); 9] = [
        (true, Some(unsent()), 0),
        (true, Some(lost()), 1),
        // No init was begun for this one: the lost one may have arrived all the same.
        (false, Some(no_token()), 1),
        (true, Some(unsent()), 1),
        (true, Some(untrusted()), 1),
        (true, Some(no_token()), 1),
        // Killed before the answer was recorded.
        (true, None, 2),
        (false, Some(no_token()), 2),
        (true, Some(unsent()), 2),
    ];
    for (second, (begun, error, taken)) in (0..).zip(rows) {
        store.0.clock.set(wall(second));
        let now = store.0.clock.now();
        if begun {
            row.apply(Reply::Intended(None), now, 0);
            let granted = store.init(next(&mut row), now.wall).await;
            assert_eq!(granted.expect("asked"), Grant::Granted, "{second}");
        }
        match error {
            Some(error) => {
                row.apply(Reply::Init(Err(error)), now, 0);
                store.write(next(&mut row), None).await.expect("saved");
            }
            None => {
                drop(store);
                store = open(dir.path());
                let claimed = store.take(row.key.clone(), row.id.clone());
                row = claimed.await.expect("claimed");
            }
        }
        let inits = store.0.db.scan_prefix(keys::inits(&row.key));
        assert_eq!(inits.count(), taken, "{second}");
    }
    assert_eq!(row.totals.inits, 2, "those that may have arrived");
}

#[tokio::test]
async fn an_init_that_travelled_for_long_counts_from_its_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let begun = |second: u64| Timestamp(1_000_000 + second * 1000);
    let mut rows = Vec::new();
    for second in 0..6 {
        let mut row = upload("lena", 10 + second);
        store.add(row.clone()).await.expect("submitted");
        row.state = State::InitIntent;
        let granted = store.init(next(&mut row), begun(second)).await;
        assert_eq!(granted.expect("asked"), Grant::Granted);
        rows.push(row);
    }
    // The first one was answered twenty seconds after it left.
    rows[0].state = State::Queued;
    store.0.clock.set(begun(20));
    store.write(next(&mut rows[0]), None).await.expect("saved");
    let mut seventh = upload("lena", 20);
    store.add(seventh.clone()).await.expect("submitted");
    let mut ask = |second| store.init(next(&mut seventh), begun(second));
    assert_eq!(
        ask(65).await.expect("asked"),
        Grant::Wait(Duration::from_secs(1)),
        "until the second one, which left a second later, is a window ago"
    );
    assert_eq!(ask(66).await.expect("asked"), Grant::Granted);
}

#[tokio::test]
async fn uploads_of_another_account_size_or_base_are_not_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    // A name that looks like the end of another scope.
    for account in ["lena", "len", "lenaa", "lena\0https://api.example"] {
        store.add(upload(account, 10)).await.expect("submitted");
        store.add(upload(account, 11)).await.expect("submitted");
    }
    let key = upload("lena", 10).key;
    assert_eq!(known(&store, &key).await.len(), 1);
    let elsewhere = Key {
        api_base: "http://127.0.0.1:1".into(),
        ..key
    };
    assert!(known(&store, &elsewhere).await.is_empty());
}

#[tokio::test]
async fn the_oldest_delivery_within_a_day_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    for (account, at) in [("lena", 5), ("lena", 70), ("lena", 90), ("mia", 60)] {
        let row = upload(account, 10);
        store.add(row.clone()).await.expect("submitted");
        store.write(delivered(row, at), None).await.expect("saved");
    }
    let key = upload("lena", 10).key;
    let oldest = |since| store.oldest_delivery(key.clone(), Timestamp(since));
    assert_eq!(oldest(50).await.expect("asked"), Some(Timestamp(70)));
    assert_eq!(oldest(91).await.expect("asked"), None);
}

#[tokio::test]
async fn a_snapshot_that_a_kill_left_half_written_does_not_brick_the_journal() {
    let dir = tempfile::tempdir().expect("a directory");
    let row = upload("lena", 10);
    open(dir.path()).add(row.clone()).await.expect("submitted");
    std::fs::write(
        dir.path().join("journal/snap.00000000000000AB.generating"),
        b"half",
    )
    .expect("written");
    assert_eq!(open(dir.path()).rows().expect("rows").len(), 1);
}

#[tokio::test]
async fn a_journal_that_cannot_be_opened_now_is_left_where_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    open(dir.path())
        .add(upload("lena", 10))
        .await
        .expect("submitted");
    let db = dir.path().join("journal/db");
    std::fs::rename(&db, dir.path().join("db")).expect("moved");
    std::fs::create_dir(&db).expect("in its place");
    SledStore::open(dir.path(), "test").expect_err("not usable");
    let aside = |entry: std::io::Result<std::fs::DirEntry>| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .contains("damaged")
    };
    assert!(
        !std::fs::read_dir(dir.path())
            .expect("a directory")
            .any(aside)
    );
    std::fs::remove_dir(&db).expect("gone again");
    std::fs::rename(dir.path().join("db"), &db).expect("moved back");
    assert_eq!(open(dir.path()).rows().expect("rows").len(), 1);
}

#[tokio::test]
async fn a_row_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = upload("lena", 10);
    row.version = ROW_VERSION + 1;
    open(dir.path()).add(row.clone()).await.expect("submitted");
    let error = SledStore::open(dir.path(), "test").expect_err("refused");
    assert!(cause(&error).contains("newer chunkferry"), "{error}");
}

#[tokio::test]
async fn nobody_else_can_read_the_state_directory() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = outer.path().join("state");
    let store = open(&dir);
    let row = upload("lena", 10);
    store.add(row.clone()).await.expect("submitted");
    store.write(delivered(row, 5), None).await.expect("saved");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("journal")), 0o700);
    for name in ["lock", "status.json", "history.jsonl"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
}

/// A database of the last release held rows of the first version, with the upload URL in their text.
#[tokio::test]
async fn rows_of_the_first_version_keep_their_session_and_lose_its_url_from_their_text() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let mut rows = Vec::new();
    for size in [20_000_000, 20_000_001] {
        let mut row = upload("lena", size);
        store.add(row.clone()).await.expect("submitted");
        row.state = power::uploading(&row, 2);
        store.write(next(&mut row), None).await.expect("saved");
        let mut text = serde_json::to_value(&row).expect("a row");
        text["version"] = 1.into();
        text["state"]["session"]["upload_url"] = "https://u/?token=old".into();
        let text = serde_json::to_vec(&text).expect("a row");
        store.0.db.insert(keys::row(&row.id), text).expect("kept");
        store.0.db.remove(keys::secret(&row.id)).expect("removed");
        rows.push(row);
    }
    drop(store);
    let store = open(dir.path());
    let url = |row: &Upload| row.secret().map(|secret| secret.expose().to_owned());
    let old = Some("https://u/?token=old".to_owned());
    for row in store.rows().expect("rows") {
        assert_eq!(
            (row.version, row.confirmed(), url(&row)),
            (1, 2, old.clone())
        );
    }
    // One is taken up as a job does it, the other one is only saved.
    let taken = store.take(rows[0].key.clone(), rows[0].id.clone()).await;
    assert_eq!(url(&taken.expect("claimed")), old);
    let mut other = known(&store, &rows[1].key).await.remove(0);
    store.write(next(&mut other), None).await.expect("saved");
    assert!(!store.readable().contains("token="));
    drop(store);
    let store = open(dir.path());
    for row in store.rows().expect("rows") {
        assert_eq!(
            (row.version, row.confirmed(), url(&row)),
            (ROW_VERSION, 2, old.clone())
        );
    }
    store.0.db.remove(keys::secret(&rows[0].id)).expect("lost");
    let lost = store.0.unfinished().expect_err("nothing can be sent to it");
    assert!(matches!(lost, StoreError::Damaged { .. }), "{lost}");
}

#[tokio::test]
async fn a_job_that_cannot_be_read_keeps_no_other_from_being_read_and_is_not_taken_for_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(dir.path(), "a test").expect("opened");
    let wish = |name: &str| {
        let url = format!("https://media.example/{name}");
        let text = serde_json::json!({
            "account": "lena", "api_base": "http://127.0.0.1:8799",
            "source": "pull", "url": url, "key": null, "preflight": true,
        });
        serde_json::from_value::<Wish>(text).expect("a wish")
    };
    let mut ids = Vec::new();
    for name in ["one.mp4", "two.mp4"] {
        match JobStore::accept(&store, wish(name))
            .await
            .expect("accepted")
        {
            Accepted::New(row) => ids.push(row.id),
            other => panic!("{other:?}"),
        }
    }
    let read = JobStore::jobs(&store, None, 10, true).await.expect("read");
    assert_eq!((read.len(), store.has_left_out_jobs()), (2, false));
    let newer = br#"{"version": 99}"#;
    store
        .0
        .db
        .insert(keys::job(&ids[0]), newer)
        .expect("written");
    let read = JobStore::jobs(&store, None, 10, true).await.expect("read");
    assert_eq!((read.len(), &read[0].id), (1, &ids[1]));
    assert!(store.has_left_out_jobs());
}
