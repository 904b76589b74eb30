//! What an upload ends in.

use std::time::SystemTime;

/// A draft in the creator's inbox (or on its way there, see [`Outcome::Sent`]): what an upload ends in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Draft {
    /// The service's name of it.
    pub publish_id: String,
    /// The id of the upload in the journal that it came from.
    pub upload: String,
    /// How it got there.
    pub outcome: Outcome,
    /// When the service was first seen to have delivered it.
    pub delivered_at: Option<SystemTime>,
    /// SHA-256 of the bytes in hexadecimal; `None` without the ledger, and of a URL.
    pub sha256: Option<String>,
    /// Whether it is known to be the creator that the account's name has stood for since its first use; see
    /// [`Options::check_creator`](crate::Options::check_creator). Otherwise it is the creator of the token, who may be any creator.
    pub creator_known: bool,
}

/// How an upload ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The service says the draft is in the inbox (or the creator has posted from it).
    Delivered,
    /// An earlier upload of the same bytes had delivered it; nothing was sent.
    AlreadyDelivered,
    /// Every byte is acknowledged, or the service fetches the URL; the inbox is not confirmed, as the caller asked not to
    /// wait.
    Sent,
}

impl Outcome {
    /// One lower-case word that stays the same, for metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::AlreadyDelivered => "already_delivered",
            Self::Sent => "sent",
        }
    }
}
