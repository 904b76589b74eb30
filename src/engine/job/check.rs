//! Whether the values of a job are in their ranges.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{Job, What};
use crate::account::Account;
use crate::error::Error;
use crate::secret::escaped::Escaped;
use crate::source::Container;
use crate::upload::plan::Limits;

/// No upload URL lives longer, so no outage of an upload need be waited out for longer.
const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);

/// The longest time that the service may be given.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Job {
    /// Whether every value is in its range. An engine checks a job by itself; a program calls this to look at all jobs before it submits
    /// the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) with the value that is not.
    pub fn check(&self) -> Result<(), Error> {
        let account = self
            .account
            .as_ref()
            .map_or(Account::DEFAULT, Account::name);
        if account.trim().is_empty() || Escaped::new(account).to_string() != account {
            return Err(Error::usage(format!(
                "\"{account}\" is no name of an account: it has at least one letter, and no control characters."
            )));
        }
        let texts = [&self.caller_id, &self.account_name, &self.notify, &self.by];
        let texts = texts.into_iter().flatten();
        let labels = self.labels.iter().flat_map(|(name, value)| [name, value]);
        let name = match &self.what {
            What::Body { name } => Some(name),
            _ => None,
        };
        for text in texts.chain(labels).chain(name) {
            if text.is_empty()
                || text.chars().count() > 255
                || Escaped::new(text).to_string() != *text
            {
                return Err(Error::usage(format!(
                    "\"{}\" is no id, label or name: it has 1 to 255 characters, and no control characters.",
                    Escaped::new(text)
                )));
            }
        }
        if let What::Remote(remote) = &self.what {
            for (name, value) in &remote.headers {
                let is_header = HeaderName::from_bytes(name.as_bytes()).is_ok()
                    && HeaderValue::from_str(value.expose()).is_ok();
                if !is_header {
                    let name = Escaped::new(name);
                    return Err(Error::usage(format!(
                        "\"{name}\" is no header, or has no value that a header can have."
                    )));
                }
            }
        }
        if self.give_up.is_some_and(|give_up| give_up > LONGEST_WAIT) {
            return Err(Error::usage(
                "A job may fail for 30 days (2,592,000 s) at most before it is given up.",
            ));
        }
        if let Some(chunk_size) = self.chunk_size {
            let checked = Limits::DOCUMENTED.check_chunk(chunk_size);
            checked.map_err(|error| {
                Error::usage(format!("{} cannot be sent: {error}.", self.name()))
            })?;
        }
        let known = |content_type: &str| {
            let mut containers = [Container::Mp4, Container::Mov, Container::WebM].into_iter();
            containers.any(|container| container.content_type() == content_type)
        };
        if let Some(content_type) = self.content_type.as_deref().filter(|given| !known(given)) {
            return Err(Error::usage(format!(
                "\"{content_type}\" is no content type that the service takes: it is video/mp4, video/quicktime or video/webm."
            )));
        }
        if self.patience > LONGEST_PATIENCE {
            return Err(Error::usage(
                "An outage may be waited out for 1 hour (3,600 s) at most.",
            ));
        }
        if self.processing > LONGEST_WAIT {
            return Err(Error::usage(
                "The service may be waited for 30 days (2,592,000 s) at most.",
            ));
        }
        Ok(())
    }
}
