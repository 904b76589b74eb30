//! The end of a request: an answer, or none.

use std::time::Duration;

use axum::response::Response;

/// What the connection does after a request was handled.
pub(crate) enum Reply {
    Answer(Response),
    /// Resets the connection.
    Reset,
    /// Sends nothing until the client leaves.
    Silence,
}

/// How long a connection without an answer is kept.
pub(crate) const SILENCE: Duration = Duration::from_secs(3600);

impl Reply {
    /// The status of the answer; `None` without one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(response) => Some(response.status().as_u16()),
            Self::Reset | Self::Silence => None,
        }
    }
}
