use std::io::Write;
use std::os::unix::fs::FileExt;

use futures::StreamExt;

use super::WITHHELD;
use super::reading::SPARE;
use super::*;
use crate::upload::plan::Limits;

mod map;

const CHUNK: u64 = 5_242_880;

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(content).expect("written");
    file
}

/// A file of two chunks and the ledger of sending all of it.
fn sent() -> (tempfile::NamedTempFile, Source, Plan, Vec<Entry>) {
    let content = bytes(2 * CHUNK as usize + 7);
    let plan = Plan::new(content.len() as u64, &Limits::TIKTOK, CHUNK).expect("legal");
    let mut running = Running::default();
    let ledger = plan.chunks().map(|chunk| {
        let range = chunk.range();
        running.update(&content[range.start as usize..range.end as usize]);
        running.entry()
    });
    let ledger = ledger.collect();
    let file = file(&content);
    let source = Source::open(file.path()).expect("open");
    (file, source, plan, ledger)
}

fn prove(source: &Source, plan: &Plan, ledger: &[Entry]) -> Proof {
    let as_of = source.settled().expect("known");
    source
        .prove(as_of, plan, ledger, &AtomicBool::new(false))
        .expect("readable")
}

#[test]
fn pieces_are_the_bytes_of_the_chunk_and_the_last_ones_come_apart() {
    let content = bytes(3 * CHUNK as usize + 7);
    let file = file(&content);
    let source = Source::open(file.path()).expect("open");
    let plan = Plan::new(content.len() as u64, &Limits::TIKTOK, CHUNK).expect("legal");
    for mode in [ReadMode::Read, ReadMode::Map] {
        for chunk in plan.chunks() {
            let Range { start, end } = chunk.range();
            let pieces: Vec<Bytes> = source
                .reading(chunk, mode, &Pool::default())
                .map(|piece| piece.expect("read"))
                .collect();
            let joined: Vec<u8> = pieces.iter().flatten().copied().collect();
            assert!(
                joined == content[start as usize..end as usize],
                "{mode:?} {chunk:?}"
            );
            let last: usize = pieces.iter().rev().take(1).map(Bytes::len).sum();
            assert!(
                !chunk.is_last() || last == WITHHELD as usize,
                "{mode:?}: {last}"
            );
        }
    }
    assert!(!source.mapped.is_in_use() && !source.is_torn());
}

#[test]
fn buffers_go_round_and_do_not_pile_up() {
    let (_file, source, plan, _) = sent();
    let pool = Pool::default();
    for piece in source.reading(plan.chunk(0), ReadMode::Read, &pool) {
        drop(piece.expect("read"));
    }
    assert_eq!(pool.spare(), 1);
}

#[test]
fn what_many_uploads_had_on_their_way_is_not_kept_when_they_are_over() {
    let (_file, source, plan, _) = sent();
    let pool = Pool::default();
    let at_once = (0..4).flat_map(|_| source.reading(plan.chunk(0), ReadMode::Read, &pool));
    let mut pieces: Vec<_> = at_once.map(|piece| piece.expect("read")).collect();
    let (most, last) = (pieces.len(), pieces.pop());
    assert!(most > 2 * SPARE, "{most}");
    drop(pieces);
    assert_eq!(pool.spare(), most - 1, "they may be needed again at once");
    drop(last);
    assert_eq!(pool.spare(), SPARE);
}

/// Takes what is shared of a chunk until `most` pieces came; their bytes, and the hash after the last.
async fn take(mut share: Share, most: usize) -> io::Result<(u64, Option<Entry>)> {
    let (mut len, mut entry) = (0, None);
    for _ in 0..most {
        let Some(piece) = share.next().await else {
            break;
        };
        let piece = piece?;
        len += piece.bytes.len() as u64;
        entry = piece.hashed.map(|running| running.entry());
    }
    Ok((len, entry))
}

#[tokio::test]
async fn what_is_hashed_ahead_is_the_ledger_and_a_chunk_that_is_sent_again_gets_none_of_it() {
    let (_file, source, plan, ledger) = sent();
    for mode in [ReadMode::Read, ReadMode::Map] {
        let pool = Pool::default();
        let start = |chunk, running| {
            Ahead::start(&source, plan, chunk, running, mode, &pool).expect("a thread")
        };
        let (first, second) = (plan.chunk(0), plan.chunk(1));
        let (ahead, share) = start(first, Some(Running::default()));
        assert!(ahead.share(second).is_none(), "the first one comes first");
        let pieces = first.size().div_ceil(PIECE as u64) as usize;
        let (len, entry) = take(share, pieces).await.expect("read");
        assert_eq!((len, entry), (first.size(), Some(ledger[0])));
        assert!(ahead.share(first).is_none(), "it is gone");

        let abandoned = ahead.share(second).expect("it is next");
        let share = ahead.share(second).expect("nothing was taken");
        take(abandoned, 1)
            .await
            .expect_err("an abandoned body takes nothing from the one after it");
        let (len, entry) = take(share, usize::MAX).await.expect("read");
        assert_eq!((len, entry), (second.size(), Some(ledger[1])));
    }
}

#[tokio::test]
async fn a_file_that_is_cut_off_while_it_is_read_ahead_is_an_error_and_no_shorter_video() {
    for mode in [ReadMode::Read, ReadMode::Map] {
        let (file, source, plan, _) = sent();
        let chunk = plan.chunk(0);
        let pool = Pool::default();
        let started = Ahead::start(&source, plan, chunk, Some(Running::default()), mode, &pool);
        let (_ahead, share) = started.expect("a thread");
        file.as_file().set_len(1_000_000).expect("cut off");
        let kind = match take(share, usize::MAX).await {
            Err(error) => Some(error.kind()),
            Ok(_) => None,
        };
        source.settle().await;
        assert!(
            kind == Some(io::ErrorKind::UnexpectedEof) || source.is_torn(),
            "{mode:?}: {kind:?}"
        );
    }
}

#[test]
fn one_changed_byte_is_found_and_a_mere_touch_is_not_a_change() {
    let (file, source, plan, ledger) = sent();
    assert_eq!(
        prove(&source, &plan, &ledger),
        Proof::Same(source.identity())
    );
    file.as_file()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("touched");
    let touched = prove(&source, &plan, &ledger);
    assert!(matches!(touched, Proof::Same(identity) if identity != source.identity()));
    file.as_file()
        .write_all_at(b"\0", CHUNK + 9)
        .expect("edited");
    let proof = prove(&source, &plan, &ledger);
    assert_eq!(proof, Proof::Differs(1));
    assert_eq!(proof.same().expect_err("changed"), "chunk 2 differs");
}

#[test]
fn a_file_that_became_shorter_is_told_and_not_an_accident() {
    let (file, source, plan, ledger) = sent();
    file.as_file().set_len(CHUNK + 1).expect("cut");
    assert_eq!(prove(&source, &plan, &ledger), Proof::Shorter);
    for mode in [ReadMode::Read, ReadMode::Map] {
        let last = source.reading(plan.chunk(1), mode, &Pool::default()).last();
        assert_eq!(
            last.expect("a piece").expect_err("too short").kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}

#[test]
fn a_long_reading_ends_when_nobody_waits_for_it() {
    let (_file, source, plan, ledger) = sent();
    let read = source.prove(source.identity(), &plan, &ledger, &AtomicBool::new(true));
    assert_eq!(
        read.expect_err("cancelled").kind(),
        io::ErrorKind::Interrupted
    );
}

#[test]
fn what_cannot_be_read_twice_is_refused_without_blocking() {
    let dir = tempfile::tempdir().expect("a directory");
    let pipe = dir.path().join("pipe.mp4");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    let dangling = dir.path().join("link.mp4");
    std::os::unix::fs::symlink(&dangling, &dangling).expect("a loop");
    for path in [
        dir.path(),
        &pipe,
        &dangling,
        &dir.path().join("missing.mp4"),
    ] {
        let error = Source::open(path).expect_err("refused");
        assert_eq!(error.kind(), crate::ErrorKind::Source, "{error}");
    }
}

#[test]
fn an_edit_right_after_the_identity_was_taken_is_never_hidden_by_a_coarse_clock() {
    let (disk, memory) = (
        tempfile::tempdir().ok(),
        tempfile::tempdir_in("/dev/shm").ok(),
    );
    for dir in disk.into_iter().chain(memory) {
        for round in 0..20_u8 {
            let path = dir.path().join("clip.mp4");
            std::fs::write(&path, bytes(200_000)).expect("written");
            let source = Source::open(&path).expect("open");
            let file = File::options().write(true).open(&path).expect("open");
            let modified = file.metadata().and_then(|found| found.modified());
            file.write_all_at(&[round], 100_000).expect("edited");
            file.set_modified(modified.expect("known"))
                .expect("put back");
            let now = source.identity_now().expect("known");
            assert!(!source.identity().proves_same(&now), "{round}: {now:?}");
        }
    }
}
