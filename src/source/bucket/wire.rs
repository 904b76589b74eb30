//! The HTTP client below the stores: where it may go, and what it has seen of the last answer.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::StreamExt;
use http::header::{ACCEPT_ENCODING, HeaderValue, RANGE};
use http::{HeaderMap, Method, StatusCode};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use url::{Host, Url};

use super::trouble::Code;
use crate::error::cause::innermost;
use crate::tiktok::hosts::is_loopback;

const CONNECT: Duration = Duration::from_secs(10);

/// How long nothing may come of an answer. There is no limit for the whole of it: a chunk that is sent slowly is read slowly.
const SILENCE: Duration = Duration::from_secs(30);

/// The hosts that give out credentials answer at once, or are not there.
const SILENCE_OF_METADATA: Duration = Duration::from_secs(2);

/// Most bytes of a refusal that are read, for the code in it.
const REFUSAL: usize = 64 * 1024;

tokio::task_local! {
    static SEEN: Arc<Mutex<Seen>>;
}

/// What the last request of an operation has come to. Stores give errors as texts, which may hold what the server repeats of the
/// request; this holds nothing of that.
#[derive(Debug, Clone, Default)]
pub(super) enum Seen {
    /// No request was made.
    #[default]
    Nothing,
    Answer {
        /// Whether the object was asked for, and not credentials.
        of_object: bool,
        status: StatusCode,
        code: Option<Code>,
        /// The region in which the bucket is.
        region: Option<String>,
    },
    NoAnswer {
        of_object: bool,
        why: String,
    },
}

impl Seen {
    /// Leaves out a region that is no other one than this.
    pub(super) fn elsewhere(mut self, than: Option<&str>) -> Self {
        if let Self::Answer { region, .. } = &mut self
            && region.as_deref() == than
        {
            *region = None;
        }
        self
    }
}

/// Runs an operation of a store, and says what its last request has come to.
pub(super) async fn seeing<T>(operation: impl Future<Output = T>) -> (T, Seen) {
    let seen = Arc::default();
    let result = SEEN.scope(Arc::clone(&seen), operation).await;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (result, seen)
}

fn note(now: Seen) {
    // Outside of an operation nobody asks.
    let _ = SEEN.try_with(|seen| *seen.lock().unwrap_or_else(PoisonError::into_inner) = now);
}

/// Makes the HTTP clients of a store.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) certificates: Option<Arc<[u8]>>,
    /// The endpoint whose URL says http.
    pub(super) plain: Option<Url>,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let certificates = match &self.certificates {
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(HttpClient::new(Wire {
            certificates,
            plain: self.plain.clone(),
            clients: Default::default(),
        }))
    }
}

#[derive(Debug)]
struct Wire {
    certificates: Vec<reqwest::Certificate>,
    plain: Option<Url>,
    clients: [OnceLock<reqwest::Client>; 3],
}

/// How a host is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the proxy of the environment, if there is one.
    Outside,
    /// A proxy would resolve the address to itself.
    Loopback,
    /// What gives credentials to machines and containers.
    Metadata,
}

impl Way {
    fn to(url: &Url) -> Self {
        let is_link_local = match url.host() {
            Some(Host::Ipv4(address)) => address.is_link_local(),
            Some(Host::Ipv6(address)) => address.segments()[..2] == [0xfd00, 0xec2],
            Some(Host::Domain(name)) => name == "metadata.google.internal" || name == "metadata",
            None => false,
        };
        match (is_loopback(url), is_link_local) {
            (true, _) => Self::Loopback,
            (_, true) => Self::Metadata,
            _ => Self::Outside,
        }
    }
}

impl Wire {
    fn client(&self, way: Way) -> Result<&reqwest::Client, HttpError> {
        let kept = &self.clients[way as usize];
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        let build = |with_system: bool| {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("chunkferry/", env!("CARGO_PKG_VERSION")))
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .read_timeout(match way {
                    Way::Metadata => SILENCE_OF_METADATA,
                    _ => SILENCE,
                })
                .connect_timeout(match way {
                    Way::Metadata => SILENCE_OF_METADATA,
                    _ => CONNECT,
                });
            if way != Way::Outside {
                builder = builder.no_proxy();
            }
            match with_system {
                true => builder.tls_certs_merge(self.certificates.clone()),
                false => builder.tls_certs_only(self.certificates.clone()),
            }
            .build()
        };
        let client = match build(true) {
            // A system without certificates: a server over http needs none, and those of the settings suffice.
            Err(_)
                if way != Way::Outside || !self.certificates.is_empty() || self.plain.is_some() =>
            {
                build(false)
            }
            built => built,
        };
        let client = client.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        Ok(kept.get_or_init(|| client))
    }

    async fn send(
        &self,
        mut request: HttpRequest,
        of_object: bool,
    ) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.uri().to_string());
        let url = url.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let way = Way::to(&url);
        // Nothing but an endpoint that says so itself is spoken to in the clear, whatever sends us there.
        let may_be_plain = way != Way::Outside
            || self
                .plain
                .as_ref()
                .is_some_and(|plain| plain.host() == url.host());
        if url.scheme() != "https" && !may_be_plain {
            let why = std::io::Error::other("it is not https, and no endpoint that was named");
            return Err(HttpError::new(HttpErrorKind::Unknown, why));
        }
        if of_object {
            let as_it_is = HeaderValue::from_static("identity");
            request.headers_mut().insert(ACCEPT_ENCODING, as_it_is);
        }
        self.client(way)?.call(request).await
    }
}

impl HttpService for Wire {
    fn call<'a, 'f>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'f, Result<HttpResponse, HttpError>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let of_object =
                request.method() == Method::HEAD || request.headers().contains_key(RANGE);
            let answer = match self.send(request, of_object).await {
                Ok(answer) => answer,
                Err(error) => {
                    let why = innermost(&error);
                    note(Seen::NoAnswer { of_object, why });
                    return Err(error);
                }
            };
            let status = answer.status();
            let region = region(answer.headers());
            if status.is_success() {
                note(Seen::Answer {
                    of_object,
                    status,
                    code: None,
                    region,
                });
                return Ok(answer);
            }
            let (parts, body) = answer.into_parts();
            let stated = parts.headers.get("x-ms-error-code");
            let code = match stated.and_then(|code| Code::known(code.to_str().ok()?)) {
                Some(code) => Some(code),
                None => Code::within(&start(body).await),
            };
            note(Seen::Answer {
                of_object,
                status,
                code,
                region,
            });
            // The store puts the body into its errors: a server may have repeated the request in it.
            let nothing = HttpResponseBody::from(Bytes::new());
            Ok(HttpResponse::from_parts(parts, nothing))
        })
    }
}

/// As much of a refusal as is looked at.
async fn start(body: HttpResponseBody) -> Vec<u8> {
    let mut pieces = body.bytes_stream();
    let mut start = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        let room = REFUSAL - start.len();
        start.extend_from_slice(&piece[..piece.len().min(room)]);
        if start.len() == REFUSAL {
            break;
        }
    }
    start
}

/// The region that a server of AWS names.
fn region(headers: &HeaderMap) -> Option<String> {
    let named = headers.get("x-amz-bucket-region")?.to_str().ok()?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_region = !named.is_empty() && named.len() <= 32 && named.chars().all(is_name);
    is_region.then(|| named.to_owned())
}
