//! What one run knows of an upload, and the journal does not.

use std::time::Duration;

use super::pace::Pace;
use crate::answer::{Call, Failure, Refusal};
use crate::tiktok::hosts::BadHost;
use crate::upload::reconcile::Reading;
use crate::upload::retry::{Failures, PATIENCE, Waits};

/// What only this run knows. A row read back from disk starts with a fresh one: in doubt, and with full budgets.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) in_doubt: bool,
    pub(crate) doubt: Doubt,
    /// Whether bytes of the chunk that is due may be on their way or there: an earlier process may have sent some.
    pub(crate) due_left: bool,
    /// Whether the last bytes of the video wait to be released: the row is sealed, and their chunk is in flight.
    pub(crate) at_gate: bool,
    /// The service has lost all but this many chunks that it had acknowledged: they are sent again from there.
    pub(crate) rewind: Option<u32>,
    pub(crate) rewinds: u32,
    /// How often an upload host has refused the chunk that is due, by a URL that cannot have expired.
    pub(crate) barred: u32,
    /// How often the service has acknowledged the last chunk of a video that it does not have to its end.
    pub(crate) swallowed: u32,
    /// The reason that status gave beside a video that it still works on.
    pub(crate) remark: Option<String>,
    /// The service has the chunk in flight though its answer was lost: read it from the file and count it.
    pub(crate) adopt: bool,
    /// Nothing is done before this, on the clock that counts from boot.
    pub(crate) not_before: Option<Duration>,
    /// At the init or the chunk that is due; a confirmed chunk ends them.
    pub(crate) failed: Failures,
    /// Questions for the status that were not answered.
    pub(crate) unanswered: Failures,
    /// Whether the intent of an init is recorded and its answer, or its failure, not taken in.
    pub(crate) init_begun: bool,
    /// Whether nothing of the last init that was begun can have reached the service.
    pub(crate) init_never_left: bool,
    /// What the last request has waited for in vain.
    pub(crate) lack: Option<Lack>,
    pub(crate) polls: u32,
    pub(crate) processing_since: Option<Duration>,
    pub(crate) pace: Pace,
    /// Bytes the service says it has fetched from a URL.
    pub(crate) fetched: u64,
    pub(crate) lost_inits: u32,
    pub(crate) lost_sessions: u32,
    /// This run is over, and the row stays as it is.
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

/// What may come later by itself, and without which no request leaves; why it is missing, in words.
#[derive(Debug, Clone)]
pub(crate) enum Lack {
    Connection {
        /// Whether it was one for a chunk.
        of_chunks: bool,
        why: String,
    },
    Token {
        why: String,
    },
}

impl Lack {
    /// What a call lacked that failed like this.
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

/// What the caller of this run asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    /// How long status may stay "working" after sealing.
    pub(crate) processing: Duration,
    /// How long nothing may come through before the run ends.
    pub(crate) patience: Duration,
    /// Whether the run ends when everything is acknowledged.
    pub(crate) hand_over: bool,
    /// Bytes per second that may leave, where the forecast is to mind them.
    pub(crate) bandwidth: Option<u64>,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            processing: Waits::DEFAULT.processing,
            patience: PATIENCE,
            hand_over: false,
            bandwidth: None,
        }
    }
}

/// What was said since the journal and the service were last known to agree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doubt {
    pub(crate) readings: Vec<Reading>,
    pub(crate) asked: u32,
    /// The next chunk was answered 416.
    pub(crate) refused: bool,
    /// The URL was answered 403, 404 or 405.
    pub(crate) dead: bool,
}

/// Why a run ends without the upload having ended.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// The service refused a call.
    Refused(Call, Refusal),
    /// The token names another creator.
    ForeignToken,
    /// The service gave the video up for a reason that can be cured.
    Failed { publish_id: String, reason: String },
    /// A budget is used up.
    Spent(String),
    /// There was no token; why, in words.
    NoToken(String),
    /// The certificate of a server is not trusted; in the words of TLS.
    Untrusted(String),
    /// The upload host is not one we send to.
    Host(BadHost),
}
