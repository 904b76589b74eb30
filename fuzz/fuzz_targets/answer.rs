//! Whatever the API answers: a value or an error, and nothing in it that could draw on a terminal.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    chunkferry::fuzz::answer(bytes);
});
