//! Secret text: access tokens and upload URLs.

use std::fmt;

use url::Url;

pub(crate) mod escaped;
mod redact;

pub(crate) use redact::Redactor;

/// A text that neither `Debug` nor any error, event or log shows.
///
/// It has no `Display` and no `Serialize`; code that needs the text must call [`expose`](Self::expose), so every such
/// place can be found.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Makes a secret of a text, without the white space around it (a token file ends in a newline).
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// An empty placeholder for a secret that is set later.
    pub(crate) fn none() -> Self {
        Self(Box::default())
    }

    /// The text itself, for the one header or request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("REDACTED")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

/// Serialises secrets: in the request that carries one, and in rows of version 1.
pub(crate) mod stored {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Secret;

    pub(crate) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::from)
    }
}

/// A URL without its query and password, fit to be shown. One of an object in a bucket is left as it is otherwise: its key is no path,
/// so nothing in it is encoded or resolved, and a `#` is a part of it.
pub(crate) fn without_query(url: &str) -> String {
    let starts = ["s3://", "gs://", "az://"];
    let is_object = starts.iter().any(|start| {
        url.get(..start.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(start))
    });
    let shown = match (Url::parse(url), url.split_once("://")) {
        (Ok(mut url), _) if !is_object => {
            // Fails only for URLs that cannot have a user.
            let _ = url.set_username("").and_then(|()| url.set_password(None));
            url.to_string()
        }
        // The part before an `@` may be a password.
        (_, Some((scheme, rest))) => {
            let host = rest.find('/').unwrap_or(rest.len());
            let from = rest[..host].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[from..])
        }
        (_, None) => url.to_owned(),
    };
    let ends: &[char] = if is_object { &['?'] } else { &['?', '#'] };
    shown.split(ends).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_anything_that_holds_a_token_shows_nothing_of_it() {
        #[derive(Debug)]
        struct Holder {
            token: Secret,
        }
        let holder = Holder {
            token: Secret::new("act.lena.1\n"),
        };
        let shown = format!("{holder:?}");
        assert!(!shown.contains("lena"), "{shown}");
        assert_eq!(holder.token.expose(), "act.lena.1");
    }

    #[test]
    fn a_key_in_a_bucket_is_shown_as_it_is_and_a_url_as_others_spell_it() {
        for (url, shown) in [
            ("https://u:p@HOST/a b#c?d", "https://host/a%20b"),
            ("https://host/a/../b?sig=1", "https://host/b"),
            (
                "s3://renders/a b/#1 %20ä.mp4",
                "s3://renders/a b/#1 %20ä.mp4",
            ),
            ("s3://renders/a/../b.mp4", "s3://renders/a/../b.mp4"),
            ("az://key:secret@b/clip.mp4?sig=1", "az://b/clip.mp4"),
            ("a title of it", "a title of it"),
        ] {
            assert_eq!(without_query(url), shown);
        }
    }
}
