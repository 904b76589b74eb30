//! The emulator over the wire: plain sockets, no client of ours.

#![cfg(feature = "emulator")]

mod bounds;
mod client;
mod command;
mod conformance;
mod consent;
mod control;
mod cors;
mod faults;
mod hosts;
mod inbox;
mod isolation;
mod load;
mod page;
mod pictures;
mod reach;
mod recipes;
mod review;
mod sink;
mod suites;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod transfer;
mod videos;
mod webhooks;

use support::browser;
