//! A video under an https URL, read by ranges of one version of it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use url::Url;

use super::media::{Media, MediaVersion, Whole};
use crate::account::TokenError;
use crate::error::{Error, Remedy};
use crate::secret::{Secret, without_query};

mod answer;
pub(crate) mod network;
mod request;

use answer::{Held, Validator};
pub(crate) use request::Web;
use request::{Answer, refused};

/// A source of URLs of one video, for URLs that carry a signature which is valid for a while only.
///
/// For [`Job::url_source`](crate::Job::url_source): asked when the host refuses the URL at hand, at most once for each read of a range.
/// All its URLs lead to the same video: size and validator are compared.
pub trait UrlSource: Send + Sync + 'static {
    /// A URL of the video that is valid now.
    ///
    /// # Errors
    ///
    /// A [`TokenError::temporary`] is waited out; any other ends the upload in
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson), and the same job carries on later.
    fn url(&self) -> BoxFuture<'_, Result<Secret, TokenError>>;
}

/// The sources of URLs that jobs may name: for [`Options::url_sources`](crate::Options::url_sources).
pub trait UrlSources: Send + Sync + 'static {
    /// The source of this name for the video at `address`, a URL without its query; `None` if there is none.
    fn named(&self, name: &str, address: &str) -> Option<Arc<dyn UrlSource>>;
}

/// What a job says of its video under a URL.
#[derive(Clone)]
pub(crate) struct Remote {
    /// The query may be a secret.
    pub(crate) url: Secret,
    /// Headers of each request to the host of that URL. Their values may be secrets.
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) renewal: Option<Arc<dyn UrlSource>>,
    /// The name of `renewal`, for a process that makes the job again.
    pub(crate) renewal_name: Option<String>,
    /// Whether it is copied to a file first.
    pub(crate) spool: bool,
}

impl Remote {
    /// The URL without its query, fit to be shown and stored.
    pub(crate) fn address(&self) -> String {
        without_query(self.url.expose())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.address()).finish()
    }
}

/// A video under a URL whose host says which version each range is of.
#[derive(Clone)]
pub(crate) struct HttpsVideo(Arc<Inner>);

struct Inner {
    web: Web,
    remote: Remote,
    address: String,
    validator: Validator,
    size: u64,
    urls: Mutex<Urls>,
}

/// Where the video is asked for.
struct Urls {
    /// The newest one that was given.
    given: Url,
    /// Where its redirects have led. Ranges are asked for there, until the host refuses them.
    landed: Option<Url>,
}

/// What the first answer of a host says of the video.
pub(crate) enum Opened {
    /// It can be read by ranges of this version.
    Ranges(HttpsVideo),
    /// It can only be read as a whole.
    Whole(Why),
}

/// Why a video cannot be read by ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The host answers with all of it.
    NoRanges,
    /// The host does not state the version by a strong validator.
    NoVersion,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRanges => "its host does not answer with ranges",
            Self::NoVersion => {
                "its host does not state by a strong ETag which version of it that is"
            }
        })
    }
}

impl HttpsVideo {
    /// Asks for one byte of the video.
    pub(crate) async fn open(web: Web, remote: Remote) -> Result<Opened, Error> {
        let address = remote.address();
        let given = web
            .parse(&remote.url)
            .map_err(|why| not_asked(&address, why))?;
        let inner = Inner {
            web,
            remote,
            address,
            // Until the first answer.
            validator: Validator::Modified(String::new()),
            size: 0,
            urls: Mutex::new(Urls {
                given,
                landed: None,
            }),
        };
        // A host that answers with the first byte would be wrong, and one that ignores ranges shows that.
        let answer = inner.ask(1..2, None).await;
        let answer = answer.map_err(|error| failed(&inner.address, error))?;
        let size = match &answer.held {
            Held::Part(range, total) if *range == (1..2) => *total,
            Held::Part(..) => {
                return Err(failed(
                    &inner.address,
                    wrong("its host answers with another range"),
                ));
            }
            Held::Whole(_) => return Ok(Opened::Whole(Why::NoRanges)),
            // It has no second byte.
            Held::Moved => return Err(Error::not_fetched(&inner.address, "it has no bytes")),
            _ => {
                return Err(failed(
                    &inner.address,
                    no_bytes(&inner.address, answer.held),
                ));
            }
        };
        let Some(validator) = Validator::of(answer.response.headers()) else {
            return Ok(Opened::Whole(Why::NoVersion));
        };
        // Read to its end, so that its connection serves the next request; what broke shows there.
        let _ = answer.response.bytes().await;
        Ok(Opened::Ranges(Self(Arc::new(Inner {
            validator,
            size,
            ..inner
        }))))
    }
}

/// Asks for all of a video.
pub(crate) async fn whole(web: &Web, remote: &Remote) -> Result<Whole, Error> {
    let address = remote.address();
    let url = web.parse(&remote.url);
    let url = url.map_err(|why| not_asked(&address, why))?;
    let answer = web.get(remote, url, None, None).await;
    let answer = answer.map_err(|error| failed(&address, error))?;
    let Held::Whole(size) = answer.held else {
        return Err(failed(&address, no_bytes(&address, answer.held)));
    };
    let bytes = stream::try_unfold(answer.response, |mut answer| async {
        let next = tokio::time::timeout(request::PATIENCE, answer.chunk()).await;
        let next = next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let next = next.map_err(request::broke_off)?;
        Ok(next.map(|piece| (piece, answer)))
    });
    Ok(Whole {
        size,
        bytes: bytes.boxed(),
    })
}

impl Inner {
    fn urls(&self) -> MutexGuard<'_, Urls> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a range where the video was last found; if it is refused there, where the URL leads now, and then under a new URL.
    async fn ask(&self, range: Range<u64>, version: Option<&Validator>) -> io::Result<Answer> {
        let (given, landed) = {
            let urls = self.urls();
            (urls.given.clone(), urls.landed.clone())
        };
        let last = landed.unwrap_or_else(|| given.clone());
        let mut answer = self.follow(last.clone(), &range, version).await?;
        if refused(&answer.held) && last != given {
            answer = self.follow(given, &range, version).await?;
        }
        let Some(renewal) = &self.remote.renewal else {
            return Ok(answer);
        };
        if !refused(&answer.held) {
            return Ok(answer);
        }
        let fresh = renewal.url().await;
        let fresh = fresh.map_err(|error| self.not_renewed(error))?;
        let fresh = self.web.parse(&fresh);
        let fresh = fresh.map_err(|why| io::Error::other(not_asked(&self.address, why)))?;
        self.urls().given = fresh.clone();
        self.follow(fresh, &range, version).await
    }

    /// Asks under this URL, and keeps in mind where that led.
    async fn follow(
        &self,
        url: Url,
        range: &Range<u64>,
        version: Option<&Validator>,
    ) -> io::Result<Answer> {
        let answer = self.web.get(&self.remote, url, Some(range), version).await;
        // A host that is not reached may not be the one that the URL leads to any more.
        self.urls().landed = answer.as_ref().ok().map(|answer| answer.url.clone());
        answer
    }

    /// The bytes of a range of the opened version.
    async fn range(&self, range: Range<u64>) -> io::Result<reqwest::Response> {
        let answer = self.ask(range.clone(), Some(&self.validator)).await?;
        let headers = answer.response.headers();
        let is_ours = Validator::of(headers).is_some_and(|now| now == self.validator)
            || self.states_time(headers);
        match answer.held {
            Held::Part(_, total) if !is_ours || total != self.size => Err(stale()),
            Held::Part(held, _) if held == range => Ok(answer.response),
            Held::Part(..) => Err(wrong("its host answers with another range")),
            Held::Whole(_) if !is_ours => Err(stale()),
            held => Err(no_bytes(&self.address, held)),
        }
    }

    /// Whether the answer states the time of modification that the video is known by. How old it is was judged at opening.
    fn states_time(&self, headers: &http::HeaderMap) -> bool {
        match &self.validator {
            Validator::Modified(time) => {
                !headers.contains_key(http::header::ETAG)
                    && answer::text(headers, &http::header::LAST_MODIFIED) == Some(time)
            }
            Validator::Tag(_) => false,
        }
    }

    fn not_renewed(&self, error: TokenError) -> io::Error {
        match error.is_temporary() {
            true => io::Error::new(io::ErrorKind::TimedOut, error.to_string()),
            false => io::Error::other(Error::url_not_renewed(&self.address, error)),
        }
    }
}

/// The error for an answer without the bytes that were asked for.
fn no_bytes(address: &str, held: Held) -> io::Error {
    match held {
        Held::Moved => stale(),
        Held::Refused(status) => io::Error::other(Error::url_refused(address, status)),
        Held::Missing(status) => wrong(&format!("its host has no such video ({status})")),
        Held::NotNow(status) => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("its host answers {status}"),
        ),
        Held::Whole(_) => wrong("its host answers with all of it instead of a range"),
        Held::Wrong(what) => wrong(&what),
        Held::Part(..) => wrong("its host answers with another range"),
    }
}

/// The error for a URL that is not asked for.
fn not_asked(address: &str, why: &str) -> Error {
    let error = Error::no_source(address, why);
    match why == network::PRIVATE {
        true => error.helped_by([Remedy::AllowPrivate]),
        false => error,
    }
}

/// The error of a video that could not be opened.
fn failed(address: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) if super::object::is_outage(&error) => Error::not_fetched_now(address, error),
        Err(error) => Error::not_fetched(address, error),
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

fn stale() -> io::Error {
    io::ErrorKind::StaleNetworkFileHandle.into()
}

impl Media for HttpsVideo {
    fn address(&self) -> &str {
        &self.0.address
    }

    fn opened(&self) -> MediaVersion {
        MediaVersion::new(self.0.size, self.0.validator.word())
    }

    fn read(&self, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        let inner = Arc::clone(&self.0);
        let answered = async move { inner.range(range).await };
        let bytes = stream::once(answered).map_ok(|answer| {
            stream::try_unfold(answer, |mut answer| async {
                let piece = answer.chunk().await.map_err(request::broke_off)?;
                Ok(piece.map(|piece| (piece, answer)))
            })
        });
        bytes.try_flatten().boxed()
    }
}

impl fmt::Debug for HttpsVideo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpsVideo").field(&self.0.address).finish()
    }
}
