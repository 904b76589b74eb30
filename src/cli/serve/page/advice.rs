//! What a person does about a job, in words: the remedies of the library for whoever looks at the page.

use super::html::Html;

/// Appends the advice for a remedy's word: a sentence, and a command where one helps.
pub(super) fn put(html: &mut Html, word: &str, account: &str) {
    let (sentence, command) = sentence(word);
    html.put("<li>{}", &[&sentence]);
    match command {
        None => html.put("</li>", &[]),
        Some((command, Of::Account)) => {
            html.put(" <code>{} {}</code></li>", &[&command, &quoted(account)])
        }
        Some((command, Of::Nothing)) => html.put(" <code>{}</code></li>", &[&command]),
    };
}

/// What a command is about.
enum Of {
    Account,
    Nothing,
}

/// The sentence for a word, and a command.
fn sentence(word: &str) -> (&str, Option<(&'static str, Of)>) {
    let text = match word {
        "carry_on" => "Try again: the upload carries on where it stopped.",
        "start_over" => "Try again to send the file as it is now.",
        "later" => "Try again later.",
        "tomorrow" => "Try again tomorrow: the limit of a day is reached.",
        "after_fix" => "Mend that, then try again.",
        "finish_file" => "Try again when the program that writes the file has ended.",
        "allow_writer" => {
            "If nobody writes the file any more, submit it with the field allow_writer."
        }
        "settle" => "A smaller field settle lets the file count as finished sooner.",
        "check_inbox" => {
            "Look into the creator's inbox: only the inbox shows whether there is a draft."
        }
        "again" => {
            "To send the video once more on purpose, submit it with the field again and an id."
        }
        "forget" => {
            return (
                "To drop the record of the upload, find its id and forget it:",
                Some(("chunkferry list", Of::Nothing)),
            );
        }
        "restore_history" => "Put history.jsonl in the state directory back as it was.",
        "give_token" => {
            "Give the account a token where the config file says that it is. The job then goes on within a minute, or at once with Try again."
        }
        "renew_token" => "Put a fresh token in the place of the old one, then try again.",
        "log_in" => {
            return (
                "The creator logs in; the job then goes on within a minute, or at once with Try again:",
                Some(("chunkferry login", Of::Account)),
            );
        }
        "replace_account" => {
            return (
                "Choose another name, or give this one to the new creator:",
                Some(("chunkferry login --replace", Of::Account)),
            );
        }
        "name_app" => {
            "Put client_key and client_secret of the app into [app] of the config file, and restart the service."
        }
        "seal_key" => {
            "Name the file of the seal key by seal_key_file in the config file, and restart the service."
        }
        "restore_account" => {
            return (
                "Put the account's file back from a backup, or move it away and log in:",
                Some(("chunkferry login", Of::Account)),
            );
        }
        "authorise" => "Have the creator authorise the app again, then try again.",
        "post_drafts" => {
            "The creator posts or deletes a draft; without that, try again after a day."
        }
        "name_account" => "Give each creator an account name of its own.",
        "forget_creator" => {
            return (
                "If this creator is the right one from now on, forget the earlier one, then try again:",
                Some(("chunkferry forget --creator", Of::Account)),
            );
        }
        "trust_certificates" => {
            "Install the CA certificates of the system, or start the service with --ca-file; check the clock, too."
        }
        "name_ca_file" => "Start the service with --ca-file and a file of CA certificates in PEM.",
        "name_upload_host" => "If the host is yours, start the service with --upload-host.",
        "allow_http" => "Start the service with --allow-http to permit it.",
        "raise_bandwidth" => "Start the service with a higher --bwlimit.",
        "ignore_forecast" => "To begin all the same, submit it with the field ignore_forecast.",
        "spool" => "Submit it with the field spool set to true: it is copied to a file first.",
        "allow_private" => {
            "If the host is to be reached, set private under [sources] of the config."
        }
        "skip_preflight" => {
            "To leave the check of the URL to TikTok, submit it with the field preflight set to false."
        }
        "whole_url" => "Submit the whole URL again.",
        "change_state_dir" => "Start the service with another --state-dir.",
        "make_room" => "Make room on the disk of the service.",
        "change_spool_dir" => "Start the service with another --state-dir, on a disk with room.",
        other => other,
    };
    (text, None)
}

/// Who must act, in words.
pub(super) fn who(word: &str) -> &str {
    match word {
        "you" => "you",
        "creator" => "the creator",
        "developer" => "the developer of the app",
        "service" => "TikTok",
        other => other,
    }
}

/// A name as a shell takes it for one word.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-@".contains(c);
    match !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chunkferry::Remedy;

    use super::*;

    #[test]
    fn each_remedy_has_a_sentence_of_its_own() {
        let remedies = Remedy::one_of_each();
        let words: Vec<&str> = remedies.iter().map(Remedy::as_str).collect();
        let sentences: BTreeSet<&str> = words.iter().map(|word| sentence(word).0).collect();
        assert_eq!(sentences.len(), words.len());
        for word in words {
            assert_ne!(sentence(word).0, word);
        }
    }

    #[test]
    fn a_name_is_one_word_for_a_shell() {
        assert_eq!(quoted("lena"), "lena");
        assert_eq!(quoted("team one"), "'team one'");
        assert_eq!(quoted("x'; rm -rf ~"), r"'x'\''; rm -rf ~'");
    }
}
