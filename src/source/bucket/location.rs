//! A URL of an object: which kind of store, which bucket, which key.

use object_store::path::Path;

use crate::error::Error;
use crate::secret::escaped::Escaped;

/// The stores that have a scheme of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    S3,
    Google,
    Azure,
}

/// Where an object is.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) kind: Kind,
    /// The bucket, or the container.
    pub(super) bucket: String,
    pub(super) key: Path,
    /// The URL.
    pub(super) address: String,
}

impl Location {
    /// Takes a URL apart. Nothing in it is decoded: people copy keys from listings, which show them as they are.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        // What follows may be a signature.
        let (shown, query) = match url.split_once('?') {
            Some((before, _)) => (before, true),
            None => (url, false),
        };
        let Some((scheme, rest)) = shown.split_once("://") else {
            return Err(refused(shown, "it is no URL"));
        };
        let scheme = scheme.to_ascii_lowercase();
        let kind = match scheme.as_str() {
            "s3" => Kind::S3,
            "gs" => Kind::Google,
            "az" => Kind::Azure,
            _ => {
                return Err(refused(
                    shown,
                    "it begins with none of s3://, gs:// and az://",
                ));
            }
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
        if bucket.is_empty() || !bucket.chars().all(is_name) {
            // There may be a password in it.
            let shown = format!("{scheme}://…");
            return Err(refused(
                &shown,
                "what follows :// is not the name of a bucket or container. Endpoint and credentials are settings, and no part of the URL",
            ));
        }
        if query {
            return Err(refused(
                shown,
                "it has a question mark: credentials and versions are no part of the URL, and a key with a question mark cannot be read",
            ));
        }
        // The parser would drop them.
        let is_whole = !key.is_empty() && !key.starts_with('/') && !key.ends_with('/');
        let parsed = Path::parse(key).ok().filter(|_| is_whole);
        let Some(key) = parsed else {
            return Err(refused(
                shown,
                "it names no object that can be read: a key is not empty, has no empty part between two slashes, no part that is . or .., and no control characters",
            ));
        };
        Ok(Self {
            kind,
            bucket: bucket.to_owned(),
            key,
            address: format!("{scheme}://{rest}"),
        })
    }
}

fn refused(shown: &str, why: &str) -> Error {
    Error::usage(format!("{} cannot be used: {why}.", Escaped::new(shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_is_and_nothing_of_it_is_dropped() {
        let parsed = Location::parse("s3://my.bucket-1/a b/%20#ä.mp4").expect("a location");
        assert_eq!(parsed.kind, Kind::S3);
        assert_eq!(parsed.bucket, "my.bucket-1");
        assert_eq!(parsed.key.as_ref(), "a b/%20#ä.mp4");
        assert_eq!(parsed.address, "s3://my.bucket-1/a b/%20#ä.mp4");
        for (url, kind) in [
            ("GS://b/clip.mp4", Kind::Google),
            ("az://$web/clip.mp4", Kind::Azure),
        ] {
            assert_eq!(Location::parse(url).expect("a location").kind, kind);
        }
        for url in [
            "clip.mp4",
            "https://b/clip.mp4",
            "s3://",
            "s3://b",
            "s3://b/",
            "s3://b//clip.mp4",
            "s3://b/a//clip.mp4",
            "s3://b/folder/",
            "s3://b/../clip.mp4",
            "s3://b/a\nb.mp4",
            "s3:///clip.mp4",
        ] {
            assert!(Location::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        for url in [
            "s3://AKIAKEY:hunter2secret@b/clip.mp4",
            "az://b/clip.mp4?sv=1&sig=hunter2secret",
            "s3://b:hunter2secret/clip.mp4",
        ] {
            let error = Location::parse(url).expect_err("refused");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
