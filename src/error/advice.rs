//! What refusals and failures mean for people. Sources: the error tables of Upload Video, Get Video Status and
//! TikTok API v2 Error Handling.

use super::{Error, ErrorKind, Who};

/// What a stated error code means. Source: the error tables of Upload Video, Get Video Status and TikTok API v2 Error
/// Handling.
pub(super) fn advice(code: &str, http_status: u16, account: &str) -> (ErrorKind, Who, String) {
    use ErrorKind::{NeedsPerson, Refused, Temporary};
    let (kind, who, text) = match code {
        "access_token_invalid" => (
            NeedsPerson,
            Who::You,
            "Get a fresh access token and run the same command: it carries on",
        ),
        "http_401" => (
            NeedsPerson,
            Who::You,
            "The token was refused, but not in TikTok's words: a gateway on the way may have answered. Get a fresh access token and run the same command: it carries on",
        ),
        "http_407" => (
            NeedsPerson,
            Who::You,
            "The proxy on the way asks for a user name and a password: put them into the URL of the variable that names the proxy",
        ),
        "scope_not_authorized" | "scope_permission_missed" => (
            NeedsPerson,
            Who::Creator,
            "The creator must grant the app the scope video.upload; then run the same command",
        ),
        "spam_risk_too_many_pending_share" => (
            NeedsPerson,
            Who::Creator,
            "5 drafts are waiting, TikTok's limit within 24 hours. The creator posts or deletes one, or run this again later",
        ),
        "spam_risk_too_many_posts" | "reached_active_user_cap" => (
            NeedsPerson,
            Who::Creator,
            "A daily limit is reached: run the same command tomorrow",
        ),
        "spam_risk_user_banned_from_posting" => (
            NeedsPerson,
            Who::Creator,
            "The creator is banned from posting; another try does not help",
        ),
        "token_not_authorized_for_specified_publish_id" => {
            return (
                NeedsPerson,
                Who::You,
                Error::foreign_token(account).to_string(),
            );
        }
        "url_ownership_unverified" => (
            NeedsPerson,
            Who::Developer,
            "The URL's domain, or a prefix of the URL that ends in a slash, must be verified for the app on TikTok's developer portal; then run the same command",
        ),
        "publish_not_cancellable" => (
            Refused,
            Who::Service,
            "It has ended, or is too near its end: ask for its status",
        ),
        "invalid_publish_id" => (
            Refused,
            Who::You,
            "TikTok does not know this publish_id (any more)",
        ),
        "invalid_params" | "invalid_param" => (
            Refused,
            Who::Developer,
            "The same request again would be refused again; please report this",
        ),
        "rate_limit_exceeded" | "http_429" => (
            Temporary,
            Who::Service,
            "Too many requests within a minute: run the same command a little later",
        ),
        _ if http_status >= 500 => (
            Temporary,
            Who::Service,
            "A fault at TikTok: run the same command later, it carries on",
        ),
        _ if code == format!("http_{http_status}") && http_status != 400 => (
            Refused,
            Who::Developer,
            "TikTok documents no such answer: a proxy or a filter on the way may have given it. The same request again would be refused again",
        ),
        _ => (
            Refused,
            Who::Developer,
            "The same request again would be refused again",
        ),
    };
    (kind, who, format!("{text}."))
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

    pub(super) fn verdict(self) -> (ErrorKind, Who, String) {
        match self {
            Self::Internal => (
                ErrorKind::Temporary,
                Who::Service,
                "A part of TikTok was down: run the same command later".into(),
            ),
            Self::NotNow(who, text) => (ErrorKind::NeedsPerson, who, format!("{text}.")),
            Self::Never(who, text) => (
                ErrorKind::Refused,
                who,
                format!(
                    "{text}. Without a request the same video is refused again; --again insists."
                ),
            ),
        }
    }
}
