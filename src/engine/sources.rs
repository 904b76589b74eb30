//! What fetches videos that lie elsewhere.

use std::sync::{Arc, OnceLock};

use super::queue::Spool;
use crate::error::Error;
use crate::source::https::network::{Reach, Resolver};
use crate::source::https::{Remote, UrlSources, Web};
use crate::tiktok::client::Client;

/// Made when the first job needs it: a client of its own costs memory.
pub(super) struct Sources {
    /// Whether videos may lie on hosts of this network.
    private: bool,
    /// Where videos are copied that cannot be read by ranges.
    pub(super) spool: Arc<Spool>,
    /// What gives new URLs, by name.
    urls: Option<Arc<dyn UrlSources>>,
    web: OnceLock<Web>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources {
    pub(super) fn new(private: bool, spool: Arc<Spool>, urls: Option<Arc<dyn UrlSources>>) -> Self {
        Self {
            private,
            spool,
            urls,
            web: OnceLock::new(),
        }
    }

    /// The video with its source of new URLs.
    ///
    /// # Errors
    ///
    /// Usage, if there is no source of that name.
    pub(super) fn complete(&self, remote: &Remote) -> Result<Remote, Error> {
        let mut remote = remote.clone();
        if let (Some(name), None) = (&remote.renewal_name, &remote.renewal) {
            let urls = self.urls.as_ref();
            let found = urls.and_then(|urls| urls.named(name, &remote.address()));
            remote.renewal = Some(found.ok_or_else(|| Error::no_url_source(name))?);
        }
        Ok(remote)
    }

    pub(super) fn web(&self, client: &Client) -> Result<Web, Error> {
        if let Some(web) = self.web.get() {
            return Ok(web.clone());
        }
        let reach = Reach {
            private: self.private,
            this_machine: client.is_emulated(),
        };
        let web = Web {
            http: client.of_sources(Resolver::new(reach))?,
            reach,
            redactor: Arc::clone(client.redactor()),
        };
        Ok(self.web.get_or_init(|| web).clone())
    }
}
