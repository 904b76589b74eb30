use super::*;

mod boxes;
mod ebml;
mod ends;
mod formats;
mod headers;
mod lists;

/// Recognise bytes as a file that ends with them.
fn look(bytes: &[u8]) -> Result<Container, Unfit> {
    look_at(bytes, bytes.len() as u64)
}

/// Recognise a file of `size` bytes that begins with `bytes`; beyond them are zeros.
fn look_at(bytes: &[u8], size: u64) -> Result<Container, Unfit> {
    let read = |buf: &mut [u8], at| sparse(bytes, size, buf, at);
    recognise_with(&read, size, PATIENCE).map(|found| found.container)
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

/// An index that lists tracks of these kinds.
fn index(handlers: &[&[u8; 4]]) -> Vec<u8> {
    let track = |kind: &&[u8; 4]| {
        let hdlr = [[0; 8].as_slice(), kind.as_slice(), &[0; 13]].concat();
        let mdia = [boxed(b"mdhd", &[0; 24]), boxed(b"hdlr", &hdlr)].concat();
        boxed(
            b"trak",
            &[boxed(b"tkhd", &[7; 84]), boxed(b"mdia", &mdia)].concat(),
        )
    };
    let tracks = handlers.iter().flat_map(track);
    boxed(
        b"moov",
        &boxed(b"mvhd", &[7; 100])
            .into_iter()
            .chain(tracks)
            .collect::<Vec<u8>>(),
    )
}

fn moov() -> Vec<u8> {
    index(&[b"soun", b"vide"])
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

/// `mp4` in fragments, without the index that closes them.
fn fragmented() -> Vec<u8> {
    let fragment = [boxed(b"moof", &[1; 90]), mdat()].concat();
    let start = [ftyp(&[b"iso5", b"iso6"]), moov(), boxed(b"sidx", &[0; 30])].concat();
    [start, fragment.clone(), fragment].concat()
}

const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75];
const TRACKS: &[u8] = &[0x16, 0x54, 0xAE, 0x6B];
/// A size that is not known.
const LIVE: &[u8] = &[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

fn ebml_header(doc_type: &[u8]) -> Vec<u8> {
    let version = element(&[0x42, 0x86], &[1]);
    let header = [version, element(&[0x42, 0x82], doc_type)].concat();
    element(&[0x1A, 0x45, 0xDF, 0xA3], &header)
}

/// `Tracks` with a track of each of these types.
fn tracks(types: &[u8]) -> Vec<u8> {
    let entry = |kind: &u8| {
        element(
            &[0xAE],
            &[element(&[0xD7], &[1]), element(&[0x83], &[*kind])].concat(),
        )
    };
    element(TRACKS, &types.iter().flat_map(entry).collect::<Vec<u8>>())
}

/// The data of a cluster with this many blocks.
fn blocks(count: usize) -> Vec<u8> {
    let block = element(&[0xA3], &[9; 100]);
    [element(&[0xE7], &[0]), block.repeat(count)].concat()
}

/// An EBML header and a Segment of unknown size, as a live recorder writes them.
fn ebml(doc_type: &[u8]) -> Vec<u8> {
    let header = ebml_header(doc_type);
    let cluster = [CLUSTER, LIVE, &blocks(3)].concat();
    [&header, SEGMENT, LIVE, &tracks(&[2, 1]), &cluster, &cluster].concat()
}

/// The same with all sizes known, as most programs write them.
fn webm() -> Vec<u8> {
    let known = |id: &[u8], data: &[u8]| {
        let size = (1_u64 << 56 | data.len() as u64).to_be_bytes();
        [id, size.as_slice(), data].concat()
    };
    let cluster = known(CLUSTER, &blocks(3));
    let cues = element(&[0x1C, 0x53, 0xBB, 0x6B], &[1; 20]);
    let segment = [tracks(&[2, 1]), cluster.clone(), cluster, cues].concat();
    [ebml_header(b"webm"), known(SEGMENT, &segment)].concat()
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
fn damage_in_any_byte_never_panics() {
    for whole in [
        mp4(),
        fragmented(),
        webm(),
        ebml(b"webm"),
        ebml(b"matroska"),
    ] {
        for at in 0..whole.len().min(600) {
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
