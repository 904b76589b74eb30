//! The bytes of a video: its identity, reading ranges in pieces, and proof that the bytes sent are unchanged.

mod ahead;
pub(crate) mod beneath;
#[cfg(feature = "object-store")]
pub(crate) mod bucket;
mod completeness;
mod container;
mod file;
mod file_system;
pub(crate) mod https;
mod identity;
#[cfg(target_os = "linux")]
mod lease;
mod map;
pub mod media;
mod object;
mod open_video;
mod ranges;
mod read;
mod writer;

pub(crate) use ahead::{Ahead, LAST_PIECE, Piece, Share, WITHHELD};
pub use completeness::{Completeness, completeness};
#[cfg(fuzzing)]
pub(crate) use container::recognise_with;
pub(crate) use container::{Container, Unfit, check_start};
pub(crate) use file::{LocalFile, Opening};
pub(crate) use object::{Access, Object};
pub(crate) use open_video::{OpenVideo, Proof, Version, prove};
pub(crate) use read::Pool;
pub use read::ReadMode;
pub(crate) use writer::Finished;

use std::io;
use std::path::Path;

use file_system::FileSystem;

use crate::error::Error;

/// The error for a file that cannot be read. A disk says EIO for good; another machine that does not answer is said to be one, too.
fn unreadable(path: &Path, on: FileSystem, error: io::Error) -> Error {
    match on == FileSystem::Remote && error.raw_os_error() == Some(libc::EIO) {
        true => Error::not_now(&crate::error::name(path), error),
        false => Error::unreadable(path, error),
    }
}

/// The error for a video that is not sent, with what helps.
fn unfit(path: &Path, why: Unfit) -> Error {
    match why {
        Unfit::Io(error) => Error::unreadable(path, error),
        why => {
            let advice = why.advice(&crate::error::name(path)).unwrap_or_default();
            Error::unfit(path, format_args!("{why}. {advice}"))
        }
    }
}

#[cfg(test)]
mod tests;
