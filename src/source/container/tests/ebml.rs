//! WebM and its kin.

use super::*;

#[test]
fn matroska_is_told_from_webm_by_its_doc_type() {
    takes(Container::WebM, &ebml(b"webm"));
    takes(Container::WebM, &ebml(b"webm\0\0"));
    let unfit = says(
        &ebml(b"matroska"),
        "this is Matroska (MKV); the service takes MP4, MOV and WebM",
    );
    assert_eq!(
        unfit.advice("clip.mkv").unwrap(),
        "Try: ffmpeg -i clip.mkv -c copy clip.mp4"
    );
    for other in [b"".as_slice(), b"webmaster", b"WEBM"] {
        says(&ebml(other), "EBML");
    }
    says(b"\x1A\x45\xDF\xA3", "too short");
    says(b"\x1A\x45\xDF\xA3\xFF\x42\x82\x84webm", "EBML");
}

#[test]
fn a_webm_cut_within_its_segment_is_unfinished() {
    let mut bytes = webm();
    takes(Container::WebM, &bytes);
    bytes.truncate(bytes.len() - 100);
    lacks(
        &bytes,
        Gap::Cut {
            part: "Segment".to_owned(),
            missing: 100,
            index: true,
        },
    );
    lacks(&bytes[..ebml_header(b"webm").len()], Gap::NoMedia);
}

#[test]
fn a_live_webm_cut_within_a_block_is_unfinished() {
    let whole = ebml(b"webm");
    takes(Container::WebM, &whole);
    says(
        &whole[..whole.len() - 30],
        "this WebM is unfinished: 30 bytes of its `SimpleBlock` part are missing",
    );
    takes(Container::WebM, &whole[..whole.len() - 102]);
}

#[test]
fn a_head_without_media_is_no_video() {
    let start = [&ebml_header(b"webm"), SEGMENT, LIVE].concat();
    lacks(&start, Gap::NoMedia);
    lacks(&[&start, tracks(&[1]).as_slice()].concat(), Gap::NoMedia);
    let empty = [&start, &tracks(&[1]), CLUSTER, LIVE, &blocks(0)].concat();
    lacks(&empty, Gap::NoMedia);
    let known = [&ebml_header(b"webm"), SEGMENT, &[0x80]].concat();
    lacks(&[known, vec![0; 3000]].concat(), Gap::NoMedia);
}

#[test]
fn a_head_with_garbage_behind_it_is_no_video() {
    let header = ebml_header(b"webm");
    let at = header.len() as u64;
    lacks(
        &[&header, [0xFE; 900].as_slice()].concat(),
        Gap::Garbled { at },
    );
    lacks(&[&header, [0; 900].as_slice()].concat(), Gap::Zeros { at });
    let start = [&header, SEGMENT, LIVE, &tracks(&[1])].concat();
    let at = start.len() as u64;
    lacks(
        &[&start, [0xFE; 900].as_slice()].concat(),
        Gap::Garbled { at },
    );
    lacks(&[&start, [0; 900].as_slice()].concat(), Gap::Zeros { at });
}

#[test]
fn the_tail_of_a_webm_must_not_be_zeros() {
    let whole = webm();
    // In the cues, in the last cluster, between the clusters, before the tracks.
    for (kept, at) in [
        (whole.len() - 20, None),
        (whole.len() - 130, Some(whole.len() - 130)),
        (whole.len() - 340, Some(whole.len() - 340)),
        (
            ebml_header(b"webm").len() + 12,
            Some(ebml_header(b"webm").len() + 12),
        ),
    ] {
        let mut zeroed = whole.clone();
        zeroed[kept..].fill(0);
        match (look(&zeroed), at) {
            (Ok(_), None) => {}
            (
                Err(Unfit::Unfinished {
                    gap: Gap::Zeros { at: found },
                    ..
                }),
                Some(at),
            ) => {
                assert!(found.abs_diff(at as u64) < 110, "{found} for {at}");
            }
            (other, _) => panic!("{kept}: {other:?}"),
        }
    }
    let live = ebml(b"webm");
    takes(Container::WebM, &[live.clone(), vec![0; 10_240]].concat());
    let at = live.len() as u64;
    lacks(&[live, vec![0; 100_000]].concat(), Gap::Zeros { at });
}

#[test]
fn what_is_appended_to_a_whole_webm_does_not_spoil_it() {
    for trailer in [
        b"APETAGEX\xD0\x07\0\0".as_slice(),
        b"\r\n--boundary--\r\n",
        b"{\"ok\":true}\n",
        b"\n",
        b"<html><body>Downloaded",
        b"TAGsong",
        &[0xFF; 900],
        &[0; 900],
    ] {
        takes(Container::WebM, &[&webm(), trailer].concat());
        takes(Container::WebM, &[&ebml(b"webm"), trailer].concat());
    }
}

#[test]
fn a_webm_without_a_video_track_is_no_video() {
    let with = |tracks: &[u8]| {
        [
            &ebml_header(b"webm"),
            SEGMENT,
            LIVE,
            tracks,
            CLUSTER,
            LIVE,
            &blocks(2),
        ]
        .concat()
    };
    takes(Container::WebM, &with(&tracks(&[1])));
    says(&with(&tracks(&[2])), "sound without pictures (WebM)");
    for none in [tracks(&[]), tracks(&[17]), vec![]] {
        lacks(&with(&none), Gap::NoTrack { part: "Tracks" });
    }
}
