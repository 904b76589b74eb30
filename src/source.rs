//! The bytes of a video: its identity, reading ranges in pieces, and proof that the bytes sent are unchanged.

mod ahead;
mod container;
mod file;
mod file_system;
mod identity;
#[cfg(target_os = "linux")]
mod lease;
mod map;
mod media;
mod read;
mod writer;

pub(crate) use ahead::{Ahead, LAST_PIECE, Piece, Share, WITHHELD};
#[cfg(fuzzing)]
pub(crate) use container::recognise_with;
pub(crate) use container::{Container, Unfit, check_start};
pub(crate) use file::{LocalFile, Opening};
pub(crate) use media::{Media, Proof, Version, prove};
pub(crate) use read::Pool;
pub use read::ReadMode;
pub(crate) use writer::Finished;

#[cfg(test)]
mod tests;
