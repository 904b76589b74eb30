//! Markup in which no text from outside can become markup.

use std::fmt::Display;

use axum::body::Body;
use axum::response::Response;
use chunkferry::Escaped;

/// A piece of a page. Only literals of this program become markup as they are; every value is escaped.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Appends markup with the values at its `{}`, in content or in quoted attributes.
    pub(super) fn put(&mut self, markup: &'static str, values: &[&dyn Display]) -> &mut Self {
        let mut values = values.iter();
        let mut parts = markup.split("{}");
        self.0.push_str(parts.next().unwrap_or_default());
        for part in parts {
            if let Some(value) = values.next() {
                self.text(&value.to_string());
            }
            self.0.push_str(part);
        }
        debug_assert!(values.next().is_none(), "too many values: {markup}");
        self
    }

    /// Appends a text: one line, with what is invisible or turns the direction of the text shown as an escape.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in Escaped::new(text).to_string().chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Appends another piece.
    pub(super) fn add(&mut self, piece: &Self) -> &mut Self {
        self.0.push_str(&piece.0);
        self
    }
}

impl From<Html> for Response {
    fn from(html: Html) -> Self {
        Self::new(Body::from(html.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup_or_hides() {
        let evil = "\"><script>alert('&')</script>\u{0}\u{202e}{}\n";
        let mut html = Html::new();
        html.put("<b title=\"{}\">{}</b>", &[&evil, &evil]);
        let Html(text) = html;
        assert_eq!(text.matches('<').count(), 2, "{text}");
        assert_eq!(text.matches('"').count(), 2, "{text}");
        for hidden in ['\'', '\0', '\u{202e}', '\n'] {
            assert!(!text.contains(hidden), "{text}");
        }
        let mut outer = Html::new();
        let mut inner = Html::new();
        inner.text("<");
        outer.put("<i>", &[]).add(&inner).put("</i>", &[]);
        assert_eq!(outer.0, "<i>&lt;</i>");
    }
}
