//! TikTok's Content Posting API: its HTTP, its JSON and its code strings end in this room.

pub(crate) mod answers;
pub(crate) mod body;
pub(crate) mod ca_file;
pub(crate) mod client;
pub(crate) mod codes;
pub(crate) mod hosts;
pub(crate) mod json;
pub(crate) mod limits;
pub(crate) mod meter;
pub(crate) mod oauth;
pub(crate) mod preflight;
pub(crate) mod throttle;
pub(crate) mod wire_log;
