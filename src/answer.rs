//! What the service says, in words. `tiktok` makes them out of HTTP and JSON; nothing else of the library knows either.

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
    /// Whose the token is.
    Creator,
    /// Of the token endpoint: a code or a refresh token for a pair of tokens.
    Token,
    /// Of the token endpoint: the app's access to a creator is taken back.
    Revoke,
    /// Not of the API: a look at the URL that it is to fetch.
    Look,
}

impl Call {
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

/// An init was accepted.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) publish_id: String,
    /// Where the chunks go; none follow a pull.
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

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) said: Said,
    /// How many bytes of the video the service says it has: a count or a last index, it does not say which.
    pub(crate) progress: Option<u64>,
    /// How long the service asks to wait before the next request.
    pub(crate) wait: Option<Duration>,
}

/// The answer to a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The service has the chunk.
    Accepted,
    /// A success that no document lists; in words. Status decides whether the chunk arrived.
    Unclear(String),
    /// The service expects other bytes.
    OtherRange,
    /// The upload URL has expired.
    Expired,
    /// No upload waits at this URL any more.
    Gone,
    /// Too many requests.
    Busy,
    /// A fault of the service or of a gateway, in words: the chunk may have arrived.
    Faulty(String),
}

/// What status says of an upload.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) stage: Stage,
    /// The stage in the service's own word.
    pub(crate) word: String,
    /// Why the upload failed or, beside a video in work, may fail.
    pub(crate) fail_reason: Option<String>,
    /// A count by the documents; only ever one witness of several.
    pub(crate) uploaded_bytes: Option<u64>,
    /// Of a pull.
    pub(crate) downloaded_bytes: Option<u64>,
}

/// Where the service says an upload stands.
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
    /// The service's own word; a status of HTTP, as `http_403`, where it had none.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) log_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) http_status: u16,
}

impl Refusal {
    /// The log_id in the form in which messages show it to people.
    pub(crate) fn support(&self) -> String {
        let log_id = self.log_id.as_ref();
        log_id.map_or(String::new(), |log_id| format!(" [log_id {log_id}]"))
    }
}

/// What a refusal means, as far as anything here depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Another token may help.
    InvalidToken,
    /// The refresh token or the code is not valid, or not any more.
    InvalidGrant,
    /// The creator did not grant the app what the call needs.
    MissingScope,
    /// The token is another creator's than the one this upload belongs to.
    ForeignToken,
    /// No such upload is known (any more).
    UnknownUpload,
    /// As many drafts of the creator wait as may.
    PendingCap,
    /// As many posts of the creator, or of the app, as go into a day.
    DailyLimit,
    /// The creator may not post.
    Banned,
    /// The request breaks a rule.
    InvalidRequest,
    /// None of these.
    Other,
}

/// How a call can come to nothing; decides whether it may be repeated.
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
    /// A fault of the service or of a gateway: what became of the request is open.
    #[error("{} ({})", .0.code, .0.http_status)]
    Faulty(Refusal),
    /// Too many requests within a minute: nothing came of this one.
    #[error("{} ({})", .0.code, .0.http_status)]
    Busy(Refusal),
    /// The service said no.
    #[error("refused")]
    Refused(Refusal),
    /// Our own file could not be read on.
    #[error("cannot read the file on")]
    Source(#[source] io::Error),
    /// There was no token to send.
    #[error("no access token: {0}")]
    Token(TokenError),
    /// The URL the service gave for the chunks is not one we send bytes to.
    #[error("upload host refused: {0}")]
    Host(BadHost),
}

impl Failure {
    /// Whether the service refused the call, and meant this.
    pub(crate) fn means(&self, meaning: Meaning) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning == meaning)
    }

    /// Whether nothing of the request can have reached the service.
    pub(crate) const fn never_left(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::Untrusted(_) | Self::Token(_))
    }
}
