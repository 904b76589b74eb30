//! The service's codes: what each means, who must act, and what to do. Sources: the error tables of Upload Video, Get Video
//! Status and TikTok API v2 Error Handling.

use crate::answer::Meaning;
use crate::error::kind::ErrorKind::{self, NeedsPerson, Refused, Temporary};
use crate::error::kind::Who;

/// What is known of an error code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) meaning: Meaning,
    pub(crate) kind: ErrorKind,
    pub(crate) who: Who,
    /// What to do, without a full stop.
    pub(crate) advice: &'static str,
}

/// A row of the table below.
type Row = (&'static str, Meaning, ErrorKind, Who, &'static str);

#[rustfmt::skip]
const CODES: &[Row] = &[
    ("access_token_invalid", Meaning::InvalidToken, NeedsPerson, Who::You,
     "Get a fresh access token and run the same command: it carries on"),
    ("http_401", Meaning::InvalidToken, NeedsPerson, Who::You,
     "The token was refused, but not in TikTok's words: a gateway on the way may have answered. Get a fresh access token and run the same command: it carries on"),
    ("http_407", Meaning::Other, NeedsPerson, Who::You,
     "The proxy on the way asks for a user name and a password: put them into the URL of the variable that names the proxy"),
    ("scope_not_authorized", Meaning::MissingScope, NeedsPerson, Who::Creator, SCOPE),
    ("scope_permission_missed", Meaning::MissingScope, NeedsPerson, Who::Creator, SCOPE),
    ("spam_risk_too_many_pending_share", Meaning::PendingCap, NeedsPerson, Who::Creator,
     "5 drafts are waiting, TikTok's limit within 24 hours. The creator posts or deletes one, or run this again later"),
    ("spam_risk_too_many_posts", Meaning::DailyLimit, NeedsPerson, Who::Creator, DAILY),
    ("reached_active_user_cap", Meaning::DailyLimit, NeedsPerson, Who::Creator, DAILY),
    ("spam_risk_user_banned_from_posting", Meaning::Banned, NeedsPerson, Who::Creator,
     "The creator is banned from posting; another try does not help"),
    ("token_not_authorized_for_specified_publish_id", Meaning::ForeignToken, NeedsPerson, Who::You,
     "The token belongs to another creator than the one this was sent for"),
    ("url_ownership_unverified", Meaning::Other, NeedsPerson, Who::Developer,
     "The URL's domain, or a prefix of the URL that ends in a slash, must be verified for the app on TikTok's developer portal; then run the same command"),
    ("publish_not_cancellable", Meaning::Other, Refused, Who::Service,
     "It has ended, or is too near its end: ask for its status"),
    ("invalid_publish_id", Meaning::UnknownUpload, Refused, Who::You,
     "TikTok does not know this publish_id (any more)"),
    ("invalid_params", Meaning::InvalidRequest, Refused, Who::Developer, REPORT),
    ("invalid_param", Meaning::InvalidRequest, Refused, Who::Developer, REPORT),
    ("rate_limit_exceeded", Meaning::Other, Temporary, Who::Service, BUSY),
    ("http_429", Meaning::Other, Temporary, Who::Service, BUSY),
];

const SCOPE: &str =
    "The creator must grant the app the scope video.upload; then run the same command";
const DAILY: &str = "A daily limit is reached: run the same command tomorrow";
const REPORT: &str = "The same request again would be refused again; please report this";
const BUSY: &str = "Too many requests within a minute: run the same command a little later";

impl Code {
    /// What is known of `code`, which came with this status of HTTP.
    pub(crate) fn of(code: &str, http_status: u16) -> Self {
        let known = CODES.iter().find(|row| row.0 == code);
        let (meaning, kind, who, advice) = match known {
            Some(&(_, meaning, kind, who, advice)) => (meaning, kind, who, advice),
            None if http_status >= 500 => (
                Meaning::Other,
                Temporary,
                Who::Service,
                "A fault at TikTok: run the same command later, it carries on",
            ),
            None if code == format!("http_{http_status}") && http_status != 400 => (
                Meaning::Other,
                Refused,
                Who::Developer,
                "TikTok documents no such answer: a proxy or a filter on the way may have given it. The same request again would be refused again",
            ),
            None => (
                Meaning::Other,
                Refused,
                Who::Developer,
                "The same request again would be refused again",
            ),
        };
        Self {
            meaning,
            kind,
            who,
            advice,
        }
    }
}

/// Why the service gave a video up after taking it, and what can be done. Source: Get Video Status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailReason {
    /// Part of the service was down: documented as worth another try from the start.
    Internal,
    /// Not now: something outside the file has to change first.
    NotNow(Who, &'static str),
    /// Never with this file or this request.
    Never(Who, &'static str),
}

impl FailReason {
    pub(crate) fn of(reason: &str) -> Self {
        match reason {
            "internal" => Self::Internal,
            "file_format_check_failed" => Self::Never(
                Who::You,
                "Its container or codec is not accepted: re-encode it as H.264 in MP4 (ffmpeg -i IN -c:v libx264 -c:a aac OUT.mp4)",
            ),
            "duration_check_failed" => {
                Self::Never(Who::You, "It is too long or too short: edit it")
            }
            "frame_rate_check_failed" => Self::Never(
                Who::You,
                "Its frame rate must be 23 to 60 a second: re-encode it (ffmpeg -i IN -r 30 OUT.mp4)",
            ),
            "picture_size_check_failed" => Self::Never(
                Who::You,
                "Both sides must have 360 to 4096 pixels: resize it (ffmpeg -i IN -vf scale=1080:-2 OUT.mp4)",
            ),
            "video_pull_failed" => Self::NotNow(
                Who::Developer,
                "It could not fetch the URL to its end within an hour: the URL must stay reachable from outside, without a redirect; then run the same command",
            ),
            "publish_cancelled" => {
                Self::Never(Who::Developer, "The pull was cancelled before its end")
            }
            "auth_removed" | "auth_failed" => Self::NotNow(
                Who::Creator,
                "The creator took the app's permission back: authorise again, then run the same command",
            ),
            "spam_risk_too_many_posts" => Self::NotNow(
                Who::Creator,
                "The creator's uploads by apps are used up for today: post in the app, or run the same command tomorrow",
            ),
            "spam_risk_user_banned_from_posting" => {
                Self::Never(Who::Creator, "The creator is banned from posting")
            }
            _ => Self::Never(Who::Service, "Nobody has listed this reason"),
        }
    }

    pub(crate) fn verdict(self) -> (ErrorKind, Who, String) {
        match self {
            Self::Internal => (
                Temporary,
                Who::Service,
                "A part of TikTok was down: run the same command later".into(),
            ),
            Self::NotNow(who, text) => (NeedsPerson, who, format!("{text}.")),
            Self::Never(who, text) => (
                Refused,
                who,
                format!(
                    "{text}. Without a request the same video is refused again; --again insists."
                ),
            ),
        }
    }
}
