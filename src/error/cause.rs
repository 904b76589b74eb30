//! What an error of the HTTP client is about.

use std::error::Error;

/// Start of rustls' message about a certificate that is not trusted.
const UNTRUSTED: &str = "invalid peer certificate";

/// The text of the innermost cause, which names no URL.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Whether a cause is a certificate that is not trusted.
pub(crate) fn is_untrusted(cause: &str) -> bool {
    cause.starts_with(UNTRUSTED)
}
