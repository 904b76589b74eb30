//! Issues, renews and revokes tokens (D OA, OA-new, LKD, OAE).
//!
//! The answers are flat, without the envelope of the other calls.

use std::collections::HashMap;

use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::admission::LONGEST_TOKEN;
use super::answer::json_answer;
use super::call::Call;
use super::creator::{creator_of, open_id};
use super::service::Service;
use super::settings::{Auth, OauthErrorStatus, Pkce, Settings};
use super::tokens::{ALL_SCOPES, Consent, Pair};

/// Why a call was refused: the code and a text.
pub(crate) struct Failure(&'static str, String);

pub(crate) type Form = HashMap<String, String>;

pub(crate) fn fail<T>(error: &'static str, description: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(error, description.into()))
}

pub(crate) fn pairs(text: &[u8]) -> Form {
    form_urlencoded::parse(text).into_owned().collect()
}

pub(crate) fn required<'a>(form: &'a Form, key: &str) -> Result<&'a str, Failure> {
    match optional(form, key)? {
        Some(value) if !value.is_empty() => Ok(value),
        _ => fail("invalid_request", format!("{key} is required")),
    }
}

/// Reads an optional field, which may not be longer than a token.
pub(crate) fn optional<'a>(form: &'a Form, key: &str) -> Result<Option<&'a str>, Failure> {
    match form.get(key) {
        Some(value) if value.len() > LONGEST_TOKEN => {
            let why = format!("{key} is longer than {LONGEST_TOKEN} bytes");
            fail("invalid_request", why)
        }
        value => Ok(value.map(String::as_str)),
    }
}

/// `POST /v2/oauth/token/`: exchanges a code or a refresh token for a pair of tokens.
pub(crate) fn token(service: &mut Service, call: &Call, settings: &Settings) -> Response {
    let given = call.form().and_then(|form| {
        required(&form, "client_key")?;
        required(&form, "client_secret")?;
        match required(&form, "grant_type")? {
            "authorization_code" => by_code(service, &form, settings),
            "refresh_token" => by_refresh(service, &form, settings),
            other => fail(
                "unsupported_grant_type",
                format!("{other} is not supported"),
            ),
        }
    });
    answer(service, given.map(|pair| tell(&pair)), settings)
}

/// `POST /v2/oauth/revoke/`: revokes a creator's tokens; unfinished uploads fail.
pub(crate) fn revoke(service: &mut Service, call: &Call, settings: &Settings) -> Response {
    let revoked = call.form().and_then(|form| {
        required(&form, "client_key")?;
        required(&form, "client_secret")?;
        let token = required(&form, "token")?;
        let creator = service.tokens.revoke(token, creator_of(token));
        service.remove_auth(&creator, token);
        Ok(json!({}))
    });
    answer(service, revoked, settings)
}

fn by_code(service: &mut Service, form: &Form, settings: &Settings) -> Result<Pair, Failure> {
    let text = required(form, "code")?;
    let redirect_uri = required(form, "redirect_uri")?;
    let consent = match (service.tokens.take_code(text), settings.auth) {
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
            check_verifier(code.challenge.as_deref(), form, settings.pkce)?;
            code.consent
        }
        (None, Auth::Issued) => {
            return fail("invalid_grant", "Authorization code is invalid or expired");
        }
        // Any code is accepted; the part before its first dot names the creator.
        (None, Auth::Any) => Consent {
            creator: text.split('.').next().unwrap_or(text).to_owned(),
            scopes: ALL_SCOPES.to_owned(),
            client_key: form["client_key"].clone(),
        },
    };
    let now = service.now();
    Ok(service
        .tokens
        .issue(consent, now, settings, &mut service.random))
}

/// The challenge is the hex of the verifier's SHA-256, not its base64 (D LKD), unless the settings have it otherwise.
fn check_verifier(challenge: Option<&str>, form: &Form, pkce: Pkce) -> Result<(), Failure> {
    let Some(challenge) = challenge else {
        return Ok(());
    };
    let verifier = required(form, "code_verifier")?;
    let digest = Sha256::digest(verifier);
    let is_hex = hex::encode(digest) == challenge;
    let is_base64 = BASE64_URL_SAFE_NO_PAD.encode(digest) == challenge;
    let is_right = match pkce {
        Pkce::Hex => is_hex,
        Pkce::Base64Url => is_base64,
        Pkce::Either => is_hex || is_base64,
    };
    match is_right {
        true => Ok(()),
        false => fail(
            "invalid_grant",
            "Code verifier or code challenge is invalid",
        ),
    }
}

fn by_refresh(service: &mut Service, form: &Form, settings: &Settings) -> Result<Pair, Failure> {
    let old = required(form, "refresh_token")?;
    let now = service.now();
    let renewed = service
        .tokens
        .renew(old, now, settings, &mut service.random);
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

/// A flat answer, without the envelope.
pub(crate) fn answer(
    service: &mut Service,
    given: Result<Value, Failure>,
    settings: &Settings,
) -> Response {
    match given {
        Ok(value) => json_answer(200, &value),
        Err(Failure(error, description)) => {
            let status = match (settings.oauth_error_status, error) {
                (OauthErrorStatus::Ok, _) => 200,
                (OauthErrorStatus::Fails, "invalid_client") => 401,
                (OauthErrorStatus::Fails, _) => 400,
            };
            let log_id = service.log_id();
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
