//! The videos of a run: a line for each on the terminal, one for all, and the count of each outcome.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chunkferry::{Escaped, Progress};
use unicode_width::UnicodeWidthStr;

use super::gauge::{Gauge, clock};
use super::pace::Pace;
use super::size::humane;
use super::terminal;
use super::words::{fetched, numbers};

/// Least time between two drawings.
const EVERY: Duration = Duration::from_millis(100);

/// Most videos with a line of their own; the others are counted in the total.
const LINES: usize = 8;

/// All videos of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    videos: Vec<Video>,
    /// The rate of all bytes that this run has sent.
    pace: Pace,
    drawn: Option<Instant>,
    ended: usize,
    /// Number of videos with each outcome.
    outcomes: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Video {
    name: String,
    is_url: bool,
    progress: Progress,
    /// Bytes of the file, before the upload has opened it.
    expected: u64,
    pace: Pace,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Waiting,
    Sending,
    Processing(Instant),
    /// With the flag whether its bytes count as done.
    Ended(bool),
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a video; returns its number.
    pub(super) fn add(&self, name: &str, is_url: bool) -> usize {
        let mut state = self.state();
        state.videos.push(Video {
            name: Escaped::new(name).to_string(),
            is_url,
            progress: Progress::default(),
            expected: 0,
            pace: Pace::default(),
            stage: Stage::Waiting,
        });
        state.videos.len() - 1
    }

    /// Determines the sizes of files for the total, on a detached thread: a network drive may not answer.
    pub(super) fn measure(&self, files: Vec<(usize, String)>) {
        if !terminal::draws() || self.state().videos.len() < 2 {
            return;
        }
        let board = self.clone();
        let measure = move || {
            for (number, file) in files {
                let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
                board.state().videos[number].expected = size;
            }
        };
        // If no thread can be started, the total counts only the files whose size is known.
        drop(std::thread::Builder::new().spawn(measure));
    }

    /// The upload has begun.
    pub(super) fn begin(&self, number: usize) {
        self.state().videos[number].stage = Stage::Sending;
    }

    /// TikTok has all bytes.
    pub(super) fn process(&self, number: usize) {
        self.state().videos[number].stage = Stage::Processing(Instant::now());
    }

    /// Updates the progress; returns it as text for a log line.
    pub(super) fn progress(&self, number: usize, progress: Progress) -> String {
        let mut state = self.state();
        let video = &mut state.videos[number];
        video.see(progress);
        let words = video.words();
        state.draw_due();
        words.into_iter().next().unwrap_or_default()
    }

    /// The upload has ended with this outcome; `done`: its bytes count as done.
    pub(super) fn end(&self, number: usize, outcome: &str, done: bool) {
        let mut state = self.state();
        state.videos[number].stage = Stage::Ended(done);
        *state.outcomes.entry(outcome.to_owned()).or_default() += 1;
        state.ended += 1;
        if state.ended == state.videos.len() {
            terminal::clear();
        }
    }

    /// The number of each outcome. `None` for a single video.
    pub(super) fn outcomes(&self) -> Option<BTreeMap<String, usize>> {
        let state = self.state();
        (state.videos.len() > 1).then(|| state.outcomes.clone())
    }
}

impl State {
    fn draw_due(&mut self) {
        if !terminal::draws() || self.drawn.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let (columns, rows) = terminal::size();
        let total = (self.videos.len() > 1).then(|| self.total());
        let shown = self.videos.iter().filter(|video| video.is_shown());
        let shown: Vec<&Video> = shown.take(LINES.min(rows.saturating_sub(3))).collect();
        let names = shown.iter().map(|video| &video.name);
        let names = names.chain(total.iter().map(|(name, ..)| name));
        let aligned = names.map(|name| name.width()).max().unwrap_or(0);
        let line = |name: &str, share, words: &[String]| {
            let gauge = Gauge {
                name,
                aligned,
                share,
                words,
            };
            gauge.line(columns)
        };
        let videos = shown
            .iter()
            .map(|video| line(&video.name, video.share(), &video.words()));
        let total = total
            .as_ref()
            .map(|(name, share, words)| line(name, *share, words));
        terminal::draw(&videos.chain(total).collect::<Vec<_>>());
    }

    /// Of all videos: the finished ones, their bytes, the rate and the remaining time.
    fn total(&mut self) -> (String, Option<f64>, Vec<String>) {
        let urls = self.videos.iter().all(|video| video.is_url);
        let noun = if urls { "URLs" } else { "files" };
        let name = format!("{} of {} {noun}", self.ended, self.videos.len());
        let counted = || {
            self.videos
                .iter()
                .filter(|video| video.stage != Stage::Ended(false))
        };
        let sent: u64 = counted().map(Video::sent).sum();
        let size: u64 = counted().map(Video::size).sum();
        let known = counted().all(|video| video.size() > 0);
        let moved = self
            .videos
            .iter()
            .map(|video| video.progress.bytes_sent.max(video.fetched()))
            .sum();
        self.pace.note(Instant::now(), moved);
        let share = known.then(|| sent as f64 / size.max(1) as f64);
        let of = if known {
            format!(" of {}", humane(size))
        } else {
            String::new()
        };
        let rate = self
            .pace
            .rate()
            .map(|rate| format!("{}/s", humane(rate as u64)));
        let left = self.pace.seconds_for(size.saturating_sub(sent));
        let left = left
            .filter(|seconds| known && *seconds > 0)
            .map(|left| format!("{} left", clock(left)));
        let words = [Some(format!("{}{of}", humane(sent))), rate, left];
        (name, share, fewer(words))
    }
}

/// All words, then without the first, and so on.
fn fewer<const N: usize>(words: [Option<String>; N]) -> Vec<String> {
    let words: Vec<String> = words.into_iter().flatten().collect();
    (0..words.len())
        .map(|from| words[from..].join("  "))
        .collect()
}

impl Video {
    fn is_shown(&self) -> bool {
        matches!(self.stage, Stage::Sending | Stage::Processing(_))
    }

    fn see(&mut self, progress: Progress) {
        self.progress = progress;
        self.pace.note(Instant::now(), progress.sent);
        let whole = !self.is_url && progress.total > 0 && progress.confirmed == progress.total;
        match self.stage {
            // An earlier run has sent all bytes.
            Stage::Sending if whole => self.stage = Stage::Processing(Instant::now()),
            // The session was lost.
            Stage::Processing(_) if !self.is_url && progress.confirmed < progress.total => {
                self.stage = Stage::Sending
            }
            _ => {}
        }
    }

    fn size(&self) -> u64 {
        match self.progress.total {
            0 => self.expected,
            size => size,
        }
    }

    /// Bytes that need not be sent any more.
    fn sent(&self) -> u64 {
        match self.stage {
            Stage::Ended(true) => self.size(),
            _ => self.progress.sent,
        }
    }

    /// Bytes of a URL that the service has fetched.
    fn fetched(&self) -> u64 {
        if self.is_url { self.progress.sent } else { 0 }
    }

    /// The progress in ever fewer words.
    fn words(&self) -> Vec<String> {
        match self.stage {
            Stage::Processing(since) => {
                vec![format!("processing {}", clock(since.elapsed().as_secs()))]
            }
            _ if self.is_url => fetched(&self.progress, &self.pace),
            _ => numbers(&self.progress, &self.pace),
        }
    }

    /// The sent share from 0 to 1, while it is meaningful.
    fn share(&self) -> Option<f64> {
        let Progress { total, sent, .. } = self.progress;
        let known = total > 0 && !(self.is_url && total == sent);
        (self.stage == Stage::Sending && known).then(|| sent as f64 / total as f64)
    }
}
