//! Many uploads of files of one size: whatever happens to them, the index finds what reading all of them would find.

use super::*;
use crate::journal::Recall;
use crate::journal::store::HasSha256;

/// More than are read without an index.
const MANY: u64 = 40;

fn numbered(number: u64) -> Upload {
    let mut row = upload("lena", 10);
    row.id = format!("{number:016x}");
    row.created = Timestamp(number);
    if let Origin::Media {
        address,
        identity,
        fingerprint,
        ..
    } = &mut row.origin
    {
        *address = Address::File(format!("/videos/{}.mp4", number / 2).into());
        identity.inode = number / 3;
        *fingerprint = (!number.is_multiple_of(7)).then(|| format!("fingerprint {}", number % 5));
    }
    row
}

/// A digest that some of the rows share.
fn digest(number: u64) -> String {
    format!("sha256 {}", number / 4)
}

/// What reading all rows of the key would find, in the order of their ages.
async fn read_all(store: &SledStore, key: &Key, of: &Trait) -> (Vec<String>, [bool; 2]) {
    let rows = known(store, key).await;
    let given_up = |row: &Upload| matches!(row.state, State::GivenUp { .. });
    let has = |ended| {
        let mut rows = rows.iter().filter(|row| !given_up(row));
        rows.any(|row| row.state.is_final() == ended && row.sha256.is_some())
    };
    let whole = [has(false), has(true)];
    let fits = |row: &&Upload| match of {
        Trait::File { inode, .. } => row.identity().is_some_and(|at| at.inode == *inode),
        Trait::Path(path) => !row.state.is_final() && row.path() == Some(path),
        Trait::Fingerprint(text) => !row.state.is_final() && row.fingerprint() == text.as_deref(),
        Trait::Sha256(text) => !given_up(row) && row.sha256.as_ref() == Some(text),
    };
    (
        rows.iter().filter(fits).map(|row| row.id.clone()).collect(),
        whole,
    )
}

async fn assert_finds_the_same(store: &SledStore, key: &Key, step: u64) {
    let number = step % MANY;
    for of in [
        Trait::of_file(&numbered(number).identity().expect("a file")),
        Trait::Path(format!("/videos/{}.mp4", number / 2).into()),
        Trait::Fingerprint(None),
        Trait::Fingerprint(Some(format!("fingerprint {}", number % 5))),
        Trait::Sha256(digest(number)),
    ] {
        let found = store
            .alike(key.clone(), vec![of.clone()])
            .await
            .expect("rows");
        let ids: Vec<String> = found.rows.iter().map(|row| row.id.clone()).collect();
        let HasSha256 { under_way, ended } = found.has_sha256;
        let read = read_all(store, key, &of).await;
        assert_eq!((ids, [under_way, ended]), read, "step {step}: {of:?}");
        assert_eq!(
            found.lost,
            store.find(key.clone()).await.expect("rows").lost
        );
    }
}

#[tokio::test]
async fn the_index_of_many_files_of_one_size_finds_what_reading_all_of_them_would() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = open(dir.path());
    let key = numbered(0).key;
    let mut random = fastrand::Rng::with_seed(7);
    for step in 0..400 {
        let number = random.u64(0..MANY);
        let mut row = numbered(number);
        let rows = known(&store, &key).await;
        match rows.into_iter().find(|known| known.id == row.id) {
            None => store.add(row).await.expect("submitted"),
            Some(known) if known.state.is_final() => {
                if random.bool() {
                    assert!(store.remove(known.id).await.expect("removed"));
                }
            }
            Some(known) => {
                row = known;
                row.sha256 = random.bool().then(|| digest(number));
                match random.u8(0..4) {
                    0 => drop(row.apply(Reply::Changed("it changed".into()), Now::read(), 0)),
                    1 => row = delivered(row, number),
                    _ => {}
                }
                store.write(next(&mut row), None).await.expect("saved");
            }
        }
        if step % 3 == 0 {
            assert_finds_the_same(&store, &key, step).await;
        }
        if step == 200 {
            drop(store);
            store = open(dir.path());
        }
    }
    assert!(known(&store, &key).await.len() > 20, "few are left");

    // Somebody edits the history of a store that is open.
    let path = dir.path().join("history.jsonl");
    let history = std::fs::read_to_string(&path).expect("a history");
    let (_, all_but_one) = history.split_once('\n').expect("lines");
    std::fs::write(&path, all_but_one).expect("edited");
    assert_finds_the_same(&store, &key, 1).await;
    std::fs::write(&path, "").expect("cut");
    assert_finds_the_same(&store, &key, 2).await;
}

#[tokio::test]
async fn the_last_upload_of_a_path_is_recalled_whatever_came_in_between() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let path: PathBuf = "/videos/0.mp4".into();
    let key = numbered(0).key;
    let recalled = async || {
        let recall = Recall::Path(key.clone(), path.clone());
        let row = store.recall(recall).await.expect("the history");
        row.map(|row| row.id)
    };
    assert_eq!(recalled().await, None);
    let (first, second) = (numbered(0), numbered(1));
    finish(&store, &delivered(first.clone(), 1)).await;
    assert_eq!(recalled().await, Some(first.id.clone()));
    store.add(second.clone()).await.expect("submitted");
    assert_eq!(recalled().await, Some(second.id.clone()), "it is under way");
    let end = delivered(second.clone(), 2);
    store.write(end, None).await.expect("saved");
    finish(&store, &delivered(numbered(9), 3)).await;
    assert_eq!(recalled().await, Some(second.id.clone()));
    assert!(store.remove(second.id).await.expect("removed"));
    assert_eq!(
        recalled().await,
        Some(first.id.clone()),
        "the other one is left"
    );
    let history = dir.path().join("history.jsonl");
    std::fs::write(&history, "").expect("cut");
    assert_eq!(recalled().await, None);
}
