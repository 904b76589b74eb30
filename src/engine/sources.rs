//! What fetches videos that lie elsewhere.

use std::sync::{Arc, OnceLock};

use crate::error::Error;
use crate::source::https::Web;
use crate::source::https::network::{Reach, Resolver};
use crate::tiktok::client::Client;

/// Made when the first job needs it: a client of its own costs memory.
#[derive(Debug)]
pub(super) struct Sources {
    /// Whether videos may lie on hosts of this network.
    private: bool,
    web: OnceLock<Web>,
}

impl Sources {
    pub(super) const fn new(private: bool) -> Self {
        Self {
            private,
            web: OnceLock::new(),
        }
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
