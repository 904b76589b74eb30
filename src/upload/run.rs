//! The state of one run, which the journal does not keep.

use std::time::Duration;

use super::pace::Pace;
use crate::answer::{Call, Failure, Refusal};
use crate::error::remedy::Remedy;
use crate::tiktok::hosts::BadHost;
use crate::upload::reconcile::Reading;
use crate::upload::retry::{Failures, PATIENCE, Waits};

/// The state of this run only. A row from disk starts with a fresh one: in doubt, and with full budgets.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) in_doubt: bool,
    pub(crate) doubt: Doubt,
    /// Whether bytes of the next chunk may be at the service or on their way: an earlier process may have sent some.
    pub(crate) due_left: bool,
    /// Whether the withheld bytes wait for their release: the row is sealed, and the last chunk is in flight.
    pub(crate) at_gate: bool,
    /// The service has only this many of the chunks that it acknowledged: send the rest again.
    pub(crate) rewind: Option<u32>,
    pub(crate) rewinds: u32,
    /// How often the upload host has refused the next chunk although its URL cannot have expired.
    pub(crate) barred: u32,
    /// How often the service has acknowledged the last chunk of a video that it does not have completely.
    pub(crate) swallowed: u32,
    /// The fail reason that status named for a video still in processing.
    pub(crate) remark: Option<String>,
    /// The service has the chunk in flight, whose answer was lost: hash it from the file and count it.
    pub(crate) adopt: bool,
    /// No step happens before this time, on the clock that counts from boot.
    pub(crate) not_before: Option<Duration>,
    /// Failed attempts at the next init or chunk; a confirmed chunk ends them.
    pub(crate) failed: Failures,
    /// Status calls without an answer.
    pub(crate) unanswered: Failures,
    /// Whether the intent of an init is recorded, but not yet its answer or failure.
    pub(crate) init_begun: bool,
    /// Whether the last init certainly did not reach the service.
    pub(crate) init_never_left: bool,
    /// What the last request waited for in vain.
    pub(crate) lack: Option<Lack>,
    pub(crate) polls: u32,
    pub(crate) processing_since: Option<Duration>,
    pub(crate) pace: Pace,
    /// Bytes of a URL that the service has fetched, by its own count.
    pub(crate) fetched: u64,
    pub(crate) lost_inits: u32,
    pub(crate) lost_sessions: u32,
    /// Ends this run; the row stays as it is.
    pub(crate) stop: Option<Stop>,
    pub(crate) limits: RunLimits,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            in_doubt: true,
            doubt: Doubt::default(),
            due_left: true,
            at_gate: false,
            rewind: None,
            rewinds: 0,
            barred: 0,
            swallowed: 0,
            remark: None,
            adopt: false,
            not_before: None,
            failed: Failures::default(),
            unanswered: Failures::default(),
            init_begun: false,
            init_never_left: false,
            lack: None,
            polls: 0,
            processing_since: None,
            pace: Pace::default(),
            fetched: 0,
            lost_inits: 0,
            lost_sessions: 0,
            stop: None,
            limits: RunLimits::default(),
        }
    }
}

/// What the last request lacked and may get later by itself; with the reason as text.
#[derive(Debug, Clone)]
pub(crate) enum Lack {
    Connection {
        /// Whether the connection was for a chunk.
        of_chunks: bool,
        why: String,
    },
    Token {
        why: String,
    },
}

impl Lack {
    /// What a call with this failure lacked.
    pub(super) fn of(call: Call, failure: &Failure) -> Option<Self> {
        match failure {
            Failure::NotSent(why) => Some(Self::Connection {
                of_chunks: call == Call::Put,
                why: why.clone(),
            }),
            Failure::Token(error) if error.is_temporary() => Some(Self::Token {
                why: error.to_string(),
            }),
            _ => None,
        }
    }
}

/// The limits that the caller sets for this run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    /// How long the service may process the video after sealing.
    pub(crate) processing: Duration,
    /// How long failures may last before the run ends.
    pub(crate) patience: Duration,
    /// Whether the run ends once everything is acknowledged.
    pub(crate) hand_over: bool,
    /// Whether the forecast considers the limit of the rate.
    pub(crate) forecast: bool,
    /// Most bytes per second, if the forecast considers them.
    pub(crate) bandwidth: Option<u64>,
}

impl RunLimits {
    /// The same at this limit of the rate, in bytes per second.
    pub(crate) fn held_to(self, bandwidth: Option<u64>) -> Self {
        Self {
            bandwidth: bandwidth.filter(|_| self.forecast),
            ..self
        }
    }
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            processing: Waits::DEFAULT.processing,
            patience: PATIENCE,
            hand_over: false,
            forecast: true,
            bandwidth: None,
        }
    }
}

/// The service's answers since the journal and the service last agreed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doubt {
    pub(crate) readings: Vec<Reading>,
    pub(crate) asked: u32,
    /// The next chunk was answered 416.
    pub(crate) refused: bool,
    /// The URL was answered 403, 404 or 405.
    pub(crate) dead: bool,
}

/// Why a run ends before its upload has ended.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// The service refused a call.
    Refused(Call, Refusal),
    /// The token belongs to another creator.
    ForeignToken,
    /// The service rejected the video for a reason that can be cured.
    Failed { publish_id: String, reason: String },
    /// A budget is spent.
    Spent(String),
    /// There was no token; with the reason as text.
    NoToken(String, Vec<Remedy>),
    /// The certificate of a server is not trusted; with the text of TLS.
    Untrusted(String),
    /// The upload host is not allowed.
    Host(BadHost),
}
