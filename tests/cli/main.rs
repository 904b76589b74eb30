//! The command as people and programs run it: the real binary, real kills, and an emulator as the witness.

#![cfg(all(unix, feature = "cli"))]

mod alter;
mod bench;
#[cfg(feature = "object-store")]
mod buckets;
mod changes;
mod clean;
mod config;
mod containers;
mod contract;
mod creator;
mod damage;
mod disk;
#[cfg(feature = "service")]
mod docs;
mod doctor;
#[cfg(debug_assertions)]
mod echo;
mod examples;
#[cfg(target_os = "linux")]
mod fuse;
mod gateways;
#[cfg(feature = "service")]
mod habits;
#[cfg(feature = "service")]
mod handover;
#[cfg(feature = "service")]
mod image;
mod input;
mod kills;
mod line;
mod listing;
mod lock;
mod login;
mod logs;
mod man;
mod manifest;
mod many;
mod map;
mod messages;
mod mount;
mod network;
#[cfg(target_os = "linux")]
mod network_fs;
mod nginx;
mod night;
mod outside;
#[cfg(feature = "service")]
mod package;
mod page;
mod pending;
mod provider;
mod proxy;
mod pull;
mod queue;
mod rate;
mod remote;
mod rogue;
mod same;
mod scarce;
mod scene;
mod sealed;
mod secrets;
#[cfg(feature = "service")]
mod serve;
#[cfg(feature = "service")]
mod serve_api;
#[cfg(feature = "service")]
mod serve_clients;
#[cfg(feature = "service")]
mod serve_door;
#[cfg(feature = "service")]
mod serve_metrics;
#[cfg(feature = "service")]
mod serve_notify;
#[cfg(feature = "service")]
mod serve_sources;
mod several;
mod standstill;
mod stdin;
#[cfg(feature = "service")]
mod stored;
#[path = "../support/mod.rs"]
mod support;
mod surroundings;
mod swallower;
mod terminal;
mod times;
mod tokens;
mod usage;
#[cfg(feature = "service")]
mod watch;
mod wire;
mod writers;

use support::{browser, host, video};
