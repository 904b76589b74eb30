//! What somebody wants of a job, as a row keeps it: everything but tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::secret::{Secret, without_query};
use crate::upload::Address;

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
    /// The name of the program that its end is reported to, among those that the service knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify: Option<String>,
    /// Who has submitted the job first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
}

/// Where the video is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub(crate) enum WishKind {
    /// A file, by its absolute path.
    File {
        path: Address,
        /// The directory beneath which the file is opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<Address>,
    },
    /// A video that came with the job: the name that its caller gave it, its SHA-256, and its file in the spool until the job has ended.
    Body {
        name: String,
        sha256: String,
        file: String,
    },
    /// A URL that is read by ranges, and sent from here. Its query may be a secret: a row is in a file that only its owner can read.
    Remote {
        #[serde(with = "crate::secret::stored")]
        url: Secret,
        /// The name of the source of new URLs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url_source: Option<String>,
        #[serde(default)]
        spool: bool,
    },
    /// A URL that the service fetches. Its query may be a secret: a row is in a file that only its owner can read.
    Pull {
        #[serde(with = "crate::secret::stored")]
        url: Secret,
        key: Option<String>,
        preflight: bool,
        /// Whether it is sent from here if the service cannot fetch it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        send_instead: bool,
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
    pub(crate) verify: bool,
    pub(crate) ignore_forecast: bool,
    /// The job ends with its first run.
    pub(crate) once: bool,
}

impl Wish {
    /// A digest of each part that two wishes under one id must have in common. The query of a URL is not one of them, as signed
    /// URLs change.
    pub(crate) fn parts(&self) -> BTreeMap<String, String> {
        let (part, source) = match &self.what {
            WishKind::Body { sha256, .. } => ("body", json!(sha256)),
            WishKind::File { path, .. } => ("source", json!({ "file": path })),
            WishKind::Remote {
                url, url_source, ..
            } => {
                let url = without_query(url.expose());
                ("source", json!({ "remote": url, "url_source": url_source }))
            }
            WishKind::Pull { url, key, .. } => {
                let url = without_query(url.expose());
                ("source", json!({ "pull": url, "key": key }))
            }
        };
        // What is as it is by default is left out, so that an option of a later version changes no digest.
        let mut options = json!(self.options);
        if let Value::Object(options) = &mut options {
            options.retain(|_, value| !matches!(value, Value::Null | Value::Bool(false)));
        }
        let mut parts = vec![
            ("api_base", json!(self.api_base)),
            (part, source),
            ("labels", json!(self.labels)),
            ("options", options),
            ("give_up", json!(self.give_up_ms)),
        ];
        // Wishes of older versions lack this part.
        parts.extend(self.notify.as_ref().map(|name| ("notify", json!(name))));
        let digest = |of: &Value| hex::encode(&Sha256::digest(of.to_string())[..8]);
        let parts = parts.iter();
        parts
            .map(|(name, of)| ((*name).to_owned(), digest(of)))
            .collect()
    }

    /// Takes the newest form of what may differ: the signature of a URL may be the one that is still valid, and files may have to lie
    /// in another directory now.
    pub(crate) fn renew(&mut self, newer: &Self) {
        match (&mut self.what, &newer.what) {
            (WishKind::Pull { url, .. }, WishKind::Pull { url: newer, .. })
            | (WishKind::Remote { url, .. }, WishKind::Remote { url: newer, .. }) => {
                *url = newer.clone();
            }
            (WishKind::File { root, .. }, WishKind::File { root: newer, .. }) => {
                root.clone_from(newer);
            }
            _ => {}
        }
    }

    /// Leaves out what only a job needs that has not ended: the query of a URL, which may be a secret.
    pub(crate) fn drop_query(&mut self) {
        if let WishKind::Pull { url, .. } | WishKind::Remote { url, .. } = &mut self.what {
            *url = Secret::new(&without_query(url.expose()));
        }
    }

    /// The file in the spool of a video that came with the job.
    pub(crate) fn spooled(&self) -> Option<&str> {
        match &self.what {
            WishKind::Body { file, .. } => Some(file),
            WishKind::File { .. } | WishKind::Remote { .. } | WishKind::Pull { .. } => None,
        }
    }

    /// What it is of, for people: the path of the file, or the URL without its query.
    pub(crate) fn name(&self) -> String {
        match &self.what {
            WishKind::Body { name, .. } => name.clone(),
            WishKind::File { path, .. } => path.as_path().to_string_lossy().into_owned(),
            WishKind::Pull { url, .. } | WishKind::Remote { url, .. } => {
                without_query(url.expose())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Wish {
        serde_json::from_str(text).expect("a wish")
    }

    const PULL: &str = r#"{"account":"lena","api_base":"http://127.0.0.1:8799","source":"pull",
        "url":"https://media.example/clip.mp4?signature=1","key":null,"preflight":true}"#;

    #[test]
    fn an_option_that_a_later_version_adds_makes_no_repeat_another_wish() {
        let parts = wish(PULL).parts();
        // The digest of "{}": nothing but defaults.
        assert_eq!(parts["options"], "44136fa355b3678a");
        let signed = PULL.replace("signature=1", "signature=2");
        assert_eq!(wish(&signed).parts(), parts);
        assert!(!parts.contains_key("notify"));
        let other = PULL.replace("clip", "other");
        assert_ne!(wish(&other).parts()["source"], parts["source"]);
    }

    #[test]
    fn a_job_that_has_ended_keeps_no_query_and_debug_shows_none() {
        let mut ended = wish(PULL);
        assert!(!format!("{ended:?}").contains("signature"));
        ended.drop_query();
        let text = serde_json::to_string(&ended).expect("JSON");
        assert!(!text.contains("signature"), "{text}");
        assert_eq!(ended.parts(), wish(PULL).parts());
    }
}
