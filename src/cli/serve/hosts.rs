//! The names that the service answers for over the network, and requests that a page of another site makes.
//!
//! A browser on the user's machine reaches the service, and runs the scripts of any page. A page can have requests sent, and can make a
//! name of its own lead here so that its scripts read the answers (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use url::Url;

use super::problem::Problem;

/// The header in which a browser says where a request comes from; other clients do not send it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts that requests may name.
#[derive(Debug)]
pub(super) struct Hosts {
    named: Vec<String>,
    /// The port that a host without one means.
    usual_port: u16,
}

impl Hosts {
    /// The hosts that the user named, for an address that speaks TLS or not.
    pub(super) fn new(named: &[String], tls: bool) -> Self {
        Self {
            named: named.iter().map(|name| plain(name)).collect(),
            usual_port: if tls { 443 } else { 80 },
        }
    }

    /// Refuses a request that names another host than this connection leads to.
    pub(super) fn check(&self, request: &Parts, local: SocketAddr) -> Result<(), Problem> {
        let mut named = request.headers.get_all(HOST).iter();
        let host = named.next().and_then(|host| host.to_str().ok());
        let alone = named.next().is_none();
        // A proxy's form of a request has its host in its first line, too.
        let target = request.uri.authority().map(Authority::as_str);
        match [host, target.or(host)] {
            [Some(host), Some(target)]
                if alone && self.serves(host, local) && self.serves(target, local) =>
            {
                Ok(())
            }
            _ => {
                let text = "The service does not answer for this host. If the name is meant to lead here, start the service with --host NAME.";
                Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "wrong_host",
                    text,
                ))
            }
        }
    }

    fn serves(&self, host: &str, local: SocketAddr) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        if host.contains('@') || host.ends_with(':') {
            return false;
        }
        let name = plain(authority.host());
        if self.named.contains(&name) {
            return true;
        }
        let (own, port) = (local.ip().to_canonical(), authority.port_u16());
        let by_ip = name.parse::<IpAddr>().ok();
        // A tunnel on the same machine has a port of its own.
        let loopback = name == "localhost" || by_ip.is_some_and(|ip| is_usual_loopback(&ip));
        loopback && own.is_loopback()
            || by_ip == Some(own) && port.unwrap_or(self.usual_port) == local.port()
    }
}

/// 127.0.0.1 and ::1: whatever is listened on, these are this machine.
fn is_usual_loopback(ip: &IpAddr) -> bool {
    ["127.0.0.1", "::1"].contains(&&*ip.to_string())
}

/// A host in the form for comparisons: without the dot at its end, and the brackets of an address.
fn plain(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.to_ascii_lowercase()
}

/// A host that the user names, without a port.
pub(super) fn named(text: &str) -> Result<String, String> {
    let host = plain(text);
    let is_name = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match is_name || host.parse::<IpAddr>().is_ok() {
        true => Ok(host),
        false => Err("it is a name or an IP address, without scheme and port".to_owned()),
    }
}

/// Refuses what a browser sends for a page of another site, whatever the request is.
pub(super) fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let all = |name: HeaderName| {
        headers
            .get_all(name)
            .into_iter()
            .map(|value| value.to_str())
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let from_here = |origin: &str| host.is_some_and(|host| is_origin_of(origin, host));
    let own = all(SITE).all(|site| matches!(site, Ok("same-origin" | "none")))
        && all(ORIGIN).all(|origin| origin.is_ok_and(from_here));
    match own {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "A page of another site must not use the service.",
        )),
    }
}

/// Whether an origin, such as `https://name:8443`, is this host.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let Some((scheme @ ("http" | "https"), _)) = origin.split_once("://") else {
        return false;
    };
    let host = Url::parse(&format!("{scheme}://{host}"));
    match (Url::parse(origin), host) {
        (Ok(origin), Ok(host)) => origin.origin() == host.origin(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn no_spelling_of_a_host_slips_through() {
        let hosts = Hosts::new(
            &["Clips.example.".to_owned(), "192.0.2.7".to_owned()],
            false,
        );
        let serves = |host: &str, local: &str| {
            let request = Request::builder().uri("/v1/jobs").header(HOST, host);
            let request = request.body(()).unwrap().into_parts().0;
            hosts.check(&request, local.parse().unwrap()).is_ok()
        };
        for (host, local) in [
            ("localhost", "127.0.0.1:8790"),
            ("LOCALHOST.:9", "127.0.0.1:8790"),
            ("127.0.0.1:9", "127.0.0.1:8790"),
            ("[::1]:8790", "[::1]:8790"),
            ("127.0.0.9:8790", "127.0.0.9:8790"),
            ("10.0.0.5:8790", "[::ffff:10.0.0.5]:8790"),
            ("10.0.0.5", "10.0.0.5:80"),
            ("clips.EXAMPLE", "10.0.0.5:8790"),
            ("192.0.2.7:1234", "10.0.0.5:8790"),
        ] {
            assert!(serves(host, local), "{host} {local}");
        }
        for (host, local) in [
            ("evil.example", "127.0.0.1:8790"),
            ("evil.example:8790", "127.0.0.1:8790"),
            ("clips.example.evil.example", "127.0.0.1:8790"),
            ("localhost.evil.example", "127.0.0.1:8790"),
            ("x.localhost", "127.0.0.1:8790"),
            ("evil@localhost", "127.0.0.1:8790"),
            ("localhost@evil.example", "127.0.0.1:8790"),
            ("localhost:", "127.0.0.1:8790"),
            ("localhost/", "127.0.0.1:8790"),
            ("localhost:8790, evil.example", "127.0.0.1:8790"),
            ("localhost", "10.0.0.5:8790"),
            ("10.0.0.5", "10.0.0.5:8790"),
            ("10.0.0.5:9", "10.0.0.5:8790"),
            ("10.0.0.6:8790", "10.0.0.5:8790"),
            ("127.0.0.9:9", "127.0.0.9:8790"),
            ("", "127.0.0.1:8790"),
        ] {
            assert!(!serves(host, local), "{host} {local}");
        }
    }

    #[test]
    fn no_page_of_another_site_is_obeyed() {
        let passes = |headers: &[(&HeaderName, &str)]| {
            let mut map = HeaderMap::new();
            map.insert(HOST, "127.0.0.1:8790".parse().unwrap());
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            check_site(&map).is_ok()
        };
        let own = "http://127.0.0.1:8790";
        assert!(passes(&[]));
        assert!(passes(&[(&SITE, "none")]));
        assert!(passes(&[(&SITE, "same-origin"), (&ORIGIN, own)]));
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:9",
            "http://127.0.0.1:8790.evil.example",
            "http://127.0.0.1:8790@evil.example",
            "file://127.0.0.1:8790",
        ] {
            assert!(!passes(&[(&ORIGIN, origin)]), "{origin}");
            assert!(!passes(&[(&ORIGIN, own), (&ORIGIN, origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "nonsense", ""] {
            assert!(!passes(&[(&SITE, site)]), "{site}");
            assert!(!passes(&[(&SITE, site), (&ORIGIN, own)]), "{site}");
        }
    }
}
