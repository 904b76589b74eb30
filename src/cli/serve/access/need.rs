//! What requests ask for, by their routes: a route that is not listed here is for admins alone.

use axum::http::Method;

use super::is_read;
use crate::serve::keys::Role;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum Need {
    Nothing,
    /// To begin a session.
    SignIn,
    Metrics,
    Read,
    Submit,
    Admin,
}

impl Need {
    pub(super) const fn is_met_by(self, role: Role) -> bool {
        match self {
            Self::Nothing | Self::SignIn => true,
            Self::Metrics => matches!(role, Role::Metrics | Role::Admin),
            Self::Read => matches!(role, Role::Read | Role::Submit | Role::Admin),
            Self::Submit => matches!(role, Role::Submit | Role::Admin),
            Self::Admin => matches!(role, Role::Admin),
        }
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) need: Need,
    /// The job that it is about.
    pub(super) job: Option<&'a str>,
    /// Whether it is for a person in a browser.
    pub(super) is_page: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn of(method: &Method, path: &'a str) -> Self {
        let api = |need, job| Self {
            need,
            job,
            is_page: false,
        };
        let page = |need, job| Self {
            need,
            job,
            is_page: true,
        };
        let mut parts = [""; 5];
        let mut count = 0;
        for part in path.split('/') {
            if count == parts.len() {
                return api(Need::Admin, None);
            }
            parts[count] = part;
            count += 1;
        }
        let reads = is_read(method);
        let posts = method == Method::POST;
        match &parts[1..count] {
            ["healthz" | "readyz"] if reads => api(Need::Nothing, None),
            ["metrics"] if reads => api(Need::Metrics, None),
            [
                "v1",
                "jobs" | "events" | "accounts" | "queue" | "service" | "watches" | "openapi.json",
            ] if reads => api(Need::Read, None),
            ["v1", "jobs", id] | ["v1", "jobs", id, "follow"] if reads => api(Need::Read, Some(id)),
            ["v1", "jobs"] if posts => api(Need::Submit, None),
            ["v1", "jobs", id, "pause" | "retry" | "cancel"] if posts => {
                api(Need::Submit, Some(id))
            }
            ["page.css" | "page.js" | "page.svg"] if reads => page(Need::Nothing, None),
            ["login"] if reads || posts => page(Need::SignIn, None),
            ["" | "live"] if reads => page(Need::Read, None),
            ["jobs", id] | ["jobs", id, "live"] if reads => page(Need::Read, Some(id)),
            ["new"] if reads || posts => page(Need::Submit, None),
            ["jobs", id, "pause" | "retry" | "cancel"] if posts => page(Need::Submit, Some(id)),
            ["queue", "pause" | "resume"] if posts => page(Need::Admin, None),
            ["logout"] if posts => page(Need::Read, None),
            _ => api(Need::Admin, None),
        }
    }
}
