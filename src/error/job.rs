//! Errors about jobs of the queue.

use super::Error;
use crate::secret::escaped::Escaped;

impl Error {
    pub(crate) fn no_job(id: &str) -> Self {
        Self::usage(format!(
            "There is no job \"{}\" in the queue.",
            Escaped::new(id)
        ))
    }

    /// The caller's id belongs to a job with another wish; `field` is the first part that differs.
    pub(crate) fn other_wish(job: &str, field: &str) -> Self {
        Self::usage(format!(
            "The same id was given for another job ({job}), whose {field} differs. Nothing was accepted."
        ))
    }

    pub(crate) fn forgotten_job(job: &str) -> Self {
        Self::usage(format!(
            "The same id was given for a job that is forgotten ({job}). Nothing was accepted."
        ))
    }
}
