//! What helps against an error, as values. Texts of the library describe the error; programs that show it say what to
//! do.

/// Something that helps against an [`Error`](crate::Error), in terms of the library.
///
/// [`Error::remedies`](crate::Error::remedies) lists the remedies of an error in the order in which they make sense. A
/// program that embeds the library acts on them, or shows them in its own words, as the command does with its options.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// The same job again, at any time: [`Engine::upload`](crate::Engine::upload) continues where it stopped.
    CarryOn,
    /// The same job again: [`Engine::upload`](crate::Engine::upload) sends the file from its first byte, as it is now.
    StartOver,
    /// The same call later, with no other change; after [`Error::retry_at`](crate::Error::retry_at), if known.
    RepeatLater,
    /// The same call on the next day: a daily limit of the service is reached.
    RepeatTomorrow,
    /// The same call once the fault in the message is mended; [`Error::who_must_act`](crate::Error::who_must_act) says
    /// by whom.
    RepeatAfterFix,
    /// The same job once the program that writes the file has ended.
    FinishFile,
    /// [`Job::allow_writer`](crate::Job::allow_writer): send the file although a program may still write it.
    AllowWriter,
    /// [`Job::settle`](crate::Job::settle): a shorter time without changes after which a file counts as finished.
    Settle,
    /// A look into the creator's inbox: only the inbox shows whether there is a draft.
    CheckInbox,
    /// [`Job::again`](crate::Job::again): send the video on purpose, although this may make a second draft.
    SendAgain,
    /// [`Engine::forget`](crate::Engine::forget): drop the record of the upload.
    Forget,
    /// Restore `history.jsonl` in the state directory from a backup.
    RestoreHistory,
    /// A [`TokenSource`](crate::TokenSource) that has a token; then the same call again.
    GiveToken,
    /// A fresh access token from the [`TokenSource`](crate::TokenSource), and the same call again.
    RenewToken,
    /// The creator logs in: [`Accounts::begin_login`](crate::Accounts::begin_login). Then the same call once more.
    LogIn {
        /// The account's name.
        account: String,
    },
    /// [`Accounts::finish_login`](crate::Accounts::finish_login) with `replace`, or another name.
    ReplaceAccount {
        /// The account's name.
        account: String,
    },
    /// An [`App`](crate::App) for the [`Accounts`](crate::Accounts).
    NameApp,
    /// [`Options::seal_keys`](crate::Options::seal_keys) with the key that the message names.
    GiveSealKey,
    /// The account's file from a backup; or without that file a new login
    /// ([`Accounts::begin_login`](crate::Accounts::begin_login)).
    RestoreAccount {
        /// The account's name.
        account: String,
    },
    /// The creator authorises the app again, with the scopes that it needs; then the same call again.
    Authorise,
    /// The creator posts or deletes a draft. Without that, the same job after
    /// [`Error::retry_at`](crate::Error::retry_at).
    PostDrafts,
    /// A separate account name for each creator; see [`Job::account`](crate::Job::account).
    NameAccount,
    /// [`Engine::forget_creator`](crate::Engine::forget_creator): the next token decides which creator the account
    /// belongs to.
    ForgetCreator {
        /// The account's name.
        account: String,
    },
    /// Certificates of this system, or [`Options::ca_file`](crate::Options::ca_file) with those of the server or of a
    /// proxy, and a correct clock.
    TrustCertificates,
    /// [`Options::ca_file`](crate::Options::ca_file) with a file of certificates in PEM.
    NameCaFile,
    /// [`Options::upload_host`](crate::Options::upload_host), if the host that the service named is the user's own.
    NameUploadHost,
    /// [`Options::allow_http`](crate::Options::allow_http): tokens and videos are then sent unencrypted.
    AllowHttp,
    /// A higher [`Options::bandwidth`](crate::Options::bandwidth), so that the file fits in the hour of its upload URL.
    RaiseBandwidth {
        /// A sufficient rate.
        bytes_per_second: u64,
    },
    /// [`Job::ignore_forecast`](crate::Job::ignore_forecast): begin although the file cannot arrive in time.
    IgnoreForecast,
    /// [`Job::preflight`](crate::Job::preflight) with `false`: leave the check of the URL to the service.
    SkipPreflight,
    /// [`Job::url`](crate::Job::url) or [`Job::remote`](crate::Job::remote) with the whole URL: the journal keeps no query.
    GiveWholeUrl,
    /// [`Job::spool`](crate::Job::spool): copy the video to a file of the state directory, and send that.
    Spool,
    /// [`Options::private_sources`](crate::Options::private_sources), if the host is to be reached.
    AllowPrivate,
    /// Another state directory; see [`Options::new`](crate::Options::new).
    ChangeStateDir,
    /// Room on the disk that the message names; then the same call again.
    MakeRoom,
    /// Another [`Options::spool_dir`](crate::Options::spool_dir): a directory of this user's, on a disk with room.
    ChangeSpoolDir,
}

impl Remedy {
    /// One lower-case word that stays the same, for logs, metrics and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::CarryOn => "carry_on",
            Self::StartOver => "start_over",
            Self::RepeatLater => "later",
            Self::RepeatTomorrow => "tomorrow",
            Self::RepeatAfterFix => "after_fix",
            Self::FinishFile => "finish_file",
            Self::AllowWriter => "allow_writer",
            Self::Settle => "settle",
            Self::CheckInbox => "check_inbox",
            Self::SendAgain => "again",
            Self::Forget => "forget",
            Self::RestoreHistory => "restore_history",
            Self::GiveToken => "give_token",
            Self::RenewToken => "renew_token",
            Self::LogIn { .. } => "log_in",
            Self::ReplaceAccount { .. } => "replace_account",
            Self::NameApp => "name_app",
            Self::GiveSealKey => "seal_key",
            Self::RestoreAccount { .. } => "restore_account",
            Self::Authorise => "authorise",
            Self::PostDrafts => "post_drafts",
            Self::NameAccount => "name_account",
            Self::ForgetCreator { .. } => "forget_creator",
            Self::TrustCertificates => "trust_certificates",
            Self::NameCaFile => "name_ca_file",
            Self::NameUploadHost => "name_upload_host",
            Self::AllowHttp => "allow_http",
            Self::RaiseBandwidth { .. } => "raise_bandwidth",
            Self::IgnoreForecast => "ignore_forecast",
            Self::SkipPreflight => "skip_preflight",
            Self::GiveWholeUrl => "whole_url",
            Self::Spool => "spool",
            Self::AllowPrivate => "allow_private",
            Self::ChangeStateDir => "change_state_dir",
            Self::MakeRoom => "make_room",
            Self::ChangeSpoolDir => "change_spool_dir",
        }
    }
}

impl Remedy {
    /// All remedies, for tests of programs that show them.
    #[doc(hidden)]
    pub fn one_of_each() -> Vec<Self> {
        let account = "lena".to_owned();
        let bytes_per_second = 15_000;
        vec![
            Self::CarryOn,
            Self::StartOver,
            Self::RepeatLater,
            Self::RepeatTomorrow,
            Self::RepeatAfterFix,
            Self::FinishFile,
            Self::AllowWriter,
            Self::Settle,
            Self::CheckInbox,
            Self::SendAgain,
            Self::Forget,
            Self::RestoreHistory,
            Self::GiveToken,
            Self::RenewToken,
            Self::LogIn {
                account: account.clone(),
            },
            Self::ReplaceAccount {
                account: account.clone(),
            },
            Self::NameApp,
            Self::GiveSealKey,
            Self::RestoreAccount {
                account: account.clone(),
            },
            Self::Authorise,
            Self::PostDrafts,
            Self::NameAccount,
            Self::ForgetCreator { account },
            Self::TrustCertificates,
            Self::NameCaFile,
            Self::NameUploadHost,
            Self::AllowHttp,
            Self::RaiseBandwidth { bytes_per_second },
            Self::IgnoreForecast,
            Self::SkipPreflight,
            Self::GiveWholeUrl,
            Self::Spool,
            Self::AllowPrivate,
            Self::ChangeStateDir,
            Self::MakeRoom,
            Self::ChangeSpoolDir,
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_remedy_has_a_word_of_its_own_and_none_is_left_out_of_the_list() {
        let listed = Remedy::one_of_each();
        let words: BTreeSet<&str> = listed.iter().map(Remedy::as_str).collect();
        assert_eq!(words.len(), listed.len());
        let arms = include_str!("remedy.rs").matches("=> \"").count();
        assert_eq!(arms, words.len());
    }
}
