//! Why a command fails.

use chunkferry::{Error, ErrorKind};

use super::exit::Exit;
use super::message;

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
    /// What is wrong one by one, where it is several things; each is a line.
    pub(super) details: Vec<String>,
    /// The library's error, if it caused the failure.
    pub(super) error: Option<Box<Error>>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            details: Vec::new(),
            error: None,
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::of(ErrorKind::Usage), message)
    }

    pub(super) fn temporary(message: impl Into<String>) -> Self {
        Self::new(Exit::of(ErrorKind::Temporary), message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            exit: Exit::of(error.kind()),
            message: message::message(&error),
            details: Vec::new(),
            error: Some(Box::new(error)),
        }
    }
}
