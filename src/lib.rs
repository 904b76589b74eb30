//! Uploads big videos to TikTok as drafts, and survives what kills other uploaders.

#[cfg(feature = "emulator")]
pub mod emulator;
