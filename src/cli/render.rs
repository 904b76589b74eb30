//! The display of an upload: progress on stderr, results on stdout.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chunkferry::{Draft, Error, Escaped, Event, Job, Progress};
use serde_json::{Value, json};

use super::Failure;
use super::board::Board;
use super::exit::Exit;
use super::lines::Lines;
use super::size::humane;
use super::terminal;
use super::words::{good_news, moment, sum, when};

/// The display of a run.
#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    /// Whether text for people is shown.
    words: bool,
    board: Board,
}

impl Screen {
    /// Draws on a terminal, and prints lines elsewhere; with JSON on stdout it prints neither.
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            words: terminal::draws() || !json,
            board: Board::default(),
        }
    }

    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// A line for people, escaped as a whole: names and answers of the service are text from outside.
    pub(super) fn say(&self, text: &str) {
        if self.words {
            eprintln!("{}", Escaped::new(text));
        }
    }

    /// A view for each job of a run.
    pub(super) fn views(&self, jobs: &[Job], account: &str) -> Vec<View<'_>> {
        let view = |job: &Job| self.view(job.name(), job.is_url(), account);
        let views: Vec<_> = jobs.iter().map(view).collect();
        let files = views.iter().filter(|view| !view.is_url);
        self.board
            .measure(files.map(|view| (view.number, view.name.clone())).collect());
        views
    }

    /// A view of one video: of a file by its path, or of a URL without its secrets.
    pub(super) fn view(&self, name: String, is_url: bool, account: &str) -> View<'_> {
        View {
            screen: self,
            number: self.board.add(short_name(&name), is_url),
            lines: Mutex::new(Lines::new(name.clone(), is_url, account)),
            name,
            is_url,
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
        self.say(&sum(&outcomes));
        if self.json {
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
        if self.screen.json {
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

    /// Shows the result of an upload in this process.
    pub(super) fn end(&self, result: &Result<Draft, Error>, exit: Exit, progress: Progress) {
        let line = self.lines().end(result, exit, &progress);
        self.show(&line);
    }

    /// Shows why a service does not carry this video.
    pub(super) fn fail(&self, failure: &Failure) {
        let line = self.lines().fail(failure);
        self.show(&line);
    }

    fn named(&self, line: &Value) -> Value {
        let mut line = line.clone();
        let field = if self.is_url { "url" } else { "file" };
        if let Some(name) = line.get_mut(field) {
            *name = self.name.clone().into();
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
                .say(error["message"].as_str().unwrap_or_default());
        }
        self.screen.board.end(self.number, outcome, error.is_null());
        if !self.screen.json {
            let publish_id = line["publish_id"].as_str().unwrap_or("-");
            // A tab or a line break in a name must not make two fields or lines of one. Backslashes are doubled, so that
            // the field means one name.
            let name = self.name.replace('\\', "\\\\");
            let (publish_id, name) = (Escaped::new(publish_id), Escaped::new(&name));
            println!("{publish_id}\t{outcome}\t{name}");
        }
    }
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
