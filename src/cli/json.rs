//! Lines of `--json`.

use chunkferry::{Account, Error, Remedy};
use serde_json::{Value, json};

use super::{Failure, Globals};

/// A line about an event, with the fields of every line: version, name, time (RFC 3339, UTC), and the account, if it
/// concerns one.
pub(super) fn line(event: &str, account: Option<&str>, mut fields: Value) -> Value {
    fields["v"] = 1.into();
    fields["event"] = event.into();
    fields["at"] = now().into();
    fields["account"] = account.into();
    fields
}

/// The time now: RFC 3339, UTC.
pub(super) fn now() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// An error for programs.
pub(super) fn error(message: &str, error: Option<&Error>) -> Value {
    let remedies = error.map(Error::remedies).unwrap_or_default();
    json!({
        "code": error.and_then(Error::code),
        "message": message,
        "log_id": error.and_then(Error::log_id),
        "who": error.map(|error| error.who_must_act().as_str()),
        "remedies": remedies.iter().map(Remedy::as_str).collect::<Vec<_>>(),
    })
}

/// The last line of a command that failed.
pub(super) fn failed(failure: &Failure, account: &str) -> Value {
    let mut error = error(&failure.message, failure.error.as_deref());
    if !failure.details.is_empty() {
        error["details"] = json!(failure.details);
    }
    let fields = json!({ "exit": failure.exit.0, "error": error });
    line("error", Some(account), fields)
}

impl Globals {
    /// The name of the command's account.
    pub(super) fn account_name(&self) -> &str {
        self.account.as_deref().unwrap_or(Account::DEFAULT)
    }
}
