//! The service's codes: their meaning, who must act, and what helps. Sources: the error tables of Upload Video, Get
//! Video Status, TikTok API v2 Error Handling and OAuth Error Handling.

use crate::answer::Meaning;
use crate::error::kind::ErrorKind::{self, NeedsPerson, Refused, Temporary};
use crate::error::kind::Who;
use crate::error::remedy::Remedy;

/// The properties of an error code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) meaning: Meaning,
    pub(crate) kind: ErrorKind,
    pub(crate) who: Who,
    /// The meaning as text, without a full stop; empty if the error's message says it.
    pub(crate) advice: &'static str,
    pub(crate) remedies: &'static [Remedy],
}

/// A row of the table of codes.
type Row = (
    &'static str,
    Meaning,
    ErrorKind,
    Who,
    &'static str,
    &'static [Remedy],
);

#[rustfmt::skip]
const CODES: &[Row] = &[
    ("access_token_invalid", Meaning::InvalidToken, NeedsPerson, Who::You, "", RENEW),
    ("http_401", Meaning::InvalidToken, NeedsPerson, Who::You,
     "The token was refused, but not in TikTok's words: a gateway on the way may have answered", RENEW),
    ("http_407", Meaning::Other, NeedsPerson, Who::You,
     "The proxy on the way asks for a user name and a password: put them into the URL of the variable that names the proxy", AFTER_FIX),
    ("scope_not_authorized", Meaning::MissingScope, NeedsPerson, Who::Creator, SCOPE, AUTHORISE),
    ("scope_permission_missed", Meaning::MissingScope, NeedsPerson, Who::Creator, SCOPE, AUTHORISE),
    ("spam_risk_too_many_pending_share", Meaning::PendingCap, NeedsPerson, Who::Creator, "", &[Remedy::PostDrafts]),
    ("spam_risk_too_many_posts", Meaning::DailyLimit, NeedsPerson, Who::Creator, DAILY, TOMORROW),
    ("reached_active_user_cap", Meaning::DailyLimit, NeedsPerson, Who::Creator, DAILY, TOMORROW),
    ("spam_risk_user_banned_from_posting", Meaning::Banned, NeedsPerson, Who::Creator,
     "The creator is banned from posting; another try does not help", NOTHING),
    ("token_not_authorized_for_specified_publish_id", Meaning::ForeignToken, NeedsPerson, Who::You, "", &[Remedy::NameAccount]),
    ("url_ownership_unverified", Meaning::Other, NeedsPerson, Who::Developer,
     "The URL's domain, or a prefix of the URL that ends in a slash, must be verified for the app on TikTok's developer portal", AFTER_FIX),
    ("publish_not_cancellable", Meaning::Other, Refused, Who::Service,
     "It has ended, or is too near its end: ask for its status", NOTHING),
    ("invalid_publish_id", Meaning::UnknownUpload, Refused, Who::You,
     "TikTok does not know this publish_id (any more)", NOTHING),
    ("invalid_params", Meaning::InvalidRequest, Refused, Who::Developer, REPORT, NOTHING),
    ("invalid_param", Meaning::InvalidRequest, Refused, Who::Developer, REPORT, NOTHING),
    ("invalid_grant", Meaning::InvalidGrant, NeedsPerson, Who::Creator,
     "The refresh token or the code is spent, expired or revoked", AUTHORISE),
    ("access_denied", Meaning::Other, NeedsPerson, Who::Creator, "The creator did not consent", AUTHORISE),
    ("invalid_client", Meaning::Other, NeedsPerson, Who::Developer,
     "TikTok does not know the app by this client_key and client_secret", AFTER_FIX),
    ("unauthorized_client", Meaning::Other, NeedsPerson, Who::Developer,
     "The app may not do this: look at its settings on TikTok's developer portal", AFTER_FIX),
    ("invalid_scope", Meaning::Other, NeedsPerson, Who::Developer,
     "The app has no such scope: add it on TikTok's developer portal, or ask for less", AFTER_FIX),
    ("rate_limit_exceeded", Meaning::Other, Temporary, Who::Service, BUSY, LATER),
    ("http_429", Meaning::Other, Temporary, Who::Service, BUSY, LATER),
];

const SCOPE: &str = "The creator must grant the app the scope video.upload";
const DAILY: &str = "A daily limit is reached";
const REPORT: &str = "The same request again would be refused again; please report this";
const BUSY: &str = "Too many requests within a minute";

const NOTHING: &[Remedy] = &[];
const RENEW: &[Remedy] = &[Remedy::RenewToken];
const AUTHORISE: &[Remedy] = &[Remedy::Authorise];
const LATER: &[Remedy] = &[Remedy::RepeatLater];
const TOMORROW: &[Remedy] = &[Remedy::RepeatTomorrow];
const AFTER_FIX: &[Remedy] = &[Remedy::RepeatAfterFix];
const AGAIN: &[Remedy] = &[Remedy::SendAgain];

impl Code {
    /// The properties of `code` under this HTTP status.
    pub(crate) fn of(code: &str, http_status: u16) -> Self {
        let known = CODES.iter().find(|row| row.0 == code);
        let (meaning, kind, who, advice, remedies) = match known {
            Some(&(_, meaning, kind, who, advice, remedies)) => {
                (meaning, kind, who, advice, remedies)
            }
            None if http_status >= 500 => (
                Meaning::Other,
                Temporary,
                Who::Service,
                "A fault at TikTok",
                LATER,
            ),
            None if code == format!("http_{http_status}") && http_status != 400 => (
                Meaning::Other,
                Refused,
                Who::Developer,
                "TikTok documents no such answer: a proxy or a filter on the way may have given it. The same request again would be refused again",
                NOTHING,
            ),
            None => (
                Meaning::Other,
                Refused,
                Who::Developer,
                "The same request again would be refused again",
                NOTHING,
            ),
        };
        Self {
            meaning,
            kind,
            who,
            advice,
            remedies,
        }
    }
}

/// The codes that the service documents for its errors.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    let words = CODES.iter().map(|row| row.0).chain([INTERNAL]);
    words.filter(|word| !word.starts_with("http_"))
}

/// Whether `word` is a documented error code.
pub(crate) fn is_code(word: &str) -> bool {
    words().any(|known| known == word)
}

/// The code of a fault at the service, which has no row: its HTTP status says what it means.
const INTERNAL: &str = "internal_error";

/// Whether `word` is a documented error code or fail reason.
pub(crate) fn is_documented(word: &str) -> bool {
    word == INTERNAL
        || CODES.iter().any(|row| row.0 == word)
        || REASONS.iter().any(|row| row.0 == word)
}

/// Why the service rejected a video after accepting it, and what helps. Source: Get Video Status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailReason {
    /// The service failed internally: documented as worth another try from the start.
    Internal,
    /// Not now: something other than the file has to change first.
    NotNow(Who, &'static str, &'static [Remedy]),
    /// Never with this file or this request.
    Never(Who, &'static str),
}

use FailReason::{Internal, Never, NotNow};

#[rustfmt::skip]
const REASONS: &[(&str, FailReason)] = &[
    ("internal", Internal),
    ("file_format_check_failed", Never(Who::You,
     "Its container or codec is not accepted: re-encode it as H.264 in MP4 (ffmpeg -i IN -c:v libx264 -c:a aac OUT.mp4)")),
    ("duration_check_failed", Never(Who::You, "It is too long or too short: edit it")),
    ("frame_rate_check_failed", Never(Who::You,
     "Its frame rate must be 23 to 60 a second: re-encode it (ffmpeg -i IN -r 30 OUT.mp4)")),
    ("picture_size_check_failed", Never(Who::You,
     "Both sides must have 360 to 4096 pixels: resize it (ffmpeg -i IN -vf scale=1080:-2 OUT.mp4)")),
    ("video_pull_failed", NotNow(Who::Developer,
     "It could not fetch the URL to its end within an hour: the URL must stay reachable from outside, without a redirect", AFTER_FIX)),
    ("publish_cancelled", Never(Who::Developer, "The pull was cancelled before its end")),
    ("auth_removed", NotNow(Who::Creator, REMOVED, AUTHORISE)),
    ("auth_failed", NotNow(Who::Creator, REMOVED, AUTHORISE)),
    ("spam_risk_too_many_posts", NotNow(Who::Creator,
     "The creator's uploads by apps are used up for today: they can still post in TikTok's own app", TOMORROW)),
    ("spam_risk_user_banned_from_posting", Never(Who::Creator, "The creator is banned from posting")),
];

const REMOVED: &str = "The creator took the app's permission back";

/// The kind, remedies and text for a [`FailReason`].
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: ErrorKind,
    pub(crate) who: Who,
    /// Whole sentences.
    pub(crate) advice: String,
    pub(crate) remedies: &'static [Remedy],
}

impl FailReason {
    pub(crate) fn of(reason: &str) -> Self {
        let known = REASONS.iter().find(|row| row.0 == reason);
        known.map_or(
            Never(Who::Service, "No document lists this reason"),
            |row| row.1,
        )
    }

    pub(crate) fn verdict(self) -> Verdict {
        let (kind, who, advice, remedies) = match self {
            Internal => (
                Temporary,
                Who::Service,
                "A part of TikTok was down.".into(),
                LATER,
            ),
            NotNow(who, text, remedies) => (NeedsPerson, who, format!("{text}."), remedies),
            Never(who, text) => (
                Refused,
                who,
                format!("{text}. The same video is not sent again unless asked for."),
                AGAIN,
            ),
        };
        Verdict {
            kind,
            who,
            advice,
            remedies,
        }
    }
}
