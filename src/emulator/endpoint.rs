//! The service's calls, by the names in fault scripts and in the log.

use super::settings::Settings;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Starts an inbox draft.
    InboxInit,
    /// Starts a direct post.
    DirectInit,
    /// Starts a photo post.
    PhotoInit,
    /// Carries one chunk.
    Put,
    /// Asks for the status of an upload.
    Status,
    /// Stops a pull.
    Cancel,
    /// Asks what a creator may post.
    CreatorInfo,
    /// Asks who the creator is.
    UserInfo,
    /// Asks for the creator's public videos.
    VideoList,
    /// Asks for some of the creator's public videos.
    VideoQuery,
    /// Asks the creator for consent.
    Authorize,
    /// Gives or renews tokens.
    Token,
    /// Takes tokens back.
    Revoke,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 13] = [
        Self::InboxInit,
        Self::DirectInit,
        Self::PhotoInit,
        Self::Put,
        Self::Status,
        Self::Cancel,
        Self::CreatorInfo,
        Self::UserInfo,
        Self::VideoList,
        Self::VideoQuery,
        Self::Authorize,
        Self::Token,
        Self::Revoke,
    ];

    /// The name in fault scripts and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InboxInit => "inbox_init",
            Self::DirectInit => "direct_init",
            Self::PhotoInit => "photo_init",
            Self::Put => "put",
            Self::Status => "status",
            Self::Cancel => "cancel",
            Self::CreatorInfo => "creator_info",
            Self::UserInfo => "user_info",
            Self::VideoList => "video_list",
            Self::VideoQuery => "video_query",
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Revoke => "revoke",
        }
    }

    pub(crate) fn is_init(self) -> bool {
        matches!(self, Self::InboxInit | Self::DirectInit | Self::PhotoInit)
    }

    /// Whether its answers are flat, without the envelope.
    pub(crate) fn is_oauth(self) -> bool {
        matches!(self, Self::Authorize | Self::Token | Self::Revoke)
    }

    /// Most calls of a token in a minute (D UP, DP, PH, ST, CI, RL); `None` if no limit is documented.
    pub(crate) fn per_minute(self, settings: &Settings) -> Option<u64> {
        match self {
            Self::InboxInit | Self::DirectInit | Self::PhotoInit => Some(settings.init_per_minute),
            Self::Status => Some(settings.status_per_minute),
            Self::CreatorInfo => Some(settings.creator_info_per_minute),
            Self::UserInfo => Some(settings.user_info_per_minute),
            Self::VideoList => Some(settings.video_list_per_minute),
            Self::VideoQuery => Some(settings.video_query_per_minute),
            Self::Put | Self::Cancel | Self::Authorize | Self::Token | Self::Revoke => None,
        }
    }

    /// The scopes of which a token needs one. If a call names fields, each field has its own.
    pub(crate) fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::InboxInit => &["video.upload"],
            Self::DirectInit | Self::CreatorInfo => &["video.publish"],
            Self::PhotoInit | Self::Status | Self::Cancel => &["video.publish", "video.upload"],
            Self::UserInfo | Self::VideoList | Self::VideoQuery => &[],
            Self::Put | Self::Authorize | Self::Token | Self::Revoke => &[],
        }
    }
}
