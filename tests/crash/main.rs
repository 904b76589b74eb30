//! SIGKILL of the real command at every point between a request, its answer and the journal, and at random instants,
//! under every setting and fault of the emulator; and whatever may happen to its file meanwhile. The witness is outside:
//! the emulator's log, in another process.
//!
//! A bounded part runs with all tests. The whole matrix, which also writes its page: see `docs/reliability.md`.

#![cfg(all(unix, feature = "cli", debug_assertions))]

mod act;
mod case;
mod covering;
mod matrix;
mod page;
mod pulls;
mod scene;
mod stages;
#[path = "../support/mod.rs"]
mod support;
mod switches;
mod verdict;
mod windows;

/// The failpoints of the library.
#[expect(
    dead_code,
    reason = "an upload with a token of the environment renews none"
)]
mod points {
    include!("../../src/failpoint/points.rs");
}

use support::{host, video};
