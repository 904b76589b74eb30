//! What somebody wants of a job, as a row keeps it: everything but tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::secret::{Secret, without_query};

/// The wish of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The name of the account; its tokens are asked for when the job runs.
    pub(crate) account: String,
    /// The API base, in normal form.
    pub(crate) api_base: String,
    #[serde(flatten)]
    pub(crate) what: WishKind,
    /// The caller's own id, unique for the account.
    #[serde(default)]
    pub(crate) caller_id: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) options: WishOptions,
    /// For how long the job may fail by itself, in milliseconds.
    #[serde(default)]
    pub(crate) give_up_ms: Option<u64>,
}

/// Where the video is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub(crate) enum WishKind {
    /// A file, by its absolute path.
    File { path: PathBuf },
    /// A URL that the service fetches. Its query may be a secret: a row is in a file that only its owner can read.
    Pull {
        #[serde(with = "crate::secret::stored")]
        url: Secret,
        key: Option<String>,
        preflight: bool,
    },
}

/// How the video is sent; the values of [`Job`](crate::Job), times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WishOptions {
    pub(crate) chunk_size: Option<u64>,
    pub(crate) content_type: Option<String>,
    pub(crate) again: bool,
    pub(crate) no_ledger: bool,
    pub(crate) map: bool,
    pub(crate) allow_writer: bool,
    pub(crate) settle_ms: Option<u64>,
    pub(crate) wait_ms: Option<u64>,
    pub(crate) patience_ms: Option<u64>,
    pub(crate) hand_over: bool,
    pub(crate) ignore_forecast: bool,
}

impl Wish {
    /// A digest of each part that two wishes under one id must have in common. The query of a URL is not one of them, as signed
    /// URLs change.
    pub(crate) fn parts(&self) -> BTreeMap<String, String> {
        let digest = |text: &str| hex::encode(&Sha256::digest(text)[..8]);
        let source = match &self.what {
            WishKind::File { path } => format!("file {}", path.display()),
            WishKind::Pull { url, key, .. } => {
                format!("pull {} {key:?}", without_query(url.expose()))
            }
        };
        let parts = [
            ("api_base", digest(&self.api_base)),
            ("source", digest(&source)),
            ("labels", digest(&format!("{:?}", self.labels))),
            ("options", digest(&format!("{:?}", self.options))),
            ("give_up", digest(&format!("{:?}", self.give_up_ms))),
        ];
        parts.map(|(name, of)| (name.to_owned(), of)).into()
    }

    /// Takes the newest form of the URL: its signature may be the one that is still valid.
    pub(crate) fn renew_url(&mut self, newer: &Self) {
        if let (WishKind::Pull { url, .. }, WishKind::Pull { url: newer, .. }) =
            (&mut self.what, &newer.what)
        {
            *url = newer.clone();
        }
    }

    /// What it is of, for people: the path of the file, or the URL without its query.
    pub(crate) fn name(&self) -> String {
        match &self.what {
            WishKind::File { path } => path.to_string_lossy().into_owned(),
            WishKind::Pull { url, .. } => without_query(url.expose()),
        }
    }
}
