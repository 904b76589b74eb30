//! Errors about an object in a bucket.

use std::fmt;

use super::{Error, ErrorKind, Remedy, Who};
use crate::secret::escaped::Escaped;

/// The store states nothing that would show that the object was replaced.
#[derive(Debug, thiserror::Error)]
#[error("no strong validator")]
struct NoStrongValidator;

impl Error {
    /// An object that cannot be opened.
    pub(crate) fn bucket(kind: ErrorKind, address: &str, why: impl fmt::Display) -> Self {
        let remedies = match kind {
            ErrorKind::Temporary => vec![Remedy::RepeatLater],
            ErrorKind::NeedsPerson => vec![Remedy::RepeatAfterFix],
            _ => Vec::new(),
        };
        let address = Escaped::new(address);
        let message = format!("{address} cannot be opened: {why}. Nothing was sent.");
        Self::new(kind, Who::You, message).helped_by(remedies)
    }

    /// An object whose store refuses in mid-upload. The upload keeps its place.
    pub(crate) fn bucket_refuses(address: &str, why: impl fmt::Display) -> Self {
        let message = format!("{} cannot be read: {why}", Escaped::new(address));
        Self::new(ErrorKind::NeedsPerson, Who::You, message).helped_by([Remedy::RepeatAfterFix])
    }

    /// The object can be read, but not as one version of it: [`lacks_validator`](Self::lacks_validator).
    pub(crate) fn no_strong_validator(address: &str, why: &str) -> Self {
        let why = format!(
            "{why}, so it has no strong validator: nothing would show that another object takes its place while it is sent"
        );
        Self::bucket(ErrorKind::Source, address, why).with_source(NoStrongValidator)
    }

    /// Whether the object could be sent from a copy of it.
    pub(crate) fn lacks_validator(&self) -> bool {
        let source = self.0.source.as_deref();
        source.is_some_and(|source| source.is::<NoStrongValidator>())
    }
}
