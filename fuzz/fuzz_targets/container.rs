//! Whatever a file begins with: a container or a reason, and no read past its end.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (more, bytes) = input;
    chunkferry::fuzz::container(bytes, more);
});
