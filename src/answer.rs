//! The service's answers as values. `tiktok` makes them from HTTP and JSON, which the rest of the library never sees.

use std::io;
use std::time::Duration;

use crate::account::TokenError;
use crate::secret::Secret;
use crate::tiktok::hosts::BadHost;

/// A call of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Init,
    Put,
    Status,
    Cancel,
    /// The question which creator a token belongs to.
    Creator,
    /// Of the token endpoint: a code or a refresh token for a pair of tokens.
    Token,
    /// Of the token endpoint: the app's access to a creator is taken back.
    Revoke,
    /// Not a call of the API: the preflight of a URL that the service is to fetch.
    Look,
}

impl Call {
    /// All calls, each at the place of its own number.
    pub(crate) const ALL: [Self; 8] = [
        Self::Init,
        Self::Put,
        Self::Status,
        Self::Cancel,
        Self::Creator,
        Self::Token,
        Self::Revoke,
        Self::Look,
    ];

    /// One lower-case word that stays the same, for metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Put => "put",
            Self::Status => "status",
            Self::Cancel => "cancel",
            Self::Creator => "user_info",
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::Look => "preflight",
        }
    }

    /// As people read it, and as the wire log has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Put => "chunk PUT",
            Self::Status => "status",
            Self::Cancel => "cancel",
            Self::Creator => "user info",
            Self::Token => "token request",
            Self::Revoke => "revocation",
            Self::Look => "preflight",
        }
    }
}

/// The answer to an accepted init.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) publish_id: String,
    /// The URL for the chunks; `None` for a pull.
    pub(crate) upload_url: Option<Secret>,
}

/// A pair of tokens, as the service gives it out.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) access: Secret,
    /// From when it was given out.
    pub(crate) access_lives: Duration,
    pub(crate) refresh: Secret,
    /// From when it was given out.
    pub(crate) refresh_lives: Duration,
    /// The creator, as this app knows it.
    pub(crate) open_id: String,
    /// What the creator granted, separated by commas.
    pub(crate) scopes: String,
}

/// The answer to a chunk, with what its headers add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) said: Said,
    /// Bytes of the video that the service has, by its own report: a count or a last index, which of them is unknown.
    pub(crate) progress: Option<u64>,
    /// The wait that the service asks for before the next request.
    pub(crate) wait: Option<Duration>,
}

/// The answer to a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The service has the chunk.
    Accepted,
    /// A success that no document lists, as text. Status decides whether the chunk arrived.
    Unclear(String),
    /// The service expects another range.
    OtherRange,
    /// The upload URL has expired.
    Expired,
    /// There is no upload at this URL any more.
    Gone,
    /// Too many requests.
    Busy,
    /// An error of the service or of a gateway, as text: the chunk may have arrived.
    Faulty(String),
}

/// The answer to a status call.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) stage: Stage,
    /// The service's word for the stage.
    pub(crate) word: String,
    /// Why the upload failed, or why a video still in processing may fail.
    pub(crate) fail_reason: Option<String>,
    /// A count of bytes by the documents; one of several sources.
    pub(crate) uploaded_bytes: Option<u64>,
    /// Bytes that a pull has fetched.
    pub(crate) downloaded_bytes: Option<u64>,
}

/// The stage of an upload, by the service's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Working,
    Inbox,
    Published,
    Failed,
}

/// An error that the service stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) meaning: Meaning,
    /// The service's code; the HTTP status, as in `http_403`, if it sent none.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) log_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) http_status: u16,
}

impl Refusal {
    /// The log_id in the form that messages use.
    pub(crate) fn support(&self) -> String {
        let log_id = self.log_id.as_ref();
        log_id.map_or(String::new(), |log_id| format!(" [log_id {log_id}]"))
    }
}

/// The meaning of a refusal, as far as this library acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Another token may help.
    InvalidToken,
    /// The refresh token or the code is not valid, or not any more.
    InvalidGrant,
    /// The creator did not grant the app the scope that the call needs.
    MissingScope,
    /// The token belongs to another creator than this upload.
    ForeignToken,
    /// The service does not know the upload, or no longer.
    UnknownUpload,
    /// The creator has the most drafts that may wait.
    PendingCap,
    /// The creator, or the app, has made the most posts of a day.
    DailyLimit,
    /// The creator may not post.
    Banned,
    /// The request breaks a rule.
    InvalidRequest,
    /// None of these.
    Other,
}

/// Why a call failed; decides whether it may be repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection was made: nothing reached the service.
    #[error("no connection: {0}")]
    NotSent(String),
    /// No connection was made, because the server's certificate is not trusted.
    #[error("no connection: {0}")]
    Untrusted(String),
    /// The request may have arrived; its answer did not, or cannot be read.
    #[error("no answer: {0}")]
    Lost(String),
    /// An error of the service or of a gateway: the request may have had its effect.
    #[error("{} ({})", .0.code, .0.http_status)]
    Faulty(Refusal),
    /// Too many requests within a minute: this one had no effect.
    #[error("{} ({})", .0.code, .0.http_status)]
    Busy(Refusal),
    /// The service refused the request.
    #[error("refused")]
    Refused(Refusal),
    /// A read of the local file failed.
    #[error("cannot read the file on")]
    Source(#[source] io::Error),
    /// There was no token.
    #[error("no access token: {0}")]
    Token(TokenError),
    /// The service's URL for the chunks has a host that gets no bytes.
    #[error("upload host refused: {0}")]
    Host(BadHost),
}

impl Failure {
    /// Whether the service refused the call with this meaning.
    pub(crate) fn means(&self, meaning: Meaning) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning == meaning)
    }

    /// Whether the request certainly did not reach the service.
    pub(crate) const fn never_left(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::Untrusted(_) | Self::Token(_))
    }
}
