//! Decides by their heads which requests are served, in one place before any route.

use std::io;

use axum::response::Response;
use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use serde_json::json;
use url::{Host, Url};

use super::answer::{Refusal, closing, json_answer};
use super::api;
use super::creator::bearer;
use super::shared::Shared;
use super::tls;

/// Longest accepted bearer token in bytes; the service's tokens have about 70.
pub(crate) const LONGEST_TOKEN: usize = 1024;

/// The header in which a browser states where a request comes from; other clients do not send it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host names under which this server answers.
///
/// A page of another site can make its own name resolve to this machine, and its scripts could then read every answer
/// (DNS rebinding). So a name is served only if no other site can own it, or if the user allowed it.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    named: Vec<String>,
}

impl Hosts {
    /// The names that the user allowed, and the host of the upload URLs.
    pub(crate) fn new(allowed: &[String], upload_origin: Option<&str>) -> io::Result<Self> {
        let mut named = Vec::new();
        for name in allowed {
            let host = Host::parse(name).map_err(|_| {
                let why = format!("`{name}` is no host name: give it without scheme and port");
                io::Error::new(io::ErrorKind::InvalidInput, why)
            })?;
            named.push(plain(&host.to_string()));
        }
        let origin = upload_origin.and_then(|origin| Url::parse(origin).ok());
        named.extend(origin.and_then(|origin| origin.host_str().map(plain)));
        Ok(Self { named })
    }

    /// The names that the user allowed.
    pub(crate) fn named(&self) -> &[String] {
        &self.named
    }

    fn serve(&self, host: &Host<String>) -> bool {
        let Host::Domain(name) = host else {
            return true;
        };
        let name = plain(name);
        !name.contains('.')
            || name.ends_with(".localhost")
            || tls::SERVICE.contains(&&*name)
            || self.named.contains(&name)
    }
}

/// A name in the form for comparisons.
fn plain(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase()
}

/// The host in `HOST[:PORT]`.
fn host(authority: &str) -> Option<Host<String>> {
    let foreign = |byte: u8| matches!(byte, b'/' | b'?' | b'#' | b'@' | b'\\');
    if authority.bytes().any(foreign) {
        return None;
    }
    let url = Url::parse(&format!("http://{authority}/")).ok()?;
    url.host().map(|host| host.to_owned())
}

/// The answer to a request that is refused; `None` if it may be served.
pub(crate) fn refuse(parts: &Parts, shared: &Shared) -> Option<Response> {
    let refused = match check_host(parts, &shared.hosts) {
        Err((status, why)) => (status, "misdirected_request", why),
        Ok(()) if is_foreign(parts) => {
            // The page's own script shows this sentence.
            let why = "a page of another site must not do this";
            return Some(closing(json_answer(403, &json!({ "error": why }))));
        }
        Ok(()) if bearer(&parts.headers).is_some_and(|token| token.len() > LONGEST_TOKEN) => {
            let why = format!("The access token is longer than {LONGEST_TOKEN} bytes");
            (401, "access_token_invalid", why)
        }
        Ok(()) => return None,
    };
    let (status, code, message) = refused;
    let mut service = shared.service();
    let settings = service.settings(None);
    let refusal = Refusal::no_call(status, code, message);
    Some(closing(api::refuse(&mut service, refusal, &settings)))
}

/// Checks that the host in the head is served. HTTP/1.1 must name one host, once (RFC 9112, 3.2).
fn check_host(parts: &Parts, hosts: &Hosts) -> Result<(), (u16, String)> {
    let headers: Vec<_> = parts.headers.get_all(HOST).iter().collect();
    let target = parts.uri.authority().map(|authority| authority.as_str());
    let complete = match parts.version {
        Version::HTTP_10 => headers.len() <= 1,
        Version::HTTP_2 => headers.len() <= 1 && (target.is_some() || !headers.is_empty()),
        _ => headers.len() == 1,
    };
    let named = headers
        .iter()
        .map(|value| value.to_str().ok())
        .chain([target].into_iter().filter(Option::is_some));
    for authority in named {
        let Some(host) = authority.and_then(host) else {
            return Err((400, "the Host header cannot be read".to_owned()));
        };
        if !hosts.serve(&host) {
            let name = plain(&host.to_string());
            let why = format!(
                "this server does not answer for the host {name}; if that name is meant to lead here, start the \
                 server with --allow-host {name}"
            );
            return Err((421, why));
        }
    }
    match complete {
        true => Ok(()),
        false => Err((400, "a request must name its host exactly once".to_owned())),
    }
}

/// Whether a browser makes this request for a page of another site, and it would change something below `/_emulator`.
/// Any page may try, and this server must not obey.
fn is_foreign(parts: &Parts) -> bool {
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if reads || !parts.uri.path().starts_with("/_emulator/") {
        return false;
    }
    let text = |name: &HeaderName| parts.headers.get(name).map(|value| value.to_str());
    let host = match text(&HOST) {
        Some(host) => host.ok(),
        // HTTP/2 states it in the target.
        None => parts.uri.authority().map(|host| host.as_str()),
    };
    match (text(&SITE), text(&ORIGIN)) {
        (Some(Ok("same-origin" | "none")), _) => false,
        (Some(_), _) => true,
        (None, Some(origin)) => {
            let from = origin.ok().and_then(|origin| origin.split_once("://"));
            from.map(|(_, host)| host) != host
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn foreign(method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder()
            .method(method)
            .uri("/_emulator/reset")
            .header(HOST, "127.0.0.1:8787");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_foreign(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn no_other_site_presses_a_button_here() {
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:9",
            "http://127.0.0.1",
        ] {
            assert!(foreign("POST", &[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "nonsense"] {
            assert!(foreign("PUT", &[("sec-fetch-site", site)]), "{site}");
        }
        // Two ports of one host are one site, and still two origins.
        let neighbour = [
            ("sec-fetch-site", "same-site"),
            ("origin", "http://127.0.0.1:8787"),
        ];
        assert!(foreign("DELETE", &neighbour));
        assert!(!foreign("POST", &[("origin", "http://127.0.0.1:8787")]));
        assert!(!foreign("POST", &[("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn programs_say_nothing_about_their_origin_and_may_do_everything() {
        assert!(!foreign("POST", &[]));
        assert!(!foreign("GET", &[("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn no_spelling_of_a_host_slips_through() {
        let hosts = Hosts::new(&["App.Test.".to_owned()], Some("https://up.example:8443")).unwrap();
        let serves = |authority| host(authority).is_some_and(|host| hosts.serve(&host));
        for known in [
            "app.test:1",
            "APP.test.",
            "up.example",
            "0x7f.1",
            "%6cocalhost:1",
        ] {
            assert!(serves(known), "{known}");
        }
        for other in [
            "evil.example@localhost",
            "localhost@evil.example",
            "localhost/.evil.example",
            "localhost#.evil.example",
            "localhost\\.evil.example",
            "evil.example?.localhost",
            "example",
            "",
            ":80",
            "localhost:x",
        ] {
            assert_eq!(serves(other), other == "example", "{other}");
        }
        assert!(Hosts::new(&["a:80".to_owned()], None).is_err());
    }
}
