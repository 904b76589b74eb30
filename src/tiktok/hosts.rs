//! The hosts that requests may go to: the API base, and the upload hosts.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// The API of the live service.
pub(crate) const API_BASE: &str = "https://open.tiktokapis.com";

/// The normal form of an API base: scheme and host in lower case, no default port, addresses in their usual form, no
/// slash at the end. A text that is not a URL stays as it is.
pub(crate) fn spelled(base: &str) -> String {
    match parse(base) {
        Ok(url) => url.as_str().trim_end_matches('/').to_owned(),
        Err(_) => base.to_owned(),
    }
}

fn parse(base: &str) -> Result<Url, url::ParseError> {
    let mut url = Url::parse(base)?;
    let host = url.domain().filter(|host| host.ends_with('.'));
    if let Some(host) = host.map(|host| host.trim_end_matches('.').to_owned()) {
        url.set_host(Some(&host))?;
    }
    Ok(url)
}

/// Longest accepted upload URL in bytes; the documents say 256.
const LONGEST_URL: usize = 4096;

/// Why a host gets no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadHost {
    /// The URL is http to another machine, which is not allowed.
    Plain,
    /// The host is neither an upload host of the service nor named by the caller.
    Foreign(String),
    /// The URL breaks another rule, as text.
    Broken(String),
}

impl BadHost {
    fn broken(rule: &str) -> Self {
        Self::Broken(rule.to_owned())
    }

    /// The same error with its text redacted.
    pub(crate) fn redacted(self, redact: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Plain => Self::Plain,
            Self::Foreign(host) => Self::Foreign(redact(&host)),
            Self::Broken(rule) => Self::Broken(redact(&rule)),
        }
    }
}

impl fmt::Display for BadHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("it is http, and not on this machine"),
            Self::Foreign(host) => write!(f, "{host} is not a TikTok upload host"),
            Self::Broken(rule) => f.write_str(rule),
        }
    }
}

/// The upload hosts that may get bytes.
///
/// The live service's hosts end in `.tiktokapis.com`; the documented list is incomplete, so the rule is the domain. An
/// overridden API base adds its own host, and the caller may name one more.
#[derive(Debug, Clone)]
pub(crate) struct HostPolicy {
    base: Url,
    overridden: bool,
    upload_host: Option<String>,
    allow_http: bool,
}

impl HostPolicy {
    /// Checks the API base: https, or http to this machine, or any http if `allow_http`.
    pub(crate) fn new(
        base: &str,
        upload_host: Option<String>,
        allow_http: bool,
    ) -> Result<Self, BadHost> {
        let base_url = parse(base)
            .map_err(|error| BadHost::Broken(format!("the API base is not a URL ({error})")))?;
        if base_url.cannot_be_a_base()
            || base_url.query().is_some()
            || base_url.fragment().is_some()
        {
            return Err(BadHost::broken(
                "the API base is not a plain URL like https://HOST",
            ));
        }
        let overridden = spelled(base) != API_BASE;
        let policy = Self {
            base: base_url,
            overridden,
            // In the form that URLs have.
            upload_host: upload_host
                .map(|host| Host::parse(&host).map_or(host, |host| host.to_string())),
            allow_http,
        };
        policy.check_scheme(&policy.base)?;
        Ok(policy)
    }

    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    /// Whether the API base is another than the live service's.
    pub(crate) const fn is_overridden(&self) -> bool {
        self.overridden
    }

    /// Checks an upload URL from an init answer.
    pub(crate) fn check(&self, url: &str) -> Result<Url, BadHost> {
        if url.len() > LONGEST_URL {
            let length = url.len();
            return Err(BadHost::Broken(format!("its URL has {length} characters")));
        }
        let url = Url::parse(url)
            .map_err(|error| BadHost::Broken(format!("its URL cannot be read ({error})")))?;
        self.check_scheme(&url)?;
        if self.base.scheme() == "https" && url.scheme() != "https" {
            return Err(BadHost::broken("it is http although the API is https"));
        }
        let Some(host) = url.host_str() else {
            return Err(BadHost::broken("it has no host"));
        };
        let own = self.overridden && self.base.host_str() == Some(host);
        let named = self.upload_host.as_deref() == Some(host);
        let tiktok = url.scheme() == "https"
            && host.ends_with(".tiktokapis.com")
            && url.port_or_known_default() == Some(443);
        if own || named || tiktok {
            Ok(url)
        } else {
            Err(BadHost::Foreign(host.to_owned()))
        }
    }

    fn check_scheme(&self, url: &Url) -> Result<(), BadHost> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadHost::broken("it carries a user name"));
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_http || is_loopback(url) => Ok(()),
            "http" => Err(BadHost::Plain),
            scheme => Err(BadHost::Broken(format!(
                "{scheme} is not a scheme for uploads"
            ))),
        }
    }
}

/// Whether the URL's host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelling_is_the_spelling_of_itself() {
        for base in [
            "HTTP://Emulator.Test.:8787/",
            "http://emulator.test..:11//",
            "http://0x7f.1..:80",
            "http://127.1:8787",
            "no url",
        ] {
            let once = spelled(base);
            assert_eq!(spelled(&once), once, "{base}");
        }
        assert_eq!(
            spelled("http://emulator.test..:11"),
            "http://emulator.test:11"
        );
    }

    #[test]
    fn bytes_go_nowhere_but_where_they_may() {
        let live = HostPolicy::new(API_BASE, None, false).expect("a base");
        let local = HostPolicy::new("http://127.0.0.1:8787", None, false).expect("a base");
        let tls = HostPolicy::new("https://localhost:8443", Some("CDN.Example".into()), false)
            .expect("a base");
        let rows = [
            (
                &live,
                "https://open-upload-va.tiktokapis.com/upload?upload_id=1&upload_token=2",
                true,
            ),
            (&live, "https://open-upload.us.tiktokapis.com/upload", true),
            (&live, "https://eviltiktokapis.com/upload", false),
            (&live, "https://tiktokapis.com.evil.example/upload", false),
            (
                &live,
                "https://open-upload.tiktokapis.com:8443/upload",
                false,
            ),
            (&live, "http://open-upload.tiktokapis.com/upload", false),
            (
                &live,
                "https://user@open-upload.tiktokapis.com/upload",
                false,
            ),
            (&live, "https://127.0.0.1/upload", false),
            (&live, "file:///etc/passwd", false),
            (&live, "not a url", false),
            (&local, "http://127.0.0.1:9999/upload", true),
            (&local, "http://127.0.0.2/upload", false),
            (&local, "http://10.0.0.1/upload", false),
            (&tls, "https://localhost/upload", true),
            (&tls, "http://localhost/upload", false),
            (&tls, "https://cdn.example/upload", true),
        ];
        for (policy, url, allowed) in rows {
            assert_eq!(policy.check(url).is_ok(), allowed, "{url}");
        }
    }

    #[test]
    fn the_live_service_is_known_by_every_spelling() {
        for base in [
            API_BASE,
            "HTTPS://Open.TikTokAPIs.com",
            "https://open.tiktokapis.com:443/",
            "https://open.tiktokapis.com.",
        ] {
            let policy = HostPolicy::new(base, None, false).expect("a base");
            assert!(!policy.is_overridden(), "{base}");
            assert_eq!(policy.base().host_str(), Some("open.tiktokapis.com"));
        }
        for base in [
            "https://open.tiktokapis.com:444",
            "https://open.tiktokapis.com/v2",
        ] {
            let policy = HostPolicy::new(base, None, false).expect("a base");
            assert!(policy.is_overridden(), "{base}");
        }
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear_over_a_network() {
        assert!(HostPolicy::new("http://example.com", None, false).is_err());
        assert!(HostPolicy::new("http://example.com", None, true).is_ok());
        assert!(HostPolicy::new("http://localhost:1", None, false).is_ok());
        assert!(HostPolicy::new("https://user:pw@example.com", None, false).is_err());
        assert!(HostPolicy::new("nonsense", None, false).is_err());
    }
}
