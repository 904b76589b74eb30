//! TikTok's Content Posting API: its HTTP, its JSON and its code strings end in this room.

pub(crate) mod answers;
pub(crate) mod codes;
pub(crate) mod json;
