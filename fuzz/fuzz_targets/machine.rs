//! Whatever the service does: progress never falls but with its session, nothing passes what was sent, no init follows
//! unasked on bytes that may complete the video, and every path ends.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|whims: &[u8]| {
    chunkferry::fuzz::machine(whims);
});
