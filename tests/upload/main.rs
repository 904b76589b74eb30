//! The library against a service that goes wrong in every way it is known to.

#![cfg(feature = "emulator")]

mod faults;
mod load;
mod stage;
mod surface;
#[path = "../cli/video.rs"]
mod video;
