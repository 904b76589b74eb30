//! The display of an upload: progress on stderr, results on stdout.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chunkferry::{Draft, Error, Escaped, Event, Progress};
use serde_json::{Value, json};

use super::Failure;
use super::board::Board;
use super::exit::Exit;
use super::item::{Item, Source};
use super::lines::Lines;
use super::size::humane;
use super::terminal;
use super::words::{good_news, moment, sum, when};

mod pipe;

/// The display of a run.
#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    /// Whether text for people is shown.
    words: bool,
    /// Whether only what failed is shown.
    quiet: bool,
    board: Board,
}

impl Screen {
    /// Draws on a terminal, and prints lines elsewhere; with JSON on stdout it prints neither.
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            words: terminal::draws() || !json,
            quiet: false,
            board: Board::default(),
        }
    }

    /// Shows only what has failed.
    pub(super) fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// A line for people, escaped as a whole: names and answers of the service are text from outside.
    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// A line for people about something that has failed.
    fn complain(&self, text: &str) {
        if self.words {
            eprintln!("{}", Escaped::new(text));
        }
    }

    /// A line of JSON that is no line of a video.
    pub(super) fn print(&self, event: &str, account: Option<&str>, fields: Value) {
        if self.json && !self.quiet {
            println!("{}", super::json::line(event, account, fields));
        }
    }

    /// The videos that the run has.
    pub(super) fn expect(&self, items: &[Item]) {
        let files = items.iter().map(|item| match &item.source {
            Source::File(path) => Some(path.clone()),
            Source::Remote(_) | Source::Url(_) | Source::Piped(_) => None,
        });
        self.board.expect(files.collect());
    }

    /// A view of one video of the run.
    pub(super) fn view_of(&self, item: &Item) -> View<'_> {
        let mut view = self.view(item.name(), item.is_url(), &item.account);
        if let Some(line) = item.line {
            view.marks.push(("line", line.into()));
        }
        if let Some(id) = item.id() {
            view.marks.push(("caller_id", id.into()));
        }
        view
    }

    /// A view of one video: of a file by its path, or of a URL without its secrets.
    pub(super) fn view(&self, name: String, is_url: bool, account: &str) -> View<'_> {
        View {
            screen: self,
            number: self.board.add(short_name(&name), is_url),
            lines: Mutex::new(Lines::new(name.clone(), is_url, account)),
            name,
            is_url,
            marks: Vec::new(),
            state: Mutex::new(Shown {
                begun: false,
                at: Instant::now(),
                processing: false,
            }),
        }
    }

    /// The last line of a run of several videos: the number of each outcome, and the exit code.
    pub(super) fn sum_up(&self, exit: Exit) {
        let Some(outcomes) = self.board.outcomes() else {
            return;
        };
        if exit == Exit::DELIVERED {
            self.say(&sum(&outcomes));
        } else {
            self.complain(&sum(&outcomes));
        }
        if self.json && (!self.quiet || exit != Exit::DELIVERED) {
            let fields = json!({ "exit": exit.0, "outcomes": outcomes });
            println!("{}", super::json::line("summary", None, fields));
        }
    }
}

/// The display of one video.
#[derive(Debug)]
pub(super) struct View<'a> {
    screen: &'a Screen,
    number: usize,
    /// The whole path, or the URL without its secrets.
    name: String,
    is_url: bool,
    /// What a manifest says of it; each line has that.
    marks: Vec<(&'static str, Value)>,
    /// Makes the lines of an upload that runs in this process.
    lines: Mutex<Lines>,
    state: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    begun: bool,
    /// When progress was last printed.
    at: Instant,
    processing: bool,
}

/// The last part of a path.
fn short_name(name: &str) -> &str {
    let last = name.trim_end_matches('/').rsplit('/').next();
    last.filter(|name| !name.is_empty()).unwrap_or(name)
}

impl View<'_> {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the upload has begun and there is progress to show.
    pub(super) fn has_begun(&self) -> bool {
        self.shown().begun
    }

    /// How often [`progress`](Self::progress) should be called.
    pub(super) fn tick(&self) -> Duration {
        Duration::from_millis(if terminal::draws() { 100 } else { 500 })
    }

    /// Shows an event of an upload in this process.
    pub(super) fn event(&self, event: Event) {
        let line = self.lines().event(event);
        if let Some(line) = line {
            self.show(&line);
        }
    }

    /// Shows a line about this video, as `--json` has it. A line of another process has the name that this command was given.
    pub(super) fn show(&self, line: &Value) {
        if line["event"] == "progress" {
            return self.show_progress(seen(line), || self.named(line));
        }
        let is_shown = !self.screen.quiet || line["error"].is_object();
        if self.screen.json && is_shown {
            println!("{}", self.named(line));
        }
        let name = short_name(&self.name);
        let say = |text: String| self.screen.say(&format!("{name}: {text}"));
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        let seconds = || line["seconds"].as_f64().unwrap_or_default();
        match text("event") {
            "comparing" => {
                say("comparing its bytes with an earlier upload of the same size".into())
            }
            "planned" => {
                if let Some(text) = plan_in_words(line) {
                    say(text);
                }
                self.shown().begun = true;
                self.screen.board.begin(self.number);
            }
            "waiting" => {
                let seconds = (seconds() as u64).max(1);
                say(format!("waits {seconds} s: {}", text("reason")));
            }
            "pulling" => {
                say("TikTok fetches it; the URL must stay reachable until it is done".into());
            }
            "retry" => say(format!("{}; again in {:.1} s", text("reason"), seconds())),
            "session_lost" => {
                self.shown().processing = false;
                let reason = text("reason");
                say(format!(
                    "the session is lost: {reason}. From the start, in a new one"
                ));
            }
            "processing" => {
                self.shown().processing = true;
                self.screen.board.process(self.number);
                say("every byte is accepted; TikTok works on it".into());
            }
            "again" => {
                let next = moment(line, "retry_at").map_or_else(|| "soon".into(), when);
                say(format!("{} It is tried again at {next}.", text("reason")));
            }
            "notice" => say(text("text").to_owned()),
            "outcome" => self.outcome(line),
            _ => {}
        }
    }

    /// Shows how far an upload in this process is.
    pub(super) fn progress(&self, progress: Progress) {
        self.show_progress(progress, || self.lines().progress(&progress));
    }

    fn show_progress(&self, progress: Progress, line: impl FnOnce() -> Value) {
        if self.screen.quiet {
            return;
        }
        let text = self.screen.board.progress(self.number, progress);
        let mut shown = self.shown();
        let every = match (self.screen.json, shown.processing) {
            (true, _) => 1,
            (false, false) => 10,
            (false, true) => 60,
        };
        if shown.at.elapsed() < Duration::from_secs(every) || !shown.begun {
            return;
        }
        shown.at = Instant::now();
        drop(shown);
        if self.screen.json {
            println!("{}", line());
        }
        if !terminal::draws() {
            self.screen
                .say(&format!("{}: {text}", short_name(&self.name)));
        }
    }

    /// Shows the result of an upload in this process; what that means for the run.
    pub(super) fn end(
        &self,
        result: &Result<Draft, Error>,
        exit: Exit,
        progress: Progress,
    ) -> Exit {
        let line = self.lines().end(result, exit, &progress);
        self.show(&line);
        self.counted(&line)
    }

    /// Shows why a service does not carry this video.
    pub(super) fn fail(&self, failure: &Failure) -> Exit {
        let line = self.lines().fail(failure);
        self.show(&line);
        self.counted(&line)
    }

    /// What the last line of this video means for the run: of several videos, those that wait for an inbox with room are left for
    /// another run.
    pub(super) fn counted(&self, line: &Value) -> Exit {
        match self.screen.board.is_several() && is_capped(line) {
            true => Exit::AGAIN,
            false => {
                let exit = line["exit"].as_u64();
                let exit = exit.and_then(|exit| u8::try_from(exit).ok());
                exit.map_or(Exit(1), Exit)
            }
        }
    }

    fn named(&self, line: &Value) -> Value {
        let mut line = line.clone();
        let field = if self.is_url { "url" } else { "file" };
        if let Some(name) = line.get_mut(field) {
            *name = self.name.clone().into();
        }
        for (name, value) in &self.marks {
            line[*name] = value.clone();
        }
        line
    }

    fn outcome(&self, line: &Value) {
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        let (outcome, error) = (text("outcome"), &line["error"]);
        let stopped = [Exit::INTERRUPTED, Exit::TERMINATED];
        let exit = line["exit"].as_u64();
        if error.is_null() {
            self.screen.say(&good_news(short_name(&self.name), line));
        } else if !stopped.iter().any(|stopped| exit == Some(stopped.0.into())) {
            self.screen
                .complain(error["message"].as_str().unwrap_or_default());
        }
        let counted = if is_capped(line) { "capped" } else { outcome };
        self.screen.board.end(self.number, counted, error.is_null());
        let is_hidden = self.screen.quiet && error.is_null();
        if !(self.screen.json || is_hidden) {
            let publish_id = line["publish_id"].as_str().unwrap_or("-");
            // A tab or a line break in a name must not make two fields or lines of one. Backslashes are doubled, so that
            // the field means one name.
            let name = self.name.replace('\\', "\\\\");
            let (publish_id, name) = (Escaped::new(publish_id), Escaped::new(&name));
            println!("{publish_id}\t{outcome}\t{name}");
        }
    }
}

/// Whether a video waits for room in the inbox of its creator, or for another day: it can be sent later, and no person is asked.
fn is_capped(line: &Value) -> bool {
    line["outcome"] == "needs_person" && line["retry_at"].is_string()
}

/// The progress in a line.
fn seen(line: &Value) -> Progress {
    let number = |field: &str| line[field].as_u64().unwrap_or_default();
    let mut progress = Progress::default();
    progress.total = number("bytes");
    progress.sent = number("sent");
    progress.confirmed = number("confirmed");
    progress.bytes_sent = number("bytes_sent");
    progress
}

/// The plan of a file: in chunks from the start, or from the confirmed byte.
fn plan_in_words(line: &Value) -> Option<String> {
    let (size, count) = (line["bytes"].as_u64()?, line["total_chunk_count"].as_u64()?);
    let size = humane(size);
    Some(match line["confirmed"].as_u64().unwrap_or_default() {
        0 if count == 1 => format!("{size} in 1 chunk"),
        0 => format!("{size} in {count} chunks"),
        confirmed => format!(
            "carries on: {} of {size} are already at TikTok",
            humane(confirmed)
        ),
    })
}
