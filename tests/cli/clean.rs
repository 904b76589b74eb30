//! An upload in which nothing goes wrong costs nothing that it need not cost.

use crate::scene::{CHUNK, Scene, Start};
use crate::{alter, support};

#[test]
fn a_clean_upload_uses_one_connection_and_sends_no_byte_twice_however_it_reads() {
    let scene = Scene::new(&[], &[]);
    let (size, chunks) = (12 * CHUNK + 5, 12);
    let file = scene.path("clip.mp4");
    alter::write_sparse(&file, size);
    let ways: [&[&str]; 4] = [
        &[],
        &["--no-ledger"],
        &["--read", "map"],
        &["--read", "map", "--no-ledger"],
    ];
    let ca = scene.path("ca.pem");
    let ca = ca.to_str().unwrap();
    for (serve, trust) in [(&[][..], &[][..]), (&["--tls", ca], &["--ca-file", ca])] {
        for way in ways {
            // One for each, as it counts connections from its start.
            let sink =
                support::emulator([&["--sink", "--set", "processing_time=0s"], serve].concat());
            let ended = scene
                .upload(&file, way)
                .args(["--api-base", sink.url()])
                .args(trust)
                .env("CHUNKFERRY_STATE_DIR", scene.path(&sink.url()[8..]))
                .end()
                .expect(0);
            assert_eq!(ended.outcome()["bytes_resent"], 0, "{way:?}");
            let log = sink.client().log().unwrap();
            assert_eq!(log.connections, 1, "{serve:?} {way:?}");
            assert_eq!((log.inits, log.drafts), (1, 1));
            let puts = &log.sessions[0].puts;
            assert_eq!(puts.len(), chunks);
            let mut next = 0;
            for put in puts {
                assert_eq!(put.first, Some(next), "{way:?}: {puts:?}");
                next += put.bytes;
                assert_eq!(put.last, Some(next - 1), "{way:?}: {puts:?}");
            }
            assert_eq!(next, size);
        }
    }
}
