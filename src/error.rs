//! Errors: what happened, to which file, who must act, and what helps.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use crate::answer::{Call, Meaning, Refusal};
use crate::secret::escaped::Escaped;
use crate::tiktok::codes::{Code, FailReason};
use crate::tiktok::hosts::BadHost;

#[cfg(feature = "object-store")]
mod bucket;
pub(crate) mod cause;
mod file;
pub(crate) mod job;
pub(crate) mod kind;
mod login;
pub(crate) mod remedy;

pub use job::NotAccepted;
pub use kind::{ErrorKind, Who};
pub use remedy::Remedy;

/// The result of an upload that did not end in a draft.
///
/// Its `Display` is one line that says what happened, to which file or call, and what the service answered; names and
/// text from outside are [`Escaped`]. It never holds a token or an upload URL. The error of the operating system or of a
/// [`TokenSource`](crate::TokenSource) is its `source`. What helps is in its [`remedies`](Self::remedies), as values,
/// since an embedder needs other words than the command:
///
/// ```
/// use chunkferry::{Error, Remedy};
///
/// fn what_to_do(error: &Error) -> &'static str {
///     match error.remedies() {
///         [Remedy::CarryOn | Remedy::RepeatLater, ..] => "We will try again by ourselves.",
///         [Remedy::RenewToken | Remedy::Authorise, ..] => "Please connect your account again.",
///         [Remedy::PostDrafts, ..] => "Please post or delete one of your drafts first.",
///         _ => "Our team will look into it.",
///     }
/// }
/// assert_eq!(what_to_do(&Error::cancelled()), "We will try again by ourselves.");
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    who: Who,
    service: Option<Refusal>,
    retry_at: Option<SystemTime>,
    remedies: Vec<Remedy>,
    not_accepted: Option<NotAccepted>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// The kind of error, for decisions of the caller.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call can end in a draft without any other change.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Temporary
                | ErrorKind::Locked
                | ErrorKind::SourceChanged
                | ErrorKind::Cancelled
        )
    }

    /// The earliest time at which another try makes sense, if known. While too many drafts wait, it is the time when the
    /// oldest of them stops counting; a try before that makes sense once the creator has posted one.
    pub fn retry_at(&self) -> Option<SystemTime> {
        self.0.retry_at
    }

    /// The one who can take the next step.
    pub fn who_must_act(&self) -> Who {
        self.0.who
    }

    /// The service's `error.code` or `fail_reason`, if the service stated one.
    pub fn code(&self) -> Option<&str> {
        self.0.service.as_ref().map(|service| service.code.as_str())
    }

    /// The service's `log_id`, which its support asks for.
    pub fn log_id(&self) -> Option<&str> {
        self.0.service.as_ref()?.log_id.as_deref()
    }

    /// What helps, in the order in which it makes sense. Empty if only another video would help, or nothing.
    pub fn remedies(&self) -> &[Remedy] {
        &self.0.remedies
    }

    fn new(kind: ErrorKind, who: Who, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            who,
            service: None,
            retry_at: None,
            remedies: Vec::new(),
            not_accepted: None,
            source: None,
        }))
    }

    fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn helped_by(mut self, remedies: impl Into<Vec<Remedy>>) -> Self {
        self.0.remedies = remedies.into();
        self
    }

    pub(crate) fn at(mut self, retry_at: impl Into<SystemTime>) -> Self {
        self.0.retry_at = Some(retry_at.into());
        self
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, Who::You, message)
    }

    pub(crate) fn temporary(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Temporary, Who::You, message)
    }

    pub(crate) fn locked(holder: &str) -> Self {
        Self::new(
            ErrorKind::Locked,
            Who::You,
            format!("The state directory is in use by {holder}."),
        )
        .helped_by([Remedy::RepeatLater])
    }

    /// The error of a job that its caller stopped, for callers that stop a job before an engine has it.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, Who::You, "Stopped.").helped_by([Remedy::CarryOn])
    }

    /// The journal has no upload with this id for this account and API.
    pub(crate) fn not_recorded(id: &str, account: &str) -> Self {
        Self::usage(format!(
            "There is no upload \"{id}\" of the account \"{account}\" in the journal."
        ))
    }

    /// A pull that has not reached the service; only its caller has the whole URL.
    pub(crate) fn needs_its_url(id: &str) -> Self {
        Self::usage(format!(
            "The upload {id} has not reached TikTok. The journal keeps no query of a URL."
        ))
        .helped_by([Remedy::GiveWholeUrl])
    }

    /// The source of tokens has none, and has said what helps, if anything but another token does.
    pub(crate) fn no_token(
        source: Box<dyn std::error::Error + Send + Sync>,
        remedies: &[Remedy],
    ) -> Self {
        let remedies = match remedies {
            [] => vec![Remedy::GiveToken],
            remedies => remedies.to_vec(),
        };
        Self::new(ErrorKind::NeedsPerson, Who::You, "No access token")
            .with_source(source)
            .helped_by(remedies)
    }

    /// The service named an upload host that gets no bytes.
    pub(crate) fn host(host: &BadHost) -> Self {
        let message = format!(
            "The service named an upload host that is not allowed: {host}. Nothing was sent."
        );
        Self::new(ErrorKind::Refused, Who::You, message).helped_by(allowing(host))
    }

    /// An API base that cannot be used; shown without parts that may be secret.
    pub(crate) fn api_base(base: &str, host: &BadHost) -> Self {
        Self::usage(format!("{base} is not usable: {host}.")).helped_by(allowing(host))
    }

    pub(crate) fn foreign_token(account: &str) -> Self {
        Self::new(
            ErrorKind::NeedsPerson,
            Who::You,
            format!(
                "The token belongs to another creator than the one this file was sent for as account \"{account}\". Nothing was sent."
            ),
        )
        .helped_by([Remedy::NameAccount])
    }

    /// The token belongs to another creator than the account's first one.
    pub(crate) fn unknown(name: &str, publish_id: Option<&str>, why: &str) -> Self {
        let id = publish_id.map(|id| format!("{id}: ")).unwrap_or_default();
        Self::new(
            ErrorKind::Unknown,
            Who::Creator,
            format!("Whether {name} reached the inbox is not known ({id}{why})."),
        )
        .helped_by([Remedy::CheckInbox, Remedy::SendAgain, Remedy::Forget])
    }

    /// The certificate of the API or of the upload host is not trusted. A person must act; another try does not help.
    pub(crate) fn untrusted(reason: &str) -> Self {
        Self::new(
            ErrorKind::NeedsPerson,
            Who::You,
            format!(
                "The server's certificate is not trusted ({reason}), so nothing was sent to it."
            ),
        )
        .helped_by([Remedy::TrustCertificates, Remedy::RepeatAfterFix])
    }

    /// Uploads with the same key have ended, and their lines in the history have changed or are missing.
    pub(crate) fn no_longer_told(name: &str, ids: &[String]) -> Self {
        let (first, more) = ids.split_at(ids.len().min(3));
        let more = match more.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Self::new(
            ErrorKind::Unknown,
            Who::You,
            format!(
                "Whether {name} was sent before is not known: in history.jsonl, in the state directory, the lines of {}{more} have changed or are missing. Nothing was sent now.",
                first.join(", ")
            ),
        )
        .helped_by([
            Remedy::RestoreHistory,
            Remedy::CheckInbox,
            Remedy::SendAgain,
            Remedy::Forget,
        ])
    }

    /// The URL breaks a rule for pulls, which is known without a request.
    pub(crate) fn not_pulled(name: &str, rule: impl fmt::Display) -> Self {
        Self::usage(format!("{name} cannot be pulled: {rule}."))
    }

    /// The URL's content is not a video that the service fetches.
    pub(crate) fn not_a_video(name: &str, what: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Source,
            Who::You,
            format!("{name} cannot be pulled: {what}. TikTok got no request."),
        )
        .helped_by([Remedy::SkipPreflight])
    }

    /// The URL's host cannot be reached now, at least not from this machine.
    pub(crate) fn unreachable(name: &str, what: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Temporary,
            Who::You,
            format!("{name} cannot be checked: {what}. TikTok got no request."),
        )
        .helped_by([Remedy::RepeatLater, Remedy::SkipPreflight])
    }

    /// The certificate of a URL's host is not trusted, at least not on this machine.
    pub(crate) fn untrusted_look(name: &str, reason: &str) -> Self {
        Self::new(
            ErrorKind::NeedsPerson,
            Who::You,
            format!(
                "{name} cannot be checked: its certificate is not trusted ({reason}). TikTok got no request. If the host is yours, mend its certificate."
            ),
        )
        .helped_by([Remedy::NameCaFile, Remedy::SkipPreflight])
    }

    /// The path cannot be a state directory.
    pub(crate) fn no_directory(path: &Path) -> Self {
        Self::usage(format!(
            "{} cannot be the state directory: it, or a part of its path, is a file.",
            path.display()
        ))
        .helped_by([Remedy::ChangeStateDir])
    }

    /// The service refused `call` for `account`.
    pub(crate) fn refused(call: Call, account: &str, service: Refusal) -> Self {
        let Code {
            kind,
            who,
            advice,
            remedies,
            ..
        } = Code::of(&service.code, service.http_status);
        let (call, code) = (call.name(), &service.code);
        let mut message = match (service.meaning, service.message.trim_end_matches('.')) {
            (Meaning::PendingCap, _) => {
                format!("{account} has 5 drafts waiting, TikTok's limit ({code})")
            }
            (_, "") => format!("TikTok refused the {call} for {account}: {code}"),
            (_, words) => format!("TikTok refused the {call} for {account}: {code} ({words})"),
        };
        message.push_str(&service.support());
        message.push('.');
        match service.meaning {
            Meaning::ForeignToken => {
                message.push_str(&format!(" {}", Self::foreign_token(account)));
            }
            _ if advice.is_empty() => {}
            _ => message.push_str(&format!(" {advice}.")),
        }
        let retry_at = service.retry_after.map(|wait| SystemTime::now() + wait);
        let mut error = Self::new(kind, who, message).helped_by(remedies);
        error.0.retry_at = retry_at;
        error.0.service = Some(service);
        error
    }

    /// The service accepted the bytes and then rejected the video for `reason`.
    pub(crate) fn failed(name: &str, reason: &str, publish_id: &str) -> Self {
        let verdict = FailReason::of(reason).verdict();
        let mut error = Self::new(
            verdict.kind,
            verdict.who,
            format!(
                "TikTok accepted {name} and then rejected it: {reason} ({publish_id}). {}",
                verdict.advice
            ),
        )
        .helped_by(verdict.remedies);
        error.0.service = Some(Refusal {
            meaning: Meaning::Other,
            http_status: 200,
            code: reason.to_owned(),
            message: String::new(),
            log_id: None,
            retry_after: None,
        });
        error
    }

    pub(crate) fn state(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(ErrorKind::Temporary, Who::You, message).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped::new(&self.0.message).fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The remedies that allow this host.
fn allowing(host: &BadHost) -> Vec<Remedy> {
    match host {
        BadHost::Plain => vec![Remedy::AllowHttp],
        BadHost::Foreign(_) => vec![Remedy::NameUploadHost],
        BadHost::Broken(_) => Vec::new(),
    }
}

/// The name of a file in messages, without its directories.
pub(crate) fn name(file: &Path) -> std::borrow::Cow<'_, str> {
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
}

#[cfg(test)]
mod tests;
