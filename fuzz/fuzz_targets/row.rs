//! Whatever stands in the journal: a row or none, and a row is written as it was read.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    chunkferry::fuzz::row(bytes);
});
