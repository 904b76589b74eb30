//! What an error means, and who can act: the words that the codes of the service are sorted into.

/// What an [`Error`](crate::Error) means for the caller; the command's exit codes follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The service refused the video or the request; the same call again ends the same way.
    Refused,
    /// An argument or a setting is not usable.
    Usage,
    /// The file, or what lies under the URL, is missing, unreadable, empty, too large or not a finished video. Nothing
    /// was posted.
    Source,
    /// The file changed while it was being sent. Nothing was posted; the same call sends it as it is now.
    SourceChanged,
    /// A person must act first: no or a refused token, a certificate that is not trusted, a missing scope, a ban, the
    /// creator's pending drafts.
    NeedsPerson,
    /// Whether a draft exists is not known. Only the user can decide to send again.
    Unknown,
    /// Temporary: the same call later carries on where this one stopped.
    Temporary,
    /// Another process owns the state directory; the same call works when that one has ended.
    Locked,
    /// The caller cancelled; the same call carries on.
    Cancelled,
}

/// Who can make the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Who {
    /// The one who runs the upload.
    You,
    /// The owner of the TikTok account.
    Creator,
    /// The developer of the registered TikTok app.
    Developer,
    /// TikTok; waiting is all one can do.
    Service,
}

impl Who {
    /// One lower-case word, as it stands in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::You => "you",
            Self::Creator => "creator",
            Self::Developer => "developer",
            Self::Service => "service",
        }
    }
}
