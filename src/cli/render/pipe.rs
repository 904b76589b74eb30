//! The display of a video from standard input.

use std::time::{Duration, Instant};

use chunkferry::{Draft, Error, Progress};
use serde_json::{Value, json};

use super::{View, short_name};
use crate::exit::Exit;
use crate::terminal;

impl View<'_> {
    /// Says something about this video; `cause` is a word for programs.
    pub(crate) fn note(&self, cause: &str, text: &str) {
        let line = self
            .lines()
            .line("notice", json!({ "cause": cause, "text": text }));
        self.show(&line);
    }

    /// Shows how many bytes came from standard input.
    pub(crate) fn spooling(&self, bytes: u64) {
        if self.screen.quiet {
            return;
        }
        let text = self.screen.board.spool(self.number, bytes);
        let every = if self.screen.json { 1 } else { 10 };
        let mut shown = self.shown();
        if shown.at.elapsed() < Duration::from_secs(every) {
            return;
        }
        shown.at = Instant::now();
        drop(shown);
        self.say_spooled("spooling", bytes, &text);
    }

    /// Shows that all bytes came.
    pub(crate) fn spooled(&self, bytes: u64) {
        if !self.screen.quiet {
            let text = self.screen.board.spool(self.number, bytes);
            self.say_spooled("spooled", bytes, &text);
        }
    }

    fn say_spooled(&self, event: &str, bytes: u64, text: &str) {
        if self.screen.json {
            let line = self.lines().line(event, json!({ "bytes": bytes }));
            println!("{}", self.named(&line));
        }
        if !terminal::draws() || event == "spooled" {
            let name = short_name(&self.name);
            self.screen.say(&format!("{name}: {text}"));
        }
    }

    /// Shows that a job has delivered this video before.
    pub(crate) fn before(&self, record: &Value) -> Exit {
        let line = self.lines().before(record);
        self.show(&line);
        self.counted(&line)
    }

    /// Shows the result of a job in this process; `first_job` is the job that had delivered the same video before.
    pub(crate) fn end_of(
        &self,
        result: &Result<Draft, Error>,
        exit: Exit,
        progress: Progress,
        first_job: Option<String>,
    ) -> Exit {
        let mut line = self.lines().end(result, exit, &progress);
        if let Some(first) = first_job {
            line["first_job"] = first.into();
        }
        self.show(&line);
        self.counted(&line)
    }
}
