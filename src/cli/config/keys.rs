//! The keys for options: those of the command line, but for some that a person has to say each time.

use std::ffi::OsString;
use std::num::ParseIntError;

use chunkferry::Escaped;
use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};

/// Options that no file sets, and why.
pub(super) const NEVER: [(&str, &str); 13] = [
    (
        "again",
        "each run would send every video once more. Give --again in the run that is meant to",
    ),
    (
        "emulator",
        "runs that post nothing would look like runs that post. Give --emulator in the run that is meant to",
    ),
    (
        "allow_writer",
        "unfinished files would be sent. Give --allow-writer for the file that is meant",
    ),
    (
        "key",
        "all videos that are pulled would count as one. Give --key for the video that is meant",
    ),
    (
        "url_file",
        "what is pulled is named where it is pulled. Give --url-file in that run",
    ),
    (
        "id",
        "each video has an id of its own. Give --id for the video that is meant",
    ),
    (
        "name",
        "each video from standard input has a name of its own. Give --name for the video that is meant",
    ),
    (
        "detach",
        "no run would show how it ended. Give --detach in the run that is meant to",
    ),
    (
        "follow",
        "a job is named where it is followed. Give --follow in that run",
    ),
    (
        "from",
        "what is sent is named where it is sent. Give --from in that run",
    ),
    ("stream", "it belongs to --from. Give both in one run"),
    (
        "dry_run",
        "runs that send nothing would look like runs that send. Give --dry-run in the run that is meant to",
    ),
    ("config", "one file is read, and it names no other"),
];

/// The subcommands that have a table of their own.
const TABLES: [&str; 2] = ["upload", "pull"];

/// A key that sets the default of an option.
#[derive(Debug)]
pub(crate) struct Key {
    /// Empty for the top level.
    pub(crate) table: &'static str,
    /// The option's long name, with `_` for `-`.
    pub(crate) name: String,
    pub(crate) arg: Arg,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Switch,
    Path,
    Text,
    /// A number, or text such as `30MB` that means one.
    Number,
}

impl Key {
    pub(super) fn kind(&self) -> Kind {
        if matches!(self.arg.get_action(), ArgAction::SetTrue) {
            return Kind::Switch;
        }
        let is = |parser: ValueParser| parser.type_id() == self.arg.get_value_parser().type_id();
        if is(ValueParser::path_buf()) {
            Kind::Path
        } else if is(ValueParser::string()) {
            Kind::Text
        } else {
            Kind::Number
        }
    }

    /// Whether the option's own parser takes this value, or why not.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        let arg = self.arg.clone();
        let line: OsString = format!("--{}={value}", self.name.replace('_', "-")).into();
        let alone = Command::new("config").no_binary_name(true).arg(arg);
        let Err(error) = alone.try_get_matches_from([line]) else {
            return Ok(());
        };
        if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue) {
            return Err(format!("it is one of {}", values.join(", ")));
        }
        Err(match std::error::Error::source(&error) {
            Some(why) if why.is::<ParseIntError>() => "it has to be a whole number".to_owned(),
            Some(why) => why.to_string(),
            None => format!("\"{}\" is no value of it", Escaped::new(value)),
        })
    }
}

/// The keys for options, from the grammar.
pub(crate) fn options(grammar: &Command) -> Vec<Key> {
    let key = |table, arg: &Arg| {
        let name = arg.get_long()?.replace('-', "_");
        let never = NEVER.iter().any(|(never, _)| *never == name);
        let ours = !never && !["help", "version"].contains(&&*name);
        let arg = arg.clone();
        ours.then_some(Key { table, name, arg })
    };
    let globals = grammar.get_arguments().filter(|arg| arg.is_global_set());
    let mut keys: Vec<Key> = globals.filter_map(|arg| key("", arg)).collect();
    for table in TABLES {
        let args = grammar.find_subcommand(table).into_iter();
        let args = args.flat_map(Command::get_arguments);
        let own = args.filter(|arg| !arg.is_global_set());
        keys.extend(own.filter_map(|arg| key(table, arg)));
    }
    keys
}

/// Where a key belongs that is in the wrong table: `in [upload] or [pull]`.
pub(super) fn elsewhere(options: &[Key], name: &str) -> String {
    let found = options.iter().filter(|key| key.name == name);
    let places = found.map(|key| match key.table {
        "" => "at the top of the file, before the first table".to_owned(),
        table => format!("in [{table}]"),
    });
    places.collect::<Vec<_>>().join(" or ")
}

/// The key of a table that is spelled most like this one.
pub(super) fn nearest<'a>(options: &'a [Key], table: &str, name: &str) -> &'a str {
    let keys = options.iter().filter(|key| key.table == table);
    let keys = keys.map(|key| &*key.name);
    match table {
        "" => {
            let others = [
                "app",
                "accounts",
                "sources",
                "notify",
                "watch",
                "seal_key_file",
                "seal_key_command",
            ];
            nearest_of(keys.chain(TABLES).chain(others), name)
        }
        _ => nearest_of(keys, name),
    }
}

/// The one of these that is spelled most like `name`.
pub(crate) fn nearest_of<'a>(keys: impl IntoIterator<Item = &'a str>, name: &str) -> &'a str {
    // Of two that are as near, the one that only goes on is meant rather than another word.
    let rank = |key: &&str| (distance(key, name), !key.starts_with(name));
    keys.into_iter().min_by_key(rank).unwrap_or_default()
}

/// Whether one of two words is probably the other one, misspelled.
pub(crate) fn is_near(word: &str, other: &str) -> bool {
    let word = word.to_lowercase();
    distance(&word, other) <= (word.len() / 3).clamp(1, 2)
}

/// How many letters have to be added, dropped or changed to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in other.chars().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_with_the_fewest_changes() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("acount", "account"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        // Five letters to change, or five to add.
        let keys = ["service", "seal_key_file"];
        assert_eq!(nearest_of(keys, "seal_key"), "seal_key_file");
        let keys = ["token_file", "token_command", "token_env", "login"];
        assert_eq!(nearest_of(keys, "tokenfile"), "token_file");
        assert_eq!(nearest_of(keys, "log_in"), "login");
    }

    #[test]
    fn the_page_names_each_key_and_no_other() {
        let page = include_str!("../../../docs/config.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows = rows.filter_map(|row| row.split_once('`'));
        let mut written: Vec<&str> = rows.map(|(key, _)| key).collect();
        let keys = options(&crate::grammar());
        let mut known: Vec<&str> = keys.iter().map(|key| &*key.name).collect();
        known.extend([
            "login",
            "token_file",
            "token_command",
            "token_env",
            "client_key",
            "client_secret",
            "client_secret_file",
            "client_secret_command",
            "seal_key_file",
            "seal_key_command",
            "url",
            "command",
        ]);
        known.extend(crate::config::sources::KEYS);
        known.extend(crate::config::notify::KEYS);
        known.extend(crate::config::watch::KEYS);
        for list in [&mut written, &mut known] {
            list.sort_unstable();
            list.dedup();
        }
        assert_eq!(written, known);
        for (never, _) in NEVER {
            assert!(page.contains(&format!("`{never}`")), "{never}");
        }
    }
}
