//! What people and programs see of an upload: bars or lines on stderr, results on stdout.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use chunkferry::{Draft, Error, ErrorKind, Event, Outcome, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::exit::Exit;
use super::pace::Pace;
use super::size::humane;

/// How a run shows itself.
#[derive(Debug)]
pub(super) struct Screen {
    json: bool,
    bars: Option<MultiProgress>,
    /// Whether anything is told in words.
    words: bool,
}

impl Screen {
    /// Bars on a terminal, lines elsewhere; with JSON on stdout no lines besides.
    pub(super) fn new(json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            json,
            bars: terminal.then(MultiProgress::new),
            words: terminal || !json,
        }
    }

    /// A line for people.
    pub(super) fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{text}")),
            None if self.words => eprintln!("{text}"),
            None => {}
        }
    }

    fn print(&self, line: &str) {
        let print = || {
            // A reader that has gone away does not stop an upload.
            let _ = writeln!(std::io::stdout(), "{line}");
        };
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    /// The view of one file.
    pub(super) fn file(&self, path: &Path, account: &str) -> View<'_> {
        View {
            screen: self,
            path: path.to_owned(),
            account: account.to_owned(),
            state: Mutex::new(Shown {
                id: None,
                publish_id: None,
                told: Instant::now(),
                bar: None,
                pace: Pace::default(),
            }),
        }
    }
}

/// One file on the screen.
#[derive(Debug)]
pub(super) struct View<'a> {
    screen: &'a Screen,
    path: PathBuf,
    account: String,
    state: Mutex<Shown>,
}

#[derive(Debug)]
struct Shown {
    id: Option<String>,
    publish_id: Option<String>,
    told: Instant,
    bar: Option<ProgressBar>,
    pace: Pace,
}

impl View<'_> {
    fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or(self.path.as_os_str())
            .to_string_lossy()
            .into_owned()
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
        fields["v"] = 1.into();
        fields["event"] = event.into();
        fields["id"] = self.shown().id.clone().into();
        fields["file"] = self.path.to_string_lossy().into_owned().into();
        self.screen.print(&fields.to_string());
    }

    /// How often [`progress`](Self::progress) is worth calling.
    pub(super) fn tick(&self) -> Duration {
        Duration::from_millis(if self.screen.bars.is_some() { 100 } else { 500 })
    }

    pub(super) fn event(&self, event: Event) {
        let name = self.name();
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
                self.json(
                    "planned",
                    json!({
                        "bytes": plan.video_size(),
                        "chunk_size": plan.chunk_size(),
                        "total_chunk_count": plan.chunk_count(),
                        "confirmed": confirmed,
                    }),
                );
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
                let bars = self.screen.bars.as_ref();
                self.shown().bar =
                    bars.map(|bars| bars.add(bar(&name, plan.video_size(), confirmed)));
            }
            Event::Waiting { reason, wait } => {
                self.json(
                    "waiting",
                    json!({ "reason": reason, "seconds": wait.as_secs_f64() }),
                );
                say(format!("waits {} s: {reason}", wait.as_secs().max(1)));
            }
            Event::SessionOpened { publish_id } => {
                self.json("session", json!({ "publish_id": publish_id }));
                self.shown().publish_id = Some(publish_id);
            }
            Event::ChunkAccepted { index, confirmed } => {
                self.json("chunk", json!({ "index": index, "confirmed": confirmed }));
            }
            Event::Retry { reason, wait } => {
                self.json(
                    "retry",
                    json!({ "reason": reason, "seconds": wait.as_secs_f64() }),
                );
                say(format!("{reason}; again in {:.1} s", wait.as_secs_f64()));
            }
            Event::SessionLost { reason } => {
                self.json("session_lost", json!({ "reason": reason }));
                say(format!(
                    "the session is lost: {reason}. From the start, in a new one"
                ));
            }
            Event::Processing { publish_id } => {
                self.json("processing", json!({ "publish_id": publish_id }));
                self.shown().publish_id = Some(publish_id);
                say("every byte is accepted; TikTok works on it".into());
            }
            Event::Notice { text } => {
                self.json("notice", json!({ "text": text }));
                say(text);
            }
            _ => {}
        }
    }

    pub(super) fn progress(&self, progress: Progress) {
        let mut shown = self.shown();
        shown.pace.note(Instant::now(), progress.sent);
        let text = numbers(&progress, &shown.pace);
        if let Some(bar) = &shown.bar {
            bar.set_position(progress.sent);
            bar.set_message(text.clone());
        }
        let every = Duration::from_secs(if self.screen.json { 1 } else { 10 });
        if shown.told.elapsed() < every || shown.id.is_none() {
            return;
        }
        shown.told = Instant::now();
        let has_bar = shown.bar.is_some();
        drop(shown);
        self.json(
            "progress",
            json!({ "bytes": progress.total, "sent": progress.sent, "confirmed": progress.confirmed }),
        );
        if !has_bar && self.screen.words {
            self.screen.say(&format!("{}: {text}", self.name()));
        }
    }

    /// The last line of a file.
    pub(super) fn end(&self, result: &Result<Draft, Error>, exit: Exit, progress: Progress) {
        let (id_bar, publish_id) = {
            let mut shown = self.shown();
            (shown.bar.take(), shown.publish_id.clone())
        };
        if let Some(bar) = id_bar {
            bar.set_position(progress.confirmed);
            bar.set_message(format!("{} accepted", humane(progress.confirmed)));
            if result.is_ok() {
                bar.finish()
            } else {
                bar.abandon()
            }
        }
        let name = self.name();
        let (outcome, publish_id, sha256, error) = match result {
            Ok(draft) => {
                let outcome = match draft.outcome {
                    Outcome::AlreadyDelivered => "already_delivered",
                    Outcome::Sent => "sent",
                    _ => "delivered",
                };
                self.screen.say(&good_news(&name, &self.account, draft));
                (
                    outcome,
                    Some(draft.publish_id.clone()),
                    draft.sha256.clone(),
                    Value::Null,
                )
            }
            Err(error) => {
                let message = match error
                    .retry_at()
                    .filter(|_| error.code() == Some("spam_risk_too_many_pending_share"))
                {
                    Some(at) => pending_cap(&self.account, Some(at)),
                    None if error.code() == Some("spam_risk_too_many_pending_share") => {
                        pending_cap(&self.account, None)
                    }
                    None => error.to_string(),
                };
                if error.kind() != ErrorKind::Cancelled {
                    self.screen.say(&message);
                }
                let error = json!({
                    "code": error.code(),
                    "message": message,
                    "log_id": error.log_id(),
                    "who": error.who_must_act().as_str(),
                });
                (outcome_of(exit, result), publish_id, None, error)
            }
        };
        let retry_at = result.as_ref().err().and_then(Error::retry_at).map(rfc3339);
        self.json(
            "outcome",
            json!({
                "outcome": outcome,
                "exit": exit.0,
                "publish_id": publish_id,
                "sha256": sha256,
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
            // A name with a tab or a line break in it must not make two fields or lines of one.
            let file = self.path.to_string_lossy();
            let file = file
                .replace('\\', "\\\\")
                .replace('\t', "\\t")
                .replace('\n', "\\n");
            self.screen
                .print(&format!("{publish_id}\t{outcome}\t{file}"));
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

fn bar(name: &str, total: u64, confirmed: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:.bold} {bar:28.cyan/dim} {percent:>3}%  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("█▉▊▋▌▍▎▏ ");
    ProgressBar::new(total)
        .with_style(style)
        .with_prefix(name.to_owned())
        .with_position(confirmed)
}

/// The numbers beside a bar: sent and accepted told apart.
fn numbers(progress: &Progress, pace: &Pace) -> String {
    let mut text = format!(
        "{} sent, {} accepted of {}",
        humane(progress.sent),
        humane(progress.confirmed),
        humane(progress.total)
    );
    if let (Some(rate), Some(left)) = (
        pace.rate(),
        pace.seconds_for(progress.total.saturating_sub(progress.sent)),
    ) {
        text.push_str(&format!(
            "  {}/s  {}:{:02} left",
            humane(rate as u64),
            left / 60,
            left % 60
        ));
    }
    text
}

fn good_news(name: &str, account: &str, draft: &Draft) -> String {
    let since = draft
        .delivered_at
        .map(|at| format!(" since {}", when(at)))
        .unwrap_or_default();
    let id = &draft.publish_id;
    match draft.outcome {
        Outcome::AlreadyDelivered => {
            format!(
                "{name} is already in {account}'s inbox{since} ({id}). Nothing sent. To send it again: --again"
            )
        }
        Outcome::Sent => format!(
            "{name} is with TikTok ({id}); the inbox is not confirmed. The same command follows it to the end."
        ),
        _ => format!("{name} is in {account}'s inbox ({id})."),
    }
}

fn pending_cap(account: &str, retry_at: Option<SystemTime>) -> String {
    let then = match retry_at {
        Some(at) => format!("or run this again after {}", when(at)),
        None => "or run this again within 24 hours".to_owned(),
    };
    format!(
        "{account} has 5 drafts waiting, TikTok's limit. The creator posts or deletes one, {then}."
    )
}

/// A time for people, in their own zone: `20 Nov 02:14`; today's without the day.
pub(super) fn when(time: SystemTime) -> String {
    let Ok(zoned) = jiff::Zoned::try_from(time) else {
        return "an unknown time".to_owned();
    };
    let today = jiff::Zoned::now().date() == zoned.date();
    zoned
        .strftime(if today { "%H:%M" } else { "%-d %b %H:%M" })
        .to_string()
}

fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_account_the_limit_and_the_way_on() {
        assert_eq!(
            pending_cap("lena", None),
            "lena has 5 drafts waiting, TikTok's limit. The creator posts or deletes one, or run this again within 24 hours."
        );
    }
}
