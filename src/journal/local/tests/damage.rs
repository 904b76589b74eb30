//! The database or the history is damaged: what had ended is known, or a person is asked; what may be complete is never
//! sent again by itself; and the journal opens.

use std::fs;
use std::path::PathBuf;

use super::power::uploading;
use super::{report, *};

/// A state directory as a long life leaves it, and what must be known of it whatever happens to the database.
struct Life {
    dir: tempfile::TempDir,
    delivered: Vec<Upload>,
    sealed: Upload,
}

impl Life {
    async fn lived() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut delivered = Vec::new();
        for _ in 0..40 {
            let store = open(dir.path());
            for _ in 0..3 {
                let row = upload("lena", 10);
                store.add(row.clone()).await.expect("submitted");
                let row = super::delivered(row, 5);
                store.write(row.clone(), None).await.expect("saved");
                delivered.push(row);
            }
        }
        let store = open(dir.path());
        let mut under_way = upload("lena", 4_000_000_000);
        store.add(under_way.clone()).await.expect("submitted");
        for index in 0..50 {
            under_way.state = uploading(&under_way, index + 1);
            let entry = Some((index, [1; 32]));
            store
                .write(next(&mut under_way), entry)
                .await
                .expect("saved");
        }
        let mut sealed = upload("lena", 10);
        store.add(sealed.clone()).await.expect("submitted");
        let State::Uploading { session, .. } = uploading(&sealed, 0) else {
            unreachable!("it was just made");
        };
        sealed.state = State::Sealed {
            session,
            acknowledged: false,
        };
        store.write(next(&mut sealed), None).await.expect("saved");
        Self {
            dir,
            delivered,
            sealed,
        }
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = report::scratch();
        fs::create_dir_all(copy.path().join("journal/blobs")).expect("made");
        fs::create_dir(copy.path().join("sealed")).expect("made");
        let note = format!("sealed/{}", self.sealed.id);
        for name in ["history.jsonl", "status.json", &note]
            .map(PathBuf::from)
            .into_iter()
            .chain(self.files())
        {
            fs::copy(self.dir.path().join(&name), copy.path().join(&name)).expect("copied");
        }
        copy
    }

    /// The files of the database.
    fn files(&self) -> Vec<PathBuf> {
        let journal = Path::new("journal");
        let entries = fs::read_dir(self.dir.path().join(journal)).expect("a directory");
        let entries = entries.map(|entry| entry.expect("an entry"));
        let files = entries.filter(|entry| entry.file_type().expect("a type").is_file());
        let mut names: Vec<PathBuf> = files.map(|entry| journal.join(entry.file_name())).collect();
        names.sort();
        names
    }

    /// What an opened journal does not know, of what it must. An upload that the history lost must be named by its id.
    async fn judge(&self, dir: &Path) -> Result<Option<String>, StoreError> {
        let store = reopen(dir).map_err(|error| StoreError::unavailable("opening it", error))?;
        let Found {
            rows, lost: asked, ..
        } = store.find(self.sealed.key.clone()).await?;
        let of = |id: &str| rows.iter().find(|row| row.id == id);
        let known = |id: &String| {
            asked.contains(id) || of(id).is_some_and(|found| found.state.name() == "delivered")
        };
        let lost = self.delivered.iter().filter(|row| !known(&row.id));
        let mut lost: Vec<String> = lost.map(|row| format!("delivered {}", row.id)).collect();
        match of(&self.sealed.id).map(|row| row.state.name()) {
            Some("sealed" | "unknown") => {}
            other => lost.push(format!("sealed is {other:?}")),
        }
        store.rows()?;
        store.add(upload("mia", 10)).await?;
        Ok((!lost.is_empty()).then(|| lost.join(", ")))
    }

    /// What is wrong with a directory after its database was damaged, and whether that was moved aside.
    async fn wrong(&self, dir: &Path) -> (Option<String>, bool) {
        // Damage that shows only later ends that run, and the next one mends it.
        let wrong = match self.judge(dir).await {
            Err(StoreError::Damaged { .. }) => self.judge(dir).await,
            judged => judged,
        };
        let wrong = wrong.unwrap_or_else(|error| Some(error.to_string()));
        let aside = fs::read_dir(dir).expect("a directory").any(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .contains("damaged")
        });
        (wrong, aside)
    }
}

#[tokio::test]
async fn whatever_is_damaged_nothing_that_may_be_complete_is_forgotten() {
    let life = Life::lived().await;
    let full = report::full();
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut tried, mut moved, mut wrong) = (0, 0, Vec::new());
    for name in life.files().into_iter().chain(["history.jsonl".into()]) {
        let bytes = fs::read(life.dir.path().join(&name)).expect("read");
        let some = if full { 400 } else { 25 };
        for round in 0..some {
            let copy = life.copy();
            let path = copy.path().join(&name);
            let at = rng.usize(0..bytes.len());
            let mut damaged = bytes.clone();
            let what = match round % 4 {
                0 => {
                    damaged[at] ^= 1 << rng.u8(0..8);
                    "a bit flipped"
                }
                1 => {
                    damaged.truncate(at);
                    "cut off"
                }
                2 => {
                    let end = (at + 4096).min(damaged.len());
                    damaged[at..end].fill(0);
                    "a page of zeros"
                }
                _ => {
                    damaged.truncate(at / 65536 * 65536);
                    "whole segments cut off"
                }
            };
            fs::write(&path, &damaged).expect("damaged");
            let (found, aside) = life.wrong(copy.path()).await;
            tried += 1;
            moved += usize::from(aside);
            wrong.extend(
                found.map(|found| format!("{}: {what} at {at}: {found:.300}", name.display())),
            );
        }
        let copy = life.copy();
        fs::remove_file(copy.path().join(&name)).expect("removed");
        let (found, aside) = life.wrong(copy.path()).await;
        tried += 1;
        moved += usize::from(aside);
        wrong.extend(found.map(|found| format!("{}: removed: {found:.300}", name.display())));
    }
    let line = format!(
        "damaged journals: {tried}, moved aside: {moved}, forgotten or unopenable: {}",
        wrong.len()
    );
    let how = "Bits flipped, pages of zeros, files cut off or removed, in every file of the database and in the history, each time in a \
               fresh copy. Every finished upload is known afterwards, or its id is told and a person asked, and the one that may be \
               complete is not sent again.";
    report::tell("damage", full, &line, how);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_pull_that_was_asked_for_is_not_asked_for_again_by_a_database_that_is_lost() {
    for taken in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut row = pull("lena");
        {
            let store = open(dir.path());
            store.add(row.clone()).await.expect("submitted");
            row.apply(Reply::Intended(None), Now::read(), 0);
            let granted = store.init(next(&mut row), row.updated).await;
            assert_eq!(granted.expect("asked"), Grant::Granted);
            if taken {
                row.state = State::Pulling {
                    publish_id: "v_inbox_url~v2.1".into(),
                    since: row.updated,
                };
                store.write(next(&mut row), None).await.expect("saved");
            }
        }
        fs::remove_dir_all(dir.path().join("journal")).expect("lost");
        let store = open(dir.path());
        let rows = known(&store, &row.key).await;
        assert_eq!((rows.len(), rows[0].state.name()), (1, "unknown"));
    }
}

#[tokio::test]
async fn a_pull_is_not_asked_for_again_by_a_database_that_was_set_back_behind_its_init() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = pull("lena");
    let store = open(dir.path());
    store.add(row.clone()).await.expect("submitted");
    drop(store);
    // Its init is about to leave; of the database nothing newer than this is left.
    row.apply(Reply::Intended(None), Now::read(), 0);
    Sealed::of(dir.path()).note(&next(&mut row)).expect("noted");
    assert_eq!(
        listed_when_opened(dir.path()),
        [(row.id.clone(), "unknown".into())]
    );
}

/// What `list` shows once a run has opened the journal.
pub(super) fn listed_when_opened(dir: &Path) -> Vec<(String, String)> {
    drop(open(dir));
    listed(dir)
}

/// What `list` shows.
pub(super) fn listed(dir: &Path) -> Vec<(String, String)> {
    let records = crate::journal::StateDir::new(dir)
        .records()
        .expect("records");
    let mut listed: Vec<_> = records
        .into_iter()
        .map(|record| (record.id, record.state))
        .collect();
    listed.sort();
    listed
}

#[tokio::test]
async fn a_kill_between_the_note_of_a_seal_and_its_row_leaves_the_upload_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = upload("lena", 10);
    {
        let store = open(dir.path());
        store.add(row.clone()).await.expect("submitted");
        row.state = uploading(&row, 0);
        store.write(next(&mut row), None).await.expect("saved");
    }
    let sealed = Sealed::of(dir.path());
    sealed.note(&next(&mut row)).expect("noted");
    assert_eq!(
        listed_when_opened(dir.path()),
        [(row.id.clone(), "uploading".into())]
    );

    // A database that was set back behind that session is another matter.
    row.state = State::Processing {
        publish_id: "v~later".into(),
        session: None,
    };
    sealed.note(&next(&mut row)).expect("noted");
    assert_eq!(
        listed_when_opened(dir.path()),
        [(row.id.clone(), "unknown".into())]
    );
    assert!(
        sealed.read().expect("notes").is_empty(),
        "the history says it now"
    );
    fs::remove_dir_all(dir.path().join("journal")).expect("lost");
    assert_eq!(listed_when_opened(dir.path()), [(row.id, "unknown".into())]);
}

#[tokio::test]
async fn a_session_that_is_lost_after_sealing_is_not_parked_by_its_old_note() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = upload("lena", 10);
    let State::Uploading { session, .. } = uploading(&row, 0) else {
        unreachable!("it was just made");
    };
    let store = open(dir.path());
    store.add(row.clone()).await.expect("submitted");
    row.state = State::Sealed {
        session,
        acknowledged: false,
    };
    store.write(next(&mut row), None).await.expect("saved");
    let note = dir.path().join("sealed").join(&row.id);
    let text = fs::read(&note).expect("a note");
    assert!(!String::from_utf8_lossy(&text).contains("upload_token"));
    row.state = State::Queued;
    store.write(next(&mut row), None).await.expect("saved");
    assert!(!note.exists());
    drop(store);
    // As a power cut can bring it back.
    fs::write(&note, text).expect("back");
    fs::write(dir.path().join("sealed/ffff"), "{\"vers").expect("torn");
    assert_eq!(
        listed_when_opened(dir.path()),
        [(row.id.clone(), "queued".into())]
    );
    assert!(!note.exists());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_damage_and_not_an_end_of_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let under_way = upload("lena", 11);
    for spoiled in [Some(&b"{\"version\":1}"[..]), None] {
        {
            let store = open(dir.path());
            store.add(under_way.clone()).await.expect("submitted");
            let row = keys::row(&under_way.id);
            match spoiled {
                Some(text) => store.0.db.insert(row, text).expect("spoiled"),
                None => store.0.db.remove(row).expect("removed"),
            };
            // It shows when it is read; the next open mends it.
            let error = store.find(under_way.key.clone()).await.expect_err("no row");
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
        let store = open(dir.path());
        assert!(store.rows().expect("rows").is_empty());
        assert!(known(&store, &under_way.key).await.is_empty());
        assert!(!dir.path().join("journal/suspect").exists());
    }
}

#[tokio::test]
async fn a_suspicion_that_nothing_confirms_costs_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let row = upload("lena", 10);
    open(dir.path()).add(row.clone()).await.expect("submitted");
    database::suspect(&dir.path().join("journal")).expect("marked");
    assert_eq!(open(dir.path()).rows().expect("rows").len(), 1);
    assert!(!dir.path().join("journal/suspect").exists());
}

#[tokio::test]
async fn what_the_lock_and_the_status_file_say_is_no_truth_to_depend_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let row = upload("lena", 10);
    open(dir.path()).add(row.clone()).await.expect("submitted");
    for junk in [
        &b""[..],
        b"{",
        b"\xff\0\xff",
        b"{\"pid\":-1,\"host\":7}",
        &[b'9'; 100_000],
    ] {
        fs::write(dir.path().join("lock"), junk).expect("written");
        fs::write(dir.path().join("status.json"), junk).expect("written");
        assert_eq!(
            listed_when_opened(dir.path()),
            [(row.id.clone(), "queued".into())]
        );
        let store = open(dir.path());
        fs::write(dir.path().join("lock"), junk).expect("written");
        fs::write(dir.path().join("status.json"), junk).expect("written");
        let error = SledStore::open(dir.path(), "test").expect_err("locked");
        assert_eq!(error.kind(), crate::ErrorKind::Locked);
        assert!(
            listed(dir.path()).is_empty(),
            "the owner's word cannot be read"
        );
        store.add(upload("mia", 11)).await.expect("submitted");
        store
            .remove(known(&store, &upload("mia", 11).key).await[0].id.clone())
            .await
            .expect("removed");
    }
}

#[test]
fn a_database_that_sled_never_comes_back_from_hangs_nobody_and_stays_where_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let held = Arc::new(Lock::take(dir.path(), "test").expect("taken"));
    let (come_back, awaited) = std::sync::mpsc::channel::<()>();
    let stuck = database::guarded(dir.path(), Duration::from_millis(50), &held, move || {
        let _ = awaited.recv();
        Ok(())
    });
    let stuck = stuck.map_err(|trouble| trouble.at("opening it"));
    let error = stuck.expect_err("it does not come back");
    assert!(
        matches!(error, StoreError::Unavailable { .. }),
        "damage would be moved aside"
    );
    let error = Error::from(error);
    assert_eq!(error.kind(), crate::ErrorKind::Temporary);
    assert!(error.to_string().contains("nothing is sent"), "{error}");
    let cause = cause(&error);
    assert!(cause.contains("sled was still at it"), "{cause}");

    drop(held);
    Lock::take(dir.path(), "test").expect_err("what it may still write is nobody else's");
    drop(come_back);
    reopen(dir.path()).expect("it has come back");
}

#[test]
fn a_panic_of_sled_is_damage_and_gives_the_lock_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let held = Arc::new(Lock::take(dir.path(), "test").expect("taken"));
    let limit = Duration::from_secs(60);
    let broken_off = database::guarded::<()>(dir.path(), limit, &held, || panic!("as sled does"));
    assert!(matches!(broken_off, Err(Trouble::Damaged(_))));
    assert_eq!(Arc::strong_count(&held), 1);
}
