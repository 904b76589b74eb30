use std::io::Write;
use std::os::unix::fs::FileExt;

use futures::StreamExt;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ranges::Ranges;
use super::read::{PIECE, SPARE};
use super::*;
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::{Chunk, Limits, Plan};

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

impl LocalFile {
    fn reading(&self, chunk: Chunk) -> impl Iterator<Item = io::Result<Bytes>> + use<> {
        self.pieces(chunk.range(), ahead::cut(&chunk))
    }
}

/// A file of two chunks and the ledger of sending all of it.
fn sent() -> (tempfile::NamedTempFile, LocalFile, Plan, Vec<Entry>) {
    let content = bytes(2 * CHUNK as usize + 7);
    let plan = Plan::new(content.len() as u64, &Limits::DOCUMENTED, CHUNK).expect("legal");
    let mut running = Running::default();
    let ledger = plan.chunks().map(|chunk| {
        let range = chunk.range();
        running.update(&content[range.start as usize..range.end as usize]);
        running.entry()
    });
    let ledger = ledger.collect();
    let file = file(&content);
    let source = LocalFile::open(file.path(), Opening::default()).expect("open");
    (file, source, plan, ledger)
}

/// The same file, read in another way.
fn opened(file: &tempfile::NamedTempFile, read: ReadMode) -> LocalFile {
    let opening = Opening {
        read,
        ..Opening::default()
    };
    LocalFile::open(file.path(), opening).expect("open")
}

async fn proof(file: &LocalFile, plan: &Plan, ledger: &[Entry]) -> Proof {
    let as_of = file.settled().await.expect("known");
    prove(file, as_of, plan, ledger.to_vec())
        .await
        .expect("readable")
}

#[test]
fn pieces_are_the_bytes_of_the_chunk_and_the_last_ones_come_apart() {
    let content = bytes(3 * CHUNK as usize + 7);
    let file = file(&content);
    let plan = Plan::new(content.len() as u64, &Limits::DOCUMENTED, CHUNK).expect("legal");
    for mode in [ReadMode::Read, ReadMode::Map] {
        let source = opened(&file, mode);
        for chunk in plan.chunks() {
            let Range { start, end } = chunk.range();
            let pieces: Vec<Bytes> = source
                .reading(chunk)
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
        assert!(!source.mapped.is_in_use() && !source.is_torn());
    }
}

#[test]
fn buffers_go_round_and_do_not_pile_up() {
    let (_file, source, plan, _) = sent();
    for piece in source.reading(plan.chunk(0)) {
        drop(piece.expect("read"));
    }
    assert_eq!(source.opening.pool.spare(), 1);
}

#[test]
fn what_many_uploads_had_on_their_way_is_not_kept_when_they_are_over() {
    let (_file, source, plan, _) = sent();
    let pool = &source.opening.pool;
    let at_once = (0..4).flat_map(|_| source.reading(plan.chunk(0)));
    let mut pieces: Vec<_> = at_once.map(|piece| piece.expect("read")).collect();
    let (most, last) = (pieces.len(), pieces.pop());
    assert!(most > 2 * SPARE, "{most}");
    drop(pieces);
    assert_eq!(pool.spare(), most - 1, "they may be needed again at once");
    drop(last);
    assert_eq!(pool.spare(), SPARE);
}

/// Takes at most `most` pieces of a chunk; returns their bytes, and the hash after the last.
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
    let (file, _, plan, ledger) = sent();
    for mode in [ReadMode::Read, ReadMode::Map] {
        let source = opened(&file, mode);
        let start = |chunk, running| source.read(plan, chunk, running).expect("a thread");
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
        let (file, _, plan, _) = sent();
        let source = opened(&file, mode);
        let started = source.read(plan, plan.chunk(0), Some(Running::default()));
        let (_ahead, share) = started.expect("a thread");
        file.as_file().set_len(1_000_000).expect("cut off");
        let kind = match take(share, usize::MAX).await {
            Err(error) => Some(error.kind()),
            Ok(_) => None,
        };
        source.drained().await;
        assert!(
            kind == Some(io::ErrorKind::UnexpectedEof) || source.is_torn(),
            "{mode:?}: {kind:?}"
        );
    }
}

#[tokio::test]
async fn one_changed_byte_is_found_and_a_mere_touch_is_not_a_change() {
    let (file, source, plan, ledger) = sent();
    assert_eq!(
        proof(&source, &plan, &ledger).await,
        Proof::Same(source.identity())
    );
    file.as_file()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .expect("touched");
    let touched = proof(&source, &plan, &ledger).await;
    assert!(matches!(touched, Proof::Same(identity) if identity != source.identity()));
    file.as_file()
        .write_all_at(b"\0", CHUNK + 9)
        .expect("edited");
    let proof = proof(&source, &plan, &ledger).await;
    assert_eq!(proof, Proof::Differs(1));
    assert_eq!(proof.same().expect_err("changed"), "chunk 2 differs");
}

#[tokio::test]
async fn a_file_that_became_shorter_is_told_and_not_an_accident() {
    let (file, source, plan, ledger) = sent();
    file.as_file().set_len(CHUNK + 1).expect("cut");
    assert_eq!(
        proof(&source, &plan, &ledger).await,
        Proof::Moved("it became shorter")
    );
    for mode in [ReadMode::Read, ReadMode::Map] {
        let last = opened(&file, mode).reading(plan.chunk(1)).last();
        assert_eq!(
            last.expect("a piece").expect_err("too short").kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}

#[tokio::test]
async fn a_long_reading_ends_when_nobody_waits_for_it() {
    let (_file, source, plan, _) = sent();
    let size = plan.video_size();
    drop(source.digests(Running::default(), 0, vec![size, size]));
    // The reader alone still holds the file, until it notices.
    while Arc::strong_count(&source.mapped) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut digests = source.digests(Running::default(), 0, vec![size]);
    let (at, _) = digests.next().await.expect("a digest").expect("read");
    assert_eq!(at, size);
    assert!(digests.next().await.is_none(), "it has come to its end");
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
        let error = LocalFile::open(path, Opening::default()).expect_err("refused");
        assert_eq!(error.kind(), crate::ErrorKind::Source, "{error}");
    }
}

#[tokio::test]
async fn an_edit_right_after_the_identity_was_taken_is_never_hidden_by_a_coarse_clock() {
    let (disk, memory) = (
        tempfile::tempdir().ok(),
        tempfile::tempdir_in("/dev/shm").ok(),
    );
    for dir in disk.into_iter().chain(memory) {
        for round in 0..20_u8 {
            let path = dir.path().join("clip.mp4");
            std::fs::write(&path, bytes(200_000)).expect("written");
            let source = LocalFile::open(&path, Opening::default()).expect("open");
            let file = File::options().write(true).open(&path).expect("open");
            let modified = file.metadata().and_then(|found| found.modified());
            file.write_all_at(&[round], 100_000).expect("edited");
            file.set_modified(modified.expect("known"))
                .expect("put back");
            let now = source.version().await.expect("known");
            assert!(!source.identity().proves_same(&now), "{round}: {now:?}");
        }
    }
}
