//! The videos of a run: a line for each on the terminal, one for all, and the count of each outcome.

use std::collections::BTreeMap;
use std::path::PathBuf;
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
    /// The videos under way, by their numbers.
    videos: BTreeMap<usize, Video>,
    /// How many have begun to be carried.
    begun: usize,
    /// How many there are, if that is known.
    count: Option<usize>,
    /// Bytes of the files by their numbers, before their uploads have opened them.
    expected: Vec<u64>,
    is_of_files: bool,
    /// Bytes of the videos that are done, and bytes that moved for all that have ended.
    done: u64,
    moved: u64,
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
    /// So many bytes came from standard input.
    Spooling(u64),
    Sending,
    Processing(Instant),
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a video; returns its number.
    pub(super) fn add(&self, name: &str, is_url: bool) -> usize {
        let mut state = self.state();
        let (number, expected) = (state.begun, state.expected_of(state.begun));
        let video = Video {
            name: Escaped::new(name).to_string(),
            is_url,
            progress: Progress::default(),
            expected,
            pace: Pace::default(),
            stage: Stage::Waiting,
        };
        state.videos.insert(number, video);
        state.begun += 1;
        state.is_of_files |= !is_url;
        number
    }

    /// The videos that will be added: their files, `None` for a URL. Determines the sizes for the total on a detached thread: a
    /// network drive may not answer.
    pub(super) fn expect(&self, files: Vec<Option<PathBuf>>) {
        let mut state = self.state();
        state.count = Some(files.len());
        if !terminal::draws() || files.len() < 2 {
            return;
        }
        state.expected = vec![0; files.len()];
        drop(state);
        let board = self.clone();
        let measure = move || {
            for (number, file) in files.into_iter().enumerate() {
                let Some(file) = file else { continue };
                let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
                let mut state = board.state();
                state.expected[number] = size;
                if let Some(video) = state.videos.get_mut(&number) {
                    video.expected = size;
                }
            }
        };
        // If no thread can be started, the total counts only the files whose size is known.
        drop(std::thread::Builder::new().spawn(measure));
    }

    /// The upload has begun.
    pub(super) fn begin(&self, number: usize) {
        self.state().is(number, Stage::Sending);
    }

    /// So many bytes came from standard input; returns that as text for a log line.
    pub(super) fn spool(&self, number: usize, bytes: u64) -> String {
        let mut state = self.state();
        let Some(video) = state.videos.get_mut(&number) else {
            return String::new();
        };
        video.stage = Stage::Spooling(bytes);
        video.pace.note(Instant::now(), bytes);
        let words = video.words();
        state.draw_due();
        words.into_iter().next().unwrap_or_default()
    }

    /// TikTok has all bytes.
    pub(super) fn process(&self, number: usize) {
        self.state().is(number, Stage::Processing(Instant::now()));
    }

    /// Updates the progress; returns it as text for a log line.
    pub(super) fn progress(&self, number: usize, progress: Progress) -> String {
        let mut state = self.state();
        let Some(video) = state.videos.get_mut(&number) else {
            return String::new();
        };
        video.see(progress);
        let words = video.words();
        state.draw_due();
        words.into_iter().next().unwrap_or_default()
    }

    /// The upload has ended with this outcome; `done`: its bytes count as done.
    pub(super) fn end(&self, number: usize, outcome: &str, done: bool) {
        let mut state = self.state();
        if let Some(video) = state.videos.remove(&number) {
            state.moved += video.moved();
            state.done += if done { video.size() } else { 0 };
        }
        *state.outcomes.entry(outcome.to_owned()).or_default() += 1;
        state.ended += 1;
        if state.videos.is_empty() {
            terminal::clear();
        }
    }

    /// The number of each outcome. `None` for a single video.
    pub(super) fn outcomes(&self) -> Option<BTreeMap<String, usize>> {
        let state = self.state();
        state.is_several().then(|| state.outcomes.clone())
    }

    /// Whether the run has several videos.
    pub(super) fn is_several(&self) -> bool {
        self.state().is_several()
    }
}

impl State {
    fn is(&mut self, number: usize, stage: Stage) {
        if let Some(video) = self.videos.get_mut(&number) {
            video.stage = stage;
        }
    }

    fn expected_of(&self, number: usize) -> u64 {
        self.expected.get(number).copied().unwrap_or(0)
    }

    /// How many videos there are, as far as that is known.
    fn count(&self) -> usize {
        self.count.unwrap_or(self.begun)
    }

    fn is_several(&self) -> bool {
        self.count() > 1
    }

    fn draw_due(&mut self) {
        if !terminal::draws() || self.drawn.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let (columns, rows) = terminal::size();
        let total = self.is_several().then(|| self.total());
        let shown = self.videos.values().filter(|video| video.is_shown());
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
        let noun = if self.is_of_files { "files" } else { "URLs" };
        let name = format!("{} of {} {noun}", self.ended, self.count());
        let under_way = || self.videos.values();
        let later = || (self.begun..self.count()).map(|number| self.expected_of(number));
        let sent = self.done + under_way().map(Video::sent).sum::<u64>();
        let size = under_way().map(Video::size).chain(later()).sum::<u64>() + self.done;
        let known = under_way()
            .map(Video::size)
            .chain(later())
            .all(|size| size > 0);
        let moved = self.moved + under_way().map(Video::moved).sum::<u64>();
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
        !matches!(self.stage, Stage::Waiting)
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
    const fn sent(&self) -> u64 {
        self.progress.sent
    }

    /// Bytes that this run has moved.
    fn moved(&self) -> u64 {
        self.progress.bytes_sent.max(self.fetched())
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
            Stage::Spooling(bytes) => {
                let rate = self.pace.rate();
                let rate = rate.map(|rate| format!("{}/s", humane(rate as u64)));
                fewer([Some(format!("{} read", humane(bytes))), rate])
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
