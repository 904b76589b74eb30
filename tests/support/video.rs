//! Sample videos: the boxes of a finished MP4, and bytes that never repeat.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// The boxes before `mdat`: brands, and an index that lists one video track.
pub(crate) const START: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42\
    \0\0\0\x39moov\0\0\0\x31trak\0\0\0\x29mdia\0\0\0\x21hdlr\0\0\0\0\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Bytes before the payload of `mdat`.
const HEAD: u64 = START.len() as u64 + 8;

pub(crate) fn head(size: u64) -> Vec<u8> {
    let mut head = START.to_vec();
    let mdat = u32::try_from(size - HEAD + 8).expect("below 4 GiB");
    head.extend_from_slice(&mdat.to_be_bytes());
    head.extend_from_slice(b"mdat");
    head
}

/// Writes a video of exactly `size` bytes whose payload follows from `seed`.
pub(crate) fn write(path: &Path, size: u64, seed: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(&head(size)).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut left, mut buffer) = (size - HEAD, vec![0; 1 << 20]);
    while left > 0 {
        let piece = &mut buffer[..left.min(1 << 20) as usize];
        random.fill(piece);
        file.write_all(piece).unwrap();
        left -= piece.len() as u64;
    }
    file.flush().unwrap();
}

pub(crate) fn sha256(path: &Path) -> String {
    let (mut file, mut hasher, mut buffer) =
        (File::open(path).unwrap(), Sha256::new(), vec![0; 1 << 18]);
    file.seek(SeekFrom::Start(0)).unwrap();
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hex::encode(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
