//! A video under a URL, and the checks before the service is asked to fetch it.
//!
//! Source of the rules: Media Transfer Guide. Only the service knows whether the app has verified the URL.

use std::fmt;

use url::{Host, Url};

use crate::error::Error;
use crate::secret::{Secret, without_query};
use crate::source::{Container, Unfit, check_start};
use crate::tiktok::hosts::is_loopback;
use crate::upload::plan::{Limits, PlanError};

/// A URL that the service may be asked to fetch. Its query is a secret: signed URLs carry their signature there.
#[derive(Clone)]
pub(crate) struct Remote(Url);

impl Remote {
    /// Checks the URL itself: https, a host name, no password. For an emulator, plain http to this machine is allowed.
    pub(crate) fn parse(text: &Secret, emulated: bool) -> Result<Self, Error> {
        let shown = without_query(text.expose());
        let mut url = Url::parse(text.expose())
            .map_err(|error| Error::not_pulled(&shown, format_args!("it is no URL ({error})")))?;
        url.set_fragment(None);
        let here = emulated && is_loopback(&url);
        let rule = match (url.scheme(), url.host()) {
            _ if !url.username().is_empty() || url.password().is_some() => {
                "it carries a user name, which TikTok does not take"
            }
            ("https" | "http", _) if here => return Ok(Self(url)),
            ("https", Some(Host::Domain(_))) => return Ok(Self(url)),
            ("https", _) => "TikTok fetches from hosts with a name only, not from an IP address",
            _ => "TikTok fetches over https only",
        };
        Err(Error::not_pulled(&shown, rule))
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// The whole URL, for the one request that needs it.
    pub(crate) fn secret(&self) -> Secret {
        Secret::new(self.0.as_str())
    }

    /// The URL without its query, fit to be shown and stored.
    pub(crate) fn shown(&self) -> String {
        without_query(self.0.as_str())
    }

    /// Decides by the host's answer, if it suffices.
    ///
    /// A host may refuse HEAD, or serve every file as a stream of octets; then the first bytes decide.
    pub(crate) fn judge(&self, look: &Look) -> Result<Judgement, Error> {
        let refuse = |what: String| Err(Error::not_a_video(&self.shown(), what));
        match look.http_status {
            200 | 206 => {}
            300..400 => {
                let to = look.location.as_deref().map(without_query);
                let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
                return refuse(format!(
                    "it redirects ({}{to}), and TikTok follows no redirect",
                    look.http_status
                ));
            }
            _ if look.start.is_none() => return Ok(Judgement::LookCloser),
            408 | 429 | 500.. => {
                let what = format_args!("its host answers {}", look.http_status);
                return Err(Error::unreachable(&self.shown(), what));
            }
            // The content has no byte.
            416 => return refuse(PlanError::Empty.to_string()),
            status => return refuse(format!("its host answers {status}")),
        }
        let by_header = look.is_video_by_header();
        match (look.size, &look.start) {
            // A host that generates its answers may report no length for HEAD.
            (Some(0), None) => Ok(Judgement::LookCloser),
            (Some(0), Some(start)) if start.is_empty() => refuse(PlanError::Empty.to_string()),
            (Some(0), Some(_)) => self.judge(&Look {
                size: None,
                ..look.clone()
            }),
            (Some(size), _) if size > Limits::DOCUMENTED.max_file() => {
                let limit = Limits::DOCUMENTED.max_file();
                refuse(PlanError::FileTooLarge { size, limit }.to_string())
            }
            (size @ Some(_), None) if by_header => Ok(Judgement::Fit { size }),
            (_, None) => Ok(Judgement::LookCloser),
            (size, Some(_)) if by_header => Ok(Judgement::Fit { size }),
            (size, Some(start)) => match check_start(start, size.unwrap_or(u64::MAX)) {
                Ok(()) => Ok(Judgement::Fit { size }),
                Err(Unfit::Foreign(format)) => {
                    let kind = look.content_type.as_deref().unwrap_or("nothing");
                    refuse(format!(
                        "it is {} (its host calls it {kind}); TikTok takes MP4, MOV and WebM",
                        format.name
                    ))
                }
                Err(unfit) => refuse(unfit.to_string()),
            },
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.shown()).finish()
    }
}

/// A host's answer to the preflight.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    pub(crate) http_status: u16,
    pub(crate) location: Option<String>,
    pub(crate) content_type: Option<String>,
    /// Size of the video in bytes, if the host states it.
    pub(crate) size: Option<u64>,
    /// The first bytes, if they were requested.
    pub(crate) start: Option<Vec<u8>>,
}

impl Look {
    fn is_video_by_header(&self) -> bool {
        let kind = self.content_type.as_deref().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        [Container::Mp4, Container::Mov, Container::WebM]
            .iter()
            .any(|container| container.content_type().eq_ignore_ascii_case(kind))
    }
}

/// The result of the preflight.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The service may be asked to fetch the URL.
    Fit { size: Option<u64> },
    /// Only the first bytes can decide.
    LookCloser,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str) -> Remote {
        Remote::parse(&Secret::new(url), false).expect("a URL to pull")
    }

    fn message(url: &str, emulated: bool) -> String {
        Remote::parse(&Secret::new(url), emulated)
            .expect_err("not a URL to pull")
            .to_string()
    }

    fn mp4() -> Vec<u8> {
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42".to_vec()
    }

    #[test]
    fn a_url_the_service_never_fetches_is_refused_before_any_request() {
        for (url, why) in [
            ("http://media.example/a.mp4", "https only"),
            ("ftp://media.example/a.mp4", "https only"),
            ("https://192.0.2.1/a.mp4", "IP address"),
            ("https://[2001:db8::1]/a.mp4", "IP address"),
            ("https://lena:pw@media.example/a.mp4", "user name"),
            ("media.example/a.mp4", "no URL"),
            ("http://127.0.0.1/a.mp4", "https only"),
        ] {
            assert!(
                message(url, false).contains(why),
                "{url}: {}",
                message(url, false)
            );
        }
        assert!(message("http://192.0.2.1/a.mp4", true).contains("https only"));
        let here = Secret::new("http://127.0.0.1:8080/a.mp4");
        assert!(
            Remote::parse(&here, true).is_ok(),
            "for an emulator, this machine will do"
        );
    }

    #[test]
    fn neither_query_nor_password_is_ever_shown() {
        let url = "https://media.example/a.mp4?signature=s3cret#part";
        let shown = format!(
            "{:?} {} {}",
            remote(url),
            remote(url).shown(),
            message("https://u:s3cret@media.example/?k=s3cret", false)
        );
        assert!(!shown.contains("s3cret"), "{shown}");
        for text in ["not a url?s3cret", "https://u:s3cret@media.example:x/"] {
            assert!(!message(text, false).contains("s3cret"), "{text}");
        }
        assert_eq!(
            remote(url).secret().expose(),
            "https://media.example/a.mp4?signature=s3cret"
        );
    }

    #[test]
    fn what_is_no_video_is_told_before_the_service_is_asked() {
        let remote = remote("https://media.example/a.mp4?k=1");
        let look = |http_status, content_type: &str, size, start: Option<Vec<u8>>| Look {
            http_status,
            content_type: Some(content_type.into()),
            size,
            start,
            location: Some("https://cdn.example/b.mp4?k=s3cret".into()),
        };
        let fit = |size| Ok(Judgement::Fit { size });
        let html = Some(b"<!DOCTYPE html><html>".to_vec());
        let rows = [
            (look(200, "video/mp4", Some(9), None), fit(Some(9))),
            (
                look(200, "Video/WebM; codecs=vp9", Some(9), None),
                fit(Some(9)),
            ),
            (
                look(200, "video/mp4", None, None),
                Ok(Judgement::LookCloser),
            ),
            (look(206, "video/mp4", None, Some(mp4())), fit(None)),
            (
                look(200, "application/octet-stream", Some(9), None),
                Ok(Judgement::LookCloser),
            ),
            (
                look(206, "application/octet-stream", Some(99), Some(mp4())),
                fit(Some(99)),
            ),
            (
                look(403, "text/xml", Some(9), None),
                Ok(Judgement::LookCloser),
            ),
            (look(403, "text/xml", Some(9), html.clone()), Err("403")),
            (look(404, "text/html", Some(9), html.clone()), Err("404")),
            (
                look(503, "text/html", Some(9), html.clone()),
                Err("its host answers 503"),
            ),
            (look(200, "text/html", Some(9), html), Err("a web page")),
            (
                look(302, "text/html", Some(9), None),
                Err("redirects (302 to https://cdn.example/b.mp4)"),
            ),
            (
                look(200, "video/mp4", Some(0), None),
                Ok(Judgement::LookCloser),
            ),
            (
                look(200, "video/mp4", Some(0), Some(Vec::new())),
                Err("empty"),
            ),
            (look(206, "video/mp4", Some(0), Some(mp4())), fit(None)),
            (
                look(200, "video/mp4", Some(5_000_000_000), None),
                Err("5000000000 bytes"),
            ),
        ];
        for (look, expected) in rows {
            match (remote.judge(&look), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{look:?}"),
                (Err(error), Err(words)) => {
                    let message = error.to_string();
                    assert!(message.contains(words), "{message}");
                    assert!(!message.contains("s3cret"), "{message}");
                }
                (found, expected) => panic!("{look:?}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
