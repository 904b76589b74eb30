//! How a request ends: with an answer, or without one.

use std::time::Duration;

use axum::response::Response;

/// What its connection does once a request was handled.
pub(crate) enum Reply {
    Answer(Response),
    /// The connection is reset.
    Reset,
    /// Nothing happens any more until the client leaves.
    Silence,
}

/// How long a connection is kept that will never be answered.
pub(crate) const SILENCE: Duration = Duration::from_secs(3600);

impl Reply {
    /// The status of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(response) => Some(response.status().as_u16()),
            Self::Reset | Self::Silence => None,
        }
    }
}
