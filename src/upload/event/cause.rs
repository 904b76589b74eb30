//! Why an upload waits, retries, or begins a new session: values that can be counted, with a text for people.

use std::fmt;
use std::time::Duration;

use crate::tiktok::limits::INITS_A_MINUTE;

/// Why nothing can be sent before a wait is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitCause {
    /// The account's inits of the last minute have reached the service's limit.
    InitWindow {
        /// The account's name, [`Escaped`](crate::Escaped).
        account: String,
    },
}

impl WaitCause {
    /// One lower-case word that stays the same, for metrics and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InitWindow { .. } => "init_window",
        }
    }
}

impl fmt::Display for WaitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InitWindow { account } => {
                write!(
                    f,
                    "the service takes {INITS_A_MINUTE} inits a minute for {account}"
                )
            }
        }
    }
}

/// Why a request is sent again after a wait.
///
/// Its texts come from the operating system, a [`TokenSource`](crate::TokenSource) or the service, and are
/// [`Escaped`](crate::Escaped).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryCause {
    /// No connection was made: no byte of the request has left.
    NoConnection {
        /// Why no connection was made.
        why: String,
    },
    /// The request may have arrived; its answer did not, or cannot be read.
    NoAnswer {
        /// What arrived in place of an answer.
        why: String,
    },
    /// There was no access token to send.
    NoToken {
        /// The error of the token source.
        why: String,
    },
    /// An error of the service or of a gateway.
    Fault {
        /// The code or the HTTP status.
        answer: String,
    },
    /// An answer that no document lists; status decides what follows.
    Unclear {
        /// The HTTP status.
        answer: String,
    },
    /// An init may have made a session, and its answer was lost.
    InitUnanswered {
        /// What arrived in place of an answer.
        why: String,
    },
    /// The account has reached the service's limit of inits in a minute.
    InitLimit,
    /// The account has reached the service's limit of status calls in a minute.
    StatusLimit,
    /// The upload host is busy.
    HostBusy,
    /// The service expects another range than this chunk's.
    OtherRange,
    /// The upload host refuses the chunk with 403, but its URL cannot have expired yet.
    UrlRefused {
        /// Age of the URL.
        age: Duration,
    },
}

impl RetryCause {
    /// All words of [`as_str`](Self::as_str).
    pub(crate) const WORDS: [&'static str; 11] = [
        "no_connection",
        "no_answer",
        "no_token",
        "fault",
        "unclear",
        "init_unanswered",
        "init_limit",
        "status_limit",
        "host_busy",
        "other_range",
        "url_refused",
    ];

    /// One lower-case word that stays the same, for metrics and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoConnection { .. } => "no_connection",
            Self::NoAnswer { .. } => "no_answer",
            Self::NoToken { .. } => "no_token",
            Self::Fault { .. } => "fault",
            Self::Unclear { .. } => "unclear",
            Self::InitUnanswered { .. } => "init_unanswered",
            Self::InitLimit => "init_limit",
            Self::StatusLimit => "status_limit",
            Self::HostBusy => "host_busy",
            Self::OtherRange => "other_range",
            Self::UrlRefused { .. } => "url_refused",
        }
    }
}

impl fmt::Display for RetryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection { why } => write!(f, "no connection: {why}"),
            Self::NoAnswer { why } => write!(f, "no answer: {why}"),
            Self::NoToken { why } => write!(f, "no access token: {why}"),
            Self::Fault { answer } | Self::Unclear { answer } => f.write_str(answer),
            Self::InitUnanswered { why } => write!(f, "init was not answered: {why}"),
            Self::InitLimit => f.write_str("the service's limit of inits a minute"),
            Self::StatusLimit => f.write_str("the service's limit of status questions a minute"),
            Self::HostBusy => f.write_str("the upload host is busy"),
            Self::OtherRange => f.write_str("the service expects another range"),
            Self::UrlRefused { age } => write!(
                f,
                "the upload host refuses the chunk (403), by a URL that is {} s old",
                age.as_secs()
            ),
        }
    }
}

/// Why a session cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossCause {
    /// The URL's hour is over, by the clock of this machine.
    HourOver,
    /// The URL expires before the next chunk can arrive.
    HourTooShort,
    /// The upload host says that the URL has expired (403).
    UrlExpired,
    /// The upload host does not know the URL any more (401, 404, 405, 410).
    UrlGone,
    /// The upload host refuses each chunk (403), but the URL cannot have expired yet.
    UrlRefused,
    /// The service reports more bytes than were sent.
    MoreThanSent,
    /// The service has lost bytes that it had acknowledged.
    BytesLost,
    /// The service has lost acknowledged bytes again and again.
    BytesLostAgain,
    /// The service has only part of a chunk.
    InsideChunk,
    /// The service refuses the next chunk and does not report its progress.
    Silent,
    /// The last chunk did not arrive, and its URL accepts nothing more.
    LastChunkLost,
    /// The service no longer knows the upload.
    Forgotten,
    /// The service failed internally.
    Internal,
    /// The file was touched after a chunk was sent whose answer was lost: the bytes of that chunk are not known.
    Touched,
    /// The journal and the service disagree, and no chunk is left to send.
    NothingToSend,
}

impl LossCause {
    /// One lower-case word that stays the same, for metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HourOver => "hour_over",
            Self::HourTooShort => "hour_too_short",
            Self::UrlExpired => "url_expired",
            Self::UrlGone => "url_gone",
            Self::UrlRefused => "url_refused",
            Self::MoreThanSent => "more_than_sent",
            Self::BytesLost => "bytes_lost",
            Self::BytesLostAgain => "bytes_lost_again",
            Self::InsideChunk => "inside_chunk",
            Self::Silent => "silent",
            Self::LastChunkLost => "last_chunk_lost",
            Self::Forgotten => "forgotten",
            Self::Internal => "internal",
            Self::Touched => "touched",
            Self::NothingToSend => "nothing_to_send",
        }
    }
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HourOver => "its URL has lived its hour",
            Self::HourTooShort => "its URL expires before the next chunk can arrive",
            Self::UrlExpired => "its URL has expired",
            Self::UrlGone => "its URL is gone",
            Self::UrlRefused => "its URL is refused (403), and is too young to have expired",
            Self::MoreThanSent => "the service says it has more bytes than were sent",
            Self::BytesLost => "the service has lost bytes it had acknowledged",
            Self::BytesLostAgain => "the service keeps losing bytes that it had acknowledged",
            Self::InsideChunk => "the service has only part of a chunk",
            Self::Silent => "the service refuses the next chunk and does not say how much it has",
            Self::LastChunkLost => "the last chunk did not arrive and its URL takes no more",
            Self::Forgotten => "the service no longer knows it",
            Self::Internal => "a part of the service was down (internal)",
            Self::Touched => {
                "a chunk whose answer was lost cannot be proven: the file was touched since"
            }
            Self::NothingToSend => {
                "the journal and the service disagree, and no chunk is left to send"
            }
        })
    }
}
