//! What several test crates share. Each of them uses a part of it.

#![allow(dead_code, reason = "each test crate uses a part")]

pub(crate) mod browser;
pub(crate) mod host;
pub(crate) mod liar;
pub(crate) mod video;

/// An emulator in a process of its own, with these arguments: its memory and CPU time do not count among those of the test.
#[cfg(all(unix, feature = "cli"))]
pub(crate) fn emulator<A: AsRef<std::ffi::OsStr>>(
    args: impl IntoIterator<Item = A>,
) -> chunkferry::emulator::Process {
    chunkferry::emulator::Process::start(env!("CARGO_BIN_EXE_chunkferry"), args).unwrap()
}
