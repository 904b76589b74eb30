//! The consent of a creator to an app: the request, the decision and the redirect (D OA, LKW, LKD).

use axum::response::Response;
use hyper::header::{HeaderValue, LOCATION, SET_COOKIE};
use url::Url;

use super::answer::empty_answer;
use super::call::{CREATOR_COOKIE, Call};
use super::oauth::{Failure, Form, answer, fail, optional, pairs, required};
use super::page;
use super::service::Service;
use super::settings::{Consent as Mode, Settings};
use super::tokens::{ALL_SCOPES, Code, Consent};

/// An app's request for consent.
pub(crate) struct Wish<'a> {
    form: &'a Form,
    pub(crate) client_key: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) scopes: &'a str,
    back: Url,
}

enum Decision {
    Ask,
    Grant(String),
    Refuse,
}

/// `GET /v2/auth/authorize/`: `consent` decides for browsers; a program cannot press a button, so it is granted at once.
/// `creator=NAME` chooses the creator and `deny=1` refuses; both exist only here.
pub(crate) fn authorize(service: &mut Service, call: &Call, settings: &Settings) -> Response {
    let form = pairs(call.query.as_bytes());
    let decided = Wish::read(&form).and_then(|wish| match wish.decision(service, call, settings) {
        Decision::Ask => Ok(page::ask(
            &wish,
            &call.query,
            &service.known_creators(),
            call.creator_cookie.as_deref(),
        )),
        Decision::Refuse => Ok(see(302, &wish.refuse())),
        Decision::Grant(creator) => wish.grant(service, &creator).map(|url| see(302, &url)),
    });
    decided.unwrap_or_else(|failure| answer(service, Err(failure), settings))
}

/// Handles the buttons of the consent page.
pub(crate) fn decide(service: &mut Service, query: &str, body: &[u8]) -> Response {
    let (form, decision) = (pairs(query.as_bytes()), pairs(body));
    let settings = service.settings(None);
    let decided = Wish::read(&form).and_then(|wish| {
        if required(&decision, "decision")? != "allow" {
            return Ok(see(303, &wish.refuse()));
        }
        let creator = required(&decision, "creator")?;
        let mut response = see(303, &wish.grant(service, creator)?);
        let cookie = format!("{CREATOR_COOKIE}={creator}; Path=/; HttpOnly; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        Ok(response)
    });
    decided.unwrap_or_else(|failure| answer(service, Err(failure), &settings))
}

/// Redirects the browser.
fn see(status: u16, url: &Url) -> Response {
    let mut response = empty_answer(status);
    if let Ok(location) = HeaderValue::from_str(url.as_str()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

impl<'a> Wish<'a> {
    fn read(form: &'a Form) -> Result<Self, Failure> {
        let client_key = required(form, "client_key")?;
        let redirect_uri = required(form, "redirect_uri")?;
        let back = check_redirect(redirect_uri)?;
        if required(form, "response_type")? != "code" {
            return fail("unsupported_response_type", "response_type must be code");
        }
        let scopes = required(form, "scope")?;
        let known = |scope: &str| ALL_SCOPES.split(',').any(|known| known == scope);
        if let Some(unknown) = scopes.split(',').find(|scope| !known(scope)) {
            return fail("invalid_scope", format!("{unknown} is no scope"));
        }
        let challenge = optional(form, "code_challenge")?;
        let method = form.get("code_challenge_method").map(String::as_str);
        if challenge.is_some() && method != Some("S256") {
            return fail("invalid_request", "code_challenge_method must be S256");
        }
        // A desktop app cannot keep a secret, so it must prove that the code is its own (D LKD).
        if back.scheme() == "http" && challenge.is_none() {
            return fail(
                "invalid_request",
                "code_challenge is required for a desktop redirect",
            );
        }
        Ok(Self {
            form,
            client_key,
            redirect_uri,
            scopes,
            back,
        })
    }

    fn given(&self, key: &str) -> Option<&'a str> {
        self.form.get(key).map(String::as_str)
    }

    /// The creator in the page's query.
    pub(crate) fn creator(&self) -> Option<&'a str> {
        self.given("creator")
    }

    fn decision(&self, service: &Service, call: &Call, settings: &Settings) -> Decision {
        if self.given("deny") == Some("1") {
            return Decision::Refuse;
        }
        let named = self.creator();
        match settings.consent {
            Mode::Refused => Decision::Refuse,
            Mode::Ask if call.wants_html => {
                // A creator who has agreed to these scopes before is not asked again, unless the app wants it (D LKW).
                let again = self.given("disable_auto_auth") == Some("1");
                let before = call.creator_cookie.as_deref().filter(|creator| {
                    let same = named.is_none_or(|named| named == *creator);
                    same && service
                        .tokens
                        .has_consent(self.client_key, creator, self.scopes)
                });
                match before.filter(|_| !again) {
                    Some(creator) => Decision::Grant(creator.to_owned()),
                    None => Decision::Ask,
                }
            }
            Mode::Ask | Mode::Granted => Decision::Grant(named.unwrap_or("creator").to_owned()),
        }
    }

    fn refuse(&self) -> Url {
        let mut url = self.back.clone();
        url.query_pairs_mut()
            .append_pair("error", "access_denied")
            .append_pair("error_description", "The user denied the request")
            .append_pair("state", self.given("state").unwrap_or_default());
        url
    }

    fn grant(&self, service: &mut Service, creator: &str) -> Result<Url, Failure> {
        // A dot would end the name within its token.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if creator.is_empty() || creator.len() > 40 || !creator.bytes().all(sound) {
            return fail(
                "invalid_request",
                "creator must be up to 40 letters, digits, _ and -",
            );
        }
        // Codes of the service contain a star and an exclamation mark: a client that does not decode them fails here,
        // too.
        let text = format!(
            "{creator}.{:016x}*1!{}",
            service.random.u64(..),
            service.random.u16(..)
        );
        let mut url = self.back.clone();
        url.query_pairs_mut()
            .append_pair("code", &text)
            .append_pair("scopes", self.scopes)
            .append_pair("state", self.given("state").unwrap_or_default());
        let consent = Consent {
            creator: creator.to_owned(),
            scopes: self.scopes.to_owned(),
            client_key: self.client_key.to_owned(),
        };
        service.tokens.keep_consent(consent.clone());
        let code = Code {
            consent,
            redirect_uri: self.redirect_uri.to_owned(),
            challenge: self.given("code_challenge").map(str::to_owned),
        };
        service.tokens.keep_code(text, code);
        Ok(url)
    }
}

/// Desktop: loopback over http with a port; web: https. Short, no query, no fragment (D LKD, LKW).
fn check_redirect(text: &str) -> Result<Url, Failure> {
    let Ok(url) = Url::parse(text) else {
        return fail("invalid_request", "redirect_uri is no URL");
    };
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1"));
    let allowed = match url.scheme() {
        "https" => true,
        "http" => local && url.port().is_some(),
        _ => false,
    };
    let plain = url.query().is_none() && url.fragment().is_none() && text.len() < 512;
    match allowed && plain {
        true => Ok(url),
        false => fail(
            "invalid_request",
            "redirect_uri must be https, or http to localhost with a port; no query, no fragment",
        ),
    }
}
