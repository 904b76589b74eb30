//! Errors about jobs of the queue.

use std::io;
use std::path::Path;

use super::{Error, Remedy};
use crate::secret::escaped::Escaped;

/// Why the queue did not accept a job whose values are all in their ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAccepted {
    /// The provider of accounts does not know the job's account.
    UnknownAccount,
    /// The file lies outside of the directory of [`Job::beneath`](crate::Job::beneath).
    OutsideRoot,
    /// No room is left for videos that are taken in: see [`Options::spool_limit`](crate::Options::spool_limit).
    SpoolFull,
    /// The caller's id belongs to another job.
    OtherWish {
        /// The id of that job.
        job: String,
        /// The first part that differs: `api_base`, `body`, `give_up`, `labels`, `options` or `source`.
        field: String,
    },
    /// The caller's id belongs to a job that is forgotten.
    Forgotten {
        /// The id that the job had.
        job: String,
    },
}

impl Error {
    /// Why [`Engine::submit`](crate::Engine::submit) did not accept a job, where that is more than a value out of its range.
    pub fn not_accepted(&self) -> Option<&NotAccepted> {
        self.0.not_accepted.as_ref()
    }

    pub(crate) fn because(mut self, not_accepted: NotAccepted) -> Self {
        self.0.not_accepted = Some(not_accepted);
        self
    }

    pub(crate) fn spool_full(limit: u64) -> Self {
        Self::temporary(format!(
            "Videos that are taken in may have {limit} bytes in all until their jobs have ended, and no room is left for this one. Nothing was accepted."
        ))
        .helped_by([Remedy::RepeatLater])
        .because(NotAccepted::SpoolFull)
    }

    /// A video that is taken in cannot be written.
    pub(crate) fn not_spooled(dir: &Path, free: Option<u64>, source: io::Error) -> Self {
        let is_full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        match (is_full, free) {
            (true, Some(free)) => Self::no_room(dir, free).with_source(source),
            (true, None) => Self::no_room(dir, 0).with_source(source),
            (false, _) => Self::temporary(format!(
                "The video cannot be kept in {}, so nothing was accepted",
                Escaped::new(&*dir.to_string_lossy())
            ))
            .with_source(source)
            .helped_by([Remedy::RepeatLater]),
        }
    }

    /// The disk has no room for a video that is taken in.
    pub(crate) fn no_room(dir: &Path, free: u64) -> Self {
        Self::temporary(format!(
            "The disk is full where the video is kept until it is sent: {free} bytes are free in {}. Nothing was accepted, and the bytes that came are removed",
            Escaped::new(&*dir.to_string_lossy())
        ))
        .helped_by([Remedy::MakeRoom, Remedy::ChangeSpoolDir])
        .because(NotAccepted::SpoolFull)
    }

    /// The directory for videos that are taken in cannot be used.
    pub(crate) fn no_spool_dir(dir: &Path, source: io::Error) -> Self {
        Self::usage(format!(
            "Videos cannot be kept in {} until they are sent",
            Escaped::new(&*dir.to_string_lossy())
        ))
        .with_source(source)
        .helped_by([Remedy::ChangeSpoolDir])
    }

    /// The same error with another name for what it is about.
    pub(crate) fn renamed(mut self, from: &str, to: &str) -> Self {
        self.0.message = self.0.message.replace(from, to);
        self
    }

    pub(crate) fn no_job(id: &str) -> Self {
        Self::usage(format!(
            "There is no job \"{}\" in the queue.",
            Escaped::new(id)
        ))
    }

    /// The caller's id belongs to a job with another wish; `field` is the first part that differs.
    pub(crate) fn other_wish(job: String, field: String) -> Self {
        Self::usage(format!(
            "The same id was given for another job ({job}), whose {field} differs. Nothing was accepted."
        ))
        .because(NotAccepted::OtherWish { job, field })
    }

    pub(crate) fn forgotten_job(job: String) -> Self {
        Self::usage(format!(
            "The same id was given for a job that is forgotten ({job}). Nothing was accepted."
        ))
        .because(NotAccepted::Forgotten { job })
    }
}
