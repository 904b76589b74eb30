//! Whether a request comes from a page of another site.

use hyper::Method;
use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;

/// What a browser says about where a request comes from; other clients do not send it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True for a request that would change something and that a browser makes for a page of another site:
/// any page may try, and this server must not obey.
pub(crate) fn is_foreign(parts: &Parts) -> bool {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return false;
    }
    let text = |name: &HeaderName| parts.headers.get(name).map(|value| value.to_str());
    let host = match text(&HOST) {
        Some(host) => host.ok(),
        // HTTP/2 has it in the target.
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
}
