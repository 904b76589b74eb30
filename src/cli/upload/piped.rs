//! `upload -`: one video from standard input.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Upload, text};
use crate::Failure;
use crate::globals::Globals;
use crate::item::{Item, Source};
use crate::pipe;
use crate::records::is_remote;
use crate::videos::Videos;

impl Upload {
    /// Whether the video comes from standard input.
    ///
    /// # Errors
    ///
    /// Usage, for what does not go with that, or means nothing without it.
    pub(super) fn is_piped(&self, globals: &Globals) -> Result<bool, Failure> {
        let refused = |text: &str| Err(Failure::usage(text));
        if !self.files.iter().any(|file| file == Path::new("-")) {
            let is_of_a_url = |file: &PathBuf| file.to_str().is_some_and(is_remote);
            let is_copied = self.from.is_some() || self.files.iter().any(is_of_a_url);
            return match (&self.name, globals.is_given("spool") && !is_copied) {
                (Some(_), _) => refused(
                    "--name is about a video from standard input: chunkferry upload - --name clip.mp4",
                ),
                (None, true) => refused(
                    "--spool is about a video from standard input, or under a URL: chunkferry upload - --name clip.mp4",
                ),
                (None, false) => Ok(false),
            };
        }
        if self.files.len() > 1 {
            return refused(
                "A video from standard input (-) is sent alone: name no other files, and - once. (A file of this name is ./-)",
            );
        }
        let others = [
            (self.follow.is_some(), "--follow"),
            (self.dry_run, "--dry-run"),
            (self.allow_writer, "--allow-writer"),
            (self.settle.is_some(), "--settle"),
        ];
        if let Some((_, option)) = others.iter().find(|(is_given, _)| *is_given) {
            return refused(&format!(
                "{option} means nothing to a video from standard input."
            ));
        }
        if self.name.is_none() {
            return refused(
                "A video from standard input has no name yet: --name clip.mp4. With --id ID, too, the same command carries on after a crash. Nothing was read. (A file of this name is ./-)",
            );
        }
        pipe::check()?;
        Ok(true)
    }

    pub(super) fn piped<'a>(&self, name: &str, options: Map<String, Value>) -> Videos<'a> {
        Videos::All(vec![Item {
            account: text(&options, "account"),
            source: Source::Piped(name.to_owned()),
            options,
            line: None,
        }])
    }
}
