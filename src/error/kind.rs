//! The kinds of errors and who can act: the values that the service's codes are sorted into.

/// The kind of an [`Error`](crate::Error), for decisions of the caller; the command's exit codes follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The service refused the video or the request; the same call again ends the same way.
    Refused,
    /// An argument or a setting is not usable.
    Usage,
    /// The file, or the content of the URL, is missing, unreadable, empty, too large or not a finished video. Nothing
    /// was posted.
    Source,
    /// The file changed while it was sent. Nothing was posted; the same call sends the file as it is now.
    SourceChanged,
    /// A person must act first: no token or a refused one, a certificate that is not trusted, a missing scope, a ban,
    /// the creator's pending drafts.
    NeedsPerson,
    /// There may be a draft. Only the user can decide to send the video again.
    Unknown,
    /// Temporary: the same call later continues where this one stopped.
    Temporary,
    /// Another process holds the state directory; the same call works once that process has ended.
    Locked,
    /// The caller cancelled; the same call continues.
    Cancelled,
}

impl ErrorKind {
    /// All words of [`as_str`](Self::as_str).
    pub(crate) const WORDS: [&'static str; 8] = [
        "refused",
        "usage",
        "source",
        "source_changed",
        "needs_person",
        "unknown",
        "temporary",
        "cancelled",
    ];

    /// One lower-case word that stays the same, for metrics and JSON. [`Locked`](Self::Locked) is `temporary`, too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Source => "source",
            Self::SourceChanged => "source_changed",
            Self::NeedsPerson => "needs_person",
            Self::Unknown => "unknown",
            Self::Temporary | Self::Locked => "temporary",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The one who can take the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Who {
    /// The user who runs the upload.
    You,
    /// The owner of the TikTok account.
    Creator,
    /// The developer of the registered TikTok app.
    Developer,
    /// TikTok; everyone else can only wait.
    Service,
}

impl Who {
    /// One lower-case word, as in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::You => "you",
            Self::Creator => "creator",
            Self::Developer => "developer",
            Self::Service => "service",
        }
    }
}
