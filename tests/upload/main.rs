//! The library against a service that goes wrong in every way it is known to.

#![cfg(feature = "emulator")]

mod faults;
mod stage;
mod surface;
#[path = "../cli/video.rs"]
#[allow(dead_code, reason = "shared with the tests of the command")]
mod video;
