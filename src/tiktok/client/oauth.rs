//! The calls of the token endpoint. Requests and answers hold secrets, so the wire log has neither.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;

use super::answer::drain;
use super::log::Seen;
use super::{Client, retry_after};
use crate::answer::{Call, Failure, Granted};
use crate::secret::Secret;
use crate::tiktok::oauth::{self, REVOKE, TOKEN, Wish};

/// The keys in each call of the token endpoint.
pub(crate) struct AppKeys<'a> {
    pub(crate) client_key: &'a str,
    pub(crate) client_secret: &'a Secret,
}

/// An answer of the token endpoint as it arrived. It holds tokens, and is stored before it is read.
pub(crate) struct Raw {
    pub(crate) http_status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// The address at which a creator consents.
    pub(crate) fn consent_url(&self, wish: &Wish<'_>) -> Url {
        self.redactor.learn_token(wish.state);
        self.redactor.learn_token(wish.verifier);
        wish.url(self.is_emulated().then(|| self.hosts.base()))
    }

    /// Exchanges a code for a pair of tokens. A code works once, so the call is never repeated.
    pub(crate) async fn grant_by_code(
        &self,
        app: AppKeys<'_>,
        code: &Secret,
        redirect_uri: &str,
        verifier: &Secret,
    ) -> Result<Raw, Failure> {
        self.redactor.learn_token(code);
        self.redactor.learn_token(verifier);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier.expose()),
        ];
        self.post_form(Call::Token, TOKEN, app, &form).await
    }

    /// Exchanges a refresh token for a new pair. The service may replace the refresh token with each answer, so the answer
    /// must be durable before it is used.
    pub(crate) async fn grant_by_refresh(
        &self,
        app: AppKeys<'_>,
        refresh: &Secret,
    ) -> Result<Raw, Failure> {
        self.redactor.learn_token(refresh);
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
        ];
        self.post_form(Call::Token, TOKEN, app, &form).await
    }

    /// Revokes the app's access to a creator.
    pub(crate) async fn revoke(&self, app: AppKeys<'_>, access: &Secret) -> Result<(), Failure> {
        self.redactor.learn_token(access);
        let form = [("token", access.expose())];
        let raw = self.post_form(Call::Revoke, REVOKE, app, &form).await?;
        oauth::stated(raw.http_status, raw.retry_after, &raw.body, &self.redactor)
    }

    /// The tokens in an answer, or why there are none.
    pub(crate) fn granted(&self, raw: &Raw) -> Result<Granted, Failure> {
        oauth::granted(raw.http_status, raw.retry_after, &raw.body, &self.redactor)
    }

    async fn post_form(
        &self,
        call: Call,
        path: &str,
        app: AppKeys<'_>,
        form: &[(&str, &str)],
    ) -> Result<Raw, Failure> {
        self.redactor.learn_token(app.client_secret);
        let own = [
            ("client_key", app.client_key),
            ("client_secret", app.client_secret.expose()),
        ];
        let body = oauth::form(&[&own[..], form].concat());
        let base = self.hosts.base().as_str().trim_end_matches('/');
        let asked = self.counters.ask(call);
        let exchange = async {
            let answer = self
                .http
                .post(format!("{base}{path}"))
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body)
                .send()
                .await
                .map_err(|error| self.unanswered(error))?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let arrived = drain(answer).await.decoded(&headers);
            Ok((status, headers, arrived))
        };
        let answered = match tokio::time::timeout(self.waits.call, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::Lost(format!(
                "none within {} s",
                self.waits.call.as_secs()
            ))),
        };
        let (seen, raw) = match answered {
            Ok((http_status, headers, arrived)) => {
                let raw = Raw {
                    http_status,
                    retry_after: retry_after(&headers),
                    body: arrived.body,
                };
                // An incomplete answer is not JSON.
                let whole = serde_json::from_slice::<serde::de::IgnoredAny>(&raw.body).is_ok();
                let raw = match arrived.broke_off {
                    Some(broke_off) if !whole => Err(broke_off),
                    _ => Ok(raw),
                };
                (Some(Seen::new(http_status, headers, Vec::new())), raw)
            }
            Err(error) => (None, Err(error)),
        };
        self.log(call, path, Value::Null, seen.as_ref(), asked, &raw);
        raw
    }
}
