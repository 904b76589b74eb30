//! Text from outside, made safe to show.

use std::ffi::OsStr;
use std::fmt::{self, Write};

/// Text from outside (a file name, an account, a service's message), made safe to show: its `Display` is one line and
/// cannot draw on a terminal.
///
/// Control characters, line and paragraph separators, marks that change the direction of text and characters without a
/// width are shown as escapes, such as `\n` and `\u{1b}`; bytes that are not UTF-8 as `\xff`. A leading `::`, which a
/// build server may take for a command, becomes `\u{3a}:`. Escaped text stays as it is. JSON does not need this: it has
/// escapes of its own.
///
/// ```
/// use chunkferry::Escaped;
///
/// assert_eq!(Escaped::new("clip\n\u{1b}[2J.mp4").to_string(), r"clip\n\u{1b}[2J.mp4");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(&'a OsStr);

impl<'a> Escaped<'a> {
    /// Escapes a text, a file name or a path.
    pub fn new(text: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(text.as_ref())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.as_encoded_bytes();
        if let Some(rest) = bytes.strip_prefix(b"::") {
            f.write_str("\\u{3a}:")?;
            bytes = rest;
        }
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_unsafe(c) {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character can act on a terminal or a line, or is invisible.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, direction marks, separators, zero width, annotations, tags.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn what_can_draw_or_hide_is_shown_as_an_escape() {
        for (text, shown) in [
            ("clip é 日本.mp4", "clip é 日本.mp4"),
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\u{1b}[2J\u{7f}\u{9b}", r"\u{1b}[2J\u{7f}\u{9b}"),
            (
                "\u{202e}4pm\u{2066}\u{200f}\u{61c}",
                r"\u{202e}4pm\u{2066}\u{200f}\u{61c}",
            ),
            (
                "a\u{2028}b\u{2029}\u{200b}\u{feff}",
                r"a\u{2028}b\u{2029}\u{200b}\u{feff}",
            ),
            ("::error::x", r"\u{3a}:error::x"),
            (r"C:\a", r"C:\a"),
        ] {
            let escaped = Escaped::new(text).to_string();
            assert_eq!(escaped, shown);
            assert_eq!(Escaped::new(&escaped).to_string(), shown, "once is enough");
        }
        let invalid = OsStr::from_bytes(b"a\xff\xc3.mp4");
        assert_eq!(Escaped::new(invalid).to_string(), r"a\xff\xc3.mp4");
    }
}
