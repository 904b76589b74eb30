//! Consent, tokens, renewal and revocation (D OA, OA-new, LKW, LKD, OAE).
//!
//! Its answers are flat, without the envelope of the other calls.

use std::collections::HashMap;

use axum::response::Response;
use hyper::header::{HeaderValue, LOCATION};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::{Url, form_urlencoded};

use super::answer::{empty_answer, json_answer};
use super::call::Call;
use super::creator::{creator_of, open_id};
use super::settings::{Auth, OauthErrorStatus, Settings};
use super::tokens::{ALL_SCOPES, Code, Consent, Pair};
use super::world::World;

struct Failure(&'static str, String);

type Form = HashMap<String, String>;

fn fail<T>(error: &'static str, description: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(error, description.into()))
}

fn pairs(text: &[u8]) -> Form {
    form_urlencoded::parse(text).into_owned().collect()
}

fn required<'a>(form: &'a Form, key: &str) -> Result<&'a str, Failure> {
    match form.get(key).map(String::as_str) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => fail("invalid_request", format!("{key} is required")),
    }
}

/// `POST /v2/oauth/token/`: a code or a refresh token for a pair of tokens.
pub(crate) fn token(world: &mut World, call: &Call, settings: &Settings) -> Response {
    let given = call.form().and_then(|form| {
        required(&form, "client_key")?;
        required(&form, "client_secret")?;
        match required(&form, "grant_type")? {
            "authorization_code" => by_code(world, &form, settings),
            "refresh_token" => by_refresh(world, &form, settings),
            other => fail(
                "unsupported_grant_type",
                format!("{other} is not supported"),
            ),
        }
    });
    answer(world, given.map(|pair| tell(&pair)), settings)
}

/// `POST /v2/oauth/revoke/`: takes a creator's tokens back; what was on its way fails.
pub(crate) fn revoke(world: &mut World, call: &Call, settings: &Settings) -> Response {
    let revoked = call.form().and_then(|form| {
        required(&form, "client_key")?;
        required(&form, "client_secret")?;
        let token = required(&form, "token")?;
        let creator = world.tokens.revoke(token, creator_of(token));
        world.remove_auth(&creator, token);
        Ok(json!({}))
    });
    answer(world, revoked, settings)
}

/// `GET /v2/auth/authorize/`: consents at once for the creator named by `creator` and sends the
/// browser back with a code; `deny=1` refuses instead. Both are this server's own parameters.
pub(crate) fn authorize(world: &mut World, call: &Call, settings: &Settings) -> Response {
    let form = pairs(call.query.as_bytes());
    match consent(world, &form) {
        Ok(url) => {
            let mut response = empty_answer(302);
            if let Ok(location) = HeaderValue::from_str(url.as_str()) {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
        Err(failure) => answer(world, Err(failure), settings),
    }
}

fn consent(world: &mut World, form: &Form) -> Result<Url, Failure> {
    let client_key = required(form, "client_key")?;
    let redirect_uri = required(form, "redirect_uri")?;
    let mut url = check_redirect(redirect_uri)?;
    if required(form, "response_type")? != "code" {
        return fail("unsupported_response_type", "response_type must be code");
    }
    let scopes = required(form, "scope")?;
    let known = |scope: &str| ALL_SCOPES.split(',').any(|known| known == scope);
    if let Some(unknown) = scopes.split(',').find(|scope| !known(scope)) {
        return fail("invalid_scope", format!("{unknown} is no scope"));
    }
    let challenge = form.get("code_challenge");
    let method = form.get("code_challenge_method").map(String::as_str);
    if challenge.is_some() && method != Some("S256") {
        return fail("invalid_request", "code_challenge_method must be S256");
    }
    // A desktop app cannot keep a secret, so it must prove that the code is its own (D LKD).
    if url.scheme() == "http" && challenge.is_none() {
        return fail(
            "invalid_request",
            "code_challenge is required for a desktop redirect",
        );
    }
    let state = form.get("state").cloned().unwrap_or_default();
    if form.get("deny").is_some_and(|deny| deny == "1") {
        url.query_pairs_mut()
            .append_pair("error", "access_denied")
            .append_pair("error_description", "The user denied the request")
            .append_pair("state", &state);
        return Ok(url);
    }
    let creator = form
        .get("creator")
        .map_or("creator", String::as_str)
        .to_owned();
    // The star and the exclamation mark are what codes of the service carry: a client that does not
    // decode them fails here as it would there.
    let text = format!(
        "{creator}.{:016x}*1!{}",
        world.random.u64(..),
        world.random.u16(..)
    );
    url.query_pairs_mut()
        .append_pair("code", &text)
        .append_pair("scopes", scopes)
        .append_pair("state", &state);
    let code = Code {
        consent: Consent {
            creator,
            scopes: scopes.to_owned(),
            client_key: client_key.to_owned(),
        },
        redirect_uri: redirect_uri.to_owned(),
        challenge: challenge.cloned(),
    };
    world.tokens.keep_code(text, code);
    Ok(url)
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

fn by_code(world: &mut World, form: &Form, settings: &Settings) -> Result<Pair, Failure> {
    let text = required(form, "code")?;
    let redirect_uri = required(form, "redirect_uri")?;
    let consent = match (world.tokens.take_code(text), settings.auth) {
        (Some(code), _) => {
            if code.redirect_uri != redirect_uri {
                return fail(
                    "invalid_grant",
                    "redirect_uri is not the one of the consent",
                );
            }
            if code.consent.client_key != form["client_key"] {
                return fail("invalid_grant", "the code was given to another client");
            }
            check_verifier(code.challenge.as_deref(), form)?;
            code.consent
        }
        (None, Auth::Issued) => {
            return fail("invalid_grant", "Authorization code is invalid or expired");
        }
        // Any code is as good as another; what stands before its first dot names the creator.
        (None, Auth::Any) => Consent {
            creator: text.split('.').next().unwrap_or(text).to_owned(),
            scopes: ALL_SCOPES.to_owned(),
            client_key: form["client_key"].clone(),
        },
    };
    let now = world.now();
    Ok(world
        .tokens
        .issue(consent, now, settings, &mut world.random))
}

/// The challenge is the hex of the verifier's SHA-256, not its base64 (D LKD).
fn check_verifier(challenge: Option<&str>, form: &Form) -> Result<(), Failure> {
    let Some(challenge) = challenge else {
        return Ok(());
    };
    let verifier = required(form, "code_verifier")?;
    match hex::encode(Sha256::digest(verifier)) == challenge {
        true => Ok(()),
        false => fail(
            "invalid_grant",
            "Code verifier or code challenge is invalid",
        ),
    }
}

fn by_refresh(world: &mut World, form: &Form, settings: &Settings) -> Result<Pair, Failure> {
    let old = required(form, "refresh_token")?;
    let now = world.now();
    let renewed = world.tokens.renew(old, now, settings, &mut world.random);
    match renewed {
        Some(pair) => Ok(pair),
        None => fail("invalid_grant", "Refresh token is invalid or expired"),
    }
}

fn tell(pair: &Pair) -> Value {
    json!({
        "access_token": pair.access,
        "expires_in": pair.expires_in,
        "open_id": open_id(&pair.consent.creator),
        "refresh_expires_in": pair.refresh_expires_in,
        "refresh_token": pair.refresh,
        "scope": pair.consent.scopes,
        "token_type": "Bearer",
    })
}

fn answer(world: &mut World, given: Result<Value, Failure>, settings: &Settings) -> Response {
    match given {
        Ok(value) => json_answer(200, &value),
        Err(Failure(error, description)) => {
            let status = match (settings.oauth_error_status, error) {
                (OauthErrorStatus::Ok, _) => 200,
                (OauthErrorStatus::Fails, "invalid_client") => 401,
                (OauthErrorStatus::Fails, _) => 400,
            };
            let log_id = world.log_id();
            let body = json!({"error": error, "error_description": description, "log_id": log_id});
            json_answer(status, &body)
        }
    }
}

impl Call {
    /// The form in the body (D OA: `application/x-www-form-urlencoded`).
    fn form(&self) -> Result<Form, Failure> {
        match self.media_type() {
            Some("application/x-www-form-urlencoded") => Ok(pairs(&self.body)),
            _ => fail(
                "invalid_request",
                "the Content-Type must be application/x-www-form-urlencoded",
            ),
        }
    }
}
