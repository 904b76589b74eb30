//! Where videos may lie that are not on this machine.

use std::sync::Arc;

use super::Options;
use crate::source::https::UrlSources;

impl Options {
    /// Whether [`Job::remote`](crate::Job::remote) may fetch videos from hosts of this network and of this machine, there also over
    /// http. By default it may not: who may submit jobs would else reach into the network. With an API base on this machine, URLs of
    /// this machine are always allowed.
    pub const fn private_sources(mut self, allow: bool) -> Self {
        self.private_sources = allow;
        self
    }

    /// The sources of new URLs that jobs may name; see [`Job::url_source_named`](crate::Job::url_source_named).
    pub fn url_sources(mut self, sources: impl UrlSources) -> Self {
        self.url_sources = Some(Arc::new(sources));
        self
    }
}
