//! The calls of the API, one method for each; chunks are in `put`, the preflight of a URL in `preflight`. No retries and
//! no offsets: other modules decide what follows an answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use serde::Serialize;
use url::Url;

use crate::answer::{Call, Failure, Opened, Report};
use crate::engine::metrics::Cells;
use crate::error::Error;
use crate::secret::{Redactor, Secret};
use crate::source::https::network::Resolver;
use crate::tiktok::ca_file::CaFile;
use crate::tiktok::hosts::HostPolicy;
use crate::tiktok::json::{self, Body, InitRequest, PublishId, SourceInfo};
use crate::tiktok::wire_log::WireLog;
use crate::upload::plan::Plan;
use crate::upload::retry::Waits;

mod answer;
mod http;
mod log;
pub(crate) mod oauth;
mod preflight;
mod proxy;
mod put;

use answer::{Arrived, drain, unanswered};
pub(crate) use log::Subject;
use log::{Seen, shown_request};

const INBOX_INIT: &str = "/v2/post/publish/inbox/video/init/";
const CANCEL: &str = "/v2/post/publish/cancel/";
const STATUS_FETCH: &str = "/v2/post/publish/status/fetch/";
const USER_INFO: &str = "/v2/user/info/?fields=open_id";

#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    hosts: HostPolicy,
    waits: Waits,
    ca_file: Option<CaFile>,
    wire_log: Option<Arc<WireLog>>,
    counters: Arc<Cells>,
    /// The upload that the calls belong to, for the wire log.
    subject: Arc<Subject>,
    redactor: Arc<Redactor>,
    /// The environment variable that names the proxy, if there is one.
    proxy: Option<&'static str>,
}

impl Client {
    /// A client of the service.
    pub(crate) fn new(
        hosts: HostPolicy,
        waits: Waits,
        ca_file: Option<&CaFile>,
        wire_log: Option<Arc<WireLog>>,
    ) -> Result<Self, Error> {
        let proxy = proxy::named(hosts.base())?;
        let http = http::client(&hosts, waits, ca_file, None)?;
        Ok(Self {
            http,
            hosts,
            waits,
            ca_file: ca_file.cloned(),
            wire_log,
            counters: Arc::default(),
            subject: Arc::default(),
            redactor: Arc::default(),
            proxy,
        })
    }

    /// The certificates that are trusted besides the system's.
    #[cfg(feature = "object-store")]
    pub(crate) const fn ca_file(&self) -> Option<&CaFile> {
        self.ca_file.as_ref()
    }

    /// A client for the hosts of videos, which has no credential and finds their addresses by this resolver.
    pub(crate) fn of_sources(&self, resolver: Resolver) -> Result<reqwest::Client, Error> {
        http::client(
            &self.hosts,
            self.waits,
            self.ca_file.as_ref(),
            Some(resolver),
        )
    }

    /// Counts its requests, and what comes of them, in these counters.
    pub(crate) fn counting(mut self, counters: &Arc<Cells>) -> Self {
        self.counters = Arc::clone(counters);
        self
    }

    pub(crate) fn counters(&self) -> &Arc<Cells> {
        &self.counters
    }

    /// The secrets that no answer may repeat. The client adds the secrets of its own calls; the caller adds those of
    /// earlier processes.
    pub(crate) const fn redactor(&self) -> &Arc<Redactor> {
        &self.redactor
    }

    /// Whether the API base is another than the live service's.
    pub(crate) const fn is_emulated(&self) -> bool {
        self.hosts.is_overridden()
    }

    /// Sends the init of a file. Not idempotent: the service cannot recognise a repeat.
    pub(crate) async fn init(&self, token: &Secret, plan: &Plan) -> Result<Opened, Failure> {
        let opened = self.ask_for_init(token, plan.into()).await?;
        let Some(upload_url) = &opened.upload_url else {
            return Err(Failure::Lost("an answer without an upload_url".into()));
        };
        self.check_host(upload_url)?;
        Ok(opened)
    }

    /// Sends the init of a pull. Not idempotent, and itself the post.
    pub(crate) async fn init_pull(&self, token: &Secret, url: &Secret) -> Result<Opened, Failure> {
        self.redactor.learn_query(url);
        let video_url = url.clone();
        let opened = self.ask_for_init(token, SourceInfo::PullFromUrl { video_url });
        Ok(Opened {
            upload_url: None,
            ..opened.await?
        })
    }

    async fn ask_for_init(&self, token: &Secret, source: SourceInfo) -> Result<Opened, Failure> {
        let request = InitRequest {
            source_info: source,
        };
        self.call(Call::Init, INBOX_INIT, token, &request, json::opened)
            .await
    }

    /// The URL for the chunks, if its host may get bytes.
    fn check_host(&self, upload_url: &Secret) -> Result<Url, Failure> {
        self.redactor.learn_url(upload_url);
        let checked = self.hosts.check(upload_url.expose());
        checked.map_err(|host| Failure::Host(host.redacted(|text| self.redactor.redact(text))))
    }

    /// Asks for the status of an upload.
    pub(crate) async fn status(&self, token: &Secret, publish_id: &str) -> Result<Report, Failure> {
        let request = PublishId { publish_id };
        self.call(Call::Status, STATUS_FETCH, token, &request, json::report)
            .await
    }

    /// Asks the service to cancel a pull.
    pub(crate) async fn cancel(&self, token: &Secret, publish_id: &str) -> Result<(), Failure> {
        let request = PublishId { publish_id };
        self.call(Call::Cancel, CANCEL, token, &request, json::done)
            .await
    }

    /// Asks for the open_id of the token's creator, which all tokens of that creator for this app share. Needs the scope
    /// user.info.basic. Source: Get User Info.
    pub(crate) async fn creator(&self, token: &Secret) -> Result<String, Failure> {
        let open_id = self
            .call(Call::Creator, USER_INFO, token, &(), json::open_id)
            .await?;
        match self.redactor.has_credential(&open_id) {
            true => Err(Failure::Lost("an open_id that is a secret".into())),
            false => Ok(open_id),
        }
    }

    /// Makes one request without a token, and returns the HTTP status and the time that the server states. Any answer will do.
    pub(crate) async fn reach(&self) -> Result<(u16, Option<SystemTime>), Failure> {
        let base = self.hosts.base().as_str().trim_end_matches('/');
        let request = self.http.get(format!("{base}{USER_INFO}")).send();
        let answer = match tokio::time::timeout(self.waits.call, request).await {
            Ok(answer) => answer.map_err(|error| self.unanswered(error))?,
            Err(_) => {
                let seconds = self.waits.call.as_secs();
                return Err(Failure::Lost(format!("none within {seconds} s")));
            }
        };
        let date = text(answer.headers(), &DATE);
        let date = date.and_then(|date| httpdate::parse_http_date(&date).ok());
        Ok((answer.status().as_u16(), date))
    }

    async fn call<T>(
        &self,
        call: Call,
        path: &str,
        token: &Secret,
        request: &impl Serialize,
        read: impl Fn(&Body<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let base = self.hosts.base().as_str().trim_end_matches('/');
        let bearer = bearer(token)?;
        self.redactor.learn_token(token);
        let body =
            serde_json::to_vec(request).map_err(|error| Failure::NotSent(error.to_string()))?;
        let asked = self.counters.ask(call);
        let exchange = async {
            let to = format!("{base}{path}");
            let request = match call {
                Call::Creator => self.http.get(to),
                _ => self
                    .http
                    .post(to)
                    .header(CONTENT_TYPE, "application/json; charset=UTF-8")
                    .body(body),
            };
            let answer = request
                .header(AUTHORIZATION, bearer)
                .send()
                .await
                .map_err(|error| self.unanswered(error))?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok((status, headers, drain(answer).await))
        };
        let answered = match tokio::time::timeout(self.waits.call, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::Lost(format!(
                "none within {} s",
                self.waits.call.as_secs()
            ))),
        };
        let (answer, result) = match answered {
            Ok((status, headers, arrived)) => {
                let Arrived { body, broke_off } = arrived.decoded(&headers);
                let read = read(&Body {
                    http_status: status,
                    retry_after: retry_after(&headers),
                    bytes: &body,
                    redactor: &self.redactor,
                });
                // A complete answer counts, however its connection ended.
                let read = read.map_err(|error| match (error, broke_off) {
                    (Failure::Lost(_), Some(broke_off)) => broke_off,
                    (error, _) => error,
                });
                // The creator's profile settles no open point of the protocol, so it is not logged.
                let logged = match call {
                    Call::Creator => Vec::new(),
                    _ => body,
                };
                (Some(Seen::new(status, headers, logged)), read)
            }
            Err(error) => (None, Err(error)),
        };
        let answer = answer.as_ref();
        self.log(call, path, shown_request(request), answer, asked, &result);
        result
    }

    /// Why a request got no answer. A proxy may be the reason for a missing connection.
    fn unanswered(&self, error: reqwest::Error) -> Failure {
        match (unanswered(error), self.proxy) {
            (Failure::NotSent(text), Some(name)) => {
                Failure::NotSent(format!("{text} (the variable {name} names a proxy)"))
            }
            (error, _) => error,
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    json::retry_after(&text(headers, &RETRY_AFTER)?, SystemTime::now())
}

/// The `Authorization` header for `token`. Tokens are printable ASCII without spaces (RFC 6750).
fn bearer(token: &Secret) -> Result<HeaderValue, Failure> {
    let is_token = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    let header = is_token.then(|| HeaderValue::from_str(&format!("Bearer {}", token.expose())));
    let Some(Ok(mut header)) = header else {
        return Err(Failure::Token(
            "the one given has a line break, a space or another character that no token has. Give the token alone, on one line"
                .into(),
        ));
    };
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests;
