//! Years of finished uploads: the command still starts at once, and the disk is not filled.

use std::time::Instant;

use super::{report, *};

/// Bytes that the database may need before it holds anything.
const EMPTY: u64 = 4 << 20;

/// What one of them may cost, its line in the history included.
const EACH: u64 = 1_450;

/// Bytes of all files in a directory.
fn size_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("its metadata");
            if metadata.is_dir() {
                size_of(&entry.path())
            } else {
                metadata.len()
            }
        })
        .sum()
}

/// The row as it stands at its end.
fn ended(number: u64) -> Upload {
    let mut row = upload(&format!("creator {}", number % 50), 20_000_000 + number);
    row.created = Timestamp(1_700_000_000_000 + number * 300_000);
    row.updated = row.created;
    row.sha256 = Some(hex::encode(<sha2::Sha256 as sha2::Digest>::digest(
        number.to_be_bytes(),
    )));
    row.hash_state = None;
    row.totals.inits = 1;
    let at = row.created.0 + 60_000;
    let mut row = delivered(row, at);
    row.state = State::Delivered {
        publish_id: format!("v_inbox_file~v2.7{:018}", number),
        at: Timestamp(at),
    };
    row
}

#[tokio::test]
async fn years_of_finished_uploads_neither_slow_the_start_nor_fill_the_disk() {
    let full = report::full();
    let count: u64 = if full { 100_000 } else { 1_000 };
    let dir = report::scratch();
    {
        let store = open(dir.path());
        for number in 0..count {
            let end = ended(number);
            let mut begun = end.clone();
            (begun.revision, begun.state) = (0, State::Queued);
            store.add(begun).await.expect("submitted");
            store.write(end, None).await.expect("saved");
        }
    }
    let timed = |since: Instant| since.elapsed().as_secs_f64() * 1000.0;

    let start = || {
        let since = Instant::now();
        (open(dir.path()), timed(since))
    };
    // The first one after all of them were made by one process leaves what the later ones start from.
    let first = start().1;
    let (store, opened) = start();
    let since = Instant::now();
    let key = ended(count / 2).key;
    let found = known(&store, &key).await.len();
    let find = timed(since);
    assert_eq!(found, 1);
    let since = Instant::now();
    assert!(store.rows().expect("rows").is_empty());
    let unfinished = timed(since);
    drop(store);

    let since = Instant::now();
    let listed = crate::journal::StateDir::new(dir.path())
        .records()
        .expect("listed")
        .len();
    let list = timed(since);
    assert_eq!(listed as u64, count);
    let disk = size_of(dir.path());
    let history = std::fs::metadata(dir.path().join("history.jsonl"))
        .expect("a history")
        .len();

    std::fs::remove_dir_all(dir.path().join("journal")).expect("lost");
    let (store, rebuilt) = start();
    assert_eq!(known(&store, &key).await.len(), 1);

    let line = format!(
        "{count} finished uploads: start {opened:.0} ms (the first one {first:.0} ms), find {find:.2} ms, unfinished {unfinished:.2} ms, list {list:.0} ms; disk {:.1} MB, of it history {:.1} MB; rebuilt from the history in {rebuilt:.0} ms",
        disk as f64 / 1e6,
        history as f64 / 1e6
    );
    println!("{line}");
    assert!(disk <= EMPTY + EACH * count, "{line}");
}
