//! The library against a service that goes wrong in every way it is known to.

#![cfg(feature = "emulator")]

#[cfg(feature = "object-store")]
mod buckets;
mod creator;
#[cfg(all(target_os = "linux", feature = "cli", debug_assertions))]
mod drops;
mod faults;
mod load;
mod media;
mod queue;
#[cfg(all(target_os = "linux", feature = "cli", debug_assertions))]
mod queue_kills;
mod ranges;
#[cfg(all(target_os = "linux", feature = "cli", debug_assertions))]
mod service;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod surface;

use support::video;
