//! Errors as text: what happened, why, and what to do with this command's options and subcommands. Every error of the
//! library that is printed goes through here.

use chunkferry::{Error, Escaped, Remedy};

use super::size::typed;
use super::words::when;

/// An error on one line: what happened, its cause, and what helps. Text from outside is escaped.
pub(super) fn message(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    let what_to_do = advice(error, error.remedies());
    if !what_to_do.is_empty() {
        if !text.ends_with('.') {
            text.push('.');
        }
        text = format!("{text} {what_to_do}");
    }
    Escaped::new(&text).to_string()
}

/// The sentences of some remedies. Remedies that often occur together share a sentence.
fn advice(error: &Error, mut remedies: &[Remedy]) -> String {
    let mut sentences = Vec::new();
    loop {
        let (sentence, rest) = match remedies {
            [] => return sentences.join(" "),
            [
                Remedy::RestoreHistory,
                Remedy::CheckInbox,
                Remedy::SendAgain,
                Remedy::Forget,
                rest @ ..,
            ] => (
                "Put that file back as it was, or look into the creator's inbox; then --again sends this once more, and forget drops a record.".to_owned(),
                rest,
            ),
            [
                Remedy::CheckInbox,
                Remedy::SendAgain,
                Remedy::Forget,
                rest @ ..,
            ] => (
                "Look into the creator's inbox; then --again sends it once more, and forget drops the record.".to_owned(),
                rest,
            ),
            [first, rest @ ..] => (sentence(error, first), rest),
        };
        sentences.push(sentence);
        remedies = rest;
    }
}

/// The sentence for a remedy. An unknown one, new in the library, is shown by its word.
fn sentence(error: &Error, remedy: &Remedy) -> String {
    let text = match remedy {
        Remedy::CarryOn => "Run the same command again: it carries on.",
        Remedy::StartOver => "Run the same command to send the file as it is now.",
        Remedy::RepeatLater => "Run the same command again later.",
        Remedy::RepeatTomorrow => "Run the same command tomorrow.",
        Remedy::RepeatAfterFix => "Run the same command once that is mended.",
        Remedy::FinishFile => "Run the same command when the file is finished.",
        Remedy::AllowWriter => "--allow-writer sends it as it is.",
        Remedy::Settle => "--settle SECS lets it count as finished sooner.",
        Remedy::CheckInbox => "Look into the creator's inbox.",
        Remedy::SendAgain => "--again sends it once more.",
        Remedy::Forget => "forget drops the record.",
        Remedy::RestoreHistory => "Put history.jsonl in the state directory back as it was.",
        Remedy::GiveToken => {
            "Set TIKTOK_ACCESS_TOKEN or --token-file. To try without an account: chunkferry demo"
        }
        Remedy::RenewToken => "Get a fresh access token and run the same command: it carries on.",
        Remedy::LogIn { account } => {
            return format!("Log in: chunkferry login {account}");
        }
        Remedy::ReplaceAccount { account } => {
            return format!(
                "Choose another name, or give this one away: chunkferry login {account} --replace"
            );
        }
        Remedy::NameApp => {
            "Put the app's client_key and client_secret into [app] of the configuration, or set CHUNKFERRY_CLIENT_KEY and CHUNKFERRY_CLIENT_SECRET_FILE."
        }
        Remedy::GiveSealKey => {
            "Name its file by seal_key_file in the configuration or by CHUNKFERRY_SEAL_KEY_FILE, or a command that prints it by seal_key_command."
        }
        Remedy::RestoreAccount { account } => {
            return format!(
                "Put the account's file back from a backup, or move it away and log in: chunkferry login {account}"
            );
        }
        Remedy::Authorise => "Have the creator authorise the app again, then run the same command.",
        Remedy::PostDrafts => {
            let then = match error.retry_at() {
                Some(at) => format!("after {}", when(at)),
                None => "within 24 hours".to_owned(),
            };
            return format!("The creator posts or deletes one, or run this again {then}.");
        }
        Remedy::NameAccount => "Give each creator a name of its own: --account NAME.",
        Remedy::ForgetCreator { account } => {
            return format!(
                "If this creator is right from now on, forget the earlier one first: chunkferry forget --creator {account}"
            );
        }
        Remedy::TrustCertificates => {
            "Install this system's CA certificates (in Debian: ca-certificates), or name those of the server or of a proxy with --ca-file; also check the clock."
        }
        Remedy::NameCaFile => "Name a file of CA certificates in PEM with --ca-file.",
        Remedy::NameUploadHost => "If the host is yours, name it with --upload-host.",
        Remedy::AllowHttp => "--allow-http permits it.",
        Remedy::RaiseBandwidth { bytes_per_second } => {
            let rate = typed(*bytes_per_second);
            return format!("Raise the limit: --bwlimit {rate}.");
        }
        Remedy::IgnoreForecast => "--ignore-forecast begins all the same.",
        Remedy::SkipPreflight => "(--no-preflight leaves this check to TikTok.)",
        Remedy::GiveWholeUrl => "Give the whole URL again.",
        Remedy::AllowPrivate => "private = true under [sources] in the configuration allows it.",
        Remedy::Spool => "--spool DIR copies it to a file there first.",
        Remedy::ChangeStateDir => "Name another directory with --state-dir.",
        Remedy::MakeRoom => "Make room there, and run the same command again.",
        Remedy::ChangeSpoolDir => "--spool DIR keeps it in a directory of yours on another disk.",
        other => return format!("What helps: {}.", other.as_str()),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_has_a_sentence_of_its_own() {
        let error = Error::cancelled();
        let remedies = Remedy::one_of_each();
        let sentences: Vec<String> = remedies
            .iter()
            .map(|remedy| sentence(&error, remedy))
            .collect();
        for sentence in &sentences {
            assert!(!sentence.starts_with("What helps"), "{sentence}");
        }
        let lines: Vec<String> = remedies
            .iter()
            .zip(&sentences)
            .map(|(remedy, sentence)| format!("{}: {sentence}", remedy.as_str()))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn remedies_that_come_together_make_one_sentence() {
        let error = Error::cancelled();
        let all = [
            Remedy::RestoreHistory,
            Remedy::CheckInbox,
            Remedy::SendAgain,
            Remedy::Forget,
            Remedy::RepeatLater,
        ];
        assert_eq!(
            advice(&error, &all[1..]),
            "Look into the creator's inbox; then --again sends it once more, and forget drops the record. Run the same command again later."
        );
        assert!(
            advice(&error, &all).starts_with("Put that file back as it was, or look into"),
            "{}",
            advice(&error, &all)
        );
        assert_eq!(
            message(&error),
            "Stopped. Run the same command again: it carries on."
        );
    }
}
