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
                "the profile \"{name}\" has neither keys nor a credential_process. For a profile that logs in or takes on a role, use another one with the line credential_process = aws configure export-credentials --profile {name}"
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
mod tests {
    use std::fs;

    use super::*;

    fn settings(dir: &std::path::Path, profile: &str) -> BucketSettings {
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        BucketSettings::new()
            .variable("AWS_SHARED_CREDENTIALS_FILE", &path("credentials"))
            .variable("AWS_CONFIG_FILE", &path("config"))
            .variable("AWS_PROFILE", profile)
    }

    #[tokio::test]
    async fn keys_are_those_of_the_named_profile_and_of_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let credentials = "[default]\naws_access_key_id=AKIAD\naws_secret_access_key=d\n\n[ team ]\n# a comment\naws_access_key_id = AKIAT\naws_secret_access_key = t=/+ # ours\naws_session_token=tok\n[other]\naws_access_key_id = AKIAO\n";
        let config = "[default]\nregion=eu-north-1\n[profile team]\nregion = eu-west-3\ns3 =\n  region = nested\n  endpoint_url = http://nested\nendpoint_url = http://127.0.0.1:9\n[team]\nregion = wrong\n";
        fs::write(dir.path().join("credentials"), credentials).expect("written");
        fs::write(dir.path().join("config"), config).expect("written");
        let profile = Profile::read(&settings(dir.path(), "team")).expect("read");
        let profile = profile.expect("a profile");
        assert_eq!(profile.section.get("region"), Some("eu-west-3"));
        assert_eq!(
            profile.section.get("endpoint_url"),
            Some("http://127.0.0.1:9")
        );
        let from = FromProfile::new(profile);
        let keys = from.credential().await.expect("keys");
        let of = |keys: &AwsCredential| {
            (
                keys.key_id.clone(),
                keys.secret_key.clone(),
                keys.token.clone(),
            )
        };
        assert_eq!(
            of(&keys),
            ("AKIAT".into(), "t=/+".into(), Some("tok".into()))
        );
        // Another tool renews them.
        fs::write(
            dir.path().join("credentials"),
            credentials.replace("AKIAT", "AKIAN"),
        )
        .expect("written");
        assert_eq!(from.credential().await.expect("keys").key_id, "AKIAN");

        let default = Profile::read(&settings(dir.path(), ""))
            .expect("read")
            .expect("a profile");
        assert_eq!(default.section.get("region"), Some("eu-north-1"));
        assert_eq!(default.section.get("aws_access_key_id"), Some("AKIAD"));
        let Err(error) = Profile::read(&settings(dir.path(), "missing")) else {
            panic!("there is no such profile");
        };
        assert!(error.to_string().contains("\"missing\""), "{error}");
    }

    #[tokio::test]
    async fn a_command_is_asked_again_before_its_keys_end_and_its_output_is_not_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let calls = dir.path().join("calls");
        let program = dir.path().join("keys.sh");
        let profile = |script: &str| {
            fs::write(&program, script).expect("written");
            let config = format!(
                "[profile p]\ncredential_process = sh {}\n",
                program.display()
            );
            fs::write(dir.path().join("config"), config).expect("written");
            let profile = Profile::read(&settings(dir.path(), "p")).expect("read");
            FromProfile::new(profile.expect("a profile"))
        };
        let prints = |expiration: &str| {
            let json = format!(
                "{{\"Version\":1,\"AccessKeyId\":\"AKIAP\",\"SecretAccessKey\":\"hunter2\",\"SessionToken\":\"t\"{expiration}}}"
            );
            format!("echo x >> {}\necho '{json}'\n", calls.display())
        };
        let count = || fs::read_to_string(&calls).map_or(0, |text| text.lines().count());
        for (expiration, asked) in [
            ("", 1),
            (",\"Expiration\":\"2999-01-01T00:00:00Z\"", 1),
            (",\"Expiration\":\"2001-01-01T00:00:00+02:00\"", 2),
        ] {
            let _ = fs::remove_file(&calls);
            let from = profile(&prints(expiration));
            for _ in 0..2 {
                assert_eq!(from.credential().await.expect("keys").key_id, "AKIAP");
            }
            assert_eq!(count(), asked, "{expiration}");
        }
        for script in [
            "echo hunter2; echo hunter2 >&2; exit 3",
            "echo '{\"Version\":1,\"AccessKeyId\":\"hunter2\"}'",
            "echo '{\"Version\":\"hunter2\"}'",
            "echo '{\"Version\":2,\"AccessKeyId\":\"hunter2\",\"SecretAccessKey\":\"hunter2\"}'",
        ] {
            let from = profile(script);
            let error = from.credential().await.err().expect("no keys");
            let shown = format!("{error} {error:?} {from:?}");
            assert!(
                !shown.contains("hunter2") && shown.contains("credential_process"),
                "{shown}"
            );
        }
    }

    #[tokio::test]
    async fn a_profile_that_logs_in_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = "[profile sso]\nsso_session = work\nregion = eu-west-1\n";
        fs::write(dir.path().join("config"), config).expect("written");
        let profile = Profile::read(&settings(dir.path(), "sso")).expect("read");
        let profile = profile.expect("a profile");
        assert!(profile.has_credentials());
        let error = FromProfile::new(profile)
            .credential()
            .await
            .err()
            .expect("none");
        assert!(
            error
                .to_string()
                .contains("export-credentials --profile sso"),
            "{error}"
        );
    }
}
