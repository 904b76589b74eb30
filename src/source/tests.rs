use std::io::Write;

use super::*;
use crate::plan::Limits;

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
    source
        .prove(plan, ledger, &AtomicBool::new(false))
        .expect("readable")
}

#[test]
fn pieces_are_the_bytes_of_the_range_and_end_at_the_cut() {
    let content = bytes(1_000_003);
    let file = file(&content);
    let source = Source::open(file.path()).expect("open");
    for (range, cut) in [(0..1_000_003, 934_467), (5..600_000, 600_000), (7..8, 0)] {
        let pieces: Vec<Bytes> = source
            .pieces(range.clone(), cut, &Pool::default())
            .map(|piece| piece.expect("read"))
            .collect();
        let joined: Vec<u8> = pieces.iter().flatten().copied().collect();
        assert_eq!(joined, content[range.start as usize..range.end as usize]);
        let mut at = range.start;
        let ends: Vec<u64> = pieces
            .iter()
            .map(|piece| {
                at += piece.len() as u64;
                at
            })
            .collect();
        assert!(
            cut <= range.start || ends.contains(&cut),
            "{ends:?} lacks {cut}"
        );
    }
}

#[test]
fn buffers_go_round_and_do_not_pile_up() {
    let file = file(&bytes(4_000_000));
    let source = Source::open(file.path()).expect("open");
    let pool = Pool::default();
    for piece in source.pieces(0..4_000_000, 4_000_000, &pool) {
        drop(piece.expect("read"));
    }
    assert_eq!(pool.0.lock().expect("lock").len(), 1);
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
    assert_eq!(proof.complaint().as_deref(), Some("chunk 2 differs"));
}

#[test]
fn a_file_that_became_shorter_is_told_and_not_an_accident() {
    let (file, source, plan, ledger) = sent();
    file.as_file().set_len(CHUNK + 1).expect("cut");
    assert_eq!(prove(&source, &plan, &ledger), Proof::Shorter);
    let last = source
        .pieces(0..2 * CHUNK, 0, &Pool::default())
        .last()
        .expect("a piece");
    assert_eq!(
        last.expect_err("too short").kind(),
        io::ErrorKind::UnexpectedEof
    );
}

#[test]
fn a_long_reading_ends_when_nobody_waits_for_it() {
    let (_file, source, plan, ledger) = sent();
    let read = source.prove(&plan, &ledger, &AtomicBool::new(true));
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
