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

/// More uploads than anyone looks through; the log has them all.
const MOST_UPLOADS: usize = 60;

pub(super) struct View {
    /// Where clients reach this server.
    pub(super) origin: String,
    /// The bearer that asked: settings and faults are its own. It is never shown.
    token: Option<String>,
    /// Shown alone, if one was asked for.
    pub(super) creator: Option<String>,
    pub(super) log: Log,
    pub(super) findings: Vec<Finding>,
    pub(super) faults: Vec<String>,
    pub(super) settings: Arc<Settings>,
    /// What single tokens chose for themselves: whose, key, value.
    pub(super) own: Vec<(String, String, String)>,
}

impl View {
    /// Of the bearer's creator, of the one in `?creator=NAME`, or of all.
    pub(super) fn ask(shared: &Shared, parts: &Parts) -> Self {
        let token = bearer(&parts.headers);
        let creator = concerned(token, parts.uri.query().unwrap_or_default());
        let line = parts.extensions.get::<Arc<Line>>();
        let (scheme, host) = address(parts, line.is_some_and(|line| line.tls));
        let origin = format!("{scheme}://{host}");
        Self::take(shared, origin, token.map(str::to_owned), creator)
    }

    /// The same view, as it is now.
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
