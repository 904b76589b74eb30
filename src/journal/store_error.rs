//! How a store fails.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Remedy};

/// Why a store did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another owner has the row of this id. Nothing was changed, and the caller must send nothing more for it.
    #[error("another owner has taken over the upload {0}")]
    Fenced(String),
    /// The lease of another owner on this upload lasts for so long, unless that is renewed.
    #[error("another owner carries the upload {id}")]
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "only a store that several processes share holds a row for another"
        )
    )]
    Held { id: String, ends_in: Duration },
    /// There is no row of this id: somebody forgot the upload.
    #[error("there is no upload {0}")]
    Gone(String),
    /// The upload of this id has ended, and the line that says how is missing or was changed.
    #[error("the end of the upload {0} is no longer recorded")]
    NoLongerTold(String),
    /// The store cannot be reached, read or written now. Nothing is known of the step: it may have been done.
    #[error("the journal cannot be used: {what}")]
    Unavailable { what: String, source: Cause },
    /// What is stored cannot be understood. Another try does not help until the store is mended.
    #[error("the journal is damaged: {what}")]
    Damaged { what: String, source: Cause },
}

/// What has caused an error.
type Cause = Box<dyn std::error::Error + Send + Sync>;

impl StoreError {
    pub(crate) fn unavailable(what: &str, source: impl Into<Cause>) -> Self {
        Self::Unavailable {
            what: what.to_owned(),
            source: source.into(),
        }
    }

    pub(super) fn damaged(what: &str, source: impl Into<Cause>) -> Self {
        Self::Damaged {
            what: what.to_owned(),
            source: source.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced(id) => {
                Self::temporary(format!("Another process has taken over the upload {id}."))
            }
            StoreError::Held { id, ends_in } => {
                Self::temporary(format!("Another process carries the upload {id}."))
                    .at(SystemTime::now() + ends_in)
            }
            StoreError::Gone(id) => Self::temporary(format!(
                "The upload {id} is no longer in the journal: it was forgotten."
            ))
            .helped_by([Remedy::StartOver]),
            StoreError::NoLongerTold(id) => Self::no_longer_told(&id, std::slice::from_ref(&id)),
            StoreError::Unavailable { what, source } | StoreError::Damaged { what, source } => {
                let message =
                    format!("The journal cannot be used ({what}), and nothing is sent without it");
                Self::state(message, source).helped_by([Remedy::RepeatAfterFix])
            }
        }
    }
}
