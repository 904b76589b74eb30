//! The proxies of the environment.

use std::env;

use http::Uri;
use url::Url;

use crate::error::Error;
use crate::tiktok::hosts::is_loopback;

/// The environment variable that names a proxy for calls to `base`, if any. Fails if that proxy cannot be used: the HTTP
/// client would silently go without it, and the proxy may be there for a reason.
pub(super) fn named(base: &Url) -> Result<Option<&'static str>, Error> {
    if is_loopback(base) {
        return Ok(None);
    }
    let of_scheme = match base.scheme() {
        "https" => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    for names in [of_scheme, ["ALL_PROXY", "all_proxy"]] {
        let set = names
            .into_iter()
            .find_map(|name| Some((name, env::var_os(name)?)));
        let Some((name, value)) = set.filter(|(_, value)| !value.is_empty()) else {
            continue;
        };
        let usable = value.to_str().is_some_and(is_usable);
        if !usable {
            // The value may hold a password.
            return Err(Error::usage(format!(
                "The environment variable {name} names a proxy that cannot be used. Set it to a URL such as http://HOST:PORT or socks5h://HOST:PORT, or unset it."
            )));
        }
        return Ok(Some(name));
    }
    Ok(None)
}

/// Whether the HTTP client accepts this as a proxy. Without a scheme it means http.
fn is_usable(value: &str) -> bool {
    let Ok(uri) = value.parse::<Uri>() else {
        return false;
    };
    let known = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
    let scheme_is_known = uri
        .scheme_str()
        .is_none_or(|scheme| known.contains(&scheme));
    scheme_is_known && uri.host().is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_would_be_passed_by_is_not_usable() {
        for value in [
            "http://proxy:3128",
            "proxy:3128",
            "proxy",
            "https://u:p@proxy.example",
            "socks5://127.0.0.1:1080",
            "socks5h://[::1]:1080",
            "socks4a://proxy:1",
        ] {
            assert!(is_usable(value), "{value}");
        }
        for value in [
            "ftp://proxy:21",
            "socks://proxy:1080",
            "http//proxy:3128",
            "http://",
            "http://pro xy",
            "://proxy",
            "/proxy",
            " http://proxy:3128",
            "DIRECT",
        ] {
            assert_eq!(is_usable(value), value == "DIRECT", "{value}");
        }
    }
}
