//! Errors about accounts that log in.

use std::fmt;
use std::io;
use std::path::Path;

use super::{Error, ErrorKind, NotAccepted, Remedy, Who};
use crate::answer::{Call, Failure};

impl Error {
    fn log_in(account: &str, message: String) -> Self {
        Self::new(ErrorKind::NeedsPerson, Who::Creator, message).helped_by([Remedy::LogIn {
            account: account.to_owned(),
        }])
    }

    /// The directory of accounts has no account of this name.
    pub(crate) fn not_logged_in(account: &str) -> Self {
        Self::log_in(account, format!("Nobody is logged in as \"{account}\"."))
    }

    /// The account's refresh token is not valid any more.
    pub(crate) fn needs_login(account: &str, reason: &str) -> Self {
        Self::log_in(
            account,
            format!("The creator of the account \"{account}\" must log in again: {reason}."),
        )
    }

    /// The account's tokens belong to another API. Sending them to this one would give them away.
    pub(crate) fn logged_in_elsewhere(account: &str, api_base: &str) -> Self {
        Self::log_in(
            account,
            format!(
                "The account \"{account}\" is logged in at {api_base}, so its tokens are sent nowhere else."
            ),
        )
    }

    /// The account's tokens belong to another app of the developer portal.
    pub(crate) fn other_app(account: &str) -> Self {
        Self::log_in(
            account,
            format!(
                "The account \"{account}\" is logged in to another app than the one whose client_key is set."
            ),
        )
    }

    /// A token cannot be renewed, and nobody can log in, without the keys of an app.
    pub(crate) fn no_app(account: &str) -> Self {
        Self::usage(format!(
            "Without the client_key and client_secret of an app, \"{account}\" cannot log in, and its tokens cannot be renewed."
        ))
        .helped_by([Remedy::NameApp])
    }

    /// The directory of accounts, or a file in it, cannot be used.
    pub(crate) fn accounts(dir: &Path, error: io::Error) -> Self {
        Self::temporary(format!(
            "The directory of accounts {} cannot be used",
            dir.display()
        ))
        .with_source(error)
        .helped_by([Remedy::RepeatAfterFix])
    }

    /// A seal key is missing: `key` is the ID of the key that is needed, `given` those that there are.
    pub(crate) fn sealed(account: &str, key: &str, given: &[&str]) -> Self {
        let given = match given {
            [] => "and no seal key is given".to_owned(),
            given => format!("and the keys that are given are {}", given.join(", ")),
        };
        Self::new(
            ErrorKind::NeedsPerson,
            Who::You,
            format!(
                "The tokens of the account \"{account}\" are sealed by the key {key}, {given}."
            ),
        )
        .helped_by([Remedy::GiveSealKey])
    }

    /// The key is the one that the file names, and does not open it.
    pub(crate) fn bad_seal(account: &str) -> Self {
        Self::new(
            ErrorKind::NeedsPerson,
            Who::You,
            format!(
                "The seal of a file of the account \"{account}\" is not valid: the file was changed, or is another account's. It is left as it is."
            ),
        )
        .helped_by([Remedy::RestoreAccount {
            account: account.to_owned(),
        }])
    }

    /// A line of the text with the seal keys is no key.
    pub(crate) fn no_key(line: usize) -> Self {
        Self::usage(format!(
            "Line {line} holds no seal key, which has 64 hexadecimal digits."
        ))
    }

    /// Another process has been renewing this account for longer than a process waits.
    pub(crate) fn account_busy(account: &str) -> Self {
        Self::temporary(format!(
            "Another process is renewing the tokens of the account \"{account}\"."
        ))
        .helped_by([Remedy::RepeatLater])
    }

    /// A call had no readable answer.
    pub(crate) fn not_answered(call: Call, failure: &Failure) -> Self {
        Self::temporary(format!("The {} was not answered ({failure}).", call.name()))
            .helped_by([Remedy::RepeatLater])
    }

    /// The address given to end a login is not the one of a login.
    pub(crate) fn no_code() -> Self {
        Self::usage(
            "This address holds no code: it must be the whole address to which the browser was sent, from http to the end.",
        )
    }

    /// No login of this account waits to be finished.
    pub(crate) fn no_login(account: &str) -> Self {
        Self::log_in(
            account,
            format!("No login of \"{account}\" waits to be finished."),
        )
    }

    /// The creator took too long.
    pub(crate) fn login_expired(account: &str) -> Self {
        Self::log_in(account, "This login began more than a day ago.".into())
    }

    /// The address belongs to another login. Using it could log a stranger in.
    pub(crate) fn other_login(account: &str) -> Self {
        Self::log_in(
            account,
            "The address belongs to another login (its state is a different one), so it was not used.".into(),
        )
    }

    /// The consent page came back with an error.
    pub(crate) fn no_consent(account: &str, error: &str, description: &str) -> Self {
        let described = match description.is_empty() {
            true => String::new(),
            false => format!(": {description}"),
        };
        Self::log_in(
            account,
            format!("Nobody was logged in as \"{account}\": {error}{described}."),
        )
    }

    pub(crate) fn other_creator(account: &str) -> Self {
        let forget = Remedy::ForgetCreator {
            account: account.to_owned(),
        };
        Self::new(
            ErrorKind::NeedsPerson,
            Who::You,
            format!(
                "The token belongs to another creator, or another app, than that of the account \"{account}\" so far. Nothing was sent."
            ),
        )
        .helped_by([Remedy::NameAccount, forget])
    }

    /// It was found out too late that an account is another name of a creator.
    pub(crate) fn alias(account: &str, first: &str) -> Self {
        Self::temporary(format!(
            "\"{account}\" is the same creator as \"{first}\", whose uploads were not looked through. Nothing was sent."
        ))
        .helped_by([Remedy::CarryOn])
    }

    /// The provider of tokens has no account of that name.
    pub(crate) fn no_account(account: &str, cause: impl fmt::Display) -> Self {
        Self::usage(format!("There is no account \"{account}\": {cause}."))
            .because(NotAccepted::UnknownAccount)
    }

    /// The name belongs to another creator.
    pub(crate) fn account_taken(account: &str) -> Self {
        Self::new(
            ErrorKind::NeedsPerson,
            Who::You,
            format!("\"{account}\" is another creator's account already, and stays what it is."),
        )
        .helped_by([Remedy::ReplaceAccount {
            account: account.to_owned(),
        }])
    }
}
