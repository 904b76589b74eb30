//! What has ended stands in the history alone: what it no longer says is noticed, and never taken for not sent.

use std::fs;

use super::damage::listed;
use super::{power, report, *};

#[tokio::test]
async fn lines_that_are_torn_or_foreign_spoil_no_other_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("history.jsonl");
    let (first, second) = (
        delivered(upload("lena", 10), 5),
        delivered(upload("lena", 10), 6),
    );
    let keep = async |row: Upload| {
        let store = open(dir.path());
        finish(&store, &row).await;
    };
    keep(first.clone()).await;
    // A full disk tore the next line; then somebody added words.
    let torn = fs::read_to_string(&path).expect("a history");
    fs::write(
        &path,
        format!("{torn}# mine\n{{\"version\":1,\"id\":\"\n{}", &torn[..40]),
    )
    .expect("torn");
    keep(second.clone()).await;
    fs::remove_dir_all(dir.path().join("journal")).expect("lost");
    let both = |state: &str| {
        let mut rows = vec![
            (first.id.clone(), state.into()),
            (second.id.clone(), state.into()),
        ];
        rows.sort();
        rows
    };
    assert_eq!(listed(dir.path()), both("delivered"));

    // Forgetting one leaves the rest as it is, read or unread.
    open(dir.path())
        .remove(second.id.clone())
        .await
        .expect("removed");
    let text = fs::read_to_string(&path).expect("a history");
    assert!(
        text.contains("# mine") && text.contains(&first.id) && !text.contains(&second.id),
        "{text}"
    );
}

#[tokio::test]
async fn a_line_of_a_newer_version_is_not_passed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = delivered(upload("lena", 10), 5);
    row.version = ROW_VERSION + 1;
    fs::write(
        dir.path().join("history.jsonl"),
        serde_json::to_vec(&row).expect("a line"),
    )
    .expect("written");
    let error = SledStore::open(dir.path(), "test").expect_err("refused");
    assert!(cause(&error).contains("newer chunkferry"), "{error}");
    let error = crate::journal::StateDir::new(dir.path())
        .records()
        .expect_err("refused");
    assert!(cause(&error).contains("newer chunkferry"), "{error}");
}

#[tokio::test]
async fn an_end_that_only_the_history_knows_is_taken_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let row = upload("lena", 10);
    open(dir.path()).add(row.clone()).await.expect("submitted");
    // Killed between the line and the row.
    History::of(dir.path())
        .append(&delivered(row.clone(), 5))
        .expect("appended");
    let store = open(dir.path());
    assert!(store.rows().expect("rows").is_empty());
    assert_eq!(known(&store, &row.key).await[0].state.name(), "delivered");
}

#[tokio::test]
async fn an_upload_that_ended_as_unknown_is_not_carried_on_though_the_end_was_killed_before_its_row()
 {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = upload("lena", 10);
    row.state = power::uploading(&row, 0);
    let store = open(dir.path());
    store.add(row.clone()).await.expect("submitted");
    row.apply(Reply::AtGate(None), Now::read(), 0);
    store.write(row.clone(), None).await.expect("saved");
    drop(store);
    // Killed between the line and the row.
    let why = "the service no longer knows it";
    let end = row.saved_next().as_unknown(why, Timestamp(5));
    History::of(dir.path()).append(&end).expect("appended");
    let store = open(dir.path());
    assert!(store.rows().expect("rows").is_empty());
    assert_eq!(known(&store, &row.key).await[0].state.name(), "unknown");
    drop(store);
    assert_eq!(listed(dir.path()), [(row.id, "unknown".into())]);
}

/// Copies a directory with all that is in it.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_dir(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("copied")),
        }
    }
}

/// A journal in which these have ended.
async fn ended(rows: &[&Upload]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    for row in rows {
        finish(&store, row).await;
    }
    dir
}

/// Whether all that is known of this upload's key is that nothing is known of it any more.
async fn is_lost(store: &SledStore, row: &Upload) -> bool {
    let found = store.find(row.key.clone()).await.expect("rows");
    found.rows.is_empty() && found.lost == std::slice::from_ref(&row.id)
}

#[tokio::test]
async fn what_a_cut_history_has_forgotten_is_not_sent_again_without_a_person() {
    let row = delivered(upload("lena", 10), 5);
    for lost in [false, true] {
        let dir = ended(&[&row]).await;
        let path = dir.path().join("history.jsonl");
        if lost {
            fs::remove_file(&path).expect("lost");
        } else {
            fs::write(&path, "").expect("cut");
        }
        let store = open(dir.path());
        assert!(is_lost(&store, &row).await);
        // What ends from now on is written again, also where the old lines stood.
        let later = delivered(upload("lena", 11), 6);
        finish(&store, &later).await;
        assert_eq!(known(&store, &later.key).await.len(), 1);
        assert!(is_lost(&store, &row).await);
        drop(store);
        let mut both = vec![
            (row.id.clone(), "unknown".into()),
            (later.id.clone(), "delivered".into()),
        ];
        both.sort();
        assert_eq!(listed(dir.path()), both);
        // A person decides.
        let store = open(dir.path());
        store.remove(row.id.clone()).await.expect("removed");
        assert!(known(&store, &row.key).await.is_empty());
        drop(store);
        assert_eq!(listed(dir.path()), [(later.id, "delivered".into())]);
    }
}

#[tokio::test]
async fn a_history_that_somebody_has_edited_is_believed_where_it_says_what_it_said() {
    let (first, second, third) = (
        delivered(upload("lena", 10), 5),
        delivered(upload("lena", 11), 6),
        delivered(upload("lena", 12), 7),
    );
    let dir = ended(&[&first, &second, &third]).await;
    let path = dir.path().join("history.jsonl");
    let text = fs::read_to_string(&path).expect("a history");
    let lines: Vec<&str> = text.lines().collect();
    // One line is gone, one is altered, one is elsewhere.
    let altered = lines[1].replace("delivered", "failed");
    fs::write(&path, format!("{}\n{altered}\n", lines[2])).expect("edited");
    let store = open(dir.path());
    for row in [&first, &second] {
        assert!(is_lost(&store, row).await);
    }
    assert_eq!(known(&store, &third.key).await[0].id, third.id);
    drop(store);
    let mut all = vec![
        (first.id, "unknown".into()),
        (second.id, "unknown".into()),
        (third.id, "delivered".into()),
    ];
    all.sort();
    assert_eq!(listed(dir.path()), all);
}

#[tokio::test]
async fn an_edit_that_keeps_the_length_of_the_history_is_listed_once_a_run_has_seen_it() {
    let row = delivered(upload("lena", 10), 5);
    let dir = ended(&[&row]).await;
    assert_eq!(listed(dir.path()), [(row.id.clone(), "delivered".into())]);
    let path = dir.path().join("history.jsonl");
    let text = fs::read_to_string(&path).expect("a history");
    // The file system's clock goes in steps.
    std::thread::sleep(Duration::from_millis(50));
    fs::write(&path, text.replace("delivered", "del1vered")).expect("edited");
    drop(open(dir.path()));
    assert_eq!(listed(dir.path()), [(row.id.clone(), "unknown".into())]);
    fs::write(&path, text).expect("put back");
    assert_eq!(listed(dir.path()), [(row.id, "delivered".into())]);
}

#[tokio::test]
async fn what_no_upload_is_called_forgets_none() {
    let row = delivered(upload("lena", 10), 5);
    let dir = ended(&[&row]).await;
    let store = open(dir.path());
    let under_way = upload("lena", 11);
    store.add(under_way.clone()).await.expect("submitted");
    for id in [
        "",
        &row.id[8..],
        &row.id[..4],
        "../../history.jsonl",
        "zzzzzzzzzzzzzzzz",
    ] {
        store.remove(id.into()).await.expect("nothing to remove");
    }
    for row in [&row, &under_way] {
        assert_eq!(known(&store, &row.key).await.len(), 1);
    }
    assert!(dir.path().join("history.jsonl").exists());
}

#[tokio::test]
async fn a_history_that_cannot_be_written_forgets_nothing_half() {
    let row = delivered(upload("lena", 10), 5);
    let dir = ended(&[&row]).await;
    let path = dir.path().join("history.jsonl");
    let store = open(dir.path());
    let mut text = fs::read_to_string(&path).expect("a history");
    let newer = text.replace(
        &format!("{{\"version\":{ROW_VERSION},"),
        &format!("{{\"version\":{},", ROW_VERSION + 1),
    );
    text.push_str(&newer);
    fs::write(&path, text).expect("written");
    let error = store
        .remove(row.id.clone())
        .await
        .expect_err("a line of a newer version");
    let error = Error::from(error);
    assert!(cause(&error).contains("newer chunkferry"), "{error}");
    assert_eq!(known(&store, &row.key).await.len(), 1);
}

#[tokio::test]
async fn an_upload_that_ends_twice_is_known_by_its_last_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut row = upload("lena", 10);
    let store = open(dir.path());
    store.add(row.clone()).await.expect("submitted");
    row = row.as_unknown("nobody knows", Timestamp(5));
    store.write(next(&mut row), None).await.expect("saved");
    let mut again = store
        .take(row.key.clone(), row.id.clone())
        .await
        .expect("taken up");
    assert!(store.rows().expect("rows").is_empty());
    drop(store);
    // Killed here, it is what it was.
    assert_eq!(listed(dir.path()), [(row.id.clone(), "unknown".into())]);
    let store = open(dir.path());
    store
        .write(next(&mut row), None)
        .await
        .expect_err("taken over");
    again = delivered(again, 6);
    // Killed between the line and its mark, or not killed at all.
    let killed = report::scratch();
    drop(store);
    copy_dir(dir.path(), killed.path());
    History::of(killed.path()).append(&again).expect("appended");
    let store = open(killed.path());
    let rows = known(&store, &row.key).await;
    assert_eq!((rows.len(), rows[0].state.name()), (1, "delivered"));
    drop(store);
    let store = open(dir.path());
    store.write(again.clone(), None).await.expect("saved");
    store.write(again.clone(), None).await.expect("passed over");
    let state = async |store: &SledStore| {
        let rows = known(store, &row.key).await;
        assert_eq!(rows.len(), 1);
        rows[0].state.name()
    };
    assert_eq!(state(&store).await, "delivered");
    drop(store);
    assert_eq!(listed(dir.path()), [(row.id.clone(), "delivered".into())]);
    fs::remove_dir_all(dir.path().join("journal")).expect("lost");
    let store = open(dir.path());
    assert_eq!(state(&store).await, "delivered");
    store.remove(row.id.clone()).await.expect("removed");
    drop(store);
    assert!(listed(dir.path()).is_empty());
    let text = fs::read_to_string(dir.path().join("history.jsonl")).expect("a history");
    for line in text.lines() {
        assert_eq!(line.trim(), "{\"forgotten\":true}", "nothing is left of it");
    }
}

#[tokio::test]
async fn a_line_that_was_half_forgotten_when_the_power_failed_is_no_damage() {
    let row = delivered(upload("lena", 10), 5);
    let dir = ended(&[&row]).await;
    let path = dir.path().join("history.jsonl");
    let whole = fs::read(&path).expect("a history");
    let half = whole.len() / 2;
    for blanked in [0..half, half..whole.len() - 1] {
        let mut torn = whole.clone();
        torn[blanked].fill(b' ');
        fs::write(&path, torn).expect("torn");
        let mut lines = History::of(dir.path()).lines(0).expect("lines");
        assert!(lines.next().is_none());
        assert_eq!(lines.unread, 0);
    }
}

#[tokio::test]
async fn finished_uploads_come_back_from_the_history_if_the_database_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let row = delivered(upload("lena", 10), 5);
    {
        let store = open(dir.path());
        finish(&store, &row).await;
    }
    fs::remove_dir_all(dir.path().join("journal")).expect("lost");
    let store = open(dir.path());
    assert_eq!(known(&store, &row.key).await.len(), 1);
    drop(store);
    fs::write(dir.path().join("journal/db"), b"not a database").expect("damaged");
    let store = open(dir.path());
    assert_eq!(
        known(&store, &row.key).await.len(),
        1,
        "damage is moved aside"
    );
}

#[tokio::test]
async fn a_forgotten_upload_is_gone_from_the_database_and_the_history() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let (kept, dropped) = (
        delivered(upload("lena", 10), 5),
        delivered(upload("lena", 10), 6),
    );
    for row in [&kept, &dropped] {
        finish(&store, row).await;
    }
    store.remove(dropped.id.clone()).await.expect("removed");
    let found = known(&store, &kept.key).await;
    assert_eq!((found.len(), &found[0].id), (1, &kept.id));
    let history = fs::read_to_string(dir.path().join("history.jsonl")).expect("a history");
    assert!(history.contains(&kept.id) && !history.contains(&dropped.id));
}
