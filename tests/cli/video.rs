//! Sample videos: the boxes of a finished MP4, and bytes that never repeat.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes before the payload of `mdat`.
const HEAD: u64 = 24 + 16 + 8;

fn head(size: u64) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend_from_slice(b"\0\0\0\x18ftypisom\0\0\x02\0isommp42");
    head.extend_from_slice(b"\0\0\0\x10moov12345678");
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

/// Writes a video of exactly `size` bytes that takes no room on disk.
pub(crate) fn write_sparse(path: &Path, size: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(&head(size)).unwrap();
    file.set_len(size).unwrap();
}

/// Changes one byte in place; the size stays.
pub(crate) fn edit(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
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
