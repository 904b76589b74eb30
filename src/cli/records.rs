//! The uploads that commands name: of the journal in the state directory, or of a service.

use std::borrow::Cow;

use chunkferry::{Account, ErrorKind, Job, Record, StateDir};

use super::exit::Exit;
use super::remote::Remote;
use super::{Failure, Globals};

/// All uploads: of the service, or of the state directory.
pub(super) async fn all(
    globals: &Globals,
    remote: Option<&Remote>,
) -> Result<Vec<Record>, Failure> {
    match remote {
        Some(remote) => remote.records().await,
        None => Ok(StateDir::new(globals.state_dir()?).records()?),
    }
}

/// Finds the one upload that `text` names.
pub(super) async fn find(
    globals: &Globals,
    remote: Option<&Remote>,
    text: &str,
) -> Result<Record, Failure> {
    let mut found = all(globals, remote).await?;
    found.retain(|record| record.answers_to(text));
    let of = |account: &str| format!(" of the account \"{account}\"");
    let mut whose = String::new();
    if let Some(account) = globals.given_account() {
        found.retain(|record| record.account == account);
        whose = of(account);
    } else if found.len() > 1 {
        // Among several, the upload of the default account is taken.
        let usual = globals.account.as_deref().unwrap_or(Account::DEFAULT);
        if found
            .iter()
            .filter(|record| record.account == usual)
            .count()
            == 1
        {
            found.retain(|record| record.account == usual);
        }
    }
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|record| record.id.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} names {} uploads{whose}: {}. Use more of the id, or --account.",
            shown(text),
            ids.len(),
            ids.join(", ")
        )));
    }
    found.pop().ok_or_else(|| {
        Failure::usage(format!(
            "{} names no upload{whose} here. See: chunkferry list",
            shown(text)
        ))
    })
}

/// A typed text, fit for messages: a URL's query is a secret.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if is_url(text) {
        Job::url(text).name().into()
    } else {
        text.into()
    }
}

/// Whether a text names a video that is fetched by ranges and sent from here.
pub(super) fn is_remote(text: &str) -> bool {
    ["https://", "http://", "s3://", "gs://", "az://"]
        .iter()
        .any(|scheme| {
            text.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
}

pub(super) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// An upload at the service.
pub(super) struct Known {
    pub(super) publish_id: String,
    pub(super) account: String,
    /// What the journal has of it.
    pub(super) record: Option<Record>,
}

/// The upload at the service that `text` names, which the journal need not know.
pub(super) async fn publish_id(
    globals: &Globals,
    remote: Option<&Remote>,
    text: &str,
) -> Result<Known, Failure> {
    match find(globals, remote, text).await {
        Ok(record) if record.publish_id.is_some() => Ok(Known {
            publish_id: record.publish_id.clone().unwrap_or_default(),
            account: record.account.clone(),
            record: Some(record),
        }),
        Ok(record) => Err(Failure::usage(format!(
            "{} has no publish_id at the service ({}).",
            shown(text),
            record.state
        ))),
        Err(failure) if is_url(text) || !text.contains('~') => Err(failure),
        Err(failure) if failure.exit != Exit::of(ErrorKind::Usage) => Err(failure),
        Err(_) => Ok(Known {
            publish_id: text.to_owned(),
            account: globals.account_name().to_owned(),
            record: None,
        }),
    }
}
