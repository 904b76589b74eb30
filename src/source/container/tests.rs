use std::{cell::Cell, io::Write};

use super::*;

/// Recognise bytes as a file that ends with them.
fn look(bytes: &[u8]) -> Result<Container, Unfit> {
    look_at(bytes, bytes.len() as u64)
}

/// Recognise a file of `size` bytes that begins with `bytes`; beyond them are zeros.
fn look_at(bytes: &[u8], size: u64) -> Result<Container, Unfit> {
    recognise_with(&|buf, at| sparse(bytes, size, buf, at), size).map(|found| found.container)
}

fn sparse(bytes: &[u8], size: u64, buf: &mut [u8], at: u64) -> io::Result<()> {
    assert!(at + buf.len() as u64 <= size, "read past the end, at {at}");
    buf.fill(0);
    let bytes = usize::try_from(at)
        .ok()
        .and_then(|at| bytes.get(at..))
        .unwrap_or_default();
    let there = bytes.len().min(buf.len());
    buf[..there].copy_from_slice(&bytes[..there]);
    Ok(())
}

/// A box: length, kind, payload.
fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u32).to_be_bytes();
    [&length, kind.as_slice(), payload].concat()
}

/// A box with its length in 64 bits.
fn long_box(kind: &[u8; 4], length: u64) -> Vec<u8> {
    [&[0, 0, 0, 1], kind.as_slice(), &length.to_be_bytes()].concat()
}

/// `ftyp` with this major brand, some minor version, and these compatible brands.
fn ftyp(brands: &[&[u8; 4]]) -> Vec<u8> {
    let mut payload = brands[0].to_vec();
    payload.extend([0, 0, 2, 0]);
    payload.extend(brands[1..].iter().copied().flatten());
    boxed(b"ftyp", &payload)
}

fn moov() -> Vec<u8> {
    boxed(b"moov", &[7; 200])
}

fn mdat() -> Vec<u8> {
    boxed(b"mdat", &[9; 3000])
}

fn mp4() -> Vec<u8> {
    [
        ftyp(&[b"isom", b"iso2", b"avc1", b"mp41"]),
        moov(),
        boxed(b"free", b""),
        mdat(),
    ]
    .concat()
}

/// An EBML element with an ID of up to four bytes and a size of one.
fn element(id: &[u8], data: &[u8]) -> Vec<u8> {
    [id, &[0x80 | data.len() as u8], data].concat()
}

/// An EBML header and a Segment of unknown size, as a live recorder writes them.
fn ebml(doc_type: &[u8]) -> Vec<u8> {
    let version = element(&[0x42, 0x86], &[1]);
    let header = [version, element(&[0x42, 0x82], doc_type)].concat();
    let segment = [
        0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    ];
    [
        element(&[0x1A, 0x45, 0xDF, 0xA3], &header),
        segment.to_vec(),
        vec![5; 600],
    ]
    .concat()
}

#[track_caller]
fn takes(container: Container, bytes: &[u8]) {
    match look(bytes) {
        Ok(found) => assert_eq!(found, container),
        Err(unfit) => panic!("{unfit}"),
    }
}

#[track_caller]
fn says(bytes: &[u8], what: &str) -> Unfit {
    let unfit = look(bytes).unwrap_err();
    assert!(
        unfit.to_string().contains(what),
        "{what:?} is not in {:?}",
        unfit.to_string()
    );
    unfit
}

#[track_caller]
fn lacks(bytes: &[u8], gap: Gap) {
    match look(bytes).unwrap_err() {
        Unfit::Unfinished { gap: found, .. } => assert_eq!(found, gap),
        other => panic!("{other}"),
    }
}

#[test]
fn index_first_last_or_in_fragments_is_all_mp4() {
    takes(Container::Mp4, &mp4());
    takes(
        Container::Mp4,
        &[ftyp(&[b"mp42", b"isom"]), mdat(), moov()].concat(),
    );
    let fragment = [boxed(b"moof", &[1; 90]), mdat()].concat();
    let start = [ftyp(&[b"iso5", b"iso6"]), moov(), boxed(b"sidx", &[0; 30])].concat();
    takes(
        Container::Mp4,
        &[start, fragment.clone(), fragment].concat(),
    );
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
        b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"junk", b"udta",
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
        (b"M4A ", "M4A"),
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
fn what_a_camera_appends_does_not_spoil_a_whole_file() {
    for trailer in [
        vec![0; 3],
        vec![0; 5000],
        vec![0xFE; 5000],
        b"\0\0\0\x02free".to_vec(),
        vec![1],
    ] {
        takes(Container::Mp4, &[mp4(), trailer].concat());
    }
    let unknown = boxed(b"sefd", &[1; 40]);
    takes(Container::Mp4, &[mp4(), unknown].concat());
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

#[test]
fn a_file_of_empty_boxes_cannot_keep_us_reading() {
    let reads = Cell::new(0);
    let empty = |buf: &mut [u8], at: u64| {
        reads.set(reads.get() + 1);
        for (at, byte) in (at..).zip(buf) {
            *byte = b"\0\0\0\x08free"[(at % 8) as usize];
        }
        Ok(())
    };
    assert!(recognise_with(&empty, 1 << 40).is_err());
    assert!(reads.get() <= MOST_BOXES + 1);
}

#[test]
fn no_payload_is_read() {
    let start = [ftyp(&[b"mp42"]), moov(), long_box(b"mdat", 5 << 30)].concat();
    let read_bytes = Cell::new(0);
    let read = |buf: &mut [u8], at: u64| {
        read_bytes.set(read_bytes.get() + buf.len());
        sparse(&start, 6 << 30, buf, at)
    };
    recognise_with(&read, 6 << 30).unwrap();
    assert_eq!(
        read_bytes.get(),
        512 + 4 * 16,
        "the probe, three boxes, and the zeros behind them"
    );
}

#[test]
fn damage_in_any_byte_never_panics() {
    for whole in [mp4(), ebml(b"webm"), ebml(b"matroska")] {
        for at in 0..whole.len().min(400) {
            for value in [0, 1, 8, 0x40, 0x7F, 0x80, 0xFE, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Err(unfit) = look(&bytes) {
                    let _ = (unfit.to_string(), unfit.advice("clip.mp4"));
                }
            }
        }
        for end in 0..whole.len() {
            let _ = look(&whole[..end]);
        }
    }
}

#[test]
fn matroska_is_told_from_webm_by_its_doc_type() {
    takes(Container::WebM, &ebml(b"webm"));
    takes(Container::WebM, &ebml(b"webm\0\0"));
    let unfit = says(
        &ebml(b"matroska"),
        "this is Matroska (MKV); TikTok takes MP4, MOV and WebM",
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
    let mut bytes = ebml(b"webm");
    let segment = bytes.len() - 600;
    bytes[segment - 8..segment].copy_from_slice(&[0x01, 0, 0, 0, 0, 0, 0x02, 0x58]);
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
    lacks(&bytes[..segment - 12], Gap::NoMedia);
}

#[test]
fn a_file_that_is_no_video_is_called_what_it_is() {
    let packets = |first: usize, step: usize| {
        let mut bytes = vec![0xAA; 1000];
        bytes
            .iter_mut()
            .skip(first)
            .step_by(step)
            .for_each(|byte| *byte = b'G');
        bytes
    };
    for (bytes, name) in [
        (b"RIFF\x10\0\0\0AVI LIST".to_vec(), "AVI"),
        (b"RIFF\x10\0\0\0WAVEfmt ".to_vec(), "WAV"),
        (b"RIFF\x10\0\0\0WEBPVP8 ".to_vec(), "WebP"),
        (packets(0, 188), "transport stream"),
        (packets(4, 192), "transport stream"),
        (b"FLV\x01\x05\0\0\0\x09".to_vec(), "FLV"),
        (b"OggS\0\x02\0\0\0\0".to_vec(), "Ogg"),
        (b"GIF89a\x40\x01\xF0\0".to_vec(), "GIF"),
        (b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR".to_vec(), "PNG"),
        (b"\xFF\xD8\xFF\xE0\0\x10JFIF".to_vec(), "JPEG"),
        (b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "ZIP"),
        (b"\0\0\0\x0CjP  \r\n\x87\n".to_vec(), "JPEG 2000"),
        (b"ID3\x04\0\0\0\0\0\x23".to_vec(), "MP3"),
        (b"\xFF\xFB\x50\xC4\0\0\0\0".to_vec(), "MP3"),
        (b"\xFF\xF1\x50\x80\x04\x3F\xFC\xDE".to_vec(), "AAC"),
        (b"\xEF\xBB\xBF\n <!DOCTYPE HTML><html>".to_vec(), "web page"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n".to_vec(), "playlist"),
        (b"{\"error\":\"not found\"}".to_vec(), "text"),
        (b"The free encyclopedia".to_vec(), "text"),
        (
            ["ü".repeat(400), "é".to_owned()].concat().into_bytes(),
            "text",
        ),
        (vec![0; 9000], "zeros"),
        (b"ftyp".to_vec(), "too short"),
        (vec![], "too short"),
        (vec![0xA7; 900], "not a kind of video known here"),
    ] {
        let unfit = says(&bytes, name);
        assert!(matches!(unfit, Unfit::Foreign(_)), "{unfit}");
        assert!(unfit.advice("clip").is_some());
    }
}

#[test]
fn the_command_can_be_pasted_whatever_the_name() {
    let unfit = look(&ebml(b"matroska")).unwrap_err();
    for (name, command) in [
        ("clip.mkv", "ffmpeg -i clip.mkv -c copy clip.mp4"),
        (
            "out/día 1.mkv",
            "ffmpeg -i 'out/día 1.mkv' -c copy 'out/día 1.mp4'",
        ),
        ("it's.mkv", r"ffmpeg -i 'it'\''s.mkv' -c copy 'it'\''s.mp4'"),
        (
            "$(rm x).mkv",
            "ffmpeg -i '$(rm x).mkv' -c copy '$(rm x).mp4'",
        ),
        // An option, a URL, and a control sequence to whoever reads them so.
        ("-y.mkv", "ffmpeg -i ./-y.mkv -c copy ./-y.mp4"),
        ("20:15.mkv", "ffmpeg -i ./20:15.mkv -c copy ./20:15.mp4"),
        (
            "a\x1B[2J.mkv",
            "ffmpeg -i 'a\u{fffd}[2J.mkv' -c copy 'a\u{fffd}[2J.mp4'",
        ),
        // ffmpeg cannot write over what it reads.
        ("clip.mp4", "ffmpeg -i clip.mp4 -c copy clip.new.mp4"),
        ("CLIP.MP4", "ffmpeg -i CLIP.MP4 -c copy CLIP.new.mp4"),
        ("", "ffmpeg -i '' -c copy ''"),
    ] {
        if cfg!(unix) {
            assert_eq!(unfit.advice(name).unwrap(), format!("Try: {command}"));
        }
    }
}

#[test]
fn a_file_that_shrinks_meanwhile_is_an_error_of_reading() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&mp4()).unwrap();
    let size = mp4().len() as u64;
    assert_eq!(recognise(&file, size).unwrap().container, Container::Mp4);
    file.set_len(300).unwrap();
    assert!(matches!(recognise(&file, size), Err(Unfit::Io(_))));
}
