//! Which files and URLs jobs may name.

use std::path::Path;

use axum::http::StatusCode;
use chunkferry::Job;
use url::Url;

use super::problem::Problem;
use super::wish::Named;
use crate::config::Allowed;

/// What jobs may name, as the config file has it.
#[derive(Debug)]
pub(super) struct Sources(Option<Vec<Allowed>>);

impl Sources {
    pub(super) const fn new(allowed: Option<Vec<Allowed>>) -> Self {
        Self(allowed)
    }

    /// Whether a job may name this, from a client of this machine or from another one. Without a list, everything is allowed here and
    /// nothing to others. Returns the roots that the file may lie in, the widest one first; none at all if it may lie anywhere.
    pub(super) fn check(&self, named: &Named, local: bool) -> Result<Vec<&Path>, Problem> {
        let Some(allowed) = &self.0 else {
            return match local {
                true => Ok(Vec::new()),
                false => Err(forbidden(named)),
            };
        };
        let mut roots: Vec<&Path> = Vec::new();
        let is_allowed = match named {
            Named::File(path) => {
                let found = allowed.iter().filter_map(|allowed| match allowed {
                    Allowed::Root(root) if path.starts_with(root) => Some(root.as_path()),
                    _ => None,
                });
                roots.extend(found);
                roots.sort_by_key(|root| root.components().count());
                !roots.is_empty()
            }
            Named::Remote(url) | Named::Url(url) => allowed.iter().any(|allowed| match allowed {
                Allowed::Under(prefix) => lies_under(url, prefix),
                Allowed::Root(_) => false,
            }),
        };
        match is_allowed {
            true => Ok(roots),
            false => Err(forbidden(named)),
        }
    }
}

/// Whether a URL is one of these: of the same scheme, host and port, and with a path that begins with this one. A path is not
/// compared that a server may read in another way.
fn lies_under(url: &Url, prefix: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    let path = url.path();
    let escaped = path.to_ascii_lowercase();
    let is_read_alike = !["%2e", "%2f", "%5c", "%25", "%00"]
        .iter()
        .any(|escape| escaped.contains(escape));
    // Other parsers may take a part after an encoded or plain back slash, or a second slash, for something else.
    plain
        && (url.scheme(), url.host_str()) == (prefix.scheme(), prefix.host_str())
        && url.port_or_known_default() == prefix.port_or_known_default()
        && path.starts_with(prefix.path())
        && (prefix.path() == "/" || is_read_alike && !path.contains("//") && !path.contains('\\'))
}

/// The job with each of the roots, one of which its file has to lie in.
pub(super) fn within(job: Job, roots: &[&Path]) -> Vec<Job> {
    match roots {
        [] => vec![job],
        roots => roots.iter().map(|root| job.clone().beneath(root)).collect(),
    }
}

fn forbidden(named: &Named) -> Problem {
    let (field, text) = match named {
        Named::File(_) => (
            "file",
            "The file lies in no folder that [sources] of the service's config allows. Nothing was accepted.",
        ),
        Named::Remote(_) => (
            "file",
            "The URL is none that [sources] of the service's config allows. Nothing was accepted.",
        ),
        Named::Url(_) => (
            "url",
            "The URL is none that [sources] of the service's config allows. Nothing was accepted.",
        ),
    };
    Problem::new(StatusCode::FORBIDDEN, "forbidden", text).with("field", field)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn check(allowed: &[Allowed], url: &str) -> bool {
        let named = Named::Url(Url::parse(url).expect("a URL"));
        Sources::new(Some(allowed.to_vec()))
            .check(&named, true)
            .is_ok()
    }

    #[test]
    fn a_url_is_allowed_by_what_servers_read_in_it_and_not_by_how_it_begins() {
        let under = |text: &str| Allowed::Under(Url::parse(text).expect("a URL"));
        let allowed = [
            under("https://media.example.com"),
            under("https://cdn.example.com/team/"),
        ];
        for fits in [
            "https://media.example.com/clip.mp4",
            "https://media.example.com:443/a/b.mp4?signature=1",
            "https://MEDIA.example.com/clip.mp4",
            "https://cdn.example.com/team/clip.mp4",
            "https://cdn.example.com/other/../team/clip%20one.mp4",
        ] {
            assert!(check(&allowed, fits), "{fits}");
        }
        for other in [
            "http://media.example.com/clip.mp4",
            "https://media.example.com.evil.org/clip.mp4",
            "https://media.example.com@evil.org/clip.mp4",
            "https://lena@media.example.com/clip.mp4",
            "https://lena:secret@media.example.com/clip.mp4",
            "https://media.example.com:8443/clip.mp4",
            "https://media.example.com./clip.mp4",
            "https://evil.org/https://media.example.com/clip.mp4",
            "https://evil.org\\@media.example.com/clip.mp4",
            "https://cdn.example.com/teammate/clip.mp4",
            "https://cdn.example.com/team",
            "https://cdn.example.com/team/../clip.mp4",
            "https://cdn.example.com/team/%2e%2e/clip.mp4",
            "https://cdn.example.com/team/..%2fclip.mp4",
            "https://cdn.example.com/team/..%5Cclip.mp4",
            "https://cdn.example.com/team/%252e%252e/clip.mp4",
            "https://cdn.example.com/team//clip.mp4",
            "https://cdn.example.com/TEAM/clip.mp4",
        ] {
            assert!(!check(&allowed, other), "{other}");
        }
        assert!(!check(&[], "https://media.example.com/clip.mp4"));
    }

    #[test]
    fn without_a_list_only_clients_of_this_machine_may_name_something() {
        let file = Named::File(PathBuf::from("/videos/clip.mp4"));
        let none = Sources::new(None);
        assert!(none.check(&file, true).is_ok_and(|roots| roots.is_empty()));
        assert!(none.check(&file, false).is_err());
    }
}
