//! Where an MP4 ends, and what may come behind it.

use super::*;

#[test]
fn what_is_appended_to_a_whole_file_does_not_spoil_it() {
    for trailer in [
        vec![0; 3],
        vec![0; 5000],
        vec![0; 500_000],
        vec![0xFE; 5000],
        vec![b' '; 5000],
        b"\0\0\0\x02free".to_vec(),
        vec![1],
        boxed(b"sefd", &[1; 40]),
        // Four bytes of length and four letters, to a walk that takes everything for a box.
        b"APETAGEX\xD0\x07\0\0".to_vec(),
        b"TAGA free song of the day".to_vec(),
        b"\r\n--boundary--\r\n".to_vec(),
        b"{\"ok\":true}\n".to_vec(),
        b"<html><body>Downloaded".to_vec(),
    ] {
        for whole in [
            mp4(),
            [ftyp(&[b"qt  "]), mdat(), moov()].concat(),
            [fragmented(), boxed(b"mfra", &[0; 50])].concat(),
        ] {
            let container = look(&whole).unwrap();
            takes(container, &[whole, trailer.clone()].concat());
        }
    }
}

#[test]
fn a_known_box_that_is_cut_off_is_no_trailer() {
    for kind in [b"moof", b"mdat", b"free", b"uuid", b"meta", b"mfra"] {
        let mut whole = [fragmented(), boxed(kind, &[1; 40])].concat();
        whole.pop();
        let part = String::from_utf8_lossy(kind);
        says(&whole, &format!("1 byte of its `{part}` part is missing"));
    }
    let long = long_box(b"mdat", 5000);
    says(
        &[fragmented(), long[..12].to_vec()].concat(),
        "4 bytes of its `mdat` part are missing",
    );
}

#[test]
fn a_trailer_where_the_index_belongs_is_not_taken_for_one() {
    let tag = b"APETAGEX\xD0\x07\0\0".to_vec();
    lacks(
        &[ftyp(&[b"isom"]), mdat(), tag.clone()].concat(),
        Gap::NoMoov,
    );
    lacks(&[ftyp(&[b"isom"]), moov(), tag].concat(), Gap::NoMedia);
}

#[test]
fn an_end_that_is_not_recorded_is_open() {
    let endless = [&[0, 0, 0, 0], b"mdat".as_slice(), &[9; 500]].concat();
    let closed = [fragmented(), boxed(b"mfra", &[0; 50])].concat();
    for (bytes, open) in [
        (mp4(), false),
        (fragmented(), true),
        (closed, false),
        ([ftyp(&[b"isom"]), moov(), endless].concat(), true),
    ] {
        let size = bytes.len() as u64;
        let read = |buf: &mut [u8], at| sparse(&bytes, size, buf, at);
        let found = recognise_with(&read, size, PATIENCE).unwrap();
        assert_eq!(found.open_ended, open);
    }
}

#[test]
fn an_open_end_of_zeros_was_never_written() {
    let padded = |zeros| [fragmented(), vec![0; zeros]].concat();
    takes(Container::Mp4, &padded(10_240));
    let at = fragmented().len() as u64;
    lacks(&padded(PADDING as usize + 1), Gap::Zeros { at });
    // With its end stated, or something behind them, they are padding.
    let closed = [fragmented(), boxed(b"mfra", &[0; 50]), vec![0; 1 << 20]].concat();
    takes(Container::Mp4, &closed);
    takes(
        Container::Mp4,
        &[padded(1 << 20), b"the end".to_vec()].concat(),
    );
}
