//! A snapshot for the page: copied from the state of the service under its lock, rendered without the lock.

use std::sync::Arc;

use hyper::http::request::Parts;

use crate::call::address;
use crate::connection::Line;
use crate::control::concerned;
use crate::creator::bearer;
use crate::log::Log;
use crate::review::Finding;
use crate::settings::Settings;
use crate::shared::Shared;

/// Most uploads that the page considers; the log has all.
const MOST_UPLOADS: usize = 60;

pub(super) struct View {
    /// The address by which clients reach this server.
    pub(super) origin: String,
    /// The bearer token of the request, which decides about settings and faults. It is never shown.
    token: Option<String>,
    /// The only creator to show, if given.
    pub(super) creator: Option<String>,
    pub(super) log: Log,
    pub(super) findings: Vec<Finding>,
    pub(super) faults: Vec<String>,
    pub(super) settings: Arc<Settings>,
    /// Settings of single tokens: creator, key, value.
    pub(super) own: Vec<(String, String, String)>,
}

impl View {
    /// The view for the bearer's creator, for the one in `?creator=NAME`, or for all.
    pub(super) fn ask(shared: &Shared, parts: &Parts) -> Self {
        let token = bearer(&parts.headers);
        let creator = concerned(token, parts.uri.query().unwrap_or_default());
        let line = parts.extensions.get::<Arc<Line>>();
        let (scheme, host) = address(parts, line.is_some_and(|line| line.tls));
        let origin = format!("{scheme}://{host}");
        Self::take(shared, origin, token.map(str::to_owned), creator)
    }

    /// The same view at this time.
    pub(super) fn again(&self, shared: &Shared) -> Self {
        let (origin, token) = (self.origin.clone(), self.token.clone());
        Self::take(shared, origin, token, self.creator.clone())
    }

    fn take(
        shared: &Shared,
        origin: String,
        token: Option<String>,
        creator: Option<String>,
    ) -> Self {
        let service = shared.service();
        let whose = creator.as_deref();
        Self {
            origin,
            log: service.log_of_last(MOST_UPLOADS, whose),
            findings: service.findings(whose, false),
            faults: service.faults.scripts(token.as_deref()),
            settings: service.settings(token.as_deref()),
            own: service.scopes.chosen(token.as_deref()),
            token,
            creator,
        }
    }
}
