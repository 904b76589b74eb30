//! The profiles of AWS: keys, commands that print keys, region and endpoint, from the two files that the tools of AWS share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::settings::BucketSettings;
use crate::error::Error;
use crate::secret::Secret;
use crate::secret::escaped::Escaped;

/// How long a command may take for its keys; it may ask a person for a code.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys that end sooner than this are asked for again.
const EARLY: Duration = Duration::from_secs(300);

/// A profile, and where it is read from.
#[derive(Clone)]
pub(super) struct Profile {
    name: String,
    /// `credentials` and `config`.
    files: [Option<PathBuf>; 2],
    section: Section,
}

/// The settings of a profile in both files; those of `credentials` win.
#[derive(Clone, Default)]
pub(super) struct Section(BTreeMap<String, Secret>);

impl Section {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(Secret::expose)
            .filter(|value| !value.is_empty())
    }

    fn keys(&self) -> Option<AwsCredential> {
        Some(AwsCredential {
            key_id: self.get("aws_access_key_id")?.to_owned(),
            secret_key: self.get("aws_secret_access_key")?.to_owned(),
            token: self.get("aws_session_token").map(str::to_owned),
        })
    }
}

impl Profile {
    /// The profile that the settings name, or the default one if there is any.
    pub(super) fn read(settings: &BucketSettings) -> Result<Option<Self>, Error> {
        let named = settings.get(&["AWS_PROFILE"]);
        let name = named.unwrap_or("default").to_owned();
        let files = [
            settings.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
            settings.file("AWS_CONFIG_FILE", ".aws/config"),
        ];
        match section(&name, &files) {
            Some(section) => Ok(Some(Self {
                name,
                files,
                section,
            })),
            None if named.is_none() => Ok(None),
            None => Err(Error::usage(format!(
                "AWS_PROFILE names the profile \"{}\", which is in neither of the files of AWS (~/.aws/credentials and ~/.aws/config, unless the environment names others).",
                Escaped::new(&name)
            ))),
        }
    }

    pub(super) const fn section(&self) -> &Section {
        &self.section
    }

    /// Whether the profile says where credentials come from, in whatever way.
    pub(super) fn has_credentials(&self) -> bool {
        let ways = [
            "aws_access_key_id",
            "credential_process",
            "role_arn",
            "sso_session",
            "sso_start_url",
            "login_session",
        ];
        ways.iter().any(|way| self.section.get(way).is_some())
    }
}

/// The settings of a profile; `None` if neither file has it.
fn section(name: &str, files: &[Option<PathBuf>; 2]) -> Option<Section> {
    let headings = [vec![name.to_owned()], vec![format!("profile {name}")]];
    let mut found = None;
    for (at, (path, mut headings)) in files.iter().zip(headings).enumerate().rev() {
        if at == 1 && name == "default" {
            headings.push(name.to_owned());
        }
        let text = path
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok());
        let settings = parse(&text.unwrap_or_default(), &headings);
        if let Some(settings) = settings {
            found
                .get_or_insert_with(Section::default)
                .0
                .extend(settings);
        }
    }
    found
}

/// The settings below one of these headings. Lines that are indented belong to a setting of their own, such as `s3 =`.
fn parse(text: &str, headings: &[String]) -> Option<BTreeMap<String, Secret>> {
    let mut found: Option<BTreeMap<String, Secret>> = None;
    let mut is_ours = false;
    for line in text.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(heading) = line.strip_prefix('[') {
            let heading = heading.split(']').next().unwrap_or_default();
            let words: Vec<&str> = heading.split_whitespace().collect();
            is_ours = headings.contains(&words.join(" "));
            if is_ours {
                found.get_or_insert_default();
            }
        } else if let (true, false, Some((key, value))) =
            (is_ours, is_indented, line.split_once('='))
        {
            let value = value.split(" #").next().unwrap_or_default();
            let key = key.trim().to_ascii_lowercase();
            found
                .get_or_insert_default()
                .insert(key, Secret::new(value));
        }
    }
    found
}

/// There are no credentials, and why, in words without any.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoCredentials(String);

/// The credentials of a profile. The files are read again for each request, since other tools renew what is in them.
pub(super) struct FromProfile {
    profile: Profile,
    /// What a command has printed, and until when it holds.
    printed: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl FromProfile {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            profile,
            printed: Mutex::default(),
        }
    }

    async fn credential(&self) -> Result<Arc<AwsCredential>, NoCredentials> {
        let Profile { name, files, .. } = self.profile.clone();
        let read = move || section(&name, &files).unwrap_or_default();
        let now = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        if let Some(keys) = now.keys() {
            return Ok(Arc::new(keys));
        }
        let name = Escaped::new(&self.profile.name);
        let Some(command) = now.get("credential_process") else {
            return Err(NoCredentials(format!(
                "the profile \"{name}\" has neither keys nor a credential_process. For a profile that logs in or takes on a role, name another one whose credential_process prints its keys"
            )));
        };
        let mut printed = self.printed.lock().await;
        if let Some((keys, until)) = &*printed
            && until.is_none_or(|until| SystemTime::now() + EARLY < until)
        {
            return Ok(Arc::clone(keys));
        }
        let run = tokio::time::timeout(PATIENCE, run(command)).await;
        let ended =
            run.unwrap_or_else(|_| Err(format!("did not end within {} s", PATIENCE.as_secs())));
        let (keys, until) = ended.map_err(|why| {
            NoCredentials(format!(
                "the credential_process of the profile \"{name}\" {why}"
            ))
        })?;
        let keys = Arc::new(keys);
        *printed = Some((Arc::clone(&keys), until));
        Ok(keys)
    }
}

impl fmt::Debug for FromProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Escaped::new(&self.profile.name).to_string();
        f.debug_tuple("FromProfile").field(&name).finish()
    }
}

impl CredentialProvider for FromProfile {
    type Credential = AwsCredential;

    fn get_credential<'a, 'f>(&'a self) -> BoxFuture<'f, object_store::Result<Arc<AwsCredential>>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async {
            let credential = self.credential().await;
            credential.map_err(|missing| object_store::Error::Generic {
                store: "S3",
                source: Box::new(missing),
            })
        })
    }
}

/// What a command prints, by "Sourcing credentials with an external process" of AWS.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    /// By RFC 3339.
    expiration: Option<String>,
}

/// Runs a command by the shell. What it says on standard error may be as secret as what it prints, and is not shown.
async fn run(command: &str) -> Result<(AwsCredential, Option<SystemTime>), String> {
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", command]).kill_on_drop(true);
    shell.stdin(std::process::Stdio::null());
    let ended = shell.output().await;
    let ended = ended.map_err(|error| format!("cannot be started: {error}"))?;
    if !ended.status.success() {
        return Err(format!(
            "failed ({}). Run it by hand to see why",
            ended.status
        ));
    }
    // What serde says may repeat a key.
    let printed: Printed = serde_json::from_slice(&ended.stdout)
        .map_err(|_| "did not print the JSON that AWS describes".to_owned())?;
    if printed.version != 1 {
        return Err("printed another version of its JSON than 1".into());
    }
    let until = printed.expiration.map(|at| {
        let at = chrono::DateTime::parse_from_rfc3339(&at).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at.timestamp().try_into().ok()?))
    });
    let until = match until {
        Some(None) => return Err("printed an Expiration that is no time of RFC 3339".into()),
        Some(until) => until,
        None => None,
    };
    let keys = AwsCredential {
        key_id: printed.access_key_id,
        secret_key: printed.secret_access_key,
        token: printed.session_token.filter(|token| !token.is_empty()),
    };
    Ok((keys, until))
}

#[cfg(test)]
mod tests;
