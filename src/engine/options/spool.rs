//! Where videos are kept that are taken in, and how many bytes of them.

use std::path::PathBuf;

use super::Options;
use crate::engine::queue::Spool;
use crate::error::Error;

/// Most bytes of videos that are taken in.
pub(super) const LIMIT: u64 = 20_000_000_000;

impl Options {
    /// Most bytes of the videos that [`Engine::take_in`](crate::Engine::take_in) keeps until their jobs have ended: 20 GB by default.
    pub const fn spool_limit(mut self, bytes: u64) -> Self {
        self.spool_limit = bytes;
        self
    }

    /// A directory for those videos, instead of the state directory: on another disk, say. It must be there, and be one that only this
    /// user (or root) can write to, or in which nobody can rename what is another's, as in `/tmp`; otherwise [`open`](Self::open)
    /// refuses it. A directory of its own is made in it for the videos of this state directory. Their jobs remember where they are: an
    /// engine that is opened without this setting, or with another directory, finds and removes them all the same.
    pub fn spool_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.spool_dir = Some(dir.into());
        self
    }

    /// Blocks.
    pub(super) fn spool(&self) -> Result<Spool, Error> {
        let home = self.state_dir.join("spool");
        match &self.spool_dir {
            None => Ok(Spool::new(&home, self.spool_limit)),
            Some(dir) => Spool::elsewhere(&home, dir, self.spool_limit),
        }
    }
}
