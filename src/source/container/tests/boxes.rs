//! MP4 and QuickTime.

use super::*;

#[test]
fn index_first_last_or_in_fragments_is_all_mp4() {
    takes(Container::Mp4, &mp4());
    takes(
        Container::Mp4,
        &[ftyp(&[b"mp42", b"isom"]), mdat(), moov()].concat(),
    );
    takes(Container::Mp4, &fragmented());
}

#[test]
fn a_quicktime_file_is_not_declared_mp4() {
    takes(
        Container::Mov,
        &[
            ftyp(&[b"qt  ", b"qt  "]),
            boxed(b"wide", b""),
            mdat(),
            moov(),
        ]
        .concat(),
    );
    takes(
        Container::Mov,
        &[ftyp(&[b"niko", b"qt  "]), moov(), mdat()].concat(),
    );
    for first in [
        b"mdat", b"wide", b"free", b"skip", b"pnot", b"junk", b"udta", b"uuid",
    ] {
        takes(
            Container::Mov,
            &[boxed(first, &[1; 12]), mdat(), moov()].concat(),
        );
    }
}

#[test]
fn an_mp4_that_quicktime_also_reads_stays_mp4() {
    takes(
        Container::Mp4,
        &[ftyp(&[b"mp42", b"isom", b"qt  "]), moov(), mdat()].concat(),
    );
    takes(
        Container::Mp4,
        &[ftyp(&[b"3gp6", b"qt  ", b"isom"]), moov(), mdat()].concat(),
    );
    takes(
        Container::Mp4,
        &[ftyp(&[b"M4V ", b"mp42"]), moov(), mdat()].concat(),
    );
}

#[test]
fn kin_of_mp4_without_video_is_not_sent() {
    for (brand, name) in [
        (b"heic", "HEIF"),
        (b"avif", "AVIF"),
        (b"crx ", "CR3"),
        (b"3gp4", "3GP"),
    ] {
        says(&[ftyp(&[brand, brand]), moov(), mdat()].concat(), name);
    }
}

#[test]
fn a_render_broken_off_at_any_byte_is_unfinished() {
    let whole = [ftyp(&[b"isom", b"mp41"]), mdat(), moov()].concat();
    for end in 8..whole.len() {
        let unfit = look(&whole[..end]).unwrap_err();
        assert!(
            matches!(unfit, Unfit::Unfinished { .. }),
            "cut at {end}: {unfit}"
        );
    }
    let fast = mp4();
    for end in 8..fast.len() {
        assert!(
            matches!(look(&fast[..end]), Err(Unfit::Unfinished { .. })),
            "cut at {end}"
        );
    }
}

#[test]
fn an_unfinished_file_says_how_much_is_missing_and_what_can_be_saved() {
    let mut cut = mp4();
    cut.truncate(cut.len() - 1000);
    let unfit = says(
        &cut,
        "this MP4 is unfinished: 1000 bytes of its `mdat` part are missing",
    );
    let advice = unfit.advice("clip.mp4").unwrap();
    assert!(
        advice.ends_with("To keep the part that is there: ffmpeg -i clip.mp4 -c copy clip.new.mp4")
    );

    let mut cut = [ftyp(&[b"isom"]), mdat(), moov()].concat();
    cut.pop();
    let unfit = says(&cut, "1 byte of its `moov` part is missing");
    assert!(
        !unfit.advice("clip.mp4").unwrap().contains("ffmpeg"),
        "without its index it cannot be mended"
    );
}

#[test]
fn a_recording_without_its_index_is_unfinished() {
    lacks(&[ftyp(&[b"isom"]), mdat()].concat(), Gap::NoMoov);
    lacks(&ftyp(&[b"isom"]), Gap::NoMoov);
    // As a recorder leaves it that lost power: the length of `mdat` would have been written at the
    // end.
    lacks(
        &[
            ftyp(&[b"qt  "]),
            vec![0, 0, 0, 0],
            b"mdat".to_vec(),
            vec![9; 3000],
        ]
        .concat(),
        Gap::NoMoov,
    );
    lacks(&[ftyp(&[b"iso5"]), moov()].concat(), Gap::NoMedia);
    // A segment of a stream is whole in itself, and yet nothing plays it.
    lacks(
        &[
            boxed(b"styp", b"msdh\0\0\0\0"),
            boxed(b"moof", &[1; 90]),
            mdat(),
        ]
        .concat(),
        Gap::NoMoov,
    );
}

#[test]
fn a_preallocated_file_with_zeros_in_place_of_the_index_is_unfinished() {
    lacks(
        &[ftyp(&[b"isom"]), mdat(), vec![0; 4000]].concat(),
        Gap::NoMoov,
    );
}

#[test]
fn boxes_beyond_four_gigabytes_are_followed() {
    const LENGTH: u64 = 5 << 30;
    let start = [ftyp(&[b"mp42"]), moov(), long_box(b"mdat", LENGTH)].concat();
    let end = start.len() as u64 - 16 + LENGTH;
    assert_eq!(look_at(&start, end).unwrap(), Container::Mp4);
    assert!(matches!(
        look_at(&start, end - 1),
        Err(Unfit::Unfinished {
            gap: Gap::Cut {
                missing: 1,
                index: true,
                ..
            },
            ..
        })
    ));
}

#[test]
fn the_last_box_may_reach_to_the_end_of_the_file() {
    let open = [&[0, 0, 0, 0], b"mdat".as_slice(), &[9; 500]].concat();
    takes(Container::Mp4, &[ftyp(&[b"isom"]), moov(), open].concat());
}

#[test]
fn an_index_that_lists_no_video_is_no_video() {
    for hollow in [
        boxed(b"moov", b""),
        boxed(b"moov", b"12345678"),
        boxed(b"moov", &boxed(b"trak", b"")),
        index(&[]),
        index(&[b"hint", b"meta"]),
    ] {
        lacks(
            &[ftyp(&[b"isom"]), hollow, mdat()].concat(),
            Gap::NoTrack { part: "moov" },
        );
    }
    for brand in [b"isom", b"mp42", b"M4A "] {
        let unfit = says(
            &[ftyp(&[brand]), index(&[b"soun"]), mdat()].concat(),
            "sound without pictures",
        );
        assert!(matches!(unfit, Unfit::Foreign(_)), "{unfit}");
    }
}

#[test]
fn media_of_no_bytes_is_missing_media() {
    for empty in [
        boxed(b"mdat", b""),
        long_box(b"mdat", 16),
        [0, 0, 0, 0, b'm', b'd', b'a', b't'].to_vec(),
    ] {
        lacks(&[ftyp(&[b"isom"]), moov(), empty].concat(), Gap::NoMedia);
    }
    takes(
        Container::Mp4,
        &[ftyp(&[b"isom"]), boxed(b"mdat", b""), mdat(), moov()].concat(),
    );
}

#[test]
fn sound_by_its_brand_with_a_video_track_is_a_video() {
    takes(
        Container::Mp4,
        &[ftyp(&[b"M4A ", b"mp42"]), moov(), mdat()].concat(),
    );
    // It may still be written, and yet sound is not waited for.
    says(&[ftyp(&[b"M4A "]), mdat()].concat(), "M4A");
    assert!(check_start(&ftyp(&[b"M4A "]), 1 << 20).is_err());
}

#[test]
fn a_compressed_index_is_believed() {
    let cmov = boxed(b"moov", &boxed(b"cmov", &boxed(b"dcom", b"zlib")));
    takes(Container::Mov, &[cmov, mdat()].concat());
}

#[test]
fn brands_count_wherever_they_come_before_the_index() {
    for first in [b"free", b"skip", b"wide", b"uuid"] {
        for length in [0, 20, 5000] {
            let start = boxed(first, &vec![1; length]);
            let isom = ftyp(&[b"isom"]);
            takes(
                Container::Mp4,
                &[start.clone(), isom, moov(), mdat()].concat(),
            );
            says(&[start, ftyp(&[b"heic"]), moov(), mdat()].concat(), "HEIF");
        }
    }
    // Another file behind this one changes nothing.
    takes(Container::Mov, &[mdat(), moov(), mp4()].concat());
}

#[test]
fn boxes_are_followed_to_the_end_however_many_there_are() {
    let frames = boxed(b"mdat", &[9; 700]).repeat(12_000);
    takes(Container::Mp4, &[ftyp(&[b"isom"]), frames, moov()].concat());
    let fragments = [boxed(b"moof", &[1; 90]), mdat()].concat().repeat(7000);
    let mut live = [ftyp(&[b"iso5"]), moov(), fragments].concat();
    takes(Container::Mp4, &live);
    live.pop();
    says(&live, "1 byte of its `mdat` part is missing");
}

#[test]
fn impossible_lengths_neither_overflow_nor_loop() {
    for length in [0, 1, 15, 16, u64::MAX, u64::MAX - 7, i64::MAX as u64] {
        for kind in [b"ftyp", b"mdat", b"moov", b"free"] {
            let bytes = [long_box(kind, length), vec![0; 40]].concat();
            assert!(look(&bytes).is_err(), "{length}");
            assert!(
                look(&[ftyp(&[b"isom"]), bytes].concat()).is_err(),
                "{length}"
            );
        }
    }
    for length in 0..8u32 {
        let bytes = [&length.to_be_bytes(), b"ftyp".as_slice(), b"isom\0\0\0\0"].concat();
        assert!(look(&bytes).is_err(), "{length}");
    }
    // Larger than any file.
    for size in [1 << 63, u64::MAX - 1, u64::MAX] {
        for length in [size - 16, size - 17, size - 20, size - 24] {
            let bytes = [ftyp(&[b"isom"]), long_box(b"mdat", length)].concat();
            assert!(look_at(&bytes, size).is_err(), "{length}");
        }
    }
}
