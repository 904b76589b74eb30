//! How buckets are reached: what others read from the environment, as values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::secret::Secret;

/// How buckets are reached and with which credentials: by the environment variables that the tools of the stores read.
///
/// Cheap to clone. Its `Debug` shows the names of what is set, and no value. The variables are listed in
/// `docs/sources.md`.
///
/// ```
/// use chunkferry::BucketSettings;
///
/// let here = BucketSettings::new()
///     .variable("AWS_ACCESS_KEY_ID", "minio")
///     .variable("AWS_SECRET_ACCESS_KEY", "minio-secret")
///     .variable("AWS_ENDPOINT_URL", "http://127.0.0.1:9000");
/// assert!(!format!("{here:?}").contains("minio"));
/// ```
#[derive(Clone, Default)]
pub struct BucketSettings {
    variables: Arc<BTreeMap<String, Secret>>,
    certificates: Option<Arc<[u8]>>,
}

impl BucketSettings {
    /// No variables: what the store needs is added by [`variable`](Self::variable).
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment of this process, as it is now.
    pub fn from_env() -> Self {
        let prefixes = ["AWS_", "AZURE_", "GOOGLE_"];
        let names = ["HOME", "IDENTITY_ENDPOINT"];
        let read = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_read = prefixes.iter().any(|prefix| name.starts_with(prefix))
                || names.contains(&name.as_str());
            Some((name, Secret::new(value.to_str()?))).filter(|_| is_read)
        });
        Self {
            variables: Arc::new(read.collect()),
            certificates: None,
        }
    }

    /// Sets a variable, or takes it away where the value is empty.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        let variables = Arc::make_mut(&mut self.variables);
        variables.insert(name.to_owned(), Secret::new(value));
        self
    }

    /// Certificates in PEM that are trusted besides the system's.
    pub fn certificates(mut self, pem: impl Into<Arc<[u8]>>) -> Self {
        self.certificates = Some(pem.into());
        self
    }

    /// The value of the first of these variables that is set.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        let values = names.iter().filter_map(|name| self.variables.get(*name));
        let mut values = values.map(|value| value.expose().trim());
        values.find(|value| !value.is_empty())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(&[name])
            .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// The file that this variable names, or one in the home directory.
    pub(super) fn file(&self, name: &str, at_home: &str) -> Option<PathBuf> {
        let home = || Some(PathBuf::from(self.get(&["HOME"])?).join(at_home));
        self.get(&[name]).map(PathBuf::from).or_else(home)
    }

    pub(super) fn pem(&self) -> Option<Arc<[u8]>> {
        self.certificates.clone()
    }
}

impl fmt::Debug for BucketSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("BucketSettings")
            .field("variables", &names)
            .finish_non_exhaustive()
    }
}
