//! Whatever a fault script or a seed of chaos says: a fault, or why it is none.

#![no_main]

use chunkferry::emulator::{Chaos, Fault};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &str| {
    if let Err(error) = script.parse::<Fault>() {
        assert!(!error.to_string().is_empty());
    }
    drop(script.parse::<Chaos>());
});
