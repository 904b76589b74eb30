//! Videos that the caller reads from wherever they are: the promises of a file hold for them.

use std::fs;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chunkferry::{Account, Engine, ErrorKind, Job, Ledger, Media, MediaVersion, Outcome};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::stage::{CHUNK, MIB, Stage, TOKEN, until_confirmed};

/// Not a divisor of anything.
const PIECE: usize = 100_003;

/// An object of a store that keeps its versions, and gives the bytes of the one that was asked for.
#[derive(Debug)]
struct Object {
    store: Arc<Store>,
    opened: MediaVersion,
    bytes: Bytes,
}

#[derive(Debug, Default)]
struct Store {
    content: Mutex<(u32, Bytes)>,
    lie: Mutex<Lie>,
}

/// What a careless implementation does with the chunks behind the first one.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Lie {
    #[default]
    None,
    /// One byte less than was asked for.
    Short,
    /// One byte more.
    Long,
    /// An error that may pass, a megabyte after the start of each read.
    Breaks,
    /// Nothing but an error that may pass.
    Silent,
}

impl Store {
    fn of(content: Vec<u8>) -> Arc<Self> {
        let store = Arc::new(Self::default());
        store.replace(content);
        store
    }

    fn replace(&self, content: Vec<u8>) {
        let mut now = self.content.lock().unwrap();
        *now = (now.0 + 1, content.into());
    }

    fn version(&self) -> MediaVersion {
        let now = self.content.lock().unwrap();
        MediaVersion::new(now.1.len() as u64, now.0.to_string())
    }

    fn open(self: &Arc<Self>) -> Object {
        Object {
            store: Arc::clone(self),
            opened: self.version(),
            bytes: self.content.lock().unwrap().1.clone(),
        }
    }
}

impl Media for Object {
    fn address(&self) -> &str {
        "store/lena/clip.mp4"
    }

    fn opened(&self) -> MediaVersion {
        self.opened.clone()
    }

    fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        let is_told = range.start >= CHUNK && range.end - range.start > MIB;
        let lie = if is_told {
            *self.store.lie.lock().unwrap()
        } else {
            Lie::None
        };
        let end = match lie {
            Lie::Short => range.end - 1,
            Lie::Long => (range.end + 1).min(self.opened.size),
            _ => range.end,
        };
        let bytes = self.bytes.slice(range.start as usize..end as usize);
        let pieces: Vec<Bytes> = bytes.chunks(PIECE).map(|of| bytes.slice_ref(of)).collect();
        let mut at = 0;
        let (store, opened) = (Arc::clone(&self.store), self.opened.clone());
        let pieces = stream::iter(pieces).map(move |piece| {
            at += piece.len() as u64;
            match lie {
                _ if store.version() != opened => Err(io::ErrorKind::StaleNetworkFileHandle.into()),
                Lie::Breaks if at > MIB => Err(io::ErrorKind::NetworkDown.into()),
                Lie::Silent => Err(io::ErrorKind::NetworkDown.into()),
                _ => Ok(piece),
            }
        });
        pieces.boxed()
    }
}

fn content(stage: &Stage, seed: &str, size: u64) -> Vec<u8> {
    let path = stage.path(seed);
    crate::video::write(&path, size, seed.len() as u64);
    fs::read(path).unwrap()
}

fn job(object: Object) -> Job {
    let job = Job::media(object).account("lena", TOKEN);
    job.chunk_size(CHUNK).patience(Duration::from_secs(2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_one_draft_with_and_without_a_ledger_whoever_has_it() {
    for ledger in [Ledger::On, Ledger::Off] {
        let stage = Stage::new(&[], &[]);
        let bytes = content(&stage, "clip.mp4", 3 * CHUNK + 7);
        let (store, engine) = (Store::of(bytes), stage.engine());
        for outcome in [Outcome::Delivered, Outcome::AlreadyDelivered] {
            let draft = engine.upload(job(store.open()).ledger(ledger)).await;
            assert_eq!(draft.expect("a draft").outcome, outcome);
        }
        stage.assert_one_draft_of(&stage.path("clip.mp4"));
        assert!(
            stage.emulator.review().is_empty(),
            "{:?}",
            stage.emulator.review()
        );
        let records = engine.records().await.unwrap();
        assert_eq!(records[0].name(), "store/lena/clip.mp4");
        // The same bytes from another place.
        if ledger == Ledger::On {
            let file = Job::file(stage.path("clip.mp4")).account("lena", TOKEN);
            let draft = engine.upload(file).await.expect("the same draft");
            assert_eq!(draft.outcome, Outcome::AlreadyDelivered);
        }
    }
}

/// Uploads the object until a chunk is confirmed, and stops.
async fn begin(engine: &Engine, store: &Arc<Store>) {
    let mut handle = engine.upload(job(store.open()));
    until_confirmed(&mut handle, CHUNK).await;
    drop(handle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_an_object_goes_on_where_it_was_stopped() {
    let stage = Stage::new(&[], &[]);
    let store = Store::of(content(&stage, "clip.mp4", 4 * CHUNK));
    let slow = stage.options().bandwidth(CHUNK).open().unwrap();
    begin(&slow, &store).await;
    let id = slow.records().await.unwrap().remove(0).id;
    let error = slow
        .resume(&id, Account::new("lena", TOKEN))
        .await
        .expect_err("no object");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(
        error
            .to_string()
            .contains("only the program that opened it"),
        "{error}"
    );
    drop(slow);
    let engine = stage.engine();
    engine.upload(job(store.open())).await.expect("a draft");
    let session = stage.assert_one_draft_of(&stage.path("clip.mp4"));
    assert_eq!(stage.log().sessions.len(), 1);
    let sent: u64 = session.puts.iter().map(|put| put.bytes).sum();
    assert!(sent < 6 * CHUNK, "{:?}", session.puts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_replaced_in_mid_upload_is_never_mixed_and_the_new_one_is_sent() {
    for ledger in [Ledger::On, Ledger::Off] {
        let stage = Stage::new(&[], &[]);
        let store = Store::of(content(&stage, "first", 4 * CHUNK));
        let slow = stage.options().bandwidth(2 * CHUNK).open().unwrap();
        let mut handle = slow.upload(job(store.open()).ledger(ledger));
        until_confirmed(&mut handle, CHUNK).await;
        store.replace(content(&stage, "a second one", 4 * CHUNK));
        let error = handle.await.expect_err("it was replaced");
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
        assert!(error.to_string().contains("its version"), "{error}");
        assert_eq!(stage.log().drafts, 0);
        drop(slow);
        let engine = stage.engine();
        let draft = engine.upload(job(store.open()).ledger(ledger)).await;
        assert_eq!(draft.expect("a draft").outcome, Outcome::Delivered);
        stage.assert_one_draft_of(&stage.path("a second one"));
        // The first one again: another video than the one that was delivered.
        store.replace(content(&stage, "first", 4 * CHUNK));
        let draft = engine.upload(job(store.open()).ledger(ledger)).await;
        assert_eq!(draft.expect("a draft").outcome, Outcome::Delivered);
        assert_eq!(stage.log().drafts, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_was_replaced_between_two_runs_is_another_video() {
    let stage = Stage::new(&[], &[]);
    let store = Store::of(content(&stage, "first", 4 * CHUNK));
    let slow = stage.options().bandwidth(CHUNK).open().unwrap();
    begin(&slow, &store).await;
    drop(slow);
    store.replace(content(&stage, "a second one", 4 * CHUNK));
    let engine = stage.engine();
    let error = engine
        .upload(job(store.open()))
        .await
        .expect_err("bytes of the first are at the service");
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
    engine.upload(job(store.open())).await.expect("a draft");
    stage.assert_one_draft_of(&stage.path("a second one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_gives_too_few_or_too_many_bytes_is_not_completed() {
    for (lie, kind) in [
        (Lie::Short, ErrorKind::SourceChanged),
        (Lie::Long, ErrorKind::Source),
        (Lie::Silent, ErrorKind::Temporary),
    ] {
        let stage = Stage::new(&[], &[]);
        let store = Store::of(content(&stage, "clip.mp4", 4 * CHUNK));
        *store.lie.lock().unwrap() = lie;
        let engine = stage.engine();
        let error = engine.upload(job(store.open())).await.expect_err("a lie");
        assert_eq!(error.kind(), kind, "{lie:?}: {error}");
        assert_eq!(stage.log().drafts, 0);
        *store.lie.lock().unwrap() = Lie::None;
        engine.upload(job(store.open())).await.expect("a draft");
        stage.assert_one_draft_of(&stage.path("clip.mp4"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_breaks_is_begun_again_and_no_byte_is_sent_twice() {
    let stage = Stage::new(&[], &[]);
    let store = Store::of(content(&stage, "clip.mp4", 4 * CHUNK));
    *store.lie.lock().unwrap() = Lie::Breaks;
    let draft = stage.engine().upload(job(store.open())).await;
    assert_eq!(draft.expect("a draft").outcome, Outcome::Delivered);
    let session = stage.assert_one_draft_of(&stage.path("clip.mp4"));
    let sent: u64 = session.puts.iter().map(|put| put.bytes).sum();
    assert_eq!(sent, 4 * CHUNK);
}

#[tokio::test]
async fn an_object_that_is_no_video_or_too_large_is_refused_before_any_request() {
    let stage = Stage::new(&[], &[]);
    let engine = stage.engine();
    let error = engine.upload(job(Store::of(vec![7; 4096]).open())).await;
    let error = error.expect_err("no video");
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().starts_with("clip.mp4: "), "{error}");
    let mut large = Store::of(vec![7; 4096]).open();
    large.opened.size = 4_294_967_297;
    let error = engine.upload(job(large)).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Source);
    let empty = engine.upload(job(Store::of(Vec::new()).open())).await;
    assert_eq!(empty.expect_err("empty").kind(), ErrorKind::Source);
    assert_eq!(stage.log().requests.init, 0);
}
