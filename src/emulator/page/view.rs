//! What the page shows at one moment, taken from the world under its lock and rendered without it.

use std::sync::Arc;

use hyper::http::request::Parts;
use url::form_urlencoded;

use crate::emulator::call::address;
use crate::emulator::log::Log;
use crate::emulator::review::Finding;
use crate::emulator::settings::Settings;
use crate::emulator::shared::Shared;
use crate::emulator::wire::Line;

/// More uploads than anyone looks through; the log has them all.
const MOST_UPLOADS: usize = 60;

pub(super) struct View {
    /// Where clients reach this server.
    pub(super) origin: String,
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
    /// Of the creator in `?creator=NAME`, or of all.
    pub(super) fn ask(shared: &Shared, parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let creator = pairs.find_map(|(key, value)| (key == "creator").then_some(value));
        let creator = creator.filter(|name| !name.is_empty());
        let line = parts.extensions.get::<Arc<Line>>();
        let (scheme, host) = address(parts, line.is_some_and(|line| line.tls));
        let creator = creator.map(|name| name.into_owned());
        Self::take(shared, format!("{scheme}://{host}"), creator)
    }

    /// The same view, as it is now.
    pub(super) fn again(&self, shared: &Shared) -> Self {
        Self::take(shared, self.origin.clone(), self.creator.clone())
    }

    fn take(shared: &Shared, origin: String, creator: Option<String>) -> Self {
        let world = shared.world();
        let whose = creator.as_deref();
        Self {
            origin,
            log: world.log_of_last(MOST_UPLOADS, whose),
            findings: world.findings(whose, false),
            faults: world.faults.scripts(None),
            settings: world.settings(None),
            own: world.scopes.chosen(),
            creator,
        }
    }
}
