//! The display of an upload: progress on stderr, results on stdout.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use chunkferry::{Draft, Error, ErrorKind, Escaped, Event, Job, Outcome, Plan, Progress};
use serde_json::{Value, json};

use super::board::Board;
use super::exit::Exit;
use super::message::message;
use super::size::humane;
use super::terminal;
use super::words::{good_news, rfc3339, sum};

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

    /// A line for people, escaped as a whole: names and answers of the service are text from outside.
    pub(super) fn say(&self, text: &str) {
        if self.words {
            eprintln!("{}", Escaped::new(text));
        }
    }

    /// A view for each job of a run.
    pub(super) fn views(&self, jobs: &[Job], account: &str) -> Vec<View<'_>> {
        let views: Vec<_> = jobs.iter().map(|job| self.view(job, account)).collect();
        let files = views.iter().filter(|view| !view.is_url);
        self.board
            .measure(files.map(|view| (view.number, view.name.clone())).collect());
        views
    }

    fn view(&self, job: &Job, account: &str) -> View<'_> {
        let name = job.name();
        View {
            screen: self,
            number: self.board.add(short_name(&name), job.is_url()),
            name,
            is_url: job.is_url(),
            account: account.to_owned(),
            state: Mutex::new(Shown {
                id: None,
                publish_id: None,
                told: Instant::now(),
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
    account: String,
    state: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    id: Option<String>,
    publish_id: Option<String>,
    told: Instant,
    processing: bool,
}

/// The last part of a path.
fn short_name(name: &str) -> &str {
    let last = name.trim_end_matches('/').rsplit('/').next();
    last.filter(|name| !name.is_empty()).unwrap_or(name)
}

impl View<'_> {
    fn short_name(&self) -> &str {
        short_name(&self.name)
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn json(&self, event: &str, mut fields: Value) {
        if !self.screen.json {
            return;
        }
        fields["id"] = self.shown().id.clone().into();
        let name = if self.is_url { "url" } else { "file" };
        fields[name] = self.name.clone().into();
        let line = super::json::line(event, Some(&self.account), fields);
        println!("{line}");
    }

    /// Whether the upload has begun and there is progress to show.
    pub(super) fn has_begun(&self) -> bool {
        self.shown().id.is_some()
    }

    /// How often [`progress`](Self::progress) should be called.
    pub(super) fn tick(&self) -> Duration {
        Duration::from_millis(if terminal::draws() { 100 } else { 500 })
    }

    pub(super) fn event(&self, event: Event) {
        let name = self.short_name();
        let say = |text: String| self.screen.say(&format!("{name}: {text}"));
        match event {
            Event::Comparing => {
                self.json("comparing", json!({}));
                say("comparing its bytes with an earlier upload of the same size".into());
            }
            Event::Planned {
                id,
                publish_id,
                plan,
                confirmed,
            } => {
                let mut shown = self.shown();
                shown.id = Some(id);
                shown.publish_id = publish_id;
                drop(shown);
                self.planned(plan, confirmed);
            }
            Event::Waiting { cause, wait } => {
                let fields = json!({ "cause": cause.as_str(), "reason": cause.to_string(), "seconds": wait.as_secs_f64() });
                self.json("waiting", fields);
                say(format!("waits {} s: {cause}", wait.as_secs().max(1)));
            }
            Event::SessionOpened { publish_id } => {
                self.json("session", json!({ "publish_id": publish_id }));
                self.shown().publish_id = Some(publish_id);
            }
            Event::Pulling { publish_id } => {
                self.json("pulling", json!({ "publish_id": publish_id }));
                self.shown().publish_id = Some(publish_id);
                say("TikTok fetches it; the URL must stay reachable until it is done".into());
            }
            Event::ChunkAccepted { index, confirmed } => {
                self.json("chunk", json!({ "index": index, "confirmed": confirmed }));
            }
            Event::Retry { cause, wait } => {
                let fields = json!({ "cause": cause.as_str(), "reason": cause.to_string(), "seconds": wait.as_secs_f64() });
                self.json("retry", fields);
                say(format!("{cause}; again in {:.1} s", wait.as_secs_f64()));
            }
            Event::SessionLost { cause } => {
                self.shown().processing = false;
                let fields = json!({ "cause": cause.as_str(), "reason": cause.to_string() });
                self.json("session_lost", fields);
                say(format!(
                    "the session is lost: {cause}. From the start, in a new one"
                ));
            }
            Event::Processing { publish_id } => {
                self.json("processing", json!({ "publish_id": publish_id }));
                let mut shown = self.shown();
                shown.publish_id = Some(publish_id);
                shown.processing = true;
                drop(shown);
                self.screen.board.process(self.number);
                say("every byte is accepted; TikTok works on it".into());
            }
            Event::Notice(notice) => {
                let text = notice.to_string();
                self.json("notice", json!({ "cause": notice.as_str(), "text": text }));
                say(text);
            }
            _ => {}
        }
    }

    /// Shows the plan: a file in chunks, from the start or the confirmed byte, or a URL.
    fn planned(&self, plan: Option<Plan>, confirmed: u64) {
        let say = |text: String| self.screen.say(&format!("{}: {text}", self.short_name()));
        self.json(
            "planned",
            json!({
                "bytes": plan.map(|plan| plan.video_size()),
                "chunk_size": plan.map(|plan| plan.chunk_size()),
                "total_chunk_count": plan.map(|plan| plan.chunk_count()),
                "confirmed": confirmed,
            }),
        );
        if let Some(plan) = plan {
            let (size, count) = (humane(plan.video_size()), plan.chunk_count());
            match confirmed {
                0 => say(format!(
                    "{size} in {count} {}",
                    if count == 1 { "chunk" } else { "chunks" }
                )),
                _ => say(format!(
                    "carries on: {} of {size} are already at TikTok",
                    humane(confirmed)
                )),
            }
        }
        self.screen.board.begin(self.number);
    }

    pub(super) fn progress(&self, progress: Progress) {
        let text = self.screen.board.progress(self.number, progress);
        let mut shown = self.shown();
        let every = match (self.screen.json, shown.processing) {
            (true, _) => 1,
            (false, false) => 10,
            (false, true) => 60,
        };
        if shown.told.elapsed() < Duration::from_secs(every) || shown.id.is_none() {
            return;
        }
        shown.told = Instant::now();
        drop(shown);
        self.json(
            "progress",
            json!({ "bytes": progress.total, "sent": progress.sent, "confirmed": progress.confirmed }),
        );
        if !terminal::draws() {
            self.screen.say(&format!("{}: {text}", self.short_name()));
        }
    }

    /// The result of a video.
    pub(super) fn end(&self, result: &Result<Draft, Error>, exit: Exit, progress: Progress) {
        let publish_id = self.shown().publish_id.clone();
        let name = self.short_name();
        let (outcome, publish_id, sha256, error) = match result {
            Ok(draft) => {
                let outcome = match draft.outcome {
                    Outcome::AlreadyDelivered => "already_delivered",
                    Outcome::Sent => "sent",
                    _ => "delivered",
                };
                self.screen.say(&good_news(name, &self.account, draft));
                (
                    outcome,
                    Some(draft.publish_id.clone()),
                    draft.sha256.clone(),
                    Value::Null,
                )
            }
            Err(error) => {
                let message = message(error);
                if error.kind() != ErrorKind::Cancelled {
                    self.screen.say(&message);
                }
                let error = super::json::error(&message, Some(error));
                (outcome_of(exit, result), publish_id, None, error)
            }
        };
        self.screen.board.end(self.number, outcome, result.is_ok());
        let retry_at = result.as_ref().err().and_then(Error::retry_at).map(rfc3339);
        self.json(
            "outcome",
            json!({
                "outcome": outcome,
                "exit": exit.0,
                "publish_id": publish_id,
                "sha256": sha256,
                "creator_known": result.as_ref().ok().map(|draft| draft.creator_known),
                "bytes": progress.total,
                "bytes_sent": progress.bytes_sent,
                "bytes_resent": progress.bytes_resent,
                "inits": progress.inits,
                "retry_at": retry_at,
                "error": error,
            }),
        );
        if !self.screen.json {
            let publish_id = publish_id.as_deref().unwrap_or("-");
            // A tab or a line break in a name must not make two fields or lines of one. Backslashes are doubled, so that
            // the field means one name.
            let name = self.name.replace('\\', "\\\\");
            let (publish_id, name) = (Escaped::new(publish_id), Escaped::new(&name));
            println!("{publish_id}\t{outcome}\t{name}");
        }
    }
}

fn outcome_of(exit: Exit, result: &Result<Draft, Error>) -> &'static str {
    let changed = matches!(result, Err(error) if error.kind() == ErrorKind::SourceChanged);
    match exit.0 {
        _ if changed => "source_changed",
        4 => "needs_person",
        5 => "unknown",
        75 | 130 | 143 => "retry",
        _ => "failed",
    }
}
