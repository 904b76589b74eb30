//! Builds HTML in which no text from outside can become markup.

use std::fmt::Write;

/// Markup. Only templates of this program become markup unchanged; everything else is escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Html(String);

/// A value for a template.
pub(super) trait Piece {
    fn put(&self, out: &mut String);
}

impl Html {
    /// Fills the `{}` of a template in order, in content or in quoted attributes.
    pub(super) fn fill(template: &'static str, pieces: &[&dyn Piece]) -> Self {
        let mut parts = template.split("{}");
        let mut out = parts.next().unwrap_or_default().to_owned();
        let mut pieces = pieces.iter();
        for part in parts {
            if let Some(piece) = pieces.next() {
                piece.put(&mut out);
            }
            out.push_str(part);
        }
        debug_assert!(
            pieces.next().is_none(),
            "more pieces than places: {template}"
        );
        Self(out)
    }

    pub(super) fn push(&mut self, more: &Self) {
        self.0.push_str(&more.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl FromIterator<Self> for Html {
    fn from_iter<T: IntoIterator<Item = Self>>(all: T) -> Self {
        let mut html = Self::default();
        all.into_iter().for_each(|one| html.push(&one));
        html
    }
}

impl Piece for Html {
    fn put(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl Piece for str {
    fn put(&self, out: &mut String) {
        for character in self.chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                // Control characters have no meaning here, and could confuse a parser.
                control if control.is_control() && control != '\n' => out.push('\u{fffd}'),
                other => out.push(other),
            }
        }
    }
}

impl Piece for String {
    fn put(&self, out: &mut String) {
        self.as_str().put(out);
    }
}

impl Piece for u64 {
    fn put(&self, out: &mut String) {
        // Writing to a string does not fail.
        let _ = write!(out, "{self}");
    }
}

impl<T: Piece + ?Sized> Piece for &T {
    fn put(&self, out: &mut String) {
        (**self).put(out);
    }
}

impl<T: Piece> Piece for Option<T> {
    fn put(&self, out: &mut String) {
        if let Some(piece) = self {
            piece.put(out);
        }
    }
}

/// `html!("<b>{}</b>", name)`.
macro_rules! html {
    ($template:expr $(, $piece:expr)* $(,)?) => {
        $crate::page::html::Html::fill($template, &[$(&$piece as &dyn $crate::page::html::Piece),*])
    };
}
pub(super) use html;

/// A number of bytes as text, decimal.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// A time; the script shows it in the reader's time zone.
pub(super) fn time(unix: u64) -> Html {
    let (hours, minutes, seconds) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    let utc = format!("{hours:02}:{minutes:02}:{seconds:02}");
    html!("<time data-unix=\"{}\">{}</time>", unix, utc)
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_from_outside_becomes_markup() {
        let evil = "\"><script>alert('&')</script>\u{0}";
        let html = html!("<b title=\"{}\">{}</b>", evil, evil.to_owned()).into_text();
        assert_eq!(html.matches('<').count(), 2, "{html}");
        assert_eq!(html.matches('"').count(), 2, "{html}");
        assert!(!html.contains('\'') && !html.contains('\0'));
        let nested = html!("<i>{}</i>", html!("<b>{}</b>", "<"));
        assert_eq!(nested.into_text(), "<i><b>&lt;</b></i>");
    }
}
