//! The service's OAuth: the page where a creator consents, and the answers of the token endpoint. Sources: User Access
//! Token Management, Login Kit for Desktop, Login Kit for Web, OAuth Error Handling.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded;

use super::answers;
use super::codes::Code;
use crate::answer::{Failure, Granted, Refusal};
use crate::secret::{Redactor, Secret};

pub(crate) const TOKEN: &str = "/v2/oauth/token/";
pub(crate) const REVOKE: &str = "/v2/oauth/revoke/";

/// The consent page of the live service. An emulator has the page at its API base.
const AUTHORIZE: &str = "https://www.tiktok.com/v2/auth/authorize/";

/// The form of a PKCE challenge.
///
/// Login Kit for Desktop documents the hexadecimal form, and five independent clients report that it works, although the
/// standard (RFC 7636) has base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Pkce {
    /// SHA-256 in lower-case hexadecimal, as the service documents it.
    #[default]
    Hex,
    /// SHA-256 in base64url without padding, as in the standard.
    Base64Url,
}

impl Pkce {
    fn challenge(self, verifier: &Secret) -> String {
        let digest = Sha256::digest(verifier.expose());
        match self {
            Self::Hex => hex::encode(digest),
            Self::Base64Url => BASE64_URL_SAFE_NO_PAD.encode(digest),
        }
    }
}

/// An app's request for a creator's consent.
pub(crate) struct Wish<'a> {
    pub(crate) client_key: &'a str,
    pub(crate) scopes: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: &'a Secret,
    pub(crate) verifier: &'a Secret,
    pub(crate) pkce: Pkce,
}

impl Wish<'_> {
    /// The address that the creator opens; `emulated` is the API base of an emulator, if there is one.
    pub(crate) fn url(&self, emulated: Option<&Url>) -> Url {
        let page = emulated.and_then(|base| base.join("/v2/auth/authorize/").ok());
        let mut url = page.unwrap_or_else(|| {
            Url::parse(AUTHORIZE).unwrap_or_else(|_| unreachable!("the address is a constant"))
        });
        url.query_pairs_mut()
            .append_pair("client_key", self.client_key)
            .append_pair("scope", self.scopes)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("state", self.state.expose())
            .append_pair("response_type", "code")
            .append_pair("code_challenge", &self.pkce.challenge(self.verifier))
            .append_pair("code_challenge_method", "S256");
        url
    }
}

/// The result of a consent, as the creator's browser brings it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirected {
    pub(crate) state: Secret,
    /// The code, or the error and its description.
    pub(crate) code: Result<Secret, (String, String)>,
}

impl Redirected {
    /// Reads the address that the browser was sent to, or only its query. `None` if it has neither a code nor an error.
    pub(crate) fn read(address: &str) -> Option<Self> {
        let query = match address.split_once('?') {
            Some((_, query)) => query.split('#').next().unwrap_or_default(),
            None => address,
        };
        let (mut state, mut code, mut error, mut description) = (None, None, None, None);
        for (key, value) in form_urlencoded::parse(query.trim().as_bytes()) {
            match &*key {
                "state" => state = Some(Secret::new(&value)),
                "code" => code = Some(Secret::new(&value)),
                "error" => error = Some(value.into_owned()),
                "error_description" => description = Some(value.into_owned()),
                _ => {}
            }
        }
        let code = match (code, error) {
            (_, Some(error)) => Err((error, description.unwrap_or_default())),
            (Some(code), None) => Ok(code),
            (None, None) => return None,
        };
        Some(Self {
            state: state.unwrap_or_else(Secret::none),
            code,
        })
    }
}

/// The body of a call to the token endpoint.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}

#[derive(Deserialize)]
struct Pair {
    #[serde(deserialize_with = "crate::secret::stored::deserialize")]
    access_token: Secret,
    expires_in: u64,
    #[serde(deserialize_with = "crate::secret::stored::deserialize")]
    refresh_token: Secret,
    refresh_expires_in: u64,
    open_id: String,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
struct Stated {
    error: String,
    #[serde(default)]
    error_description: String,
    log_id: Option<String>,
}

/// The tokens in an answer. The answer is flat, without the envelope of the other calls, and an error may come with HTTP
/// 200.
pub(crate) fn granted(
    http_status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    redactor: &Redactor,
) -> Result<Granted, Failure> {
    stated(http_status, retry_after, body, redactor)?;
    let pair: Pair = serde_json::from_slice(body)
        // An error of serde repeats the answer.
        .map_err(|_| Failure::Lost("an answer without tokens".into()))?;
    for token in [&pair.access_token, &pair.refresh_token] {
        if token.is_empty() {
            return Err(Failure::Lost("an answer with an empty token".into()));
        }
        redactor.learn_token(token);
    }
    let is_secret = redactor.has_credential(&pair.open_id) || redactor.has_credential(&pair.scope);
    if is_secret || pair.open_id.is_empty() || pair.open_id.len() > 256 {
        return Err(Failure::Lost(
            "an answer with an open_id that is none".into(),
        ));
    }
    Ok(Granted {
        access: pair.access_token,
        access_lives: Duration::from_secs(pair.expires_in),
        refresh: pair.refresh_token,
        refresh_lives: Duration::from_secs(pair.refresh_expires_in),
        open_id: pair.open_id,
        scopes: pair.scope,
    })
}

/// Fails if the token endpoint has refused the call.
pub(crate) fn stated(
    http_status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    redactor: &Redactor,
) -> Result<(), Failure> {
    let stated = serde_json::from_slice::<Stated>(body).ok();
    match stated.filter(|stated| !stated.error.is_empty()) {
        Some(stated) => {
            let code = redactor.redact(&stated.error);
            Err(answers::failure(Refusal {
                meaning: Code::of(&code, http_status).meaning,
                code,
                message: redactor.redact(&stated.error_description),
                log_id: stated.log_id.map(|log_id| redactor.redact(&log_id)),
                retry_after,
                http_status,
            }))
        }
        None if !(200..300).contains(&http_status) => {
            Err(answers::failure(answers::without_words(http_status)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_made_in_both_ways() {
        // RFC 7636, appendix B.
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(
            Pkce::Base64Url.challenge(&verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        assert_eq!(
            Pkce::Hex.challenge(&verifier),
            "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3"
        );
    }

    #[test]
    fn what_a_browser_brings_back_is_read_from_an_address_or_its_query() {
        let read = |text: &str| Redirected::read(text);
        let code = |text: &str| read(text).map(|read| read.code);
        let address = "http://127.0.0.1:4711/?code=lena.0a*1%211&scopes=video.upload&state=s1#x";
        assert_eq!(code(address), Some(Ok(Secret::new("lena.0a*1!1"))));
        assert_eq!(
            read(address).map(|read| read.state),
            Some(Secret::new("s1"))
        );
        assert_eq!(code("code=c&state=s"), Some(Ok(Secret::new("c"))));
        let refused = code("http://127.0.0.1:1/?error=access_denied&error_description=no&state=s");
        assert_eq!(refused, Some(Err(("access_denied".into(), "no".into()))));
        for none in ["", "http://127.0.0.1:1/", "favicon.ico", "state=s"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn an_error_counts_whatever_the_http_status_and_its_text_holds_no_secret() {
        let redactor = Redactor::default();
        redactor.learn_token(&Secret::new("rft.lena.0123456789"));
        let body = br#"{"error":"invalid_grant","error_description":"rft.lena.0123456789 is spent","log_id":"L1"}"#;
        for status in [200, 400] {
            let refused = granted(status, None, body, &redactor);
            let Err(Failure::Refused(refusal)) = refused else {
                panic!("{status}: not refused");
            };
            assert_eq!(refusal.code, "invalid_grant");
            assert!(!refusal.message.contains("lena"), "{}", refusal.message);
        }
        let faulty = granted(502, None, b"<html>", &redactor);
        assert!(matches!(faulty, Err(Failure::Faulty(_))));
        let unread = granted(200, None, b"{\"access_token\":\"a\"}", &redactor);
        assert!(matches!(unread, Err(Failure::Lost(_))));
    }
}
