//! One request for a range, over redirects.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::header;
use url::Url;

use super::Remote;
use super::answer::{self, Held, Validator};
use super::network::{PRIVATE, Reach, Unreached};
use crate::error::Error;
use crate::error::cause::{innermost, is_untrusted};
use crate::secret::{Redactor, Secret};

/// Most redirects that are followed.
const REDIRECTS: usize = 5;

/// How long a host may take for the headers of its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What fetches videos: a client of other hosts than the service's.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) http: reqwest::Client,
    pub(crate) reach: Reach,
    /// The secrets that no message may repeat.
    pub(crate) redactor: Arc<Redactor>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

/// An answer, and what it holds.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: reqwest::Response,
    pub(super) held: Held,
    /// Where the redirects led.
    pub(super) url: Url,
}

/// Whether the same video may be found under another URL.
pub(super) const fn refused(held: &Held) -> bool {
    matches!(held, Held::Refused(_) | Held::Missing(_))
}

impl Web {
    /// A URL that may be fetched; else why it may not.
    pub(super) fn parse(&self, text: &Secret) -> Result<Url, &'static str> {
        let mut url = Url::parse(text.expose()).map_err(|_| "it is no whole URL")?;
        url.set_fragment(None);
        self.reach.check(&url)?;
        self.redactor.learn_query(&Secret::new(url.as_str()));
        Ok(url)
    }

    /// Asks for a range of a version, or for everything; follows redirects.
    pub(super) async fn get(
        &self,
        remote: &Remote,
        mut url: Url,
        range: Option<&Range<u64>>,
        version: Option<&Validator>,
    ) -> io::Result<Answer> {
        let home = Url::parse(remote.url.expose()).map(|url| url.origin());
        for _ in 0..=REDIRECTS {
            let mut request = self.http.get(url.clone());
            // Credentials are for the host that they were given for.
            if home.as_ref().is_ok_and(|home| *home == url.origin()) {
                for (name, value) in &remote.headers {
                    request = request.header(name, value.expose());
                }
            }
            request = request.header(header::ACCEPT_ENCODING, "identity");
            if let Some(range) = range {
                let range = format!("bytes={}-{}", range.start, range.end - 1);
                request = request.header(header::RANGE, range);
            }
            if let Some(version) = version {
                let (name, value) = version.condition();
                request = request.header(name, value);
            }
            let answer = tokio::time::timeout(PATIENCE, request.send()).await;
            let response = match answer {
                Ok(answer) => answer.map_err(|error| self.unreached(remote, error))?,
                Err(_) => {
                    let text = format!("its host did not answer within {} s", PATIENCE.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
            };
            let (status, headers) = (response.status().as_u16(), response.headers());
            let location = answer::text(headers, &header::LOCATION);
            let (301 | 302 | 303 | 307 | 308, Some(location)) = (status, location) else {
                let held = Held::of(status, headers);
                return Ok(Answer {
                    response,
                    held,
                    url,
                });
            };
            let next = url.join(location).map_err(|_| ());
            url = self.redirected(&url, next)?;
        }
        Err(io::Error::other(format!(
            "its host redirects more than {REDIRECTS} times"
        )))
    }

    /// Where a redirect leads, if it may be followed.
    fn redirected(&self, from: &Url, to: Result<Url, ()>) -> io::Result<Url> {
        let refused = |why: &str| {
            Err(io::Error::other(format!(
                "its host redirects to where nothing is fetched: {why}"
            )))
        };
        let Ok(mut to) = to else {
            return refused("it is no URL");
        };
        to.set_fragment(None);
        if from.scheme() == "https" && to.scheme() != "https" {
            return refused("from https to http");
        }
        if let Err(why) = self.reach.check(&to) {
            return refused(why);
        }
        self.redactor.learn_query(&Secret::new(to.as_str()));
        Ok(to)
    }

    /// Why there was no answer.
    fn unreached(&self, remote: &Remote, error: reqwest::Error) -> io::Error {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if inner.is::<Unreached>() {
                return io::Error::other(super::not_asked(&remote.address(), PRIVATE));
            }
            cause = inner.source();
        }
        let text = innermost(&error.without_url());
        match is_untrusted(&text) {
            true => io::Error::other(Error::untrusted_source(&remote.address(), &text)),
            false => io::Error::new(io::ErrorKind::ConnectionReset, self.redactor.redact(&text)),
        }
    }
}

/// The error of a body that ended early.
pub(super) fn broke_off(error: reqwest::Error) -> io::Error {
    let text = innermost(&error.without_url());
    io::Error::new(io::ErrorKind::ConnectionReset, text)
}
