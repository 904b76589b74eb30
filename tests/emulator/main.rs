//! The emulator over the wire: plain sockets, no client of ours.

#![cfg(feature = "emulator")]

mod client;
mod conformance;
mod faults;
mod inbox;
mod transfer;
