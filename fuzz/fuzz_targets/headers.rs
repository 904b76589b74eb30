//! Whatever a header says of progress or of a wait.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &str)| {
    let (video_size, text) = input;
    chunkferry::fuzz::headers(text, video_size);
});
